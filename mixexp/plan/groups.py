"""The groups of a configuration, and what their options make."""

from __future__ import annotations

import torch

from mixexp.augment import Augment
from mixexp.dataset import Dataset
from mixexp.gan.minimax import Minimax
from mixexp.imbalance import Imbalance
from mixexp.label_noise import LabelNoise
from mixexp.logger import Logger
from mixexp.loss import Loss
from mixexp.mix import Mix
from mixexp.mix_layer import MixLayer
from mixexp.model import Body
from mixexp.probe import Probe
from mixexp.sampling import Sampling
from mixexp.schedule import Schedule
from mixexp.speed import Speed
from mixexp.subset import Subset

GROUPS: dict[str, type] = {
    "dataset": Dataset,
    "subset": Subset,
    "imbalance": Imbalance,
    "label_noise": LabelNoise,
    "sampling": Sampling,
    "augment": Augment,
    "model": Body,
    "mix": Mix,
    "mix_layer": MixLayer,
    "loss": Loss,
    "optimizer": torch.optim.Optimizer,
    "schedule": Schedule,
    "speed": Speed,
}
"""Every group and what its options make."""

OPTIONAL_GROUPS: dict[str, type] = {"probe": Probe, "gan": Minimax, "logger": Logger}
"""Optional groups."""

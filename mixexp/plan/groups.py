"""The groups of a configuration, and the classes of their options' objects."""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import pkgutil

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
from mixexp.second_stage import SecondStage
from mixexp.settings import CONF
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
"""Every required group and the class of its options' objects."""

OPTIONAL_GROUPS: dict[str, type] = {"probe": Probe, "gan": Minimax, "second_stage": SecondStage, "logger": Logger}
"""Optional groups."""

CONTRACTS = {**GROUPS, **OPTIONAL_GROUPS}
"""All groups."""


@functools.cache
def import_options() -> None:
    """Import every module of mixexp that a configuration may name, in its current version.

    A process may make runs for days while the files are edited. Without this, it would train with a mixture of versions
    under the code hash of the first.
    """
    groups = sorted(f"mixexp.{folder.name}" for folder in CONF.iterdir() if folder.is_dir())
    for package in (importlib.import_module(group) for group in groups if importlib.util.find_spec(group) is not None):
        for module in pkgutil.iter_modules(getattr(package, "__path__", ()), f"{package.__name__}."):
            with contextlib.suppress(Exception):  # choosing the module reports the error
                importlib.import_module(module.name)

"""Contract of the probe group: what is measured on a network beside accuracy, while it trains or when it is trained."""

from __future__ import annotations

import abc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mixexp import streams
from mixexp.data import Normalize, Part
from mixexp.device import Execution
from mixexp.loss import Loss
from mixexp.mix import Mix
from mixexp.mix_layer import MixLayer
from mixexp.network import Network

Rows = list[dict[str, Any]]
"""Rows of a CSV: a column's name → a number or a text."""


@dataclass(frozen=True)
class Subject:
    """A network after `step` steps, in evaluation mode, with what it was trained on and by.

    true_labels: int64 [N], of the training images, whose own labels may be noise. layers: every layer, "input" to "final".
    """

    network: Network
    loss: Loss
    mix: Mix
    mix_layer: MixLayer
    normalize: Normalize
    run: Execution
    train: Part
    true_labels: Tensor
    test: Part
    classes: tuple[str, ...]
    kind: str
    layers: tuple[str, ...]
    seed: int
    step: int

    def inputs(self, images: Tensor) -> Tensor:
        """Network input, float32 [B, C, H, W], from raw images as a Part holds them."""
        return self.normalize(images).contiguous(memory_format=self.run.memory_format)

    def outputs(self, inputs: Tensor) -> Tensor:
        """The network's outputs, float32 [B, C], from network input."""
        with self.run.autocast():
            return self.network(inputs).float()

    def representations(self, images: Tensor, layers: Sequence[str]) -> dict[str, Tensor]:
        """Layer → its output, float32 [B, D] flattened, for raw images: the places that a mix layer can name."""
        found = {"input": self.inputs(images)} if "input" in layers else {}
        places = {name: self.network.body.get_submodule(path) for name, path in self.network.body.stages.items()}
        places["final"] = self.network.body
        handles = [
            places[name].register_forward_hook(lambda _, __, output, name=name: found.update({name: output}))
            for name in layers
            if name != "input"
        ]
        try:
            self.outputs(self.inputs(images))
        finally:
            for handle in handles:
                handle.remove()
        return {name: found[name].flatten(1).float() for name in layers}

    def sample(self, part: Part, count: int, purpose: str) -> Tensor:
        """Rows of a part, int64 [min(count, N)] in rising order, the same at every step of a run."""
        chosen = streams.generator(self.seed, f"probe {purpose}").permutation(len(part))[:count]
        return torch.from_numpy(np.sort(chosen)).to(part.labels.device)


class Probe(abc.ABC):
    """A measurement; what it finds goes to probe_<name>.csv in the run's folder. It changes nothing: runs train alike with any."""

    while_training: bool = False
    """Whether it measures at every evaluation, not at the end alone."""

    def check(self, kind: str, layers: Sequence[str], train: int, test: int) -> None:
        """Raise ValueError where it has no meaning for data of a kind, a network's layers, or so many training and test images."""

    @abc.abstractmethod
    def measure(self, subject: Subject) -> dict[str, Rows]:
        """Rows for each of its files, by the file's name; called without gradients, which it may enable for itself."""


@contextmanager
def measuring(subject: Subject) -> Iterator[None]:
    """Inside, the network is in evaluation mode without gradients, and what is drawn leaves no trace in any generator."""
    subject.network.eval()
    try:
        with torch.no_grad(), streams.torch_stream(subject.run.device, subject.seed, "probe", subject.step):
            yield
    finally:
        subject.network.train()

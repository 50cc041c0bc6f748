"""Contract of the probe group: measurements on a network besides accuracy, during training or at its end."""

from __future__ import annotations

import abc
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from mixexp import streams
from mixexp.augment import Augment
from mixexp.errors import closest
from mixexp.loss import Loss
from mixexp.mix import Mix, Plan
from mixexp.mix_layer import MixLayer
from mixexp.sampling import Sampling
from mixexp.training.batches import draw_epoch
from mixexp.training.data import DataSplit, Normalize
from mixexp.training.device import Execution
from mixexp.training.network import Network, layers

BATCH = 500
"""Images in one forward pass of a probe."""

Rows = list[dict[str, Any]]
"""Rows of a CSV: column → a number or a text."""


@dataclass(frozen=True)
class Facts:
    """Properties of a run that are known before it starts.

    kind: of the data; shape: of an image, [C, H, W]; counts: training images of each class; test: number of test
    images; layers: all layers, "input" to "final"; features: length of the final layer's vector; linear_head: true if
    the classifier is linear; blends: true if samples are blended.
    """

    kind: str
    shape: tuple[int, ...]
    counts: tuple[int, ...]
    test: int
    layers: tuple[str, ...]
    features: int
    linear_head: bool
    blends: bool

    @property
    def classes(self) -> int:
        """Number of classes."""
        return len(self.counts)

    @property
    def train(self) -> int:
        """Number of training images."""
        return sum(self.counts)

    def images(self, part: Literal["train", "test"], most: int | None) -> int:
        """Number of images in a sample of at most `most` of a part."""
        there = self.train if part == "train" else self.test
        return there if most is None else min(most, there)

    def require_image(self, name: str) -> None:
        """Raise ValueError unless the data are pictures."""
        if self.kind != "image":
            raise ValueError(f"probe: {name} needs images, and this data set's kind is {self.kind}")

    def require_every_class(self, name: str) -> None:
        """Raise ValueError unless every class has training images."""
        if 0 in self.counts:
            raise ValueError(f"probe: {name} needs every class, and class {self.counts.index(0)} has no training image")

    def require_plane(self, why: str) -> None:
        """Raise ValueError unless the data are points of two classes in the plane; why: beginning of the message."""
        if tuple(self.shape) != (2, 1, 1) or self.classes != 2:
            shape = "x".join(map(str, self.shape))
            raise ValueError(f"probe: {why} and images of {shape} (channels first); dataset=two_moons will do")

    def require_layers(self, names: Sequence[str]) -> None:
        """Raise ValueError if the model lacks one of these layers."""
        for name in names:
            if name not in self.layers:
                raise ValueError(
                    f"probe: model has no layer {name!r}; it has {', '.join(self.layers)}.{closest(name, self.layers)}"
                )


class Mixed(NamedTuple):
    """A batch: rows of the training images, int64 [S], their augmentation draws, their blending and its layer."""

    chosen: Tensor
    augment_draws: dict[str, Tensor]
    plan: Plan
    layer: str

    @property
    def lam(self) -> Tensor:
        """Weights of the first parts, float32 [B]; 1 where nothing is blended."""
        return (
            self.plan.weights[0]
            if self.plan.weights
            else torch.ones_like(self.plan.labels.labels[0], dtype=torch.float32)
        )


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A network after `step` steps, in evaluation mode, with its data and its training methods.

    true_labels: int64 [N], of the training images, whose own labels may be noisy; held_out: validation images, or none;
    batch_size: samples in a step; epochs: of the run; other: maps the path of another finished run's folder to its
    network.
    """

    network: Network
    loss: Loss
    sampling: Sampling
    augment: Augment
    mix: Mix
    mix_layer: MixLayer
    normalize: Normalize
    run: Execution
    train: DataSplit
    true_labels: Tensor
    test: DataSplit
    held_out: DataSplit
    classes: tuple[str, ...]
    kind: str
    seed: int
    batch_size: int
    epochs: float
    other: Callable[[str], Subject]
    step: int = 0

    @property
    def layers(self) -> tuple[str, ...]:
        """All layers, "input" to "final"."""
        return tuple(layers(self.network.body))

    def inputs(self, images: Tensor) -> Tensor:
        """Network input, float32 [B, C, H, W], from raw images as in a DataSplit."""
        return self.normalize(images).contiguous(memory_format=self.run.memory_format)

    def outputs(self, inputs: Tensor) -> Tensor:
        """Outputs of the network, float32 [B, C], from network input."""
        with self.run.autocast():
            return self.network(inputs).float()

    @torch.no_grad()
    def scores(self, images: Tensor) -> np.ndarray:
        """The loss's scores of raw images (Loss.scores), float64 [N, C] on the host; the network sees BATCH at once."""
        batches = (self.inputs(some.to(self.run.device)) for some in images.split(BATCH))
        return torch.cat([self.loss.scores(self.outputs(inputs)).cpu() for inputs in batches]).double().numpy()

    def seen(self, images: Tensor, layers: Sequence[str]) -> tuple[dict[str, Tensor], Tensor]:
        """Representations of raw images, layer → float32 [N, D] (flattened), and the network's outputs, float32 [N, C].

        Layers are those that a mix layer can name. The network sees BATCH images at once.
        """
        pieces = [self._seen(some, layers) for some in images.split(BATCH)]
        outputs = torch.cat([outputs for _, outputs in pieces])
        return {
            name: torch.cat([outputs_at.pop(name) for outputs_at, _ in pieces]) for name in dict.fromkeys(layers)
        }, outputs

    def _seen(self, images: Tensor, layers: Sequence[str]) -> tuple[dict[str, Tensor], Tensor]:
        inputs = self.inputs(images)
        outputs_at = {"input": inputs}
        handles = [
            self.network.module_at(name).register_forward_hook(
                lambda _, __, output, name=name: outputs_at.update({name: output})
            )
            for name in layers
            if name != "input"
        ]
        try:
            outputs = self.outputs(inputs)
        finally:
            for handle in handles:
                handle.remove()
        return {name: outputs_at[name].flatten(1).float() for name in layers}, outputs

    def mixed(self, epoch: int) -> Iterator[Mixed]:
        """Batches of an epoch as a run draws them, including a last partial one."""
        labels, device, images = self.train.labels, self.train.labels.device, self.mix.source_images(self.batch_size)
        groups = (self.sampling, self.augment, self.mix, self.mix_layer, labels.cpu().numpy())
        drawn = draw_epoch(*groups, self.seed, self.batch_size, None, self.epochs, epoch)
        for start, layer in zip(itertools.count(0, images), drawn.layers, strict=False):
            batch = drawn.batch.map(lambda values, start=start: values[start : start + images].to(device))
            chosen, augment_draws = batch.with_external()
            yield Mixed(chosen, augment_draws, self.mix.plan(labels[chosen], batch.mix), layer)

    def part(self, name: Literal["train", "test"]) -> DataSplit:
        """The training or the test images of the run."""
        return self.train if name == "train" else self.test

    def sample(self, name: Literal["train", "test"], count: int | None) -> DataSplit:
        """At most `count` images of a part, in order, the same at every step of a run; None: all of them."""
        part = self.part(name)
        if count is None or count >= len(part):
            return part
        chosen = streams.generator(self.seed, f"probe {name}").permutation(len(part))[:count]
        rows = torch.from_numpy(np.sort(chosen)).to(part.labels.device)
        return DataSplit(part.gather(rows), part.labels[rows])


class Probe(abc.ABC):
    """A measurement, written to probe_<name>.csv in the run's folder. It does not change the training of a run."""

    files: Mapping[str, tuple[str, ...]]
    """Names of its files, and the columns of each besides `step`; a tuple of names alone leaves the columns open."""
    while_training: bool = False
    """True: it measures at every evaluation; false: only at the end."""
    others: tuple[str, ...] = ()
    """Folders of finished runs whose networks it also needs."""

    def check(self, facts: Facts) -> None:  # noqa: B027  most have nothing to check
        """Raise ValueError if it has no meaning for such a run."""

    @abc.abstractmethod
    def measure(self, subject: Subject) -> dict[str, Rows]:
        """At least one row for each of its files; called without gradients, which it may enable for itself."""


def columns_of(probe: Probe) -> dict[str, tuple[str, ...]]:
    """Columns of each of a probe's files, empty if they are unknown before it measures."""
    return dict(probe.files) if isinstance(probe.files, Mapping) else dict.fromkeys(probe.files, ())


class Several(Probe):
    """Several named probes, one after another; either all measure at every evaluation or all only at the end."""

    def __init__(self, **probes: Probe) -> None:
        if not probes:
            raise ValueError("probe: names no probe that it is made of")
        self.probes = probes
        self.files = {file: columns for probe in probes.values() for file, columns in columns_of(probe).items()}
        if len(self.files) < sum(len(probe.files) for probe in probes.values()):
            raise ValueError(f"probe: two of {', '.join(probes)} write to the same file")
        if len({probe.while_training for probe in probes.values()}) > 1:
            early = [name for name, probe in probes.items() if probe.while_training]
            raise ValueError(
                f"probe: {', '.join(early)} would measure while training, the others at the end; set while_training"
                " alike"
            )
        self.while_training = any(probe.while_training for probe in probes.values())
        self.others = tuple(folder for probe in probes.values() for folder in probe.others)

    def check(self, facts: Facts) -> None:
        for probe in self.probes.values():
            probe.check(facts)

    def measure(self, subject: Subject) -> dict[str, Rows]:
        return {name: rows for probe in self.probes.values() for name, rows in probe.measure(subject).items()}


@contextmanager
def measuring(subject: Subject) -> Iterator[None]:
    """Context with the network in evaluation mode, without gradients, in which draws leave all generators unchanged."""
    subject.network.eval()
    try:
        with torch.no_grad(), streams.torch_stream(subject.run.device, subject.seed, "probe", subject.step):
            yield
    finally:
        subject.network.train()

"""The batches of a run: which images, and the random numbers of augmentation and mixing, in tables on the device."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from mixexp import streams
from mixexp.augment import Augment
from mixexp.mix import Mix
from mixexp.mix_layer import MixLayer
from mixexp.sampling import Sampling
from mixexp.training.budget import Budget

BLOCK_STEPS = 64
"""Steps that a block of epochs has at least: with a few images an epoch is a step or two, and each drawing has its
cost."""


class Epoch(NamedTuple):
    """What is drawn for an epoch: its order, int64 [rows], the draws of augmentation and mix, [rows, …] each, a layer
    per step.

    external: where the mix has partners from outside the batch, the draws for their augmentation, and as "chosen" who
    they are.
    """

    order: np.ndarray
    augment: dict[str, np.ndarray]
    mix: dict[str, np.ndarray]
    layers: list[str]
    external: Mapping[str, np.ndarray] = {}

    @property
    def batch(self) -> Batch:
        """All rows as one batch, on the host."""
        augment, mix, external = (
            {name: torch.from_numpy(values) for name, values in draws.items()}
            for draws in (self.augment, self.mix, self.external)
        )
        return Batch(torch.from_numpy(self.order), augment, mix, external)


def draw_epoch(
    sampling: Sampling,
    augment: Augment,
    mix: Mix,
    mix_layer: MixLayer,
    labels: np.ndarray,
    seed: int,
    batch_size: int,
    steps: int | None,
    epoch: int,
) -> Epoch:
    """The random numbers of an epoch of training images with these labels, int64 [N].

    steps: batches of the epoch; None: all of them, the last partial one too.
    """
    order = sampling.order(labels, streams.generator(seed, "order", epoch))
    rows, images = len(order), mix.source_images(batch_size)
    mixing = mix.draw(seed, epoch, order, images, batch_size)
    external = {}
    if mix.external:
        external = {
            **augment.draw(streams.generator(seed, "augment guests", epoch), rows),
            "chosen": mixing["external"],
        }
    augmenting = augment.draw(streams.generator(seed, "augment", epoch), rows)
    layers = mix_layer.draw(streams.generator(seed, "mix_layer", epoch), -(-rows // images) if steps is None else steps)
    return Epoch(order, augmenting, mixing, layers, external)


class Batch(NamedTuple):
    """What a step reads: rows of the training part, int64 [S], and this batch's rows of the draws."""

    chosen: Tensor
    augment: dict[str, Tensor]
    mix: dict[str, Tensor]
    external: Mapping[str, Tensor] = {}

    def map(self, change: Callable[..., Tensor], *others: Batch) -> Batch:
        """The batch of change(tensor, the others' tensors of the same name)."""

        def each(part: int) -> dict[str, Tensor]:
            return {
                name: change(values, *(other[part][name] for other in others)) for name, values in self[part].items()
            }

        return Batch(
            change(self.chosen, *(other.chosen for other in others)), *(each(part) for part in range(1, len(self)))
        )

    def with_external(self) -> tuple[Tensor, dict[str, Tensor]]:
        """The rows of the images and, behind them, of the external partners, with the draws for their augmentation."""
        if not self.external:
            return self.chosen, self.augment
        return (
            torch.cat([self.chosen, self.external["chosen"]]),
            {name: torch.cat([values, self.external[name]]) for name, values in self.augment.items()},
        )


class Batches:
    """A run's batches, drawn on the host so that every device sees the same, and moved over a block of whole epochs at
    a time.

    draw: an epoch, by its number. `table` is the present block's batches one after another; once made, its tensors stay
    where they are, for graphs to read.
    """

    def __init__(self, draw: Callable[[int], Epoch], budget: Budget, device: torch.device) -> None:
        self._draw, self._device = draw, device
        self._used, self._batch, self._per_epoch = budget.used, budget.batch, budget.steps_per_epoch
        self._epochs = -(-BLOCK_STEPS // self._per_epoch)
        self._steps = self._epochs * self._per_epoch
        self._block: int | None = None
        self._layers: list[str] = []
        self.table: Batch | None = None

    def turn_to(self, step: int) -> None:
        """Make the block that holds a step the present one."""
        block = step // self._steps
        if block == self._block:
            return
        self._block = block
        epochs = [self._draw(epoch) for epoch in range(block * self._epochs, (block + 1) * self._epochs)]
        self._layers = [layer for epoch in epochs for layer in epoch.layers]
        first, *others = [epoch.batch for epoch in epochs]
        drawn = first.map(lambda *parts: torch.cat([part[: self._used] for part in parts]), *others)
        if self._device.type == "cuda":  # memory that the device can read while the host goes on
            drawn = drawn.map(lambda values: values.pin_memory())
        if self.table is None:
            self.table = drawn.map(lambda values: values.to(self._device, non_blocking=True))
        else:
            self.table.map(lambda values, new: values.copy_(new, non_blocking=True), drawn)

    def rows(self, step: int) -> slice:
        """A step's rows of the table."""
        epoch, k = divmod(step % self._steps, self._per_epoch)
        start = epoch * self._used + k * self._batch
        return slice(start, min(start + self._batch, (epoch + 1) * self._used))

    @property
    def whole(self) -> int:
        """Rows of a whole batch, or of all batches where none is whole."""
        return min(self._batch, self._used)

    def kind(self, step: int) -> tuple[str, int]:
        """The layer that a step of the present block mixes at and its number of images: all that steps differ in beside
        their rows."""
        rows = self.rows(step)
        return self._layers[step % self._steps], rows.stop - rows.start

    def same_kind_until(self, step: int, until: int) -> int:
        """The end of the steps that begin with `step`, are of one kind and in its block, `until` at most."""
        until = min(until, (step // self._steps + 1) * self._steps)
        return next((later for later in range(step + 1, until) if self.kind(later) != self.kind(step)), until)

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
"""The least number of steps in a block of epochs.

A small epoch is a step or two, and each drawing has a fixed cost.
"""


class Epoch(NamedTuple):
    """The draws of an epoch: order, int64 [rows]; augmentation and mix, [rows, …] each; and one layer per step.

    external: only where the mix has partners from outside the batch: the draws for their augmentation, and as "chosen"
    their rows.
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
    epochs: float,
    epoch: int,
) -> Epoch:
    """The random numbers of an epoch of training images with these labels, int64 [N].

    steps: batches of the epoch; None: all of them, the last partial one too. epochs: of the whole run.
    """
    order = sampling.at(epoch, epochs).order(labels, streams.generator(seed, "order", epoch))
    rows, images = len(order), mix.source_images(batch_size)
    mixing = mix.at(epoch, epochs).draw(seed, epoch, order, images, batch_size)
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
    """A step's input: rows of the training part, int64 [S], and this batch's rows of the draws."""

    chosen: Tensor
    augment: dict[str, Tensor]
    mix: dict[str, Tensor]
    external: Mapping[str, Tensor] = {}

    def map(self, change: Callable[..., Tensor], *others: Batch) -> Batch:
        """The batch of change(tensor, the others' tensors of the same name)."""

        def each(part: str) -> dict[str, Tensor]:
            return {
                name: change(values, *(getattr(other, part)[name] for other in others))
                for name, values in getattr(self, part).items()
            }

        return Batch(change(self.chosen, *(other.chosen for other in others)), *map(each, self._fields[1:]))

    def with_external(self) -> tuple[Tensor, dict[str, Tensor]]:
        """The rows of the images, followed by those of the external partners, with the draws for their augmentation."""
        if not self.external:
            return self.chosen, self.augment
        return (
            torch.cat([self.chosen, self.external["chosen"]]),
            {name: torch.cat([values, self.external[name]]) for name, values in self.augment.items()},
        )


class Batches:
    """A run's batches: drawn on the host and moved to the device a block of whole epochs at a time.

    Drawing on the host gives every device the same batches. draw: an epoch, by its number. `table` holds the batches of
    the current block one after another; its tensors stay in place once made, for graphs to read.
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
        """Make the block that holds a step the current one."""
        block = step // self._steps
        if block == self._block:
            return
        self._block = block
        epochs = [self._draw(epoch) for epoch in range(block * self._epochs, (block + 1) * self._epochs)]
        self._layers = [layer for epoch in epochs for layer in epoch.layers]
        first, *others = [epoch.batch for epoch in epochs]
        drawn = first.map(lambda *parts: torch.cat([part[: self._used] for part in parts]), *others)
        # pinned memory: the device reads it while the host continues
        if self._device.type == "cuda":
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
        """Rows of a full batch, or of all batches where none is full."""
        return min(self._batch, self._used)

    def kind(self, step: int) -> tuple[str, int]:
        """The layer at which a step of the current block mixes, and its number of images.

        Steps differ in nothing else, apart from their rows.
        """
        rows = self.rows(step)
        return self._layers[step % self._steps], rows.stop - rows.start

    def same_kind_until(self, step: int, until: int) -> int:
        """The end of the steps from `step` on that are of one kind and in one block; at most `until`."""
        until = min(until, (step // self._steps + 1) * self._steps)
        return next((later for later in range(step + 1, until) if self.kind(later) != self.kind(step)), until)

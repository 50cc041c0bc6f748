"""The batches of a run: which images, and the random numbers of augmentation and mixing, in tables on the device."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

BLOCK_STEPS = 64
"""Steps that a block of epochs has at least: with a few images an epoch is a step or two, and each drawing has its cost."""


class Epoch(NamedTuple):
    """What is drawn for an epoch: its order, int64 [rows], the draws of augmentation and mix, [rows, …] each, a layer per step.

    external: where the mix has partners from outside the batch, the draws for their augmentation, and as "chosen" who they are.
    """

    order: np.ndarray
    augment: dict[str, np.ndarray]
    mix: dict[str, np.ndarray]
    layers: list[str]
    external: dict[str, np.ndarray] = {}


class Batch(NamedTuple):
    """What a step reads: rows of the training part, int64 [S], and this batch's rows of the draws."""

    chosen: Tensor
    augment: dict[str, Tensor]
    mix: dict[str, Tensor]
    external: dict[str, Tensor] = {}

    def map(self, change: Callable[..., Tensor], *others: Batch) -> Batch:
        """The batch of change(tensor, the others' tensors of the same name)."""

        def each(part: int) -> dict[str, Tensor]:
            return {name: change(values, *(other[part][name] for other in others)) for name, values in self[part].items()}

        return Batch(change(self.chosen, *(other.chosen for other in others)), *(each(part) for part in range(1, len(self))))

    def everybody(self) -> tuple[Tensor, dict[str, Tensor]]:
        """The rows of the images and, behind them, of the external partners, with the draws for their augmentation."""
        if not self.external:
            return self.chosen, self.augment
        return (
            torch.cat([self.chosen, self.external["chosen"]]),
            {name: torch.cat([values, self.external[name]]) for name, values in self.augment.items()},
        )


class Batches:
    """A run's batches, drawn on the host so that every device sees the same, and moved over a block of whole epochs at a time.

    used: an epoch's rows without those that a rule for its last batch leaves out. `table` is the present block's batches one after
    another; once made, its tensors stay where they are, for graphs to read.
    """

    def __init__(self, draw: Callable[[int], Epoch], used: int, batch: int, per_epoch: int, device: torch.device) -> None:
        self._draw, self._used, self._batch, self._per_epoch, self._device = draw, used, batch, per_epoch, device
        self._epochs = -(-BLOCK_STEPS // per_epoch)
        self._steps = self._epochs * per_epoch
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
        first, *others = [Batch(torch.from_numpy(e.order), _tensors(e.augment), _tensors(e.mix), _tensors(e.external)) for e in epochs]
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

    def layer(self, step: int) -> str:
        """The layer that a step of the present block mixes at."""
        return self._layers[step % self._steps]

    def alike(self, step: int, later: int) -> bool:
        """Whether a later step is of the same block, layer and size."""
        sizes = [rows.stop - rows.start for rows in (self.rows(step), self.rows(later))]
        return step // self._steps == later // self._steps and self.layer(step) == self.layer(later) and sizes[0] == sizes[1]


def _tensors(draws: dict[str, np.ndarray]) -> dict[str, Tensor]:
    return {name: torch.from_numpy(values) for name, values in draws.items()}

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from mixexp.augment import Augment


class Continuous(Augment):
    """A shift by any fraction of a pixel, filled with the nearest pixel, and a horizontal flip with probability ½.

    It is Keras's ImageDataGenerator(horizontal_flip=flip, height_shift_range=height, width_shift_range=width) with its defaults
    interpolation_order=1 and fill_mode="nearest": out(y, x) = in(y + height·H·u, x + width·W·v), u and v uniform on −1…1, linear
    between pixels; then the flip. Pixels are not rounded.
    height, width: of the shift at most, as a part of the image's. Source: article c's code, case 5, with 4/32 for both.
    Differs from the paper: nothing.
    """

    kinds = ("image",)

    def __init__(
        self,
        flip: bool = True,
        height: Annotated[float, Field(ge=0, lt=1)] = 0.125,
        width: Annotated[float, Field(ge=0, lt=1)] = 0.125,
    ) -> None:
        self.flip, self.height, self.width = flip, height, width

    def draw(self, rng: np.random.Generator, rows: int) -> dict[str, np.ndarray]:
        return {
            "shift": rng.uniform(-1, 1, size=(rows, 2)).astype(np.float32),
            "flip": rng.random(rows) < (0.5 if self.flip else 0.0),
        }

    def __call__(self, images: Tensor, draws: dict[str, Tensor], normalize: Callable[[Tensor], Tensor]) -> Tensor:
        down, across = draws["shift"].unbind(1)
        moved = _read(images.float(), self.height * images.shape[2] * down, 2)
        moved = _read(moved, self.width * images.shape[3] * across, 3)
        return normalize(torch.where(draws["flip"].view(-1, 1, 1, 1), moved.flip(3), moved))


def _read(images: Tensor, shift: Tensor, dim: int) -> Tensor:
    """Images, float32 [B, C, H, W], at place + shift, float32 [B], along a dimension: linear between two pixels, at most the last one."""
    last = images.shape[dim] - 1
    places = (torch.arange(last + 1, device=images.device) + shift.unsqueeze(1)).clamp(0, last)
    below = places.floor()
    shape = [len(images), 1, 1, 1]
    shape[dim] = last + 1
    low, high = (images.take_along_dim(index.long().view(shape), dim) for index in (below, (below + 1).clamp(max=last)))
    return torch.lerp(low, high, (places - below).view(shape))

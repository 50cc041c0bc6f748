"""Contract of the augment group: what happens to training images on the device, a whole batch at once."""

from __future__ import annotations

import abc
from collections.abc import Callable

import numpy as np
from torch import Tensor


class Augment(abc.ABC):
    """Turns raw images into network input; it also says where normalisation comes in its own order."""

    kinds: tuple[str, ...] | None = None
    """The kinds of data it is for; None: any."""

    def check(self, shape: tuple[int, ...]) -> None:  # noqa: B027  most have nothing to check
        """Raise ValueError where it does not go with images of that shape, channels first."""

    @abc.abstractmethod
    def draw(self, rng: np.random.Generator, rows: int) -> dict[str, np.ndarray]:
        """Random numbers for a whole epoch, one row an image: name → array [rows, …]."""

    @abc.abstractmethod
    def __call__(self, images: Tensor, draws: dict[str, Tensor], normalize: Callable[[Tensor], Tensor]) -> Tensor:
        """Network input, float32 [B, C, H, W], from images, uint8 or float32 [B, C, H, W], and this batch's rows of the draws."""

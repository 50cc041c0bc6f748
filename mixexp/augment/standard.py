from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from mixexp.augment import Augment


class Standard(Augment):
    """Horizontal flip with probability ½ and a shift of up to `shift` pixels, zero-padded: the usual CIFAR augmentation.

    A shift by (dy, dx), each uniform on −shift…shift, is the same as padding by `shift` and cropping back to size.
    pad "before" normalisation fills with black (mixup's code and torchvision's order); "after" fills with 0 in normalised units,
    the mean colour (BC learning's code). Either is cut out of the padded batch by one gather.
    """

    def __init__(
        self, flip: bool = True, shift: Annotated[int, Field(ge=0)] = 4, pad: Literal["before", "after"] = "before"
    ) -> None:
        self.flip, self.shift, self.pad = flip, shift, pad

    def draw(self, rng: np.random.Generator, rows: int) -> dict[str, np.ndarray]:
        return {
            "offset": rng.integers(0, 2 * self.shift + 1, size=(rows, 2)),
            "flip": rng.random(rows) < (0.5 if self.flip else 0.0),
        }

    def _move(self, images: Tensor, draws: dict[str, Tensor]) -> Tensor:
        height, width = images.shape[-2:]
        padded = F.pad(images, [self.shift] * 4)
        windows = padded.unfold(2, height, 1).unfold(3, width, 1)  # a view: [B, C, 2·shift+1, 2·shift+1, H, W]
        batch = torch.arange(len(images), device=images.device)
        cropped = windows[batch, :, draws["offset"][:, 0], draws["offset"][:, 1]]
        return torch.where(draws["flip"].view(-1, 1, 1, 1), cropped.flip(-1), cropped)

    def __call__(self, images: Tensor, draws: dict[str, Tensor], normalize: Callable[[Tensor], Tensor]) -> Tensor:
        if self.pad == "before":
            return normalize(self._move(images, draws))
        return self._move(normalize(images), draws)

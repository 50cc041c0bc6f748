from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from mixexp.augment import Augment


class Standard(Augment):
    """Horizontal flip with probability ½ and a shift of up to `shift` pixels, zero-padded: the usual CIFAR augmentation.

    A shift by (dy, dx), each uniform on −shift…shift, is the same as padding by `shift` and cropping back to size.
    pad "before" normalisation fills with black (mixup's code and torchvision's order); "after" fills with 0 in normalised units,
    the mean colour (BC learning's code). Either is one gather of whole rows of pixels from the padded batch and its mirror image.
    """

    kinds = ("image",)

    def __init__(
        self, flip: bool = True, shift: Annotated[int, Field(ge=0)] = 4, pad: Literal["before", "after"] = "before"
    ) -> None:
        self.flip, self.shift, self.pad = flip, shift, pad

    def check(self, shape: tuple[int, ...]) -> None:
        height, width = shape[1:]
        if self.shift > min(height, width):
            raise ValueError(
                f"augment.shift = {self.shift}: too large; the images have {height}x{width} pixels, so it can be {min(height, width)} at most"
            )

    def draw(self, rng: np.random.Generator, rows: int) -> dict[str, np.ndarray]:
        return {
            "offset": rng.integers(0, 2 * self.shift + 1, size=(rows, 2)),
            "flip": rng.random(rows) < (0.5 if self.flip else 0.0),
        }

    def _move(self, images: Tensor, draws: dict[str, Tensor]) -> Tensor:
        count, channels, height, width = images.shape
        s, rows, columns = self.shift, height + 2 * self.shift, width + 2 * self.shift
        padded = images.new_zeros(2, count, rows, columns, channels)
        pixels = images.permute(0, 2, 3, 1)
        padded[0, :, s : s + height, s : s + width] = pixels
        padded[1, :, s : s + height, s : s + width] = pixels.flip(2)
        # a row of pixels may start at any pixel: a view with overlapping rows, [pixels − W + 1, W·C]
        windows = padded.view(-1).as_strided((padded[..., 0].numel() - width + 1, width * channels), (channels, 1))
        flip, top, left = draws["flip"].long(), draws["offset"][:, :1], draws["offset"][:, 1]
        left = torch.where(draws["flip"], 2 * s - left, left)
        image = (flip * count + torch.arange(count, device=images.device)).unsqueeze(1)
        starts = (image * rows + top + torch.arange(height, device=images.device)) * columns + left.unsqueeze(1)
        return windows.index_select(0, starts.flatten()).view(count, height, width, channels).permute(0, 3, 1, 2)

    def __call__(self, images: Tensor, draws: dict[str, Tensor], normalize: Callable[[Tensor], Tensor]) -> Tensor:
        if self.pad == "before":
            return normalize(self._move(images, draws))
        return self._move(normalize(images), draws)

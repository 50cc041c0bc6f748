"""Masks: a box."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from torch import Tensor

from mixexp.mix import Mask


def span(starts: Tensor, ends: Tensor, length: int) -> Tensor:
    """Which places of a line of this length lie from start on and before end, bool [B, length]; int [B] each."""
    places = torch.arange(length, device=starts.device)
    return (places >= starts.unsqueeze(1)) & (places < ends.unsqueeze(1))


def outside(rows: Tensor, columns: Tensor) -> Tensor:
    """Weights, float32 [B, 1, H, W]: 0 in the crossings of the rows, bool [B, H], and columns, bool [B, W]; else 1."""
    return (~(rows.unsqueeze(2) & columns.unsqueeze(1))).unsqueeze(1).float()


def clipped_boxes(centres: np.ndarray, sides: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Boxes around pixels, cut off at the image's border: int32 [n, 4] of first and end row, first and end column.

    centres, sides: int [n, 2] in pixels, vertical before horizontal. A box reaches from c − ⌊side/2⌋ to before
    c + ⌊side/2⌋, so that an odd side loses a pixel.
    """
    half = sides // 2
    edges = np.stack([centres - half, centres + half], axis=2)
    return np.clip(edges, 0, np.array(size)[:, None]).reshape(-1, 4).astype(np.int32)


class Box(Mask):
    """A box of the second image, with √(1 − lam) of the image's height and width (Yun et al. 2019, eq. 2 and code).

    inside: false, the centre is uniform over all pixels, and the border cuts the box off, so that a box is smaller than
    1 − lam on average (the paper's code, torchvision, timm, fastai); true, the whole box is inside the image, with
    uniform edges (Keras).
    rounding: of the sides to pixels: "down" (the paper's code, torchvision, timm) or "nearest" (fastai).
    Differs from the paper: its text has the centre uniform in real numbers and says nothing of the border.
    Differs from Keras: there edges are no whole pixels, and the label has their area; here it has the pixels'.
    """

    def __init__(self, inside: bool = False, rounding: Literal["down", "nearest"] = "down") -> None:
        self.inside, self.rounding = inside, rounding

    def draw(self, rng: np.random.Generator, lam: np.ndarray, size: tuple[int, int]) -> dict[str, np.ndarray]:
        sides = np.sqrt(1 - lam)[:, None] * size
        sides = np.floor(sides) if self.rounding == "down" else np.rint(sides)
        if not self.inside:
            centres = rng.integers(size, size=(len(lam), 2))
            return {"box": clipped_boxes(centres, sides.astype(np.int64), size)}
        starts = np.floor(rng.random((len(lam), 2)) * (size - sides + 1))
        return {"box": np.stack([starts, starts + sides], axis=2).reshape(-1, 4).astype(np.int32)}

    def weights(self, draws: dict[str, Tensor], size: tuple[int, int]) -> Tensor:
        top, bottom, left, right = draws["box"].unbind(1)
        return outside(span(top, bottom, size[0]), span(left, right, size[1]))

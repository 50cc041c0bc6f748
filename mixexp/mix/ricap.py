"""RICAP: crops of four images, one in each quadrant of an image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from mixexp import streams
from mixexp.mix import Blend, Label, Mix, Plan

PARTS = 4


class Quadrants(Blend):
    """Crops of four parts, float [B, C, H, W] each, patched together: upper left, upper right, lower left, lower right.

    split: int [B, 2], rows and columns of the upper left crop; start: int [B, 4, 2], first row and column of each crop
    in its own part.
    """

    kinds = ("image", "spectrogram")
    needs_plane = True
    input_only = "a crop is one of an image; mix=cutmix puts boxes of features together"

    def __init__(self, split: Tensor | None = None, start: Tensor | None = None) -> None:
        self.split, self.start = split, start

    def __call__(self, parts: Sequence[Tensor], weights: Sequence[Tensor]) -> Tensor:
        assert self.split is not None and self.start is not None, "of a batch"
        count, channels, height, width = parts[0].shape
        device = parts[0].device
        y, x = torch.arange(height, device=device).view(-1, 1), torch.arange(width, device=device)
        top, left = self.split.view(count, 2, 1, 1).unbind(1)
        lower, right = y >= top, x >= left
        part = 2 * lower + right.long()  # [B, H, W], the part that each pixel shows
        first_row, first_column = (
            starts.gather(1, part.flatten(1)).view_as(part) for starts in self.start.long().unbind(2)
        )
        row = y - torch.where(lower, top, 0) + first_row
        column = x - torch.where(right, left, 0) + first_column
        image = part * count + torch.arange(count, device=device).view(-1, 1, 1)
        # one gather of whole pixels
        pixels = torch.cat(list(parts)).permute(0, 2, 3, 1).reshape(-1, channels)
        index = (image * height + row) * width + column
        return pixels.index_select(0, index.flatten()).view(count, height, width, channels).permute(0, 3, 1, 2)


class Ricap(Mix):
    """Crops of four images in one (Takahashi et al. 2018): y = Σ_k W_k·y_k, W_k the area of the k-th crop.

    beta: the boundary's place is round(H·b) and round(W·b'), b and b' ~ Beta(beta, beta); per: unit for which the
    boundary and the crops' places are drawn: "batch", as the paper's code, or "sample".
    The three other images come from three permutations of the batch. An image whose partners are all itself stays as it
    is.
    Source: Takahashi, Matsubara, Uehara, ACML 2018, and jackryo/ricap: beta 0.3.
    Differs from the paper: the upper left image is the sample itself, not one of a fourth permutation, so that samples
    come in the order of the batch, which no mean of losses depends on.
    """

    blend = Quadrants()

    def __init__(self, beta: Annotated[float, Field(gt=0)], per: Literal["sample", "batch"], label: Label) -> None:
        self.beta, self.per, self.label = beta, per, label
        self.mixes_labels = label.mixes
        label.check(PARTS)
        self.size: tuple[int, int] | None = None

    def prepare(self, images: Tensor, labels: Tensor) -> None:
        self.size = (images.shape[2], images.shape[3])
        self.label.prepare(labels.bincount())

    def source_images(self, batch_size: int) -> int:
        return batch_size

    def draw(
        self, seed: int, epoch: int, order: np.ndarray, source_images: int, batch_size: int
    ) -> dict[str, np.ndarray]:
        assert self.size is not None, "prepare comes first"
        rows = len(order)
        unit = {"sample": 1, "batch": source_images}[self.per]
        rng, size = streams.generator(seed, "mask", epoch), np.array(self.size)
        split = np.rint(size * rng.beta(self.beta, self.beta, size=(-(-rows // unit), 2))).astype(np.int64)
        crops = np.stack([np.where([k // 2, k % 2], size - split, split) for k in range(PARTS)], axis=1)
        geometry = {"split": split, "start": rng.integers(size - crops + 1)}
        return {
            "order": streams.generator(seed, "pairing", epoch).random((rows, PARTS - 1), dtype=np.float32),
            **{name: np.repeat(values.astype(np.int32), unit, axis=0)[:rows] for name, values in geometry.items()},
        }

    def plan(self, labels: Tensor, draws: dict[str, Tensor]) -> Plan:
        assert self.size is not None, "prepare comes first"
        own = torch.arange(len(labels), device=labels.device)
        partners = draws["order"].argsort(dim=0, stable=True).unbind(1)
        alone = torch.stack([partner == own for partner in partners]).all(0)
        height, width = self.size
        top, left = draws["split"].unbind(1)
        top, left = torch.where(alone, height, top), torch.where(alone, width, left)
        areas = (top * left, top * (width - left), (height - top) * left, (height - top) * (width - left))
        # to the last bit, since a float32 holds every number of pixels
        weights = tuple(area.float() / (height * width) for area in areas)
        rows = (own, *partners)
        start = draws["start"].masked_fill(alone.view(-1, 1, 1), 0)
        blend = Quadrants(torch.stack([top, left], dim=1), start)
        return Plan(self.label([labels[part] for part in rows], weights), rows, weights, blend, whole=True)

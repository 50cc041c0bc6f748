"""RegMixup: mixup beside the images as they are."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from mixexp.mix import Blend, Label, Pairing, Plan, Ratio
from mixexp.mix.mixes import Pairs


class RegMixup(Pairs):
    """Every image twice in a batch, as it is and blended: mixup as a regulariser (Pinto et al. 2022).

    pairing, ratio, blend, label: those of the blends; alpha is large in the paper, so that lam is near 1/2.
    A batch of B samples has B/2 images, whose B/2 blends come behind them, and its loss is the mean over all B.
    Source: FrancescoPinto/RegMixup, whose batch size is the number of images.
    Differs from the code: nothing; its mean, too, is half the sum of the two parts' losses.
    """

    def __init__(self, pairing: Pairing, ratio: Ratio, blend: Blend, label: Label) -> None:
        super().__init__(pairing, ratio, blend, label)

    def source_images(self, batch_size: int) -> int:
        if batch_size % 2:
            raise ValueError(f"batch_size = {batch_size}: half of the samples are blended; take an even number")
        return batch_size // 2

    def draw(
        self, seed: int, epoch: int, order: np.ndarray, source_images: int, batch_size: int
    ) -> dict[str, np.ndarray]:
        return super().draw(seed, epoch, order, source_images, source_images)

    def density(self, lam: np.ndarray) -> np.ndarray | None:
        return None  # half of the weights are 1

    def plan(self, labels: Tensor, draws: dict[str, Tensor]) -> Plan:
        blends = super().plan(labels, draws)
        own, one = blends.rows[0], torch.ones_like(blends.weights[0])
        rows = tuple(torch.cat([own, part]) for part in blends.rows)
        weights = tuple(torch.cat(pair) for pair in zip((one, 1 - one), blends.weights, strict=True))
        return Plan(self.label([labels[part] for part in rows], weights), rows, weights, self.blend)

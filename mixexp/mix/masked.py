"""Blends of two samples by a mask: each pixel has a weight of its own, and the label has their mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from mixexp import streams
from mixexp.mix import Blend, Label, Mask, Mix, Pairing, Plan, Ratio


class Masked(Blend):
    """M⊙x₁ + (1 − M)⊙x₂ (Yun et al. 2019, eq. 1), computed in at least float32.

    mask: the rule of M; pixels: M of a batch, float32 [B, 1, H, W]; draws: the batch's geometry. At a hidden layer,
    float [B, C, h, w], M is averaged over the area of each of its pixels.
    """

    kinds = ("image", "spectrogram")
    needs_plane = True

    def __init__(self, mask: Mask, pixels: Tensor | None = None, draws: Mapping[str, Tensor] | None = None) -> None:
        self.mask, self.pixels, self.draws = mask, pixels, draws
        self.input_only = mask.input_only

    def __call__(self, parts: Sequence[Tensor], weights: Sequence[Tensor]) -> Tensor:
        assert self.pixels is not None and self.draws is not None, "of a batch"
        first, second = parts[0], self.mask.pasted(parts[1], dict(self.draws))
        dtype = torch.promote_types(first.dtype, self.pixels.dtype)
        pixels = self.pixels
        if first.shape[2:] != pixels.shape[2:]:
            pixels = F.adaptive_avg_pool2d(pixels, (first.shape[2], first.shape[3]))
        return torch.lerp(second.to(dtype), first.to(dtype), pixels.to(dtype))


class MaskedPairs(Mix):
    """Blends of two samples, composed of five independent parts: pairing, ratio, mask, label and probability.

    The ratio's lam is the nominal weight of the first sample, from which the mask draws its geometry. The weight of the
    first label is the mean of the mask's pixels, w, and that of the second 1 − w: after clipping at the image's border
    and rounding to pixels, w and lam differ.
    p: probability that a unit of the ratio (a batch or a sample) is mixed. Masks and the decisions to mix are drawn on
    the host, once per unit. A sample that is its own partner stays unmixed.
    """

    mixes_labels: bool

    def __init__(
        self, pairing: Pairing, ratio: Ratio, mask: Mask, label: Label, p: Annotated[float, Field(ge=0, le=1)] = 1.0
    ) -> None:
        if type(ratio).of_classes is not Ratio.of_classes:
            raise ValueError(
                f"mix.ratio: {type(ratio).__name__} depends on the classes of a pair, which is known after its mask is"
                " drawn; a blend can have it, as in mix=unimix"
            )
        label.check(2)
        self.pairing, self.ratio, self.mask, self.label, self.p = pairing, ratio, mask, label, p
        self.blend = Masked(mask)
        self.mixes_labels, self.external = label.mixes, pairing.external
        self.size: tuple[int, int] | None = None

    def check(self, counts: np.ndarray) -> None:
        self.pairing.check(counts)

    def prepare(self, images: Tensor, labels: Tensor) -> None:
        self.pairing.prepare(images, labels)
        self.mask.prepare(images)
        self.label.prepare(labels.bincount())
        self.size = (images.shape[2], images.shape[3])

    def source_images(self, batch_size: int) -> int:
        return batch_size

    def draw(
        self, seed: int, epoch: int, order: np.ndarray, source_images: int, batch_size: int
    ) -> dict[str, np.ndarray]:
        assert self.size is not None, "prepare comes first"
        rows = len(order)
        draws = self.pairing.draw_for(streams.generator(seed, "pairing", epoch), order, 1)
        lam = self.ratio.draw(streams.generator(seed, "ratio", epoch), rows, source_images, 1)[:, 0]
        unit = {"sample": 1, "batch": source_images, "epoch": rows}[self.ratio.per]
        lam = lam[::unit].astype(np.float64)
        mixed = streams.generator(seed, "mixed", epoch).random(len(lam)) < self.p
        geometry = self.mask.draw(streams.generator(seed, "mask", epoch), np.where(mixed, lam, 1.0), self.size)
        geometry = {name: np.repeat(values, unit, axis=0)[:rows] for name, values in geometry.items()}
        return {**draws, **geometry, **self.mask.of_images(draws["external"] if self.external else order)}

    def plan(self, labels: Tensor, draws: dict[str, Tensor]) -> Plan:
        assert self.size is not None, "prepare comes first"
        second = self.pairing.partners(labels, draws, 1).flatten()
        first = torch.arange(len(second), device=labels.device)
        if not self.external:
            draws = draws | {name: draws[name].index_select(0, second) for name in self.mask.numbers}
        pixels = self.mask.weights(draws, self.size)
        pixels = torch.where((first == second).view(-1, 1, 1, 1), 1.0, pixels)
        # a sum of zeros and ones is exact, and so is its quotient by their number to the last bit
        weight = pixels.sum((1, 2, 3)) / (self.size[0] * self.size[1])
        rows, weights = (first, second), (weight, 1 - weight)
        record = self.label([labels[part] for part in rows], weights)
        return Plan(record, rows, weights, Masked(self.mask, pixels, draws), whole=not self.external)

"""Labels of a blend: mixed, the first sample's, the nearest sample's, or mixed in favour of small classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from mixexp.labels import MixedLabels
from mixexp.mix import Label


class MixedLabel(Label):
    """Labels blended with the same weights as the samples (Zhang et al. 2018, eq. 1)."""

    mixes = True

    def __call__(self, labels: Sequence[Tensor], weights: Sequence[Tensor]) -> MixedLabels:
        return MixedLabels(tuple(labels), tuple(weights))


class FirstLabel(Label):
    """The first sample's label alone (small_data_mixup's data-mix)."""

    mixes = False

    def __call__(self, labels: Sequence[Tensor], weights: Sequence[Tensor]) -> MixedLabels:
        return MixedLabels((labels[0],))


class NearestLabel(Label):
    """The label of the sample with the largest weight, the nearest to a linear blend; the first of equal weights.

    Source: Zhang et al. 2018, table 5, "mix inputs only"; Tokozume et al. 2018, label ablation, "single".
    Differs from the paper: nothing.
    """

    mixes = False

    def __call__(self, labels: Sequence[Tensor], weights: Sequence[Tensor]) -> MixedLabels:
        largest = torch.stack(tuple(weights)).argmax(0, keepdim=True)
        return MixedLabels((torch.stack(tuple(labels)).gather(0, largest).squeeze(0),))


class Remix(Label):
    """Mixed labels that leave out the larger of two classes (Chou et al. 2020, eq. 10).

    For classes of n_i and n_j training images and the weight w of the first sample, the weight of its label is 0 if
    n_i/n_j ≥ kappa and w < tau, 1 if n_j/n_i ≥ kappa and 1 − w < tau, and w otherwise.
    kappa: 3 in the paper; tau: 0.5 in the paper, where 0 leaves labels as mixup's.
    Differs from the paper: nothing.
    """

    mixes = True

    def __init__(
        self, kappa: Annotated[float, Field(ge=1)] = 3.0, tau: Annotated[float, Field(ge=0, le=1)] = 0.5
    ) -> None:
        self.kappa, self.tau = kappa, tau
        self.counts: Tensor | None = None

    def check(self, parts: int) -> None:
        if parts != 2:
            raise ValueError(f"mix.label: Remix compares two classes, and these blends have {parts}; take MixedLabel")

    def prepare(self, counts: Tensor) -> None:
        self.counts = counts.float()

    def __call__(self, labels: Sequence[Tensor], weights: Sequence[Tensor]) -> MixedLabels:
        assert self.counts is not None, "prepare comes first"
        first, second = (self.counts[part] for part in labels)
        lam = weights[0].masked_fill((first / second >= self.kappa) & (weights[0] < self.tau), 0.0)
        lam = lam.masked_fill((second / first >= self.kappa) & (weights[1] < self.tau), 1.0)
        return MixedLabels(tuple(labels), (lam, 1 - lam))

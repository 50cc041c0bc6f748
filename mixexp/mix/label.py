"""Labels of a blend: mixed, the first sample's, or the nearest sample's."""

from __future__ import annotations

from collections.abc import Sequence

import torch
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

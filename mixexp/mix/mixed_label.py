from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from mixexp.mix import Label
from mixexp.mixed import Mixed


class MixedLabel(Label):
    """Labels blended with the same weights as the samples (Zhang et al. 2018, eq. 1)."""

    mixes = True

    def __call__(self, labels: Sequence[Tensor], weights: Sequence[Tensor]) -> Mixed:
        return Mixed(tuple(labels), tuple(weights))

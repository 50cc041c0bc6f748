from __future__ import annotations

from torch import Tensor

from mixexp.mix import Label
from mixexp.mixed import Mixed


class MixedLabel(Label):
    """Labels blended with the same weight as the samples (Zhang et al. 2018, eq. 1)."""

    mixes = True

    def __call__(self, first: Tensor, second: Tensor, lam: Tensor) -> Mixed:
        return Mixed(first, second, lam)

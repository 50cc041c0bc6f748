from __future__ import annotations

from torch import Tensor

from mixexp.mix import Label
from mixexp.mixed import Mixed


class FirstLabel(Label):
    """The first sample's label alone (article d's data-mix)."""

    mixes = False

    def __call__(self, first: Tensor, second: Tensor, lam: Tensor) -> Mixed:
        return Mixed(first)

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from mixexp.mix import Label
from mixexp.mixed import Mixed


class FirstLabel(Label):
    """The first sample's label alone (article d's data-mix)."""

    mixes = False

    def __call__(self, labels: Sequence[Tensor], weights: Sequence[Tensor]) -> Mixed:
        return Mixed((labels[0],))

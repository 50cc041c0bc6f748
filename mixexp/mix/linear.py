from __future__ import annotations

from torch import Tensor

from mixexp.mix import Blend


class Linear(Blend):
    """lam·first + (1 − lam)·second (Zhang et al. 2018, eq. 1), computed in float32 at least."""

    def __call__(self, first: Tensor, second: Tensor, lam: Tensor) -> Tensor:
        lam = lam.view(-1, *[1] * (first.dim() - 1))
        return lam * first + (1 - lam) * second

from __future__ import annotations

import torch
from torch import Tensor

from mixexp.mix import Blend


class Linear(Blend):
    """lam·first + (1 − lam)·second (Zhang et al. 2018, eq. 1), computed in float32 at least."""

    def __call__(self, first: Tensor, second: Tensor, lam: Tensor) -> Tensor:
        dtype = torch.promote_types(first.dtype, lam.dtype)
        weight = lam.to(dtype).view(-1, *[1] * (first.dim() - 1))
        return torch.lerp(second.to(dtype), first.to(dtype), weight)

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mixexp.mix import Blend, like


class Linear(Blend):
    """Σ_k w_k·x_k (Zhang et al. 2018, eq. 1, for two: λ·x₁ + (1 − λ)·x₂), computed in float32 at least."""

    def __call__(self, parts: Sequence[Tensor], weights: Sequence[Tensor]) -> Tensor:
        dtype = torch.promote_types(parts[0].dtype, weights[0].dtype)
        if len(parts) == 2:  # one pass, and exact where the two are the same
            return torch.lerp(parts[1].to(dtype), parts[0].to(dtype), like(weights[0].to(dtype), parts[0]))
        return sum(like(w.to(dtype), x) * x.to(dtype) for x, w in zip(parts, weights, strict=True))

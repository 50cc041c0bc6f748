from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def class_weights(weights: str | list[float], counts: np.ndarray) -> Tensor | None:
    """Weights per class, float32 [C]: None for "none", N/(C·n_c) for "balanced" (King & Zeng 2001), or the list as given.

    counts: training images per class, int64 [C]. Raises ValueError for a list of another length or of zeros, and for a class without images.
    """
    if weights == "none":
        return None
    if weights == "balanced":
        if counts.min() == 0:
            raise ValueError(f"loss.class_weights = balanced: class {counts.argmin()} has no training image")
        return torch.tensor(counts.sum() / (len(counts) * counts), dtype=torch.float32)
    if len(weights) != len(counts):
        raise ValueError(f"loss.class_weights: {len(weights)} weights for {len(counts)} classes")
    if not any(weights):
        raise ValueError(f"loss.class_weights = {weights}: at least one weight must be above 0")
    return torch.tensor(weights, dtype=torch.float32)

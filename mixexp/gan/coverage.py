from __future__ import annotations

import torch
from torch import Tensor

NEAR = 3
"""Standard deviations of a mode within which a sample is of high quality."""


def coverage(samples: Tensor, centres: Tensor, spread: float) -> tuple[int, float]:
    """Modes that are covered, and the fraction of samples of high quality (Srivastava et al. 2017, section 4.1).

    A sample is of high quality where the nearest centre is at most three standard deviations away (of a mode's own points 98.9 %
    are, in two dimensions); a mode is covered where it is nearest to such a sample. samples, float32 [N, F]; centres, float32 [M, F].
    """
    distance, nearest = torch.cdist(samples, centres, compute_mode="donot_use_mm_for_euclid_dist").min(dim=1)
    good = distance <= NEAR * spread
    return len(nearest[good].unique()), good.sum().item() / len(samples)

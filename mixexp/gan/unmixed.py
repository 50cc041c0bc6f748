from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from mixexp.gan import Discriminator, Objective, cross_entropy


class Unmixed(Objective):
    """½·E[l(d(x), 1) + l(d(g(z)), 0)] with l the binary cross-entropy: Goodfellow et al. 2014, eq. 1, negated and halved.

    The limit α → 0 of the mixed objectives, where λ is 1 or 0; the mean over both halves, as the mixup paper's code has it.
    Differs from the paper: halved, which changes nothing under Adam but eps.
    """

    def draw(self, rng: np.random.Generator, batch: int) -> dict[str, np.ndarray]:
        return {}

    def loss(self, discriminator: Discriminator, real: Tensor, generated: Tensor, draws: dict[str, Tensor]) -> Tensor:
        labels = torch.cat([torch.ones_like(real[:, :1]), torch.zeros_like(generated[:, :1])])
        return cross_entropy(discriminator, torch.cat([real, generated]), labels)

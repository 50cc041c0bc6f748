from __future__ import annotations

import numpy as np
from torch import Tensor

from mixexp.gan import Discriminator, Objective, cross_entropy
from mixexp.mix import Ratio


class RealWithGenerated(Objective):
    """E[l(d(λ·x + (1 − λ)·g(z)), λ)] with l the binary cross-entropy: Zhang et al. 2018, section 3.7.

    Each real sample is blended with a generated one, λ drawn for each pair. Differs from the paper: nothing.
    """

    def __init__(self, ratio: Ratio) -> None:
        self.ratio = ratio

    def draw(self, rng: np.random.Generator, batch: int) -> dict[str, np.ndarray]:
        return {"lam": self.ratio.draw(rng, batch, batch, 1)}

    def loss(self, discriminator: Discriminator, real: Tensor, generated: Tensor, draws: dict[str, Tensor]) -> Tensor:
        lam = draws["lam"]
        return cross_entropy(discriminator, lam * real + (1 - lam) * generated, lam)

"""Objectives of a game: the loss on real and generated samples, or on blends of them."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from mixexp.gan import Discriminator, Objective, cross_entropy
from mixexp.mix import Ratio


class Unmixed(Objective):
    """½·E[l(d(x), 1) + l(d(g(z)), 0)], l the binary cross-entropy: half of −(Goodfellow et al. 2014, eq. 1).

    It is the limit α → 0 of the mixed objectives, where λ is 1 or 0, and the mean over both halves, as in the mixup
    paper's code.
    Differs from the paper: halved, which under Adam changes only the effect of eps.
    """

    def draw(self, rng: np.random.Generator, batch: int) -> dict[str, np.ndarray]:
        return {}

    def loss(self, discriminator: Discriminator, real: Tensor, generated: Tensor, draws: dict[str, Tensor]) -> Tensor:
        labels = torch.cat([torch.ones_like(real[:, :1]), torch.zeros_like(generated[:, :1])])
        return cross_entropy(discriminator, torch.cat([real, generated]), labels)


class RealWithGenerated(Objective):
    """E[l(d(λ·x + (1 − λ)·g(z)), λ)], l the binary cross-entropy (Zhang et al. 2018, section 3.7).

    Each real sample is blended with a generated one, with its own λ.
    Differs from the paper: nothing.
    """

    def __init__(self, ratio: Ratio) -> None:
        self.ratio = ratio

    def draw(self, rng: np.random.Generator, batch: int) -> dict[str, np.ndarray]:
        return {"lam": self.ratio.draw(rng, batch, batch, 1)}

    def loss(self, discriminator: Discriminator, real: Tensor, generated: Tensor, draws: dict[str, Tensor]) -> Tensor:
        lam = draws["lam"]
        return cross_entropy(discriminator, lam * real + (1 - lam) * generated, lam)


class Shuffled(Objective):
    """E[l(d(λ·a + (1 − λ)·b), λ·r_a + (1 − λ)·r_b)], a and b real (r = 1) or generated (r = 0): the mixup paper's code.

    Two batches, each of B real and B generated samples, are blended pair by pair in random order, so that half of the
    pairs are of one kind.
    Differs from the code (hongyi-zhang/mixup, gan/example_gan.py): one of the batches is shuffled instead of both,
    which gives the same distribution of pairs.
    """

    batches = 2

    def __init__(self, ratio: Ratio) -> None:
        self.ratio = ratio

    def draw(self, rng: np.random.Generator, batch: int) -> dict[str, np.ndarray]:
        return {"partners": rng.permutation(2 * batch), "lam": self.ratio.draw(rng, 2 * batch, 2 * batch, 1)}

    def loss(self, discriminator: Discriminator, real: Tensor, generated: Tensor, draws: dict[str, Tensor]) -> Tensor:
        labels = torch.cat(
            [torch.ones_like(real[: len(real) // 2, :1]), torch.zeros_like(generated[: len(generated) // 2, :1])]
        )
        first, second = (torch.cat(halves) for halves in zip(real.chunk(2), generated.chunk(2), strict=True))
        lam, partners = draws["lam"], draws["partners"]
        samples = lam * first + (1 - lam) * second.index_select(0, partners)
        return cross_entropy(discriminator, samples, lam * labels + (1 - lam) * labels.index_select(0, partners))

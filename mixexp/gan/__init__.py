"""Contract of the gan group: the loss that a discriminator minimises and a generator maximises.

A game of two networks is not a classification: mixexp.gan.play trains a run with an option of this group.
"""

from __future__ import annotations

import abc
from collections.abc import Callable

import numpy as np
from torch import Tensor
from torch.nn import functional as F

Discriminator = Callable[[Tensor], Tensor]
"""Function from samples, float32 [N, features], to the logits of being real, float32 [N, 1]."""


class Objective(abc.ABC):
    """A binary cross-entropy of the discriminator's outputs on real and generated samples."""

    batches: int = 1
    """Number of real batches, and of generated batches, in one loss."""

    @abc.abstractmethod
    def draw(self, rng: np.random.Generator, batch: int) -> dict[str, np.ndarray]:
        """Random numbers of one loss besides its samples: name → array; batch: samples in a batch."""

    @abc.abstractmethod
    def loss(self, discriminator: Discriminator, real: Tensor, generated: Tensor, draws: dict[str, Tensor]) -> Tensor:
        """Mean loss, float32 [], of real and generated samples, float32 [batches · B, features] each."""


def cross_entropy(discriminator: Discriminator, samples: Tensor, real: Tensor) -> Tensor:
    """Mean of −r·log σ(d(x)) − (1 − r)·log(1 − σ(d(x))) over samples x, float32 [N, features].

    real: r, the real fraction of each sample, float32 [N, 1].
    """
    return F.binary_cross_entropy_with_logits(discriminator(samples), real)

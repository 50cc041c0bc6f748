"""Contract of the gan group: the loss that a discriminator lowers and a generator raises.

A game of two networks is no classification: a run with an option of this group is trained by mixexp.gan.play.
"""

from __future__ import annotations

import abc
from collections.abc import Callable

import numpy as np
from torch import Tensor
from torch.nn import functional as F

Discriminator = Callable[[Tensor], Tensor]
"""From samples, float32 [N, features], to the logits of being real, float32 [N, 1]."""


class Objective(abc.ABC):
    """A binary cross-entropy of what the discriminator says of real and generated samples."""

    batches: int = 1
    """Batches of each, real and generated, that one loss takes."""

    @abc.abstractmethod
    def draw(self, rng: np.random.Generator, batch: int) -> dict[str, np.ndarray]:
        """Random numbers of one loss beside its samples: name → array; batch: the samples in a batch."""

    @abc.abstractmethod
    def loss(self, discriminator: Discriminator, real: Tensor, generated: Tensor, draws: dict[str, Tensor]) -> Tensor:
        """The mean loss, float32 [], of real and generated samples, float32 [batches · B, features] each."""


def cross_entropy(discriminator: Discriminator, samples: Tensor, real: Tensor) -> Tensor:
    """Mean of −r·log σ(d(x)) − (1 − r)·log(1 − σ(d(x))) over samples x, float32 [N, features], that are real to a part
    r, float32 [N, 1]."""
    return F.binary_cross_entropy_with_logits(discriminator(samples), real)

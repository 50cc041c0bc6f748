"""Contract of the sampling group: which training images an epoch visits, and in which order."""

from __future__ import annotations

import abc

import numpy as np


class Sampling(abc.ABC):
    """Turns the training labels into one epoch's order."""

    equalises_classes: bool = False
    """Whether an epoch holds as many images of every class, which makes class weights a second correction of the same thing."""

    repeats: bool = False
    """Whether an epoch can hold an image more than once."""

    @abc.abstractmethod
    def epoch_size(self, counts: np.ndarray) -> int:
        """Images in an epoch, from the class counts, int64 [C]."""

    @abc.abstractmethod
    def order(self, labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """One epoch's indices, int64 [epoch_size], into labels, int64 [N]."""

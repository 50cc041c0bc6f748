"""Contract and options of the sampling group: the training images that an epoch visits, and their order."""

from __future__ import annotations

import abc
from typing import Literal

import numpy as np


class Sampling(abc.ABC):
    """A rule for the order of one epoch, from the training labels."""

    equalises_classes: bool = False
    """True: an epoch holds equally many images of every class, so that class weights would correct a second time."""

    repeats: bool = False
    """True: an epoch can hold an image more than once."""

    @abc.abstractmethod
    def epoch_size(self, counts: np.ndarray) -> int:
        """Number of images in an epoch, from the class counts, int64 [C]."""

    @abc.abstractmethod
    def order(self, labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Indices of one epoch, int64 [epoch_size], into labels, int64 [N]."""


class Natural(Sampling):
    """Every image once per epoch, in a new random order."""

    def epoch_size(self, counts: np.ndarray) -> int:
        return int(counts.sum())

    def order(self, labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return rng.permutation(len(labels))


class BalancedSampling(Sampling):
    """Equally many images of every class in an epoch: as many as the largest or as the smallest class has.

    to: "largest" (oversampling) visits every image floor(largest/n_c) times and draws the rest without replacement;
    "smallest" (undersampling) draws a new part of the larger classes in each epoch.
    Empty classes are left out.
    """

    equalises_classes = True

    def __init__(self, to: Literal["largest", "smallest"]) -> None:
        self.to = to
        self.repeats = to == "largest"

    def _per_class(self, counts: np.ndarray) -> int:
        present = counts[counts > 0]
        return int(present.max() if self.to == "largest" else present.min())

    def epoch_size(self, counts: np.ndarray) -> int:
        return self._per_class(counts) * int((counts > 0).sum())

    def order(self, labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        counts = np.bincount(labels)
        per_class = self._per_class(counts)
        parts = []
        for c in np.flatnonzero(counts):
            whole, rest = divmod(per_class, int(counts[c]))
            members = np.flatnonzero(labels == c)
            parts += [np.tile(members, whole), rng.choice(members, rest, replace=False)]
        return rng.permutation(np.concatenate(parts))

"""Contract and options of the sampling group: which training images an epoch visits, and in which order."""

from __future__ import annotations

import abc
from typing import Literal

import numpy as np


class Sampling(abc.ABC):
    """Turns the training labels into one epoch's order."""

    equalises_classes: bool = False
    """Whether an epoch holds as many images of every class, which makes class weights a second correction of the same
    thing."""

    repeats: bool = False
    """Whether an epoch can hold an image more than once."""

    @abc.abstractmethod
    def epoch_size(self, counts: np.ndarray) -> int:
        """Images in an epoch, from the class counts, int64 [C]."""

    @abc.abstractmethod
    def order(self, labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """One epoch's indices, int64 [epoch_size], into labels, int64 [N]."""


class Natural(Sampling):
    """Every image once an epoch, in a fresh random order."""

    def epoch_size(self, counts: np.ndarray) -> int:
        return int(counts.sum())

    def order(self, labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return rng.permutation(len(labels))


class BalancedSampling(Sampling):
    """As many images of every class an epoch: as many as the largest class has, or as the smallest has.

    Up to the largest (oversampling), every image is visited floor(largest/n_c) times and the rest drawn without
    replacement; down to the smallest (undersampling), a fresh part of the larger classes is drawn each epoch. Empty
    classes are left out.
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

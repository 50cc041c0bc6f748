"""Contract and options of the sampling group: the training images that an epoch visits, and their order."""

from __future__ import annotations

import abc
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from mixexp.phases import change, require_change


class Sampling(abc.ABC):
    """A rule for the order of one epoch, from the training labels."""

    equalises_classes: bool = False
    """True: an epoch makes up for class sizes, so that class weights would correct a second time."""

    repeats: bool = False
    """True: an epoch can hold an image more than once."""

    def at(self, epoch: int, epochs: float) -> Sampling:
        """The rule of an epoch, counted from 0, of a run of `epochs`: itself, unless it changes during a run."""
        return self

    def check_budget(self, epochs: float) -> None:  # noqa: B027  most go with any budget
        """Raise ValueError if a setting has no effect in a run of this many epochs."""

    @abc.abstractmethod
    def epoch_size(self, counts: np.ndarray) -> int:
        """Number of images in an epoch, from the class counts, int64 [C]; ValueError if epochs would differ in it."""

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


class WeightedSampling(Sampling):
    """As many images as there are, drawn with replacement: class c with probability n_c^q / Σ_k n_k^q.

    Source: Kang et al. 2020, eq. 1, where q = 1 is instance-balanced, 0 class-balanced and 1/2 square-root sampling.
    An epoch may lack an image or a small class.
    Differs from the paper: nothing.
    """

    repeats = True

    def __init__(self, q: Annotated[float, Field(ge=0, le=1)]) -> None:
        self.q = q
        self.equalises_classes = q < 1

    def epoch_size(self, counts: np.ndarray) -> int:
        return int(counts.sum())

    def order(self, labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        by_class, counts = labels.argsort(kind="stable"), np.bincount(labels)
        shares = np.where(counts > 0, np.maximum(counts, 1.0) ** self.q, 0.0)
        drawn = rng.choice(len(counts), size=len(labels), p=shares / shares.sum())
        return by_class[counts.cumsum()[drawn] - 1 - rng.integers(counts[drawn])]


class Deferred(Sampling):
    """Another sampling in the last part of a run: deferred re-sampling (Cao et al. 2019, DRS in its code).

    first, then: the two samplings; after: the fraction of the epochs that the first one has, 160 / 200 in the source.
    The change is at the beginning of an epoch.
    Differs from the paper: nothing.
    """

    def __init__(self, first: Sampling, then: Sampling, after: Annotated[float, Field(gt=0, lt=1)]) -> None:
        self.first, self.then, self.after = first, then, after
        self.equalises_classes = first.equalises_classes or then.equalises_classes
        self.repeats = first.repeats or then.repeats

    def at(self, epoch: int, epochs: float) -> Sampling:
        return (self.first if epoch < change(self.after, epochs) else self.then).at(epoch, epochs)

    def check_budget(self, epochs: float) -> None:
        require_change("sampling.after", self.after, epochs)
        for part in (self.first, self.then):
            part.check_budget(epochs)

    def epoch_size(self, counts: np.ndarray) -> int:
        first, then = self.first.epoch_size(counts), self.then.epoch_size(counts)
        if first != then:
            raise ValueError(
                f"sampling: epochs of {first} images first and of {then} then; both need one size, as those of"
                " mixexp.sampling.Natural and WeightedSampling have"
            )
        return first

    def order(self, labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return self.first.order(labels, rng)

"""Contract and options of the imbalance group: the number of images that each class keeps, and which."""

from __future__ import annotations

import abc
from collections.abc import Sequence
from typing import Annotated, Literal

import numpy as np
from pydantic import Field


def drawn(members: Sequence[np.ndarray], keep: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
    """keep[c] of the rows of each class c, drawn without replacement; members: rising rows of each class, int64."""
    return [rng.choice(rows, k, replace=False) for rows, k in zip(members, keep, strict=True)]


def first(members: Sequence[np.ndarray], keep: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
    """The first keep[c] rows of each class c, whatever the generator."""
    return [rows[:k] for rows, k in zip(members, keep, strict=True)]


def cao2019(members: Sequence[np.ndarray], keep: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
    """The rows of each class c that LDAM-DRW keeps: its first keep[c] after a shuffle, whatever the generator.

    One generator with seed 0 shuffles the classes in order, as kaidic/LDAM-DRW and the codes after it do. NumPy keeps
    the numbers of RandomState in all its versions.
    """
    shuffler, shuffled = np.random.RandomState(0), [rows.copy() for rows in members]
    for rows in shuffled:
        shuffler.shuffle(rows)
    return first(shuffled, keep, rng)


PICKS = {"drawn": drawn, "first": first, "cao2019": cao2019}


def cut(labels: np.ndarray, keep: np.ndarray, rng: np.random.Generator, which: str = "drawn") -> np.ndarray:
    """Sorted indices, int64, into labels, int64 [N], of keep[c] images of every class c; which: a name of PICKS."""
    members = [np.flatnonzero(labels == c) for c in range(len(keep))]
    return np.sort(np.concatenate(PICKS[which](members, keep, rng)))


class Imbalance(abc.ABC):
    """A reduction of classes to fewer images."""

    which: Literal["drawn", "first", "cao2019"] = "drawn"
    """The images that stay: drawn by data_seed, or the same whatever the data_seed."""

    @abc.abstractmethod
    def keep_counts(
        self, train_counts: np.ndarray, test_counts: np.ndarray, train_per_test: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """Images to keep of each class in the training and the test set, int64 [C] each.

        train_per_test: ratio of the data set's official sizes (6 for MNIST, 5 for CIFAR-10). Raises ValueError if a
        class cannot be reduced as asked.
        """


class NoImbalance(Imbalance):
    """Classes as the data set and the subset have them."""

    def keep_counts(
        self, train_counts: np.ndarray, test_counts: np.ndarray, train_per_test: float
    ) -> tuple[np.ndarray, np.ndarray]:
        return train_counts, test_counts


class MinorityClasses(Imbalance):
    """Chosen classes cut to n images each in the test set and train_per_test·n in the training set (koshian2_affinity).

    n: test images of a minority class; classes: the minority classes, by default the even ones; reduce_test: false
    keeps the whole test set; which: the images that stay, drawn by data_seed, or the first of each class in the
    official order, the same in every trial, as in the article's code.
    Differs from the paper: nothing with which = first.
    """

    added = ("which",)

    def __init__(
        self,
        n: Annotated[int, Field(gt=0)],
        classes: list[Annotated[int, Field(ge=0)]] | None = None,
        reduce_test: bool = True,
        which: Literal["drawn", "first"] = "drawn",
    ) -> None:
        self.n, self.classes, self.reduce_test = n, classes, reduce_test
        self.which = which

    def keep_counts(
        self, train_counts: np.ndarray, test_counts: np.ndarray, train_per_test: float
    ) -> tuple[np.ndarray, np.ndarray]:
        num_classes = len(train_counts)
        chosen = list(range(0, num_classes, 2)) if self.classes is None else self.classes
        unknown = [c for c in chosen if c >= num_classes]
        if unknown or len(set(chosen)) < len(chosen) or not chosen:
            raise ValueError(
                f"imbalance.classes = {chosen}: distinct class numbers from 0 to {num_classes - 1} are needed"
            )
        train, test = train_counts.copy(), test_counts.copy()
        train[chosen] = round(self.n * train_per_test)
        if self.reduce_test:
            test[chosen] = self.n
        for name, keep, have in (("training", train, train_counts), ("test", test, test_counts)):
            impossible = np.flatnonzero((keep > have) | (keep == 0))
            if len(impossible):
                c = impossible[(have - keep)[impossible].argmin()]
                raise ValueError(
                    f"imbalance.n = {self.n}: class {c} would need {max(1, keep[c])} {name} images and has {have[c]}"
                )
        return train, test


class LongTail(Imbalance):
    """Long-tailed training set with the largest class `ratio` times the smallest (Cui et al. 2019; Cao et al. 2019).

    shape: exponential, n_c = n_max·ratio^(−c/(C−1)); step, the last half of the classes has n_max/ratio; ratio: size of
    the largest class over that of the smallest; which: the images that stay, drawn by data_seed, or cao2019, those of
    kaidic/LDAM-DRW, to which published results on CIFAR-LT refer, the same in every trial.
    n_max is the smallest class's count before the reduction, so that every class can follow the profile. Counts are
    rounded down, to at least 1. The test set stays whole.
    Differs from the paper: there n_max is N/C, which is the same where all classes are equal, as in CIFAR; its
    imbalance factor is sometimes written as 1/ratio. With cao2019, the images are the code's, but not their order.
    """

    added = ("which",)

    def __init__(
        self,
        shape: Literal["exponential", "step"],
        ratio: Annotated[float, Field(ge=1)],
        which: Literal["drawn", "cao2019"] = "drawn",
    ) -> None:
        self.shape, self.ratio, self.which = shape, ratio, which

    def keep_counts(
        self, train_counts: np.ndarray, test_counts: np.ndarray, train_per_test: float
    ) -> tuple[np.ndarray, np.ndarray]:
        num_classes, largest = len(train_counts), int(train_counts.min())
        if largest == 0:
            raise ValueError(
                f"imbalance.shape = {self.shape}: class {train_counts.argmin()} has no training image, and the profile"
                " gives every class some; take more images"
            )
        if largest < self.ratio:
            raise ValueError(
                f"imbalance.ratio = {self.ratio}: the smallest class has {largest} images, so the ratio can be at most"
                f" {largest}"
            )
        ranks = np.arange(num_classes)
        if self.shape == "exponential":
            exponent = ranks / max(1, num_classes - 1)
        else:
            exponent = (ranks >= num_classes // 2).astype(float)
        # 1e-9 keeps an exact quotient such as 5000/100 from falling to 49 by a rounding error
        keep = np.maximum(1, np.floor(largest * self.ratio**-exponent + 1e-9)).astype(np.int64)
        return keep, test_counts

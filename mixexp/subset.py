"""Contract and options of the subset group: the training images that a run starts from."""

from __future__ import annotations

import abc
from typing import Annotated

import numpy as np
from pydantic import Field


class Subset(abc.ABC):
    """A selection of training images; the test set is never touched."""

    @abc.abstractmethod
    def select(self, labels: np.ndarray, num_classes: int, rng: np.random.Generator) -> np.ndarray:
        """Indices, int64 [n], into labels, int64 [N]; raises ValueError if there are too few images."""


class Full(Subset):
    """The whole training set in its official order."""

    def select(self, labels: np.ndarray, num_classes: int, rng: np.random.Generator) -> np.ndarray:
        return np.arange(len(labels))


class Head(Subset):
    """The first n training images in the official order, of uneven classes (as small_data_mixup cut its CSV file)."""

    def __init__(self, n: Annotated[int, Field(gt=0)]) -> None:
        self.n = n

    def select(self, labels: np.ndarray, num_classes: int, rng: np.random.Generator) -> np.ndarray:
        if self.n > len(labels):
            raise ValueError(f"subset.n = {self.n}: the training set has {len(labels)} images")
        return np.arange(self.n)


class Balanced(Subset):
    """n / C images of every class, drawn without replacement by data_seed, in the official order."""

    def __init__(self, n: Annotated[int, Field(gt=0)]) -> None:
        self.n = n

    def select(self, labels: np.ndarray, num_classes: int, rng: np.random.Generator) -> np.ndarray:
        if self.n % num_classes:
            raise ValueError(
                f"subset.n = {self.n}: a balanced subset of {num_classes} classes needs a multiple of {num_classes}"
            )
        per_class = self.n // num_classes
        counts = np.bincount(labels, minlength=num_classes)
        if per_class > counts.min():
            raise ValueError(
                f"subset.n = {self.n}: needs {per_class} images of every class, but class {counts.argmin()} has"
                f" {counts.min()}"
            )
        chosen = [rng.choice(np.flatnonzero(labels == c), per_class, replace=False) for c in range(num_classes)]
        return np.sort(np.concatenate(chosen))

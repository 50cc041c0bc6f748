"""Contract and options of the label_noise group: wrong labels in the training set; test and validation labels stay
true."""

from __future__ import annotations

import abc
from typing import Annotated, Literal

import numpy as np
from pydantic import Field


class LabelNoise(abc.ABC):
    """Replaces training labels."""

    @abc.abstractmethod
    def corrupt(self, labels: np.ndarray, num_classes: int, rng: np.random.Generator) -> np.ndarray:
        """New labels, int64 [N], from true ones, int64 [N]."""


class NoNoise(LabelNoise):
    """Labels as they are."""

    def corrupt(self, labels: np.ndarray, num_classes: int, rng: np.random.Generator) -> np.ndarray:
        return labels


class Uniform(LabelNoise):
    """Each label is redrawn uniformly with probability rate (Zhang et al. 2018, section 3.4).

    among "all": from all C classes, the true one included, so a fraction rate·(C−1)/C really changes (the paper's
    code); among "others": from the C−1 wrong ones, so a fraction rate changes.
    """

    def __init__(self, rate: Annotated[float, Field(gt=0, le=1)], among: Literal["all", "others"] = "all") -> None:
        self.rate, self.among = rate, among

    def corrupt(self, labels: np.ndarray, num_classes: int, rng: np.random.Generator) -> np.ndarray:
        redrawn = rng.random(len(labels)) < self.rate
        if self.among == "all":
            noise = rng.integers(num_classes, size=len(labels))
        else:
            noise = (labels + rng.integers(1, num_classes, size=len(labels))) % num_classes
        return np.where(redrawn, noise, labels)

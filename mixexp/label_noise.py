"""Contract and options of the label_noise group: wrong training labels; test and validation labels stay true."""

from __future__ import annotations

import abc
from typing import Annotated, Literal

import numpy as np
from pydantic import Field


class LabelNoise(abc.ABC):
    """A corruption of the training labels."""

    @abc.abstractmethod
    def corrupt(self, labels: np.ndarray, num_classes: int, rng: np.random.Generator) -> np.ndarray:
        """New labels, int64 [N], from the true ones, int64 [N]."""


class NoNoise(LabelNoise):
    """Labels as they are."""

    def corrupt(self, labels: np.ndarray, num_classes: int, rng: np.random.Generator) -> np.ndarray:
        return labels


class Uniform(LabelNoise):
    """Each label is redrawn uniformly with probability rate (Zhang et al. 2018, section 3.4).

    rate: fraction of labels that are redrawn; among: "all" C classes, the true one included, so that a fraction
    rate·(C−1)/C changes (the paper's code), or the C−1 "others", so that a fraction rate changes.
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

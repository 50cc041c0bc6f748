from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import Field

from mixexp.subset import Subset


class Head(Subset):
    """The first n training images in the official order, so classes come out uneven (article d cut its CSV file so)."""

    def __init__(self, n: Annotated[int, Field(gt=0)]) -> None:
        self.n = n

    def select(self, labels: np.ndarray, num_classes: int, rng: np.random.Generator) -> np.ndarray:
        if self.n > len(labels):
            raise ValueError(f"subset.n = {self.n}: the training set has {len(labels)} images")
        return np.arange(self.n)

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import Field

from mixexp.mix import Ratio


class Uniform(Ratio):
    """lam ~ Uniform(0, high), drawn once per sample."""

    def __init__(self, high: Annotated[float, Field(gt=0, le=1)]) -> None:
        self.high = high

    def draw(self, rng: np.random.Generator, rows: int, batch: int, count: int) -> np.ndarray:
        return rng.uniform(0, self.high, size=(rows, count)).astype(np.float32)

"""Ratios: distributions of the first sample's weight in a blend."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from mixexp.mix import Ratio


class Beta(Ratio):
    """lam ~ Beta(alpha + first_plus, alpha), drawn once per sample, per batch or per epoch.

    per: unit for which one lam is drawn; first_plus: 0 for mixup's own Beta(α, α) (Zhang et al. 2018, eq. 1, per batch
    in its code), 1 for the Beta(α+1, α) under which unmixed labels have the same expected loss (Huszár's rewriting,
    small_data_mixup); fold: lam becomes max(lam, 1 − lam).
    """

    def __init__(
        self,
        alpha: Annotated[float, Field(gt=0)],
        per: Literal["sample", "batch", "epoch"],
        first_plus: Annotated[float, Field(ge=0)] = 0.0,
        fold: bool = False,
    ) -> None:
        self.alpha, self.per = alpha, per
        self.beta_a_offset, self.symmetric_max = first_plus, fold

    def draw(self, rng: np.random.Generator, rows: int, batch: int, count: int) -> np.ndarray:
        shapes = {"sample": (rows, count), "batch": (-(-rows // batch), 1), "epoch": (1, 1)}
        lam = rng.beta(self.alpha + self.beta_a_offset, self.alpha, size=shapes[self.per])
        if self.per == "batch":
            lam = np.repeat(lam, batch, axis=0)[:rows]
        if self.symmetric_max:
            lam = np.maximum(lam, 1 - lam)
        return np.broadcast_to(lam, (rows, count)).astype(np.float32)

    def density(self, lam: np.ndarray) -> np.ndarray:
        from scipy.stats import beta  # imported here because it takes a second and only a figure of densities needs it

        drawn: Any = beta(self.alpha + self.beta_a_offset, self.alpha)
        return np.where(lam >= 0.5, drawn.pdf(lam) + drawn.pdf(1 - lam), 0.0) if self.symmetric_max else drawn.pdf(lam)


class Uniform(Ratio):
    """lam ~ Uniform(0, high), drawn once per sample.

    high: the largest lam.
    """

    def __init__(self, high: Annotated[float, Field(gt=0, le=1)]) -> None:
        self.high = high

    def draw(self, rng: np.random.Generator, rows: int, batch: int, count: int) -> np.ndarray:
        return rng.uniform(0, self.high, size=(rows, count)).astype(np.float32)

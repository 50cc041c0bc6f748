"""Ratios: distributions of the first sample's weight in a blend."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from mixexp.mix import Ratio

Per = Literal["sample", "batch", "epoch"]


def _shape(per: Per, rows: int, batch: int, count: int) -> tuple[int, int]:
    """The number of units of an epoch, and of weights drawn in each."""
    return {"sample": (rows, count), "batch": (-(-rows // batch), 1), "epoch": (1, 1)}[per]


def _spread(lam: np.ndarray, per: Per, rows: int, batch: int, count: int) -> np.ndarray:
    """The weights of units for each of their rows, float32 [rows, count]."""
    if per == "batch":
        lam = np.repeat(lam, batch, axis=0)[:rows]
    return np.broadcast_to(lam, (rows, count)).astype(np.float32)


class Beta(Ratio):
    """lam ~ Beta(alpha + first_plus, alpha), drawn once per sample, per batch or per epoch.

    per: unit for which one lam is drawn; first_plus: 0 for mixup's own Beta(α, α) (Zhang et al. 2018, eq. 1, per batch
    in its code), 1 for the Beta(α+1, α) under which unmixed labels have the same expected loss (Huszár's rewriting,
    small_data_mixup); fold: lam becomes max(lam, 1 − lam).
    """

    def __init__(
        self,
        alpha: Annotated[float, Field(gt=0)],
        per: Per,
        first_plus: Annotated[float, Field(ge=0)] = 0.0,
        fold: bool = False,
    ) -> None:
        self.alpha, self.per = alpha, per
        self.beta_a_offset, self.symmetric_max = first_plus, fold

    def draw(self, rng: np.random.Generator, rows: int, batch: int, count: int) -> np.ndarray:
        shape = _shape(self.per, rows, batch, count)
        lam = rng.beta(self.alpha + self.beta_a_offset, self.alpha, size=shape)
        if self.symmetric_max:
            lam = np.maximum(lam, 1 - lam)
        return _spread(lam, self.per, rows, batch, count)

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


class BetaOfUniform(Ratio):
    """lam ~ Beta(a, a) with a ~ Uniform(0, high), a drawn once per batch and lam once per sample (Keras 3's CutMix).

    high: the largest a, Keras's `factor`.
    Differs from Keras: a is at least 10⁻³; Keras adds 10⁻⁶, and the Beta distribution of both is that of a coin.
    """

    def __init__(self, high: Annotated[float, Field(gt=0)] = 1.0) -> None:
        self.high = high

    def draw(self, rng: np.random.Generator, rows: int, batch: int, count: int) -> np.ndarray:
        a = np.maximum(rng.uniform(0, self.high, size=(-(-rows // batch), 1)), 1e-3)
        a = np.repeat(a, batch, axis=0)[:rows]
        return rng.beta(a, a, size=(rows, count)).astype(np.float32)


class SquaredScale(Ratio):
    """lam = 1 − s², s ~ Uniform(low, high): s is the length of a mask relative to the image's sides.

    low, high: limits of s; per: unit for which one lam is drawn.
    Source: ResizeMix (Qin et al. 2020), s from 0.1 to 0.8; SmoothMix (Lee et al. 2020), s from 0.25 to 0.5.
    Raises ValueError if low exceeds high.
    """

    def __init__(
        self, low: Annotated[float, Field(ge=0, le=1)], high: Annotated[float, Field(ge=0, le=1)], per: Per = "batch"
    ) -> None:
        if low > high:
            raise ValueError(f"mix.ratio.low = {low:g}: it is above mix.ratio.high = {high:g}")
        self.low, self.high, self.per = low, high, per

    def draw(self, rng: np.random.Generator, rows: int, batch: int, count: int) -> np.ndarray:
        scale = rng.uniform(self.low, self.high, size=_shape(self.per, rows, batch, count))
        return _spread(1 - scale**2, self.per, rows, batch, count)


class UniMixFactor(Ratio):
    """lam = b + n_j/(n_i + n_j) modulo 1, b ~ Beta(alpha, alpha): more weight for the smaller class (Xu et al. 2021).

    n_i, n_j: training images of the first and of the second sample's class.
    alpha: 0.8 in the code; per: unit for which one b is drawn, "sample" in the code.
    Differs from the code (XuZhengzhuo/Prior-LT): nothing.
    """

    def __init__(self, alpha: Annotated[float, Field(gt=0)], per: Per = "sample") -> None:
        self.alpha, self.per = alpha, per
        self.counts: Tensor | None = None

    def prepare(self, counts: Tensor) -> None:
        self.counts = counts.float()

    def draw(self, rng: np.random.Generator, rows: int, batch: int, count: int) -> np.ndarray:
        lam = rng.beta(self.alpha, self.alpha, size=_shape(self.per, rows, batch, count))
        return _spread(lam, self.per, rows, batch, count)

    def of_classes(self, lam: Tensor, first: Tensor, second: Tensor) -> Tensor:
        assert self.counts is not None, "prepare comes first"
        own, other = self.counts[first], self.counts[second]
        lam = lam + other / (own + other)
        return torch.where(lam > 1, lam - 1, lam)

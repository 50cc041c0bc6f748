"""Contract of the mix group: who is paired with whom, by which ratio, blended how, labelled how."""

from __future__ import annotations

import abc
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from mixexp.mixed import Mixed


class Blend(abc.ABC):
    """How two samples become one."""

    input_only: str | None = None
    """Why the blend has no meaning at a hidden layer; None where it has."""
    zero_mean: bool = False
    """Whether images have to be centred, each on its own mean, at training and at test time."""

    @abc.abstractmethod
    def __call__(self, first: Tensor, second: Tensor, lam: Tensor) -> Tensor:
        """Blend of first and second, float [B, …] each, with weights lam, float32 [B], for first."""


class Pairing(abc.ABC):
    """Which samples of a batch are blended with which."""

    @abc.abstractmethod
    def draw(self, rng: np.random.Generator, rows: int) -> dict[str, np.ndarray]:
        """Random numbers for a whole epoch, one row an image: name → array [rows, …]."""

    @abc.abstractmethod
    def partners(self, labels: Tensor, draws: dict[str, Tensor], count: int) -> Tensor:
        """Partners of every sample, int64 [S, count], as rows of the batch whose labels, int64 [S], are given."""


class Ratio(abc.ABC):
    """How much of the first sample there is in a blend."""

    @abc.abstractmethod
    def draw(self, rng: np.random.Generator, rows: int, batch: int, count: int) -> np.ndarray:
        """Weights of the first sample for a whole epoch of batches of `batch` images, float32 [rows, count] in [0, 1]."""


class Label(abc.ABC):
    """Which label a blend carries."""

    mixes: bool
    """Whether that is a blend of two labels."""

    @abc.abstractmethod
    def __call__(self, first: Tensor, second: Tensor, lam: Tensor) -> Mixed:
        """The record for the loss, from the two samples' labels, int64 [B], and the blend's weights, float32 [B]."""


@dataclass(frozen=True)
class Plan:
    """What happens to one batch of S images: which rows are blended into which B samples, and with which labels.

    first, second: int64 [B], rows of the batch; None where nothing is blended. lam: float32 [B], weight of first.
    """

    labels: Mixed
    first: Tensor | None = None
    second: Tensor | None = None
    lam: Tensor | None = None
    blend: Blend | None = None
    whole: bool = False
    """Whether first is every row in turn, which spares the gather."""

    def apply(self, x: Tensor) -> Tensor:
        """The batch after blending, float [B, …], from a representation at any layer, float [S, …]; its dtype is kept."""
        if self.blend is None:
            return x
        first = x if self.whole else x.index_select(0, self.first)
        return self.blend(first, x.index_select(0, self.second), self.lam).to(x.dtype)


class Mix(abc.ABC):
    """A way to make training samples out of others."""

    blend: Blend | None = None
    """None: samples are never blended, so the mix layer does not matter."""
    mixes_labels: bool = False
    """Whether a sample can carry two labels."""

    @property
    def zero_mean(self) -> bool:
        """Whether images have to be centred, each on its own mean, at training and at test time."""
        return self.blend is not None and self.blend.zero_mean

    @abc.abstractmethod
    def origins(self, batch_size: int) -> int:
        """Images S that a batch of batch_size samples is made of; raises ValueError where the two do not fit."""

    @abc.abstractmethod
    def draw(self, seed: int, epoch: int, rows: int, origins: int, batch_size: int) -> dict[str, np.ndarray]:
        """Random numbers for the batches of one epoch, one row an image: name → array [rows, …]."""

    @abc.abstractmethod
    def plan(self, labels: Tensor, draws: dict[str, Tensor]) -> Plan:
        """The plan for one batch, from its labels, int64 [S], and its rows of the draws."""

"""Contract of the mix group: who is paired with whom, by which ratio, blended how, labelled how."""

from __future__ import annotations

import abc
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from mixexp.labels import MixedLabels


def broadcast_weights(weight: Tensor, x: Tensor) -> Tensor:
    """Weights, float [B], in a shape that multiplies x, float [B, …]."""
    return weight.view(-1, *[1] * (x.dim() - 1))


class Blend(abc.ABC):
    """How several samples become one."""

    input_only: str | None = None
    """Why the blend has no meaning at a hidden layer; None where it has."""
    kinds: tuple[str, ...] | None = None
    """The kinds of data it is for; None: any."""
    zero_mean: bool = False
    """Whether images have to be centred, each on its own mean, at training and at test time."""

    @abc.abstractmethod
    def __call__(self, parts: Sequence[Tensor], weights: Sequence[Tensor]) -> Tensor:
        """Blend of two parts or more, float [B, …] each, with as many weights, float32 [B], that sum to 1."""


class Pairing(abc.ABC):
    """Which samples are blended with which: partners within the batch, or external ones that join it from the rest of
    the training set."""

    external: bool = False
    """Whether its draws name `external`, int64 [rows], rows of the training set: the partner of each image, outside its
    batch."""

    def check(self, counts: np.ndarray) -> None:  # noqa: B027  most have nothing to check
        """Raise ValueError where training images of these counts per class, int64 [C], have no such partners."""

    def prepare(self, images: Tensor, labels: Tensor) -> None:  # noqa: B027  most have nothing to learn
        """Learn what it needs of the whole training set, images [N, C, H, W] and labels, int64 [N], before the first
        draw."""

    @abc.abstractmethod
    def draw(self, rng: np.random.Generator, order: np.ndarray) -> dict[str, np.ndarray]:
        """Random numbers for a whole epoch, one row an image: name → array [rows, …]; order: the epoch's training rows,
        int64 [rows]."""

    def draw_for(self, rng: np.random.Generator, order: np.ndarray, count: int) -> dict[str, np.ndarray]:
        """The same where an image has `count` partners, of which all but the first follow from the draws, unless a
        pairing draws more."""
        return self.draw(rng, order)

    @abc.abstractmethod
    def partners(self, labels: Tensor, draws: dict[str, Tensor], count: int) -> Tensor:
        """Partners of every sample, int64 [S, count], as rows of the batch whose labels, int64 [S or 2 S with external
        partners], are given."""


class Ratio(abc.ABC):
    """How much of the first sample there is in a blend."""

    @abc.abstractmethod
    def draw(self, rng: np.random.Generator, rows: int, batch: int, count: int) -> np.ndarray:
        """Weights of the first sample for a whole epoch of batches of `batch` images, float32 [rows, count] in [0,
        1]."""

    def density(self, lam: np.ndarray) -> np.ndarray | None:
        """The distribution that weights are drawn from, its density at each of them, float64; None where there is no
        formula."""
        return None


class Label(abc.ABC):
    """Which label a blend carries."""

    mixes: bool
    """Whether that is a blend of labels."""

    @abc.abstractmethod
    def __call__(self, labels: Sequence[Tensor], weights: Sequence[Tensor]) -> MixedLabels:
        """The record for the loss, from the parts' labels, int64 [B] each, and the blend's weights, float32 [B]
        each."""


@dataclass(frozen=True)
class Plan:
    """What happens to one batch of S images: which rows are blended into which B samples, and with which labels.

    rows: int64 [B] for each part of a blend, none where nothing is blended; weights: as many float32 [B] that sum to 1.
    """

    labels: MixedLabels
    rows: tuple[Tensor, ...] = ()
    weights: tuple[Tensor, ...] = ()
    blend: Blend | None = None
    whole: bool = False
    """Whether the first part is every row in turn, which spares the gather."""

    def apply(self, x: Tensor) -> Tensor:
        """The batch after blending, float [B, …], from a representation at any layer, float [S, …]; its dtype is
        kept."""
        if self.blend is None:
            return x
        first = x if self.whole else x.index_select(0, self.rows[0])
        return self.blend([first, *(x.index_select(0, rows) for rows in self.rows[1:])], self.weights).to(x.dtype)


class Mix(abc.ABC):
    """A way to make training samples out of others."""

    blend: Blend | None = None
    """None: samples are never blended, so the mix layer does not matter."""
    mixes_labels: bool = False
    """Whether a sample can carry several labels."""
    external: bool = False
    """Whether its draws name `external`, int64 [rows]: rows of the training set, one for each image, that join the
    image's batch."""
    needs_repeats: bool = False
    """Whether it blends only images that an epoch visits again, of which there are none without oversampling."""

    @property
    def zero_mean(self) -> bool:
        """Whether images have to be centred, each on its own mean, at training and at test time."""
        return self.blend is not None and self.blend.zero_mean

    def check(self, counts: np.ndarray) -> None:  # noqa: B027  most have nothing to check
        """Raise ValueError where training images of these counts per class, int64 [C], cannot be mixed so."""

    def check_budget(self, epochs: float) -> None:  # noqa: B027  most go with any budget
        """Raise ValueError where a setting would do nothing in a run of so many epochs."""

    def prepare(self, images: Tensor, labels: Tensor) -> None:  # noqa: B027  most have nothing to learn
        """Learn what it needs of the whole training set, images [N, C, H, W] and labels, int64 [N], before the first
        draw."""

    @abc.abstractmethod
    def source_images(self, batch_size: int) -> int:
        """Images S that a batch of batch_size samples is made of; raises ValueError where the two do not fit."""

    @abc.abstractmethod
    def draw(
        self, seed: int, epoch: int, order: np.ndarray, source_images: int, batch_size: int
    ) -> dict[str, np.ndarray]:
        """Random numbers for the batches of one epoch, one row an image: name → array [rows, …].

        order: the epoch's training rows, int64 [rows], in the order in which they are visited.
        """

    def density(self, lam: np.ndarray) -> np.ndarray | None:
        """The density of the weight of a blend's first part at each of these; None where there is no formula for it."""
        return None

    @abc.abstractmethod
    def plan(self, labels: Tensor, draws: dict[str, Tensor]) -> Plan:
        """The plan for one batch, from its labels, int64 [S], with external partners [2 S], their own behind, and its
        rows of the draws."""

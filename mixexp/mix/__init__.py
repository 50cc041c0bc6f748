"""Contract of the mix group: the pairing, the ratio, the blend or mask, and the label of mixed samples."""

from __future__ import annotations

import abc
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from torch import Tensor

from mixexp.labels import MixedLabels


def broadcast_weights(weight: Tensor, x: Tensor) -> Tensor:
    """Weights, float [B], reshaped to broadcast over x, float [B, …]."""
    return weight.view(-1, *[1] * (x.dim() - 1))


class Blend(abc.ABC):
    """The function that blends several samples into one."""

    input_only: str | None = None
    """The reason why the blend has no meaning at a hidden layer; None: it can be used at any layer."""
    kinds: tuple[str, ...] | None = None
    """Kinds of data that the blend is for; None: any."""
    needs_plane: bool = False
    """True: it blends pixels, so that representations need a height and a width."""
    zero_mean: bool = False
    """True: each image is centred on its own mean, at training and at test time."""

    @abc.abstractmethod
    def __call__(self, parts: Sequence[Tensor], weights: Sequence[Tensor]) -> Tensor:
        """Blend of two or more parts, float [B, …] each, with one weight per part, float32 [B], that sum to 1."""


class Mask(abc.ABC):
    """The weight that each pixel of a sample has in a blend of two."""

    input_only: str | None = None
    """The reason why the mask has no meaning at a hidden layer; None: it can be used at any layer with pixels."""
    numbers: tuple[str, ...] = ()
    """Names of what of_images gives; the mask of a sample has those of its second part among its draws."""

    def prepare(self, images: Tensor) -> None:  # noqa: B027  most have nothing to learn
        """Preprocess the training images, [N, C, H, W], before the first draw."""

    @abc.abstractmethod
    def draw(self, rng: np.random.Generator, lam: np.ndarray, size: tuple[int, int]) -> dict[str, np.ndarray]:
        """Geometry of n masks: name → array [n, …], for the nominal weights of the first part, float64 [n] in [0, 1].

        size: height and width of the images. A mask of lam = 1 leaves the first part as it is.
        """

    @abc.abstractmethod
    def weights(self, draws: dict[str, Tensor], size: tuple[int, int]) -> Tensor:
        """Weight of each pixel of the first part, float32 [B, 1, H, W] in [0, 1], from the masks of B samples."""

    def of_images(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """Numbers of images, name → array [n, …], from their rows of the training set, int64 [n]; by default none."""
        return {}

    def pasted(self, second: Tensor, draws: dict[str, Tensor]) -> Tensor:
        """The second part as the mask shows it, of the same shape; by default as it is."""
        return second


class Pairing(abc.ABC):
    """The partners of each sample: within the batch, or external ones that join it from the training set."""

    external: bool = False
    """True: the draws contain `external`, int64 [rows], the training row of each image's partner outside its batch."""

    def check(self, counts: np.ndarray) -> None:  # noqa: B027  most have nothing to check
        """Raise ValueError if a training set with these counts per class, int64 [C], has no such partners."""

    def prepare(self, images: Tensor, labels: Tensor) -> None:  # noqa: B027  most have nothing to learn
        """Preprocess the training set, images [N, C, H, W] and labels, int64 [N], before the first draw."""

    @abc.abstractmethod
    def draw(self, rng: np.random.Generator, order: np.ndarray) -> dict[str, np.ndarray]:
        """Random numbers for a whole epoch, one row per image: name → array [rows, …].

        order: the epoch's training rows, int64 [rows].
        """

    def draw_for(self, rng: np.random.Generator, order: np.ndarray, count: int) -> dict[str, np.ndarray]:
        """Random numbers for `count` partners per image; by default those of one, from which the others follow."""
        return self.draw(rng, order)

    @abc.abstractmethod
    def partners(self, labels: Tensor, draws: dict[str, Tensor], count: int) -> Tensor:
        """Partners of every sample, int64 [S, count], as rows of the batch.

        labels: of the batch, int64 [S], or [2 S] with external partners.
        """


class Ratio(abc.ABC):
    """The weight of the first sample in a blend."""

    per: Literal["sample", "batch", "epoch"] = "sample"
    """The unit for which one weight is drawn; a mask is drawn once per unit too."""

    def prepare(self, counts: Tensor) -> None:  # noqa: B027  most do not depend on classes
        """Note the training images of each class, int64, up to the last class that has any, before the first draw."""

    @abc.abstractmethod
    def draw(self, rng: np.random.Generator, rows: int, batch: int, count: int) -> np.ndarray:
        """Weights of the first sample for an epoch in batches of `batch` images, float32 [rows, count] in [0, 1]."""

    def of_classes(self, lam: Tensor, first: Tensor, second: Tensor) -> Tensor:
        """Weights for pairs of these classes, int64 [B] each, from the drawn ones, float32 [B]; by default the same.

        A mask, which is drawn before its pair is known, has no such ratio.
        """
        return lam

    def density(self, lam: np.ndarray) -> np.ndarray | None:
        """Probability density of the weights at each lam, float64; None: no formula is known."""
        return None


class Label(abc.ABC):
    """The label of a blend."""

    mixes: bool
    """True: the label is a blend of the parts' labels."""

    def check(self, parts: int) -> None:  # noqa: B027  most are for any number
        """Raise ValueError if it has no meaning for blends of this many parts."""

    def prepare(self, counts: Tensor) -> None:  # noqa: B027  most do not depend on class sizes
        """Note the training images of each class, int64, up to the last class that has any, before the first batch."""

    @abc.abstractmethod
    def __call__(self, labels: Sequence[Tensor], weights: Sequence[Tensor]) -> MixedLabels:
        """Label record for the loss, from the parts' labels, int64 [B] each, and weights, float32 [B] each."""


@dataclass(frozen=True)
class Plan:
    """The mixing of one batch: the rows of S images that are blended into B samples, and the samples' labels.

    rows: int64 [B] for each part of a blend, empty without blending; weights: float32 [B] for each part, sum 1.
    """

    labels: MixedLabels
    rows: tuple[Tensor, ...] = ()
    weights: tuple[Tensor, ...] = ()
    blend: Blend | None = None
    whole: bool = False
    """True: the first part is every row in order, which saves the gather."""

    def apply(self, x: Tensor) -> Tensor:
        """Batch after blending, float [B, …], from a representation at any layer, float [S, …], in the same dtype."""
        if self.blend is None:
            return x
        first = x if self.whole else x.index_select(0, self.rows[0])
        return self.blend([first, *(x.index_select(0, rows) for rows in self.rows[1:])], self.weights).to(x.dtype)


class Mix(abc.ABC):
    """A method that makes training samples from a batch of images."""

    blend: Blend | None = None
    """None: samples are never blended, so that the mix layer has no effect."""
    mixes_labels: bool = False
    """True: a sample can carry several labels."""
    external: bool = False
    """True: the draws contain `external`, int64 [rows], a training row for each image that joins the image's batch."""
    needs_repeats: bool = False
    """True: it blends only images that an epoch visits again, so that it needs oversampling."""

    @property
    def zero_mean(self) -> bool:
        """True: each image is centred on its own mean, at training and at test time."""
        return self.blend is not None and self.blend.zero_mean

    def check(self, counts: np.ndarray) -> None:  # noqa: B027  most have nothing to check
        """Raise ValueError if a training set with these counts per class, int64 [C], cannot be mixed this way."""

    def check_budget(self, epochs: float) -> None:  # noqa: B027  most go with any budget
        """Raise ValueError if a setting has no effect in a run of this many epochs."""

    def at(self, epoch: int, epochs: float) -> Mix:
        """The mix that draws an epoch, counted from 0, of a run of `epochs`: itself, unless it changes during a run.

        Whatever changes is in the draws, whose names and shapes stay; `plan` is always this mix's own.
        """
        return self

    def prepare(self, images: Tensor, labels: Tensor) -> None:  # noqa: B027  most have nothing to learn
        """Preprocess the training set, images [N, C, H, W] and labels, int64 [N], before the first draw."""

    @abc.abstractmethod
    def source_images(self, batch_size: int) -> int:
        """Number of images S from which a batch of batch_size samples is made; ValueError if the two do not fit."""

    @abc.abstractmethod
    def draw(
        self, seed: int, epoch: int, order: np.ndarray, source_images: int, batch_size: int
    ) -> dict[str, np.ndarray]:
        """Random numbers for the batches of one epoch, one row per image: name → array [rows, …].

        order: the epoch's training rows, int64 [rows], in visiting order.
        """

    def density(self, lam: np.ndarray) -> np.ndarray | None:
        """Probability density of the first part's weight at each lam; None: no formula is known."""
        return None

    @abc.abstractmethod
    def plan(self, labels: Tensor, draws: dict[str, Tensor]) -> Plan:
        """Plan of one batch, from its labels and its rows of the draws.

        labels: int64 [S], or [2 S] with external partners, whose labels follow the batch's own.
        """

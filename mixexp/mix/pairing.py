"""Pairings: partners in the batch, of any class, the same or another, and partners from outside the batch."""

from __future__ import annotations

from typing import Annotated

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from mixexp.mix import Pairing
from mixexp.sampling import Sampling

_CHUNK = 1024


class Permutation(Pairing):
    """Partners by a random permutation of the batch (Zhang et al. 2018, section 2: as good as a second loader).

    Further partners come from the same permutation, shifted, so that a sample's partners differ. Fixed points occur.
    """

    def draw(self, rng: np.random.Generator, order: np.ndarray) -> dict[str, np.ndarray]:
        return {"order": rng.random(len(order), dtype=np.float32)}

    def partners(self, labels: Tensor, draws: dict[str, Tensor], count: int) -> Tensor:
        permutation = draws["order"].argsort(stable=True)
        return torch.stack([permutation.roll(k) for k in range(count)], dim=1)


class SameClass(Permutation):
    """Partners by a random permutation within each class of the batch (Zhang et al. 2018, table 5, "SC + RP").

    Further partners come from the same permutation, shifted within the class. Fixed points can occur, and a sample
    alone in its class is its own partner.
    """

    def partners(self, labels: Tensor, draws: dict[str, Tensor], count: int) -> Tensor:
        # the batch sorted by class, in its own and in a random order: equal places pair images within each class
        shuffled = draws["order"].argsort(stable=True)
        random = shuffled[labels[shuffled].argsort(stable=True)]
        by_class = labels.argsort(stable=True)
        sizes = (labels.unsqueeze(0) == labels.unsqueeze(1)).sum(1)[by_class]
        begins = torch.searchsorted(labels[by_class], labels[by_class], right=False)
        place = torch.arange(len(labels), device=labels.device) - begins
        rolled = torch.stack([random[begins + (place - k) % sizes] for k in range(count)], dim=1)
        return torch.empty_like(rolled).index_copy_(0, by_class, rolled)


class OtherClass(Pairing):
    """Partners of another class, uniform over those in the batch (Tokozume et al. 2018, section 3.1).

    replace: false, a sample's partners differ while the batch has enough images of other classes, then repeat; true,
    each partner is drawn independently, so that two can be the same (koshian2_bc's code).
    A single partner has the same distribution either way. A sample without candidates is its own partner.
    Differs from the paper: its code draws both images from the whole training set; the batch, as in koshian2_bc, needs
    no second read.
    """

    added = ("replace",)

    def __init__(self, replace: bool = False) -> None:
        self.replace = replace

    def draw(self, rng: np.random.Generator, order: np.ndarray) -> dict[str, np.ndarray]:
        return self.draw_for(rng, order, 1)

    def draw_for(self, rng: np.random.Generator, order: np.ndarray, count: int) -> dict[str, np.ndarray]:
        if self.replace:
            return {"place": rng.random((len(order), count), dtype=np.float32)}
        return {"order": rng.random(len(order), dtype=np.float32), "start": rng.random(len(order), dtype=np.float32)}

    def partners(self, labels: Tensor, draws: dict[str, Tensor], count: int) -> Tensor:
        themselves = torch.arange(len(labels), device=labels.device)
        order = themselves if self.replace else draws["order"].argsort(stable=True)
        other = labels[order].unsqueeze(0) != labels.unsqueeze(1)
        rank = other.cumsum(1)  # [S, S]: number of candidates, in that order, up to here
        available = rank[:, -1:]
        if self.replace:
            rank_of_partner = (draws["place"] * available).long() + 1
        else:
            start = (draws["start"].unsqueeze(1) * available).long()
            rank_of_partner = (start + torch.arange(count, device=labels.device)) % available.clamp(min=1) + 1
        column = torch.searchsorted(rank, rank_of_partner).clamp(max=len(labels) - 1)
        return torch.where(available > 0, order[column], themselves.unsqueeze(1))


class ByClassSize(Pairing):
    """Partners drawn from the batch, an image with probability ∝ n^power, n the training images of its class.

    power: below 0, small classes are drawn more often; 0: every image of the batch, itself included, equally often.
    Each partner is drawn independently, so that partners repeat and an image can be its own.
    Source: UniMix (Xu et al. 2021) and its code, where power is tau, -0.5.
    """

    def __init__(self, power: float) -> None:
        self.power = power
        self.shares: Tensor | None = None

    def prepare(self, images: Tensor, labels: Tensor) -> None:
        counts = labels.bincount().cpu().numpy()
        logarithms = np.where(counts > 0, self.power * np.log(np.maximum(counts, 1)), -np.inf)
        # integers, whose sums are the same on every device
        shares = np.maximum(np.rint(np.exp(logarithms - logarithms.max()) * 2**24), 1).astype(np.int64)
        self.shares = torch.from_numpy(shares).to(labels.device)

    def draw(self, rng: np.random.Generator, order: np.ndarray) -> dict[str, np.ndarray]:
        return self.draw_for(rng, order, 1)

    def draw_for(self, rng: np.random.Generator, order: np.ndarray, count: int) -> dict[str, np.ndarray]:
        return {"place": rng.random((len(order), count), dtype=np.float32)}

    def partners(self, labels: Tensor, draws: dict[str, Tensor], count: int) -> Tensor:
        assert self.shares is not None, "prepare comes first"
        ends = self.shares[labels].cumsum(0)
        # the product of a number just below 1 can round up to the sum
        place = torch.minimum((draws["place"] * ends[-1]).long(), ends[-1] - 1)
        return torch.searchsorted(ends, place, right=True)


class ExternalPartners(Pairing):
    """Partners from outside the batch, one per image, which are appended to the batch's own images."""

    external = True

    def partners(self, labels: Tensor, draws: dict[str, Tensor], count: int) -> Tensor:
        images = len(draws["external"])
        return torch.arange(images, 2 * images, device=labels.device).unsqueeze(1)


class SecondPass(ExternalPartners):
    """Partners from a second pass over the training set: mixup with two data loaders (Zhang et al. 2018, section 2).

    Both passes visit the same images in an epoch, in another order, so that every image is a partner once.
    """

    def draw(self, rng: np.random.Generator, order: np.ndarray) -> dict[str, np.ndarray]:
        return {"external": rng.permutation(order)}


class SecondLoader(ExternalPartners):
    """Partners from a second data loader that has a sampling of its own; it starts again as often as it takes.

    sampling: the rule of the second loader's epochs.
    Source: CMO (Park et al. 2022) and its code, which draws an image with probability ∝ 1/n^a, n the training images of
    its class; a = 1, its default, is WeightedSampling with q = 1 − a = 0.
    Raises ValueError where the sampling changes during a run.
    """

    def __init__(self, sampling: Sampling) -> None:
        if type(sampling).at is not Sampling.at:
            raise ValueError(f"mix.pairing.sampling: {type(sampling).__name__} changes during a run; choose one rule")
        self.sampling = sampling
        self.labels: np.ndarray | None = None

    def prepare(self, images: Tensor, labels: Tensor) -> None:
        self.labels = labels.cpu().numpy()

    def draw(self, rng: np.random.Generator, order: np.ndarray) -> dict[str, np.ndarray]:
        assert self.labels is not None, "prepare comes first"
        partners = self.sampling.order(self.labels, rng)
        while len(partners) < len(order):
            partners = np.concatenate([partners, self.sampling.order(self.labels, rng)])
        return {"external": partners[: len(order)]}


class Nearest(ExternalPartners):
    """Partners drawn anew each time from an image's k nearest neighbours in the training set.

    The distance is Euclidean, between raw pixels. The neighbours are computed once, before training.
    k: number of neighbours; same_class: only neighbours with the image's own (training) label count.
    Source: Zhang et al. 2018, section 3.8 and table 5, "KNN", k = 200. With same_class and k = 5 they are those of
    SMOTE (Chawla et al. 2002).
    Raises ValueError if a class, or the whole set, has fewer than k other images.
    """

    def __init__(self, k: Annotated[int, Field(gt=0)] = 200, same_class: bool = False) -> None:
        self.k, self.same_class = k, same_class
        self.neighbours: np.ndarray | None = None

    def check(self, counts: np.ndarray) -> None:
        least = int(counts[counts > 0].min() if self.same_class else counts.sum())
        if self.k >= least:
            where = "the smallest class" if self.same_class else "the training set"
            raise ValueError(f"mix.pairing.k = {self.k}: {where} has {least} images, so k can be {least - 1} at most")

    def prepare(self, images: Tensor, labels: Tensor) -> None:
        groups = [torch.arange(len(labels), device=labels.device)]
        if self.same_class:
            groups = [(labels == c).nonzero().flatten() for c in labels.unique()]
        neighbours = torch.empty(len(labels), self.k, dtype=torch.int64, device=labels.device)
        for members in groups:
            neighbours[members] = members[nearest(images[members].flatten(1).float(), self.k)]
        self.neighbours = neighbours.cpu().numpy()

    def draw(self, rng: np.random.Generator, order: np.ndarray) -> dict[str, np.ndarray]:
        assert self.neighbours is not None, "prepare comes first"
        return {"external": self.neighbours[order, rng.integers(self.k, size=len(order))]}


def nearest(points: Tensor, k: int) -> Tensor:
    """The k nearest other points of each point, int64 [N, k], nearest first, Euclidean; points: float32 [N, D]."""
    # centred, because ‖a‖² − 2ab + ‖b‖², the form below of ‖a − b‖², loses fewer digits near the origin
    points = points - points.mean(0)
    squares = points.square().sum(1)
    neighbours = []
    for start in range(0, len(points), _CHUNK):
        chunk = points[start : start + _CHUNK]
        distance = squares - 2 * chunk @ points.T
        row = torch.arange(len(chunk), device=points.device)
        distance[row, row + start] = float("inf")
        neighbours.append(distance.topk(k, dim=1, largest=False).indices)
    return torch.cat(neighbours)

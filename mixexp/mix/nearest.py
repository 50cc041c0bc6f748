from __future__ import annotations

from typing import Annotated

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from mixexp.mix.guests import Guests

_CHUNK = 1024


class Nearest(Guests):
    """Partners drawn anew each time from an image's k nearest neighbours in the training set, by Euclidean distance of raw pixels.

    same_class: only neighbours of its own (training) label count. The neighbours are computed once, before training.
    Source: Zhang et al. 2018, section 3.8 and table 5, "KNN", k = 200; with same_class, k = 5 and unmixed repeats SMOTE
    (Chawla et al. 2002). Raises ValueError where a class, or the whole set, has no k other images.
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
        return {"guests": self.neighbours[order, rng.integers(self.k, size=len(order))]}


def nearest(points: Tensor, k: int) -> Tensor:
    """The k nearest other points of each point, int64 [N, k], nearest first, by Euclidean distance of points, float32 [N, D]."""
    points = points - points.mean(0)  # ‖a − b‖² is formed as ‖a‖² − 2ab + ‖b‖², which loses fewer digits near the origin
    squares = points.square().sum(1)
    found = []
    for start in range(0, len(points), _CHUNK):
        chunk = points[start : start + _CHUNK]
        distance = squares - 2 * chunk @ points.T
        own = torch.arange(len(chunk), device=points.device)
        distance[own, own + start] = float("inf")
        found.append(distance.topk(k, dim=1, largest=False).indices)
    return torch.cat(found)

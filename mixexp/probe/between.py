"""What a network answers between the images that it was trained on: on the way from one to another, and in their
plane."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from mixexp import streams
from mixexp.probe import BATCH, Facts, Probe, Rows, Subject

BORDER = 0.1
"""How far the grid reaches beyond the training points, as a part of their range."""


class Between(Probe):
    """How a network behaves in between two training images, at x = lam·x_i + (1 − lam)·x_j: misses, and the norm of its
    gradient.

    A prediction is a miss where it is neither y_i nor y_j; of two images of one class, where it is not that class. The
    gradient is that of the predicted class's log-probability by x, and its Euclidean norm is taken in units of network
    input, over all its values. pairs: so many of two different training images, drawn once a seed and the same at every
    lam, without augmentation. points: values of lam, evenly spaced from 0 to 1.
    Rows: lam; miss, the fraction of the pairs; gradient_norm, its mean over the pairs; pairs.
    Source: Zhang et al. 2018, figure 2.
    Differs from the paper: what the gradient is of is not stated there ("of the model"), nor are the pairs.
    """

    files: Mapping[str, tuple[str, ...]] = {"between": ("lam", "miss", "gradient_norm", "pairs")}

    def __init__(self, pairs: Annotated[int, Field(gt=0)] = 1000, points: Annotated[int, Field(ge=2)] = 11) -> None:
        self.pairs, self.points = pairs, points

    def check(self, facts: Facts) -> None:
        if facts.train < 2:
            raise ValueError("probe: between needs two training images, and there is one")

    def measure(self, subject: Subject) -> dict[str, Rows]:
        first, second = self._pairs(subject)
        rows = []
        for lam in np.linspace(0, 1, self.points).tolist():
            misses, norms = 0, 0.0
            for starts, ends in zip(first.split(BATCH), second.split(BATCH), strict=True):
                missed, norm = _at(subject, starts, ends, lam)
                misses += int(missed.sum())
                norms += norm.double().sum().item()
            rows.append(
                {
                    "lam": round(lam, 6),
                    "miss": misses / self.pairs,
                    "gradient_norm": norms / self.pairs,
                    "pairs": self.pairs,
                }
            )
        return {"between": rows}

    def _pairs(self, subject: Subject) -> tuple[Tensor, Tensor]:
        """Rows of the training images, int64 [pairs] twice, different from each other in every place."""
        count = len(subject.train)
        rng = streams.generator(subject.seed, "probe between")
        first = rng.integers(count, size=self.pairs)
        second = (first + rng.integers(1, count, size=self.pairs)) % count
        device = subject.train.labels.device
        return torch.from_numpy(first).to(device), torch.from_numpy(second).to(device)


def _at(subject: Subject, first: Tensor, second: Tensor, lam: float) -> tuple[Tensor, Tensor]:
    """Whether each pair's prediction is a miss, bool [B], and the norm of its gradient, float32 [B]."""
    start, end = (subject.inputs(subject.train.gather(rows)) for rows in (first, second))
    with torch.enable_grad():
        between = torch.lerp(end, start, lam).requires_grad_()
        scores = subject.loss.scores(subject.outputs(between)).log_softmax(1)
        most, predicted = scores.max(1)
        (gradient,) = torch.autograd.grad(most.sum(), between)
    labels = subject.train.labels
    missed = (predicted != labels[first]) & (predicted != labels[second])
    return missed, gradient.flatten(1).norm(dim=1)


class Plane(Probe):
    """What a network of two classes in the plane answers on a grid over its training points: the probability of class
    1.

    side: points of the grid in each direction. unsure: a point where the probability is between this and 1 less this
    counts as unsure. Rows of plane: x, y, as the network sees them; probability, of class 1, softmax of the loss's
    scores. Rows of unsure: unsure, the fraction of the grid's points that are, a single one.
    Source: Zhang et al. 2018, figure 1(b), where mixup's probability goes over from one class to the other with the
    distance. Differs from the paper: the fraction is ours; there is a picture.
    """

    files: Mapping[str, tuple[str, ...]] = {"plane": ("x", "y", "probability"), "unsure": ("unsure",)}

    def __init__(
        self, side: Annotated[int, Field(ge=2, le=1000)] = 41, unsure: Annotated[float, Field(gt=0, lt=0.5)] = 0.1
    ) -> None:
        self.side, self.unsure = side, unsure

    def check(self, facts: Facts) -> None:
        facts.require_plane(
            f"the plane is that of two columns and two classes; this data set has {facts.classes} classes"
        )

    def measure(self, subject: Subject) -> dict[str, Rows]:
        points = subject.inputs(subject.train.images).flatten(1)
        low, high = points.amin(0), points.amax(0)
        reach = BORDER * (high - low)
        places = [
            torch.linspace(float(a), float(b), self.side, device=points.device)
            for a, b in zip(low - reach, high + reach, strict=True)
        ]
        grid = torch.cartesian_prod(*places)
        scores = subject.loss.scores(subject.outputs(grid[:, :, None, None]))
        probability = scores.softmax(1)[:, 1]
        rows = torch.column_stack([grid, probability]).tolist()
        unsure = ((probability > self.unsure) & (probability < 1 - self.unsure)).double().mean().item()
        return {
            "plane": [dict(zip(("x", "y", "probability"), row, strict=True)) for row in rows],
            "unsure": [{"unsure": unsure}],
        }

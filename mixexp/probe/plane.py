from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field

from mixexp.probe import Facts, Probe, Rows, Subject

BORDER = 0.1
"""How far the grid reaches beyond the training points, as a part of their range."""


class Plane(Probe):
    """What a network of two classes in the plane answers on a grid over its training points: the probability of class 1.

    side: points of the grid in each direction. unsure: a point where the probability is between this and 1 less this counts as unsure.
    Rows of plane: x, y, as the network sees them; probability, of class 1, softmax of the loss's scores.
    Rows of unsure: unsure, the fraction of the grid's points that are, a single one.
    Source: Zhang et al. 2018, figure 1(b), where mixup's probability goes over from one class to the other with the distance.
    Differs from the paper: the fraction is ours; there is a picture.
    """

    files = {"plane": ("x", "y", "probability"), "unsure": ("unsure",)}

    def __init__(self, side: Annotated[int, Field(ge=2, le=1000)] = 41, unsure: Annotated[float, Field(gt=0, lt=0.5)] = 0.1) -> None:
        self.side, self.unsure = side, unsure

    def check(self, facts: Facts) -> None:
        facts.require_plane(f"the plane is that of two columns and two classes; this data set has {facts.classes} classes")

    def measure(self, subject: Subject) -> dict[str, Rows]:
        points = subject.inputs(subject.train.images).flatten(1)
        low, high = points.amin(0), points.amax(0)
        reach = BORDER * (high - low)
        places = [torch.linspace(float(a), float(b), self.side, device=points.device) for a, b in zip(low - reach, high + reach, strict=True)]
        grid = torch.cartesian_prod(*places)
        scores = subject.loss.scores(subject.outputs(grid[:, :, None, None]))
        probability = scores.softmax(1)[:, 1]
        rows = torch.column_stack([grid, probability]).tolist()
        unsure = ((probability > self.unsure) & (probability < 1 - self.unsure)).double().mean().item()
        return {"plane": [dict(zip(("x", "y", "probability"), row, strict=True)) for row in rows], "unsure": [{"unsure": unsure}]}

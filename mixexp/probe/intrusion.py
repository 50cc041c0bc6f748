from __future__ import annotations

import math
from typing import Annotated

import torch
from pydantic import Field

from mixexp.probe import BATCH, Facts, Probe, Rows, Subject


class Intrusion(Probe):
    """How often a blend lies nearest to a training image of a class that none of its parts has.

    Such a blend carries a label that its surroundings contradict: article a's bad pair. Blends are those of an epoch's first batches,
    at the input and without augmentation, but for those of an image with itself; nearest is by Euclidean distance in network input,
    and the parts themselves count.
    samples: so many of an epoch, numbered from 0, or all it has.
    Rows: pair (one class, several classes: of the parts), blends, how many; intrusion, the fraction; a row for each that there are.
    Source: ours, after article a's figure of a good and a bad pair. Differs from the paper: there the figure is a drawing.
    """

    files = ("intrusion",)

    def __init__(self, samples: Annotated[int, Field(gt=0)] = 1000, epoch: Annotated[int, Field(ge=0)] = 0) -> None:
        self.samples, self.epoch = samples, epoch

    def check(self, facts: Facts) -> None:
        if not facts.blends:
            raise ValueError("probe: intrusion is of blends, and this mix has none; mix=mixup has")

    def measure(self, subject: Subject) -> dict[str, Rows]:
        kinds, strangers, left = [], [], self.samples
        for chosen, plan in subject.mixed(self.epoch):
            if not plan.rows:
                continue
            points = plan.apply(subject.inputs(subject.train.gather(chosen)))[:left]
            parts = chosen[torch.stack(plan.rows)][:, :left]  # [parts, B], rows of the training images
            blended = (parts != parts[0]).any(0) & (torch.stack(plan.weights).amax(0)[:left] < 1)
            labels = subject.train.labels[parts]
            nearest = subject.train.labels[self._nearest(subject, points)]
            kinds.append((labels == labels[0]).all(0)[blended])
            strangers.append((nearest != labels).all(0)[blended])
            left -= len(points)
            if left == 0:
                break
        if not kinds:
            return {"intrusion": [{"pair": "one class", "blends": 0, "intrusion": math.nan}]}
        alike, strange = torch.cat(kinds).cpu(), torch.cat(strangers).cpu()
        names = {"one class": alike, "several classes": ~alike}
        rows = [
            {"pair": name, "blends": int(those.sum()), "intrusion": strange[those].double().mean().item()}
            for name, those in names.items()
            if those.any()
        ]
        return {"intrusion": rows or [{"pair": "one class", "blends": 0, "intrusion": math.nan}]}

    @staticmethod
    def _nearest(subject: Subject, points: torch.Tensor) -> torch.Tensor:
        """The row of the training image that is nearest to each of the points."""
        best = points.new_full((len(points),), math.inf)
        found = torch.zeros(len(points), dtype=torch.int64, device=points.device)
        for start in range(0, len(subject.train), BATCH):
            images = subject.inputs(subject.train.images[start : start + BATCH]).flatten(1)
            distance, row = torch.cdist(points.flatten(1), images).min(1)
            found = torch.where(distance < best, row + start, found)
            best = torch.minimum(distance, best)
        return found

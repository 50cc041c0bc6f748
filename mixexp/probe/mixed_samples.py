from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field

from mixexp.probe import Facts, Probe, Rows, Subject
from mixexp.probe._ratio import ratio_rows


class MixedSamples(Probe):
    """What a network of two classes in the plane is shown: the blends of an epoch's first batches, and how their weights lie.

    samples: so many of an epoch, numbered from 0, or all it has.
    Rows of mixed_samples: x, y, the blend at the input as the network sees it; weight, of class 1 in its label; lam, of its first
    part.
    Rows of ratio: lam, density, curve: the histogram of those lam ("drawn"), and the density that they are drawn from ("formula") at
    the middle of each bin, where there is one.
    Source: article a, the clouds of mixed points beside the Beta densities.
    Differs from the paper: nothing.
    """

    files = ("mixed_samples", "ratio")

    def __init__(self, samples: Annotated[int, Field(gt=0)] = 500, epoch: Annotated[int, Field(ge=0)] = 0) -> None:
        self.samples, self.epoch = samples, epoch

    def check(self, facts: Facts) -> None:
        if tuple(facts.shape) != (2, 1, 1) or facts.classes != 2:
            raise ValueError(
                f"probe: mixed samples are drawn in the plane, for two classes; this data set has {facts.classes} and images of "
                f"{'x'.join(map(str, facts.shape))} (channels first); dataset=two_moons will do"
            )

    def measure(self, subject: Subject) -> dict[str, Rows]:
        rows = []
        for chosen, plan in subject.mixed(self.epoch):
            points = plan.apply(subject.inputs(subject.train.gather(chosen))).flatten(1)
            weights = plan.labels.soft(2)[:, 1]
            lam = plan.weights[0] if plan.weights else torch.ones_like(weights)
            found = torch.column_stack([points, weights, lam])[: self.samples - len(rows)]
            rows += [dict(zip(("x", "y", "weight", "lam"), values, strict=True)) for values in found.tolist()]
            if len(rows) == self.samples:
                break
        return {"mixed_samples": rows, "ratio": ratio_rows(subject.mix, [row["lam"] for row in rows])}

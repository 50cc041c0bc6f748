from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import Field
from torch import Tensor

from mixexp.probe import Facts, Probe, Rows, Subject


class Fisher(Probe):
    """Fisher's criterion of every layer: how far the classes' means lie apart, over how far a class's images lie from their own.

    J = Σ_c n_c·‖μ_c − μ‖² / Σ_i ‖x_i − μ_{y_i}‖², tr(S_B) / tr(S_W) of a fixed sample of a part with the labels it is trained on; it is
    the same in any units. nan where all images of a class are one point, or with one class.
    samples: so many images at most. layers: None for all, from input to final.
    Rows: layer, criterion, between, within: J and its two sums, each divided by the number of images.
    Source: Tokozume et al. 2018, whose section on BC learning's features compares it for standard and BC learning; koshian2_bc.
    Differs from the paper: which ratio of the two scatters it takes is not stated in what could be read.
    """

    files = {"fisher": ("layer", "criterion", "between", "within")}

    def __init__(
        self,
        part: Literal["train", "test"] = "train",
        samples: Annotated[int, Field(ge=2)] = 2000,
        layers: Annotated[list[str], Field(min_length=1)] | None = None,
    ) -> None:
        self.part, self.samples, self.layers = part, samples, layers

    def check(self, facts: Facts) -> None:
        facts.require_layers(self.layers or ())

    def measure(self, subject: Subject) -> dict[str, Rows]:
        chosen = subject.sample(self.part, self.samples)
        representations, _ = subject.seen(chosen.images, self.layers or subject.layers)
        rows = []
        for layer, points in representations.items():
            between, within = scatters(points, chosen.labels)
            criterion = between / within if within > 0 and between > 0 else math.nan
            rows.append({"layer": layer, "criterion": criterion, "between": between, "within": within})
        return {"fisher": rows}


def scatters(points: Tensor, labels: Tensor) -> tuple[float, float]:
    """tr(S_B) and tr(S_W) of points, float [b, D], of classes, int64 [b], divided by b."""
    points, labels = points.cpu().double(), labels.cpu()  # MPS has no float64
    points = points - points.mean(0)
    counts = labels.bincount().unsqueeze(1)
    sums = points.new_zeros(len(counts), points.shape[1]).index_add_(0, labels, points)
    means = sums / counts.clamp(min=1)
    between = (counts * means.square()).sum().item()
    within = (points - means[labels]).square().sum().item()
    return between / len(points), within / len(points)

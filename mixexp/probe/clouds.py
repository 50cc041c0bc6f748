from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from mixexp.probe import BATCH, Facts, Probe, Rows, Subject


class Clouds(Probe):
    """Shape, size and distance of the clouds that the classes' images form in a network's plane of two features.

    With λ₁ ≥ λ₂ of the covariance of a class's points about their mean μ_c: radius r_c = √(λ₁ + λ₂), elongation √(λ₁ / λ₂) (1 of a round
    cloud), unevenness |log(r_c / geometric mean of all radii)| (0 where all clouds are equally large), separation
    min_k ‖μ_c − μ_k‖ / r_c. A class of fewer than three images, or whose images are one point, has no shape and no row.
    part: the images that are shown, plain. Rows: class, images, radius, elongation, unevenness, separation.
    Source: ours, for what article b (Affinity loss) reads from its scatters. Differs from the paper: that has no number.
    """

    files = ("clouds",)

    def __init__(self, part: Literal["train", "test"] = "train", while_training: bool = False) -> None:
        self.part, self.while_training = part, while_training

    def check(self, facts: Facts) -> None:
        if facts.features != 2:
            raise ValueError(f"probe: clouds are of two features, and this model's last layer has {facts.features}; model=mnist_cnn_2d has two")

    def measure(self, subject: Subject) -> dict[str, Rows]:
        part = subject.part(self.part)
        points = torch.cat([subject.representations(images, ["final"])["final"] for images in part.images.split(BATCH)])
        return {"clouds": shapes(points, part.labels, subject.classes)}


def shapes(points: Tensor, labels: Tensor, names: tuple[str, ...]) -> Rows:
    """The row of each class that has a shape, from points, float [N, 2], and their classes, int64 [N]."""
    points, labels = points.cpu().double(), labels.cpu()  # MPS has no float64
    means, rows = {}, []
    for label, name in enumerate(names):
        own = points[labels == label]
        if len(own) < 3:
            continue
        small, large = torch.linalg.eigvalsh(torch.cov(own.T)).clamp(min=0).tolist()
        if large > 0:
            means[name] = own.mean(0)
            rows.append({"class": name, "images": len(own), "radius": math.sqrt(small + large), "elongation": math.sqrt(large / small) if small else math.inf})
    middle = sum(math.log(row["radius"]) for row in rows) / max(1, len(rows))
    for row in rows:
        nearest = min(((means[row["class"]] - mean).norm().item() for name, mean in means.items() if name != row["class"]), default=math.nan)
        row |= {"unevenness": abs(math.log(row["radius"]) - middle), "separation": nearest / row["radius"]}
    return rows

"""Representations in the plane: two features as they are, the clouds that they form, and t-SNE maps of any number."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from mixexp.probe import Facts, Probe, Rows, Subject


class Features(Probe):
    """The two features that a network gives to its classifier, as points in the plane.

    samples: size of a fixed sample of each part, training and test; while_training: at every evaluation.
    Rows: part, x, y, label, predicted; the last two are names of classes, and label is the one a training image is
    trained on.
    Source: koshian2_affinity, the scatter of training and test features over the epochs.
    Differs from the paper: nothing.
    """

    files: Mapping[str, tuple[str, ...]] = {"features": ("part", "x", "y", "label", "predicted")}

    def __init__(self, samples: Annotated[int, Field(gt=0)] = 1000, while_training: bool = True) -> None:
        self.samples, self.while_training = samples, while_training

    def check(self, facts: Facts) -> None:
        if facts.features != 2:
            raise ValueError(
                f"probe: features are drawn in the plane, and this model's last layer has {facts.features}; "
                "model=mnist_cnn_2d has two, and probe=tsne draws any number"
            )

    def measure(self, subject: Subject) -> dict[str, Rows]:
        rows = []
        for part in ("train", "test"):
            chosen = subject.sample(part, self.samples)
            representations, outputs = subject.seen(chosen.images, ["final"])
            predicted = subject.loss.predict(outputs)
            for (x, y), label, guess in zip(
                representations["final"].tolist(), chosen.labels.tolist(), predicted.tolist(), strict=True
            ):
                rows.append(
                    {"part": part, "x": x, "y": y, "label": subject.classes[label], "predicted": subject.classes[guess]}
                )
        return {"features": rows}


class Clouds(Probe):
    """Shape, size and distance of the clouds that the classes' images form in a network's plane of two features.

    λ₁ ≥ λ₂ are the eigenvalues of the covariance of a class's points about their mean μ_c. Radius r_c = √(λ₁ + λ₂);
    elongation √(λ₁ / λ₂) (1 for a round cloud); unevenness |log(r_c / geometric mean of all radii)| (0 if all clouds
    are equally large); separation min_k ‖μ_c − μ_k‖ / r_c. A class with fewer than three images, or whose images are
    one point, has no shape and no row.
    part: the images, without augmentation; while_training: at every evaluation.
    Rows: class, images, radius, elongation, unevenness, separation.
    Source: ours, for the properties that koshian2_affinity reads from its scatters.
    Differs from the paper: it has no number.
    """

    files: Mapping[str, tuple[str, ...]] = {
        "clouds": ("class", "images", "radius", "elongation", "unevenness", "separation")
    }
    part: Literal["train", "test"]

    def __init__(self, part: Literal["train", "test"] = "train", while_training: bool = False) -> None:
        self.part, self.while_training = part, while_training

    def check(self, facts: Facts) -> None:
        if facts.features != 2:
            raise ValueError(
                f"probe: clouds are of two features, and this model's last layer has {facts.features};"
                " model=mnist_cnn_2d has two"
            )

    def measure(self, subject: Subject) -> dict[str, Rows]:
        part = subject.part(self.part)
        representations, _ = subject.seen(part.images, ["final"])
        return {"clouds": shapes(representations["final"], part.labels, subject.classes)}


def shapes(points: Tensor, labels: Tensor, names: tuple[str, ...]) -> Rows:
    """Rows of the classes that have a shape, from points, float [N, 2], and their classes, int64 [N]."""
    points, labels = points.cpu().double(), labels.cpu()  # MPS has no float64
    means, rows = {}, []
    for label, name in enumerate(names):
        cloud = points[labels == label]
        if len(cloud) < 3:
            continue
        small, large = torch.linalg.eigvalsh(torch.cov(cloud.T)).clamp(min=0).tolist()
        if large > 0:
            means[name] = cloud.mean(0)
            rows.append(
                {
                    "class": name,
                    "images": len(cloud),
                    "radius": math.sqrt(small + large),
                    "elongation": math.sqrt(large / small) if small else math.inf,
                }
            )
    middle = sum(math.log(row["radius"]) for row in rows) / max(1, len(rows))
    for row in rows:
        nearest = min(
            ((means[row["class"]] - mean).norm().item() for name, mean in means.items() if name != row["class"]),
            default=math.nan,
        )
        row |= {"unevenness": abs(math.log(row["radius"]) - middle), "separation": nearest / row["radius"]}
    return rows


class Tsne(Probe):
    """t-SNE of a layer's representations: a map in the plane that keeps neighbours; its distances mean little.

    layer: "final" is the input of the classifier; part: the images; samples: size of a fixed sample of the part;
    perplexity: approximate number of neighbours that count.
    It starts from the first two principal components (at random with a fixed seed for a single feature) and runs on one
    thread, so that it is reproducible.
    Rows: x, y, label, the name of a class.
    Source: van der Maaten and Hinton 2008, by scikit-learn; akira_final_layer shows the final layer under softmax.
    Differs from the paper: the initialisation, which is random there.
    """

    files: Mapping[str, tuple[str, ...]] = {"tsne": ("x", "y", "label")}
    part: Literal["train", "test"]

    def __init__(
        self,
        layer: str = "final",
        part: Literal["train", "test"] = "test",
        samples: Annotated[int, Field(gt=0)] = 1000,
        perplexity: Annotated[float, Field(gt=0)] = 30.0,
    ) -> None:
        self.layer, self.part, self.samples, self.perplexity = layer, part, samples, perplexity

    def check(self, facts: Facts) -> None:
        facts.require_layers([self.layer])
        points = facts.images(self.part, self.samples)
        if points < 3:
            raise ValueError(f"probe: t-SNE of {points} point{'s' * (points > 1)} is meaningless; it needs three")
        if self.perplexity >= points:
            raise ValueError(
                f"probe.perplexity = {self.perplexity}: must be below the number of points, which is {points}"
            )

    def measure(self, subject: Subject) -> dict[str, Rows]:
        from sklearn.manifold import TSNE  # imported here because it takes over a second and only this probe needs it
        from threadpoolctl import threadpool_limits

        part = subject.sample(self.part, self.samples)
        representations, _ = subject.seen(part.images, [self.layer])
        points = representations[self.layer].cpu().numpy()
        start = "pca" if points.shape[1] > 1 else "random"
        with threadpool_limits(limits=1):
            places = TSNE(perplexity=self.perplexity, init=start, random_state=0).fit_transform(points)
        labels = [subject.classes[label] for label in part.labels.tolist()]
        return {
            "tsne": [{"x": x, "y": y, "label": label} for (x, y), label in zip(places.tolist(), labels, strict=True)]
        }

"""What a network is shown where samples are blended."""

from __future__ import annotations

import base64
import io
import itertools
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Annotated

import numpy as np
import torch
from PIL import Image
from pydantic import Field
from scipy.integrate import quad
from torch import Tensor
from torch.nn.functional import interpolate

from mixexp.mix import Mix
from mixexp.probe import BATCH, Facts, Mixed, Probe, Rows, Subject

BINS = 40
"""Of the histogram of weights."""

RATIO = ("lam", "density", "curve")
"""Columns of the file that tells how the weights lie."""
LARGEST = 128
"""Pixels a side: larger images are made smaller, as a CSV's field may have 131,072 characters and no page shows
more."""


def ratio_rows(mix: Mix, lam: Sequence[float]) -> Rows:
    """Rows of lam, density, curve: the histogram of these lam ("drawn"), and the density that they are drawn from
    ("formula"), both as means over a bin, at its middle; no formula where there is none.
    """
    drawn, edges = np.histogram(lam, bins=BINS, range=(0, 1), density=True)
    middles = (edges[:-1] + edges[1:]) / 2
    formula = None
    if mix.density(middles) is not None:
        # at its middle alone, a bin at the end of Beta(0.2, 0.2) would have a third of what is drawn in it
        masses = [
            quad(lambda x: float(mix.density(np.array([x]))[0]), low, high)[0]
            for low, high in itertools.pairwise(edges)
        ]
        formula = np.array(masses) / np.diff(edges)
    curves = {"drawn": drawn, "formula": formula}
    return [
        {"lam": place, "density": value, "curve": curve}
        for curve, values in curves.items()
        if values is not None
        for place, value in zip(middles.tolist(), values.tolist(), strict=True)
    ]


class MixedSamples(Probe):
    """What a network of two classes in the plane is shown: the blends of an epoch's first batches, and how their
    weights lie.

    samples: so many of an epoch, numbered from 0, or all it has.
    Rows of mixed_samples: x, y, the blend at the input as the network sees it; weight, of class 1 in its label; lam, of
    its first part.
    Rows of ratio: lam, density, curve: the histogram of those lam ("drawn"), and the density that they are drawn from
    ("formula") at the middle of each bin, where there is one.
    Source: akira_final_layer, the clouds of mixed points beside the Beta densities.
    Differs from the paper: nothing.
    """

    files: Mapping[str, tuple[str, ...]] = {"mixed_samples": ("x", "y", "weight", "lam"), "ratio": RATIO}

    def __init__(self, samples: Annotated[int, Field(gt=0)] = 500, epoch: Annotated[int, Field(ge=0)] = 0) -> None:
        self.samples, self.epoch = samples, epoch

    def check(self, facts: Facts) -> None:
        facts.require_plane(f"mixed samples are drawn in the plane, for two classes; this data set has {facts.classes}")

    def measure(self, subject: Subject) -> dict[str, Rows]:
        rows = []
        for batch in subject.mixed(self.epoch):
            points = batch.plan.apply(subject.inputs(subject.train.gather(batch.chosen))).flatten(1)
            weights = batch.plan.labels.to_one_hot(2)[:, 1]
            columns = torch.column_stack([points, weights, batch.lam])[: self.samples - len(rows)]
            rows += [dict(zip(("x", "y", "weight", "lam"), values, strict=True)) for values in columns.tolist()]
            if len(rows) == self.samples:
                break
        return {"mixed_samples": rows, "ratio": ratio_rows(subject.mix, [row["lam"] for row in rows])}


class MixedImages(Probe):
    """What a network of images is shown: the first samples of an epoch, augmented, paired and blended as in the run,
    with their labels.

    samples: so many of an epoch, numbered from 0, or all it has.
    Rows of mixed_images: sample, counted from 0; image, a PNG in base64, the network's input with its normalisation
    undone, in 0..255, an image centred on its own mean about mid-grey; clipped, which part of its values lay outside
    and was cut off; labels, the classes with their weights; lam, of its first part; layer, where it is blended: at a
    hidden one the image is the first part, not blended. Rows of ratio: lam, density, curve, of all lam of that epoch:
    see MixedSamples. Source: Zhang et al. 2018, figure 1; Tokozume et al. 2018, figure 1, pictures of blends with their
    labels. Differs from the paper: noise drawn on the device is other noise than the run's.
    """

    files: Mapping[str, tuple[str, ...]] = {
        "mixed_images": ("sample", "image", "clipped", "labels", "lam", "layer"),
        "ratio": RATIO,
    }

    def __init__(self, samples: Annotated[int, Field(gt=0)] = 12, epoch: Annotated[int, Field(ge=0)] = 0) -> None:
        self.samples, self.epoch = samples, epoch

    def check(self, facts: Facts) -> None:
        facts.require_image("mixed_images")
        if facts.shape[0] not in (1, 3):
            raise ValueError(
                f"probe: mixed_images shows grey and colour images, and these have {facts.shape[0]} channels"
            )

    def measure(self, subject: Subject) -> dict[str, Rows]:
        rows: Rows = []
        lam: list[float] = []
        for batch in subject.mixed(self.epoch):
            lam += batch.lam.tolist()
            if len(rows) < self.samples:
                rows += self._rows(subject, batch, len(rows))
        return {"mixed_images": rows, "ratio": ratio_rows(subject.mix, lam)}

    def _rows(self, subject: Subject, batch: Mixed, first: int) -> Rows:
        """Rows of a batch's samples, as many as are missing."""
        plan, lam = batch.plan, batch.lam[: self.samples - first]
        layer = "" if plan.blend is None else batch.layer
        images = subject.augment(subject.train.gather(batch.chosen), batch.augment_draws, subject.normalize)
        samples = plan.apply(images) if layer in ("", "input") else images[plan.rows[0]]
        pixels = 255 * (
            samples[: len(lam)].float() * subject.normalize.std.to(samples) + subject.normalize.mean.to(samples)
        )
        pixels = pixels + 127.5 * subject.normalize.zero_mean
        outside = ((pixels < -0.5) | (pixels > 255.5)).float().mean((1, 2, 3)).tolist()
        labels = plan.labels.to_one_hot(len(subject.classes))[: len(lam)]
        return [
            {
                "sample": first + k,
                "image": _png(pixels[k]),
                "clipped": round(outside[k], 4),
                "labels": ", ".join(
                    f"{subject.classes[c]} {labels[k, c]:.2g}"
                    for c in labels[k].argsort(descending=True, stable=True)
                    if labels[k, c] > 0
                ),
                "lam": value,
                "layer": layer,
            }
            for k, value in enumerate(lam.tolist())
        ]


def _png(pixels: Tensor) -> str:
    """An image, float [C, H, W] in 0..255, as PNG in base64."""
    scale = LARGEST / max(pixels.shape[1:])
    if scale < 1:
        size = [max(1, round(side * scale)) for side in pixels.shape[1:]]
        pixels = interpolate(pixels[None], size=size, mode="area")[0]
    values = pixels.clamp(0, 255).round().to(torch.uint8).permute(1, 2, 0).cpu().numpy()
    file = io.BytesIO()
    Image.fromarray(values[..., 0] if values.shape[2] == 1 else values).save(file, format="PNG")
    return base64.b64encode(file.getvalue()).decode()


class Intrusion(Probe):
    """How often a blend lies nearest to a training image of a class that none of its parts has.

    Such a blend carries a label that its surroundings contradict: akira_final_layer's bad pair. Blends are of an
    epoch's first batches, at the input and without augmentation, but for those of an image with itself; nearest is by
    Euclidean distance in network input, and the parts themselves count.
    samples: so many of an epoch, numbered from 0, or all it has.
    Rows: pair (one class, several classes: of the parts), blends, how many; intrusion, the fraction; a row for each
    that there are. Source: ours, after akira_final_layer's figure of a good and a bad pair. Differs from the paper:
    there the figure is a drawing.
    """

    files: Mapping[str, tuple[str, ...]] = {"intrusion": ("pair", "blends", "intrusion")}

    def __init__(self, samples: Annotated[int, Field(gt=0)] = 1000, epoch: Annotated[int, Field(ge=0)] = 0) -> None:
        self.samples, self.epoch = samples, epoch

    def check(self, facts: Facts) -> None:
        if not facts.blends:
            raise ValueError("probe: intrusion is of blends, and this mix has none; mix=mixup has")

    def measure(self, subject: Subject) -> dict[str, Rows]:
        blends, strangers, left = Counter[str](), Counter[str](), self.samples
        for chosen, _, plan, _ in subject.mixed(self.epoch):
            if not plan.rows:
                continue
            points = plan.apply(subject.inputs(subject.train.gather(chosen)))[:left]
            parts = chosen[torch.stack(plan.rows)][:, :left]  # [parts, B], rows of the training images
            blended = (parts != parts[0]).any(0) & (torch.stack(plan.weights).amax(0)[:left] < 1)
            labels = subject.train.labels[parts]
            alike = (labels == labels[0]).all(0)
            strange = (subject.train.labels[self._nearest(subject, points)] != labels).all(0)
            for name, those in (("one class", alike & blended), ("several classes", ~alike & blended)):
                blends[name] += int(those.sum())
                strangers[name] += int((strange & those).sum())
            left -= len(points)
            if left == 0:
                break
        rows = [
            {"pair": name, "blends": count, "intrusion": strangers[name] / count}
            for name, count in blends.items()
            if count
        ]
        return {"intrusion": rows or [{"pair": "one class", "blends": 0, "intrusion": math.nan}]}

    @staticmethod
    def _nearest(subject: Subject, points: torch.Tensor) -> torch.Tensor:
        """The row of the training image that is nearest to each of the points."""
        best = points.new_full((len(points),), math.inf)
        nearest = torch.zeros(len(points), dtype=torch.int64, device=points.device)
        for start in range(0, len(subject.train), BATCH):
            images = subject.inputs(subject.train.images[start : start + BATCH]).flatten(1)
            distance, row = torch.cdist(points.flatten(1), images).min(1)
            nearest = torch.where(distance < best, row + start, nearest)
            best = torch.minimum(distance, best)
        return nearest

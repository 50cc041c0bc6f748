"""Separation of the classes in the layers of a network: soft nearest neighbour loss and Fisher's criterion."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor

from mixexp.errors import note
from mixexp.probe import Facts, Probe, Rows, Subject

STEP = 0.6
"""Largest step in log T between the temperatures at which the search for the smallest loss begins."""
WIDTH = 1e-4
"""Interval in log T at which the search ends; the loss is flat there, so that its own error is far smaller."""
GOLDEN = (math.sqrt(5) - 1) / 2
INSIDE, LOWEST, HIGHEST, ANYWHERE = "inside", "lowest", "highest", "anywhere"
"""Place of the smallest loss among the temperatures tried; anywhere: the loss is the same at all of them."""
COLUMNS = 4096
"""Columns of a representation that are converted to float64 at once."""


class Measured(NamedTuple):
    """A layer's loss, its temperature, and the place of this temperature among those tried."""

    temperature: float
    loss: float
    minimum: str


class Entanglement(Probe):
    """Soft nearest neighbour loss of every layer: near log C where the classes are mixed, 0 where they are separated.

    l(T) = −(1/b) Σ_i log( Σ_{j≠i, y_j=y_i} exp(−‖x_i−x_j‖²/T) / Σ_{k≠i} exp(−‖x_i−x_k‖²/T) ) (Frosst et al. 2019), on b
    fixed images of a part with the labels they are trained on. An image without another of its class among them has no
    such term and is left out; without any term, the loss is nan.
    temperature: T, in squared units of the layer, or "minimum", the minimum of l over T, which does not depend on units
    and alone compares layers; part: the images; samples: b; layers: names of layers, or null for all; while_training:
    at every evaluation.
    The minimum is sought between a hundredth of the median distance to the nearest neighbour and a hundred times the
    largest distance, on a grid in log T and from its best point by golden section. Memory: b² numbers in float64 per
    layer.
    Rows: layer, temperature, loss, minimum. The column minimum gives the place of the temperature among those tried:
    "inside"; "lowest", where the loss goes to 0 with T because every image's nearest neighbour is of its class, however
    near the others are; "highest", where it approaches the limit in which distances have no meaning; "anywhere", where
    all images are one point; empty for a given temperature. Only losses from inside compare layers; the run notes
    others.
    Source: Frosst, Papernot, Hinton, ICML 2019, arXiv:1902.01889; akira_final_layer quotes its figure per ResNet block.
    Differs from the paper: the minimum is found, where its code takes one gradient step on 1/T; nothing is added inside
    the logarithm.
    """

    files: Mapping[str, tuple[str, ...]] = {"entanglement": ("layer", "temperature", "loss", "minimum")}
    part: Literal["train", "test"]
    temperature: float | Literal["minimum"]

    def __init__(
        self,
        temperature: Annotated[float, Field(gt=0)] | Literal["minimum"],
        part: Literal["train", "test"] = "test",
        samples: Annotated[int, Field(ge=2)] = 1000,
        layers: Annotated[list[str], Field(min_length=1)] | None = None,
        while_training: bool = True,
    ) -> None:
        if layers is not None and len(set(layers)) < len(layers):
            raise ValueError(f"probe.layers = {layers}: a layer is named twice")
        self.temperature, self.part, self.samples, self.layers = temperature, part, samples, layers
        self.while_training = while_training

    def check(self, facts: Facts) -> None:
        facts.require_layers(self.layers or ())
        if facts.images(self.part, self.samples) < 2:
            raise ValueError(f"probe.part = {self.part}: it has one image, and none to compare it with")

    def measure(self, subject: Subject) -> dict[str, Rows]:
        chosen = subject.sample(self.part, self.samples)
        representations, _ = subject.seen(chosen.images, self.layers or subject.layers)
        rows = [
            {"layer": layer, **self.of(points, chosen.labels)._asdict()} for layer, points in representations.items()
        ]
        if any(row["minimum"] not in ("", INSIDE) for row in rows):
            note(
                "probe=entanglement: the smallest loss of some layers lies at the end of the temperatures that are"
                " tried, where it compares no layers (near 0, it says that every image's nearest neighbour is of its"
                " class); the column minimum of probe_entanglement.csv says of which, and probe.temperature=T measures"
                " all at one"
            )
        return {"entanglement": rows}

    def of(self, points: Tensor, labels: Tensor) -> Measured:
        """Loss of points, float [b, D], of classes, int64 [b]."""
        if points.device.type == "mps":  # it has no float64
            points, labels = points.cpu(), labels.cpu()
        distances = _squared_distances(points)
        alike = (labels.unsqueeze(0) == labels.unsqueeze(1)).fill_diagonal_(False)
        counted = alike.any(1)
        if not counted.any():
            return Measured(math.nan, math.nan, "")
        distances, alike = distances[counted], alike[counted]
        if self.temperature != "minimum":
            return Measured(float(self.temperature), _loss(distances, alike, self.temperature), "")
        return _smallest(distances, alike)


def _squared_distances(points: Tensor) -> Tensor:
    """‖x_i − x_j‖², float64 [b, b], with ∞ on the diagonal, from products of centred points: b² numbers, not b²·D."""
    products = points.new_zeros(len(points), len(points), dtype=torch.float64)
    for columns in points.split(COLUMNS, dim=1):
        centred = columns.double()
        centred -= centred.mean(0)
        products.addmm_(centred, centred.T)
    squares = products.diagonal()
    distances = (squares.unsqueeze(0) + squares.unsqueeze(1) - 2 * products).clamp_(min=0)
    return distances.fill_diagonal_(math.inf)


def _loss(distances: Tensor, alike: Tensor, temperature: float) -> float:
    exponents = distances / -temperature
    every = exponents.logsumexp(1)
    return (every - exponents.masked_fill_(~alike, -math.inf).logsumexp(1)).mean().item()


def _smallest(distances: Tensor, alike: Tensor) -> Measured:
    """Smallest loss over T."""
    finite = torch.where(distances.isinf(), 0.0, distances)
    nearest = torch.where(distances > 0, distances, math.inf).amin(1)
    nearest = nearest[nearest.isfinite()]
    if not len(nearest):  # all points are equal, or not numbers
        loss = _loss(distances, alike, 1.0)
        return Measured(1.0, loss, ANYWHERE if math.isfinite(loss) else "")
    low, high = math.log(nearest.median().item() / 100), math.log(finite.max().item() * 100)

    def at(position: float) -> float:
        return _loss(distances, alike, math.exp(position))

    if not math.isfinite(high - low):  # the network has diverged
        return Measured(math.nan, math.nan, "")
    count = math.ceil((high - low) / STEP)
    step = (high - low) / count
    grid = {low + k * step: at(low + k * step) for k in range(count + 1)}
    best = min(grid, key=grid.__getitem__)
    left, right = max(low, best - step), min(high, best + step)
    tried = {best: grid[best]}
    inner, outer = right - GOLDEN * (right - left), left + GOLDEN * (right - left)
    tried |= {inner: at(inner), outer: at(outer)}
    while right - left > WIDTH:
        if tried[inner] <= tried[outer]:
            right, outer = outer, inner
            inner = right - GOLDEN * (right - left)
            tried[inner] = at(inner)
        else:
            left, inner = inner, outer
            outer = left + GOLDEN * (right - left)
            tried[outer] = at(outer)
    position = min(tried, key=tried.__getitem__)
    minimum = LOWEST if position - low <= WIDTH else HIGHEST if high - position <= WIDTH else INSIDE
    return Measured(math.exp(position), tried[position], minimum)


class Fisher(Probe):
    """Fisher's criterion of every layer: the scatter of the classes' means over the scatter within the classes.

    J = Σ_c n_c·‖μ_c − μ‖² / Σ_i ‖x_i − μ_{y_i}‖², tr(S_B) / tr(S_W) of a fixed sample of a part with the labels it is
    trained on; it does not depend on units. It is nan if all images of each class are one point, or with one class.
    part: the images; samples: largest number of images; layers: names of layers, or null for all, from input to final.
    Rows: layer, criterion, between, within: J and its two sums, each divided by the number of images.
    Source: Tokozume et al. 2018, whose section on BC learning's features compares it for standard and BC learning;
    koshian2_bc.
    Differs from the paper: the sources we could read do not state which ratio of the two scatters it takes.
    """

    files: Mapping[str, tuple[str, ...]] = {"fisher": ("layer", "criterion", "between", "within")}
    part: Literal["train", "test"]

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
    """tr(S_B) and tr(S_W), divided by b, of points, float [b, D], of classes, int64 [b]."""
    points, labels = points.cpu().double(), labels.cpu()  # MPS has no float64
    points = points - points.mean(0)
    counts = labels.bincount().unsqueeze(1)
    sums = points.new_zeros(len(counts), points.shape[1]).index_add_(0, labels, points)
    means = sums / counts.clamp(min=1)
    between = (counts * means.square()).sum().item()
    within = (points - means[labels]).square().sum().item()
    return between / len(points), within / len(points)

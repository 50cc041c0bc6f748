"""How far the classes lie apart in the layers of a network: how entangled they are, and Fisher's criterion."""

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
"""Of log T, at most, from one temperature to the next at which the search for the smallest loss begins."""
WIDTH = 1e-4
"""Of log T, at which it ends; the loss is flat there, so its own error is smaller by far."""
GOLDEN = (math.sqrt(5) - 1) / 2
INSIDE, LOWEST, HIGHEST, ANYWHERE = "inside", "lowest", "highest", "anywhere"
"""Where among the temperatures that are tried the smallest loss lies; anywhere: it is the same at all of them."""
COLUMNS = 4096
"""Of a representation that are turned into float64 at once."""


class Measured(NamedTuple):
    """A layer's loss, at which temperature, and where this lies among those that are tried."""

    temperature: float
    loss: float
    minimum: str


class Entanglement(Probe):
    """Soft nearest neighbour loss of every layer: how mixed the classes lie there, near log C where not separated, 0
    where apart.

    l(T) = −(1/b) Σ_i log( Σ_{j≠i, y_j=y_i} exp(−‖x_i−x_j‖²/T) / Σ_{k≠i} exp(−‖x_i−x_k‖²/T) ) (Frosst et al. 2019), on b
    fixed images of a part with the labels they are trained on. Images without another of their class among them have no
    such term and count nowhere; where there is none with one, the loss is nan.
    temperature: T, in squared units of the layer, or "minimum": of l over T, which other units do not change and which
    alone compares layers. It is sought between a hundredth of the median distance to the nearest neighbour and a
    hundred times the largest distance, on a grid in log T and from its best point by golden section. layers: None for
    all. Memory: b² numbers in float64 a layer. Rows: layer, temperature, loss, minimum. minimum says where the
    temperature lies among those that are tried: "inside"; "lowest", where the loss goes to 0 with T as every image's
    nearest neighbour is of its class, however near the others are; "highest", where it goes to the limit of no distance
    having a meaning; "anywhere", where all images are one point; empty for a given temperature. Only losses from inside
    compare layers, and the run notes others. Source: Frosst, Papernot, Hinton, ICML 2019, arXiv:1902.01889; its figure
    per ResNet block is quoted by akira_final_layer. Differs from the paper: the minimum is found, where its code takes
    one gradient step on 1/T; nothing is added inside the logarithm.
    """

    files: Mapping[str, tuple[str, ...]] = {"entanglement": ("layer", "temperature", "loss", "minimum")}

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
        """The loss of points, float [b, D], of classes, int64 [b]."""
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
    """‖x_i − x_j‖², float64 [b, b], with ∞ on the diagonal, from the centred points' products: b² numbers at once, not
    b²·D."""
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
    """The smallest loss over T."""
    finite = torch.where(distances.isinf(), 0.0, distances)
    nearest = torch.where(distances > 0, distances, math.inf).amin(1)
    nearest = nearest[nearest.isfinite()]
    if not len(nearest):  # all points are one, or no numbers
        loss = _loss(distances, alike, 1.0)
        return Measured(1.0, loss, ANYWHERE if math.isfinite(loss) else "")
    low, high = math.log(nearest.median().item() / 100), math.log(finite.max().item() * 100)

    def at(position: float) -> float:
        return _loss(distances, alike, math.exp(position))

    if not math.isfinite(high - low):  # a network that has diverged
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
    """Fisher's criterion of every layer: how far the classes' means lie apart, over how far a class's images lie from
    their own.

    J = Σ_c n_c·‖μ_c − μ‖² / Σ_i ‖x_i − μ_{y_i}‖², tr(S_B) / tr(S_W) of a fixed sample of a part with the labels it is
    trained on; it is the same in any units. nan where all images of a class are one point, or with one class.
    samples: so many images at most. layers: None for all, from input to final.
    Rows: layer, criterion, between, within: J and its two sums, each divided by the number of images.
    Source: Tokozume et al. 2018, whose section on BC learning's features compares it for standard and BC learning;
    koshian2_bc. Differs from the paper: which ratio of the two scatters it takes is not stated in what could be read.
    """

    files: Mapping[str, tuple[str, ...]] = {"fisher": ("layer", "criterion", "between", "within")}

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

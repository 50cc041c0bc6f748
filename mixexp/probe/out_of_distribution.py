from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Literal

import numpy as np
import torch
from pydantic import Field
from scipy.special import logsumexp, softmax
from scipy.stats import rankdata
from torch import Tensor
from torchvision.transforms.v2 import functional as TF

from mixexp import streams
from mixexp.dataset import Dataset
from mixexp.errors import UserError
from mixexp.probe import BATCH, Facts, Probe, Rows, Subject

NOISE_SEED = 0
"""The seed of the noise images, which are the same in all runs."""
Noise = Literal["gaussian", "uniform"]

_formats: dict[str, tuple[str, tuple[int, ...]]] = {}
"""Kind and image shape of the data sets that have been checked, which a sweep checks for every cell."""


class OutOfDistribution(Probe):
    """Detection of images of another distribution by the network's scores z (Loss.scores): AUROC and FPR95.

    A detector takes an image for one of the run's own distribution where its score is large: max_softmax,
    max_c softmax(z)_c (Hendrycks and Gimpel 2017); energy, log Σ_c exp(z_c), the negative energy at temperature 1 (Liu
    et al. 2020). The run's test images are the positive class, the other images the negative one.
    noise: images of noise, as many as test images and the same in all runs: gaussian, every value ~ N(0.5, 1) clipped
    to 0…1, or uniform, U(0, 1), of the pixels' range (both Liang et al. 2018, ODIN); samples: largest number of images
    of each side, or null for all; others: data sets of pictures by name, whose test images are the other side, made
    grey or repeated to three channels, and resized to cover the run's size (bilinear, antialiased), then cropped.
    Rows: other (the name of a data set, gaussian_noise or uniform_noise), score (max_softmax, energy), auroc, fpr95,
    in_images, out_images.
    Source: Hendrycks and Gimpel 2017; Liu et al. 2020; Liang et al. 2018.
    Differs from the paper: Hendrycks and Gimpel also report areas under precision and recall, which depend on the
    number of images of each side; a resized data set is easier or harder to detect than one of the same size.
    """

    files: Mapping[str, tuple[str, ...]] = {
        "out_of_distribution": ("other", "score", "auroc", "fpr95", "in_images", "out_images")
    }

    def __init__(
        self, noise: list[Noise] | None = None, samples: Annotated[int, Field(gt=0)] | None = None, **others: Dataset
    ) -> None:
        self.noise, self.samples, self.others_by_name = list(dict.fromkeys(noise or ())), samples, others
        if not self.noise and not others:
            raise ValueError(
                "probe.noise = []: there is nothing to detect; name noise, or a data set with"
                " +dataset@probe.NAME=OPTION, such as +dataset@probe.mnist=mnist"
            )
        for kind in self.noise:
            if _named(kind) in others:
                raise ValueError(f"probe.{_named(kind)}: the name is that of noise; give the data set another one")

    def check(self, facts: Facts) -> None:
        facts.require_image("detection of other images")
        for name, dataset in self.others_by_name.items():
            try:
                kind, shape = _format(dataset)
            except UserError as error:
                raise ValueError(f"probe.{name}: {error}") from error
            if kind != "image":
                raise ValueError(f"probe.{name}: it needs a data set of images, and this one's kind is {kind}")
            if shape[0] != facts.shape[0] and {shape[0], facts.shape[0]} != {1, 3}:
                raise ValueError(
                    f"probe.{name}: its images have {shape[0]} channels and the run's {facts.shape[0]}; only 1"
                    " and 3 can be made of each other"
                )

    def measure(self, subject: Subject) -> dict[str, Rows]:
        own = subject.scores(subject.sample("test", self.samples).images)
        rows = []
        for name, batches in self._others(subject, len(own)):
            other = np.concatenate([subject.scores(images) for images in batches])
            for score, detect in DETECTORS.items():
                inside, outside = detect(own), detect(other)
                detected = {"auroc": auroc(inside, outside), "fpr95": fpr95(inside, outside)}
                counts = {"in_images": len(inside), "out_images": len(outside)}
                rows.append({"other": name, "score": score, **detected, **counts})
        return {"out_of_distribution": rows}

    def _others(self, subject: Subject, count: int) -> Iterator[tuple[str, Iterator[Tensor]]]:
        """The name of each other set and its images in batches, float32 in the range of the run's images."""
        shape = tuple(subject.test.images.shape[1:])
        for kind in self.noise:
            yield _named(kind), (images * subject.normalize.unit for images in noise_of(kind, count, shape))
        for name, dataset in self.others_by_name.items():
            images = dataset.load().test_images
            if self.samples is not None and self.samples < len(images):
                rng = streams.generator(subject.seed, f"probe other {name}")
                images = images[torch.from_numpy(np.sort(rng.permutation(len(images))[: self.samples]))]
            yield name, (converted(some, shape) * subject.normalize.unit for some in images.split(BATCH))


def _named(kind: str) -> str:
    return f"{kind}_noise"


def _format(dataset: Dataset) -> tuple[str, tuple[int, ...]]:
    key = f"{type(dataset)} {vars(dataset)}"
    if key not in _formats:
        _formats[key] = dataset.kind, tuple(dataset.load().test_images.shape[1:])
    return _formats[key]


def noise_of(kind: Noise, count: int, shape: tuple[int, ...]) -> Iterator[Tensor]:
    """Images of noise in batches, float32 [B, C, H, W] in 0…1."""
    rng = streams.generator(NOISE_SEED, f"probe {kind} noise")
    for start in range(0, count, BATCH):
        size = (min(BATCH, count - start), *shape)
        values = rng.normal(0.5, 1.0, size).clip(0, 1) if kind == "gaussian" else rng.random(size)
        yield torch.from_numpy(values.astype(np.float32))


def converted(images: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Pictures, uint8 or float32 [B, 1 or 3, h, w], as float32 [B, C, H, W] in 0…1 of that shape [C, H, W]."""
    images = images / 255 if images.dtype == torch.uint8 else images.float()
    channels, height, width = shape
    if images.shape[1] != channels:
        images = TF.rgb_to_grayscale(images) if channels == 1 else images.expand(-1, channels, -1, -1)
    factor = max(height / images.shape[2], width / images.shape[3])
    covering = [max(height, round(images.shape[2] * factor)), max(width, round(images.shape[3] * factor))]
    if covering != list(images.shape[2:]):
        images = TF.resize(images, covering, antialias=True)
    return TF.center_crop(images, [height, width])


def max_softmax(scores: np.ndarray) -> np.ndarray:
    """The largest probability, float64 [N], of scores [N, C]."""
    return softmax(scores, axis=1).max(1)


def energy(scores: np.ndarray) -> np.ndarray:
    """The negative energy log Σ exp(z) at temperature 1, float64 [N], of scores [N, C]."""
    return np.asarray(logsumexp(scores, axis=1))


DETECTORS = {"max_softmax": max_softmax, "energy": energy}


def auroc(inside: np.ndarray, outside: np.ndarray) -> float:
    """P(inside > outside) + P(equal)/2 of scores [N] and [M], larger for what is inside: the Mann–Whitney statistic."""
    ranks = rankdata(np.concatenate([inside, outside]))
    above = ranks[: len(inside)].sum() - len(inside) * (len(inside) + 1) / 2
    return float(above / (len(inside) * len(outside)))


def fpr95(inside: np.ndarray, outside: np.ndarray) -> float:
    """Fraction of `outside` that is accepted where the threshold accepts at least 95 % of `inside`.

    The threshold is the largest such score of `inside`, and scores equal to it are accepted; nothing is interpolated.
    """
    needed = -(-95 * len(inside) // 100)
    threshold = np.sort(inside)[len(inside) - needed]
    return float((outside >= threshold).mean())

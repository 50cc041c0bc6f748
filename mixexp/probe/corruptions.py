from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from mixexp import calibration, streams
from mixexp.corruptions import SEVERITIES, STRENGTHS, corrupted
from mixexp.errors import closest
from mixexp.probe import BATCH, Facts, Probe, Rows, Subject
from mixexp.text import listed

NOISE_SEED = 0
"""The seed of the noise, which is the same in all runs."""
BENCHMARK = (
    "gaussian_noise", "shot_noise", "impulse_noise", "defocus_blur", "glass_blur", "motion_blur", "zoom_blur", "snow",
    "frost", "fog", "brightness", "contrast", "elastic_transform", "pixelate", "jpeg_compression",
)  # fmt: skip
"""The fifteen corruptions of the benchmark; its folder has four others, for validation."""


class Corruptions(Probe):
    """Accuracy and calibration error on corrupted test images, by corruption and severity from 1 to 5.

    folder: the unpacked folder of CIFAR-10-C or CIFAR-100-C, or one with the same files: an array of images for each
    corruption, NAME.npy, uint8 [5·n, H, W, 3], severity after severity, and labels.npy with the classes of all, [5·n].
    Without a folder, the run's test images are corrupted with torchvision (mixexp.corruptions), and the numbers are not
    those of CIFAR-10-C. corruptions: their names, or null for all: the fifteen of the benchmark, or torchvision's six;
    severities: some of 1 to 5; samples: size of a fixed sample of the test images of each, or null for all.
    Rows of corruptions: source (folder, torchvision), corruption, severity, images, accuracy, error, ece (15 bins); one
    row "none", severity 0, for the run's own test images.
    Rows of corruptions_mean: source, corruptions, accuracy, error, ece, the mean over all corruptions and severities
    measured, a single row.
    Source: Hendrycks and Dietterich 2019, ImageNet-C and CIFAR-10-C.
    Differs from the paper: its mCE divides by the errors of AlexNet; this mean divides by nothing, as is usual for
    CIFAR-10-C.
    """

    files: Mapping[str, tuple[str, ...]] = {
        "corruptions": ("source", "corruption", "severity", "images", "accuracy", "error", "ece"),
        "corruptions_mean": ("source", "corruptions", "accuracy", "error", "ece"),
    }

    def __init__(
        self,
        folder: str | None = None,
        corruptions: Annotated[list[str], Field(min_length=1)] | None = None,
        severities: Annotated[list[Literal[1, 2, 3, 4, 5]], Field(min_length=1)] | None = None,
        samples: Annotated[int, Field(gt=0)] | None = None,
    ) -> None:
        self.folder = None if folder is None else Path(folder).expanduser()
        self.names = list(dict.fromkeys(corruptions or (STRENGTHS if folder is None else BENCHMARK)))
        self.severities = sorted(set(severities or SEVERITIES))
        self.samples = samples

    def check(self, facts: Facts) -> None:
        facts.require_image("a corruption of pictures")
        if self.folder is not None:
            Benchmark.of(self.folder, self.names).check(facts)
            return
        if facts.shape[0] not in (1, 3):
            raise ValueError(f"probe: pictures with 1 or 3 channels can be corrupted, and these have {facts.shape[0]}")
        for name in self.names:
            if name not in STRENGTHS:
                raise ValueError(
                    f"probe.corruptions: torchvision's corruptions are {listed(STRENGTHS, name)}, and {name!r} is none;"
                    f" those of CIFAR-10-C need probe.folder.{closest(name, STRENGTHS)}"
                )

    def measure(self, subject: Subject) -> dict[str, Rows]:
        clean = subject.sample("test", self.samples)
        labels = clean.labels.cpu().numpy()
        source = "torchvision" if self.folder is None else "folder"
        rows = [self._row(source, "none", 0, subject.scores(clean.images), labels)]
        benchmark = None if self.folder is None else Benchmark.of(self.folder, self.names)
        for name in self.names:
            for severity in self.severities:
                if benchmark is None:
                    batches = self._corrupted(clean.images, name, severity)
                else:
                    batches, labels = benchmark.read(name, severity, self.samples, subject.seed)
                unit = subject.normalize.unit
                scores = np.concatenate([subject.scores(images.float() * (unit / 255)) for images in batches])
                rows.append(self._row(source, name, severity, scores, labels))
        means = {name: float(np.mean([row[name] for row in rows[1:]])) for name in ("accuracy", "error", "ece")}
        return {"corruptions": rows, "corruptions_mean": [{"source": source, "corruptions": len(self.names), **means}]}

    def _corrupted(self, images: Tensor, name: str, severity: int) -> Iterator[Tensor]:
        """The images in batches, uint8 on the host, with a corruption."""
        rng = streams.generator(NOISE_SEED, f"probe corruptions {name} {severity}")
        for some in images.split(BATCH):
            plain = some.cpu()
            grey = plain if plain.dtype == torch.uint8 else (255 * plain).round().clamp(0, 255).to(torch.uint8)
            yield corrupted(grey, name, severity, rng)

    @staticmethod
    def _row(source: str, name: str, severity: int, scores: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
        probabilities = calibration.probabilities_of(scores)
        accuracy = calibration.accuracy(probabilities, labels)
        measures = {"accuracy": accuracy, "error": 1 - accuracy, "ece": calibration.ece(probabilities, labels)}
        return {"source": source, "corruption": name, "severity": severity, "images": len(labels), **measures}


class Benchmark(NamedTuple):
    """The arrays of a folder in the format of CIFAR-10-C, which stay on the disk until they are read."""

    folder: Path
    images: Mapping[str, np.ndarray]
    labels: np.ndarray

    @classmethod
    def of(cls, folder: Path, names: Sequence[str]) -> Benchmark:
        """The folder's arrays; raises ValueError with what is missing or cannot be read."""
        if not folder.is_dir():
            raise ValueError(
                f"probe.folder = {folder}: there is no such folder; CIFAR-10-C is at https://zenodo.org/records/2535967"
            )
        there = sorted(path.stem for path in folder.glob("*.npy"))
        missing = [name for name in ("labels", *names) if name not in there]
        if missing:
            raise ValueError(
                f"probe.folder = {folder}: it has no {', '.join(f'{name}.npy' for name in missing)}; there are"
                f" {listed(there, missing[0]) or 'no .npy files'}.{closest(missing[0], there)} probe.corruptions names"
                " those to measure"
            )
        arrays = {}
        for name in ("labels", *names):
            try:
                arrays[name] = np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)
            except (OSError, ValueError) as error:
                raise ValueError(f"probe.folder = {folder}: {name}.npy cannot be read: {error}") from error
        return cls(folder, arrays, arrays.pop("labels"))

    def check(self, facts: Facts) -> None:
        """Raise ValueError unless the arrays are images of the run's shape and labels of its classes."""
        where = f"probe.folder = {self.folder}"
        labels, (channels, height, width) = self.labels, facts.shape
        if labels.ndim != 1 or labels.dtype.kind not in "iu" or not len(labels) or len(labels) % len(SEVERITIES):
            raise ValueError(
                f"{where}: labels.npy is {labels.dtype} {list(labels.shape)}; it needs whole numbers [5·n], a fifth for"
                " each severity"
            )
        if not 0 <= labels.min() <= labels.max() < facts.classes:
            raise ValueError(
                f"{where}: its labels lie in {labels.min()}..{labels.max()}, expected 0..{facts.classes - 1}"
            )
        for name, images in self.images.items():
            if images.dtype != np.uint8 or images.shape != (len(labels), height, width, channels):
                raise ValueError(
                    f"{where}: {name}.npy is {images.dtype} {list(images.shape)}; the run's data set and labels.npy"
                    f" need uint8 {[len(labels), height, width, channels]}"
                )

    def read(self, name: str, severity: int, most: int | None, seed: int) -> tuple[Iterator[Tensor], np.ndarray]:
        """The images of a severity in batches, uint8 [B, C, H, W], and their labels; `most` are a fixed sample."""
        size = len(self.labels) // len(SEVERITIES)
        rows = np.arange(size)
        if most is not None and most < size:
            rows = np.sort(streams.generator(seed, "probe corruptions").permutation(size)[:most])
        rows = rows + (severity - 1) * size
        batches = np.split(rows, range(BATCH, len(rows), BATCH))
        images = (
            torch.from_numpy(np.ascontiguousarray(self.images[name][some].transpose(0, 3, 1, 2))) for some in batches
        )
        return images, np.asarray(self.labels[rows], dtype=np.int64)

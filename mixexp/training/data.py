"""From a data set to the input of the loop: chosen images on the device, their labels, and the normalisation."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from mixexp import streams
from mixexp.build import build, locate
from mixexp.dataset import Dataset, Splits
from mixexp.dataset.files import place_name
from mixexp.dataset.split import shuffled, stratified_part
from mixexp.errors import UserError
from mixexp.imbalance import Imbalance, cut
from mixexp.label_noise import LabelNoise
from mixexp.subset import Subset
from mixexp.text import sanitize

SHOWN = 10
"""The most classes that a note names."""
ADVICE = {
    "subset": "; take more images, or as many of every class with subset=balanced",
    "validation": "; hold out fewer images",
    "label_noise": "; lower its rate, or take more images",
    "test.n": "; take more images",
}
"""Advice, by the setting that leaves a single class."""
TEST_PART_SEED = 0
"""The seed of the part of the test set that test.n selects.

It is independent of a run's seeds, so that all runs are evaluated on the same images.
"""


@dataclass(frozen=True)
class SelectedData:
    """The images of a data set that a run uses: int64 index arrays, and the training labels after noise.

    test_of: the size of the test set that ``test`` is taken from.
    """

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    train_labels: np.ndarray
    test_of: int

    def digest(self) -> str:
        """Hash of the indices and labels, recorded with a run: equal hashes mean the same data."""
        parts = (self.train, self.validation, self.test, self.train_labels)
        return hashlib.sha256(
            b"".join(np.ascontiguousarray(p, dtype=np.int64).tobytes() + b"|" for p in parts)
        ).hexdigest()[:16]


@dataclass(frozen=True)
class DataSplit:
    """Images, uint8 or float32 [N, C, H, W] in channels_last, and labels, int64 [N], on the device."""

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def gather(self, rows: Tensor) -> Tensor:
        """The images of the given rows, [B, C, H, W] in channels_last: one copy of a whole image each."""
        return self.images.permute(0, 2, 3, 1).index_select(0, rows).permute(0, 3, 1, 2)


class Normalize:
    """(x/unit − mean) / std per channel: float32 in channels_last from uint8 or float32 [B, C, H, W].

    unit: 255 for uint8, 1 for float32. With zero_mean each image is first centred on its own mean. Centring (Tokozume
    et al. 2018, for BC+) changes the statistics, so mean and std are then those of the centred training images.
    """

    def __init__(self, mean: list[float], std: list[float], unit: int, width: int, zero_mean: bool) -> None:
        """unit: 255 for uint8 images, 1 for float32; width: of an image."""
        self.unit, self.zero_mean = unit, zero_mean
        shape = (1, -1, 1, 1)
        self.mean = torch.tensor(mean, dtype=torch.float32).view(shape)
        self.std = torch.tensor(std, dtype=torch.float32).view(shape)
        # repeated along a row of pixels: a broadcast over the three values of a pixel runs at a third of the speed
        self._scale, self._shift = (
            (1 / (unit * self.std)).flatten().repeat(width),
            (-self.mean / self.std).flatten().repeat(width),
        )

    @classmethod
    def of(cls, images: Tensor, mean: list[float] | None, std: list[float] | None, zero_mean: bool) -> Normalize:
        """The normalisation of a data set; mean and std: as it states them, None for those of its training images."""
        if zero_mean or mean is None or std is None:
            data_mean, data_std = _statistics(images, zero_mean)
            mean = data_mean if zero_mean or mean is None else mean
            std = data_std if zero_mean or std is None else std
        return cls(mean, std, _unit(images), images.shape[3], zero_mean)

    def to(self, device: torch.device) -> Normalize:
        """This normalisation, moved to another device."""
        self._scale, self._shift = self._scale.to(device), self._shift.to(device)
        return self

    def __call__(self, images: Tensor) -> Tensor:
        count, channels, height, width = images.shape
        x = images.permute(0, 2, 3, 1).reshape(count * height, width * channels).float()
        if self.zero_mean:
            x = x.view(count, -1)
            x = (x - x.mean(1, keepdim=True)).view(count * height, -1)
        return torch.addcmul(self._shift, x, self._scale).view(count, height, width, channels).permute(0, 3, 1, 2)


def _unit(images: Tensor) -> int:
    """The value of the images that mean and std count as 1."""
    return 255 if images.dtype == torch.uint8 else 1


def _statistics(images: Tensor, zero_mean: bool) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of every channel, summed in float64 chunk by chunk; those of uint8 in 0..1 units.

    A constant channel gets std 1.
    """
    total = squares = torch.zeros((), dtype=torch.float64)
    count = images[:, 0].numel()
    for chunk in images.split(5000):
        x = chunk.cpu().double() / _unit(images)
        if zero_mean:
            x -= x.mean((1, 2, 3), keepdim=True)
        total = total + x.sum((0, 2, 3))
        squares = squares + x.square().sum((0, 2, 3))
    mean = total / count
    std = (squares / count - mean.square()).clamp(min=0).sqrt()
    # a smaller deviation is rounding error
    return mean.tolist(), torch.where(std > 1e-6, std, 1.0).tolist()


@functools.lru_cache(maxsize=1)
def _load(key: str, trusted: tuple[str, ...]) -> tuple[Dataset, Splits]:
    dataset = build(json.loads(key), trusted)
    splits = dataset.load()
    train, test = (
        images.contiguous(memory_format=torch.channels_last) for images in (splits.train_images, splits.test_images)
    )
    return dataset, dataclasses.replace(splits, train_images=train, test_images=test)


def load(node: Mapping[str, Any], trusted: tuple[str, ...] = ()) -> tuple[Dataset, Splits]:
    """The data set that a node describes and its images, in channels_last.

    The last one is cached for a sweep's next run.
    """
    return _load(json.dumps(node, sort_keys=True), trusted)


def placed(node: Any, trusted: Any) -> Any:
    """The node with the place of the user's file or folder fixed, where it is relative to the working directory."""
    if not isinstance(node, Mapping) or not isinstance(node.get("root"), str):
        return node
    try:
        modules = [name for name in trusted if isinstance(name, str)] if isinstance(trusted, list) else []
        kind = cast("Any", getattr(locate(node.get("_target_"), modules), "path", None))
    except UserError:  # the check of the configuration says so
        return node
    name = node.get(kind)
    return {**node, kind: place_name(kind, name, node["root"])} if isinstance(name, str) else node


def select_data(
    splits: Splits,
    subset: Subset,
    imbalance: Imbalance,
    label_noise: LabelNoise,
    validation: float,
    data_seed: int,
    test_n: int | None = None,
) -> SelectedData:
    """The images of a run: subset, then imbalance, then the validation part, then noise on the training labels left.

    Every draw comes from data_seed except that of the test_n images that evaluations use: they are the same in all runs
    whose imbalance leaves the same test set. Raises ValueError when the data are too few for the settings, or a setting
    leaves one class.
    """
    num_classes = len(splits.classes)
    train_labels, test_labels = splits.train_labels.numpy(), splits.test_labels.numpy()
    _refuse_one_class(splits, "dataset", "training", train_labels)
    _refuse_one_class(splits, "dataset", "test", test_labels)
    train = subset.select(train_labels, num_classes, streams.generator(data_seed, "subset"))
    _refuse_one_class(splits, "subset", "training", train_labels[train])
    counts = [np.bincount(labels, minlength=num_classes) for labels in (train_labels[train], test_labels)]
    keep_train, keep_test = imbalance.keep_counts(counts[0], counts[1], len(train_labels) / len(test_labels))
    purposes = ("imbalance", "imbalance of the test set")
    train_rng, test_rng = (streams.generator(data_seed, purpose) for purpose in purposes)
    train = train[cut(train_labels[train], keep_train, train_rng, imbalance.which)]
    test = cut(test_labels, keep_test, test_rng, imbalance.which)
    _refuse_one_class(splits, "imbalance", "training", train_labels[train])
    _refuse_one_class(splits, "imbalance", "test", test_labels[test])
    test_of = len(test)
    if test_n is not None:
        test = _part_of_test(test, test_labels, test_n)
        _refuse_one_class(splits, "test.n", "test", test_labels[test])
    held_out = streams.generator(data_seed, "validation").permutation(len(train))[: round(validation * len(train))]
    if validation and not 0 < len(held_out) < len(train):
        raise ValueError(f"validation = {validation}: holds out {len(held_out)} of {len(train)} training images")
    validation_rows, train = train[np.sort(held_out)], np.delete(train, held_out)
    _refuse_one_class(splits, "validation", "training", train_labels[train])
    labels = label_noise.corrupt(train_labels[train], num_classes, streams.generator(data_seed, "label_noise"))
    _refuse_one_class(splits, "label_noise", "training", labels)
    return SelectedData(train, validation_rows, test, labels, test_of)


def _part_of_test(rows: np.ndarray, labels: np.ndarray, size: int) -> np.ndarray:
    """Some of the test rows, int64 [size], with classes in proportion.

    labels: of the whole test set, whose order of drawing is fixed.
    """
    if size > len(rows):
        raise ValueError(
            f"test.n = {size}: the test set has {len(rows)} images; give {len(rows)} at most, or null for all of them"
        )
    order = shuffled(len(labels), streams.generator(TEST_PART_SEED, "test part").bit_generator)
    return rows[stratified_part(labels[rows], size, order[rows])]


def _refuse_one_class(splits: Splits, setting: str, part: str, labels: np.ndarray) -> None:
    """Raise ValueError where a setting leaves images of a single class, which makes classification meaningless."""
    if len(present := np.unique(labels)) == 1:
        name, advice = sanitize(splits.classes[present[0]]), ADVICE.get(setting, "")
        verb = "has" if setting == "dataset" else "leaves"
        raise ValueError(
            f"{setting}: it {verb} {len(labels)} {part} images, all of the class {name}; two classes are needed{advice}"
        )


def missing_classes(splits: Splits, choice: SelectedData) -> list[str]:
    """The classes that a run cannot measure, in words: those without images in one part that have some in another."""
    parts = {"training": choice.train_labels, "validation": splits.train_labels.numpy()[choice.validation]}
    parts["test"] = splits.test_labels.numpy()[choice.test]
    present = {name: set(np.unique(labels).tolist()) for name, labels in parts.items() if len(labels)}
    everywhere = set().union(*present.values())
    lines = []
    for name, labels in present.items():
        if missing := sorted(everywhere - labels):
            shown = ", ".join(splits.classes[label] for label in missing[:SHOWN])
            more = f" and {len(missing) - SHOWN} more" if len(missing) > SHOWN else ""
            lines.append(f"{len(missing)} of {len(splits.classes)} classes have no {name} image: {shown}{more}")
    return lines


def part(images: Tensor, labels: np.ndarray | Tensor, rows: np.ndarray, device: torch.device) -> DataSplit:
    """The chosen rows of images, in rising order, on the device, with labels, int64, one per chosen row."""
    # in rising order, all rows are the images themselves; on the CPU that saves a second copy
    chosen = images if len(rows) == len(images) else images[torch.from_numpy(rows)]
    return DataSplit(chosen.to(device), torch.as_tensor(labels, dtype=torch.int64).to(device))

"""Data sets: sources of whole images, as tensors in a fixed order.

The rest of the program sees only images: a waveform is an image of a single row, [1, 1, samples]; a row of a table is
an image of a single pixel with one channel per column, [columns, 1, 1].
"""

from __future__ import annotations

import abc
import functools
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from mixexp.errors import UserError


@dataclass(frozen=True)
class Splits:
    """Training and test images, uint8 or float32 [N, C, H, W], with labels, int64 [N] in 0..len(classes)-1.

    Raises UserError for other shapes, dtypes or values.
    """

    train_images: Tensor
    train_labels: Tensor
    test_images: Tensor
    test_labels: Tensor
    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        faults = _faults("train", self.train_images, self.train_labels, len(self.classes))
        faults += _faults("test", self.test_images, self.test_labels, len(self.classes))
        if not faults and self.train_images.shape[1:] != self.test_images.shape[1:]:
            shapes = list(self.train_images.shape[1:]), list(self.test_images.shape[1:])
            faults = [f"train images are {shapes[0]} each, test images {shapes[1]}"]
        if faults:
            raise UserError("The data set's images or labels are unusable: " + "; ".join(faults) + ".")

    @functools.cached_property
    def digest(self) -> str:
        """Hash of all images, labels and class names, which shows files edited in place; about a second per GB."""
        digest = hashlib.blake2b(repr(self.classes).encode(), digest_size=8)
        for values in (self.train_images, self.train_labels, self.test_images, self.test_labels):
            digest.update(f"{values.dtype} {list(values.shape)}".encode())
            # as they lie in memory where images are in channels_last, without a copy
            digest.update((values.permute(0, 2, 3, 1) if values.ndim == 4 else values).contiguous().numpy().data)
        return digest.hexdigest()


class Dataset(abc.ABC):
    """A source of images; mean and std per channel normalise them (None: computed from the training images).

    Both are in 0..1 units for uint8 images, and in the data's own for float32.
    """

    path: Literal["file", "folder"] | None = None
    """The argument that names the user's own file or folder, relative to the working directory or to `root`."""
    kind: str = "image"
    """Kind of the images: image, sound (a waveform), spectrogram or table."""
    mean: list[float] | None
    std: list[float] | None

    @abc.abstractmethod
    def load(self) -> Splits:
        """Read everything, in the same order every time; raises UserError if the data is missing or damaged."""

    @property
    def suffixes(self) -> frozenset[str]:
        """Suffixes of the files that `from_files` reads; empty if no file is an image of this data set."""
        from mixexp.dataset import pictures  # imported here because it imports this module

        return pictures.SUFFIXES if self.kind == "image" else frozenset()

    @property
    def size_rule(self) -> str:
        """Rule, in words, by which a file becomes an image of the data set's size."""
        from mixexp.dataset import pictures

        return pictures.SIZE_RULE if self.kind == "image" else ""

    def from_files(self, paths: Sequence[Path], shape: Sequence[int]) -> Tensor:
        """Other files as images of this data set, uint8 or float32 [N, *shape]; UserError with unreadable ones."""
        from mixexp.dataset import pictures

        return pictures.decode(paths, Path(), *shape[1:], grey=shape[0] == 1)[0]


def check_statistics(mean: list[float] | None, std: list[float] | None, channels: int) -> None:
    """Raise UserError unless each of mean and std is None or has one number per channel."""
    for name, values in (("mean", mean), ("std", std)):
        if values is not None and len(values) != channels:
            raise UserError(
                f"dataset.{name} has {len(values)} numbers, but the images have {channels} channels: "
                f"give {channels}, or null to compute them from the training images."
            )


def _faults(split: str, images: Tensor, labels: Tensor, classes: int) -> list[str]:
    """Faults of one split, in words."""
    if images.dtype not in (torch.uint8, torch.float32) or images.ndim != 4:
        return [f"{split} images are {images.dtype} {list(images.shape)}, expected uint8 or float32 [N, C, H, W]"]
    if labels.dtype != torch.int64 or labels.ndim != 1:
        return [f"{split} labels are {labels.dtype} {list(labels.shape)}, expected int64 [N]"]
    if len(labels) != len(images):
        return [f"{len(images)} {split} images have {len(labels)} labels"]
    if images.numel() == 0:
        return [f"there are no {split} images"]
    if images.dtype == torch.float32 and not images.isfinite().all():
        return [f"{split} images hold values that are not finite numbers"]
    if not 0 <= int(labels.min()) <= int(labels.max()) < classes:
        return [f"{split} labels lie in {int(labels.min())}..{int(labels.max())}, expected 0..{classes - 1}"]
    return []

"""The user's own images, one folder per class."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import torch
from pydantic import Field

from mixexp.dataset import Dataset, Splits, check_statistics, files
from mixexp.dataset.pictures import SUFFIXES, decode
from mixexp.errors import UserError, note
from mixexp.text import in_shell
from mixexp.training import sizes


class ImageFolder(Dataset):
    """Images in class folders, ``FOLDER/train/CLASS/…`` and ``FOLDER/test/CLASS/…``, or ``FOLDER/CLASS/…``.

    Without train and test folders, a part of each class is held out for the test. A class's images lie at any depth
    below its folder; classes are numbered in the order of their names. The training images are shuffled once by
    split_seed, so that the first N are of all classes. Each image is rotated according to its EXIF data, drawn on white
    where transparent, resized to cover height×width (bilinear, antialiased) and cropped about its centre.
    folder: relative to the working directory, otherwise to root (data_dir); test_fraction: held-out part, not used with
    train and test folders; bits: used bits of 16-bit values, in files that do not state their range, or null for all.
    """

    path = "folder"
    added = ("bits",)

    def __init__(
        self,
        root: str,
        folder: str,
        height: Annotated[int, Field(ge=1)] = 32,
        width: Annotated[int, Field(ge=1)] = 32,
        grey: bool = False,
        test_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.2,
        split_seed: Annotated[int, Field(ge=0, lt=2**63)] = 0,
        mean: list[Annotated[float, Field(ge=0, le=1)]] | None = None,
        std: list[Annotated[float, Field(gt=0)]] | None = None,
        bits: Annotated[int, Field(ge=8, le=16)] | None = None,
    ) -> None:
        self.root, self.folder, self.height, self.width, self.grey, self.bits = root, folder, height, width, grey, bits
        self.test_fraction, self.split_seed = test_fraction, split_seed
        self.mean, self.std = mean, std

    def load(self) -> Splits:
        """Images uint8 [N, 3 or 1, height, width]; raises UserError with each unusable folder or image."""
        check_statistics(self.mean, self.std, 1 if self.grey else 3)
        root = files.find_path("folder", self.folder, self.root)
        files.refuse_broken_links(root, [root / "train", root / "test"])
        if _has_own_split(root):
            parts = _own_split(root)
        else:
            parts = files.held_out(root, "image", SUFFIXES, self.test_fraction, self.split_seed)
        return parts.splits(self.split_seed, lambda paths: self._decode(paths, root))

    def from_files(self, paths: Sequence[Path], shape: Sequence[int]) -> torch.Tensor:
        return decode(paths, Path(), *shape[1:], grey=self.grey, bits=self.bits)[0]

    def _decode(self, paths: list[Path], root: Path) -> torch.Tensor:
        """All images, uint8 [N, C, height, width]; raises UserError with those that cannot be read."""
        size = f"dataset.height = {self.height}, dataset.width = {self.width}"
        sizes.require_memory(size, float(len(paths)) * self.height * self.width * (1 if self.grey else 3))
        pixels, peaks = decode(paths, root, self.height, self.width, self.grey, self.bits)
        self._judge_range(root, peaks)
        return pixels

    def _judge_range(self, root: Path, peaks: list[int]) -> None:
        """Note 16-bit images whose largest values fit fewer bits; raise UserError if dataset.bits has no effect."""
        if self.bits is not None:
            if not peaks:
                raise UserError(
                    f"dataset.bits = {self.bits}: has no effect, as each image in {root} has 8 bits or states its"
                    " range; leave it out."
                )
            return
        bits = next((bits for bits in (8, 10, 12, 14) if 0 < max(peaks, default=0) < 2**bits), None)
        if bits is not None:
            note(
                f"{root}: no value in its {len(peaks)} images of 16 bits is above {2**bits - 1:,}, so they may be of"
                f" {bits} bits and have little contrast: {in_shell(f'dataset.bits={bits}')} makes {2**bits - 1:,} the"
                " full value, dataset.bits=16 leaves them so"
            )


def _own_split(root: Path) -> files.Files:
    """Files of a folder with train/ and test/."""
    files.warn_of_ignored(
        root, "beside train/ and test/", [path for path in files.visible(root) if path.name not in ("train", "test")]
    )
    train, test = (
        files.class_files(root / "train", "image", SUFFIXES),
        files.class_files(root / "test", "image", SUFFIXES),
    )
    if strangers := sorted(set(test) - set(train)):
        raise UserError(f"{root}: classes in test/ that are not in train/: {', '.join(strangers)}.")
    classes = tuple(train)
    parts = files.Files(files.labelled(train, classes), files.labelled(test, classes), classes)
    files.note_shared_parts(root, "image", parts.train.paths, parts.test.paths)
    return parts


def _has_own_split(root: Path) -> bool:
    """True if root has train/ and test/; raises UserError if it has only one, unless that is a class of this name."""
    present = [name for name in ("train", "test") if (root / name).is_dir()]
    # a class may be named "train"; then its folder contains images itself
    if len(present) == 1 and not any(
        path.is_file() and path.suffix.lower() in SUFFIXES for path in files.visible(root / present[0])
    ):
        raise UserError(
            f"{root} has {present[0]}/ but not both train/ and test/; there is {files.listed(files.visible(root))}."
        )
    return len(present) == 2

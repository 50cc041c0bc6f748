"""A user's own images, one folder per class."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from PIL import Image, ImageOps
from pydantic import Field

from mixexp.dataset import Dataset, Splits, check_statistics
from mixexp.dataset.folders import class_files, find_path, flatten, listed, refuse_faults, refuse_lonely, visible, warn_of_ignored
from mixexp.dataset.split import shuffled, stratified_split
from mixexp.errors import UserError

IMAGE_SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"})


class ImageFolder(Dataset):
    """Images in class folders, ``FOLDER/train/CLASS/…`` and ``FOLDER/test/CLASS/…``, or ``FOLDER/CLASS/…`` with a part held out.

    A class's images lie at any depth below its folder; classes are numbered in the order of their names. The training
    images are shuffled once by split_seed, so that the first N are of all classes. Each image is turned as its EXIF says,
    drawn on white where transparent, resized to cover height×width (bilinear, antialiased) and cropped about its centre.
    A relative folder is where the command is typed, else below root (data_dir); test_fraction is not used where there are train
    and test folders.
    """

    path = "folder"

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
    ) -> None:
        self.root = root
        self.folder = folder
        self.height = height
        self.width = width
        self.grey = grey
        self.test_fraction = test_fraction
        self.split_seed = split_seed
        self.mean = None if mean is None else list(mean)
        self.std = None if std is None else list(std)

    def load(self) -> Splits:
        """Images uint8 [N, 3 or 1, height, width]; raises UserError for folders or images that cannot be used, naming each."""
        check_statistics(self.mean, self.std, 1 if self.grey else 3)
        root = find_path("folder", self.folder, self.root)
        if _has_own_split(root):
            warn_of_ignored(root, "beside train/ and test/", [p for p in visible(root) if p.name not in ("train", "test")])
            train, test = class_files(root / "train", "image", IMAGE_SUFFIXES), class_files(root / "test", "image", IMAGE_SUFFIXES)
            if strangers := sorted(set(test) - set(train)):
                raise UserError(f"{root}: classes in test/ that are not in train/: {', '.join(strangers)}.")
            classes = tuple(train)
            train_paths, train_labels = flatten(train, classes)
            test_paths, test_labels = flatten(test, classes)
        else:
            found = class_files(root, "image", IMAGE_SUFFIXES)
            refuse_lonely(root, "image", found)
            classes = tuple(found)
            paths, labels = flatten(found, classes)
            held_in, held_out = stratified_split(labels, self.test_fraction, self.split_seed)
            train_paths, train_labels = [paths[i] for i in held_in], labels[held_in]
            test_paths, test_labels = [paths[i] for i in held_out], labels[held_out]
        order = shuffled(len(train_paths), np.random.Philox(key=self.split_seed))
        images = self._decode([train_paths[i] for i in order] + test_paths)
        count = len(train_paths)
        return Splits(
            images[:count], torch.from_numpy(train_labels[order]), images[count:], torch.from_numpy(test_labels), classes
        )

    def _decode(self, paths: list[Path]) -> torch.Tensor:
        """All images, uint8 [N, C, height, width]; raises UserError naming those that cannot be read."""
        pixels = np.empty((len(paths), self.height, self.width, 1 if self.grey else 3), dtype=np.uint8)
        faults: dict[int, str] = {}

        def decode(index: int) -> None:
            try:
                with Image.open(paths[index]) as image:
                    upright = _eight_bit(ImageOps.exif_transpose(image), "L" if self.grey else "RGB")
                fitted = ImageOps.fit(upright, (self.width, self.height), Image.Resampling.BILINEAR)
                pixels[index] = np.asarray(fitted).reshape(pixels.shape[1:])
            except Exception as error:  # Pillow's decoders raise of every kind on a broken file
                faults[index] = f"  {paths[index]}: {error}"

        # Threads suffice: Pillow releases the interpreter while it decodes and resizes.
        with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
            list(pool.map(decode, range(len(paths))))
        refuse_faults("image", faults, len(paths))
        return torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous()


def _eight_bit(image: Image.Image, mode: str) -> Image.Image:
    """The image as 8-bit "L" or "RGB", on white where transparent; raises ValueError for pixels of unknown range."""
    if image.mode.startswith("I;16"):  # Pillow's own conversion would clip at 255 instead of scaling
        return Image.fromarray(((np.asarray(image).astype(np.uint32) + 128) // 257).astype(np.uint8)).convert(mode)
    if image.mode in ("I", "F"):
        raise ValueError("its pixels are 32-bit, of unknown range: save it with 8 or 16 bits per channel")
    if image.has_transparency_data:
        drawn = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", drawn.size, "white"), drawn).convert(mode)
    return image.convert(mode)


def _is_image(path: Path) -> bool:
    return path.is_file() and path.suffix.lower() in IMAGE_SUFFIXES


def _has_own_split(root: Path) -> bool:
    """Whether root has train/ and test/; raises UserError if it has one only, unless that is a class of this name."""
    present = [name for name in ("train", "test") if (root / name).is_dir()]
    # A class may be called "train"; then its folder holds images itself.
    if len(present) == 1 and not any(_is_image(path) for path in visible(root / present[0])):
        raise UserError(f"{root} has {present[0]}/ but not both train/ and test/; there is {listed(visible(root))}.")
    return len(present) == 2

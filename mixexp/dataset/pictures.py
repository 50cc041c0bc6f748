"""Picture files as images of one size: decoded in threads, what cannot be read named file by file."""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps

from mixexp.dataset.files import and_more, refuse_faults, within
from mixexp.dataset.pixels import read
from mixexp.errors import note

SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"})
SIZE_RULE = "resized to cover the size (bilinear, antialiased), then cropped about its centre"
WARNED = 3
"""As many files as a note of warnings names."""


def decode(
    paths: Sequence[Path], root: Path, height: int, width: int, grey: bool, bits: int | None = None
) -> tuple[torch.Tensor, list[int]]:
    """All pictures, uint8 [N, 3 or 1, height, width], sized by SIZE_RULE, and the peaks of those that state no range
    (pixels.Picture).

    Raises UserError naming those that cannot be read. root: what notes call the files by; bits: as pixels.read takes
    them.
    """
    pixels = np.empty((len(paths), height, width, 1 if grey else 3), dtype=np.uint8)
    faults: dict[int, str] = {}
    peaks: dict[int, int] = {}

    def decode_one(index: int) -> None:
        reading.path = paths[index]
        try:
            picture = read(paths[index], grey, bits)
            pixels[index] = np.asarray(fitted(picture.image, height, width)).reshape(pixels.shape[1:])
            if picture.peak is not None:
                peaks[index] = picture.peak
        except Exception as error:  # Pillow's decoders raise of every kind on a broken file
            faults[index] = f"  {paths[index]}: {error}"

    # Threads suffice: Pillow releases the interpreter while it decodes and resizes.
    with _warnings_noted(root) as reading, ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        list(pool.map(decode_one, range(len(paths))))
    refuse_faults("image", faults, len(paths))
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous(), list(peaks.values())


def fitted(picture: Image.Image, height: int, width: int) -> Image.Image:
    """A picture sized by SIZE_RULE."""
    return ImageOps.fit(picture, (width, height), Image.Resampling.BILINEAR)


@contextmanager
def _warnings_noted(root: Path) -> Iterator[threading.local]:
    """Inside, what libraries warn of is collected, to be noted at the end; gives a place where each thread keeps the
    `path` it reads."""
    first: dict[Path, str] = {}
    reading = threading.local()

    def collect(message: Warning | str, *_: object, **__: object) -> None:
        if (path := getattr(reading, "path", None)) is not None:
            first.setdefault(path, str(message))

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.simplefilter("ignore", DeprecationWarning)  # for the program's authors
        warnings.simplefilter("ignore", PendingDeprecationWarning)
        warnings.showwarning = collect
        yield reading
    if first:
        files = sorted(first)
        shown = ", ".join(f"{within(path, root)} ({first[path].rstrip('. ')})" for path in files[:WARNED])
        note(f"{root}: {len(files)} images were read with a warning: {shown}{and_more(files, WARNED)}")

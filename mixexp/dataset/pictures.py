"""Picture files as images of one size, decoded in threads; unreadable files are reported one by one."""

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
"""Number of files that a note of warnings names."""


def decode(
    paths: Sequence[Path], root: Path, height: int, width: int, grey: bool, bits: int | None = None
) -> tuple[torch.Tensor, list[int]]:
    """Pictures, uint8 [N, 3 or 1, height, width], sized by SIZE_RULE, and the peaks of those without stated range.

    root: folder to which notes give the paths; bits: see pixels.read; peaks: see pixels.Picture. Raises UserError with
    the pictures that cannot be read.
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
        except Exception as error:  # Pillow's decoders raise errors of any type for a broken file
            faults[index] = f"  {paths[index]}: {error}"

    # threads suffice, because Pillow releases the interpreter lock while it decodes and resizes
    with _warnings_noted(root) as reading, ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        list(pool.map(decode_one, range(len(paths))))
    refuse_faults("image", faults, len(paths))
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous(), list(peaks.values())


def fitted(picture: Image.Image, height: int, width: int) -> Image.Image:
    """Picture sized by SIZE_RULE."""
    return ImageOps.fit(picture, (width, height), Image.Resampling.BILINEAR)


@contextmanager
def _warnings_noted(root: Path) -> Iterator[threading.local]:
    """Context that collects libraries' warnings and notes them at its end; yields a place for each thread's `path`."""
    first: dict[Path, str] = {}
    reading = threading.local()

    def collect(message: Warning | str, *_: object, **__: object) -> None:
        if (path := getattr(reading, "path", None)) is not None:
            first.setdefault(path, str(message))

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.simplefilter("ignore", DeprecationWarning)  # for developers, not for users
        warnings.simplefilter("ignore", PendingDeprecationWarning)
        warnings.showwarning = collect
        yield reading
    if first:
        files = sorted(first)
        shown = ", ".join(f"{within(path, root)} ({first[path].rstrip('. ')})" for path in files[:WARNED])
        note(f"{root}: {len(files)} images were read with a warning: {shown}{and_more(files, WARNED)}")

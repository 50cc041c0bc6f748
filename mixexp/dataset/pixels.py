"""Pixels of one picture file with 8 bits per channel, scaled from the file's own range."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError
from PIL.Image import Transpose

FULL = 65535
"""Largest 16-bit value, the range of a 16-bit file that states no other."""
_ORIENTATION, _BITS, _PHOTOMETRIC, _MAX_SAMPLE, _PLANAR = 0x0112, 258, 262, 281, 284  # TIFF and EXIF tags
_TURNS = {
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_270,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_90,
}
_OTHER_ORDER = {"B": "L", "L": "B", "N": "B" if sys.byteorder == "little" else "L"}  # of the two bytes of a value


@dataclass(frozen=True)
class Picture:
    """A picture rotated according to its EXIF data, on white where transparent, as 8-bit "L" or "RGB".

    peak: the largest value in a 16-bit file that states no smaller range, None for other files.
    """

    image: Image.Image
    peak: int | None


def read(path: Path, grey: bool, bits: int | None) -> Picture:
    """Picture in a file; raises ValueError or OSError if there is none or the range of its values is unknown.

    16-bit values are scaled by the range that the file states, otherwise by that of `bits`, otherwise by 65,535. A file
    states it as PGM's and PPM's maxval, or as TIFF's BitsPerSample or MaxSampleValue; the latter only if it is the
    largest value of a number of bits, because any other is the picture's own maximum. Floats are in 0..1.
    """
    try:
        with Image.open(path) as image:
            tiles = list(image.tile)
            image.load()
            values = _deep(image, tiles, path)
            orientation = image.getexif().get(_ORIENTATION, 1)
            peak, drawn = None, image
            if values is not None:
                peak, drawn = values.peak, values.reduced(bits)
            elif image.mode == "F":
                drawn = _from_floats(image)
            elif image.mode == "I":
                raise ValueError(
                    "its values are signed or of 32 bits, of unknown range: save it with 8 or 16 bits a channel"
                )
            flat = on_white(drawn, "L" if grey else "RGB")
            return Picture(flat.transpose(_TURNS[orientation]) if orientation in _TURNS else flat, peak)
    except UnidentifiedImageError as error:
        raise ValueError("it is not a picture of a format that can be read") from error
    except Image.DecompressionBombError as error:
        raise ValueError(
            f"it has more pixels than are read, {2 * (Image.MAX_IMAGE_PIXELS or 0):,}: make it smaller"
        ) from error


@dataclass(frozen=True)
class _Deep:
    """Values of up to 16 bits in the file's units, uint16 [H, W, C] of a Pillow mode.

    limit: the largest value that they can have; inverted: true if that value is black.
    """

    values: np.ndarray
    mode: str
    limit: int
    inverted: bool = False

    @property
    def peak(self) -> int | None:
        return int(self._colours.max()) if self.limit == FULL else None

    @property
    def _colours(self) -> np.ndarray:
        return self.values[..., :-1] if self.mode in ("LA", "RGBA", "RGBa") else self.values

    def reduced(self, bits: int | None) -> Image.Image:
        """Picture in 8 bits, by the file's range or else by that of `bits`; raises ValueError for values beyond it."""
        limit = self.limit
        if limit == FULL and bits is not None:
            limit = 2**bits - 1
            if self.peak > limit:
                raise ValueError(f"its largest value is {self.peak:,}, and dataset.bits={bits} goes to {limit:,}")
        scaled = _eight_bits(limit - self.values if self.inverted else self.values, limit)
        if self.mode in ("LA", "RGBA", "RGBa") and (opacity := self.values[..., -1]).max() > limit:
            scaled[..., -1] = _eight_bits(opacity, FULL)
        drawn = Image.frombytes(self.mode, (scaled.shape[1], scaled.shape[0]), scaled.tobytes())
        return drawn.convert("RGBA") if self.mode == "RGBa" else drawn


def _eight_bits(values: np.ndarray, limit: int) -> np.ndarray:
    """Values in 0..limit rounded to 0..255."""
    return ((values.astype(np.uint32).clip(max=limit) * 510 + limit) // (2 * limit)).astype(np.uint8)


def _deep(image: Image.Image, tiles: Sequence[tuple], path: Path) -> _Deep | None:
    """Values of a loaded picture of more than 8 bits; None for others. tiles: places of its data before loading."""
    tags = getattr(image, "tag_v2", {})
    if not tiles:
        return None
    codec, _, offset, args = tiles[0]
    rawmode = str(args[0] if isinstance(args, tuple) else args)
    if image.format == "PPM" and image.mode in ("I", "L", "RGB"):
        limit = FULL if rawmode == "I;16B" else args[1] if codec.startswith("ppm") else 255
        return _netpbm(path, image, offset, limit, plain=codec == "ppm_plain") if limit > 255 else None
    if image.mode.startswith("I;16"):
        values = np.asarray(image).astype(np.uint16)
        grey = _Deep(values[..., None], "L", _stated(tags, int(values.max())), inverted=tags.get(_PHOTOMETRIC) == 0)
        return _transparent(grey, image.info.get("transparency"))
    if mode := re.fullmatch(r"(RGB|RGBA|RGBa|RGBX|CMYK|LA);16([BLN])", rawmode):
        return _transparent(_colours(image, path, mode[1], mode[2], tags), image.info.get("transparency"))
    if tags and max(tags.get(_BITS, (8,))) > 8 and image.mode not in ("I", "F"):
        raise ValueError(
            "its channels of 16 bits lie apart in the file (planar): save it with them together, or with 8 bits a"
            " channel"
        )
    return None


def _stated(tags: dict, peak: int) -> int:
    """Largest possible value according to a TIFF's tags."""
    bits = max(tags.get(_BITS, (16,)))
    stated = max(np.atleast_1d(tags.get(_MAX_SAMPLE, FULL)).tolist())
    whole = stated > 255 and (stated + 1) & stated == 0 and peak <= stated
    return min(2**bits - 1, stated) if whole else 2**bits - 1


def _colours(image: Image.Image, path: Path, bands: str, order: str, tags: dict) -> _Deep:
    """16-bit values of several channels: Pillow keeps the upper bytes, and with swapped byte order the lower ones.

    Of a TIFF's planar (and compressed) channels, only the upper bytes are available.
    """
    if tags.get(_PLANAR) == 2:
        return _Deep(np.asarray(image) * np.uint16(257), bands, FULL)
    with Image.open(path) as again:
        # two 16-bit values are four 8-bit ones
        other = "RGBA" if bands == "LA" else f"{bands};16{_OTHER_ORDER[order]}"
        again.tile = [
            tile._replace(args=other if isinstance(tile.args, str) else (other, *(tile.args or ())[1:]))
            for tile in again.tile
        ]
        again.load()
        low = np.asarray(again)
    if bands == "LA":
        values = np.stack(
            [low[..., 0] * np.uint16(256) + low[..., 1], low[..., 2] * np.uint16(256) + low[..., 3]], axis=2
        )
    else:
        values = np.asarray(image) * np.uint16(256) + low
    values = values[..., :3] if bands == "RGBX" else values
    return _Deep(values, "RGB" if bands == "RGBX" else bands, _stated(tags, int(values.max())))


def _netpbm(path: Path, image: Image.Image, offset: int, limit: int, plain: bool) -> _Deep:
    """Values of a PGM or PPM file whose maxval (limit) takes two bytes."""
    content = path.read_bytes()[offset:]
    shape = image.height, image.width, 3 if image.mode == "RGB" else 1
    count = shape[0] * shape[1] * shape[2]
    if plain:
        values = np.array(re.sub(rb"#[^\r\n]*", b"", content).split()[:count], dtype=np.int64)
    else:
        values = np.frombuffer(content, dtype=">u2", count=count)
    return _Deep(values.clip(0, limit).astype(np.uint16).reshape(shape), "RGB" if shape[2] == 3 else "L", limit)


def _transparent(deep: _Deep, colour: int | tuple[int, ...] | None) -> _Deep:
    """Values with the opacity of a PNG that names its transparent colour."""
    if not isinstance(colour, int | tuple) or deep.mode not in ("L", "RGB"):
        return deep
    opaque = (deep.values != np.array(colour)).any(2, keepdims=True)
    return replace(deep, values=np.concatenate([deep.values, opaque * np.uint16(FULL)], axis=2), mode=f"{deep.mode}A")


def _from_floats(image: Image.Image) -> Image.Image:
    values = np.asarray(image)
    low, high = float(values.min()), float(values.max())
    if not 0 <= low <= high <= 1:
        raise ValueError(
            f"its values are floats from {low:g} to {high:g}, and floats have to be in 0 to 1; or save it with 8 or 16"
            " bits"
        )
    values = 1 - values if getattr(image, "tag_v2", {}).get(_PHOTOMETRIC) == 0 else values
    return Image.fromarray(np.rint(values * 255).astype(np.uint8))


def on_white(image: Image.Image, mode: str) -> Image.Image:
    """Picture converted to another mode, drawn on white where it is transparent."""
    if image.has_transparency_data:
        drawn = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", drawn.size, "white"), drawn).convert(mode)
    return image.convert(mode)

"""WAV files as samples, in every form that a player plays.

The code is our own, because scipy.io.wavfile fails at lengths that a writer to a pipe cannot know, at bytes after the
sound, and at G.711.
"""

from __future__ import annotations

import re
import struct
from pathlib import Path
from typing import NamedTuple

import numpy as np

UNKNOWN = 0x7FF0_0000
"""Length, close to 2 GiB, from which a length in a shorter file means unknown, as writers to a pipe put it there."""
FASTEST = 1_000_000
"""Largest number of samples per second; more means a damaged header."""
LOUDEST = 10.0
"""Largest float sample: recordings exceed full scale, 1, by some decibels, samples in other units by far more."""
_NAME = re.compile(rb"[ -~]{4}")
"""Name of a chunk."""
_PCM, _FLOAT, _ALAW, _MULAW, _EXTENSIBLE = 1, 3, 6, 7, 0xFFFE
_FORMATS = {
    0x0002: "Microsoft ADPCM",
    0x0011: "IMA ADPCM",
    0x0031: "GSM 6.10",
    0x0050: "MPEG",
    0x0055: "MP3",
    0x00FF: "AAC",
}
_GUID = b"\x00\x00\x00\x00\x10\x00\x80\x00\x00\xaa\x00\x38\x9b\x71"
"""Bytes after the format's number in an extensible header."""


class Sound(NamedTuple):
    """Samples per second, and samples, float64 [N, channels], with full scale −1…1; floats may exceed it."""

    rate: int
    samples: np.ndarray


class _Form(NamedTuple):
    """Content of a "fmt " chunk: kind of samples, channels, samples per second, bytes of a sample of all channels."""

    kind: int
    channels: int
    rate: int
    frame: int


def read(path: Path) -> Sound:
    """Sound in a file; raises ValueError, or OSError, with its fault.

    Bytes after the sound are ignored, and so is the length of the file in its header. A sound of unknown length (0, or
    about 2 GiB and more in a shorter file) extends to the file's end. An incomplete last sample is left out.
    """
    content = path.read_bytes()
    if not content:
        raise ValueError("it is empty")
    order = {b"RIFF": "<", b"RF64": "<", b"BW64": "<", b"RIFX": ">"}.get(content[:4])
    if order is None or content[8:12] != b"WAVE":
        raise ValueError("it is not a WAV file")
    form, start, length = _chunks(content, order)
    there = len(content) - start
    if length > there and length < UNKNOWN:
        raise ValueError(f"it is cut short: its sound has {length:,} bytes, of which {there:,} are there")
    body = memoryview(content)[start : start + min(length, there)]  # no copy
    samples = _samples(body[: len(body) // form.frame * form.frame], form, order)
    if len(samples) == 0:
        raise ValueError("it has no samples")
    return Sound(form.rate, samples)


def _chunks(content: bytes, order: str) -> tuple[_Form, int, int]:
    """Form of the samples, position of the first one, and number of their bytes."""
    form, long_sizes, place = None, None, 12
    while place + 8 <= len(content):
        name, size = content[place : place + 4], struct.unpack_from(f"{order}I", content, place + 4)[0]
        place += 8
        if name == b"ds64" and size >= 16:  # 64-bit lengths, of a file beyond 4 GiB
            long_sizes = struct.unpack_from("<Q", content, place + 8)[0] if place + 16 <= len(content) else None
        elif name == b"fmt ":
            form = _form(content[place : place + size], order)
        elif name == b"data":
            if form is None:
                raise ValueError("its sound comes before the description of its samples")
            if size == 0xFFFF_FFFF and long_sizes is not None:
                size = long_sizes
            return form, place, _unknown_as_rest(content, order, place, size)
        end = place + size
        # chunks begin at even positions, except after writers that do not pad an odd chunk
        padded = end + end % 2
        place = end if _NAME.match(content, end) and not _NAME.match(content, padded) else padded
    raise ValueError("it has a header and no sound")


def _unknown_as_rest(content: bytes, order: str, start: int, size: int) -> int:
    """Length of the sound; the whole rest if the header says 0 and the file shows that the length is unknown.

    It does so by its own length, or by what follows: after an empty sound comes nothing, or a chunk that ends within
    the file, and samples do not look like a name and such a length.
    """
    whole = struct.unpack_from(f"{order}I", content, 4)[0]
    streamed = whole <= start - 8 or whole >= UNKNOWN
    named = _NAME.match(content, start) is not None
    behind = start + 8 > len(content) or (
        named and start + 8 + struct.unpack_from(f"{order}I", content, start + 4)[0] <= len(content)
    )
    return len(content) - start if size == 0 and (streamed or not behind) else size


def _form(chunk: bytes, order: str) -> _Form:
    if len(chunk) < 16:
        raise ValueError("it is cut short: the description of its samples is not whole")
    kind, channels, rate, _, frame, bits = struct.unpack_from(f"{order}HHIIHH", chunk)
    if kind == _EXTENSIBLE:
        guid = chunk[24:40]
        if len(guid) < 16 or guid[2:] != _GUID:
            raise ValueError("its samples are of a format that only their maker knows")
        kind = struct.unpack_from(f"{order}H", guid)[0]
    if kind not in (_PCM, _FLOAT, _ALAW, _MULAW):
        name = _FORMATS.get(kind, f"number {kind}")
        raise ValueError(f"its samples are compressed or of a format that is not read ({name}): save it as PCM")
    if channels == 0:
        raise ValueError("its header says 0 channels")
    if not 0 < rate <= FASTEST:
        raise ValueError(f"its header says {rate:,} samples a second")
    width, rest = divmod(frame or channels * -(-bits // 8), channels)
    widths = {_PCM: range(1, 9), _FLOAT: (4, 8), _ALAW: (1,), _MULAW: (1,)}[kind]
    if rest or width not in widths:
        raise ValueError(f"its header says {frame} bytes for a sample of {channels} channels")
    return _Form(kind, channels, rate, width * channels)


def _samples(body: memoryview, form: _Form, order: str) -> np.ndarray:
    width = form.frame // form.channels
    if form.kind == _FLOAT:
        samples = _floats(np.frombuffer(body, f"{order}f{width}").astype(np.float64))
    elif form.kind == _ALAW:
        samples = _alaw()[np.frombuffer(body, np.uint8)]
    elif form.kind == _MULAW:
        samples = _mulaw()[np.frombuffer(body, np.uint8)]
    elif width == 1:
        samples = (np.frombuffer(body, np.uint8) - 128.0) / 128
    elif width in (2, 4, 8):
        samples = np.frombuffer(body, f"{order}i{width}") / 2.0 ** (8 * width - 1)
    else:
        samples = _integers(np.frombuffer(body, np.uint8).reshape(-1, width), order)
    return samples.reshape(-1, form.channels)


def _integers(octets: np.ndarray, order: str) -> np.ndarray:
    """Signed integers of 3, 5, 6 or 7 bytes, uint8 [N, bytes], as float64 in −1…1, read as the upper bytes of int64."""
    filled = np.zeros((len(octets), 8), dtype=np.uint8)
    filled[:, -octets.shape[1] :] = octets if order == "<" else octets[:, ::-1]
    return filled.view("<i8")[:, 0] / 2.0**63


def _floats(samples: np.ndarray) -> np.ndarray:
    peak = np.abs(samples).max(initial=0.0)
    if not np.isfinite(peak):
        raise ValueError("its samples hold values that are not finite numbers")
    if peak > LOUDEST:
        raise ValueError(f"its samples are floats beyond -1 to 1, up to {peak:,g}: divide them by their full scale")
    return samples


def _alaw() -> np.ndarray:
    """Samples of the 256 codes of G.711's A-law."""
    code = np.arange(256) ^ 0x55
    exponent, mantissa = (code >> 4) & 7, code & 15
    size = np.where(exponent == 0, 2 * mantissa + 1, (2 * mantissa + 33) << np.maximum(exponent - 1, 0))
    return np.where(code & 0x80, size, -size) / 4096.0


def _mulaw() -> np.ndarray:
    """Samples of the 256 codes of G.711's μ-law."""
    code = ~np.arange(256) & 0xFF
    size = ((2 * (code & 15) + 33) << ((code >> 4) & 7)) - 33
    return np.where(code & 0x80, -size, size) / 8192.0

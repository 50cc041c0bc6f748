"""WAV files as recorders, converters and broken disks leave them."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.io import wavfile

from mixexp.dataset.sounds import ClassFolders, SoundFolder
from mixexp.dataset.wav import read
from mixexp.errors import UserError, note

RATE = 8000
WAVE = np.array([0, 16384, -32768, 32767, 1, -1], dtype=np.int16)
KNOWN = WAVE / 32768
GUID = b"\x00\x00\x00\x00\x10\x00\x80\x00\x00\xaa\x00\x38\x9b\x71"


@pytest.fixture(autouse=True)
def notes_are_said_again() -> None:
    note.cache_clear()


def form(
    kind: int = 1, channels: int = 1, bits: int = 16, rate: int = RATE, frame: int | None = None, more: bytes = b""
) -> bytes:
    frame = channels * -(-bits // 8) if frame is None else frame
    return struct.pack("<HHIIHH", kind, channels, rate, rate * frame, frame, bits) + more


def chunk(name: bytes, body: bytes, size: int | None = None) -> bytes:
    return name + struct.pack("<I", len(body) if size is None else size) + body


def wav(*chunks: bytes, size: int | None = None, magic: bytes = b"RIFF") -> bytes:
    body = b"WAVE" + b"".join(chunks)
    return magic + struct.pack("<I", len(body) if size is None else size) + body


def plain(
    sound: bytes = WAVE.tobytes(), size: int | None = None, riff: int | None = None, behind: bytes = b"", **about: Any
) -> bytes:
    return wav(chunk(b"fmt ", form(**about)), chunk(b"data", sound, size), behind, size=riff)


def big_endian() -> bytes:
    head = struct.pack(">HHIIHH", 1, 1, RATE, 2 * RATE, 2, 16)
    body = WAVE.astype(">i2").tobytes()
    chunks = b"WAVE" + b"fmt " + struct.pack(">I", len(head)) + head + b"data" + struct.pack(">I", len(body)) + body
    return b"RIFX" + struct.pack(">I", len(chunks)) + chunks


def long_file() -> bytes:
    sizes = struct.pack("<QQQI", 0, 2 * len(WAVE), len(WAVE), 0)
    chunks = (
        chunk(b"ds64", sizes),
        chunk(b"fmt ", form()),
        chunk(b"data", WAVE.tobytes(), 0xFFFFFFFF),
        chunk(b"LIST", b"INFO"),
    )
    return wav(*chunks, magic=b"RF64", size=0xFFFFFFFF)


TITLE = chunk(b"LIST", b"INFOIART\x04\0\0\0me\0\0")
PLAYED = {
    "plain": plain(),
    "stream of ffmpeg": plain(size=0xFFFFFFFF, riff=0xFFFFFFFF),
    "stream of sox": plain(size=0x7FFFF000, riff=0x7FFFF024),
    "stream of arecord": plain(size=0x7FFFFF00, riff=0x7FFFFF24),
    "stream of 2 GiB": plain(size=0x80000000, riff=0x80000024),
    "both sizes 0": plain(size=0, riff=0),
    "header never filled in": plain(size=0, riff=36),
    "length of the sound alone never filled in": plain(size=0),
    "length of the sound alone never filled in, of RIFX": big_endian()[:40] + bytes(4) + big_endian()[44:],
    "size of the file 0": plain(riff=0),
    "size of the file too small": plain(riff=5),
    "size of the file too large": plain(riff=50_000),
    "stream that ends within a sample": plain(sound=WAVE.tobytes() + b"\x07", size=0xFFFFFFFF, riff=0xFFFFFFFF),
    "length within a sample": plain(sound=WAVE.tobytes() + b"\x07"),
    "a zero byte behind": plain(behind=b"\0"),
    "zero bytes behind": plain(behind=bytes(4096)),
    "garbage behind": plain(behind=b"\xff\xd8garbage, 17 bytes"),
    "a chunk cut behind": plain(behind=TITLE[:-3]),
    "a title before": wav(chunk(b"fmt ", form()), TITLE, chunk(b"data", WAVE.tobytes())),
    "an odd chunk filled up": wav(
        chunk(b"odd ", b"abc") + b"\0", chunk(b"fmt ", form()), chunk(b"data", WAVE.tobytes())
    ),
    "an odd chunk not filled up": wav(chunk(b"odd ", b"abc"), chunk(b"fmt ", form()), chunk(b"data", WAVE.tobytes())),
    "long description": wav(chunk(b"fmt ", form(more=struct.pack("<H", 0))), chunk(b"data", WAVE.tobytes())),
    "extensible": wav(
        chunk(b"fmt ", form(0xFFFE, more=struct.pack("<HHIH", 22, 16, 4, 1) + GUID)), chunk(b"data", WAVE.tobytes())
    ),
    "bytes of a sample unsaid": plain(frame=0),
    "big-endian": big_endian(),
    "64-bit lengths": long_file(),
    "24 bits": plain(sound=b"".join((int(value) * 256).to_bytes(3, "little", signed=True) for value in WAVE), bits=24),
    "20 bits": plain(sound=b"".join((int(value) * 256).to_bytes(3, "little", signed=True) for value in WAVE), bits=20),
    "float": plain(sound=KNOWN.astype("<f4").tobytes(), kind=3, bits=32),
    "two channels": plain(sound=np.repeat(WAVE, 2).tobytes(), channels=2),
}


@pytest.mark.parametrize("name", PLAYED)
def test_what_players_play_is_read(tmp_path: Path, name: str) -> None:
    (tmp_path / "a.wav").write_bytes(PLAYED[name])
    found = read(tmp_path / "a.wav")
    assert found.rate == RATE
    assert found.samples.mean(1).tolist() == KNOWN.tolist()


def test_8_bits_are_unsigned(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(plain(sound=bytes([0, 64, 128, 255]), bits=8))
    assert read(tmp_path / "a.wav").samples[:, 0].tolist() == [-1, -0.5, 0, 127 / 128]


@pytest.mark.parametrize(
    ("kind", "codes", "expected"),
    [
        (
            6,
            [0xD5, 0x55, 0xAA, 0x2A, 0x80],
            [8, -8, 32256, -32256, 5504],
        ),  # ITU-T G.711, tables 1a and 1b, in units of 16 bits
        (7, [0xFF, 0x7F, 0x80, 0x00, 0xC0], [0, 0, 32124, -32124, 1884]),
    ],
    ids=["A-law", "mu-law"],
)
def test_telephone_codes_are_those_of_the_standard(
    tmp_path: Path, kind: int, codes: list[int], expected: list[int]
) -> None:
    (tmp_path / "a.wav").write_bytes(plain(sound=bytes(codes), kind=kind, bits=8))
    assert (read(tmp_path / "a.wav").samples[:, 0] * 32768).tolist() == expected


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int32, np.int64, np.float32, np.float64])
@pytest.mark.parametrize("channels", [1, 3])
def test_it_reads_what_scipy_writes_and_as_scipy_reads(tmp_path: Path, dtype: Any, channels: int) -> None:
    rng = np.random.default_rng(0)
    shape = (50, channels)
    integer = np.issubdtype(dtype, np.integer)
    data = (
        rng.integers(np.iinfo(dtype).min, np.iinfo(dtype).max, shape, dtype=dtype)
        if integer
        else rng.uniform(-1, 1, shape).astype(dtype)
    )
    wavfile.write(tmp_path / "a.wav", 44100, data)
    rate, theirs = wavfile.read(tmp_path / "a.wav")
    expected = (
        (theirs - 128.0) / 128
        if dtype == np.uint8
        else theirs / -float(np.iinfo(dtype).min)
        if integer
        else theirs.astype(float)
    )
    found = read(tmp_path / "a.wav")
    assert found.rate == rate and np.array_equal(found.samples, expected.reshape(shape))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "it is empty"),
        (b"OggS" + bytes(60), "it is not a WAV file"),
        (plain()[:30], "it is cut short: the description of its samples is not whole"),
        (plain()[:40], "it has a header and no sound"),
        (plain()[:-4], "it is cut short: its sound has 12 bytes, of which 8 are there"),
        (plain()[:-1], "it is cut short: its sound has 12 bytes, of which 11 are there"),
        (plain(sound=b""), "it has no samples"),
        (plain(sound=b"\x01"), "it has no samples"),
        (wav(chunk(b"fmt ", form()), chunk(b"data", b""), TITLE), "it has no samples"),
        (wav(chunk(b"fmt ", form()), chunk(b"data", b""), bytes(4)), "it has no samples"),
        (wav(chunk(b"fmt ", form()), TITLE), "it has a header and no sound"),
        (wav(chunk(b"data", WAVE.tobytes())), "its sound comes before the description of its samples"),
        (
            plain(kind=0x11, bits=4, frame=256),
            "its samples are compressed or of a format that is not read (IMA ADPCM): save it as PCM",
        ),
        (plain(kind=0x55), "its samples are compressed or of a format that is not read (MP3): save it as PCM"),
        (plain(kind=0x77), "its samples are compressed or of a format that is not read (number 119): save it as PCM"),
        (
            wav(chunk(b"fmt ", form(0xFFFE, more=bytes(24))), chunk(b"data", b"")),
            "its samples are of a format that only their maker knows",
        ),
        (plain(channels=0, frame=2), "its header says 0 channels"),
        (plain(rate=0), "its header says 0 samples a second"),
        (
            plain(rate=4_000_000_000, frame=1, bits=8, riff=1)[:24] + b"\xff\xff\xff\xff" + plain()[28:],
            "its header says 4,294,967,295 samples a second",
        ),
        (plain(channels=2, frame=3), "its header says 3 bytes for a sample of 2 channels"),
        (plain(kind=3, bits=16), "its header says 2 bytes for a sample of 1 channels"),
        (
            plain(sound=np.array([np.nan, 0], "<f4").tobytes(), kind=3, bits=32),
            "its samples hold values that are not finite numbers",
        ),
        (
            plain(sound=np.array([np.inf, 0], "<f4").tobytes(), kind=3, bits=32),
            "its samples hold values that are not finite numbers",
        ),
        (
            plain(sound=np.array([20000, 0], "<f4").tobytes(), kind=3, bits=32),
            "its samples are floats beyond -1 to 1, up to 20,000: divide them by their full scale",
        ),
    ],
)
def test_what_is_broken_is_said_in_words_of_the_programs_own(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "a.wav").write_bytes(content)
    with pytest.raises(ValueError) as caught:
        read(tmp_path / "a.wav")
    assert str(caught.value) == words


# --- a whole data set ---


def data_set(root: Path, *contents: bytes, **changed: Any) -> SoundFolder:
    for name in ("a", "b"):
        (root / name).mkdir(parents=True)
        for k, content in enumerate(contents):
            (root / name / f"{k}.wav").write_bytes(content)
    options = {"representation": "waveform", "sample_rate": RATE, "seconds": 6 / RATE, **changed}
    return SoundFolder("", str(root), ClassFolders(), mean=[0.0], std=[1.0], **options)


def test_every_odd_file_of_a_set_is_the_same_sound(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = data_set(tmp_path, *PLAYED.values()).load()
    for sound in (*found.train_images, *found.test_images):
        assert sound.flatten().tolist() == KNOWN.tolist()
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("rate", [RATE, 2 * RATE])
def test_a_float_peak_beyond_full_scale_is_kept_and_noted(
    tmp_path: Path, rate: int, capsys: pytest.CaptureFixture[str]
) -> None:
    low = 0.9 * np.sin(np.arange(400) / 20)
    high = low * 1.002 / 0.9
    peak = np.abs(high).max()
    contents = [plain(sound=wave.astype("<f4").tobytes(), kind=3, bits=32, rate=rate) for wave in (low, high)]
    found = data_set(tmp_path, *contents, seconds=400 / rate).load()
    everything = [*found.train_images.abs().amax((1, 2, 3)).tolist(), *found.test_images.abs().amax((1, 2, 3)).tolist()]
    assert sorted(everything) == pytest.approx([0.9 * peak / 1.002] * 2 + [peak] * 2, abs=2e-3) and max(everything) > 1
    assert (
        capsys.readouterr().err
        == f"note: {tmp_path}: 2 sounds go beyond full scale, -1 to 1, and are kept as they are; the loudest is"
        f" a/1.wav, with {peak:.4g}\n"
    )


def test_a_file_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    made = data_set(tmp_path, plain(), plain())
    (tmp_path / "a" / "0.wav").unlink()
    (tmp_path / "a" / "0.wav").mkdir()
    (tmp_path / "a" / "2.wav").write_bytes(plain()[:-2])
    (tmp_path / "a" / "3.wav").write_bytes(plain())
    with pytest.raises(UserError) as caught:
        made.load()
    assert (
        str(caught.value)
        == f"1 of 5 sounds cannot be read:\n  {tmp_path}/a/2.wav: it is cut short: its sound has 12 bytes, of which 10"
        " are there\nMend or remove them."
    )

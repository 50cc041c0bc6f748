"""Picture files of more than 8 bits, against their values scaled by plain numpy, and files of odd modes."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from running import errors_of

from mixexp.dataset.images import ImageFolder
from mixexp.dataset.pixels import read
from mixexp.errors import UserError, note
from mixexp.plan.compose import compose
from mixexp.plan.identity import run_id

RNG = np.random.default_rng(0)
GREY, COLOUR, FOUR, TWO = (RNG.integers(0, 65536, shape) for shape in ((4, 5), (4, 5, 3), (4, 5, 4), (4, 5, 2)))
GREY[0, 0], COLOUR[0, 0] = 65535, (65535, 0, 257)
DARK, DARK_COLOUR = GREY % 4096, COLOUR % 4096


@pytest.fixture(autouse=True)
def notes_are_said_again() -> None:
    note.cache_clear()


def eight(values: np.ndarray, limit: int) -> np.ndarray:
    return np.rint(values * (255 / limit))


def on_white(colours: np.ndarray, opacity: np.ndarray) -> np.ndarray:
    share = (opacity / 65535).reshape(*opacity.shape, *[1] * (colours.ndim - 2))
    return colours * share + 255 * (1 - share)


def png(values: np.ndarray, colour_type: int, extra: dict[bytes, bytes] | None = None) -> bytes:
    """A PNG of 16 bits a channel."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    height, width = values.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0))
    others = b"".join(chunk(name, body) for name, body in (extra or {}).items())
    return b"\x89PNG\r\n\x1a\n" + head + others + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def tiff(
    values: np.ndarray, bits: int = 16, photometric: int = 1, tags: dict[int, int] | None = None, packed: bool = False
) -> bytes:
    """A TIFF in the values' own byte order, and whole pixels after one another; packed: compressed."""
    order = ">" if values.dtype.byteorder == ">" else "<"
    height, width = values.shape[:2]
    channels = 1 if values.ndim == 2 else values.shape[2]
    form = {"u": 1, "i": 2, "f": 3}[values.dtype.kind]
    body = zlib.compress(values.tobytes()) if packed else values.tobytes()
    body += b"\0" * (len(body) % 2)
    entries: dict[int, Any] = {
        256: width, 257: height, 258: [bits] * channels, 259: 8 if packed else 1, 262: photometric, 273: 8, 277: channels,
        278: height, 279: len(body), 284: 1, 339: [form] * channels, **(tags or {}),
    }  # fmt: skip
    start = 8 + len(body)
    behind, table, later = start + 2 + 12 * len(entries) + 4, b"", b""
    for tag, value in sorted(entries.items()):
        numbers = value if isinstance(value, list) else [value]
        field = struct.pack(order + "H" * len(numbers), *numbers)
        if len(field) > 4:
            field, later = struct.pack(order + "I", behind + len(later)), later + field
        table += struct.pack(order + "HHI", tag, 3, len(numbers)) + field.ljust(4, b"\0")
    head = (b"II" if order == "<" else b"MM") + struct.pack(order + "HI", 42, start)
    return head + body + struct.pack(order + "H", len(entries)) + table + bytes(4) + later


def twelve_bits(values: np.ndarray) -> bytes:
    """A TIFF of 12 bits a value, two of which are three bytes."""
    rows = ["".join(f"{value:012b}" for value in row) for row in values]
    rows = [row.ljust(-(-len(row) // 8) * 8, "0") for row in rows]
    body = np.array([[int(row[k : k + 8], 2) for k in range(0, len(row), 8)] for row in rows], dtype=np.uint8)
    return tiff(body, bits=12, tags={256: values.shape[1]})


def netpbm(kind: str, limit: int, values: np.ndarray) -> bytes:
    head = f"{kind} {values.shape[1]} {values.shape[0]}\n# words\n{limit}\n".encode()
    if kind in ("P2", "P3"):
        return head + " ".join(map(str, values.flatten())).encode()
    return head + values.astype(">u2" if limit > 255 else "u1").tobytes()


WHOLE = {
    "grey.png": (png(GREY[..., None], 0), eight(GREY, 65535)),
    "colour.png": (png(COLOUR, 2), eight(COLOUR, 65535)),
    "clear.png": (png(FOUR, 6), on_white(eight(FOUR[..., :3], 65535), FOUR[..., 3])),
    "clear grey.png": (png(TWO, 4), on_white(eight(TWO[..., 0], 65535), TWO[..., 1])),
    "clear corner.png": (
        png(COLOUR, 2, {b"tRNS": COLOUR[0, 0].astype(">u2").tobytes()}),
        np.where((COLOUR[0, 0] == COLOUR).all(2, keepdims=True), 255, eight(COLOUR, 65535)),
    ),
    "little.tif": (tiff(GREY.astype("<u2")), eight(GREY, 65535)),
    "big.tif": (tiff(GREY.astype(">u2")), eight(GREY, 65535)),
    "packed.tif": (tiff(GREY.astype("<u2"), packed=True), eight(GREY, 65535)),
    "white is zero.tif": (tiff(GREY.astype("<u2"), photometric=0), eight(65535 - GREY, 65535)),
    "colour little.tif": (tiff(COLOUR.astype("<u2"), photometric=2), eight(COLOUR, 65535)),
    "colour big.tif": (tiff(COLOUR.astype(">u2"), photometric=2), eight(COLOUR, 65535)),
    "colour packed.tif": (tiff(COLOUR.astype("<u2"), photometric=2, packed=True), eight(COLOUR, 65535)),
    "colour packed big.tif": (tiff(COLOUR.astype(">u2"), photometric=2, packed=True), eight(COLOUR, 65535)),
    "grey.pgm": (netpbm("P5", 65535, GREY), eight(GREY, 65535)),
    "plain.pgm": (netpbm("P2", 65535, GREY), eight(GREY, 65535)),
    "colour.ppm": (netpbm("P6", 65535, COLOUR), eight(COLOUR, 65535)),
    "plain.ppm": (netpbm("P3", 65535, COLOUR), eight(COLOUR, 65535)),
}
STATED = {
    "4095.pgm": (netpbm("P5", 4095, DARK), eight(DARK, 4095)),
    "1000.pgm": (netpbm("P5", 1000, DARK % 1001), eight(DARK % 1001, 1000)),
    "plain 4095.pgm": (netpbm("P2", 4095, DARK), eight(DARK, 4095)),
    "15.pgm": (netpbm("P5", 15, DARK % 16), eight(DARK % 16, 15)),
    "99.pgm": (netpbm("P5", 99, DARK % 100), eight(DARK % 100, 99)),
    "4095.ppm": (netpbm("P6", 4095, DARK_COLOUR), eight(DARK_COLOUR, 4095)),
    "maximum.tif": (tiff(DARK.astype("<u2"), tags={281: 4095}), eight(DARK, 4095)),
    "twelve.tif": (twelve_bits(DARK), eight(DARK, 4095)),
    "float.tif": (tiff((GREY / 65535).astype("<f4"), bits=32), eight(GREY, 65535)),
    "float big.tif": (tiff((GREY / 65535).astype(">f4"), bits=32), eight(GREY, 65535)),
}


@pytest.mark.parametrize("name", WHOLE | STATED)
def test_values_are_scaled_by_the_files_own_range(tmp_path: Path, name: str) -> None:
    content, expected = (WHOLE | STATED)[name]
    (tmp_path / name).write_bytes(content)
    found = read(tmp_path / name, grey=expected.ndim == 2, bits=None)
    tolerance = 1 if name.startswith("clear") else 0
    assert np.abs(np.asarray(found.image).astype(float) - expected).max() <= tolerance
    assert (found.peak is not None) == (name in WHOLE), "whether the range is the file's or all of 16 bits"


def test_a_maximum_that_is_a_pictures_own_is_no_range(tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_bytes(tiff(DARK.astype("<u2"), tags={281: int(DARK.max()) - 1}))
    assert np.array_equal(read(tmp_path / "a.tif", True, None).image, eight(DARK, 65535))


@pytest.mark.parametrize(
    ("name", "content", "values"),
    [
        ("a.png", png(DARK[..., None], 0), DARK),
        ("a.png", png(DARK_COLOUR, 2), DARK_COLOUR),
        ("a.tif", tiff(DARK.astype(">u2")), DARK),
        ("a.ppm", netpbm("P6", 65535, DARK_COLOUR), DARK_COLOUR),
        ("a.pgm", netpbm("P5", 65535, DARK), DARK),
    ],
    ids=["grey png", "colour png", "tiff", "ppm", "pgm"],
)
def test_bits_keep_all_of_their_levels(tmp_path: Path, name: str, content: bytes, values: np.ndarray) -> None:
    (tmp_path / name).write_bytes(content)
    assert np.array_equal(read(tmp_path / name, values.ndim == 2, bits=12).image, eight(values, 4095))
    with pytest.raises(
        ValueError, match=rf"^its largest value is {values.max():,}, and dataset.bits=10 goes to 1,023$"
    ):
        read(tmp_path / name, values.ndim == 2, bits=10)


def test_opacity_may_fill_16_bits_where_colours_are_of_12(tmp_path: Path) -> None:
    pixels = np.concatenate([DARK_COLOUR, np.full((4, 5, 1), 65535)], axis=2)
    (tmp_path / "a.png").write_bytes(png(pixels, 6))
    assert np.array_equal(read(tmp_path / "a.png", False, bits=12).image, eight(DARK_COLOUR, 4095))


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        (
            "a.tif",
            tiff((GREY / 65.0).astype("<f4"), bits=32),
            r"its values are floats from .* to 1008\.23, and floats have to be in 0 to 1",
        ),
        ("a.tif", tiff(np.full((4, 5), np.nan, dtype="<f4"), bits=32), "its values are floats from nan to nan"),
        ("a.tif", tiff((GREY // 2).astype("<i2")), "its values are signed or of 32 bits, of unknown range"),
        ("a.tif", tiff(GREY.astype("<u4"), bits=32), "its values are signed or of 32 bits, of unknown range"),
        (
            "a.tif",
            tiff(COLOUR.astype("<u2"), photometric=2, tags={284: 2, 273: [8, 48, 88], 279: [40] * 3}),
            "its channels of 16 bits lie apart",
        ),
        ("a.ppm", netpbm("P6", 65535, COLOUR)[:-3], "not enough image data|truncated"),
        ("a.png", png(COLOUR, 2)[:90], "truncated|broken|cannot be read"),
        ("a.png", b"words", "^it is not a picture of a format that can be read$"),
    ],
    ids=["floats", "nan", "signed", "32 bits", "planar", "cut ppm", "cut png", "text"],
)
def test_what_has_no_known_values_is_refused(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises((ValueError, OSError, SyntaxError), match=words):
        read(tmp_path / name, False, None)


def test_odd_modes_keep_their_colours(tmp_path: Path) -> None:
    expected = {}
    one = Image.new("1", (4, 4), 1)
    one.save(tmp_path / "one.png")
    one.save(tmp_path / "one.pbm")
    expected |= {"one.png": (255,) * 3, "one.pbm": (255,) * 3}
    for bits in (1, 2, 4):
        palette = Image.new("P", (4, 4), 1)
        palette.putpalette([1, 2, 3, 200, 100, 50])
        palette.save(tmp_path / f"palette{bits}.png", bits=bits)
        expected[f"palette{bits}.png"] = (200, 100, 50)
    Image.new("CMYK", (4, 4), (0, 102, 255, 51)).save(tmp_path / "print.tif")
    expected["print.tif"] = (204, 122, 0)
    for name, colour in expected.items():
        found = np.asarray(read(tmp_path / name, False, None).image).reshape(-1, 3)
        assert np.abs(found.astype(int) - colour).max() <= 1, name


def test_16_bits_are_turned_as_exif_says(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    (tmp_path / "a.png").write_bytes(png(COLOUR, 2, {b"eXIf": exif.tobytes().removeprefix(b"Exif\0\0")}))
    assert np.array_equal(read(tmp_path / "a.png", False, None).image, np.rot90(eight(COLOUR, 65535), -1))


# --- a whole data set ---


def data_set(root: Path, *contents: bytes, ending: str = "png") -> ImageFolder:
    for name in ("a", "b"):
        (root / name).mkdir(parents=True)
        for k, content in enumerate(contents):
            (root / name / f"{k}.{ending}").write_bytes(content)
    return ImageFolder("", str(root), height=4, width=5, grey=True)


@pytest.mark.parametrize(("highest", "bits"), [(200, 8), (1023, 10), (4095, 12), (12000, 14)])
def test_a_data_set_of_fewer_bits_is_noted_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], highest: int, bits: int
) -> None:
    values = GREY % highest
    values[1, 1] = highest
    made = data_set(tmp_path, png(values[..., None], 0), png((values // 2)[..., None], 0))
    assert made.load().train_images.max() < 64, "as dark as the file says"
    most = 2**bits - 1
    assert (
        capsys.readouterr().err
        == f"note: {tmp_path}: no value in its 4 images of 16 bits is above {most:,}, so they may be of {bits} bits and"
        f" have little contrast: dataset.bits={bits} makes {most:,} the full value, dataset.bits=16 leaves them so\n"
    )
    made.bits = bits
    assert made.load().train_images.max() == round(255 * highest / most) or made.load().test_images.max() == round(
        255 * highest / most
    )
    made.bits = 16
    assert made.load().train_images.max() < 64
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("bits", [12, 10, 14])
def test_white_is_the_least_of_the_bits_where_a_file_says_so(
    tmp_path: Path, bits: int, capsys: pytest.CaptureFixture[str]
) -> None:
    most = 2**bits - 1
    values = (GREY % most).astype("<u2")
    values[1, 1] = most
    (tmp_path / "a.tif").write_bytes(tiff(values, photometric=0))
    assert np.array_equal(read(tmp_path / "a.tif", True, bits).image, eight(most - values.astype(int), most))
    assert np.array_equal(read(tmp_path / "a.tif", True, None).image, eight(65535 - values.astype(int), 65535)), (
        "as it was"
    )
    data_set(tmp_path / "set", tiff(values, photometric=0), tiff(values, photometric=0), ending="tif").load()
    assert (
        f"they may be of {bits} bits and have little contrast: dataset.bits={bits} makes {most:,} the full value, "
        in capsys.readouterr().err
    )
    refused = data_set(tmp_path / "other", tiff(values), tiff(values), ending="tif")
    (tmp_path / "other" / "b" / "1.tif").write_bytes(tiff(GREY.astype("<u2"), photometric=0))
    refused.bits = bits
    with pytest.raises(UserError) as caught:
        refused.load()
    assert (
        f"  {tmp_path}/other/b/1.tif: its largest value is 65,535, and dataset.bits={bits} goes to {most:,}\n"
        in str(caught.value)
    )


@pytest.mark.parametrize(
    "content",
    [png(GREY[..., None], 0), netpbm("P5", 4095, DARK), png(np.zeros((4, 5, 1), dtype=int), 0)],
    ids=["bright", "stated", "black"],
)
def test_other_data_sets_are_not_noted(tmp_path: Path, content: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    data_set(tmp_path, content, content, ending="pgm" if content.startswith(b"P5") else "png").load()
    assert capsys.readouterr().err == ""


def test_bits_that_do_nothing_are_refused(tmp_path: Path) -> None:
    made = data_set(tmp_path, netpbm("P5", 255, DARK % 256), netpbm("P5", 4095, DARK), ending="pgm")
    made.bits = 12
    with pytest.raises(
        UserError,
        match=(
            rf"^dataset.bits = 12: has no effect, as each image in {tmp_path} has 8 bits or states its range; leave it"
            r" out.$"
        ),
    ):
        made.load()


def test_runs_without_bits_are_the_runs_they_were() -> None:
    words = ["dataset=image_folder", "dataset.folder=photos", "data_dir=/data"]
    config = compose(words)
    old = {**config, "dataset": {key: value for key, value in config["dataset"].items() if key != "bits"}}
    assert run_id(config) == run_id(old) != run_id(compose([*words, "dataset.bits=12"]))
    assert not [word for word in errors_of(old) if "bits" in word], "a record of before can be read"


# --- what Pillow warns of ---


def test_pillows_warnings_are_one_note_that_names_the_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], recwarn: Any
) -> None:
    made = data_set(tmp_path)
    for k, name in enumerate(("a/0", "a/1", "b/0", "b/1", "b/2")):
        exif = (
            b"II*\0\x08\0\0\0" + struct.pack("<HHHI", 4, 0x010F, 2, 40) + b"\xff"
        )  # four entries are said to be there
        Image.new("L", (5, 4), 40 * k).save(tmp_path / f"{name}.jpg", exif=b"Exif\0\0" + exif)
    found = made.load()
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"note: {tmp_path}: 5 images were read with a warning: a/0.jpg (Corrupt EXIF data")
    assert line.endswith(" and 2 more") and "b/0.jpg (" in line and not recwarn.list
    assert len(found.train_images) + len(found.test_images) == 5


def test_a_very_large_picture_is_noted_and_a_huge_one_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, recwarn: Any
) -> None:
    made = data_set(tmp_path, netpbm("P5", 255, DARK % 256), netpbm("P5", 255, DARK % 256), ending="pgm")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 19)
    made.load()
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(
        f"note: {tmp_path}: 4 images were read with a warning: a/0.pgm (Image size (20 pixels) exceeds limit of 19"
    )
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 9)
    with pytest.raises(UserError, match=r"a/0.pgm: it has more pixels than are read, 18: make it smaller"):
        made.load()
    assert not recwarn.list

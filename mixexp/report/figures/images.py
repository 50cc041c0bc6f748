"""The figure of the images that a network was given, blended and labelled as they were."""

from __future__ import annotations

import base64
import binascii
import io
from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from mixexp.errors import UserError
from mixexp.report.figures.classes import readable
from mixexp.report.figures.lines import entries_of, outer_of
from mixexp.report.figures.probes import Row, rows_of
from mixexp.report.figures.style import LETTERS_AN_INCH, SMALL, TWO_COLUMNS, Kind, folded, place, text
from mixexp.report.tables import Entry, Table, runs_of, smallest_seed

MOST_ROWS = 10
LARGEST = 1024
"""Pixels a side: what a probe leaves is smaller."""


def images(table: Table, spec: Mapping[str, Any]) -> Figure:
    """A row of images for each cell of the table whose first run kept them: as the network saw them, with their labels."""
    cells, size = cells_with_images(table, spec), TWO_COLUMNS / spec["count"]
    figure = Figure(figsize=(TWO_COLUMNS, len(cells) * (size + 0.62)), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.02, h_pad=0.02)
    bands = figure.subfigures(len(cells), 1, squeeze=False)[:, 0]
    for band, (outer, inner, rows) in zip(bands, cells, strict=True):
        layers = dict.fromkeys(row["layer"] for row in rows if row["layer"] not in ("", "input"))
        row, column = (outer, inner) if spec["each"] == "rows" else (inner, outer)
        heading = place(table, row, column)
        if layers:
            heading += f"; blended at {', '.join(layers)}: these are the first parts, not yet blended"
        band.suptitle(folded(text(heading, 160), int(TWO_COLUMNS * LETTERS_AN_INCH) - 12), x=0.01, ha="left", fontsize=SMALL + 1)
        panels = band.subplots(1, spec["count"], squeeze=False)[0]
        for panel in panels:
            panel.set_axis_off()
        for panel, row in zip(panels, rows, strict=False):
            pixels = decoded(row["image"], spec["probe"])
            panel.imshow(pixels, cmap="gray" if pixels.ndim == 2 else None, vmin=0, vmax=255, interpolation="nearest")
            panel.set_title(folded(text(row["labels"], 44), max(8, int(size * LETTERS_AN_INCH))), fontsize=SMALL, y=-0.06, va="top")
    return figure


def images_caption(table: Table, spec: Mapping[str, Any]) -> str:
    """The caption of what a network saw."""
    layers = {row["layer"] for *_, rows in cells_with_images(table, spec) for row in rows} - {"", "input"}
    hidden = "; where they are blended at a hidden layer they are shown as they enter the network, not yet blended" if layers else ""
    return f"Training samples as the network was given them, augmented and blended, with their label weights, from one run a row{hidden}."


def cells_with_images(table: Table, spec: Mapping[str, Any]) -> list[tuple[Entry, Entry, list[Row]]]:
    """The cells with the rows that one of their runs, that of the smallest seed, has in the probe's file."""
    places = [(outer, inner) for outer in outer_of(table, spec) for inner in entries_of(table, spec["by"]) if runs_of(table, outer, inner)]

    def read(place: tuple[Entry, Entry]) -> list[Row]:
        return rows_of(smallest_seed(runs_of(table, *place)), spec, "image", "labels", "layer")[: spec["count"]]

    cells = [(*place, rows) for place, rows in readable(places, read)]
    if len(cells) > MOST_ROWS:
        raise UserError(f"it would have {len(cells)} rows of images; {MOST_ROWS} are the most, so name some entries with `only`")
    return cells


def decoded(word: str, probe: str) -> np.ndarray:
    """Pixels, uint8 [H, W] or [H, W, 3], of an image in base64; raises UserError where it is none."""
    try:
        with Image.open(io.BytesIO(base64.b64decode(word, validate=True)), formats=["PNG"]) as image:
            if max(image.size) > LARGEST:
                raise ValueError(f"{image.size} pixels")
            return np.asarray(image.convert("L" if image.mode == "L" else "RGB"))
    except (binascii.Error, OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise UserError(f"probe_{probe}.csv has an image that cannot be read: {error}") from error


IMAGES = Kind(images, {"probe": "mixed_images", "by": "columns", "each": "rows", "only": None, "count": 6}, images_caption)

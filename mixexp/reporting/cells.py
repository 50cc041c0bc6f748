"""A table's cells as different runs; rows or columns that are measures share the same runs."""

from __future__ import annotations

from collections.abc import Sequence

from mixexp.reporting.tables import Entry, Table, runs_of
from mixexp.training.reader import Run

LISTED = 4
"""The most cells that a sentence names."""


def in_words(places: Sequence[tuple[str, str]]) -> str:
    """Cells by the labels of their rows and columns, the first few."""
    return "; ".join(" / ".join(place) for place in places[:LISTED]) + "; ..." * (len(places) > LISTED)


def entries_of(table: Table, axis: str) -> list[Entry]:
    """The rows or columns that are different runs; a single entry where they are measures of the same runs."""
    entries = getattr(table, axis)
    return [Entry("", {})] if any(entry.measure is not None for entry in entries) else list(entries)


def cells_of(table: Table) -> list[tuple[Entry, Entry, list[Run]]]:
    """The cells with runs: row, column, runs; cells of unlike runs are left out, since they have no common number."""
    unlike = {
        (row if row not in table.measures else "", column if column not in table.measures else "")
        for row, column in table.unlike
    }
    places = [(row, column) for row in entries_of(table, "rows") for column in entries_of(table, "columns")]
    cells = [
        (row, column, runs_of(table, row, column)) for row, column in places if (row.label, column.label) not in unlike
    ]
    return [cell for cell in cells if cell[2]]

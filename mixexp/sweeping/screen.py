"""Runs drawn on a terminal; rich is imported only there."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mixexp.sweeping.estimate import DurationModel
from mixexp.sweeping.status import RunStatus, State, closing, counts, look, rows
from mixexp.text import one_line, printable

if TYPE_CHECKING:
    from rich.console import Group

Block = tuple[str, Sequence[RunStatus]]
"""What there is to draw of a folder: its totals, and its runs in the order in which they are shown."""

URGENCY = (
    State.RUNNING,
    State.FAILED,
    State.DAMAGED,
    State.INTERRUPTED,
    State.DIVERGED,
    State.DONE,
    State.CHANGED,
    State.MISSING,
)
"""The order in which a screen too small for all shows them."""
STYLES = {
    State.DONE: "green",
    State.RUNNING: "cyan",
    State.DIVERGED: "yellow",
    State.INTERRUPTED: "yellow",
    State.CHANGED: "yellow",
    State.FAILED: "bold red",
    State.DAMAGED: "bold red",
    State.MISSING: "dim",
}
LABEL = 10
"""Columns of a label at the least."""


def on_terminal() -> bool:
    """Whether standard output is a terminal that can draw."""
    return sys.stdout.isatty() and os.environ.get("TERM") not in ("dumb", "unknown")


def by_urgency(runs: Iterable[RunStatus]) -> list[RunStatus]:
    """The runs in the order of URGENCY."""
    return sorted(runs, key=lambda status: URGENCY.index(status.state))


def draw_status(folder: Path) -> None:
    """Draw the status of a folder: a line a run, long ones wrapped, the totals and the remarks; raises UserError where
    it has no run."""
    from rich.console import Console
    from rich.table import Column, Table
    from rich.text import Text

    table = Table.grid(
        Column(no_wrap=True),
        Column(no_wrap=True),
        Column(overflow="fold"),
        Column(overflow="fold"),
        padding=(0, 2, 0, 0),
    )
    plans, runs = look(folder)
    durations = DurationModel.from_finished_runs(folder)
    for name, state, label, detail in rows(runs, durations):
        table.add_row(Text(printable(name)), Text(state, STYLES[state]), *map(Text, map(printable, (label, detail))))
    console = Console(highlight=False)
    console.print(table)
    for line in [*closing(folder, runs, durations, plans.slots), *plans.remarks(folder, runs)]:
        console.print(Text(printable(line)), soft_wrap=True)


def draw_block(title: str, runs: Sequence[RunStatus]) -> None:
    """Draw a title and as many runs as the screen has room for, the urgent ones first."""
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False)
    console.print(Text(printable(title)), soft_wrap=True)  # which a frame would cut at the screen's edge
    for part in frame([(title, by_urgency(runs))], max(console.height - 2, 3)).renderables[1:]:
        console.print(part)


def frame(blocks: Sequence[Block], height: int) -> Group:
    """What fits on a screen of so many lines: each folder's totals and as many of its runs as there is room for."""
    from rich.console import Group
    from rich.table import Column, Table
    from rich.text import Text

    def words(text: str) -> Text:
        return Text(printable(text), no_wrap=True, overflow="ellipsis")

    lines: list[Text | Table] = []
    for (total, runs), most in zip(blocks, _shared([1 + len(runs) for _, runs in blocks], height), strict=True):
        shown = runs if len(runs) < most else runs[: max(most - 2, 0)]
        # a long label gives way to what is said of the run
        label = Column(min_width=min(LABEL, max((len(one.run.label) for one in shown), default=0)))
        table = Table.grid(
            Column(no_wrap=True), Column(no_wrap=True), label, Column(no_wrap=True), padding=(0, 2, 0, 0)
        )
        for one in shown:
            state = words(one.state)
            state.stylize(STYLES.get(one.state, ""))
            table.add_row(words(one.run.name), state, words(one_line(one.run.label)), words(one.detail))
        parts = [words(total), table] if shown else [words(total)]
        if len(shown) < len(runs):
            parts.append(words(f"... and {counts(runs[len(shown) :])}"))
        lines += parts[:most]
    return Group(*lines)


def _shared(needed: Sequence[int], height: int) -> list[int]:
    """How many lines each gets of so many: what it needs, where all can have that, else an equal part and what others
    leave."""
    given = [0] * len(needed)
    order = sorted(range(len(needed)), key=lambda place: needed[place])
    for done, place in enumerate(order):
        given[place] = min(needed[place], (height - sum(given)) // (len(order) - done))
    return given

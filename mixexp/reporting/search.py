"""The report of a search: trials.csv, and figures of its course, its settings and their importance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mixexp.files import write_atomically
from mixexp.reporting.csv_files import as_csv
from mixexp.reporting.figures import save
from mixexp.reporting.figures.lines import selected
from mixexp.reporting.figures.style import STYLE, canvas, colour, fonts, legend, plain_log, text
from mixexp.spec.grid import as_override
from mixexp.spec.search import Choices, Range, Settings, Trial, best_of
from mixexp.spec.table import of_part


def write_search(
    folder: Path,
    trials: Sequence[Trial],
    importances: Mapping[str, float],
    settings: Settings,
    space: Mapping[str, Range | Choices],
) -> list[Path]:
    """Write trials.csv and the figures that have data; returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / "trials.csv", as_csv([_record(trial, space) for trial in trials]))
    written = [folder / "trials.csv"]
    with rc_context({**STYLE, "font.family": fonts()}):
        figures = {}
        if any(trial.state == "complete" for trial in trials):
            figures = {"search_history": history(trials, settings), "search_slices": slices(trials, settings, space)}
        if importances:
            figures["search_importance"] = importance(importances, sum(trial.state == "complete" for trial in trials))
        for name, figure in figures.items():
            written += save(figure, folder / name)
    return written


def _record(trial: Trial, space: Mapping[str, Range | Choices]) -> dict[str, Any]:
    """A trial's row of trials.csv."""
    record = {
        "number": trial.number,
        "state": trial.state,
        "value": trial.value,
        **{key: trial.values.get(key) for key in space},
    }
    ending = {"seconds": trial.seconds, "folder": trial.folder, "problem": "".join(trial.problem.splitlines()[-1:])}
    return {**record, "evaluations": trial.evaluations, **ending}


def history(trials: Sequence[Trial], settings: Settings) -> Figure:
    """Each trial's value in order, and the best so far."""
    figure, axes = canvas(1, 1, 2.4)
    panel = axes[0][0]
    _points(panel, trials, {trial.number: trial.number for trial in trials})
    complete = [trial for trial in trials if trial.state == "complete"]
    values = [trial.value for trial in complete if trial.value is not None]
    best = list(accumulate(values, max if settings.direction == "maximize" else min))
    ends = [*(trial.number for trial in complete), max(trial.number for trial in trials)]
    panel.step(ends, [*best, best[-1]], where="post", color=colour(1), label="best so far")
    panel.xaxis.get_major_locator().set_params(integer=True)
    panel.set_xlabel("trial")
    panel.set_ylabel(_named(settings))
    legend(figure, [panel], panel.get_legend_handles_labels()[1])
    return figure


def slices(trials: Sequence[Trial], settings: Settings, space: Mapping[str, Range | Choices]) -> Figure:
    """Each trial's value against each of its settings, with a ring around the best."""
    figure, axes = canvas(1, len(space), 2.4)
    best = best_of(trials, settings.direction)
    assert best is not None  # it is drawn once a trial is complete
    for panel, (key, held) in zip(axes[0], space.items(), strict=True):
        choices = list(held.choices) if isinstance(held, Choices) else None
        drawn = {trial.number: trial.values[key] for trial in trials if key in trial.values}
        places = {number: choices.index(value) if choices is not None else value for number, value in drawn.items()}
        _points(panel, trials, places)
        ring: dict[str, Any] = {
            "markersize": 10,
            "markerfacecolor": "none",
            "color": colour(1),
            "linestyle": "none",
            "label": "best",
        }
        panel.plot([places[best.number]], [best.value or 0.0], "o", **ring)
        if choices is not None:
            panel.set_xticks(range(len(choices)), [text(as_override(choice)) for choice in choices])
            panel.set_xlim(-0.5, len(choices) - 0.5)
        elif isinstance(held, Range) and held.log:
            plain_log(panel, "x")
        panel.set_xlabel(text(key))
    for panel in axes[0][1:]:
        panel.sharey(axes[0][0])
        panel.tick_params(labelleft=False)
    axes[0][0].set_ylabel(_named(settings))
    legend(figure, [axes[0][0]], axes[0][0].get_legend_handles_labels()[1])
    return figure


def importance(importances: Mapping[str, float], complete: int) -> Figure:
    """Each setting's share in the variance of the trials' values."""
    figure, axes = canvas(1, 1, 0.9 + 0.4 * len(importances))
    panel = axes[0][0]
    bars = panel.barh([text(key) for key in importances], list(importances.values()), color=colour(0), height=0.6)
    panel.bar_label(bars, fmt="%.2f", padding=3)
    panel.invert_yaxis()
    panel.grid(visible=False, axis="y")
    panel.set_xlim(0, 1.12 * max(importances.values()))
    panel.set_xlabel(f"share of the variance among\n{complete} complete trials (fANOVA)")
    return figure


def _named(settings: Settings) -> str:
    return text(selected(of_part(settings.metric), settings.rule))


def _points(panel: Axes, trials: Sequence[Trial], places: Mapping[int, float]) -> None:
    """Complete and pruned trials, those with a value; places: each trial's number → its x."""
    looks: dict[str, dict[str, Any]] = {
        "complete": {"marker": "o", "color": colour(0)},
        "pruned": {"marker": "x", "color": "#888888"},
    }
    for state, look in looks.items():
        points = [
            (places[trial.number], trial.value) for trial in trials if trial.state == state and trial.value is not None
        ]
        if points:
            name = "pruned, at its last evaluation" if state == "pruned" else state
            panel.plot(*zip(*points, strict=True), linestyle="none", markersize=4.5, label=name, gid=state, **look)

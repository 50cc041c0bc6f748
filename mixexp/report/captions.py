"""A sentence for each kind of figure: what is drawn, by which rule, what its bands are, and of how many runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from mixexp.metrics import RULES
from mixexp.report.classes import chosen
from mixexp.report.confusions import readable
from mixexp.report.costs import devices
from mixexp.report.pictures import kept
from mixexp.report.plots import entries_of, outer_of, rule_of, said
from mixexp.report.tables import Table, runs_of
from mixexp.spec.table import unit


def of_against(table: Table, spec: Mapping[str, Any]) -> str:
    """Of scores against a setting."""
    x, lines = spec["x_label"] or spec["x"], _axis(table, spec["by"])
    hollow = "; hollow markers are the published values" if spec["published"] else ""
    within = f" up to {spec['x_max']:,g}" if spec["x_max"] is not None else ""
    scaled = ", logarithmic" if spec["x_scale"] == "log" else ""
    return f"{_capital(said(table, spec))}, {RULES[rule_of(table, spec)]}, against {x}{within}{scaled}{_each(lines)}; {_spread(table, 'bars')}{hollow}."


def of_curves(table: Table, spec: Mapping[str, Any]) -> str:
    """Of learning curves."""
    quantities = [spec["y"]] if isinstance(spec["y"], str) else list(spec["y"])
    what = _listed(unit(table.spec, quantity) for quantity in quantities)
    panels = f"panels by {_axis(table, spec['each'])}{_some(table, spec)}" if len(entries_of(table, spec["each"])) > 1 else ""
    return f"{_capital(what)} at every evaluation{_each(_axis(table, spec['by']))}; {'; '.join(filter(None, (panels, _spread(table, 'bands'))))}."


def of_confusion(table: Table, spec: Mapping[str, Any]) -> str:
    """Of confusion matrices."""
    cells = chosen(table, spec)
    everywhere = [1 for row in entries_of(table, "rows") for column in entries_of(table, "columns") if runs_of(table, row, column)]
    some = f" in {len(cells)} of the {len(everywhere)} cells with runs" if len(cells) < len(everywhere) else ""
    counts = [len(readable(runs)) for *_, runs in cells]
    return (
        f"Confusion matrices of the last evaluation{some}: the per cent of each true class (row) that was predicted as each class (column), "
        f"blank below a half, from counts summed over runs ({_number(counts)})."
    )


def of_per_class(table: Table, spec: Mapping[str, Any]) -> str:
    """Of accuracy by class."""
    panels = f"; panels by {_axis(table, spec['each'])}{_some(table, spec)}" if len(entries_of(table, spec["each"])) > 1 else ""
    return (
        f"Accuracy on each class at the last evaluation against its number of training images{_each(_axis(table, spec['by']))} through the "
        f"means of the classes of about a size (dots: the classes); {_spread(table, 'bands')}{panels}."
    )


def of_cost(table: Table, spec: Mapping[str, Any]) -> str:
    """Of wall time."""
    found = devices(table)
    where = f"on {found[0]}" if len(found) == 1 else f"on {len(found)} devices, whose times do not compare (the markers' filling tells which)"
    by = _axis(table, spec["by"])
    told = f", markers by {by}" if by else ""
    return (
        f"Wall time of each run {where} against {unit(table.spec, table.spec['metric'])}, {RULES[table.rule]}{told}; small: runs, large: "
        f"the mean of a cell ({_number(_sizes(table))})."
    )


def of_images(table: Table, spec: Mapping[str, Any]) -> str:
    """Of what a network saw."""
    layers = {row["layer"] for *_, rows in kept(table, spec) for row in rows} - {"", "input"}
    hidden = "; where they are blended at a hidden layer they are shown as they enter the network, not yet blended" if layers else ""
    return f"Training samples as the network was given them, augmented and blended, with their label weights, from one run a row{hidden}."


def of_lines(table: Table, spec: Mapping[str, Any]) -> str:
    """Of what a probe measured."""
    lines = spec["lines"] or _axis(table, "rows" if spec["each"] == "columns" else "columns")
    panels = f"; panels by {_axis(table, spec['each'])}" if len(entries_of(table, spec["each"])) > 1 else ""
    steps = f"; {_listed(map(str, spec['steps']))} as a histogram" if spec["steps"] else ""
    y, x = spec["y_label"] or spec["y"].replace("_", " "), spec["x_label"] or spec["x"]
    return f"{_capital(y)} against {x}{_each(lines)} (probe {spec['probe']}){panels}{steps}; {_spread(table, 'bands')}."


def of_scatter(table: Table, spec: Mapping[str, Any]) -> str:
    """Of points."""
    coloured = f", coloured by {spec['colour']}" if spec["colour"] else ""
    beside = f"; beside them {spec['beside']['y']} against {spec['beside']['x']}" if spec["beside"] else ""
    when = "" if spec["panels"] == "step" else " after the last step"
    outside = ", points beyond the limits counted in the corner" if spec["limits"] is not None else ""
    panels = " and ".join(filter(None, (_axis(table, spec["each"]), spec["panels"])))
    dealt = f"; panels by {panels}" if panels else ""
    return f"Points ({spec['x']}, {spec['y']}) of the probe {spec['probe']}{when}{coloured}{dealt}; one run each, of the smallest seed{beside}{outside}."


def of_animation(table: Table, spec: Mapping[str, Any]) -> str:
    """Of points that move."""
    return of_scatter(table, spec).replace(" after the last step", " over training, a frame for each evaluation", 1)


def _axis(table: Table, axis: str) -> str:
    """What the rows or columns are values of; nothing where there is one for all."""
    return str(table.spec[axis].get("label") or axis).partition(" (")[0] if len(entries_of(table, axis)) > 1 else ""


def _each(what: str) -> str:
    return f", a line for each {what}" if what else ""


def _some(table: Table, spec: Mapping[str, Any]) -> str:
    drawn, every = len(outer_of(table, spec)), len(outer_of(table, {**spec, "only": None}))
    return f" ({drawn} of {every})" if drawn < every else ""


def _spread(table: Table, name: str) -> str:
    sizes = _sizes(table)
    if max(sizes, default=0) < 2:
        return f"single runs (n = 1), no {name}"
    return f"{table.statistic.centres}, {name} {table.statistic.reach} ({_number(sizes)})"


def _sizes(table: Table) -> list[int]:
    return [len(members) for members in table.cells.values()]


def _number(sizes: Iterable[int]) -> str:
    found = sorted(sizes)
    return f"n = {found[0]}" if found[0] == found[-1] else f"n = {found[0]} to {found[-1]}"


def _listed(words: Iterable[str]) -> str:
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last


def _capital(words: str) -> str:
    return words[:1].upper() + words[1:]

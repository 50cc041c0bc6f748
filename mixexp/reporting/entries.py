"""The rows and columns of a table without a description: settings by the fewest keys that distinguish them.

They are named and ordered as in a paper.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import product
from typing import Any

from mixexp.reporting.runs import METHOD, uneven, varying
from mixexp.settings import CIRCUMSTANCES, REPEATS, comparable, lookup
from mixexp.spec.table import AXES
from mixexp.training.reader import Run, plans

UNSET = "–"
MOST_COLUMNS = 8
"""The most methods as columns; more are rows."""
SYMBOLS = {
    **{
        "alpha": "α",
        "mix.ratio.alpha": "α",
        "loss.sigma": "σ",
        "loss.margin": "λ",
        "loss.gamma": "γ",
        "loss.temperature": "T",
    },
    **{"subset.n": "n", "imbalance.n": "n", "imbalance.ratio": "ρ", "optimizer.lr": "lr"},
    "test.n": "test images",
}
"""Settings that papers write as a symbol."""
WORDS = {
    **{
        "mix": "mixing",
        "mix_layer": "mixed layer",
        "alpha": "α",
        "mix.ratio.alpha": "α",
        "subset.n": "training images",
    },
    **{
        "imbalance.n": "images of a minority class",
        "imbalance.ratio": "imbalance ρ",
        "optimizer.lr": "learning rate",
        "model": "network",
    },
    "test.n": "test images",
}
"""Settings as headings and axes name them; any other by its key."""
WITHOUT = {"test.n": "all"}
"""The labels of settings that have a meaning where they are null; for any other, null means that it does not apply."""
NONE = {"augment": "no augmentation", "imbalance": "no imbalance", "label_noise": "no label noise"}
"""The labels of the option none of a group, in labels of several settings; that of mix stays none."""


NO_OPTION = "none"
"""The option of a group that does nothing, which the others are read against."""


def label(value: Any) -> str:
    """A configuration value as the tables print it, a whole number without a point."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return UNSET if value is None else str(value).lower() if isinstance(value, bool) else " ".join(str(value).split())


def label_at(key: str, value: Any) -> str:
    """A setting's value as the tables print it."""
    return WITHOUT.get(key, UNSET) if value is None else label(value)


def written(name: Any) -> str:
    """A label from a file, unchanged."""
    return label(str(name) if isinstance(name, float) else name)


def among(name: str, labels: Iterable[str]) -> str:
    """The label that a name means, numbers in any spelling; the name itself where there is none."""
    labels = list(labels)
    return name if name in labels else next((each for each in labels if comparable(each) == comparable(name)), name)


def described_by_differences(runs: Sequence[Run], given: Mapping[str, Any]) -> dict[str, Any]:
    """A table of every distinct setting, named by the fewest keys that distinguish all, and of the usual metric.

    given: the keys that a table already has; a given axis shows its settings, and the other one the remaining ones. A
    method and one other setting, if all pairs were run, become columns and rows; any others a row for each combination.
    """
    known = [run for run in runs if run.config]
    metric = given.get("metric") or usual_metric(known)
    shown = [key for axis in AXES for key in keys_of(given.get(axis) or {})]
    keys = [key for key in telling(known, (*CIRCUMSTANCES, *REPEATS), (*shown, *METHOD)) if key not in shown]
    numbers = {"label": "metric", "values": {metric: {}}}
    beside = [name for name in ("balanced_accuracy", "accuracy") if any(name in run.metrics for run in known)]
    if metric == "balanced_accuracy" and len(beside) > 1 and "metric" not in given:
        # nearly the same test twice would only cost power
        numbers = {
            "label": "metric",
            "measures": {name.replace("_", " "): {"metric": name, "compared": name == metric} for name in beside},
        }
    if given.get("rows") or given.get("columns") or not _crossed(known, keys):
        settings = _settings(known, keys)
        axes = {"rows": settings, "columns": settings if given.get("rows") and keys else numbers}
    else:
        axes = {"rows": axis_of(keys[1]), "columns": axis_of(keys[0])}
    curves = {"file": "curves", "kind": "curves", "y": ["train_loss", metric], "by": "rows", "each": "columns"}
    return {"metric": metric, **axes, "figures": [curves]}


def axis_of(key: str) -> dict[str, Any]:
    """The rows or columns of a setting, an entry for each of its values."""
    return {"label": WORDS.get(key, key), "key": key}


def with_label(axis: Mapping[str, Any]) -> Mapping[str, Any]:
    """Rows or columns with a label: of a setting, where none is given, that setting's usual one."""
    return {**axis, **axis_of(axis["key"])} if axis.get("key") and not axis.get("label") else axis


def _crossed(runs: Sequence[Run], keys: Sequence[str]) -> bool:
    """True if the keys are a method and one other setting, and all pairs of their values were run."""
    if len(keys) != 2 or keys[0] not in METHOD:
        return False
    pairs = {tuple(comparable(lookup(run.config, key)) for key in keys) for run in runs}
    first, second = ({pair[place] for pair in pairs} for place in (0, 1))
    return 1 < len(first) <= MOST_COLUMNS and len(second) > 1 and set(product(first, second)) == pairs


def _settings(runs: Sequence[Run], keys: Sequence[str]) -> dict[str, Any]:
    """An axis with an entry for each combination of the keys' values, in the order of the grid."""
    if len(keys) == 1:
        return axis_of(keys[0])
    ranks = {key: value_ranks(runs, key) for key in keys}
    settings: dict[tuple[int, ...], tuple[Run, dict[str, Any]]] = {}
    for run in runs:
        values = {key: lookup(run.config, key) for key in keys}
        settings.setdefault(tuple(ranks[key][comparable(value)] for key, value in values.items()), (run, values))
    ordered = [pair for _, pair in sorted(settings.items(), key=lambda item: item[0])]
    words: Callable[[Run, Iterable[str]], str] = paper_label
    if len({paper_label(run, keys) for run, _ in ordered}) < len(
        ordered
    ):  # two groups may have options of the same name
        words = named_by
    return {"label": "setting", "values": {words(run, keys) or "all runs": values for run, values in ordered}}


def keys_of(axis: Mapping[str, Any]) -> list[str]:
    """The settings that rows or columns show."""
    conditions = [key for settings in (axis.get("values") or {}).values() for key in settings]
    return list(dict.fromkeys([*([axis["key"]] if axis.get("key") else []), *conditions]))


def telling(runs: Sequence[Run], ignore: Sequence[str], first: Iterable[str] = ()) -> list[str]:
    """The fewest keys that distinguish all settings: the preferred ones first, then in the order of the configuration.

    ignore: keys that are left out.
    """
    keys: list[str] = []
    distinct = 1
    differing = varying(runs, ignore)
    for key in dict.fromkeys([*(key for key in first if key in differing), *differing]):
        # A key that the earlier ones determine (an option's own parameters) would only repeat them.
        count = len({tuple(comparable(lookup(run.config, earlier)) for earlier in (*keys, key)) for run in runs})
        if count > distinct:
            keys, distinct = [*keys, key], count
    return keys


def named_by(run: Run, keys: Iterable[str]) -> str:
    """A run's settings at some keys, in words; those without a value are left out where others have one."""
    return ", ".join(f"{key}={label_at(key, value)}" for key, value in _given(run, keys).items())


def paper_label(run: Run, keys: Iterable[str]) -> str:
    """A run's settings at some keys as in a paper: "mixup, α = 0.2", "none, n = 500", "mixup, at layer2"."""
    given = _given(run, keys)
    signs = {key: SYMBOLS.get(key) or key.rpartition(".")[2].replace("_", " ") for key in given}
    names = {key: sign if list(signs.values()).count(sign) == 1 else key for key, sign in signs.items()}
    choices = run.config.get("choices")
    groups = choices if isinstance(choices, Mapping) else {}
    return ", ".join(
        _option(key, label(value)) if key in groups else f"{names[key]} = {label_at(key, value)}"
        for key, value in given.items()
    )


def _option(group: str, name: str) -> str:
    """The chosen option of a group."""
    if group == "mix_layer":
        return f"at {name}"
    return NONE.get(group, f"{group} none") if name == "none" and group != "mix" else name


def _given(run: Run, keys: Iterable[str]) -> dict[str, Any]:
    values = {key: lookup(run.config, key) for key in keys}
    return {key: value for key, value in values.items() if value is not None or key in WITHOUT} or values


def usual_metric(runs: Iterable[Run]) -> str:
    """Accuracy, or balanced accuracy where training classes are unequal.

    Without both, the first figure that is not a loss.
    """
    runs = list(runs)
    columns = dict.fromkeys(name for run in runs for name in run.metrics)
    others = [name for name in columns if name not in ("step", "epoch", "lr", "seconds") and not name.endswith("loss")]
    if "balanced_accuracy" in columns and any(map(uneven, runs)):
        return "balanced_accuracy"
    return "accuracy" if "accuracy" in columns or not others else others[0]


def value_ranks(runs: Iterable[Run], key: str, baseline: str | None = None) -> dict[Any, int]:
    """The places of a setting's values, as they are compared: numbers by size, layers from input to output, others as
    the grids of their sweeps have them.

    Of two grids that have the same values in different orders, the later one counts. A value that no grid has beside
    others, such as one that was swept alone, comes behind them in the order of its runs, but before all where it is
    `none` or the baseline: that is what the others are read against.
    """
    runs = list(runs)
    grids, alone = _grids(runs, key)
    order = list(dict.fromkeys([*functools.reduce(_merged, grids, []), *alone]))
    first = {comparable(NO_OPTION), comparable(baseline)} - {None}
    beside_others = {value for grid in grids if len(grid) > 1 for value in grid}
    order.sort(key=lambda value: value not in first or value in beside_others)
    places = {value: place for place, value in enumerate(order)}
    ordered = sorted(order, key=lambda value: sort_key(value, key.startswith("mix_layer"), places[value]))
    return {value: place for place, value in enumerate(ordered)}


def _grids(runs: Sequence[Run], key: str) -> tuple[list[list[Any]], list[Any]]:
    """The different values of a setting in the order of each sweep's grid, the oldest sweep first; and those of runs
    that no sweep has planned, as these were started."""
    values = {run.folder: comparable(lookup(run.config, key)) for run in runs}
    planned = sorted(
        (started, [folder / name for name in names])
        for folder in {run.folder.parent for run in runs}
        for started, names in plans(folder)
    )
    known = {path for _, paths in planned for path in paths}
    others = sorted(
        (run for run in runs if run.folder not in known), key=lambda run: str(run.environment.get("started") or "")
    )
    return (
        [list(dict.fromkeys(values[path] for path in paths if path in values)) for _, paths in planned],
        [values[run.folder] for run in others],
    )


def _merged(earlier: Iterable[Any], later: Sequence[Any]) -> list[Any]:
    """Both orders in one: that of the later, and what it lacks behind its neighbour in the earlier one."""
    start, known = object(), set(later)
    behind: dict[Any, list[Any]] = {start: []}
    neighbour: Any = start
    for value in earlier:
        if value in known:
            neighbour = value
        else:
            behind.setdefault(neighbour, []).append(value)
    return [*behind[start], *(each for value in later for each in (value, *behind.get(value, ())))]


def sort_key(value: Any, layer: bool = False, place: int = 0) -> tuple[int, float, tuple[Any, ...], int]:
    """The sort key of a setting's value in comparable form: numbers, then words, then None.

    place: its rank in the grid.
    """
    if value is None:
        return 2, 0.0, (), 0
    if isinstance(value, float):
        return 0, value, (), 0
    return 1, 0.0, _depth(value) if layer else (), place


def _depth(layer: str) -> tuple[Any, ...]:
    """The sort key of layers from input to output, their numbers by size; a random or several layers come last."""
    ends = {"input": -1.0, "stem": 0.0, "final": 2.0, "random": 3.0}
    digits = [float(number) for number in re.findall(r"\d+", layer)]
    return ends.get(layer, 1.0), len(re.findall(r"[A-Za-z]\w*", layer)), *digits, math.inf

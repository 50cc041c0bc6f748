"""The rows and columns of a table that nobody described: settings told apart by the fewest keys, named and ordered as a
paper has them."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import product
from typing import Any

from mixexp.reporting.runs import METHOD, uneven, varying
from mixexp.settings import CIRCUMSTANCES, REPEATS, comparable, lookup
from mixexp.spec.table import AXES
from mixexp.training.reader import Run, planned_places

UNSET = "–"
MOST_COLUMNS = 8
"""Methods that are columns beside each other; more are rows."""
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
"""What settings are called that have a meaning where they are null; of any other, null is that it does not apply."""
NONE = {"augment": "no augmentation", "imbalance": "no imbalance", "label_noise": "no label noise"}
"""What the option none of a group is called beside the options of others; that of mix stays none."""


def label(value: Any) -> str:
    """A configuration value as the tables print it, a whole number without a point."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return UNSET if value is None else str(value).lower() if isinstance(value, bool) else " ".join(str(value).split())


def label_at(key: str, value: Any) -> str:
    """A setting's value as the tables print it."""
    return WITHOUT.get(key, UNSET) if value is None else label(value)


def written(name: Any) -> str:
    """A label that a file gives, as it is there."""
    return label(str(name) if isinstance(name, float) else name)


def among(name: str, labels: Iterable[str]) -> str:
    """The one of some labels that a name means, numbers in any spelling; the name itself where none is."""
    labels = list(labels)
    return name if name in labels else next((each for each in labels if comparable(each) == comparable(name)), name)


def described_by_differences(runs: Sequence[Run], given: Mapping[str, Any]) -> dict[str, Any]:
    """A table of every distinct setting, named by the fewest keys that tell them all apart, and of the usual metric.

    given: what a table says already; an axis that it has shows its settings, and the other one those that are left. A
    method and one other setting, of which all pairs were run, are columns and rows; any others a row for each
    combination.
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
    return {
        "metric": metric,
        "scale": 100 if metric in ("accuracy", "balanced_accuracy") else 1,
        **axes,
        "figures": [curves],
    }


def axis_of(key: str) -> dict[str, Any]:
    """The rows or columns of a setting, an entry for each of its values."""
    return {"label": WORDS.get(key, key), "key": key}


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
    """The fewest keys that tell all settings apart: those preferred first, then in the order of the configuration, none
    to be ignored."""
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
    """A run's settings at some keys as a paper has them: "mixup, α = 0.2", "none, n = 500", "mixup, at layer2"."""
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
    """Accuracy; balanced accuracy where training classes are unequal; where runs measure neither, the first figure that
    is no loss."""
    runs = list(runs)
    columns = dict.fromkeys(name for run in runs for name in run.metrics)
    others = [name for name in columns if name not in ("step", "epoch", "lr", "seconds") and not name.endswith("loss")]
    if "balanced_accuracy" in columns and any(map(uneven, runs)):
        return "balanced_accuracy"
    return "accuracy" if "accuracy" in columns or not others else others[0]


def value_ranks(runs: Iterable[Run], key: str) -> dict[Any, int]:
    """The places of a setting's values, as they are compared: numbers by size, layers from input to output, others as
    the grid has them."""
    values = [comparable(lookup(run.config, key)) for run in by_grid(runs)]
    first = {value: place for place, value in reversed(list(enumerate(values)))}
    order = sorted(first, key=lambda value: sort_key(value, key.startswith("mix_layer"), first[value]))
    return {value: place for place, value in enumerate(order)}


def sort_key(value: Any, layer: bool = False, place: int = 0) -> tuple[int, float, tuple[Any, ...], int]:
    """What values of a setting, as they are compared, are sorted by: numbers, then words, then none; place: where the
    grid has it."""
    if value is None:
        return 2, 0.0, (), 0
    if isinstance(value, float):
        return 0, value, (), 0
    return 1, 0.0, _depth(value) if layer else (), place


def _depth(layer: str) -> tuple[Any, ...]:
    """What layers are sorted by from input to output, their numbers by size; a random or several layers come last."""
    ends = {"input": -1.0, "stem": 0.0, "final": 2.0, "random": 3.0}
    digits = [float(number) for number in re.findall(r"\d+", layer)]
    return ends.get(layer, 1.0), len(re.findall(r"[A-Za-z]\w*", layer)), *digits, math.inf


def by_grid(runs: Iterable[Run]) -> list[Run]:
    """The runs in the order of the sweeps that planned them; others after those, as they were started."""
    runs = list(runs)
    places = {folder: planned_places(folder) for folder in {run.folder.parent for run in runs}}
    return sorted(
        runs,
        key=lambda run: (
            places[run.folder.parent].get(run.folder.name, math.inf),
            str(run.environment.get("started") or ""),
        ),
    )

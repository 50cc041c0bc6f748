"""The training of a table's runs in one sentence, from their configurations and environment.json."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePath
from typing import Any

from mixexp.reporting.entries import WORDS, keys_of, label, telling
from mixexp.reporting.runs import METHOD, implied_by_group, varying
from mixexp.reporting.tables import Table
from mixexp.settings import REPEATS, SAME_RESULT
from mixexp.spec.table import AXES
from mixexp.text import enumerated
from mixexp.training.reader import Run

NAMES = {
    "mnist": "MNIST",
    "fashion_mnist": "Fashion-MNIST",
    "cifar10": "CIFAR-10",
    "cifar100": "CIFAR-100",
    "svhn": "SVHN",
    "speech_commands": "Speech Commands",
    "sgd": "SGD",
    "adam": "Adam",
    "cross_entropy": "cross-entropy",
    "binary_cross_entropy": "binary cross-entropy",
    "soft_cross_entropy": "soft cross-entropy",
    "kl": "KL-divergence",
}
"""Options and settings whose names in papers differ."""
ITEMS = {
    "sounds": "recordings",
    "planes": "points",
    "toy2d": "points",
    "gaussians": "points",
    "tables": "rows",
    "csv_table": "rows",
    "image": "images",
    "sound": "recordings",
    "spectrogram": "recordings",
    "table": "rows",
}
"""What a data set's items are called, by the module of its class, or else by the kind of its inputs."""
USUAL = {"label_noise": "none", "sampling": "natural", "mix": "none"}
"""Options that are not worth a word."""
IN_WORDS = {("augment", "none"): "without augmentation", ("mix_layer", "input"): "mixed at the input"}
"""Options that a sentence does not call by their names."""
LOOPS = ("gan",)
"""Groups whose options train networks of their own, without the groups of a classification."""
METHODS = {
    "mix": "{}",
    "mix_layer": "mixed at {}",
    "loss": "{} loss",
    "sampling": "{} sampling",
    "augment": "{} augmentation",
}
"""Groups of the method, and the words for an option."""
CURVES = {"Constant": "constant rate", "Cosine": "cosine schedule"}
"""Schedules without settings except a warm-up, by their classes."""
MILESTONES = {
    "budget": (100, "at {} % of the budget"),
    "epochs": (1, "after {} epochs"),
    "steps": (1, "after {} steps"),
}
"""The units of a schedule's milestones: a factor for display, and the words around them."""
OF_MIX = ("mix_layer", "alpha")
"""Root settings that are null without mixing."""
ACTS_WITH = {"loss.beta": ("loss.class_weights", "effective_number")}
"""Settings that act only where another one has a value."""
SILENT = ("false", "none", "drawn", "[]", "{}", 0.0)
"""Values of settings that switch nothing on, or are usual."""
LISTED = 4
"""The most values that are listed; of more numbers, the smallest and the largest are."""
NAMED = 6
"""The most differing settings that are named."""


class _Values:
    """The different values of some runs' settings and facts, each in the order of the runs."""

    def __init__(self, runs: Sequence[Run]) -> None:
        self._runs = runs
        self._settings: dict[str, dict[Any, None]] = {}
        for run in runs:
            for key, value in run.settings.items():
                self._settings.setdefault(key, {})[value] = None

    def of(self, key: str) -> list[Any]:
        """The values of a setting, without None."""
        return [value for value in self._settings.get(key, ()) if value is not None]

    def of_all(self, key: str) -> list[Any]:
        """The value of a setting that all runs have; empty where they differ or one lacks it."""
        values = dict.fromkeys(run.setting(key) for run in self._runs)
        return list(values) if len(values) == 1 and None not in values else []

    def under(self, group: str) -> list[str]:
        """The settings below a group's option."""
        return [key for key in self._settings if key.startswith(f"{group}.")]

    def mixes_with(self, key: str) -> list[str] | None:
        """The mixes that have a value of a setting, none where all of them have.

        None where a mix has it in some of its runs.
        """
        having: dict[Any, set[bool]] = {}
        for run in self._runs:
            if run.setting("mix") != "none":
                having.setdefault(run.setting("mix"), set()).add(run.setting(key) is not None)
        if any(len(has) > 1 for has in having.values()):
            return None
        named = [label(mix) for mix, has in having.items() if has == {True}]
        return named if len(named) < len(having) else []

    def facts(self, name: str, model: Any = None) -> list[Any]:
        """Each run's value of a name in environment.json, without empty ones; model: of the runs with it alone."""
        runs = [run for run in self._runs if model is None or run.setting("model") == model]
        return [run.environment[name] for run in runs if run.environment.get(name)]

    def classes(self, group: str) -> list[str]:
        """The last parts of the names of a group's classes."""
        return list(dict.fromkeys(str(value).rpartition(".")[2] for value in self.of(f"{group}._target_")))


def trained(table: Table) -> str:
    """The sentence on a table's runs: network, data, optimiser, schedule, budget, seeds, differences between cells.

    It has the values that all runs share, and lists or ranges of those that vary. Empty without records.
    """
    key = ("trained",)
    if key not in table.statistics:
        table.statistics[key] = _sentence(table)
    return table.statistics[key]


def _sentence(table: Table) -> str:
    runs = [run for run in table.runs if run.config]
    values = _Values(runs)
    if not (values.of("dataset") or values.classes("dataset")):
        return ""
    networks = _networks(values)
    games = [group for group in LOOPS if values.of(group)]
    methods = [f"{group} {_option(values, group)}" for group in games] or _methods(values)
    how = [*methods, *_training(values)]
    subject = f"{networks} on {_data(values, bool(games))}" if networks else _data(values, bool(games))
    cells = _differing(table, runs)
    differing = f"; the cells of the table differ in {cells}" if cells else ""
    sentence = f"{subject}: {', '.join(how)}{differing}."
    # an option's name is spelled as it is typed
    return sentence if networks and not games else sentence[:1].upper() + sentence[1:]


def _networks(values: _Values) -> str:
    """The networks with their numbers of parameters."""
    recorded = values.facts("parameters")
    several = [facts for facts in recorded if isinstance(facts, Mapping)]
    if several:
        names = dict.fromkeys(str(name) for facts in several for name in facts)
        return " and ".join(_with_count(f"a {label(name)}", [facts.get(name) for facts in several]) for name in names)
    models = values.of("model")
    if 1 < len(models) <= LISTED:  # each with its own number, since papers give different networks one name
        return enumerated([_with_count(_name(model), values.facts("parameters", model)) for model in models], "or")
    return _with_count(_option(values, "model", settings=False), recorded)


def _with_count(name: str, parameters: Iterable[Any]) -> str:
    counts = _counts(parameters)
    return f"{name} ({counts} parameters)" if counts and name else name


def _data(values: _Values, game: bool) -> str:
    """The training set, the changes to it, and the size of the test set."""
    items, names, total, tested = (
        _items(values),
        _data_names(values),
        _total(values, "train_counts"),
        _total(values, "test_counts"),
    )
    if game:
        return f"{total or 'the'} training {items} of {names}"
    cut = _words([option for option in values.of("imbalance") if option != "none"])
    some = "in some runs " * ("none" in values.of("imbalance"))
    held_out = [f"{100 * part:g}" for part in values.of("validation") if isinstance(part, float) and part]
    text = _chosen(values, f"training {items} of {names}", "" if cut or held_out else total)
    if cut:
        left = f"to {total} " if total and not (some or held_out) else ""
        text += f", {some}cut {left}by {cut}{_cut_to(values, items)}"
    if held_out:
        text += f", {_words(held_out)} % of them held out for validation{f' ({total} left)' if total else ''}"
    if noise := _unusual(values, "label_noise", "{} label noise"):
        text += f", {noise}"
    return text + (f", tested on {tested}" if tested else "")


def _chosen(values: _Values, items: str, total: str) -> str:
    """The training set that the subset's option chooses; total: its size, unless it is reduced afterwards."""
    subset, n = values.classes("subset"), _words(values.of("subset.n"))
    number = total or "the"
    texts = {
        "Head": f"the first {n} {items}",
        "Balanced": f"{n} {items}, as many of each class",
        "Full": f"{f'all {total}' if total and ' ' not in total else number} {items}",
    }
    return texts.get(subset[0], f"{total} {items}".strip()) if len(subset) == 1 else f"{total} {items}".strip()


def _items(values: _Values) -> str:
    """The names of the data sets' items: by the modules of their classes, for own ones by the kind of their inputs."""
    targets = [str(target) for target in values.of("dataset._target_")]
    if targets and all(target.startswith("mixexp.dataset.") for target in targets):
        words = {ITEMS.get(target.split(".")[2], "images") for target in targets}
    else:
        words = {
            ITEMS.get(str(inputs.get("kind")), "samples")
            for inputs in values.facts("inputs")
            if isinstance(inputs, Mapping)
        }
    return words.pop() if len(words) == 1 else "samples"


def _total(values: _Values, fact: str) -> str:
    """The number of items of all classes together."""
    return _counts(sum(counts) for counts in map(_class_counts, values.facts(fact)) if counts)


def _data_names(values: _Values) -> str:
    files = [PurePath(str(name)).name for key in ("dataset.file", "dataset.folder") for name in values.of(key)]
    name = _option(values, "dataset", settings=False)
    return f"{name} ({_words(files)})" if any(file not in name for file in files) else name


def _cut_to(values: _Values, items: str) -> str:
    """The settings of the imbalance, and the numbers of items left in the classes."""
    counts = [count for counts in map(_class_counts, values.facts("train_counts")) for count in counts]
    there = [f"{min(counts):,} to {max(counts):,} {items} a class"] if counts else []
    said = [part for part in (_settings(values, "imbalance"),) if part] if len(values.of("imbalance")) == 1 else []
    return " imbalance" + (f" ({'; '.join([*said, *there])})" if said or there else "")


def _methods(values: _Values) -> list[str]:
    """The options of the method that all runs have in common, without those that are not worth a word; the others are
    named as differing."""
    # a group that a run has no option of, as those without a mix have no layer, makes no difference
    common = {group: words for group, words in METHODS.items() if len(values.of(group)) == 1}
    if values.of("mix") == ["none"]:
        common.pop("mix_layer", None)
    texts = [
        IN_WORDS.get((group, values.of(group)[0])) or _unusual(values, group, words) for group, words in common.items()
    ]
    if "none" in values.of("mix"):  # some runs are not mixed at all
        texts = [text.replace("mixed at", "mixing at") for text in texts]
    # of a single mix, it is among its settings
    only = values.mixes_with("alpha")
    if len(values.of("mix")) > 1 and len(values.of("alpha")) == 1 and only is not None:
        alpha = f"α {_words(values.of('alpha'))}" + (f" ({enumerated(only)})" if only else "")
        at = next((place for place, text in enumerate(texts) if text.startswith("mixing at")), None)
        texts.insert(0 if at is None else at + 1, alpha if at is not None else f"mixing with {alpha}")
    texts += [f"second stage {label(option)}" for option in values.of_all("second_stage")]
    return [text for text in texts if text]


def _unusual(values: _Values, group: str, words: str) -> str:
    """A group's options in these words; empty where they are the usual one."""
    options = values.of(group)
    return "" if not options or options == [USUAL.get(group)] else _option(values, group, words=words)


def _training(values: _Values) -> list[str]:
    """Optimiser, schedule, batches, budget and seeds."""
    epochs, steps = values.of("epochs"), values.of("steps")
    taken = _counts(values.facts("steps"))
    if epochs and not steps:
        budget = _many(epochs, "epoch") + (f" ({_many_text(taken, 'step')})" if taken else "")
    else:
        budget = " or ".join(
            [*([_many(epochs, "epoch")] if epochs else []), *([_many(steps, "step")] if steps else [])]
        )
    batches = f"batches of {_words(values.of('batch_size'))}" if values.of("batch_size") else ""
    data_seeds = values.of("data_seed") if len(values.of("data_seed")) > 1 else []
    seeds = [_seeds(values.of("seed"), "seed"), _seeds(data_seeds, "data seed")]
    return [text for text in (_option(values, "optimizer"), _schedule(values), batches, budget, *seeds) if text]


def _schedule(values: _Values) -> str:
    classes = values.classes("schedule")
    warmup = [epochs for epochs in values.of("schedule.warmup_epochs") if epochs]
    after = f" after a warm-up of {_many(warmup, 'epoch')}" if warmup else ""
    if len(classes) == 1 and classes[0] in CURVES:
        return CURVES[classes[0]] + after
    milestones, drops, units = (values.of(f"schedule.{key}") for key in ("milestones", "drop", "milestones_in"))
    if len(classes) == 1 and len(milestones) == len(drops) == len(units) == 1 and units[0] in MILESTONES:
        factor, words = MILESTONES[units[0]]
        with contextlib.suppress(ValueError):  # a record that holds anything
            places = [f"{factor * float(place):.3g}" for place in str(milestones[0]).strip("[]").split(",")]
            return f"rate × {label(drops[0])} {words.format(enumerated(places))}{after}"
    name = _option(values, "schedule", settings=len(classes) == 1)
    return name and f"schedule {name}"


def _seeds(values: Sequence[Any], name: str) -> str:
    """The seeds, consecutive ones as a range."""
    numbers = sorted(value for value in values if isinstance(value, float))
    if not values:
        return ""
    if len(values) == len(numbers) > 3 and numbers == [numbers[0] + place for place in range(len(numbers))]:
        return f"{name}s {numbers[0]:g} to {numbers[-1]:g}"
    ordered = [f"{number:g}" for number in numbers] if len(numbers) == len(values) else list(map(label, values))
    return (
        f"{name}{'s' * (len(ordered) > 1)} {', '.join(ordered)}"
        if len(ordered) <= 2 * LISTED
        else f"{len(ordered)} {name}s"
    )


def _option(values: _Values, group: str, settings: bool = True, words: str = "{}") -> str:
    """A group's options by their names, in these words.

    A single option has its settings in brackets, and an own class its name.
    """
    names = [_name(option) for option in values.of(group)]
    targets = [str(target) for target in values.of(f"{group}._target_")]
    own = [target.rpartition(".")[2] for target in targets if not target.startswith("mixexp.")]
    name = _words(list(dict.fromkeys(names))) or _words(own)
    inside = [own[0]] if len(names) == 1 and len(own) == 1 and _bare(own[0]) != _bare(name) else []
    told = _settings(values, group) if settings and len(names) == 1 else ""
    inside += [told] if told else []
    return words.format(name) + (f" ({', '.join(inside)})" if inside else "") if name else ""


def _name(option: Any) -> str:
    return NAMES.get(str(option), label(option))


def _bare(name: str) -> str:
    return name.replace("_", "").casefold()


def _settings(values: _Values, group: str) -> str:
    """The settings of a group's option, without those that switch nothing on."""
    told = []
    for key in values.under(group):
        distinct = [value for value in values.of(key) if value not in SILENT]
        other, needed = ACTS_WITH.get(key, ("", None))
        idle = needed is not None and needed not in values.of(other)
        if key.endswith("_target_") or not distinct or distinct == values.of(group) or idle:
            continue
        name = key.rpartition(".")[2]
        told.append(_called(name) if distinct == ["true"] else f"{_called(name)} {_words(distinct)}")
    return ", ".join(told)


def _differing(table: Table, runs: Sequence[Run]) -> str:
    """The settings in which the table's cells differ, those of its rows and columns first."""
    ignored = (*SAME_RESULT, *REPEATS)
    shown = [key for axis in AXES for key in keys_of(table.spec[axis])]
    labels = {table.spec[axis]["key"]: table.spec[axis].get("label") for axis in AXES if table.spec[axis].get("key")}
    differing = varying(runs, ignored)
    differing = [key for key in differing if not _implied(key, differing, runs)]
    first = [key for key in telling(runs, ignored, (*shown, *METHOD)) if key in differing]
    names: dict[str, str] = {}
    for key in dict.fromkeys([*first, *differing]):
        name = label(labels.get(key) or _called(key))
        names.setdefault(name, "" if key in (*shown, *first) else _along_with([*shown, *first], key, runs))
    words = [name + beside for name, beside in names.items()]
    if len(words) > NAMED:
        words = [*words[:NAMED], f"{len(words) - NAMED} more setting{'s' * (len(words) > NAMED + 1)}"]
    return enumerated(words)


def _along_with(shown: Iterable[str], group: str, runs: Sequence[Run]) -> str:
    """The options of a group that no row or column shows, by the option of a shown group that determines them:
    " (bc: KL-divergence; the others: cross-entropy)". Empty for a setting, and where no shown group determines them.
    """
    if "." in group or not all(f"{group}._target_" in run.settings for run in runs):
        return ""
    for other in shown:
        options: dict[Any, dict[Any, None]] = {}
        for run in runs:
            options.setdefault(run.setting(other), {})[run.setting(group)] = None
        if "." in other or any(len(there) > 1 for there in options.values()):
            continue
        users: dict[Any, list[str]] = {}
        for option, there in options.items():
            users.setdefault(next(iter(there)), []).append(label(option))
        most = max(users, key=lambda option: len(users[option]))
        named = [f"{_words(names)}: {_name(option)}" for option, names in users.items() if option != most]
        rest = "the others" if len(users[most]) > 1 else _words(users[most])
        return f" ({'; '.join([*named, f'{rest}: {_name(most)}'])})" if len(named) < LISTED else ""
    return ""


def _implied(key: str, differing: Sequence[str], runs: Sequence[Run]) -> bool:
    """True for a redundant setting: an option's own, one set to a root setting, or one that a single mix has."""
    if implied_by_group(key, runs):
        return True
    if key in OF_MIX and "mix" in differing:
        there = {(run.setting("mix"), run.setting(key)) for run in runs}
        return (
            len(there) == len({mix for mix, _ in there})
            and len({value for _, value in there if value is not None}) == 1
        )
    copied = [other for other in differing if "." in key and "." not in other]
    return any(all(run.setting(key) in (None, run.setting(other)) for run in runs) for other in copied)


def _called(key: str) -> str:
    return WORDS.get(key, key.replace("_", " "))


def _class_counts(recorded: Any) -> list[int]:
    """The numbers of items of each class; empty for an invalid record."""
    return recorded if isinstance(recorded, list) and recorded and all(map(_is_count, recorded)) else []


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1e15


def _counts(recorded: Iterable[Any]) -> str:
    """Integers, with commas; of several, the smallest and the largest."""
    counts = [value for value in recorded if _is_count(value)]
    return (
        ""
        if not counts
        else f"{min(counts):,}"
        if min(counts) == max(counts)
        else f"{min(counts):,} to {max(counts):,}"
    )


def _words(values: Sequence[Any]) -> str:
    """Different values: up to LISTED of them, else the range of numbers, or the number of texts."""
    numbers = all(isinstance(value, float) for value in values)
    if numbers:
        values = sorted(values)
    texts = [_number(value) if isinstance(value, float) else label(value) for value in values]
    if len(texts) > LISTED:
        return f"{texts[0]} to {texts[-1]}" if numbers else f"{len(texts)} different ones"
    return enumerated(texts, "or")


def _number(value: float) -> str:
    return f"{int(value):,}" if value.is_integer() and abs(value) < 1e15 else f"{value:g}"


def _many(values: Sequence[Any], unit: str) -> str:
    return _many_text(_words(values), unit)


def _many_text(text: str, unit: str) -> str:
    return f"{text} {unit}{'s' * (text != '1')}"

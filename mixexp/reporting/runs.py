"""Runs side by side: copies, and the differences between runs."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from statistics import fmean, variance
from typing import Any

from mixexp.files import quantity
from mixexp.settings import CIRCUMSTANCES, REPEATS, comparable, lookup, under
from mixexp.spec.experiments import described
from mixexp.training.reader import Run, load_runs

METHOD = ("mix", "mix_layer", "alpha", "loss", "sampling")
"""The groups that most experiments are about, which name settings first."""
ABOUT_ALIKE = 1.25
"""The largest ratio between the training images of two classes of about the same size."""
BESIDE_SETTINGS = {
    "data_contents": "the contents of the data set's files",
    "bfloat16": "precision",
    "own_code": "the code of one's own",
}
"""Facts of environment.json that change a run's measurements and are not settings."""


def gather(directories: Sequence[Path], options: Sequence[Path] = ()) -> tuple[list[Run], list[str]]:
    """The runs of several folders, each once, and a remark where there are copies.

    options: folders with the files of experiments, whose present tables replace the recorded ones. Raises UserError for
    a folder without runs.
    """
    runs = [
        run for directory in {path.resolve(): path for path in directories}.values() for run in load_runs(directory)
    ]
    runs = described(runs, options)
    unique = once(runs, CIRCUMSTANCES, of_table=lambda run: run.table.get("title"))
    copies = len(runs) - len(unique)
    remark = (
        f"{copies} run{'s are copies' if copies > 1 else ' is a copy'} of another one, the same settings and seeds on"
        " the same data; each counts once."
    )
    return unique, [remark] * bool(copies)


def once(runs: Iterable[Run], ignore: Sequence[str], of_table: Callable[[Run], Any] = lambda run: None) -> list[Run]:
    """The runs without copies: of runs with the same settings, seeds, data and precision, one is kept.

    It is a finished one, and of several the last started. ignore: keys that do not count, with all below them.
    of_table: a key that separates runs of several tables. A run whose configuration cannot be read is not a copy.
    """
    unique: dict[Any, Run] = {}
    counts = functools.cache(lambda key: not under(key, ignore))
    for run in runs:
        settings = frozenset((key, value) for key, value in run.settings.items() if value is not None and counts(key))
        beside = tuple(str(run.environment.get(fact) or "") for fact in BESIDE_SETTINGS)
        identity = (settings, beside, str(of_table(run))) if settings else run.folder
        other = unique.setdefault(identity, run)
        if _standing(run) > _standing(other):
            unique[identity] = run
    return list(unique.values())


def _standing(run: Run) -> tuple[bool, str]:
    return run.outcome == "finished", str(run.environment.get("started") or "")


def unlike(runs: Sequence[Run]) -> list[str]:
    """The differences between runs that no setting records, in words; a record without a fact does not differ."""
    plain = [fact for fact in BESIDE_SETTINGS if fact != "own_code"]
    values = {
        fact: {str(run.environment[fact]) for run in runs if run.environment.get(fact) is not None} for fact in plain
    }
    several = {fact: len(values[fact]) > 1 for fact in plain} | {"own_code": bool(edited_modules(runs))}
    return [words for fact, words in BESIDE_SETTINGS.items() if several[fact]]


def parts_of_test(runs: Sequence[Run]) -> list[str]:
    """A remark on each part of the test set on which runs were evaluated, in place of the whole."""
    parts = [(run, _part_of_test(run)) for run in runs if run.environment]
    remarks = []
    for text, members in grouped([pair for pair in parts if pair[1]], lambda pair: pair[1]).items():
        in_some = "" if len(members) == len(parts) else f" (in {len(members)} of {len(parts)} runs)"
        remarks.append(f"Test images: {text}{in_some}.")
    return remarks


def _part_of_test(run: Run) -> str:
    """The part of the test set on which a run was evaluated, in words.

    It is empty for the whole test set, and without a record of it.
    """
    counts, whole = run.environment.get("test_counts"), run.environment.get("test_of")
    if not isinstance(counts, list) or not all(isinstance(count, int) for count in counts) or not quantity(whole):
        return ""
    there = [count for count in counts if count]
    used, balanced = sum(there), max(there, default=0) - min(there, default=0) <= 1
    return (
        f"a class-balanced {used:,} of {whole:,.0f}"
        if balanced
        else f"{used:,} of {whole:,.0f}, with classes in proportion"
    )


def own_code(run: Run) -> dict[str, str]:
    """The hashes of the user's own modules in a run's record, by their names; empty where the record has none."""
    recorded = run.environment.get("own_code")
    return {str(name): str(digest) for name, digest in recorded.items()} if isinstance(recorded, Mapping) else {}


def edited_modules(runs: Iterable[Run]) -> dict[str, int]:
    """The user's own modules with several versions among the runs: the number of versions."""
    versions: dict[str, set[str]] = {}
    for run in runs:
        for name, digest in own_code(run).items():
            versions.setdefault(name, set()).add(digest)
    return {name: len(digests) for name, digests in sorted(versions.items()) if len(digests) > 1}


def outdated(runs: Iterable[Run], now: Callable[[str], str | None]) -> list[str]:
    """A remark on each module of the user's own that is another one by now than runs were made with.

    now: the hash that a module has now, by its name; None of one that is not found, of which nothing is said.
    """
    versions: dict[str, list[str]] = {}
    for run in runs:
        for name, digest in own_code(run).items():
            versions.setdefault(name, []).append(digest)
    remarks = []
    for name, digests in sorted(versions.items()):
        current = now(name)
        old = 0 if current is None else sum(digest != current for digest in digests)
        if old:
            runs_with_it = (
                f"{old} of the {len(digests)} runs with it were"
                if old < len(digests)
                else f"all {old} runs with it were"
                if old > 1
                else "the only run with it was"
            )
            remarks.append(f"{name} has changed since {runs_with_it} made; retry=changed makes such runs again.")
    return remarks


def other_data(first: Run, second: Run) -> bool:
    """True for two runs with the same data set that used different contents of its files."""
    contents = [run.environment.get("data_contents") for run in (first, second)]
    return (
        None not in contents and str(contents[0]) != str(contents[1]) and data_settings(first) == data_settings(second)
    )


def other_test_images(first: Run, second: Run) -> bool:
    """True for two runs whose records show that they were evaluated on different test images."""
    counts = [run.environment.get("test_counts") for run in (first, second)]
    return None not in counts and counts[0] != counts[1]


def unlike_pair(first: Run, second: Run) -> bool:
    """True for two runs that are not compared seed by seed: different data contents, code, precision or test images."""
    return made_otherwise(first, second) or other_test_images(first, second)


def made_otherwise(first: Run, second: Run) -> bool:
    """True for two runs with different contents of the same data set's files, a module's version, or the precision."""
    if edited_modules((first, second)):
        return True
    precisions = [run.environment.get("bfloat16") for run in (first, second)]
    same_setting = first.setting("precision") == second.setting("precision")
    return other_data(first, second) or (
        same_setting and None not in precisions and bool(precisions[0]) != bool(precisions[1])
    )


def data_settings(run: Run) -> frozenset:
    """A run's settings of its data set, without those that change no image."""
    return frozenset(
        (key, value) for key, value in run.settings.items() if under(key, ("dataset",)) and key not in CIRCUMSTANCES
    )


def data_contents(runs: Iterable[Run]) -> dict[frozenset, set[str]]:
    """The contents of data sets' files in the runs' records, by the settings of the data set."""
    contents: dict[frozenset, set[str]] = {}
    for run in runs:
        if run.environment.get("data_contents"):
            contents.setdefault(data_settings(run), set()).add(str(run.environment["data_contents"]))
    return contents


def varying(runs: Iterable[Run], ignore: Sequence[str] = ()) -> list[str]:
    """The dotted keys whose values are not the same in all runs, groups first, in the order of the configuration.

    ignore: keys that do not count, with all below them.
    """
    known = [run for run in runs if run.config]
    keys = dict.fromkeys(key for run in known for key in run.settings)
    first = known[0].settings.items() if known else {}.items()
    # a missing key counts as one without a value
    differing = {key for run in known[1:] for key, value in run.settings.items() ^ first if value is not None}
    groups = {
        str(group) for run in known if isinstance(run.config.get("choices"), Mapping) for group in run.config["choices"]
    }
    return sorted(
        (key for key in keys if key in differing and not under(key, ignore)), key=lambda key: key not in groups
    )


def uneven(run: Run) -> bool:
    """True if classes differ in size by more than ABOUT_ALIKE, and by more than images drawn at random would."""
    counts = run.environment.get("train_counts")
    if not isinstance(counts, list) or len(counts) < 2 or not all(isinstance(count, int) for count in counts):
        return False
    # drawn at random, counts have a variance of about their mean; the cheap test comes first, for thousands of runs
    return max(counts) > ABOUT_ALIKE * min(counts) and variance(counts) > 5 * fmean(counts)


def implied_by_group(key: str, runs: Iterable[Run]) -> bool:
    """True if a group's chosen option alone determines the key, a setting of that group."""
    group = key.split(".")[0]
    pairs = {(comparable(lookup(run.config, group)), comparable(lookup(run.config, key))) for run in runs if run.config}
    return key != group and len(pairs) == len({option for option, _ in pairs})


def grouped(things: Iterable[Any], key: Callable[[Any], Any]) -> dict[Any, list[Any]]:
    """The items by their keys, in their order."""
    groups: dict[Any, list[Any]] = {}
    for thing in things:
        groups.setdefault(key(thing), []).append(thing)
    return groups


def settings_without(run: Run, ignored: Collection[str]) -> dict[str, Any]:
    """A run's settings without some keys and all below them.

    Keys without a value are left out too, since older versions lack some.
    """
    return {key: value for key, value in run.settings.items() if value is not None and not under(key, ignored)}


def seeds_of(run: Run) -> tuple:
    """A run's seed and data_seed, by which runs of different settings are paired."""
    return tuple(map(run.setting, REPEATS))

"""Two sets of runs, of two folders or two git commits, setting by setting: changes, their size, and tests."""

from __future__ import annotations

import re
import subprocess
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mixexp.errors import UserError, closest_path
from mixexp.metrics import RULES
from mixexp.reporting.entries import label, named_by, telling, usual_metric
from mixexp.reporting.markdown import grid, plain
from mixexp.reporting.runs import (
    BESIDE_SETTINGS,
    METHOD,
    grouped,
    once,
    other_data,
    own_code,
    parts_of_test,
    seeds_of,
    settings_without,
    unlike,
    varying,
)
from mixexp.reporting.sheets import Sheet, chance, number, signed, span
from mixexp.reporting.stats import LEVEL, MEAN, MEDIAN, Paired, holm, welch
from mixexp.reporting.tables import numbers, why_no_number
from mixexp.settings import MIN_SEEDS, REPEATS, SAME_RESULT, lookup
from mixexp.spec.table import DEFAULTS, unit
from mixexp.training.reader import Run, everywhere, nothing_there

VERDICTS = ("better", "worse", "within noise", "identical", "equal", "no spread to judge by", "open", "unlike runs")
"""The verdicts on a setting, in the order of the summary's counts."""


@dataclass(frozen=True)
class Change:
    """A setting on both sides: the numbers, one a run, in displayed units, and second − first.

    pairs: the seeds that both sides have; same: those whose runs are the same in every evaluation. unlike: what differs
    between the sides, and mixed: what within each, though no setting says it; then there is no difference to find, and
    no mean of a mixed side. Another version of the user's own code on each side is what one compares, and no such
    difference.
    """

    setting: str
    first: list[float]
    second: list[float]
    result: Paired | None
    pairs: int
    same: int
    adjusted: float | None = None
    unlike: tuple[str, ...] = ()
    mixed: tuple[bool, bool] = (False, False)

    def verdict(self, better: str) -> str:
        """The second side's standing, better or worse by more than the seeds' noise."""
        if self.result is None:
            return f"unlike runs: they differ in {', '.join(self.unlike)}"
        if self.same == len(self.first) == len(self.second):
            return "identical"
        if self.result.n < MIN_SEEDS:
            what = "seeds in common" if self.pairs else "runs on one side"
            return f"open: {self.result.n} {what}, {MIN_SEEDS} are needed"
        if self.adjusted is None:
            return "no spread to judge by" if self.result.difference else "equal"
        if self.adjusted >= 1 - LEVEL:
            return "within noise"
        return "better" if ((self.result.difference or 0.0) > 0) == (better == "higher") else "worse"


@dataclass(frozen=True)
class Comparison:
    """The comparison of two sides; changed maps each setting that differs throughout to its values on both sides."""

    names: tuple[str, str]
    sides: tuple[list[Run], list[Run]]
    changed: dict[str, tuple[str, str]]
    circumstances: dict[str, tuple[str, str]]
    changes: list[Change]
    alone: tuple[list[str], list[str]]
    lost: tuple[list[Run], list[Run]]


def sides(names: tuple[str, str], places: Sequence[Path]) -> tuple[list[Run], list[Run]]:
    """The runs of two names: those in a folder, or those in `places` made by the code of a git commit.

    Raises UserError where a name is neither a folder nor the commit of a run, with the existing commits.
    """
    first, second = (everywhere([Path(name)]) if Path(name).is_dir() else _made_by(name, places) for name in names)
    for name, runs in zip(names, (first, second), strict=True):
        if not runs:
            raise UserError(nothing_there(Path(name)))
    return first, second


def _made_by(name: str, places: Sequence[Path]) -> list[Run]:
    commit, runs = _resolved(name), everywhere(places)
    matching = [run for run in runs if run.commit.startswith(commit)]
    meant = sorted({run.commit for run in matching})
    if len(meant) > 1:
        raise UserError(f"{name} could be any of the commits {', '.join(full[:12] for full in meant)}")
    if not matching:
        there = ", ".join(sorted({run.commit[:10] for run in runs} - {""})) or "none"
        where = ", ".join(map(str, places))
        raise UserError(
            f"{name} is not a folder, and no run in {where} was made by that git commit. Commits of the runs there:"
            f" {there}."
        )
    return matching


def compare(
    names: tuple[str, str], runs: tuple[list[Run], list[Run]], spec: Mapping[str, Any], rule: str
) -> Comparison:
    """Put runs of equal settings side by side, without the keys whose values differ between the sides throughout.

    Runs are paired by the seeds that both sides have; where they share none, means are compared by Welch's test. p is
    corrected by Holm. Copies of a run count once. Raises UserError where a side has no number.
    """
    runs = once(runs[0], SAME_RESULT), once(runs[1], SAME_RESULT)
    scores = [numbers(side, spec, rule) for side in runs]
    sides = [[run for run in side if run.folder in by_folder] for side, by_folder in zip(runs, scores, strict=True)]
    for name, side, by_folder in zip(names, runs, scores, strict=True):
        if not by_folder:
            raise UserError(f"{name}: {why_no_number(side, spec, rule)}")
    # one value in all runs of one side and another in all of the other; circumstances are left out
    varied = varying([*sides[0], *sides[1]], (*SAME_RESULT, *REPEATS))
    changed = [key for key in varied if all(len({run.settings.get(key) for run in side}) == 1 for side in sides)]

    # without changed keys
    def setting(run: Run) -> frozenset:
        return frozenset(
            item for item in settings_without(run, (*SAME_RESULT, *REPEATS)).items() if item[0] not in changed
        )

    groups = [grouped(side, setting) for side in sides]
    common = [setting for setting in groups[0] if setting in groups[1]]
    one_each = [[members[0] for members in group.values()] for group in groups]
    # within a side, a key that differs throughout has one value and distinguishes nothing
    keys = list(dict.fromkeys(key for side in one_each for key in telling(side, (*SAME_RESULT, *REPEATS), METHOD)))
    changes = [
        _change(named_by(groups[0][s][0], keys) or "all runs", groups[0][s], groups[1][s], scores) for s in common
    ]
    adjusted = iter(holm([change.result.p for change in changes if change.result and change.result.p is not None]))
    changes = [
        replace(change, adjusted=next(adjusted)) if change.result and change.result.p is not None else change
        for change in changes
    ]
    alone = [
        [named_by(members[0], keys) or "all runs" for setting, members in group.items() if setting not in common]
        for group in groups
    ]
    lost = [[run for run in side if run.folder not in by_folder] for side, by_folder in zip(runs, scores, strict=True)]
    different = [key for key in changed if not (key.endswith("._target_") and key.partition(".")[0] in changed)]

    def words(side: Sequence[Run], key: str) -> str:
        return " or ".join(dict.fromkeys(label(lookup(run.config, key)) for run in side))

    shown = {key: (words(sides[0], key), words(sides[1], key)) for key in different}
    ends = Path(names[0]).name, Path(names[1]).name
    names = names if ends[0] == ends[1] else ends
    return Comparison(
        names, (sides[0], sides[1]), shown, _circumstances(*sides), changes, (alone[0], alone[1]), (lost[0], lost[1])
    )


def document(comparison: Comparison, spec: Mapping[str, Any], rule: str) -> str:
    """The comparison as Markdown: the changed settings, the differences, and the settings of one side alone."""
    first, second = (plain(name) for name in comparison.names)
    parts = [f"# {second} beside {first}"]
    verdicts = Counter(change.verdict(spec["better"]).partition(":")[0] for change in comparison.changes)
    counted = ", ".join(f"{verdicts[verdict]} {verdict}" for verdict in VERDICTS if verdicts[verdict])
    common = (
        f"{len(comparison.changes)} setting{'s' * (len(comparison.changes) != 1)} in common: {counted}"
        if comparison.changes
        else "no setting in common"
    )
    parts.append(f"{len(comparison.sides[0])} and {len(comparison.sides[1])} runs with a number; {common}.")
    parts += parts_of_test([*comparison.sides[0], *comparison.sides[1]])
    parts += _other_code(comparison.sides)
    parts += (
        [f"## Settings that differ throughout{_both(comparison.changed, comparison.names)}"]
        if comparison.changed
        else ["No setting differs throughout."]
    )
    parts += (
        [f"## Circumstances that differ{_both(comparison.circumstances, comparison.names)}"]
        if comparison.circumstances
        else []
    )
    parts += (
        [f"## What came out: {unit(spec, spec['metric'])}, {RULES[rule]}", *grid(sheet(comparison, spec))]
        if comparison.changes
        else []
    )
    for name, settings, lost in zip((first, second), comparison.alone, comparison.lost, strict=True):
        if settings:
            parts += [f"## Only in {name}", "\n".join(f"- {plain(setting)}" for setting in settings)]
        if lost:
            listed = (
                f"- {plain(run.folder.name)}: {run.outcome}{', ' * bool(run.problem)}{plain(run.problem or '')}"
                for run in lost
            )
            parts += [f"## Without a number in {name}", "\n".join(listed)]
    return "\n\n".join(parts) + "\n"


def _other_code(sides: Sequence[Sequence[Run]]) -> list[str]:
    """A remark where the sides were made with different versions of the user's own modules."""
    versions = [{(name, digest) for run in side for name, digest in own_code(run).items()} for side in sides]
    on_both = {name for name, _ in versions[0]} & {name for name, _ in versions[1]}
    edited = sorted({name for name, _ in versions[0] ^ versions[1]} & on_both)
    return [f"The sides have different versions of {', '.join(edited)}: differences can come from there."] * bool(
        edited
    )


def _both(values: Mapping[str, tuple[str, str]], names: tuple[str, str]) -> str:
    return "\n\n" + grid(Sheet(["", *names], [[key, *both] for key, both in values.items()], 3))[0]


def sheet(comparison: Comparison, spec: Mapping[str, Any]) -> Sheet:
    """The changes as a table, the largest relative to their noise first."""
    head = ["setting", *comparison.names, "pairs", "difference", "95 % interval", "p (Holm)", "second is"]
    order = sorted(comparison.changes, key=lambda change: (change.adjusted is None, change.adjusted or 0.0))
    rows = [
        [
            change.setting,
            _side(change.first, change.mixed[0], spec),
            _side(change.second, change.mixed[1], spec),
            str(change.pairs),
            signed(change.result.difference, spec) if change.result and change.result.difference is not None else "",
            (
                span(change.result.interval.low, change.result.interval.high, spec)
                if change.result and change.result.interval
                else ""
            ),
            chance(change.adjusted),
            change.verdict(spec["better"]),
        ]
        for change in order
    ]
    tested = [change for change in comparison.changes if change.result and change.result.p is not None]
    ways = ["paired t-test on the seeds in common"] * any(change.pairs for change in tested)
    ways += ["Welch's t-test where there are none"] * any(not change.pairs for change in tested)
    tests = (
        f", two-sided ({'; '.join(ways)}), Holm's correction over {len(tested)} test{'s' * (len(tested) != 1)}"
        if tested
        else ""
    )
    return Sheet(head, rows, 1, f"Difference: second − first. Mean ± sd (number of runs){tests}.")


def records(comparison: Comparison, spec: Mapping[str, Any], rule: str) -> list[dict[str, Any]]:
    """The changes as records, for a CSV."""
    records = []
    for change in comparison.changes:
        sides = zip((change.first, change.second), change.mixed, strict=True)
        first, second = (None if mixed else MEAN.centre(values) for values, mixed in sides)
        difference = change.result or Paired(0, None)
        low, high = (difference.interval.low, difference.interval.high) if difference.interval else (None, None)
        records.append(
            {
                "setting": change.setting,
                "metric": spec["metric"],
                "rule": rule,
                "first": first,
                "n_first": len(change.first),
                "second": second,
                "n_second": len(change.second),
                "difference": difference.difference,
                "interval_low": low,
                "interval_high": high,
                "p": difference.p,
                "p_holm": change.adjusted,
                "pairs": change.pairs,
                "verdict": change.verdict(spec["better"]),
            }
        )
    return records


def about(comparison: Comparison) -> dict[str, Any]:
    """The two sides of a comparison as a record: the settings and circumstances that differ, and the runs without a
    counterpart or a number."""
    first, second = comparison.names
    return {
        "first": first,
        "second": second,
        "runs": [len(side) for side in comparison.sides],
        "settings": comparison.changed,
        "circumstances": comparison.circumstances,
        "only_in_first": comparison.alone[0],
        "only_in_second": comparison.alone[1],
        "without_number": [
            {"run_id": run.folder.name, "outcome": run.outcome, "problem": run.problem}
            for side in comparison.lost
            for run in side
        ],
    }


def metric_of(runs: Iterable[Run]) -> str:
    """The metric of the runs' tables where they have the same, else the usual one."""
    metrics = {str(run.table.get("metric") or DEFAULTS["metric"]) for run in runs if run.table}
    return metrics.pop() if len(metrics) == 1 else usual_metric(runs)


def _resolved(name: str) -> str:
    """The commit of a name in the current checkout, or the name itself where it may be a commit's beginning."""
    if not re.fullmatch(r"[\w./~^@{}-]+", name) or name.startswith("-"):
        raise UserError(f"{name!r} is neither a folder nor the name of a git commit")
    try:
        asked = ["git", "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}"]
        return subprocess.run(asked, capture_output=True, text=True, timeout=20, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        if re.fullmatch(r"[0-9a-f]{4,40}", name):
            return name
        parent = Path(name).parent
        beside = sorted(path.name for path in parent.iterdir() if path.is_dir()) if parent.is_dir() else []
        raise UserError(
            f"{name} is neither a folder nor a git commit known here.{closest_path(Path(name), beside)}"
        ) from None


def _change(setting: str, first: list[Run], second: list[Run], scores: Sequence[Mapping[Path, float]]) -> Change:
    sides = [{seeds_of(run): run for run in runs} for runs in (first, second)]
    values = [[by_folder[run.folder] for run in runs] for runs, by_folder in zip((first, second), scores, strict=True)]
    shared = [seeds for seeds in sides[0] if seeds in sides[1]]
    same = sum(_measured(sides[0][seeds]) == _measured(sides[1][seeds]) for seeds in shared)
    within = [unlike(runs) for runs in (first, second)]
    other_files = any(other_data(ours, theirs) for ours in first for theirs in second)
    between = [BESIDE_SETTINGS["data_contents"]] * other_files
    differing = dict.fromkeys([*within[0], *within[1], *between])
    if differing:
        return Change(
            setting,
            values[0],
            values[1],
            None,
            len(shared),
            0,
            unlike=tuple(differing),
            mixed=(bool(within[0]), bool(within[1])),
        )
    if shared:
        pairs = [
            [by_folder[side[seeds].folder] for seeds in shared] for side, by_folder in zip(sides, scores, strict=True)
        ]
        return Change(setting, values[0], values[1], MEAN.paired(pairs[1], pairs[0]), len(shared), same)
    return Change(setting, values[0], values[1], welch(values[1], values[0]), 0, same)


def _measured(run: Run) -> dict[str, Sequence[float | None]]:
    return {name: values for name, values in run.metrics.items() if name != "seconds"}


def _circumstances(first: Sequence[Run], second: Sequence[Run]) -> dict[str, tuple[str, str]]:
    """The differences of commit, versions, device and time between both sides."""

    def facts(run: Run) -> dict[str, Any]:
        environment, versions = run.environment, run.environment.get("versions")
        versions = versions if isinstance(versions, Mapping) else {}
        return {
            "commit": run.code(10),
            "contents of the data set's files": environment.get("data_contents"),
            "code of one's own": ", ".join(f"{name} {digest[:6]}" for name, digest in own_code(run).items()) or None,
            "device": environment.get("device_name"),
            "bfloat16": environment.get("bfloat16"),
            **{name: versions.get(name) for name in ("mixexp", "torch", "numpy")},
        }

    of_sides = [[facts(run) for run in side] for side in (first, second)]
    values = {
        name: tuple(" or ".join(sorted({label(each[name]) for each in side})) for side in of_sides)
        for name in of_sides[0][0]
    }
    seconds = [
        [run.result["seconds"] for run in side if isinstance(run.result.get("seconds"), int | float)]
        for side in (first, second)
    ]
    times = {"seconds a run, median": tuple(f"{MEDIAN.centre(side):,.1f}" if side else "" for side in seconds)}
    return {name: (both[0], both[1]) for name, both in (values | times).items() if both[0] != both[1]}


def _side(values: list[float], mixed: bool, spec: Mapping[str, Any]) -> str:
    if mixed:
        return f"unlike runs ({len(values)})"
    spread = "" if len(values) < 2 else f" ± {number(MEAN.band(values)[0], spec)}"
    return f"{number(MEAN.centre(values), spec)}{spread} ({len(values)})"

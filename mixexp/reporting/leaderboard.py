"""All runs of a place ranked, method against method, only where everything else is the same."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mixexp.errors import UserError, closest
from mixexp.metrics import RULES
from mixexp.reporting.entries import label, named_by, telling
from mixexp.reporting.markdown import grid, plain
from mixexp.reporting.runs import (
    METHOD,
    data_contents,
    data_settings,
    edited_modules,
    grouped,
    once,
    own_code,
    seeds_of,
    settings_without,
    varying,
)
from mixexp.reporting.scoring import scored
from mixexp.reporting.sheets import Sheet, chance, number, span
from mixexp.reporting.stats import MEAN, Interval
from mixexp.reporting.summary import within_limits
from mixexp.reporting.tables import numbers, why_no_number
from mixexp.settings import REPEATS, SAME_RESULT, lookup, under
from mixexp.spec.table import of_metric, unit
from mixexp.training.reader import Run

PROTOCOL = (
    "dataset",
    "subset",
    "imbalance",
    "label_noise",
    "augment",
    "model",
    "optimizer",
    "schedule",
    "epochs",
    "steps",
    "batch_size",
)
"""The settings that can name a protocol."""
NAMED = ("dataset", "model", "epochs", "steps", "batch_size")
"""The settings that are in every protocol's name, even where all are the same."""


@dataclass(frozen=True)
class Row:
    """A method under a protocol: its numbers, one a run, in displayed units; rank 1 is the best of the protocol.

    behind: p of a difference from the first, on the seeds they share, times the number of pairs of methods; None where
    untested.
    """

    protocol: str
    words: str
    rank: int
    method: str
    values: list[float]
    interval: Interval | None
    behind: float | None
    seconds: float | None
    runs: list[Run]


def leaderboard(runs: Sequence[Run], metric: str, rule: str) -> list[Row]:
    """A row for each method of each protocol, protocols with the most methods first, methods from best to worst.

    Two runs share a protocol if all their settings that can change a result are equal, apart from METHOD and seeds.
    Raises UserError for an unknown rule, and where no run has that metric.
    """
    if rule not in RULES:
        raise UserError(f"rule is {rule!r}; {', '.join(RULES)} are known.{closest(rule, RULES)}")
    spec = of_metric(metric)
    finished = [run for run in once(runs, SAME_RESULT) if run.outcome == "finished"]
    scores = numbers(finished, spec, rule)
    if not scores:
        raise UserError(f"leaderboard: {why_no_number(runs, spec, rule)}")
    contents, edited = data_contents(finished), edited_modules(finished)
    facts = {run.folder: _facts(run, contents, edited) for run in finished}
    groups = grouped((run for run in finished if run.folder in scores), lambda run: _protocol(run, facts[run.folder]))
    words = _words(groups, facts)
    ranked = [_ranked(digest, words[digest], members, scores, spec, edited) for digest, members in groups.items()]
    return [row for rows in sorted(ranked, key=lambda rows: (-len(rows), rows[0].words)) for row in rows]


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"


def document(rows: Sequence[Row], metric: str, rule: str, lost: Sequence[Run]) -> str:
    """The leaderboard as Markdown; lost: the runs without a number, which are counted by outcome."""
    spec, by_protocol = of_metric(metric), grouped(rows, lambda row: row.protocol)
    runs = sum(len(row.runs) for row in rows)
    parts = [f"# Leaderboard: {plain(unit(spec, metric))}, {RULES[rule]}"]
    parts.append(
        f"{_counted(runs, 'run')} of {_counted(len(rows), 'method')} under {_counted(len(by_protocol), 'protocol')}."
        " Methods are ranked only where all but the method and the seeds is equal."
    )
    parts.append(
        "Ranks are by the mean over seeds. A first place is chosen by the numbers it is shown with, which flatters it;"
        " p, paired by seed and times the number of pairs of methods under the protocol, says where a method is another"
        " than the first by more than noise."
    )
    counts = not_ranked(lost, metric)
    parts += (
        [f"Not ranked: {', '.join(f'{count} {plain(outcome)}' for outcome, count in counts.items())}."] if lost else []
    )
    head = [
        "rank",
        "method",
        "protocol",
        f"{unit(spec, metric)}, {RULES[rule]}",
        "n",
        "95 % interval",
        "p beside the first",
        "seconds a run",
    ]
    for protocol, members in by_protocol.items():
        parts += [
            f"## {plain(members[0].words)} (protocol {protocol})",
            *grid(Sheet(head, [_cells(row, spec) for row in members], 3)),
        ]
    return "\n\n".join(parts) + "\n"


def not_ranked(lost: Iterable[Run], metric: str) -> dict[str, int]:
    """The number of runs without a rank, by the reason."""
    spec = of_metric(metric)
    return Counter(
        run.outcome if run.outcome != "finished" else "copies" if scored(run, spec)[0] else f"without {metric}"
        for run in lost
    )


def records(rows: Iterable[Row], metric: str, rule: str) -> list[dict[str, Any]]:
    """A record for each row, for a CSV."""
    return [
        {
            "protocol": row.protocol,
            "protocol_in_words": row.words,
            "rank": row.rank,
            "method": row.method,
            "metric": metric,
            "rule": rule,
            "mean": MEAN.centre(row.values),
            "n": len(row.values),
            "interval_low": row.interval and row.interval.low,
            "interval_high": row.interval and row.interval.high,
            "p_beside_the_first": row.behind,
            "seconds": row.seconds,
            "folders": " ".join(run.folder.as_posix() for run in row.runs),
        }
        for row in rows
    ]


def _facts(run: Run, contents: Mapping[frozenset, set[str]], edited: Collection[str]) -> dict[str, Any]:
    """Facts of a protocol that no setting has: the precision, and varying data contents and own modules.

    edited: the user's own modules with several versions.
    """
    several = len(contents.get(data_settings(run), ())) > 1
    recorded = {
        "contents": run.environment.get("data_contents") if several else None,
        "bfloat16": run.environment.get("bfloat16") or None,
    }
    of_protocol, _ = _versions(run, edited)
    return {name: str(value) for name, value in (recorded | of_protocol).items() if value is not None}


def _versions(run: Run, edited: Collection[str]) -> tuple[dict[str, str], dict[str, str]]:
    """The versions of edited modules in a run: those of its protocol, and those of its method."""
    targets = {key: str(value) for key, value in run.settings.items() if key.endswith("._target_")}
    of_method = {target.rpartition(".")[0] for key, target in targets.items() if under(key, METHOD)}
    versions = {name: digest[:6] for name, digest in own_code(run).items() if name in edited}
    of_protocol = {name: digest for name, digest in versions.items() if name not in of_method}
    return of_protocol, {name: digest for name, digest in versions.items() if name in of_method}


def _protocol(run: Run, facts: Mapping[str, Any]) -> str:
    """A digest of all settings and facts that change a run's numbers, apart from the method."""
    settings = settings_without(run, (*METHOD, *SAME_RESULT, *REPEATS))
    return hashlib.sha256(json.dumps({**settings, **facts}, sort_keys=True, default=str).encode()).hexdigest()[:6]


def _words(groups: Mapping[str, list[Run]], facts: Mapping[Any, Mapping[str, Any]]) -> dict[str, str]:
    """The name of each protocol: NAMED, the settings of PROTOCOL that vary, and further ones for equal names."""
    one_each = {digest: members[0] for digest, members in groups.items()}
    differing = {key.partition(".")[0] for key in varying(one_each.values(), (*METHOD, *SAME_RESULT, *REPEATS))}
    keys = [key for key in PROTOCOL if key in differing or key in NAMED]
    names = {digest: _called(run, keys) for digest, run in one_each.items()}
    for name in set(names.values()):
        alike = {digest: one_each[digest] for digest, other in names.items() if other == name}
        more = telling(list(alike.values()), (*METHOD, *SAME_RESULT, *REPEATS)) if len(alike) > 1 else []
        for digest, run in alike.items():
            beside = [f"{fact} {value}" for fact, value in facts[run.folder].items()] if len(alike) > 1 else []
            names[digest] = ", ".join(filter(None, [name, named_by(run, more), *beside]))
    return names


def _called(run: Run, keys: Iterable[str]) -> str:
    parts = []
    for key in keys:
        # the n of a subset or of a minority
        value, amount = lookup(run.config, key), lookup(run.config, f"{key}.n")
        if value is not None and not isinstance(value, Mapping):
            of = "" if amount is None else f" n={label(amount)}"
            parts.append(label(value) + of if key in ("dataset", "model") else f"{key} {label(value)}{of}")
    if (tested := lookup(run.config, "test.n")) is not None:
        parts.append(f"test.n={label(tested)}")
    return ", ".join(parts)


def _ranked(
    digest: str,
    words: str,
    members: list[Run],
    scores: Mapping[Any, float],
    spec: Mapping[str, Any],
    edited: Collection[str],
) -> list[Row]:
    keys = [key for key in telling(members, (*SAME_RESULT, *REPEATS), METHOD) if key != "mix"]

    def method(run: Run) -> frozenset:
        # by all of its settings, since two methods of one name may differ in an option's settings or in their code
        settings = [(key, value) for key, value in run.settings.items() if under(key, METHOD) and value is not None]
        return frozenset([*settings, *_versions(run, edited)[1].items()])

    methods = grouped(members, method)
    sign = 1 if spec["better"] == "lower" else -1
    order = sorted(methods.values(), key=lambda runs: sign * MEAN.centre([scores[run.folder] for run in runs]))
    against = [_beside(order[0], runs, scores) for runs in order[1:]]
    # the first was chosen by these numbers, so that any two of them could have been compared
    pairs = len(order) * (len(order) - 1) // 2
    behind = [None, *(None if p is None else min(1.0, pairs * p) for p in against)]
    means = [MEAN.centre([scores[run.folder] for run in runs]) for runs in order]
    rows = []
    for runs, mean, p in zip(order, means, behind, strict=True):
        # equal means share a rank
        rank = means.index(mean) + 1
        values = [scores[run.folder] for run in runs]
        seconds = [run.result["seconds"] for run in runs if isinstance(run.result.get("seconds"), int | float)]
        options = {key: lookup(runs[0].config, key) for key in keys}
        shown = [
            label(value) if key in METHOD[:2] else f"{key} {label(value)}"
            for key, value in options.items()
            if value is not None
        ]
        versions = [f"{module} {version}" for module, version in _versions(runs[0], edited)[1].items()]
        name = ", ".join([label(lookup(runs[0].config, "mix")), *shown, *versions])
        rows.append(
            Row(
                digest,
                words,
                rank,
                name,
                values,
                within_limits(MEAN.interval(values), mean, spec),
                p,
                MEAN.centre(seconds) if seconds else None,
                runs,
            )
        )
    return rows


def _beside(first: list[Run], other: list[Run], scores: Mapping[Any, float]) -> float | None:
    ours, theirs = ({seeds_of(run): scores[run.folder] for run in runs} for runs in (first, other))
    shared = [seeds for seeds in ours if seeds in theirs]
    return MEAN.paired([ours[s] for s in shared], [theirs[s] for s in shared]).p if shared else None


def _cells(row: Row, spec: Mapping[str, Any]) -> list[str]:
    between = span(row.interval.low, row.interval.high, spec) if row.interval else ""
    seconds = "" if row.seconds is None else f"{row.seconds:,.1f}"
    return [
        str(row.rank),
        row.method,
        row.protocol,
        number(MEAN.centre(row.values), spec),
        str(len(row.values)),
        between,
        chance(row.behind),
        seconds,
    ]

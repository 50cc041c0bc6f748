"""All runs of a place ranked, method against method, only where everything else is the same."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mixexp.errors import UserError, closest
from mixexp.report.described import of_metric
from mixexp.report.load import CIRCUMSTANCES, REPEATS, Run, lookup, varying
from mixexp.report.markdown import grid, plain
from mixexp.report.scores import RULES, centre, unit
from mixexp.report.sheets import Sheet, chance, number, span
from mixexp.report.statistics import Interval, holm, interval, paired
from mixexp.report.tables import label, named_by, scored, telling

METHOD = ("mix", "mix_layer", "alpha", "loss", "sampling")
"""What a row of the leaderboard is about; all else that a run computes by is the protocol."""
PROTOCOL = ("dataset", "subset", "imbalance", "label_noise", "augment", "model", "optimizer", "schedule", "epochs", "steps", "batch_size")
"""What a protocol can be called by."""
NAMED = ("dataset", "model", "epochs", "steps", "batch_size")
"""Of these, what every protocol's name says, also where all have the same."""
ASIDE = (*CIRCUMSTANCES, *REPEATS, "probe", "threads", "channels_last")
"""Neither: measurements beside the run, and how it is computed."""


@dataclass(frozen=True)
class Row:
    """A method under a protocol: its numbers, one a run, in displayed units; rank 1 is the best of the protocol.

    behind: p, corrected by Holm over the protocol, of its being another than the first, on the seeds they share; None where untested.
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

    Two runs share a protocol if all they compute by is equal, apart from METHOD and seeds.
    Raises UserError for an unknown rule, and where no run has that metric.
    """
    if rule not in RULES:
        raise UserError(f"rule is {rule!r}; {', '.join(RULES)} are known.{closest(rule, RULES)}")
    spec = of_metric(metric)
    scores = {run.folder: found for run in _newest(runs) if run.outcome == "finished" if (found := scored(run, spec)[0].get(rule)) is not None}
    if not scores:
        known = dict.fromkeys(name for run in runs for name in run.metrics)
        raise UserError(f"no finished run has a number for {metric!r} by {RULES[rule]}.{closest(metric, known)}")
    groups: dict[str, list[Run]] = {}
    for run in (run for run in runs if run.folder in scores):
        groups.setdefault(_protocol(run), []).append(run)
    words = _words(groups)
    ranked = [_ranked(digest, words[digest], members, scores, spec["better"]) for digest, members in groups.items()]
    return [row for rows in sorted(ranked, key=lambda rows: (-len(rows), rows[0].words)) for row in rows]


def document(rows: Sequence[Row], metric: str, rule: str, lost: Sequence[Run]) -> str:
    """The leaderboard as Markdown; lost: the runs that have no number, which are counted by their outcome."""
    protocols = len({row.protocol for row in rows})
    runs = sum(len(row.runs) for row in rows)
    parts = [f"# Leaderboard: {plain(unit(of_metric(metric), metric))}, {RULES[rule]}"]
    parts.append(f"{runs} runs of {len(rows)} methods under {protocols} protocols. Methods are ranked only where all but the method and the seeds is equal.")
    parts.append("Ranks are by the mean over seeds. A first place is chosen by the numbers it is shown with, which flatters it; p, paired by seed and "
                 "corrected by Holm over the protocol, says where a method is another than the first by more than noise.")  # fmt: skip
    counts = Counter(run.outcome if run.outcome != "finished" else f"without {metric}" for run in lost)
    parts += [f"Not ranked: {', '.join(f'{count} {plain(outcome)}' for outcome, count in counts.items())}."] if lost else []
    for heading, sheet in sheets(rows, metric, rule):
        parts += [f"## {plain(heading)}", *grid(sheet)]
    return "\n\n".join(parts) + "\n"


def sheets(rows: Iterable[Row], metric: str, rule: str) -> list[tuple[str, Sheet]]:
    """A heading and a sheet for each protocol, in whose every row the protocol stands."""
    spec, found = of_metric(metric), {}
    for row in rows:
        found.setdefault(row.protocol, []).append(row)
    head = ["rank", "method", "protocol", f"{unit(spec, metric)}, {RULES[rule]}", "n", "95 % interval", "p beside the first", "seconds a run"]
    return [(f"{members[0].words} (protocol {name})", Sheet(head, [_cells(row, spec) for row in members], 3)) for name, members in found.items()]


def records(rows: Iterable[Row], metric: str, rule: str) -> list[dict[str, Any]]:
    """A record for each row, for a CSV."""
    return [
        {
            "protocol": row.protocol, "protocol_in_words": row.words, "rank": row.rank, "method": row.method, "metric": metric, "rule": rule,
            "mean": centre(row.values, "mean"), "n": len(row.values), "interval_low": row.interval and row.interval.low,
            "interval_high": row.interval and row.interval.high, "p_beside_the_first": row.behind, "seconds": row.seconds,
            "folders": " ".join(run.folder.as_posix() for run in row.runs),
        }
        for row in rows
    ]  # fmt: skip


def _newest(runs: Iterable[Run]) -> list[Run]:
    """Each run once, of copies and of the same run made again the one that was started last."""
    kept: dict[Any, Run] = {}
    for run in sorted(runs, key=lambda run: str(run.environment.get("started"))):
        kept[frozenset((key, value) for key, value in run.settings.items() if not _under(key, CIRCUMSTANCES)) or run.folder] = run
    return list(kept.values())


def _protocol(run: Run) -> str:
    """A digest of all that a run computes by, apart from the method and what does not count."""
    kept = {key: value for key, value in run.settings.items() if not _under(key, (*METHOD, *ASIDE))}
    return hashlib.sha256(json.dumps(kept, sort_keys=True, default=str).encode()).hexdigest()[:6]


def _under(key: str, keys: Iterable[str]) -> bool:
    return key in keys or key.partition(".")[0] in keys


def _words(groups: Mapping[str, list[Run]]) -> dict[str, str]:
    """What each protocol is called: NAMED, what of PROTOCOL is not everywhere the same, and what else tells those of one name apart."""
    one_each = {digest: members[0] for digest, members in groups.items()}
    differing = {key.partition(".")[0] for key in varying(one_each.values(), (*METHOD, *ASIDE))}
    keys = [key for key in PROTOCOL if key in differing or key in NAMED]
    found = {digest: _called(run, keys) for digest, run in one_each.items()}
    for name in set(found.values()):
        alike = {digest: one_each[digest] for digest, other in found.items() if other == name}
        more = telling(list(alike.values()), (*METHOD, *ASIDE)) if len(alike) > 1 else []
        found |= {digest: ", ".join(filter(None, [name, named_by(run, more)])) for digest, run in alike.items()}
    return found


def _called(run: Run, keys: Iterable[str]) -> str:
    parts = []
    for key in keys:
        value, amount = lookup(run.config, key), lookup(run.config, f"{key}.n")  # of a subset, or of a minority
        if value is not None and not isinstance(value, Mapping):
            of = "" if amount is None else f" n={label(amount)}"
            parts.append(label(value) + of if key in ("dataset", "model") else f"{key} {label(value)}{of}")
    return ", ".join(parts)


def _ranked(digest: str, words: str, members: list[Run], scores: Mapping[Any, float], direction: str) -> list[Row]:
    # the methods by all they compute by, since two of the same name may differ in an option's own settings
    method_of = {run.folder: tuple(sorted((key, value) for key, value in run.settings.items() if _under(key, METHOD) and value is not None)) for run in members}
    keys = [key for key in telling(members, ASIDE, METHOD) if key != "mix"]
    grouped: dict[tuple, list[Run]] = {}
    for run in members:
        grouped.setdefault(method_of[run.folder], []).append(run)
    sign = 1 if direction == "lower" else -1
    order = sorted(grouped.values(), key=lambda runs: sign * centre([scores[run.folder] for run in runs], "mean"))
    against = [_beside(order[0], runs, scores) for runs in order[1:]]
    adjusted = iter(holm([p for p in against if p is not None]))
    behind = [None, *(None if p is None else next(adjusted) for p in against)]
    rows = []
    for rank, (runs, p) in enumerate(zip(order, behind, strict=True), start=1):
        values = [scores[run.folder] for run in runs]
        seconds = [run.result["seconds"] for run in runs if isinstance(run.result.get("seconds"), int | float)]
        options = {key: lookup(runs[0].config, key) for key in keys}
        shown = [label(value) if key in METHOD[:2] else f"{key} {label(value)}" for key, value in options.items() if value is not None]
        name = ", ".join([label(lookup(runs[0].config, "mix")), *shown])
        rows.append(Row(digest, words, rank, name, values, interval(values, "mean"), p, centre(seconds, "mean") if seconds else None, runs))
    return rows


def _beside(first: list[Run], other: list[Run], scores: Mapping[Any, float]) -> float | None:
    ours, theirs = ({(run.setting("seed"), run.setting("data_seed")): scores[run.folder] for run in runs} for runs in (first, other))
    shared = [seeds for seeds in ours if seeds in theirs]
    return paired([ours[s] for s in shared], [theirs[s] for s in shared], "mean").p if shared else None


def _cells(row: Row, spec: Mapping[str, Any]) -> list[str]:
    between = span(row.interval.low, row.interval.high, spec) if row.interval else ""
    seconds = "" if row.seconds is None else f"{row.seconds:,.1f}"
    return [str(row.rank), row.method, row.protocol, number(centre(row.values, "mean"), spec), str(len(row.values)), between, chance(row.behind), seconds]

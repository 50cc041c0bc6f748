"""The top of a report's page: the number of runs, their outcomes, times, machines and versions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from mixexp.files import timestamp
from mixexp.report.page.runlist import OUTCOMES, Listed, seconds
from mixexp.report.tables import label
from mixexp.run.reader import Run

MOST = 8
"""Different values of a fact that are named."""


def outcomes(runs: Iterable[Listed]) -> dict[str, int]:
    """Outcome → number of runs, in the order of OUTCOMES."""
    counts = Counter(entry.outcome for entry in runs)
    return {outcome: counts[outcome] for outcome in OUTCOMES if counts[outcome]}


def facts(runs: Sequence[Run]) -> dict[str, list[str]]:
    """The facts of the runs together, name → words, one text a different value; facts no run has are left out.

    Of the clock only what the runs themselves have recorded, so that the same runs give the same words.
    """
    times = [time for time in map(seconds, runs) if time is not None]
    moments = {str(start): timestamp(start) for run in runs if (start := run.environment.get("started"))}
    started = sorted((text for text, moment in moments.items() if moment is not None), key=moments.get)  # of machines in several time zones
    return {
        name: words
        for name, words in {
            "Training time": [f"{duration(sum(times))} in {len(times)} runs"] if times else [],
            "Started": [_span(started[0], started[-1])] if started else [],
            "Commit": _named([run.code(12) for run in runs]),
            "Versions": _named([_versions(run) for run in runs]),
            "Device": _named([label(run.environment.get("device_name") or "") for run in runs]),
            "Command": _named([label(run.environment.get("command") or "") for run in runs]),
        }.items()
        if words
    }


def duration(seconds: float) -> str:
    """Seconds in the two largest units that they fill."""
    units = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))
    left = round(seconds)
    parts = []
    for name, size in units:
        count, left = divmod(left, size)
        parts += [f"{count} {name}"] if count or (name == "s" and not parts) else []
    return " ".join(parts[:2])


def _span(first: str, last: str) -> str:
    """From one moment to another, the day once where both have the same."""
    day, time = first[:10], last[11:] if first[:10] == last[:10] else last.replace("T", " ")
    return f"{day} {first[11:]}" + f" to {time}" * (last != first)


def _named(values: Sequence[str]) -> list[str]:
    """The different values, the most common first, with the number of runs where there are several."""
    counts = Counter(value for value in values if value)
    if len(counts) == 1 and sum(counts.values()) == len(values):
        return list(counts)
    words = [f"{value} ({count} {'run' if count == 1 else 'runs'})" for value, count in counts.most_common(MOST)]
    return words + [f"{len(counts) - MOST} others"] * (len(counts) > MOST)


def _versions(run: Run) -> str:
    versions = run.environment.get("versions")
    named = {"python": run.environment.get("python"), **(versions if isinstance(versions, dict) else {})}
    return ", ".join(f"{name} {label(version)}" for name, version in named.items() if version)

"""Finished runs whose data or own code has changed since, and the notes about them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mixexp.training.data import load
from mixexp.training.reader import read_environment
from mixexp.training.spec import RunConfig, RunSpec

FACTS = {
    "data_contents": "other contents of the data set's files than they have now",
    "own_code": "other code of your own than there is now",
}
"""Facts of environment.json that may have changed, and the description of a run made with the old ones."""
LISTED = 5
"""The most runs that a note names."""


def changes(runs: Sequence[RunSpec]) -> dict[Path, list[str]]:
    """The facts of FACTS that have changed since the record of an ended run, by the run's folder.

    A fact that a record lacks does not count. A failed run counts, since the new code may be its remedy.
    """
    changed, digests = {}, {}

    def now(fact: str, config: RunConfig) -> Any:
        if fact == "own_code":
            return config.own_code
        data = config.part("dataset")
        if data not in digests:
            digests[data] = load(data.dataset, data.trusted)[1].digest
        return digests[data]

    for run in runs:
        ended = any((run.folder / name).exists() for name in ("result.json", "error.txt"))
        record = read_environment(run.folder) if ended else {}
        differing = [fact for fact in FACTS if record.get(fact) is not None and record[fact] != now(fact, run.config)]
        if differing:
            changed[run.folder] = differing
    return changed


def to_remake(runs: Sequence[RunSpec]) -> set[Path]:
    """The folders of the runs that ``retry=changed`` repeats."""
    return set(changes([run for run in runs if run.config.retry == "changed"]))


def stale(runs: Sequence[RunSpec]) -> list[str]:
    """A note for each of FACTS on the finished runs that differ in it, which a sweep skips or repeats."""
    changed = changes([run for run in runs if (run.folder / "result.json").exists()])
    again = any(run.config.retry == "changed" for run in runs)
    notes = []
    for fact, words in FACTS.items():
        names = [folder.name for folder, differing in changed.items() if fact in differing]
        many, listed = len(names) > 1, ", ".join(names[:LISTED]) + ", ..." * (len(names) > LISTED)
        they, made = ("they are", "runs were made") if many else ("it is", "run was made")
        advice = f"; {they} made again" if again else f"; with retry=changed {they} made again, and nothing is lost"
        notes += [f"note: {len(names)} finished {made} with {words}: {listed}{advice}"] * bool(names)
    return notes

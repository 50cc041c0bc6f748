"""Runs that are over and were made with other data or other code of the user's own than there is now: which, and what
is said of them."""

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
"""Facts of environment.json that can be others by now, and what a run was made with then."""
LISTED = 5
"""As many runs as a note names."""


def changes(runs: Sequence[RunSpec]) -> dict[Path, list[str]]:
    """The facts of FACTS that are others now than in the record of a run that has ended, by the run's folder.

    A record that lacks a fact differs in none. A run that has failed counts, as other code may be what it needs.
    """
    found, digests = {}, {}

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
            found[run.folder] = differing
    return found


def to_remake(runs: Sequence[RunSpec]) -> set[Path]:
    """The folders of the runs that ``retry=changed`` makes again."""
    return set(changes([run for run in runs if run.config.retry == "changed"]))


def stale(runs: Sequence[RunSpec]) -> list[str]:
    """A note for each of FACTS on the finished runs that differ in it, which a sweep skips or makes again."""
    found = changes([run for run in runs if (run.folder / "result.json").exists()])
    again = any(run.config.retry == "changed" for run in runs)
    notes = []
    for fact, words in FACTS.items():
        names = [folder.name for folder, differing in found.items() if fact in differing]
        many, listed = len(names) > 1, ", ".join(names[:LISTED]) + ", ..." * (len(names) > LISTED)
        they, made = ("they are", "runs were made") if many else ("it is", "run was made")
        advice = f"; {they} made again" if again else f"; with retry=changed {they} made again, and nothing is lost"
        notes += [f"note: {len(names)} finished {made} with {words}: {listed}{advice}"] * bool(names)
    return notes

"""Finished runs whose data or own code has changed since or that lack weights, and the notes about them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mixexp.training.data import load
from mixexp.training.reader import lacks_weights, read_environment
from mixexp.training.spec import RunConfig, RunSpec

FACTS = {
    "data_contents": "with other contents of the data set's files than they have now",
    "own_code": "with other code of your own than there is now",
}
"""Facts of environment.json that may have changed, and the description of a run made with the old ones."""
FIRST_STAGE, WEIGHTS = "first_stage", "weights"
REASONS = {
    **FACTS,
    FIRST_STAGE: "from other weights of its first stage",
    WEIGHTS: "without the weights that keep asks for",
}
"""What sets a finished run apart from the one that would be made now, and its description."""
LISTED = 5
"""The most runs that a note names."""


def changes(runs: Sequence[RunSpec]) -> dict[Path, list[str]]:
    """Those of REASONS that hold for an ended run, by the run's folder.

    A fact that a record lacks does not count. A failed run counts, since the new code may be its remedy; it has no
    weights in any case.
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
        if run.first is not None and record.get(FIRST_STAGE) not in (None, first_stage(run.first.folder)):
            differing.append(FIRST_STAGE)
        if lacks_weights(run.folder, run.config.keep):
            differing.append(WEIGHTS)
        if differing:
            changed[run.folder] = differing
    return changed


def first_stage(folder: Path) -> str:
    """What identifies the weights of a first stage in the records of its second ones: its run_id and its start."""
    return f"{folder.name} of {read_environment(folder).get('started')}"


def to_remake(runs: Sequence[RunSpec]) -> dict[Path, list[str]]:
    """Those of REASONS for which ``retry=changed`` repeats a run, by the run's folder.

    A finished second stage is repeated where its first stage will be.
    """
    wanted = [run for run in runs if run.config.retry == "changed"]
    again = changes(wanted)
    firsts = changes([run.first for run in wanted if run.first is not None])
    for run in wanted:
        if run.first is not None and run.first.folder in firsts and (run.folder / "result.json").exists():
            again.setdefault(run.folder, [FIRST_STAGE])
    return again


def stale(runs: Sequence[RunSpec]) -> list[str]:
    """A note for each of REASONS on the finished runs it holds for, which a sweep skips or repeats."""
    changed = changes([run for run in runs if (run.folder / "result.json").exists()])
    again = any(run.config.retry == "changed" for run in runs)
    notes = []
    for reason, words in REASONS.items():
        names = [folder.name for folder, differing in changed.items() if reason in differing]
        many, listed = len(names) > 1, ", ".join(names[:LISTED]) + ", ..." * (len(names) > LISTED)
        they, made = ("they are", "runs were made") if many else ("it is", "run was made")
        both = "" if reason == WEIGHTS else ", another name=... keeps both"
        advice = f"; {they} made again" if again else f"; retry=changed makes {'them' if many else 'it'} again{both}"
        notes += [f"note: {len(names)} finished {made} {words}: {listed}{advice}"] * bool(names)
    return notes

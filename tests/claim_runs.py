"""Run folders made by hand, of which claims are decided: the numbers of a run are what the test says."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from mixexp.reporting.claims import Answer, Decided, decide
from mixexp.spec.experiments import Experiment
from mixexp.training.reader import everywhere

TABLE = {
    "title": "little data",
    "metric": "accuracy",
    "scale": 100,
    "decimals": 2,
    "rule": "last",
    "rows": {"key": "subset.n"},
    "columns": {"key": "mix"},
}


def leave(
    folder: Path,
    accuracy: float | Sequence[float],
    *,
    seed: int = 0,
    edition: str | None = None,
    differs: Any = None,
    outcome: str = "finished",
    contents: str = "one",
    experiment: str = "little",
    losses: Sequence[float] = (),
    **settings: Any,
) -> Path:
    """A run as a run leaves it, with an evaluation for each accuracy; settings: `mix` and whatever else, `__` in a name
    for a point."""
    series = [accuracy] if isinstance(accuracy, float | int) else list(accuracy)
    config: dict[str, Any] = {
        "name": experiment,
        "seed": seed,
        "data_seed": 0,
        "edition": edition,
        "dataset": {"root": "data"},
        "table": TABLE,
    }
    config["choices"] = {"experiment": experiment, "dataset": "digits", "mix": settings.pop("mix", "none")}
    for name, value in settings.items():
        *above, last = name.split("__")
        inner = config
        for part in above:
            inner = inner.setdefault(part, {})
        inner[last] = value
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    record = {"differs_from_edition" if edition else "differs_from_experiment": differs or {}}
    (folder / "environment.json").write_text(
        json.dumps(
            {
                "device_name": "a chip",
                "data_contents": contents,
                "versions": {"torch": "2"},
                "started": "2026-01-01",
                **record,
            }
        )
    )
    rows = [
        f"{step},{step},0.1,{loss},{value},1"
        for step, (value, loss) in enumerate(zip(series, losses or [1.0] * len(series), strict=True), start=1)
    ]
    (folder / "metrics.csv").write_text("\n".join(["step,epoch,lr,train_loss,accuracy,seconds", *rows]) + "\n")
    if outcome in ("finished", "diverged"):
        (folder / "result.json").write_text(
            json.dumps({"outcome": outcome, "seconds": 1.5, "steps": len(rows), "last": {"accuracy": series[-1]}})
        )
    return folder


def cells(place: Path, table: Mapping[str, Sequence[float]], **settings: Any) -> None:
    """Runs of several mixes, each with its accuracies in per cent by seed."""
    for mix, values in table.items():
        for seed, value in enumerate(values):
            leave(place / f"{mix}{seed}_{settings.get('subset__n', '')}", value / 100, seed=seed, mix=mix, **settings)


def claim(test: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    return {"source": "small_data_mixup, table", "says": "It is so.", "test": test, **more}


def decided(place: Path, claims: Any, editions: Mapping[str, Any] | None = None) -> Decided:
    return decide([Experiment("little", "little", "d", TABLE, claims, editions or {})], everywhere([place]))


def answered(place: Path, test: Mapping[str, Any], **more: Any) -> Answer:
    """The answer to one claim at full size."""
    (one,) = decided(place, {"one": claim(test, **more)}).answers
    return one

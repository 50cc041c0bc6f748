"""experiment=affinity_search, shrunken: on the digits, over a learning rate of which the small ones are hopeless."""

from __future__ import annotations

import csv
import json
import statistics
from pathlib import Path

import hydra
from omegaconf import OmegaConf
from test_search import composing

from mixexp.reporting.search import write_search
from mixexp.reporting.write import write_report
from mixexp.settings import CONF
from mixexp.sweeping.search.search import run_search

SPACE = "++hydra.sweeper.space={optimizer.lr: {low: 1.0e-07, high: 0.03, log: true}}"
WORDS = (
    *(
        "experiment=affinity_search",
        SPACE,
        "dataset=digits",
        "dataset.mean=null",
        "dataset.std=null",
        "imbalance.n=20",
        "model=small_cnn",
        "model.width=4",
        "validation=0.3",
    ),
    *("model.layer_defaults=torch", "epochs=8", "batch_size=64", "loss.margin=0.43", "loss.sigma=60", "loss.centres=2"),
)
SMALL, TRIALS = 1e-4, 10


def test_the_search_for_the_affinity_loss_leaves_hopeless_settings(tmp_path: Path) -> None:
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        given = OmegaConf.to_container(
            hydra.compose("config", overrides=[*WORDS[:2]], return_hydra_config=True).hydra.sweeper
        )
    assert given.pop("_target_").endswith("SearchSweeper")
    assert set(given["space"]) == {"loss.margin", "loss.sigma", "loss.centres", "optimizer.lr"}
    given |= {"trials": TRIALS, "startup_trials": 4, "pruner": {"startup_trials": 3, "warmup_evaluations": 2}}
    with composing() as compose:
        assert run_search(compose, [*WORDS, f"output_dir={tmp_path}"], given, write_search) is None

    sweep = tmp_path / "affinity_search"
    with (sweep / "report" / "trials.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == TRIALS and {row["state"] for row in rows} <= {"complete", "pruned"}
    complete = [row for row in rows if row["state"] == "complete"]
    best, worst = (choose(complete, key=lambda row: float(row["value"])) for choose in (max, min))
    assert float(best["optimizer.lr"]) > SMALL > float(worst["optimizer.lr"])

    def on_test(row: dict[str, str]) -> float:
        return json.loads((sweep / row["folder"] / "result.json").read_text())["last"]["macro_f1"]

    # the search has seen the held-out part alone, and what it found holds on the test set
    assert float(best["value"]) > float(worst["value"]) + 0.3
    assert on_test(best) > on_test(worst) + 0.3
    rates = [float(row["optimizer.lr"]) for row in rows]
    assert statistics.median(rates[4:]) > SMALL, "the middle of the range is 5e-5"
    pruned = [row for row in rows if row["state"] == "pruned"]
    assert all(float(row["optimizer.lr"]) < float(best["optimizer.lr"]) for row in pruned)

    write_report([sweep])
    table = (sweep / "report" / "table.md").read_text()
    assert f"{len(complete)} of {TRIALS} runs have a result" in table, (
        "inside the space nothing departs, so it is one table"
    )

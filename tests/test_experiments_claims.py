"""The claims that the experiments make: each can be decided by the runs that its experiment and its editions have."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from claim_runs import leave
from test_experiments import configs_of_edition

from mixexp.plan.identity import run_id
from mixexp.plan.options import known
from mixexp.reporting.claims import FULL, SUPPORTED, decide, evidence, problems_of
from mixexp.settings import CONF, REPEATS, comparable, lookup
from mixexp.spec.claims import Cell, groups_in, read_test
from mixexp.spec.experiments import Experiment, experiments
from mixexp.training.reader import Run, everywhere, load_runs

STATED = {name: one for name, one in experiments([CONF]).items() if one.claims is not None}


def stated_by(one: Experiment) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """The name, the edition and the test of every claim and check of an experiment."""
    for name, claim in one.claims.items():
        for edition in (FULL, *one.editions):
            test = claim.get("test") if edition == FULL else claim.get(edition, claim.get("test"))
            if test is not None:
                yield name, edition, test
    for edition, block in one.editions.items():
        for name, check in (block.get("checks") or {}).items():
            yield name, edition, check["test"]


def members(cell: Cell, configs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        config
        for config in configs
        if all(comparable(lookup(config, key)) == comparable(value) for key, value in cell.conditions.items())
    ]


@pytest.mark.parametrize("name", STATED)
def test_claims_are_sound(name):
    one = STATED[name]
    assert problems_of(one, known([CONF], groups_in([one.claims, one.editions]))) == []


@pytest.mark.parametrize("name", STATED)
def test_every_cell_of_a_claim_is_one_run_a_seed(name):
    problems = []
    for claim, edition, test in stated_by(STATED[name]):
        for cell in read_test(test).cells:
            found = members(cell, configs_of_edition(name, edition))
            seeds = {tuple(comparable(config[key]) for key in REPEATS) for config in found}
            if not found or len(seeds) < len(found):
                problems.append(f"{claim}, {edition}: {cell} are {len(found)} runs of {len(seeds)} seeds")
    assert problems == []


@pytest.mark.parametrize("name", STATED)
def test_the_runs_that_a_file_states_are_those_that_it_plans(name):
    """Read without composing, a file has to say the same as Hydra makes of it: each planned run is stated, and none
    with another setting."""
    one = STATED[name]
    for edition in (FULL, *one.editions):
        asked, configs = one.stated(edition), configs_of_edition(name, edition)
        assert [config["choices"] for config in configs if not asked.has(as_run(config))] == []
        for key, value in (("batch_size", 77), ("alpha", 77), ("steps", 77), ("seed", 77)):
            others = [config for config in configs if asked.has(as_run({**config, key: value}))]
            says = all(key in block for block in asked.blocks) and not (key == "seed" and not asked.repeats({}))
            assert not (says and others), (edition, key)
        assert not asked.has(as_run({**configs[0], "choices": {**configs[0]["choices"], "dataset": "another"}}))


@pytest.mark.parametrize("name", STATED)
def test_seeds_of_every_claim_are_those_of_the_grid(name):
    one = STATED[name]
    for claim, edition, test in stated_by(one):
        cells = read_test(test).cells
        stated = [one.stated(edition).repeats(cell.conditions) for cell in cells]
        wanted = None if None in stated else {seed for seed, _ in frozenset.intersection(*stated)}
        shared = set.intersection(
            *(
                {comparable(config["seed"]) for config in members(cell, configs_of_edition(name, edition))}
                for cell in cells
            )
        )
        if edition != FULL:
            assert wanted == shared and len(wanted) >= 5, claim
        else:
            assert wanted is None or wanted == shared, claim


def as_run(config: Mapping[str, Any]) -> Run:
    return Run("finished", folder=Path("run"), config=dict(config))


KEPT = sorted(
    path for path in (CONF.parent / "outputs" / "published").glob("*/*/runs") if path.parent.parent.name != "reduced"
)


@pytest.mark.parametrize("place", KEPT, ids=lambda path: path.parent.name)
def test_kept_evidence_is_what_its_experiment_trains_today(place):
    """By the run_id, which nothing that changes a result can leave as it was: a changed default of an option is seen
    too."""
    runs = load_runs(place)
    (name,), (edition,) = ({run.config.get(key) for run in runs} for key in ("experiment", "edition"))
    one = STATED[name or lookup(runs[0].config, "experiment")]
    planned = {run_id(config) for config in configs_of_edition(one.name, edition or FULL)}
    assert {run.folder.name for run in runs} <= planned
    found, others = evidence(one, runs)
    assert sum(map(len, found.values())) == len(runs) and not others


def test_the_black_box_is_decided_by_the_runs_of_the_edition(tmp_path):
    """The run whose network is attacked has no number of an attack on others; the two claims of it are no less
    decided."""
    one = STATED["mixup_adversarial"]
    for count, config in enumerate(configs_of_edition("mixup_adversarial", "laptop")):
        mix, seed = config["choices"]["mix"], config["seed"]
        folder = leave(tmp_path / str(count), 0.5, seed=seed, mix=mix, edition="laptop", experiment="mixup_adversarial")
        (folder / "config.yaml").write_text(yaml.safe_dump({**config, "table": None}))
        for file in ("fgsm", "fgsm_black_box")[: 1 if seed == 8 else 2]:
            rows = [f"1000,{attack},4,{(0.8 if mix == 'none' else 0.7) + seed / 100}" for attack in ("fgsm", "i_fgsm")]
            (folder / f"probe_{file}.csv").write_text("\n".join(["step,attack,epsilon,error", *rows]) + "\n")
    answers = {
        answer.name.partition(".")[2]: answer
        for answer in decide([one], everywhere([tmp_path])).answers
        if answer.edition == "laptop"
    }
    for attack in ("fgsm", "i_fgsm"):
        assert (
            answers[f"mixup_withstands_black_box_{attack}"].problem,
            answers[f"mixup_withstands_black_box_{attack}"].seeds,
        ) == ("", 8)
        assert answers[f"mixup_withstands_black_box_{attack}"].verdict == SUPPORTED

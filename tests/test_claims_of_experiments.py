"""The claims that the experiments make: each can be decided by the runs that its experiment and its editions have."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from typing import Any

import hydra
import pytest
from test_experiments import composer, configs_of

from mixexp.conf_dir import CONF
from mixexp.options import known
from mixexp.report.claimed import Cell, groups_in, read_test
from mixexp.report.claims import FULL, problems_of
from mixexp.report.experiments import Experiment, experiments
from mixexp.report.load import REPEATS, canonical, lookup
from mixexp.sweep.identity import canonical as one_spelling
from mixexp.sweep.identity import run_id
from mixexp.sweep.plan import resolve

STATED = {name: one for name, one in experiments([CONF]).items() if one.claims is not None}


@functools.cache
def configs_of_edition(name: str, edition: str) -> list[dict[str, Any]]:
    """The configuration of every run of an edition of an experiment; of the name of none, of the experiment itself."""
    if edition == FULL:
        return configs_of(name)
    words = [f"experiment={name}", f"edition={edition}"]
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        cells = composer()(words).edition
        found = [one_spelling(*resolve(composer()([*words, *(f"{key}={value}" for key, value in cell.items())]))) for cell in cells]
    return list({run_id(config): config for config in found}.values())


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
    return [config for config in configs if all(canonical(lookup(config, key)) == canonical(value) for key, value in cell.conditions.items())]


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
            seeds = {tuple(canonical(config[key]) for key in REPEATS) for config in found}
            if not found or len(seeds) < len(found):
                problems.append(f"{claim}, {edition}: {cell} are {len(found)} runs of {len(seeds)} seeds")
    assert problems == []

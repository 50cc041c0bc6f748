"""Claims decided by run folders made by hand: each verdict of each form, what counts as evidence, the command and the
reports."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from claim_runs import TABLE, answered, cells, claim, decided, leave
from commands import mixexp
from scipy import stats

from mixexp import cli
from mixexp.reporting import write
from mixexp.reporting.claims import (
    BY_HAND,
    CANNOT,
    CONTRADICTED,
    NOT_RUN,
    NOT_STATED,
    SUPPORTED,
    UNCLEAR,
    UNDECIDED,
    decide,
)
from mixexp.reporting.markdown import claims_document
from mixexp.reporting.write import write_report
from mixexp.settings import CONF
from mixexp.spec.experiments import Experiment, experiment, experiments
from mixexp.training.reader import everywhere

NONE, MIXUP, BC, SMOTE = ({"mix": mix} for mix in ("none", "mixup", "bc", "smote"))
BASE = [50.0, 51.5, 52.0, 50.5, 51.2]
NUMBERS = {
    "none": BASE,
    "mixup": [54.1, 55.3, 57.0, 54.9, 55.0],  # four better
    "bc": [52.0, 53.8, 53.9, 52.5, 53.4],  # two better
    "smote": [50.3, 51.1, 52.4, 50.1, 51.5],  # the same, with noise
}
EXAMPLES: list[tuple[dict[str, Any], str]] = [
    ({"higher": MIXUP, "lower": NONE}, SUPPORTED),
    ({"higher": NONE, "lower": MIXUP}, CONTRADICTED),
    ({"higher": SMOTE, "lower": NONE}, UNDECIDED),
    ({"larger": [MIXUP, NONE], "than": [BC, NONE]}, SUPPORTED),
    ({"larger": [BC, NONE], "than": [MIXUP, NONE]}, CONTRADICTED),
    ({"larger": [MIXUP, SMOTE], "than": [MIXUP, NONE]}, UNDECIDED),
    ({"above": 50, "of": MIXUP}, SUPPORTED),
    ({"below": 50, "of": MIXUP}, CONTRADICTED),
    ({"above": 51, "of": NONE}, UNDECIDED),
    ({"same": [SMOTE, NONE], "within": 1}, SUPPORTED),
    ({"same": [MIXUP, NONE], "within": 1}, CONTRADICTED),
    ({"same": [SMOTE, NONE], "within": 0.2}, UNDECIDED),
    ({"not_lower": SMOTE, "than": NONE, "within": 1}, SUPPORTED),
    ({"not_lower": NONE, "than": MIXUP, "within": 1}, CONTRADICTED),
    ({"not_higher": MIXUP, "than": NONE, "within": 1}, CONTRADICTED),
    ({"not_higher": SMOTE, "than": NONE, "within": 1}, SUPPORTED),
    ({"not_lower": SMOTE, "than": NONE, "within": 0.01}, UNDECIDED),
    ({"increasing": [NONE, BC, MIXUP]}, SUPPORTED),
    ({"decreasing": [NONE, BC, MIXUP]}, CONTRADICTED),
    ({"increasing": [NONE, MIXUP, SMOTE]}, UNDECIDED),
    ({"highest": MIXUP, "among": [NONE, BC, SMOTE]}, SUPPORTED),
    ({"highest": BC, "among": [NONE, MIXUP]}, CONTRADICTED),
    ({"lowest": NONE, "among": [SMOTE, MIXUP]}, UNDECIDED),
]


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    place = tmp_path_factory.mktemp("runs")
    cells(place / "little", NUMBERS)
    return place


def p_of(test: dict[str, Any]) -> float:
    """Two-sided p of a claim, by scipy alone."""
    numbers = {mix: np.array(values) for mix, values in NUMBERS.items()}
    (form, first), *others = test.items()

    def of(cell):
        return numbers[cell["mix"]]

    def both(values, boundary=0.0):
        return [stats.ttest_1samp(values, boundary, alternative=side).pvalue for side in ("greater", "less")]

    others = dict(others)
    if form == "higher":
        return stats.ttest_rel(of(first), of(others["lower"])).pvalue
    if form == "larger":
        return stats.ttest_1samp(of(first[0]) - of(first[1]) - of(others["than"][0]) + of(others["than"][1]), 0).pvalue
    if form in ("above", "below"):
        return stats.ttest_1samp(of(others["of"]), first).pvalue
    if form == "same":
        (above_low, below_low), (above_high, below_high) = (
            both(of(first[0]) - of(first[1]), side * others["within"]) for side in (-1, 1)
        )
        return min(1, 2 * min(max(above_low, below_high), below_low, above_high))
    if form in ("not_lower", "not_higher"):
        return stats.ttest_rel(
            of(first), of(others["than"]) + others["within"] * (-1 if form == "not_lower" else 1)
        ).pvalue
    if form in ("increasing", "decreasing"):
        rows = np.array([of(cell) for cell in first]).T
        return min(1, 2 * min(stats.page_trend_test(rows).pvalue, stats.page_trend_test(-rows).pvalue))
    found = [both((of(first) - of(other)) * (1 if form == "highest" else -1)) for other in others["among"]]
    return min(1, 2 * min(max(one[0] for one in found), len(found) * min(one[1] for one in found)))


@pytest.mark.parametrize(
    "test, verdict", EXAMPLES, ids=lambda value: next(iter(value)) if isinstance(value, dict) else value
)
def test_each_verdict_of_each_form(runs, test, verdict):
    one = answered(runs, test)
    assert one.verdict == verdict
    assert one.evidence.p == pytest.approx(p_of(test)) == pytest.approx(one.adjusted)
    assert (one.seeds, one.evidence.n, one.tests, one.lost) == (5, 5, 1, 0)
    assert one.detectable > 0


@pytest.mark.parametrize("scale", ["log", "linear"])
@pytest.mark.parametrize("form, verdict", [("rises", SUPPORTED), ("falls", CONTRADICTED)])
def test_a_slope_is_fitted_within_each_seed(tmp_path, form, verdict, scale):
    sizes, rng = [100, 500, 1000], np.random.default_rng(0)
    table = {n: 40 + 10 * np.log10(n) + rng.normal(0, 1, 5) for n in sizes}
    for n, values in table.items():
        cells(tmp_path, {"mixup": values, "none": values / 2}, subset__n=n)
    x = np.log10(sizes) if scale == "log" else np.array(sizes, dtype=float)
    for minus, part in (({}, 1), ({"minus": NONE}, 0.5)):
        slopes = [stats.linregress(x, [part * table[n][seed] for n in sizes]).slope for seed in range(5)]
        one = answered(tmp_path, {form: MIXUP, "with": "subset.n", "over": sizes, "scale": scale, **minus})
        assert one.evidence.effect == pytest.approx(np.mean(slopes)), "the slope itself, whatever is claimed"
        assert one.evidence.p == pytest.approx(stats.ttest_1samp(slopes, 0).pvalue)
        assert one.verdict == verdict
    assert one.quantity == f"accuracy (%) per {'tenfold' if scale == 'log' else 'unit of'} subset.n"


def test_two_metrics_of_the_same_runs_are_two_cells(tmp_path):
    for seed, (accuracy, loss) in enumerate([(0.9, 0.3), (0.92, 0.5), (0.88, 0.4)]):
        leave(tmp_path / f"run{seed}", [0.1, accuracy], seed=seed, losses=[9, loss])
    one = answered(
        tmp_path,
        {
            "higher": {**NONE, "measure": {"metric": "train_loss", "scale": 100}},
            "lower": {**NONE, "measure": {"metric": "error"}},
        },
    )
    assert one.evidence.p == pytest.approx(stats.ttest_rel([30, 50, 40], [10, 8, 12]).pvalue)
    assert one.evidence.effect == pytest.approx(30)
    best = answered(tmp_path, {"above": 0, "of": {**NONE, "measure": {"metric": "accuracy", "rule": "best"}}})
    assert best.evidence.effect == pytest.approx(90)


def test_a_claim_has_a_metric_and_a_rule_of_its_own(tmp_path):
    for seed in range(3):
        leave(tmp_path / f"run{seed}", [0.9, 0.5], seed=seed, losses=[seed + 1, 0.5 - seed / 100])
    assert answered(tmp_path, {"above": 60, "of": NONE}, rule="best").evidence.effect == pytest.approx(90)
    assert answered(tmp_path, {"above": 60, "of": NONE}).evidence.effect == pytest.approx(50)
    loss = answered(tmp_path, {"above": 0, "of": NONE}, metric="train_loss")
    assert loss.evidence.effect == pytest.approx(0.49) and (loss.quantity, loss.spec["decimals"]) == ("train loss", 4)
    assert answered(
        tmp_path, {"above": 0, "of": NONE}, metric="train_loss", rule="best"
    ).evidence.effect == pytest.approx(0.49), "the lowest"


# --- which runs are evidence ---


@pytest.mark.parametrize("seeds", [0, 1, 2, 3])
def test_fewer_than_three_shared_seeds_are_not_enough(tmp_path, seeds):
    cells(tmp_path / "a", {"none": BASE})
    for seed in range(seeds):
        leave(tmp_path / f"m{seed}", 0.6 + seed / 100, seed=seed + 2, mix="mixup")
    leave(tmp_path / "m9", 0.6, seed=9, mix="mixup")  # of which the other cell has none
    one = answered(tmp_path, {"higher": MIXUP, "lower": NONE})
    assert one.seeds == seeds
    if seeds == 3:
        assert one.evidence is not None
        return
    assert (one.verdict, one.evidence, one.adjusted, one.detectable) == (NOT_RUN, None, None, None)
    assert one.problem == f"{seeds} seed{'s' * (seeds != 1)} in common, and 3 are needed"


def test_a_cell_without_runs_is_named(runs, tmp_path):
    assert answered(runs, {"higher": {"mix": "bc_plus"}, "lower": NONE}).problem.endswith(
        "3 are needed; no run with mix=bc_plus"
    )
    assert answered(tmp_path, {"higher": MIXUP, "lower": NONE}).problem == "no run"


def test_several_runs_of_a_seed_are_told_apart_or_the_claim_is_unclear(tmp_path):
    cells(tmp_path, {"none": BASE, "mixup": NUMBERS["mixup"]}, subset__n=500)
    cells(tmp_path, {"none": BASE, "mixup": NUMBERS["bc"]}, subset__n=1000)
    one = answered(tmp_path, {"higher": MIXUP, "lower": NONE})
    assert (one.verdict, one.evidence) == (UNCLEAR, None)
    assert (
        one.problem == "the runs with mix=mixup differ in subset.n (1000, 500)"
        or one.problem == "the runs with mix=mixup differ in subset.n (500, 1000)"
    )
    sound = answered(tmp_path, {"higher": {**MIXUP, "subset.n": 500}, "lower": {**NONE, "subset.n": "500"}})
    assert sound.evidence.p == pytest.approx(stats.ttest_rel(NUMBERS["mixup"], BASE).pvalue)


def test_seeds_with_other_settings_are_no_cell(tmp_path):
    for seed in range(3):
        leave(tmp_path / f"run{seed}", 0.5 + seed / 100, seed=seed, optimizer__lr=0.1 * (1 + (seed == 2)))
    one = answered(tmp_path, {"above": 1, "of": NONE})
    assert (one.verdict, one.problem) == (UNCLEAR, "the runs with mix=none differ in optimizer.lr (0.1, 0.2)")


def test_runs_on_other_contents_of_the_data_are_not_compared(tmp_path):
    cells(tmp_path, {"none": BASE})
    cells(tmp_path, {"mixup": NUMBERS["mixup"]}, contents="another")
    one = answered(tmp_path, {"higher": MIXUP, "lower": NONE})
    assert (one.verdict, one.seeds) == (NOT_RUN, 0)
    mixed = tmp_path / "mixed"
    for seed in range(4):
        leave(mixed / f"run{seed}", 0.5 + seed / 100, seed=seed, contents="one" if seed else "another")
    assert (
        answered(mixed, {"above": 1, "of": NONE}).problem
        == "the runs with mix=none differ in the contents of the data set's files"
    )


@pytest.mark.parametrize(("cut_by", "state"), [("test__n", "no run"), ("imbalance__n", "decided")])
def test_cells_on_other_parts_of_the_test_set_are_not_compared_but_those_of_another_imbalance_are(
    cut_by, state, tmp_path
):
    for mix, n, values in (("none", 20, BASE), ("mixup", 50, NUMBERS["mixup"])):
        for seed, value in enumerate(values):
            folder = leave(tmp_path / f"{mix}{seed}", value / 100, seed=seed, mix=mix, subset__n=500, **{cut_by: n})
            record = json.loads((folder / "environment.json").read_text())
            (folder / "environment.json").write_text(json.dumps({**record, "test_counts": [n, 100]}))
    answer = answered(tmp_path, {"higher": {"mix": "mixup"}, "lower": {"mix": "none"}})
    assert (answer.seeds == 0) == (state == "no run")


def test_a_kept_copy_has_its_data_in_another_folder(tmp_path):
    cells(tmp_path / "outputs", {"none": BASE, "mixup": NUMBERS["mixup"]}, dataset__root="/home/me/data")
    cells(tmp_path / "published", {"none": BASE, "mixup": NUMBERS["mixup"]}, dataset__root="data")
    one = answered(tmp_path, {"higher": MIXUP, "lower": NONE})
    assert (one.seeds, one.verdict) == (5, SUPPORTED)


def test_a_run_that_is_not_over_says_nothing_yet(tmp_path):
    cells(tmp_path, {"none": BASE, "mixup": NUMBERS["mixup"]})
    leave(tmp_path / "another", 0.5, seed=5, mix="mixup", outcome="unfinished", optimizer__lr=5)
    assert answered(tmp_path, {"higher": MIXUP, "lower": NONE}).verdict == SUPPORTED


def test_a_seed_of_one_cell_alone_is_no_seed_of_the_test(tmp_path):
    """Such as the source of attacks, which has no numbers of an attack by itself."""
    cells(tmp_path, {"none": BASE, "mixup": NUMBERS["mixup"]})
    leave(tmp_path / "source", float("nan"), seed=8, mix="none")
    one = answered(tmp_path, {"higher": MIXUP, "lower": NONE})
    assert (one.verdict, one.seeds, one.lost) == (SUPPORTED, 5, 0)
    assert answered(tmp_path, {"above": 1, "of": NONE}).lost == 1, "here it is one"


def test_a_metric_that_no_run_has_is_named(tmp_path):
    cells(tmp_path, {"none": BASE})
    one = answered(tmp_path, {"above": 50, "of": NONE}, metric="acuracy")
    assert (one.verdict, one.problem) == (
        UNCLEAR,
        "5 runs without a number: metrics.csv has no column 'acuracy'. Did you mean 'accuracy'?",
    )


def test_a_loss_has_more_decimals_than_the_tables_accuracy(tmp_path):
    for seed in range(3):
        leave(tmp_path / f"run{seed}", 0.5, seed=seed, losses=[0.0011 + seed / 1e4])
    loss = answered(tmp_path, {"below": 0.1, "of": {**NONE, "measure": {"metric": "train_loss"}}})
    assert loss.spec["decimals"] == 4
    assert answered(tmp_path, {"below": 60, "of": NONE}).spec["decimals"] == 2


def test_copies_of_a_run_count_once(tmp_path):
    for place in ("outputs", "published"):
        cells(tmp_path / place, {"none": BASE, "mixup": NUMBERS["mixup"]})
    one = answered(tmp_path, {"higher": MIXUP, "lower": NONE})
    assert (one.seeds, one.verdict) == (5, SUPPORTED)


def test_runs_that_diverged_are_not_passed_over(tmp_path):
    """Left out, they would favour what made them diverge; one that failed, on the other hand, is still to be made."""
    cells(tmp_path, {"none": BASE, "mixup": NUMBERS["mixup"][:3]})
    (leave(tmp_path / "m4", 0.9, seed=4, mix="mixup", outcome="failed") / "error.txt").write_text("RuntimeError: x\n")
    leave(tmp_path / "m5", 0.9, seed=5, mix="mixup", outcome="unfinished")
    assert answered(tmp_path, {"higher": MIXUP, "lower": NONE}).verdict == SUPPORTED
    leave(tmp_path / "m3", 0.9, seed=3, mix="mixup", outcome="diverged")
    one = answered(tmp_path, {"higher": MIXUP, "lower": NONE})
    assert (one.verdict, one.seeds, one.lost, one.problem) == (UNCLEAR, 3, 1, "1 run without a number: it diverged")
    leave(tmp_path / "m6", float("nan"), seed=4, mix="mixup")
    (record,) = claim_records(tmp_path)
    assert record["reason"] == "2 runs without a number: it diverged" and record["runs_without_a_number"] == 2
    assert answered(tmp_path, {"above": 1, "of": NONE}).verdict == SUPPORTED, "of which none is missing"


def claim_records(place: Path) -> list[dict[str, Any]]:
    from mixexp.reporting.claim_sheets import records

    return records(decided(place, {"one": claim({"higher": MIXUP, "lower": NONE})}))


def test_runs_that_depart_by_hand_are_no_evidence(tmp_path):
    cells(tmp_path / "a", {"none": BASE, "mixup": NUMBERS["mixup"]}, differs={"epochs": [1, 30]})
    cells(tmp_path / "b", {"none": BASE, "mixup": NUMBERS["bc"]}, edition="laptop", differs={"epochs": [1, 10]})
    leave(tmp_path / "c", 0.5, experiment="other")
    leave(tmp_path / "d", 0.5, seed=20)
    (tmp_path / "d" / "environment.json").write_text("{}")  # of which nobody knows
    found = decided(tmp_path, {"one": claim({"higher": MIXUP, "lower": NONE})}, {"laptop": {}})
    assert [(one.edition, one.verdict, one.seeds) for one in found.answers] == [
        ("full", NOT_RUN, 0),
        ("laptop", NOT_RUN, 0),
    ]
    assert found.left_out == {BY_HAND: 21}


def test_a_run_without_a_record_of_what_it_departs_in_is_no_evidence(tmp_path):
    cells(tmp_path, {"none": BASE, "mixup": NUMBERS["mixup"]}, edition="laptop")
    for path in tmp_path.rglob("environment.json"):
        record = {
            key: value for key, value in json.loads(path.read_text()).items() if not key.startswith("differs_from")
        }
        path.write_text(json.dumps(record))
    found = decided(tmp_path, {"helps": claim({"higher": MIXUP, "lower": NONE})})
    assert (found.left_out, [one.verdict for one in found.answers]) == ({BY_HAND: 10}, [NOT_RUN])


LAPTOP = {"params": {"seed": "0,1,2,3,4", "subset.n": 100}, "grid": [{"mix": ["none", "mixup"]}]}


SEEDS = [
    "0,1,2,3,4",
    "range(5)",
    "range(0,5)",
    "range(0,5,1)",
    "choice(0,1,2,3,4)",
    "shuffle(range(5))",
    "sort(4,3,2,1,0)",
    " 0, 1,2 ,3,4",
]


@pytest.mark.parametrize("seeds", SEEDS)
def test_all_stated_seeds_are_waited_for_however_they_are_written(tmp_path, seeds):
    block = {"params": {"seed": seeds, "subset.n": 100}}
    cells(tmp_path / "some", {"none": BASE, "mixup": NUMBERS["mixup"][:3]}, edition="laptop", subset__n=100)
    one, _ = of_laptop(tmp_path, **block)
    assert (one.verdict, one.problem) == (NOT_RUN, "3 of 5 seeds")
    for seed in (3, 4):
        leave(tmp_path / f"m{seed}", 0.55, seed=seed, mix="mixup", edition="laptop", subset__n=100)
    assert of_laptop(tmp_path, **block)[0].verdict == SUPPORTED


def test_seeds_with_data_seeds_are_pairs(tmp_path):
    block = {"params": {"seed": "0,1", "data_seed": "0,1", "subset.n": 100}}
    for mix, base in (("none", 0.5), ("mixup", 0.6)):
        for seed, data_seed in ((0, 0), (1, 0), (0, 1)):
            leave(
                tmp_path / f"{mix}{seed}{data_seed}",
                base + seed / 100 + data_seed / 50,
                seed=seed,
                mix=mix,
                edition="laptop",
                subset__n=100,
                data_seed=data_seed,
            )
    assert of_laptop(tmp_path, **block)[0].problem == "3 of 4 seeds"
    for mix, base in (("none", 0.5), ("mixup", 0.61)):
        leave(tmp_path / f"{mix}11", base, seed=1, mix=mix, edition="laptop", subset__n=100, data_seed=1)
    assert of_laptop(tmp_path, **block)[0].seeds == 4


def test_a_budget_in_epochs_is_none_in_steps(tmp_path):
    cells(tmp_path, {"none": BASE, "mixup": NUMBERS["mixup"]}, edition="laptop", subset__n=100, steps=1000, epochs=None)
    for params, sound in (({"steps": 1000}, True), ({"steps": 1000, "epochs": 80}, True), ({"epochs": 80}, False)):
        one, left_out = of_laptop(tmp_path, params={**LAPTOP["params"], **params})
        assert (one.verdict == SUPPORTED, left_out) == (sound, {} if sound else {NOT_STATED: 10})


@pytest.mark.parametrize(
    "params, grid",
    [
        ({"mix.ratio.per": "sample"}, [{"mix": "none"}, {"mix": "mixup", "mix.ratio.per": ["epoch", "batch"]}]),
        ({"mix": "glob(m*)"}, [{"mix": ["none", "mixup"]}]),
        ({"optimizer.nesterov": "True", "logger": "NULL"}, [{"mix": ["none", "mixup"]}]),
        ({"optimizer": "{lr:0.3}"}, [{"mix": ["none", "mixup"]}]),
        ({"subset.n": "choice(100,50)"}, [{"subset.n": [1000, 500], "mix": ["none", "mixup"]}]),
        ({"mix": "none,mixup"}, []),
    ],
    ids=["a setting of one option", "glob", "Hydra's spelling", "a mapping", "choice in place of a grid", "no grid"],
)
def test_runs_that_a_sweep_plans_are_stated(tmp_path, params, grid):
    for mix in ("none", "mixup"):
        own = {"mix__ratio__per": "sample"} if mix == "mixup" and "mix.ratio.per" in params else {}
        for seed in range(5):
            leave(
                tmp_path / f"{mix}{seed}",
                0.5 + (mix == "mixup") / 10 + seed / 100,
                seed=seed,
                mix=mix,
                edition="laptop",
                subset__n=100,
                optimizer={"lr": 0.3, "nesterov": True},
                **own,
            )
    _, left_out = of_laptop(tmp_path, params={"seed": "range(5)", "subset.n": 100, **params}, grid=grid)
    assert left_out == {}


def test_an_experiment_built_on_another_makes_its_claims_too(tmp_path):
    for folder, name, text in (
        (
            "theirs",
            "little",
            (
                "name: little\nalpha: 1.0\nhydra: {sweeper: {params: {seed: '0,1,2'}, grid: [{mix: [none,"
                " mixup]}]}}\nclaims: {a: {source: ours, says: So., test: {above: 1, of: {}}}}"
            ),
        ),
        (
            "mine",
            "bigger",
            (
                "defaults: [little, {override /model: mlp}]\nname: bigger\nhydra: {sweeper: {params: {seed:"
                " '0,1,2,3'}}}\nclaims: {b: {source: ours, says: So., test: {above: 2, of: {}}}}"
            ),
        ),
    ):
        path = tmp_path / folder / "experiment" / f"{name}.yaml"
        path.parent.mkdir(parents=True)
        path.write_text(f"# @package _global_\n# small_data_mixup: {name}\n{text}\n")
    found = experiments([tmp_path / "theirs", tmp_path / "mine"])["bigger"]
    assert (found.name, found.sweep, found.article, list(found.claims)) == (
        "bigger",
        "bigger",
        "small_data_mixup",
        ["a", "b"],
    )
    first, second = found.stated("full").blocks[0], found.stated("full").blocks[0]
    assert (
        first["mix"] == {"none", "mixup"}
        and first["seed"] == {0, 1, 2, 3}
        and second["model"] == {"mlp"}
        and second["alpha"] == {1}
    )


def of_laptop(place: Path, **block: Any) -> tuple[Any, dict[str, int]]:
    """The answer of the edition to whether mixup is ahead, and what is not evidence."""
    found = decided(place, {"one": claim({"higher": MIXUP, "lower": NONE})}, {"laptop": {**LAPTOP, **block}})
    return found.answers[1], found.left_out


def test_runs_of_an_earlier_state_of_the_file_are_no_evidence(tmp_path):
    cells(tmp_path, {"none": BASE, "mixup": NUMBERS["mixup"]}, edition="laptop", subset__n=100)
    assert of_laptop(tmp_path)[0].verdict == SUPPORTED
    for changed in (
        {"params": {"seed": "0,1,2,3,4", "subset.n": 250}},
        {"params": {**LAPTOP["params"], "steps": 9}},
        {"params": {**LAPTOP["params"], "epochs": 9}},
    ):
        one, left_out = of_laptop(tmp_path, **changed)
        assert (one.verdict, one.seeds, left_out) == (NOT_RUN, 0, {NOT_STATED: 10})
    one, left_out = of_laptop(tmp_path, grid=[{"mix": ["none", "bc"]}])
    assert (one.verdict, left_out) == (UNCLEAR, {NOT_STATED: 5}), "the runs with mixup are not part of it any more"
    assert one.problem == "the file states 0 seeds that all its cells have, and 3 are needed"


def test_an_editions_verdict_waits_for_its_own_seeds_and_counts_no_others(tmp_path):
    cells(tmp_path, {"none": BASE, "mixup": NUMBERS["mixup"][:4]}, edition="laptop", subset__n=100)
    one, _ = of_laptop(tmp_path)
    assert (one.verdict, one.problem, one.seeds) == (NOT_RUN, "4 of 5 seeds", 4), (
        "or a sweep could be stopped where its verdict pleases"
    )
    for mix in ("none", "mixup"):
        leave(tmp_path / f"more_{mix}", 0.9, seed=5, mix=mix, edition="laptop", subset__n=100)
    one, left_out = of_laptop(tmp_path)
    assert (one.problem, left_out) == ("4 of 5 seeds", {NOT_STATED: 2})
    leave(tmp_path / "last", 0.55, seed=4, mix="mixup", edition="laptop", subset__n=100)
    one, left_out = of_laptop(tmp_path)
    assert (one.verdict, one.seeds, left_out) == (SUPPORTED, 5, {NOT_STATED: 2})


def test_of_an_article_with_one_seed_any_seeds_are_evidence(tmp_path):
    """Its own one could decide nothing."""
    cells(tmp_path, {"none": BASE, "mixup": NUMBERS["mixup"]})
    one = Experiment(
        "little",
        "little",
        "d",
        TABLE,
        {"one": claim({"higher": MIXUP, "lower": NONE})},
        {},
        {"hydra": {"sweeper": {"params": {"seed": "0"}}}},
    )
    found = decide([one], everywhere([tmp_path]))
    assert (found.answers[0].verdict, found.answers[0].seeds, found.left_out) == (SUPPORTED, 5, {})


def test_an_edition_has_its_own_runs_and_may_have_its_own_test(tmp_path):
    cells(tmp_path / "full", {"none": BASE, "mixup": NUMBERS["mixup"]})
    cells(tmp_path / "laptop", {"none": BASE, "mixup": NUMBERS["smote"]}, edition="laptop", subset__n=100)
    test = {"higher": MIXUP, "lower": NONE}
    stated = {
        "both": claim(test),
        "other": claim(test, laptop={"higher": {**NONE, "subset.n": 100}, "lower": MIXUP}),
        "full_only": claim(test, laptop=None),
        "neither": {"source": "small_data_mixup", "says": "It is so.", "cannot": "No GPU."},
        "laptop_only": {"source": "small_data_mixup", "says": "It is so.", "cannot": "No GPU.", "laptop": test},
    }
    found = {(one.name, one.edition): one for one in decided(tmp_path, stated, {"laptop": {}}).answers}
    assert {place: one.verdict for place, one in found.items()} == {
        ("little.both", "full"): SUPPORTED, ("little.both", "laptop"): UNDECIDED, ("little.other", "full"): SUPPORTED,
        ("little.other", "laptop"): UNDECIDED, ("little.full_only", "full"): SUPPORTED, ("little.neither", ""): CANNOT,
        ("little.laptop_only", ""): CANNOT, ("little.laptop_only", "laptop"): UNDECIDED,
    }  # fmt: skip
    assert found["little.both", "laptop"].evidence.effect == pytest.approx(
        -found["little.other", "laptop"].evidence.effect
    )
    assert {one.tests for one in found.values() if one.edition == "full"} == {3}
    assert {one.tests for one in found.values() if one.edition == "laptop"} == {3}, "a family for each edition"


def test_p_is_corrected_over_the_claims_of_an_article_run_or_not(runs):
    tests = [test for test, _ in EXAMPLES[:6]]
    waiting = {f"w{count}": claim({"higher": {"mix": "bc_plus"}, "lower": {"mix": f"m{count}"}}) for count in range(3)}
    stated = (
        {f"c{place}": claim(test) for place, test in enumerate(tests)}
        | waiting
        | {"gpu": {"source": "small_data_mixup", "says": "So.", "cannot": "No."}}
    )
    found = [one for one in decided(runs, stated).answers if one.evidence]
    ps = [p_of(test) for test in tests]
    ranked, largest, expected = sorted(range(6), key=ps.__getitem__), 0.0, {}
    for rank, place in enumerate(ranked):
        largest = max(largest, min(1, (9 - rank) * ps[place]))
        expected[place] = largest
    assert [one.adjusted for one in found] == pytest.approx([expected[place] for place in range(6)])
    assert {one.tests for one in found} == {9}, "those that wait too, not what no run can decide"


def test_a_verdict_stays_when_more_is_run(tmp_path, runs):
    """What waits counts as p = 1, so that p can only fall when it is run."""
    stated = {f"c{place}": claim(test) for place, (test, _) in enumerate(EXAMPLES)}
    before = {one.name: one for one in decided(runs, stated).answers}
    cells(tmp_path / "some", {mix: NUMBERS[mix] for mix in ("none", "mixup")})
    some = [one for one in decided(tmp_path, stated).answers if one.evidence]
    assert 5 < len(some) < len(EXAMPLES)
    for one in some:
        assert before[one.name].adjusted <= one.adjusted + 1e-12
        assert one.verdict in (before[one.name].verdict, UNDECIDED)


@pytest.mark.parametrize(
    "value, step, verdict",
    [(0.0, 1.0, SUPPORTED), (0.0, None, UNDECIDED), (4.0, 1.0, UNDECIDED), (8.0, 0.2, CONTRADICTED)],
)
def test_numbers_that_are_the_same_in_all_seeds_spread_by_their_step(tmp_path, value, step, verdict):
    """Five times no error among a hundred images is certain to be below 5 %, which the sign test, p = 1/16, cannot
    say."""
    cells(tmp_path, {"none": [100 - value] * 5})
    one = answered(
        tmp_path, {"below": 5, "of": {**NONE, "measure": {"metric": "error"}}, **({"step": step} if step else {})}
    )
    assert one.verdict == verdict
    if step:
        expected = stats.t.sf(abs(5 - value) / (step / np.sqrt(5)), 4) * 2
        assert one.evidence.p == pytest.approx(expected) and one.detectable > 0
    assert (one.evidence.interval is None) == (step is None)
    cells(tmp_path, {"mixup": [100 - value] * 5})
    differ = answered(tmp_path, {"same": [NONE, MIXUP], "within": 4, **({"step": step} if step else {})})
    if step:
        assert differ.evidence.p == pytest.approx(2 * stats.t.sf(4 / (step * np.sqrt(2 / 5)), 4)), (
            "a step in each of both cells"
        )


def test_checks_are_met_where_each_seed_shows_it(tmp_path):
    for seed, value in enumerate([1.0, 0.995, 0.985]):
        leave(tmp_path / f"run{seed}", value, seed=seed, edition="laptop")

    def met(test: dict[str, Any]) -> Any:
        block = {"laptop": {"checks": {"fits": {"says": "It fits.", "test": test}}}}
        found = decided(tmp_path, {"one": claim({"above": 1, "of": NONE})}, block)
        return found.checks[0].met

    of = {**NONE, "measure": {"metric": "error"}}
    assert met({"below": 2, "of": of}) is True
    assert met({"below": 1, "of": of}) is False, "as one seed shows"
    assert met({"below": 1, "of": {"mix": "mixup"}}) is None
    loss = {**NONE, "measure": {"metric": "train_loss", "scale": 99}}
    assert met({"same": [NONE, loss], "within": 2}) is True
    assert met({"same": [NONE, loss], "within": 0.5}) is False
    assert met({"increasing": [of, loss, NONE]}) is False
    assert met({"highest": NONE, "among": [{**NONE, "measure": {"metric": "error"}}]}) is True
    waits = {
        "laptop": {
            "params": {"seed": "0,1,2,3"},
            "checks": {"fits": {"says": "It fits.", "test": {"below": 2, "of": of}}},
        }
    }
    check = decided(tmp_path, {"one": claim({"above": 1, "of": NONE})}, waits).checks[0]
    assert (check.met, check.problem) == (None, "3 of 4 seeds")
    leave(tmp_path / "diverged", 0.99, seed=3, edition="laptop", outcome="diverged")
    assert met({"below": 2, "of": of}) is False, "as a run that diverged shows nothing"


def test_what_is_wrong_is_left_out_and_said(runs):
    stated = {"sound": claim({"higher": MIXUP, "lower": NONE}), "wrong": claim({"hgher": MIXUP})}
    found = decided(runs, stated, {"laptop": {"checks": {"fits": 3}}})
    assert {one.name for one in found.answers} == {"little.sound"}
    assert [problem.partition(";")[0] for problem in found.problems] == [
        "little: claims.wrong.test is {hgher:{mix:mixup}}",
        "little: checks.fits is 3",
    ]
    assert decided(runs, ["no mapping"]).answers == [] and decided(runs, None).problems == []


@pytest.mark.parametrize("wild", [1e150, 1e308, float("inf"), float("nan"), -1e120])
def test_wild_numbers_are_none(tmp_path, wild):
    cells(tmp_path, {"none": BASE})
    for seed in range(5):
        leave(tmp_path / f"w{seed}", wild, seed=seed, mix="mixup")
    one = answered(tmp_path, {"higher": MIXUP, "lower": NONE})
    assert (one.verdict, one.lost) == (UNCLEAR, 5)


# --- the command ---


@pytest.fixture
def own(tmp_path, monkeypatch) -> Path:
    """A folder of options with an experiment that makes claims, and runs of it in outputs and in outputs/published."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "conf" / "experiment"
    folder.mkdir(parents=True)
    stated = {
        "helps": claim({"higher": MIXUP, "lower": NONE}),
        "best": claim({"highest": MIXUP, "among": [NONE, BC]}),
        "gpu": {**claim({}), "cannot": "No GPU."},
    }
    del stated["gpu"]["test"]
    block = {
        "laptop": {"why": "no GPU", "checks": {"level": {"says": "It learns.", "test": {"above": 50, "of": MIXUP}}}}
    }
    text = "# @package _global_\n# small_data_mixup: little data\n" + yaml.safe_dump(
        {"name": "little", "table": TABLE, "claims": stated, "editions": block}
    )
    (folder / "little.yaml").write_text(text)
    cells(tmp_path / "outputs" / "published" / "full" / "little" / "runs", {"none": BASE, "mixup": NUMBERS["mixup"]})
    cells(tmp_path / "outputs" / "little_laptop", NUMBERS, edition="laptop")
    cells(tmp_path / "outputs" / "little", {"bc": BASE}, differs={"epochs": [1, 2]})
    return tmp_path


def command(capsys, *words: str) -> str:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(sys, "argv", ["mixexp", "claims", *words, "--config-dir", "conf"])
        cli.main()
    return capsys.readouterr().out


def test_the_command_shows_every_claim_by_article(own, capsys):
    assert "akira_final_layer: " in command(capsys), "the project's own experiments make claims too"
    text = " ".join(command(capsys, "little").split())
    assert text.startswith(
        "in all: full: 1 supported, 1 not run laptop: 2 supported 1 cannot be decided here 5 runs, no evidence since"
        " each departs by hand"
    )
    assert (
        "small_data_mixup: mixup with little data premises: 1 of 1 are met supported, full (1) little.helps: It is so."
        " accuracy (%): +4.22 [" in text
    )
    assert (
        "not run, full (1) little.best: It is so. 0 seeds in common, and 3 are needed; no run with mix=bc source: "
        in text
    )
    assert "cannot be decided here (1) little.gpu: It is so. No GPU. source: small_data_mixup, table" in text
    assert "compared, last: mix=mixup > mix=none" in text


def test_the_page_of_claims_has_a_row_for_each(own):
    found = decide([experiment(own / "conf" / "experiment" / "little.yaml")], everywhere([own / "outputs"]))
    text = claims_document(found, "Claims")
    assert "## small_data_mixup: mixup with little data" in text
    assert (
        "| little.helps | It is so. (small_data_mixup, table) | full | supported | accuracy (%): mix=mixup &gt;"
        " mix=none | +4.22 [" in text
    )
    assert "| little.best | It is so. (small_data_mixup, table) | laptop | supported |" in text
    assert text.count("little.best") == 1, "the edition without runs is not shown where there is another one"
    assert "| cannot be decided here: No GPU. |" in text
    assert "- little.level, laptop: It learns. – met: 55.26 on average, 54.10 to 57.00, 5 seeds." in text
    assert (
        "- full: 1 supported, 1 not run\n- laptop: 2 supported\n- 1 cannot be decided here\n- 5 runs, no evidence since"
        " each departs by hand" in text
    )


def test_a_selection_is_corrected_over_the_whole_article(own, capsys):
    found = json.loads(command(capsys, "little.helps", "--json"))
    assert [(one["claim"], one["edition"]) for one in found["claims"]] == [
        ("little.helps", "full"),
        ("little.helps", "laptop"),
    ]
    full, laptop = found["claims"]
    expected = stats.ttest_rel(NUMBERS["mixup"], BASE)
    others = experiments([CONF]).values()
    full_of_article = sum(
        one.article == "small_data_mixup" and "test" in claim for one in others for claim in (one.claims or {}).values()
    )
    assert full["p"] == pytest.approx(expected.pvalue, rel=1e-5) and full["tests"] == full_of_article + 2
    assert (
        laptop["p_holm"] == pytest.approx(laptop["tests"] * expected.pvalue, rel=1e-5)
        and 2 < laptop["tests"] < full["tests"]
    )
    assert full["effect"] == pytest.approx(4.22) and full["interval_low"] == pytest.approx(
        expected.confidence_interval().low, abs=1e-5
    )
    assert full["n"] == 5 and full["compared"] == "mix=mixup > mix=none" and found["left_out"] == {BY_HAND: 5}
    assert found["checks"][0]["met"] is True


def test_runs_are_looked_for_where_it_is_said(own, capsys):
    text = command(capsys, "little", "--runs", "outputs/little_laptop")
    assert "full: 2 not run\n        laptop: 2 supported" in text
    with pytest.raises(SystemExit):
        command(capsys, "--runs", "nowhere")
    assert "claims: nowhere is not a folder" in capsys.readouterr().err


def test_names_that_are_not_there(own, capsys):
    for name, near in (
        ("litle", "Did you mean 'little'?"),
        ("little.help", "Did you mean 'little.helps'?"),
        ("small", "no such experiment with claims, and no such claim"),
    ):
        with pytest.raises(SystemExit):
            command(capsys, name)
        assert near in capsys.readouterr().err


def test_a_wrong_claim_is_told_before_anything_is_read(own, capsys):
    path = own / "conf" / "experiment" / "little.yaml"
    path.write_text(path.read_text().replace("lower:", "lowr:").replace("mix: bc\n", "mix: bcc\n"))
    with pytest.raises(SystemExit):
        command(capsys)
    said = capsys.readouterr().err
    assert "little: claims.helps.test has no key 'lowr' beside higher. Did you mean 'lower'?" in said
    assert "little: claims.best.test.among, its cell 2,: mix has no option 'bcc'. Did you mean 'bc'?" in said


def test_the_command_starts_without_torch_and_hydra(own):
    code = (
        "import sys, mixexp.cli as c; sys.argv = ['mixexp', 'claims', '--config-dir', 'conf']; c.main();"
        " sys.exit(bool({'torch', 'hydra'} & {*sys.modules}))"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=own, capture_output=True, text=True).returncode == 0


# --- in reports ---


def test_a_report_has_the_claims_of_its_runs(own):
    stated = yaml.safe_load((own / "conf" / "experiment" / "little.yaml").read_text())["claims"]
    place = own / "outputs" / "mine"
    cells(place, {"none": BASE, "mixup": NUMBERS["mixup"]}, claims=stated, subset__n=500)
    files = {path.name: path for path in write_report([place])}
    text = files["table.md"].read_text()
    assert (
        "## Claims\n\n| claim |" in text
        and "| little.helps | It is so. (small_data_mixup, table) | full | supported |" in text
    )
    assert text.index("## Claims") > text.index("## Differences between runs")
    assert "helps,small_data_mixup," in files["claims.csv"].read_text()
    page = files["report.html"].read_text()
    assert (
        '<a href="#claims-1">Claims</a>' in page
        and "little.helps" in page
        and "mixexp claims has those of the article" in page
    )


def test_a_report_says_the_premises_and_leaves_wrong_claims_out(own):
    place = own / "outputs" / "mine"
    stated = {"helps": claim({"higher": MIXUP, "lower": NONE}), "wrong": 3}
    checks = {"level": {"says": "It learns.", "test": {"above": 55, "of": MIXUP}}}
    cells(
        place, {"none": BASE, "mixup": NUMBERS["mixup"]}, claims=stated, checks=checks, edition="laptop", subset__n=500
    )
    text = {path.name: path for path in write_report([place])}["table.md"].read_text()
    assert "- little.level, laptop: It learns. – not met: 55.26 on average, 54.10 to 57.00, 5 seeds." in text
    assert "| laptop | supported |" in text
    assert "- Left out: little: claims.wrong is 3; it needs source, says, and test or cannot." in text


def test_a_report_without_claims_has_no_section(own):
    place = own / "outputs" / "mine"
    cells(place, {"none": BASE}, subset__n=500)
    (place / "report").mkdir()
    (place / "report" / "claims.csv").write_text("of an earlier report\n")
    files = {path.name: path for path in write_report([place])}
    assert "Claims" not in files["table.md"].read_text() and "Claims" not in files["report.html"].read_text()
    assert not (place / "report" / "claims.csv").exists()


def test_an_experiments_file_counts_more_than_what_a_run_has(own, monkeypatch):
    monkeypatch.setattr(write, "CONF", own / "conf")
    place = own / "outputs" / "mine"
    cells(
        place,
        {"none": BASE, "mixup": NUMBERS["mixup"]},
        claims={"old": claim({"higher": NONE, "lower": MIXUP})},
        subset__n=500,
    )
    text = {path.name: path for path in write_report([place])}["table.md"].read_text()
    assert "little.old" not in text and "little.helps" in text


# --- before work starts ---


def test_a_sweep_whose_claims_or_checks_are_wrong_trains_nothing(tmp_path):
    folder = tmp_path / "conf" / "experiment"
    folder.mkdir(parents=True)
    wrong = {
        "typo": claim({"higher": {"mix": "mixup"}, "lower": {"subset.m": 5}}),
        "cited": claim({"above": 1, "of": NONE}, source="smal_data_mixup"),
    }
    sound = {"sound": claim({"higher": MIXUP, "lower": NONE}, desktop=None)}
    editions = {"desktop": {"why": "faster"}}
    (folder / "wrong.yaml").write_text(
        "# @package _global_\n" + yaml.safe_dump({"claims": {**sound, **wrong}, "editions": editions})
    )
    (folder / "sound.yaml").write_text(
        "# @package _global_\n" + yaml.safe_dump({"name": "sound", "claims": sound, "editions": editions})
    )
    checks = {"checks": {"fits": {"says": "It fits.", "test": {"below": "one", "of": NONE}}}}
    (folder / "checked.yaml").write_text("# @package _global_\n" + yaml.safe_dump(checks))
    short = ("epochs=1", "model.width=2", "mix=none", "--config-dir=conf")
    done = mixexp("-m", "experiment=wrong", *short, cwd=tmp_path)
    assert done.returncode == 2
    assert "claims.typo.test.lower: there is no setting 'subset.m'." in done.stderr
    assert (
        "claims.cited.source: 'smal_data_mixup' is not a citation key. Did you mean 'small_data_mixup'?" in done.stderr
    )
    done = mixexp("-m", "experiment=checked", *short, cwd=tmp_path)
    assert done.returncode == 2 and "checks.fits.test.below is one; it needs a number." in done.stderr
    assert not list(tmp_path.glob("outputs/*/*"))
    done = mixexp("-m", "experiment=sound", *short, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (config,) = tmp_path.glob("outputs/sound/*/config.yaml")
    assert yaml.safe_load(config.read_text())["claims"] == sound


# --- the command's text ---


def test_a_terminal_is_told_the_totals_and_what_is_decided_at_full_length(own, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    text = command(capsys)
    assert text.startswith("in all: full: ") and max(map(len, text.splitlines())) <= 80
    assert "|" not in text, "a table's lines are longer than any terminal"
    folded = text[text.index("small_data_mixup: mixup with little data") :]
    assert re.search(
        r"not run, full \(\d+\)\n    small_data \(\d+\), small_data_doubts \(\d+\), little \(1\)", folded
    ), "what is not run is counted"
    assert "premises: 1 of 1 are met" in folded


def test_a_premise_that_is_not_met_is_told(own, capsys):
    leave(own / "outputs" / "little_laptop" / "low", 0.4, seed=9, mix="mixup", edition="laptop")
    text = " ".join(command(capsys, "little").split())
    assert (
        "premises: 0 of 1 are met not met: little.level, laptop: It learns. – not met: 52.72 on average, 40.00 to"
        " 57.00, 6 seeds." in text
    )

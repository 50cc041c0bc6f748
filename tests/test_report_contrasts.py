"""Which runs a report compares with which, worked out by hand on run folders written by hand."""

from __future__ import annotations

import itertools
import json

import pytest
import yaml
from scipy import stats
from test_report import TABLE, leave

from mixexp.errors import UserError
from mixexp.reporting.markdown import markdown
from mixexp.reporting.runs import gather
from mixexp.reporting.stats import MEAN, holm
from mixexp.reporting.summary import baseline_problem, contrasts
from mixexp.reporting.tables import build_table, build_tables
from mixexp.reporting.write import write_report
from mixexp.training.reader import load_runs

NONE, MIXUP = (0.50, 0.53, 0.56, 0.51), (0.55, 0.59, 0.60, 0.57)


def grid(folder, table=TABLE, **more):
    """Four seeds without and with mixing at 500 images, and at 100 images three and two."""
    names = (f"r{number}" for number in itertools.count())
    for mix, accuracies in (("none", NONE), ("mixup", MIXUP)):
        for seed, accuracy in enumerate(accuracies):
            leave(folder / next(names), (0.1, accuracy), mix=mix, seed=seed, table=table, **more)
        for seed in range(3 if mix == "none" else 2):
            leave(
                folder / next(names), (0.1, 0.2 + accuracies[seed] / 2), mix=mix, seed=seed, n=100, table=table, **more
            )
    return folder


def test_columns_are_compared_seed_by_seed_in_each_row(tmp_path):
    found = {one.place: one for one in contrasts(build_table(load_runs(grid(tmp_path))))}
    expected = stats.ttest_rel([100 * x for x in MIXUP], [100 * x for x in NONE])
    one = found["500"]
    assert (one.ours, one.theirs, one.result.n, one.unpaired) == ("label-mix", "none", 4, 0)
    assert (one.result.difference, one.result.p, one.adjusted) == pytest.approx(
        (5.25, expected.pvalue, expected.pvalue)
    )
    assert one.significant
    assert "| 100 | label-mix − none | 2 (1 run unpaired) | +2.75 |  |  |  |  |" in markdown(
        build_table(load_runs(tmp_path))
    )
    few = found["100"]
    assert (few.result.n, few.unpaired, few.result.p, few.adjusted, few.significant) == (2, 1, None, None, False)
    assert few.result.difference == pytest.approx(2.75)


def test_p_is_adjusted_over_all_tests_of_the_table(tmp_path):
    three = {"none": {"mix": "none"}, "label-mix": {"mix": "mixup"}, "other": {"mix": "other"}}
    table = TABLE | {"columns": {"label": "mixing", "values": three}, "published": {}}
    grid(tmp_path, table)
    for seed, accuracy in enumerate((0.52, 0.51, 0.57, 0.54)):
        leave(tmp_path / f"o{seed}", (0.1, accuracy), mix="other", seed=seed, table=table)
    found = contrasts(build_table(load_runs(tmp_path)))
    tested = [one for one in found if one.result.p is not None]
    assert [(one.ours, one.theirs) for one in tested] == [("label-mix", "none"), ("other", "none")]
    assert [one.adjusted for one in tested] == holm([one.result.p for one in tested])
    against = contrasts(build_table(load_runs(tmp_path), baseline="label-mix"))
    assert [(one.ours, one.theirs) for one in against if one.result.p is not None] == [
        ("none", "label-mix"),
        ("other", "label-mix"),
    ]
    expected = MEAN.paired([100 * x for x in MIXUP], [100 * x for x in NONE])
    assert tested[0].detectable == pytest.approx(expected.detectable(2)), (
        "of two tests, the smaller p has to be below 0.05 / 2"
    )


def test_all_pairs_are_compared_where_nothing_is_without_mixing(tmp_path):
    three = {name: {"mix": name} for name in ("bc", "mixup", "other")}
    table = TABLE | {"columns": {"label": "mixing", "values": three}, "published": {}}
    for place, name in enumerate(three):
        for seed in range(3):
            leave(
                tmp_path / f"{name}{seed}",
                (0.1, 0.5 + place / 10 + seed * place / 50),
                mix=name,
                seed=seed,
                table=table,
            )
    found = contrasts(build_table(load_runs(tmp_path)))
    assert [(one.ours, one.theirs) for one in found] == [("mixup", "bc"), ("other", "bc"), ("other", "mixup")]


def test_each_setting_is_compared_with_the_one_without_mixing_that_is_else_alike(tmp_path):
    for mix in ("none", "mixup", "bc"):
        for n in (100, 500):
            for rate in (0.1, 0.2) if n == 100 or mix != "bc" else (0.1,):
                for seed in range(3):
                    settings = {"mix": mix, "n": n, "optimizer": {"lr": rate}, "seed": seed, "table": None}
                    leave(tmp_path / f"{mix}{n}{rate}{seed}", (0.5 + seed / 10 + n / 5000,), **settings)
    table = build_table(load_runs(tmp_path))
    pairs = [(one.ours, one.theirs) for one in contrasts(table)]
    assert baseline_problem(table) == "" and len(table.rows) == 11
    assert sorted(pairs) == [
        (f"{mix}, n = {n}, lr = {rate}", f"none, n = {n}, lr = {rate}")
        for mix in ("bc", "mixup")
        for n, rate in ((100, 0.1), (100, 0.2), (500, 0.1), (500, 0.2))
        if (mix, n, rate) != ("bc", 500, 0.2)
    ]


def test_rows_are_compared_where_the_baseline_is_a_row_or_columns_are_measures(tmp_path):
    grid(tmp_path)
    found = contrasts(build_table(load_runs(tmp_path), baseline="100"))
    assert [(one.place, one.ours, one.theirs, one.result.n) for one in found] == [
        ("none", "500", "100", 3),
        ("label-mix", "500", "100", 2),
    ]
    measures = TABLE | {
        "columns": {"measures": {"first": {"metric": "accuracy", "rule": "best"}, "loss": {"metric": "test_loss"}}},
        "published": {},
    }
    other = tmp_path / "other"
    grid(
        other,
        measures
        | {"rows": {"values": {"plain": {"mix": "none", "subset.n": 500}, "mixed": {"mix": "mixup", "subset.n": 500}}}},
    )
    found = contrasts(build_table(load_runs(other)))
    assert [(one.place, one.ours, one.theirs, one.result.n) for one in found] == [
        ("first", "mixed", "plain", 4),
        ("loss", "mixed", "plain", 4),
    ]
    assert found[1].result.p is None, "all have the same loss"


def test_a_baseline_that_a_setting_does_not_apply_to_is_the_same_in_every_row(tmp_path):
    table = TABLE | {"rows": {"label": "alpha", "key": "alpha"}, "baseline": "none", "published": {}}
    for seed, accuracy in enumerate(NONE):
        leave(tmp_path / f"n{seed}", (accuracy,), seed=seed, table=table)
        for alpha in (0.2, 1.0):
            leave(
                tmp_path / f"m{seed}{alpha}",
                (accuracy + alpha / 10 + seed / 100,),
                mix="mixup",
                alpha=alpha,
                seed=seed,
                table=table,
            )
    found = contrasts(build_table(load_runs(tmp_path)))
    assert [(one.place, one.ours, one.theirs, one.result.n) for one in found] == [
        ("0.2", "label-mix", "none", 4),
        ("1", "label-mix", "none", 4),
    ]


def test_runs_that_differ_in_more_than_the_seed_are_not_compared(tmp_path):
    grid(tmp_path)
    leave(tmp_path / "odd", (0.1, 0.9), mix="mixup", seed=9, epochs=31)
    table = build_table(load_runs(tmp_path))
    assert [one.place for one in contrasts(table)] == ["100"]


def test_data_seeds_are_paired_too(tmp_path):
    for seed, mix in itertools.product((0, 1, 2), ("none", "mixup")):
        leave(tmp_path / f"{mix}{seed}", (0.5 + seed / 100,), mix=mix, data_seed=seed if mix == "none" else seed + 1)
    (found,) = contrasts(build_table(load_runs(tmp_path)))
    assert (found.result.n, found.unpaired) == (2, 2)


def test_a_baseline_that_is_no_label_is_said_with_what_is_near(tmp_path):
    grid(tmp_path)
    table = build_tables(load_runs(tmp_path), baseline="label-mx")[0]
    assert contrasts(table) == []
    assert "label-mx is not a row or column" in baseline_problem(table) and "label-mix" in baseline_problem(table)
    with pytest.raises(UserError, match="Did you mean 'label-mix'"):
        write_report([tmp_path], baseline="label-mx")
    assert not (tmp_path / "report").exists()


def test_labels_are_listed_as_a_shell_takes_them(tmp_path):
    mixes = {"no mixing": {"mix": "none"}, "the mixup": {"mix": "mixup"}}
    grid(tmp_path, TABLE | {"columns": {"label": "mixing", "values": mixes}, "published": {}})
    problem = baseline_problem(build_tables(load_runs(tmp_path), baseline="its width")[0])
    assert "The baseline 'its width' is not a row" in problem and problem.endswith(
        "There are 100, 500, 'no mixing', 'the mixup'."
    ), problem


def test_many_settings_are_compared_only_with_one(tmp_path):
    for n, seed in itertools.product(range(7), range(3)):
        leave(tmp_path / f"{n}-{seed}", (0.5 + n / 100 + seed * n / 1000,), n=n, seed=seed, table=None)
    table = build_tables(load_runs(tmp_path))[0]
    assert contrasts(table) == [] and "--baseline LABEL" in baseline_problem(table)
    named = build_tables(load_runs(tmp_path), baseline="3")[0]
    assert (
        {one.theirs for one in contrasts(named)} == {"3"} and len(contrasts(named)) == 6 and not baseline_problem(named)
    )


def test_too_few_seeds_are_said_instead_of_tested(tmp_path):
    for mix, seed in itertools.product(("none", "mixup"), range(2)):
        leave(tmp_path / f"{mix}{seed}", (0.5 + seed / 10,), mix=mix, seed=seed)
    text = markdown(build_table(load_runs(tmp_path)))
    assert (
        "2 seeds in common at most: nothing can be compared. 3 or more seeds allow it (seed=0,1,2)." in text
        and "\\*" not in text
    )


def test_a_run_in_two_folders_counts_once_and_finished_before_unfinished(tmp_path):
    leave(tmp_path / "a" / "same", (0.1,), outcome=None)
    leave(tmp_path / "a" / "only", (0.2,), seed=1)
    leave(tmp_path / "b" / "same", (0.3,))
    runs, remarks = gather([tmp_path / "a", tmp_path / "b", tmp_path / "b" / ".." / "a"])
    assert {run.folder.name: run.outcome for run in runs} == {"same": "finished", "only": "finished"}
    assert remarks == [
        "1 run is a copy of another one, the same settings and seeds on the same data; each counts once."
    ]


def test_one_report_of_several_folders(tmp_path):
    for name, mix in (("a", "none"), ("b", "mixup")):
        leave(tmp_path / "outputs" / name / f"r{mix}", (0.5,), mix=mix)
    folders = [tmp_path / "outputs" / name for name in ("a", "b")]
    written = write_report(folders)
    assert {path.parent for path in written} == {tmp_path / "outputs" / "report"}
    assert "2 of 2 runs have a result" in written[0].read_text(encoding="utf-8")
    assert write_report([*folders, tmp_path / "outputs" / "report"]) == written, (
        "as a shell's * names them the next time"
    )
    leave(tmp_path / "elsewhere" / "c" / "r", (0.5,), n=100)
    with pytest.raises(UserError, match="--out FOLDER"):
        write_report([*folders, tmp_path / "elsewhere" / "c"])
    assert (
        write_report([*folders, tmp_path / "elsewhere" / "c"], out=tmp_path / "all")[0] == tmp_path / "all" / "table.md"
    )


def test_a_baseline_whose_run_is_missing_is_not_replaced_by_that_of_other_data(tmp_path):
    table = TABLE | {"baseline": "none", "published": {}}
    for seed, accuracy in enumerate(NONE):
        leave(tmp_path / f"all{seed}", (accuracy + 0.4,), seed=seed, table=table, n=None)
        leave(tmp_path / f"mixed{seed}", (accuracy + seed / 100,), mix="mixup", seed=seed, table=table)
        leave(tmp_path / f"none{seed}", (accuracy,), seed=seed, table=table, outcome=None)
    assert contrasts(build_table(load_runs(tmp_path))) == []


def test_copies_of_a_run_in_one_folder_count_once_and_unlike_runs_of_one_name_twice(tmp_path):
    for seed in range(3):
        for name in ("run", "copy of run"):
            leave(tmp_path / "a" / f"{name} {seed}", (0.5 + seed / 100,), seed=seed)
    runs, remarks = gather([tmp_path / "a"])
    assert len(runs) == 3 and remarks == [
        "3 runs are copies of another one, the same settings and seeds on the same data; each counts once."
    ]
    leave(tmp_path / "b" / "run 0", (0.7,), mix="mixup")
    assert len(gather([tmp_path / "a", tmp_path / "b"])[0]) == 4


def in_precision(run, bfloat16):
    """The run's record says what its precision came to."""
    path = run / "environment.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"bfloat16": bfloat16}))
    return run


def test_a_run_in_another_precision_is_no_copy(tmp_path):
    for folder, bfloat16 in (("cpu", False), ("gpu", True)):
        in_precision(leave(tmp_path / folder / "run", (0.1, 0.5)), bfloat16)
    runs, remarks = gather([tmp_path / "cpu", tmp_path / "gpu"])
    assert len(runs) == 2 and not remarks
    table = build_table(runs)
    assert table.unlike.keys() == set(table.cells), "and one cell of both has no mean"
    assert any("they differ in precision" in remark for remark in table.remarks)


def test_runs_of_one_setting_in_two_precisions_are_not_compared(tmp_path):
    for mix, accuracies in (("none", NONE), ("mixup", MIXUP)):
        for seed, accuracy in enumerate(accuracies):
            in_precision(
                leave(tmp_path / f"{mix}{seed}", (0.1, accuracy), mix=mix, seed=seed, precision="auto"), mix == "mixup"
            )
    assert contrasts(build_table(load_runs(tmp_path))) == []
    for run in tmp_path.iterdir():
        config = yaml.safe_load((run / "config.yaml").read_text())
        config["precision"] = "bfloat16" if config["choices"]["mix"] == "mixup" else "float32"
        (run / "config.yaml").write_text(yaml.safe_dump(config))
    assert len(contrasts(build_table(load_runs(tmp_path)))) == 1, "what a setting says was changed on purpose"

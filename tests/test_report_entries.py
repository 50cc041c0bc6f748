"""Rows and columns of tables that nobody described: their names, their order, and the metric of unequal classes."""

from __future__ import annotations

import json

import pytest
import yaml
from test_report import TABLE, cells_of, leave

from mixexp.reporting.entries import axis_of, label, paper_label, sort_key, usual_metric, value_ranks
from mixexp.reporting.figures import draw
from mixexp.reporting.figures.lines import outer_of
from mixexp.reporting.markdown import markdown
from mixexp.reporting.summary import baseline_problem, contrasts
from mixexp.reporting.tables import build_table
from mixexp.settings import comparable
from mixexp.training.reader import load_run, load_runs, plans


def changed(folder, choices=(), environment=(), **settings):
    """The run in a folder with other choices, settings and records."""
    config = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
    config = {**config, **settings, "choices": {**config["choices"], **dict(choices)}}
    (folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
    recorded = json.loads((folder / "environment.json").read_text())
    (folder / "environment.json").write_text(json.dumps({**recorded, **dict(environment)}))
    return load_run(folder)


def labels(table):
    return [row.label for row in table.rows], [column.label for column in table.columns]


def test_labels_are_those_of_a_paper(tmp_path):
    run = changed(
        leave(tmp_path / "a", mix="mixup"),
        {"augment": "none", "loss": "focal"},
        alpha=0.2,
        loss={"gamma": 2.0},
        drop_last=True,
    )
    assert paper_label(run, ["mix", "mix_layer", "alpha"]) == "mixup, at input, α = 0.2"
    assert (
        paper_label(run, ["loss", "loss.gamma", "drop_last", "subset.n"]) == "focal, γ = 2, drop last = true, n = 500"
    )
    assert paper_label(run, ["augment", "epochs", "steps"]) == "no augmentation, epochs = 30", (
        "a setting without a value says nothing"
    )


def test_images_of_the_test_set_are_no_training_images_and_null_is_all(tmp_path):
    run = changed(leave(tmp_path / "a"), test={"n": 200})
    whole = changed(leave(tmp_path / "b"), test={"n": None})
    assert paper_label(run, ["mix", "test.n", "subset.n"]) == "none, test images = 200, n = 500"
    assert (
        paper_label(whole, ["mix", "test.n"])
        == "none, test images = all"
        == paper_label(changed(leave(tmp_path / "c")), ["mix", "test.n"])
    )


@pytest.mark.parametrize("published", [{}, {"none": {"all": 50.0}}])
def test_an_axis_of_test_images_has_all_and_numbers(published, tmp_path):
    described = {
        **TABLE,
        "rows": axis_of("test.n"),
        "columns": axis_of("mix"),
        "published": published,
        "baseline": "none",
    }
    for n in (None, 200):
        for mix in ("none", "mixup"):
            changed(leave(tmp_path / f"{n}{mix}", mix=mix, table=described), test={"n": n})
    table = build_table(load_runs(tmp_path))
    assert table.spec["rows"]["label"] == "test images" and labels(table)[0] == ["200", "all"]
    assert table.published("all", "none") == (50.0 if published else None)


def test_runs_of_different_test_images_are_not_compared(tmp_path):
    for n in (None, 200):
        for mix in ("none", "mixup"):
            for seed in range(4):
                accuracies = (0.5 + 0.01 * seed**2 + 0.1 * (mix == "mixup"),)
                folder = leave(tmp_path / f"{n}{mix}{seed}", accuracies, mix=mix, seed=seed, table=None)
                changed(folder, environment={"test_counts": [n or 1000]}, test={"n": n})
    compared = {(contrast.ours, contrast.theirs) for contrast in contrasts(build_table(load_runs(tmp_path)))}
    assert compared, "those of the same images are"
    for pair in compared:
        assert len({"200" in name for name in pair}) == 1, pair


def test_a_number_has_one_spelling_in_rows_and_names_and_is_found_in_any(tmp_path):
    described = {
        **TABLE,
        "rows": axis_of("subset.n"),
        "columns": axis_of("alpha"),
        "published": {},
        "baseline": "1.0",
        "order": {"columns": ["1.0"]},
    }
    for name, n, alpha in (("a", 1e9, 1.0), ("b", 1e9, 1), ("c", 5, 0.2)):
        changed(leave(tmp_path / name, table=described, mix="mixup", seed=ord(name)), alpha=alpha, subset={"n": n})
    table = build_table(load_runs(tmp_path))
    assert labels(table) == (["5", "1000000000"], ["1", "0.2"]) and table.spec["baseline"] == "1"
    assert outer_of(table, {"only": ["0.20", 1.0], "each": "columns"}) == table.columns
    assert build_table(load_runs(tmp_path), baseline="0.20").spec["baseline"] == "0.2"
    _, words = draw(table, {"file": "f", "kind": "scores", "only": ["1.0"]})
    assert "the baseline, 1)" not in words and "of 3 cells" not in words
    assert [label(value) for value in (1.0, 1, 0.2, 1e9, -0.0, True, None, "1.0", 1e300)] == [
        "1",
        "1",
        "0.2",
        "1000000000",
        "0",
        "true",
        "–",
        "1.0",
        "1e+300",
    ]


def test_an_axis_without_a_label_is_called_by_its_setting(tmp_path):
    described = {**TABLE, "rows": {"key": "subset.n"}, "columns": {"key": "drop_last", "label": None}, "published": {}}
    for n in (100, 500):
        changed(leave(tmp_path / str(n), n=n, table=described), drop_last=True)
    table = build_table(load_runs(tmp_path))
    assert [table.spec[axis]["label"] for axis in ("rows", "columns")] == ["training images", "drop_last"]
    assert "\n| training images | true |" in markdown(table)


def test_labels_that_a_file_gives_stay_as_they_are(tmp_path):
    columns = {"label": "α", "values": {1.0: {"alpha": 1}, "0.20": {"alpha": 0.2}}}
    run = leave(tmp_path / "a", table={**TABLE, "columns": columns, "published": {}, "baseline": "1"}, mix="mixup")
    table = build_table([load_run(run)])
    assert labels(table)[1] == ["1.0", "0.20"] and table.spec["baseline"] == "1.0"


def test_settings_of_one_sign_are_called_by_their_keys(tmp_path):
    run = changed(leave(tmp_path / "a"), imbalance={"n": 5})
    assert paper_label(run, ["subset.n"]) == "n = 500"
    assert paper_label(run, ["subset.n", "imbalance.n"]) == "subset.n = 500, imbalance.n = 5"


def test_options_of_one_name_are_called_by_their_groups(tmp_path):
    for name, loss, sampling in (("a", "equal", None), ("b", None, "equal"), ("c", None, None)):
        changed(leave(tmp_path / name, table=None), {"loss": loss, "sampling": sampling})
    assert set(labels(build_table(load_runs(tmp_path)))[0]) == {"loss=equal", "sampling=equal", "loss=–, sampling=–"}


@pytest.mark.parametrize("planned", [True, False])
def test_words_are_in_the_order_of_the_grid_and_numbers_by_size(planned, tmp_path):
    grid = [("none", None), ("mixup", 1.0), ("mixup", 0.2), ("bc", None)]
    for place, (mix, alpha) in enumerate(grid):
        started = f"2026-11-30T12:00:0{place}+0000" if not planned else "2026-11-30T12:00:00+0000"
        changed(
            leave(tmp_path / f"{9 - place}", mix=mix, table=None),
            {"mix_layer": "input"},
            {"started": started},
            alpha=alpha,
        )
    if planned:
        plan(tmp_path, first=["9", "8", "7", "6"])
    assert labels(build_table(load_runs(tmp_path)))[0] == ["none", "mixup, α = 0.2", "mixup, α = 1", "bc"]


def plan(folder, **sweeps):
    """The plans of some sweeps, as they were started one after another, each with the names of its runs."""
    (folder / "sweeps").mkdir()
    for hour, (name, runs) in enumerate(sweeps.items()):
        content = {"started": f"2026-11-30T{hour:02d}:00:00+0000", "runs": [{"name": run} for run in runs]}
        (folder / "sweeps" / f"{name}.json").write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("sweeps", "order"),
    [
        ({}, ["none", "mixup", "bc", "bc_plus"]),
        ({"b": ["mixup", "bc"], "a": ["none"], "c": ["bc_plus"]}, ["none", "mixup", "bc", "bc_plus"]),
        ({"a": ["mixup", "bc", "none"]}, ["mixup", "bc", "none", "bc_plus"]),
        ({"b": ["none", "mixup", "bc", "bc_plus"], "a": ["bc_plus", "bc"]}, ["none", "mixup", "bc_plus", "bc"]),
        ({"b": ["bc", "mixup"], "a": ["none", "mixup", "bc", "bc_plus"]}, ["none", "mixup", "bc", "bc_plus"]),
        ({"b": ["bc", "mixup", "none"], "a": ["bc_plus"]}, ["bc", "mixup", "none", "bc_plus"]),
        ({"b": ["none", "mixup"], "a": ["mixup", "bc_plus"]}, ["none", "mixup", "bc_plus", "bc"]),
        ({"b": ["mixup-1"], "a": ["bc"]}, ["none", "bc", "mixup", "bc_plus"]),
    ],
    ids=["unplanned", "baseline later", "typed last", "reordered in part", "reordered", "extended", "two", "others"],
)
def test_words_are_in_the_order_of_the_newest_grid_that_has_them_beside_each_other(sweeps, order, tmp_path):
    for place, name in enumerate(["mixup", "bc", "none", "bc_plus"]):
        changed(leave(tmp_path / name, mix=name), environment={"started": f"2026-11-30T12:00:0{place}+0000"})
    plan(tmp_path, **sweeps)
    ranks = value_ranks(load_runs(tmp_path), "mix")
    assert sorted(ranks, key=ranks.get) == order


def test_a_baseline_that_was_swept_later_is_first_and_a_table_that_orders_is_obeyed(tmp_path):
    described = {**TABLE, "columns": axis_of("sampling"), "published": {}, "baseline": "natural"}
    for place, sampling in enumerate(("oversample", "undersample", "natural")):
        folder = leave(tmp_path / sampling, table=described)
        changed(folder, {"sampling": sampling}, {"started": f"2026-11-30T12:00:0{place}+0000"})
    runs = load_runs(tmp_path)
    assert labels(build_table(runs))[1] == ["natural", "oversample", "undersample"]
    assert labels(build_table(runs, baseline="undersample"))[1] == ["undersample", "oversample", "natural"]
    for run in runs:
        run.config["table"] = {**described, "order": {"columns": ["oversample", "natural"]}}
    assert labels(build_table(runs))[1] == ["oversample", "natural", "undersample"]


def test_folders_with_plans_of_their_own_are_in_the_order_of_their_sweeps(tmp_path):
    for folder, names in (("b", ["bc", "mixup"]), ("a", ["none", "bc_plus"])):
        for name in names:
            leave(tmp_path / folder / name, mix=name)
    plan(tmp_path / "b", first=["bc", "mixup"])
    plan(tmp_path / "a", second=["none", "bc_plus"])
    ranks = value_ranks([*load_runs(tmp_path / "a"), *load_runs(tmp_path / "b")], "mix")
    assert sorted(ranks, key=ranks.get) == ["none", "bc_plus", "bc", "mixup"]


def test_runs_of_the_last_sweep_that_have_not_begun_are_counted(tmp_path):
    leave(tmp_path / "none", mix="none")
    plan(tmp_path, first=["none", "gone"], second=["none", "mixup", "n" * 300])
    remark = f"2 of the 3 runs of the last sweep in {tmp_path.name} have not begun."
    assert remark in build_table(load_runs(tmp_path)).remarks
    leave(tmp_path / "mixup", mix="mixup")
    plan_of_all = {"started": "2026-12-01", "runs": [{"name": "none"}, {"name": "mixup"}]}
    (tmp_path / "sweeps" / "third.json").write_text(json.dumps(plan_of_all))
    assert not any("not begun" in remark for remark in build_table(load_runs(tmp_path)).remarks)


def test_a_damaged_plan_has_no_order(tmp_path):
    (tmp_path / "sweeps").mkdir()
    for name, text in (("a", "{"), ("b", '{"runs": 3}'), ("c", '{"runs": [1, {"name": "x"}, {}]}')):
        (tmp_path / "sweeps" / f"{name}.json").write_text(text)
    assert plans(tmp_path) == [("", ["x"])] and plans(tmp_path / "nowhere") == []


def test_layers_are_in_the_order_of_the_network(tmp_path):
    layers = ["final", "fc", "layer10", "random", "layer2", "input", "stem", "[layer1, layer2]"]
    for place, layer in enumerate(layers):
        changed(leave(tmp_path / str(place), mix="mixup"), {"mix_layer": layer})
    ranks = value_ranks(load_runs(tmp_path), "mix_layer")
    assert sorted(ranks, key=ranks.get) == [
        "input",
        "stem",
        "layer2",
        "layer10",
        "fc",
        "[layer1, layer2]",
        "final",
        "random",
    ]


def test_numbers_are_before_words_and_nothing_is_last():
    values = [None, "b", 10.0, "a", 2.0]
    assert sorted(values, key=lambda value: sort_key(value, place=values.index(value))) == [2.0, 10.0, "b", "a", None]
    assert comparable("10") == 10.0


def test_a_method_and_one_other_setting_are_columns_and_rows(tmp_path):
    for mix in ("none", "mixup"):
        for n in (1000, 500):
            leave(tmp_path / f"{mix}{n}", mix=mix, n=n, table=None)
    table = build_table(load_runs(tmp_path))
    assert labels(table) == (["500", "1000"], ["none", "mixup"]) and table.spec["rows"]["label"] == "training images"
    assert table.spec["baseline"] == "none"
    (tmp_path / "none500" / "config.yaml").unlink()
    assert labels(build_table([run for run in load_runs(tmp_path) if run.config]))[0] == [
        "none, n = 1000",
        "mixup, n = 500",
        "mixup, n = 1000",
    ]


def test_more_methods_than_columns_have_room_are_rows(tmp_path, monkeypatch):
    for mix in ("none", "mixup", "bc"):
        for n in (500, 1000):
            leave(tmp_path / f"{mix}{n}", mix=mix, n=n, table=None)
    runs = load_runs(tmp_path)
    monkeypatch.setattr("mixexp.reporting.entries.MOST_COLUMNS", 3)
    assert labels(build_table(runs)) == (["500", "1000"], ["none", "bc", "mixup"])
    monkeypatch.setattr("mixexp.reporting.entries.MOST_COLUMNS", 2)
    assert len(labels(build_table(runs))[0]) == 6 and labels(build_table(runs))[1] == ["accuracy"]


def test_unequal_classes_have_balanced_accuracy_beside_accuracy(tmp_path):
    for mix, value in (("none", 0.5), ("mixup", 0.6)):
        folder = leave(tmp_path / mix, mix=mix, table=None)
        (folder / "metrics.csv").write_text(f"step,accuracy,balanced_accuracy\n1,{value},{value - 0.2}\n")
        changed(folder, environment={"train_counts": [500, 50]})
    runs = load_runs(tmp_path)
    assert usual_metric(runs) == "balanced_accuracy"
    table = build_table(runs)
    assert cells_of(markdown(table), "Test balanced accuracy and accuracy (%)") == [
        ["none", "30.00 (1)", "50.00 (1)"],
        ["mixup", "40.00 (1)", "60.00 (1)"],
    ]
    assert labels(table)[1] == ["balanced accuracy", "accuracy"]
    for mix in ("none", "mixup"):
        changed(tmp_path / mix, environment={"train_counts": [51, 49]})
    assert labels(build_table(load_runs(tmp_path)))[1] == ["accuracy"]


def test_the_one_entry_without_mixing_is_the_baseline(tmp_path):
    for mix in ("none", "mixup", "bc"):
        leave(tmp_path / mix, mix=mix, table=None)
    runs = load_runs(tmp_path)
    assert build_table(runs).spec["baseline"] == "none" and build_table(runs, baseline="bc").spec["baseline"] == "bc"
    assert build_table([run for run in runs if run.folder.name != "none"]).spec["baseline"] is None


def test_what_differs_in_more_than_mixing_has_no_common_baseline(tmp_path):
    for mix, n in (("none", 100), ("mixup", 100), ("mixup", 500), ("bc", 500)):
        for seed in range(3):
            leave(tmp_path / f"{mix}{n}{seed}", (0.4 + n / 1000 + seed**2 / 100,), mix=mix, n=n, seed=seed, table=None)
    table = build_table(load_runs(tmp_path))
    assert table.spec["baseline"] is None
    assert [(one.ours, one.theirs) for one in contrasts(table)] == [("mixup, n = 100", "none, n = 100")]


def test_all_pairs_can_be_asked_for(tmp_path):
    for mix in ("none", "mixup", "bc"):
        for seed in range(3):
            leave(tmp_path / f"{mix}{seed}", (0.4 + seed**2 / 100,), mix=mix, seed=seed, table=None)
    table = build_table(load_runs(tmp_path), baseline="all")
    assert len(contrasts(table)) == 3 and not baseline_problem(table)

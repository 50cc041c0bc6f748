"""Tables and figures of what probes measured and of other quantities than the table's metric, against values worked out
by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from test_report import TABLE, leave, read

from mixexp.errors import UserError
from mixexp.reporting import figures
from mixexp.reporting.figures.probes import moments
from mixexp.reporting.markdown import markdown
from mixexp.reporting.tables import build_table
from mixexp.reporting.write import write_report
from mixexp.spec.figures import figure_problem
from mixexp.spec.table import table_problems
from mixexp.training.reader import load_run, load_runs


def draw(table, spec):
    """The figure without its caption."""
    return figures.draw(table, spec)[0]


MEASURES: dict[str, Any] = {
    "best": {"metric": "error", "rule": "best"},
    "last": {"metric": "error", "rule": "last"},
    "rotated 20": {"metric": "probe.deformation.accuracy", "where": {"kind": "rotation", "level": 20}},
    "loss": {"metric": "test_loss"},
}
SPEC = {**TABLE, "columns": {"label": "figure", "measures": MEASURES}, "published": {"best": {500: 40.0}}}


def deformation(folder: Path, *values: tuple[int, str, float, float]) -> Path:
    lines = ["step,kind,level,accuracy", *(",".join(map(str, value)) for value in values)]
    (folder / "probe_deformation.csv").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    for seed, (best, last) in enumerate([(0.7, 0.6), (0.8, 0.5)]):
        folder = leave(tmp_path / f"run{seed}", (best, last), seed=seed, table=SPEC)
        early, late = (10, "rotation", 20, 0.9), (20, "rotation", 20.0, 0.25 + seed / 10)
        deformation(folder, early, late, (20, "rotation", 20, 0.35 + seed / 10), (20, "zoom", 20, 0.0))
    return tmp_path


def test_error_is_what_accuracy_leaves(tmp_path):
    run = load_run(leave(tmp_path / "a", (0.25, 0.75)))
    assert run.series("error") == [0.75, 0.25]
    with pytest.raises(UserError, match="no column 'eror'"):
        run.series("eror")


def test_every_measure_has_its_own_metric_rule_and_scale(runs):
    table = build_table(load_runs(runs))
    assert table.values("500", "best") == pytest.approx([30, 20]), "the smallest error of each run, in per cent"
    assert table.values("500", "last") == pytest.approx([40, 50])
    assert table.values("500", "rotated 20") == pytest.approx([30, 40]), (
        "the mean of the last step's rows that fulfil where"
    )
    assert table.values("500", "loss") == pytest.approx([1.0, 1.0]), "losses are not per cent"
    assert table.values("500", "best", "last") == table.values("500", "best"), "a rule of its own holds under any other"
    assert table.values("500", "loss", "best") == table.values("500", "loss", "last") == pytest.approx([1, 1])
    assert table.published("500", "best") == 40
    text = markdown(table)
    assert "| 500 | 25.00 ± 7.07 (2) | 40.00 (−15.00) | 45.00 ± 7.07 (2) | 35.00 ± 7.07 (2) | 1.00 ± 0.00 (2) |" in text
    assert "as labelled" in text


def test_the_files_have_every_measure_of_every_run(runs):
    write_report([runs])
    records = read(runs / "report" / "runs.csv")
    assert [[round(float(r[name]), 6) for name in ("best", "rotated 20")] for r in records] == [[30, 30], [20, 40]]
    tidy = {(r["column"], r["rule"]): r for r in read(runs / "report" / "table.csv")}
    assert tidy["best", "best"]["metric"] == "error" and tidy["best", "best"]["difference"] == "-15.0"
    assert ("best", "last") not in tidy and tidy["rotated 20", "last"]["metric"] == "probe.deformation.accuracy"


def test_a_probe_that_is_missing_costs_its_cell_alone_and_says_so_where_it_is_all(runs):
    (runs / "run0" / "probe_deformation.csv").unlink()
    table = build_table(load_runs(runs))
    assert table.values("500", "rotated 20") == pytest.approx([40]) and len(table.values("500", "last")) == 2
    alone = {**TABLE, "metric": "probe.deformaton.accuracy"}
    leave(runs / "other" / "a", table=alone)
    deformation(runs / "other" / "a", (20, "zoom", 20, 0.5))
    (_, outcome, problem), *_ = build_table(load_runs(runs / "other")).without_result
    assert outcome == "no number" and problem == "there is no probe_deformaton.csv. Did you mean 'deformation'?"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("step,kind,level,accuracy\n", "no row in it"),
        ("step,kind,level,accuracy\n20,rotation,20\n", "more or fewer values"),
        (
            "step,kind,level,accuracy\n20,rotation,20,=1+1\n",
            "has '=1\\+1' in its column accuracy, which is not a number",
        ),
        ("step,kind,accuracy\n20,rotation,0.5\n", "has no column 'level'"),
        ("step,kind,level,accuracy\n20,rotation,40,0.5\n", "has no row with kind rotation, level 20"),
    ],
)
def test_a_damaged_probe_file_is_a_sentence(runs, text, words):
    (runs / "run0" / "probe_deformation.csv").write_text(text)
    with pytest.raises(UserError, match=words):
        load_run(runs / "run0").series("probe.deformation.accuracy", MEASURES["rotated 20"]["where"])


@pytest.mark.parametrize(
    ("axis", "words"),
    [
        ({"label": "x"}, "needs either a key"),
        ({"key": "mix", "measures": MEASURES}, "needs either a key"),
        ({"measures": {"a": {}}}, "needs a metric"),
        ({"measures": {"a": {"metric": "error", "rul": "last"}}}, "no key 'rul'. Did you mean 'rule'?"),
        ({"measures": {"a": {"metric": "error", "rule": "lst"}}}, "a measure's rule is 'lst'"),
    ],
)
def test_what_is_wrong_with_measures(axis, words):
    assert words in table_problems({**TABLE, "columns": axis})["columns"]
    assert "both have measures" in table_problems({**SPEC, "rows": SPEC["columns"]})["columns"]


# --- figures ---


def probe_runs(folder: Path, figure: dict[str, Any]) -> Path:
    """Two mixes, two seeds each, with a file of points that move to the right by a unit every ten steps."""
    table = {**TABLE, "figures": [figure]}
    for mix in ("none", "mixup"):
        for seed in (0, 1):
            run = leave(folder / f"{mix}{seed}", (0.5, 0.6), mix=mix, seed=seed, table=table)
            rows = ["step,layer,loss,x,y,label,weight"]
            for step in (10, 20):
                rows += [
                    f"{step},{layer},{step * (k + 1) + seed},{step / 10},{k},c{k},{k / 2}"
                    for k, layer in enumerate(("stem", "final"))
                ]
            (run / "probe_points.csv").write_text("\n".join(rows) + "\n")
    return folder


def drawn(folder: Path, figure: dict[str, Any]) -> Any:
    assert figure_problem(figure) == ""
    return draw(build_table(load_runs(probe_runs(folder, figure))), figure)


def test_a_panel_an_entry_and_a_line_a_value_over_seeds(tmp_path):
    spec = {
        "file": "f",
        "kind": "probe",
        "probe": "points",
        "x": "step",
        "y": "loss",
        "lines": "layer",
        "each": "columns",
    }
    first, second = drawn(tmp_path, spec).axes
    assert [panel.get_title(loc="left") for panel in (first, second)] == ["mixing: none", "mixing: label-mix"]
    stem, final = first.get_lines()
    assert (stem.get_label(), final.get_label()) == ("stem", "final")
    np.testing.assert_allclose(stem.get_xydata(), [[10, 10.5], [20, 20.5]])
    np.testing.assert_allclose(final.get_xydata(), [[10, 20.5], [20, 40.5]])
    assert len(first.collections) == 2, "a band over the two seeds for each line"


def test_without_lines_the_other_axis_gives_them(tmp_path):
    spec = {
        "file": "f",
        "kind": "probe",
        "probe": "points",
        "x": "step",
        "y": "loss",
        "each": "rows",
        "where": {"layer": "final"},
    }
    (panel,) = drawn(tmp_path, spec).axes
    assert [line.get_label() for line in panel.get_lines()] == ["none", "label-mix"]
    np.testing.assert_allclose(panel.get_lines()[0].get_ydata(), [20.5, 40.5])


def test_points_of_the_last_step_and_of_every_step(tmp_path):
    spec = {"file": "f", "kind": "scatter", "probe": "points", "x": "x", "y": "y", "colour": "label", "each": "columns"}
    panels = drawn(tmp_path / "last", spec).axes
    points = np.concatenate([cloud.get_offsets() for cloud in panels[0].collections])
    np.testing.assert_allclose(points, [[2, 0], [2, 1]])
    assert len(panels) == 2 and panels[0].get_legend_handles_labels()[1] == ["c0", "c1"]
    panels = drawn(tmp_path / "all", {**spec, "panels": "step"}).axes
    assert len(panels) == 4
    assert [panel.collections[0].get_offsets()[0][0] for panel in panels] == [1, 2, 1, 2]


def test_a_figure_without_its_file_is_a_remark_and_the_others_are_drawn(tmp_path):
    spec = {"file": "cloud", "kind": "scatter", "probe": "ponts", "x": "x", "y": "y"}
    probe_runs(tmp_path, spec)
    written = write_report([tmp_path])
    assert not [path for path in written if path.stem == "cloud"]
    assert (
        "Not drawn: figure cloud: there is no probe_ponts.csv. Did you mean 'points'?"
        in (tmp_path / "report/table.md").read_text()
    )


def test_an_animation_has_a_frame_a_step(tmp_path):
    spec = {"file": "moves", "kind": "animation", "probe": "points", "x": "x", "y": "y", "colour": "label"}
    probe_runs(tmp_path, spec)
    written = write_report([tmp_path])
    (gif,) = [path for path in written if path.suffix == ".gif"]
    with Image.open(gif) as image:
        assert image.n_frames == 2
    assert "![moves](moves.gif)" in (tmp_path / "report/table.md").read_text()


@pytest.mark.parametrize(
    ("settings", "steps", "words"),
    [
        ({}, [0, 10, 20], ["epoch 0", "epoch 1", "epoch 2"]), ({"epochs": None, "steps": 20}, [10, 20], ["step 10", "step 20"]),
        ({}, [10, 15], ["step 10", "step 15"]), ({"halves": True}, [10, 20], ["step 10", "step 20"]),
    ],
)  # fmt: skip
def test_a_moment_is_an_epoch_where_all_are_whole(tmp_path, settings, steps, words):
    run = leave(tmp_path / "a", (0.5, 0.6), **{key: value for key, value in settings.items() if key != "halves"})
    if "halves" in settings:
        (run / "metrics.csv").write_text((run / "metrics.csv").read_text().replace("10,1.0", "10,0.5"))
    assert list(moments(load_runs(tmp_path), steps).values()) == words


def test_an_axis_of_epochs_that_a_probe_has_is_whole(tmp_path):
    run = leave(tmp_path / "a", (0.5,))
    (run / "probe_p.csv").write_text("step,epoch,y\n1,2.5,1\n2,5.0,2\n3,7.5,3\n")
    (panel,) = draw(
        build_table(load_runs(tmp_path)), {"file": "f", "kind": "probe", "probe": "p", "x": "epoch", "y": "y"}
    ).axes
    assert all(tick == int(tick) for tick in panel.get_xticks()) and panel.get_lines()[0].get_xdata().tolist() == [
        2.5,
        5,
        7.5,
    ]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"probe": ""}, "kind scatter needs probe"),
        ({"z": 1}, "no key 'z'"),
        ({"each": "cells"}, "each is 'cells'; rows or columns"),
    ],
)
def test_what_is_wrong_with_a_figure_of_a_probe(changes, words):
    assert words in figure_problem({"file": "f", "kind": "scatter", "probe": "p", "x": "x", "y": "y", **changes})


def test_curves_of_some_entries_only(tmp_path):
    spec = {"file": "c", "kind": "curves", "y": ["test_loss"], "by": "columns", "each": "rows", "only": [100]}
    for n in (100, 500):
        leave(tmp_path / f"n{n}", (0.5, 0.6), n=n)
    figure = draw(build_table(load_runs(tmp_path)), spec)
    assert len(figure.axes) == 1


def test_curves_of_a_table_of_measures_are_drawn_once(runs):
    figure = draw(
        build_table(load_runs(runs)),
        {"file": "c", "kind": "curves", "y": ["test_loss"], "by": "columns", "each": "rows"},
    )
    (panel,) = figure.axes
    assert len(panel.get_lines()) == 1 and not figure.legends
    figure = draw(
        build_table(load_runs(runs)),
        {"file": "c", "kind": "curves", "y": ["test_loss"], "by": "rows", "each": "columns"},
    )
    assert len(figure.axes) == 1


def test_runs_of_no_table_that_have_no_accuracy_are_shown_by_what_they_have(tmp_path):
    folder = leave(tmp_path / "a", table=None)
    (folder / "metrics.csv").write_text("step,epoch,lr,d_loss,modes,seconds\n10,1,0.1,0.5,7,1\n")
    table = build_table(load_runs(tmp_path))
    assert table.values("all runs", "modes") == [7] and not table.without_result

"""The figure of the result by what matplotlib holds: points, intervals, runs, bands, order, labels and what is left
out."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from statistics import mean, median, stdev
from typing import Any

import numpy as np
import pytest
from matplotlib.colors import to_hex
from scipy import stats
from test_report import TABLE, leave
from test_report_figures import SPECS, rich, spec_of

from mixexp.errors import UserError
from mixexp.reporting.figures import draw, save, standard, style
from mixexp.reporting.figures.scores import only_what_fits
from mixexp.reporting.markdown import markdown
from mixexp.reporting.tables import Table, build_table
from mixexp.reporting.write import write_report, write_table
from mixexp.spec.table import quantity
from mixexp.training.reader import load_runs

SCORES = {
    (100, "none"): (0.40, 0.42, 0.47), (100, "mixup"): (0.50, 0.56, 0.53), (500, "none"): (0.60, 0.61, 0.65), (500, "mixup"): (0.70, 0.72, 0.77),
}  # fmt: skip
PLACES = {(100, "none"): 0, (100, "mixup"): 0, (500, "none"): 1, (500, "mixup"): 1}


def table_of(folder: Path, **table: Any) -> Table:
    """Two sizes and two mixes with three seeds each."""
    for (n, mix), values in SCORES.items():
        for seed, value in enumerate(values):
            leave(
                folder / f"{n}{mix}{seed}", (value,), n=n, mix=mix, seed=seed, table={**TABLE, "published": {}, **table}
            )
    return build_table(load_runs(folder))


def many(folder: Path, rows: int, columns: int, seeds: int = 1, **table: Any) -> Table:
    """Rows and columns that are called by what they are."""
    values = {f"method number {k}": {"mix": f"m{k}"} for k in range(columns)}
    described = {**TABLE, "published": {}, "columns": {"label": "method", "values": values}, **table}
    for k in range(columns):
        for n in range(1, rows + 1):
            for seed in range(seeds):
                leave(
                    folder / f"{k} {n} {seed}",
                    (0.3 + 0.01 * k + 0.001 * n + 0.002 * seed,),
                    n=n,
                    mix=f"m{k}",
                    seed=seed,
                    table=described,
                )
    return build_table(load_runs(folder))


def scores(table: Table, **options: Any) -> tuple[Any, str]:
    return draw(table, spec_of("scores", **options))


def drawn(panel: Any, gid: str) -> list[Any]:
    return [line.get_xydata() for line in panel.get_lines() if line.get_gid() == gid]


def bands(panel: Any) -> list[tuple[float, float, float, float]]:
    """Left, right, low and high of each."""
    boxes = [patch.get_bbox() for patch in panel.patches if patch.get_gid() == "band"]
    return [(box.x0, box.x1, box.y0, box.y1) for box in boxes]


def interval(values: tuple[float, ...]) -> tuple[float, float]:
    """Student's, worked out anew."""
    reach = stats.t.ppf(0.975, len(values) - 1) * 100 * stdev(values) / len(values) ** 0.5
    return 100 * mean(values) - reach, 100 * mean(values) + reach


# --- numbers ---


def test_each_cell_is_its_mean_with_students_interval_and_its_runs(tmp_path):
    figure, words = scores(table_of(tmp_path))
    (panel,) = figure.axes
    none, mixup = drawn(panel, "score")
    order = [(100, "none"), (500, "none"), (100, "mixup"), (500, "mixup")]
    np.testing.assert_allclose([*none[:, 1], *mixup[:, 1]], [100 * mean(SCORES[key]) for key in order])
    assert [sorted(ends[:, 1]) for ends in drawn(panel, "interval")] == [
        pytest.approx(interval(SCORES[key])) for key in order
    ]
    for points, ends in zip(np.concatenate([none, mixup]), drawn(panel, "interval"), strict=True):
        assert set(ends[:, 0]) == {points[0]}
    assert sorted(np.concatenate(drawn(panel, "run"))[:, 1]) == pytest.approx(
        sorted(100 * value for values in SCORES.values() for value in values)
    )
    assert words.startswith(
        "Test accuracy (%), last evaluation, by images and mixing: means over seeds with 95 % intervals (Student's t; n"
        " = 3); "
    )


def test_entries_lie_in_their_order_and_the_others_beside_each_other_around_them(tmp_path):
    (panel,) = scores(table_of(tmp_path, order={"images": [500, 100], "mixing": ["label-mix", "none"]}))[0].axes
    assert [tick.get_text() for tick in panel.get_xticklabels()] == ["500", "100"] and panel.get_xlabel() == "images"
    first, second = drawn(panel, "score")
    assert first[:, 1] == pytest.approx([73, 53]) and second[:, 1] == pytest.approx([62, 43])
    np.testing.assert_allclose((first[:, 0] + second[:, 0]) / 2, [0, 1])
    assert (first[:, 0] < second[:, 0]).all() and (second[:, 0] - first[:, 0] < 0.5).all()


def test_what_lies_beside_each_other_differs_in_colour_and_marker_and_is_named(tmp_path):
    figure, _ = scores(table_of(tmp_path))
    looks = {(line.get_color(), line.get_marker()) for line in figure.axes[0].get_lines() if line.get_gid() == "score"}
    assert len(looks) == len({colour for colour, _ in looks}) == len({marker for _, marker in looks}) == 2
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["none", "label-mix", "95 % interval of none"]


def test_a_median_of_five_runs_has_no_interval(tmp_path):
    values = (0.3, 0.5, 0.4, 0.9, 0.45)
    for seed, value in enumerate(values):
        leave(tmp_path / str(seed), (value,), seed=seed, table={**TABLE, "statistic": "median"})
    figure, words = scores(build_table(load_runs(tmp_path)))
    (panel,) = figure.axes
    assert drawn(panel, "score")[0][0, 1] == pytest.approx(100 * median(values)) and not drawn(panel, "interval")
    assert len(drawn(panel, "run")[0]) == 5
    assert "medians over seeds (n = 5), without intervals, which need 6 seeds that differ; small dots: runs" in words


def test_runs_are_drawn_one_by_one_up_to_ten(tmp_path):
    for seed in range(11):
        leave(tmp_path / str(seed), (0.5 + seed / 100,), seed=seed)
    (panel,) = scores(build_table(load_runs(tmp_path)))[0].axes
    assert not drawn(panel, "run") and len(drawn(panel, "interval")) == 1


def test_single_runs_have_neither_interval_nor_dots(tmp_path):
    figure, words = scores(many(tmp_path, 2, 2))
    assert (
        not drawn(figure.axes[0], "interval")
        and not drawn(figure.axes[0], "run")
        and len(np.concatenate(drawn(figure.axes[0], "score"))) == 4
    )
    assert words.endswith(": single runs (n = 1).")


def test_a_table_of_one_cell_is_one_point_without_a_legend(tmp_path):
    leave(tmp_path / "a", (0.5,))
    figure, _ = scores(build_table(load_runs(tmp_path)))
    (panel,) = figure.axes
    assert drawn(panel, "score")[0][:, 1].tolist() == [50] and [
        tick.get_text() for tick in panel.get_xticklabels()
    ] == ["500"]
    assert [text.get_text() for legend in figure.legends for text in legend.get_texts()] == ["published (hollow)"]


def test_published_values_are_hollow_at_the_place_of_ours(tmp_path):
    table = table_of(tmp_path, published=TABLE["published"])
    (panel,) = scores(table)[0].axes
    hollow = [line for line in panel.get_lines() if line.get_gid() == "published"]
    assert [line.get_ydata().tolist() for line in hollow] == [[26.79, 44.6], [57.84]] and {
        line.get_markerfacecolor() for line in hollow
    } == {"none"}
    none, mixup = drawn(panel, "score")
    assert hollow[0].get_xdata().tolist() == none[:, 0].tolist() and hollow[1].get_xdata().tolist() == [mixup[1, 0]]
    assert not drawn(scores(table, published=False)[0].axes[0], "published")


def test_an_interval_of_fractions_ends_at_100_per_cent(tmp_path):
    for seed, value in enumerate((0.90, 1.0, 0.97)):
        leave(tmp_path / str(seed), (value,), seed=seed)
    table = build_table(load_runs(tmp_path))
    (panel,) = scores(table)[0].axes
    low, high = interval((0.90, 1.0, 0.97))
    assert high > 105 and low < 90, "Student's t has no limits"
    assert max(drawn(panel, "interval")[0][:, 1]) == 100 and 100 < panel.get_ylim()[1] < 102
    assert f"[{low:.2f}–100.00]" in markdown(table)


# --- baselines ---


def test_a_baseline_beside_others_is_a_band_as_wide_as_they_are(tmp_path):
    figure, words = scores(table_of(tmp_path, baseline="none"))
    expected = [(place - 0.5, place + 0.5, *interval(SCORES[n, "none"])) for place, n in enumerate((100, 500))]
    assert bands(figure.axes[0]) == [pytest.approx(each) for each in expected]
    assert (
        "95 % interval of none" in [text.get_text() for text in figure.legends[0].get_texts()]
        and "the baseline, none" in words
    )


def test_a_baseline_along_the_axis_is_a_band_over_the_whole_panel(tmp_path):
    table = table_of(tmp_path, baseline="none")
    (panel,) = scores(table, by="rows")[0].axes
    assert bands(panel) == [pytest.approx((-0.5, 1.5, *interval(SCORES[n, "none"]))) for n in (100, 500)]
    assert [to_hex(patch.get_facecolor()) for patch in panel.patches] == [style.colour(k).lower() for k in (0, 1)]


def test_a_baseline_without_an_interval_is_a_line(tmp_path):
    (panel,) = scores(many(tmp_path, 1, 3, baseline="method number 1"))[0].axes
    assert not bands(panel) and [line.tolist() for line in drawn(panel, "baseline")] == [
        [[-0.5, pytest.approx(31.1)], [2.5, pytest.approx(31.1)]]
    ]


def test_a_baseline_without_the_other_setting_is_the_same_everywhere(tmp_path):
    described = {**TABLE, "published": {}, "rows": {"label": "alpha", "key": "alpha"}, "baseline": "none"}
    for seed, value in enumerate((0.4, 0.5, 0.45)):
        leave(tmp_path / f"n{seed}", (value,), seed=seed, table=described)
        for alpha in (0.2, 1.0):
            leave(tmp_path / f"m{alpha}{seed}", (value + 0.1,), mix="mixup", alpha=alpha, seed=seed, table=described)
    (panel,) = scores(build_table(load_runs(tmp_path)))[0].axes
    assert bands(panel) == [pytest.approx((-0.5, 2.5, *interval((0.4, 0.5, 0.45))))]


def test_the_axis_of_the_baseline_is_beside_each_other(tmp_path):
    figure, _ = scores(table_of(tmp_path, baseline="500"))
    assert figure.axes[0].get_xlabel() == "mixing" and "images 500" in [
        text.get_text() for text in figure.legends[0].get_texts()
    ]


# --- what gives no number ---


def test_cells_whose_runs_have_no_number_are_crossed_and_unlike_runs_left_out(tmp_path):
    leave(tmp_path / "a", (0.5,), n=100)
    leave(tmp_path / "b", (0.6,), n=100, mix="mixup", outcome="diverged")
    leave(tmp_path / "c", (0.6,), n=500, batch_size=8)
    leave(tmp_path / "d", (0.7,), n=500, batch_size=16)
    leave(tmp_path / "e", (0.7,), n=500, mix="mixup")
    figure, words = scores(build_table(load_runs(tmp_path)))
    (panel,) = figure.axes
    assert [sorted(each[:, 1]) for each in drawn(panel, "score")] == [[50], [70]]
    (cross,) = drawn(panel, "lost")
    _, mixup = drawn(panel, "score")
    assert 0 < cross[0, 0] < 0.5 < mixup[0, 0] and "×: no run has a result" in words


def test_without_any_number_there_is_a_reason(tmp_path):
    leave(tmp_path / "a", (0.5,), batch_size=8)
    leave(tmp_path / "b", (0.6,), batch_size=16)
    with pytest.raises(UserError, match="no cell has a number"):
        scores(build_table(load_runs(tmp_path)))


# --- measures ---


def test_measures_have_a_panel_each_with_their_own_unit_and_rule(tmp_path):
    measures = {
        "accuracy": {"metric": "accuracy"},
        "loss": {"metric": "test_loss"},
        "best": {"metric": "error", "rule": "best", "better": "lower"},
    }
    described = {
        **TABLE,
        "published": {},
        "rows": {"label": "mixing", "key": "mix"},
        "columns": {"label": "", "measures": measures},
    }
    for mix, values in (("none", (0.3, 0.6, 0.5)), ("mixup", (0.4, 0.7, 0.6))):
        leave(tmp_path / mix, values, mix=mix, table=described)
    figure, words = scores(build_table(load_runs(tmp_path)))
    assert [panel.get_title(loc="left") for panel in figure.axes] == list(measures)
    labels = ["test accuracy (%), last evaluation", "test loss, last evaluation", "test error (%), best on test"]
    assert [panel.get_ylabel() for panel in figure.axes] == labels
    assert [drawn(panel, "score")[0][:, 1].tolist() for panel in figure.axes] == [
        pytest.approx(each) for each in ([50, 60], [2 / 3] * 2, [40, 30])
    ]
    assert words.startswith("Accuracy, loss and best, each by its own selection rule")


# --- size and letters ---


def overlaps(figure: Any) -> list[str]:
    """Labels of entries that touch each other."""
    figure.draw_without_rendering()
    touching = []
    for panel in figure.axes:
        for axis in (panel.xaxis, panel.yaxis):
            boxes = [
                (label.get_text(), label.get_window_extent()) for label in axis.get_ticklabels() if label.get_text()
            ]
            touching += [first for (first, a), (_, b) in pairwise(boxes) if a.overlaps(b)]
    return touching


@pytest.mark.parametrize("rows, columns", [(1, 2), (1, 6), (1, 30), (2, 2), (3, 30), (4, 11), (12, 12), (20, 1)])
def test_no_two_labels_touch_whatever_the_table(tmp_path, rows, columns):
    figure, _ = scores(many(tmp_path, rows, columns))
    assert (
        overlaps(figure) == []
        and sum(len(each) for panel in figure.axes for each in drawn(panel, "score")) == rows * columns
    )
    assert figure.get_figwidth() in (style.ONE_COLUMN, style.TWO_COLUMNS)


def test_long_labels_lie_along_y_from_the_top(tmp_path):
    names = [f"mixing of the inputs in the way number {k}" for k in range(6)]
    described = {
        **TABLE,
        "published": {},
        "columns": {"label": "mixing", "values": {name: {"mix": f"m{k}"} for k, name in enumerate(names)}},
    }
    for k in range(6):
        leave(tmp_path / str(k), (0.4 + k / 10,), mix=f"m{k}", table=described)
    figure, _ = scores(build_table(load_runs(tmp_path)))
    (panel,) = figure.axes
    assert panel.get_xlabel() == "test accuracy (%)" and panel.get_ylabel() == "mixing" and panel.yaxis_inverted()
    assert [label.get_text().replace("\n", " ") for label in panel.get_yticklabels()] == names and overlaps(
        figure
    ) == []
    np.testing.assert_allclose(drawn(panel, "score")[0], [[40 + 10 * k, k] for k in range(6)])


def test_of_hundreds_of_entries_some_from_the_first_to_the_last_are_drawn_with_the_baseline(tmp_path):
    table = many(tmp_path, 1, 130, baseline="method number 77")
    spec, *_ = standard(table)
    figure, words = draw(table, spec)
    points = drawn(figure.axes[0], "score")[0]
    assert spec["kind"] == "scores" and len(points) == 41 and "(41 of 130 cells)" in words
    assert {"method number 0", "method number 77", "method number 129"} <= set(spec["only"]) and overlaps(figure) == []
    assert only_what_fits(many(tmp_path / "few", 3, 30)) == {}


@pytest.mark.parametrize("measures", [1, 3, 12])
def test_measures_of_hundreds_of_entries_are_few_enough_to_be_drawn(tmp_path, measures):
    shown = {f"measure {k}": {"metric": "accuracy"} for k in range(measures)}
    rows = {"label": "images", "key": "subset.n"}
    for n in range(1, 61):
        described = {
            **TABLE,
            "published": {},
            "rows": rows,
            "columns": {"label": "", "measures": shown},
            "baseline": "17",
        }
        leave(tmp_path / str(n), (0.5,), n=n, table=described)
    table = build_table(load_runs(tmp_path))
    figure, _ = draw(table, standard(table)[0])
    counts = {len(drawn(panel, "score")[0]) for panel in figure.axes}
    assert len(figure.axes) == measures and len(counts) == 1 and measures * max(counts) <= 400 and max(counts) > 30


def test_too_many_points_are_refused_and_unknown_names_too(tmp_path):
    table = many(tmp_path, 21, 20)
    with pytest.raises(UserError, match="420 points; 400 are the most, so name some entries of the table with `only`"):
        scores(table)
    assert sum(len(each) for panel in draw(table, standard(table)[0])[0].axes for each in drawn(panel, "score")) <= 160
    with pytest.raises(UserError, match=r"no row or column 'method number'.* Did you mean"):
        scores(table, only=["method number"])
    figure, words = scores(table, only=["method number 3", "2", "7"])
    assert len(drawn(figure.axes[0], "score")[0]) == 2 and "(2 of 420 cells)" in words


# --- in a report ---


def test_the_result_is_the_first_figure_of_every_report_but_where_the_table_asks_for_it(tmp_path):
    table = table_of(tmp_path / "runs", figures=[{"file": "scores", "kind": "curves"}])
    write_report([tmp_path / "runs"])
    shown = [
        line
        for line in (tmp_path / "runs" / "report" / "table.md").read_text(encoding="utf-8").splitlines()
        if line.startswith("![")
    ]
    assert shown[:2] == ["![scores_2](scores_2.png)", "![scores](scores.png)"], (
        "a file that the table names is called so"
    )
    asked = {**table.spec, "figures": [{"file": "mine", "kind": "scores"}]}
    assert "scores" not in [spec["kind"] for spec in standard(Table(asked, *list(vars(table).values())[1:11]))]
    alone = [path.name for path in write_table(table, tmp_path / "out") if path.suffix == ".png"]
    assert alone == ["scores_2.png", "scores.png"], (
        "of the figures that a table does not ask for, it has this one alone"
    )


def test_the_same_scores_give_the_same_bytes(tmp_path):
    table = table_of(tmp_path, baseline="none")
    first, second = (
        {path.suffix: path.read_bytes() for path in save(scores(table)[0], tmp_path / name)} for name in ("one", "two")
    )
    assert first == second


def test_recall_by_group_has_a_panel_each_with_one_range(tmp_path):
    for seed, hits in enumerate((9, 8, 7)):
        counts = [[hits, 10 - hits, 0], [5, 5, 0], [0, 8, 2]]
        rich(tmp_path / str(seed), counts, (500, 50, 5), seed=seed)
    figure, words = draw(build_table(load_runs(tmp_path)), spec_of("by_group"))
    assert [panel.get_title(loc="left") for panel in figure.axes] == ["many (> 100)", "medium (20–100)", "few (< 20)"]
    assert [drawn(panel, "score")[0][0, 1] for panel in figure.axes] == pytest.approx([80, 50, 20])
    assert len({panel.get_ylim() for panel in figure.axes}) == 1 and {panel.get_ylabel() for panel in figure.axes} == {
        "test recall (%)"
    }
    assert "groups: many > 100, medium 20–100, few < 20 training images" in words
    assert {"scores", "by_group"} <= SPECS.keys()


# --- axes ---


@pytest.mark.parametrize(
    "metric, words",
    [
        ("accuracy", "test accuracy (%)"), ("balanced_accuracy", "test balanced accuracy (%)"), ("macro_f1", "test macro F1 (%)"),
        ("error", "test error (%)"), ("test_loss", "test loss"), ("train_loss", "training loss"), ("val_accuracy", "validation accuracy (%)"),
        ("val_macro_f1", "validation macro F1 (%)"), ("probe.by_class.recall", "recall (%)"), ("probe.training_error.train_error", "train error (%)"),
    ],
)  # fmt: skip
def test_an_axis_names_the_part_of_the_data(metric, words):
    assert quantity({"metric": "accuracy", "scale": 100}, metric) == words


def test_a_part_that_is_no_per_cent_says_so():
    assert quantity({"metric": "accuracy", "scale": 1}, "accuracy") == "test accuracy"
    assert quantity({"metric": "error", "scale": 10}, "error") == "test error (× 10)"


def curve(folder: Path, epochs: list[float]) -> Any:
    run = leave(folder, (0.5,) * len(epochs))
    lines = [
        "step,epoch,lr,train_loss,test_loss,accuracy,macro_f1,seconds",
        *(f"{k},{epoch},0.1,1,1,0.5,0.5,1" for k, epoch in enumerate(epochs, 1)),
    ]
    (run / "metrics.csv").write_text("\n".join(lines) + "\n")
    figure = draw(build_table(load_runs(folder.parent)), spec_of("curves", y="accuracy"))[0]
    figure.draw_without_rendering()
    (panel,) = figure.axes
    assert panel.get_xlabel() == "epoch"
    low, high = panel.get_xlim()
    return [
        (tick, label.get_text())
        for tick, label in zip(panel.get_xticks(), panel.get_xticklabels(), strict=True)
        if low <= tick <= high
    ]


@pytest.mark.parametrize(
    "epochs", [[7.5, 15, 22.5, 30], [2.5, 5], [0.5, 1], [7.2, 7.8], [1], [1, 2, 3], [100, 200, 400], [0.25, 0.5, 1.25]]
)
def test_ticks_of_epochs_are_whole(tmp_path, epochs):
    found = curve(tmp_path / "a", epochs)
    assert found and all(tick == int(tick) and label == str(int(tick)) for tick, label in found)


def test_parts_of_the_first_epoch_are_parts(tmp_path):
    assert any(tick != int(tick) for tick, _ in curve(tmp_path / "a", [0.2, 0.4, 0.8]))

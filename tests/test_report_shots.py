"""Recall of classes with many, medium and few training images: the groups, the numbers against naive ones, the sheet
and the CSV."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import pytest
from test_report import TABLE, leave, read
from test_report_figures import rich

from mixexp.metrics import by_limits, by_thirds
from mixexp.reporting.figures import draw, standard
from mixexp.reporting.runs import uneven
from mixexp.reporting.shots import records, sheet, shots, sizes
from mixexp.reporting.tables import Table, build_table
from mixexp.reporting.write import write_report
from mixexp.training.reader import load_run, load_runs

TRAIN = (500, 101, 100, 20, 19, 0)
NAMES = tuple("abcdef")


def matrix(*hits: int, total: int = 20) -> list[list[int]]:
    """So many test images of each class right, the others taken for the next class."""
    rows = [[0] * len(hits) for _ in hits]
    for k, right in enumerate(hits):
        rows[k][k] = right
        rows[k][(k + 1) % len(hits)] += total - right
    return rows


def of(folder: Path) -> Table:
    return build_table(load_runs(folder))


def naive(folder: Path, group: range) -> list[float]:
    """Mean recall in per cent over the classes at these places, a number for each run, from the files alone."""
    found = []
    for path in sorted(folder.glob("*/confusion.csv")):
        with path.open(newline="") as file:
            _, *rows = csv.reader(file)
        recalls = [100 * int(row[1 + k]) / sum(map(int, row[1:])) for k, row in enumerate(rows)]
        found.append(mean(recalls[k] for k in group))
    return found


def test_the_limits_are_more_than_100_and_fewer_than_20():
    assert by_limits([101, 100, 20, 19, 0]) == ["many", "medium", "medium", "few", "few"]


@pytest.mark.parametrize(
    "counts, groups",
    [
        ([9, 8, 7, 6, 5, 4], "many many medium medium few few"),
        ([4, 9, 5, 8, 6, 7], "few many few many medium medium"),
        ([900, 800, 700, 600], "many medium medium few"),  # the middle places are 0.5, 1.5, 2.5 and 3.5 of 4
        ([5000] * 5 + [500] * 5, "many many many many many few few few few few"),
        ([5000] * 9 + [500], "many " * 9 + "few"),
        ([5000] + [500] * 9, "many " + "few " * 9),
        ([600, 500], "many few"),
        ([9, 8, 8, 7, 6, 5], "many medium medium medium few few"),  # the middle place of 8 is 2 of 6, a third
        ([9, 8, 7, 6, 6, 5], "many many medium medium medium few"),  # that of 6 is 4 of 6, two thirds
    ],
)
def test_thirds_keep_classes_of_one_size_together(counts, groups):
    assert by_thirds(counts) == groups.split()


def test_each_cell_has_the_mean_and_sd_over_seeds_of_each_group(tmp_path):
    hits = [(20, 18, 15, 9, 4, 0), (19, 19, 13, 8, 2, 1), (20, 17, 16, 11, 3, 0)]
    for seed, each in enumerate(hits):
        rich(tmp_path / str(seed), matrix(*each), TRAIN, NAMES, seed=seed)
    table = of(tmp_path)
    found = shots(table)
    assert not found.thirds and found.classes == {("500", "none"): {"many": [2] * 3, "medium": [2] * 3, "few": [2] * 3}}
    expected = {
        "many": naive(tmp_path, range(2)),
        "medium": naive(tmp_path, range(2, 4)),
        "few": naive(tmp_path, range(4, 6)),
    }
    (cell,) = found.cells.values()
    for group, values in expected.items():
        assert cell[group].values == pytest.approx(values) and cell[group].ours == pytest.approx(mean(values))
        assert cell[group].spread == pytest.approx(stdev(values)) and cell[group].interval.holds(mean(values))
    printed = sheet(table)
    assert printed.head == [
        "images",
        "mixing",
        "many (> 100; 2 classes)",
        "medium (20–100; 2 classes)",
        "few (< 20; 2 classes)",
    ]
    assert printed.rows == [
        ["500", "none", *(f"{mean(values):.2f} ± {stdev(values):.2f} (3)" for values in expected.values())]
    ]
    assert "more than 100 training images of the class, medium: 20 to 100, few: fewer than 20" in printed.legend


def test_the_file_has_a_line_for_each_cell_and_group(tmp_path):
    for mix in ("none", "mixup"):
        for seed in (0, 1):
            rich(tmp_path / f"{mix}{seed}", matrix(20, 18, 15, 9 + seed, 4, 0), TRAIN, NAMES, mix=mix, seed=seed)
    written = {path.name for path in write_report([tmp_path])}
    rows = read(tmp_path / "report" / "by_group.csv")
    assert "by_group.csv" in written and len(rows) == 6
    assert [(row["column"], row["group"], row["limits"]) for row in rows[:3]] == [
        ("none", "many", "> 100"), ("none", "medium", "20–100"), ("none", "few", "< 20"),
    ]  # fmt: skip
    medium = rows[1]  # 15 of 20 and 9 or 10 of 20
    assert [float(medium[key]) for key in ("recall", "min", "max", "n", "classes")] == [61.25, 60, 62.5, 2, 2]
    assert float(medium["spread"]) == pytest.approx(stdev([60, 62.5]), abs=1e-4) and medium["interval_low"] == ""
    assert {row["classes"] for row in rows} == {"2"}, "a whole number"
    text = (tmp_path / "report" / "table.md").read_text(encoding="utf-8")
    heading = (
        "## Recall of classes with many, medium and few training images (%), last evaluation, mean ± sd over seeds"
    )
    assert text.index("## The selection rules side by side") < text.index(heading) and "61.25 ± 1.77 (2)" in text
    page = (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    assert "Recall of classes with many, medium and few" in page and "by_group.csv" in page


def test_where_a_run_has_one_group_alone_all_have_thirds(tmp_path):
    rich(tmp_path / "a", matrix(20, 10, 5), (5000, 900, 300))
    rich(tmp_path / "b", matrix(20, 10, 5), (5000, 90, 3), mix="mixup")
    table = of(tmp_path)
    assert shots(table).thirds and list(shots(table).limits.values()) == [
        "largest third",
        "middle third",
        "smallest third",
    ]
    assert sheet(table).rows == [
        ["500", mixing, "100.00 (1)", "50.00 (1)", "25.00 (1)"] for mixing in ("none", "label-mix")
    ]
    assert "in thirds by their training images" in sheet(table).legend


def test_a_class_without_test_images_counts_in_no_group(tmp_path):
    rich(tmp_path / "a", [[10, 0, 0], [5, 5, 0], [0, 0, 0]], (5000, 3000, 3))
    assert {group: cell.values for group, cell in next(iter(shots(of(tmp_path)).cells.values())).items()} == {
        "many": [75],
        "medium": [],
        "few": [],
    }
    assert sheet(of(tmp_path)).head == ["images", "mixing", "many (> 100; 2 classes)"]


@pytest.mark.parametrize(
    "change",
    [
        {"train": (400, 400, 400)}, {"train": (670, 600, 540)}, {"train": (95, 104, 101)}, {"train": (400, 40)}, {"train": ("a", 40, 4)},
    ],
)  # fmt: skip
def test_classes_of_about_a_size_and_unknown_ones_have_no_groups(tmp_path, change: dict[str, Any]):
    rich(tmp_path / "a", **change)
    table = of(tmp_path)
    assert (
        shots(table) is None
        and sheet(table) is None
        and records(table) == []
        and "by_group" not in [spec["kind"] for spec in standard(table)]
    )
    write_report([tmp_path])
    assert not (tmp_path / "report" / "by_group.csv").exists()


def test_a_report_of_runs_without_groups_takes_an_earlier_file_away(tmp_path):
    run = rich(tmp_path / "a")
    write_report([tmp_path])
    assert (tmp_path / "report" / "by_group.csv").exists()
    (run / "confusion.csv").write_text("broken")
    write_report([tmp_path])
    assert not (tmp_path / "report" / "by_group.csv").exists()


def test_runs_without_a_result_or_a_matrix_and_unlike_runs_count_in_no_cell(tmp_path):
    rich(tmp_path / "a", matrix(20, 10, 5), seed=0)
    rich(tmp_path / "b", matrix(0, 0, 0), seed=1, outcome="diverged")
    (rich(tmp_path / "c", matrix(0, 0, 0), seed=2) / "confusion.csv").unlink()
    rich(tmp_path / "d", mix="mixup", batch_size=8)
    rich(tmp_path / "e", mix="mixup", batch_size=16)
    leave(tmp_path / "f", seed=3)
    assert {place: cell["many"].values for place, cell in shots(of(tmp_path)).cells.items()} == {("500", "none"): [100]}


def test_runs_without_a_matrix_are_counted_in_a_remark(tmp_path):
    for seed in range(3):
        run = rich(tmp_path / str(seed), matrix(20, 10, 5), seed=seed)
        if seed:
            (run / "confusion.csv").unlink()
    remark = "The recall by group is missing in 2 of 3 runs with unequal classes, which have no confusion.csv."
    assert remark in of(tmp_path).remarks
    (tmp_path / "0" / "confusion.csv").unlink()
    all_gone = "The recall by group is missing: 3 runs have no confusion.csv."
    assert all_gone in of(tmp_path).remarks
    write_report([tmp_path])
    assert all_gone in (tmp_path / "report" / "table.md").read_text(encoding="utf-8")


def test_runs_of_equal_classes_without_a_matrix_have_no_remark(tmp_path):
    (rich(tmp_path / "a", train=(400, 400, 400)) / "confusion.csv").unlink()
    rich(tmp_path / "b", seed=1)
    (rich(tmp_path / "c", seed=2, outcome="diverged") / "confusion.csv").unlink()
    assert not [remark for remark in of(tmp_path).remarks if "confusion.csv" in remark]


def test_measures_of_the_same_runs_have_one_line(tmp_path):
    columns = {"label": "", "measures": {"accuracy": {"metric": "accuracy"}, "loss": {"metric": "test_loss"}}}
    for mix in ("none", "mixup"):
        described = {**TABLE, "rows": {"label": "mixing", "key": "mix"}, "columns": columns, "published": {}}
        rich(tmp_path / mix, matrix(20, 10, 5), mix=mix, table=described)
    assert [row[0] for row in sheet(of(tmp_path)).rows] == ["none", "mixup"]


def test_per_cent_have_two_digits_in_a_table_of_another_unit(tmp_path):
    for mix in ("none", "mixup"):
        rich(
            tmp_path / mix,
            matrix(20, 10, 5),
            mix=mix,
            table={**TABLE, "metric": "test_loss", "scale": 1, "decimals": 4, "published": {}},
        )
    assert sheet(of(tmp_path)).rows[0] == ["none", "100.00 (1)", "50.00 (1)", "25.00 (1)"]


def test_groups_that_lie_apart_are_marked_and_named_in_the_figure_by_class(tmp_path):
    rich(tmp_path / "a", matrix(20, 18, 15, 9, 4, 0), (500, 101, 100, 20, 19, 3), NAMES)
    figure, words = draw(of(tmp_path), {"file": "f", "kind": "per_class"})
    (panel,) = figure.axes
    assert [line.get_xdata()[0] for line in panel.get_lines() if line.get_gid() == "between"] == [100, 20]
    named = [each.get_text() for each in panel.texts]
    assert named == ["many\n(> 100)", "medium\n(20–100)", "few\n(< 20)"]
    x = [each.get_position()[0] for each in panel.texts]
    assert x == sorted(x, reverse=True) and max(panel.get_yticks()) <= 100
    assert "groups: many > 100, medium 20–100, few < 20 training images" in words


def test_thirds_are_marked_between_the_sizes_and_not_at_all_where_they_overlap(tmp_path):
    rich(tmp_path / "a", matrix(20, 10, 5), (5000, 900, 400))
    (panel,) = draw(of(tmp_path), {"file": "f", "kind": "per_class"})[0].axes
    between = [line.get_xdata()[0] for line in panel.get_lines() if line.get_gid() == "between"]
    assert between == pytest.approx([(5000 * 900) ** 0.5, (900 * 400) ** 0.5])
    rich(tmp_path / "b", matrix(20, 10, 5), (300, 200, 130), mix="mixup")
    (panel,) = draw(of(tmp_path), {"file": "f", "kind": "per_class"})[0].axes
    assert not [line for line in panel.get_lines() if line.get_gid() == "between"] and not panel.texts


def test_the_group_of_the_largest_classes_is_named_where_it_has_little_room(tmp_path):
    rich(tmp_path / "a", matrix(20, 18, 15, 9, 4, 0), (660, 650, 640, 630, 130, 120), NAMES)
    (panel,) = draw(of(tmp_path), {"file": "f", "kind": "per_class"})[0].axes
    assert [(each.get_text(), each.get_ha()) for each in panel.texts] == [
        ("many", "left"),
        ("medium", "center"),
        ("few", "center"),
    ]


def test_the_sizes_of_a_group_are_those_of_all_runs(tmp_path):
    rich(tmp_path / "a", matrix(20, 10, 5), (500, 50, 5), seed=0)
    rich(tmp_path / "b", matrix(20, 10, 5), (600, 40, 4), seed=1)
    table = of(tmp_path)
    assert sizes(table, table.runs) == {"many": [500, 600], "medium": [40, 50], "few": [4, 5]}


def test_classes_differ_by_more_than_chance_and_more_than_a_quarter(tmp_path):
    def run(*counts: Any) -> Any:
        folder = tmp_path / "_".join(map(str, counts))
        leave(folder)
        (folder / "environment.json").write_text(json.dumps({"train_counts": list(counts)}))
        return load_run(folder)

    assert uneven(run(400, 40)) and uneven(run(5000, 3900)) and uneven(run(30, 0))
    assert not uneven(run(5000, 4001)) and not uneven(run(13, 10, 9)) and not uneven(run(5)) and not uneven(run("a", 1))

"""Tables and figures from run folders written by hand, against values worked out by hand."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from mixexp.errors import UserError
from mixexp.metrics import select
from mixexp.reporting import figures
from mixexp.reporting.csv_files import tidy
from mixexp.reporting.markdown import markdown
from mixexp.reporting.tables import build_table, build_tables, reductions
from mixexp.reporting.write import distinct_names, write_report
from mixexp.settings import comparable, lookup
from mixexp.spec.figures import figure_problem
from mixexp.spec.table import table_problems
from mixexp.training import reader
from mixexp.training.reader import load_run, load_runs


def draw(table, spec):
    """The figure without its caption."""
    return figures.draw(table, spec)[0]


SCRIPT = Path(__file__).resolve().parent.parent / "scripts" / "plot.py"

TABLE: dict[str, Any] = {
    "title": "little data",
    "source": "small_data_mixup, one seed",
    "metric": "accuracy",
    "scale": 100,
    "decimals": 2,
    "better": "higher",
    "rule": "last",
    "statistic": "mean",
    "rows": {"label": "images", "key": "subset.n"},
    "columns": {"label": "mixing", "values": {"none": {"mix": "none"}, "label-mix": {"mix": "mixup"}}},
    "published": {"none": {500: 44.6, 100: 26.79}, "label-mix": {500: 57.84}},
    "notes": ["one note"],
    "figures": [],
}
AGAINST = {
    "file": "accuracy",
    "kind": "against",
    "x": "subset.n",
    "y": "accuracy",
    "by": "columns",
    "x_label": "images",
    "published": True,
}
CURVES = {"file": "curves", "kind": "curves", "y": ["train_loss", "test_loss"], "by": "columns", "each": "rows"}


def leave(
    folder: Path,
    accuracies: tuple[float, ...] = (0.5,),
    *,
    n: int = 500,
    mix: str = "none",
    seed: int = 0,
    table: dict[str, Any] | None = TABLE,
    outcome: str | None = "finished",
    differs: dict[str, list[Any]] | None = None,
    **settings: Any,
) -> Path:
    """A run folder as a run leaves it, with one evaluation for each accuracy."""
    folder.mkdir(parents=True)
    choices = {"dataset": "digits", "subset": "head", "mix": mix, "mix_layer": None if mix == "none" else "input"}
    alpha = None if mix == "none" else 1.0
    config = {
        "name": "little",
        "seed": seed,
        "data_seed": 0,
        "alpha": alpha,
        "epochs": 30,
        "steps": None,
        "choices": choices,
    }
    config |= {"subset": {"_target_": "x.Head", "n": n}, "mix": {"_target_": f"x.{mix}"}, "table": table} | settings
    (folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False, allow_unicode=True), encoding="utf-8")
    (folder / "environment.json").write_text(
        json.dumps({"device_name": "a chip", "differs_from_experiment": differs or {}})
    )
    lines = ["step,epoch,lr,train_loss,test_loss,accuracy,macro_f1,seconds"]
    lines += [
        f"{10 * i},{float(i)},0.1,{1 / i},{2 / i},{value},{value},{i}" for i, value in enumerate(accuracies, start=1)
    ]
    (folder / "metrics.csv").write_text("\n".join(lines) + "\n")
    if outcome:
        last = {"accuracy": 0.5, "macro_f1": 0.5}  # which the report does not read: it selects from the CSV
        (folder / "result.json").write_text(json.dumps({"outcome": outcome, "seconds": 1.5, "steps": 20, "last": last}))
    return folder


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    """Two rows, two columns, three seeds in one cell, and one run of each kind that gives no number."""
    for seed, last in enumerate((0.40, 0.42, 0.47)):
        leave(tmp_path / f"n{seed}", (0.1, 0.5 + seed / 100, last), seed=seed)
    leave(tmp_path / "m0", (0.2, 0.56), mix="mixup")
    leave(tmp_path / "s0", (0.25, 0.30), n=100)
    leave(tmp_path / "x_diverged", (0.2, 0.9), n=100, seed=1, outcome="diverged")
    (leave(tmp_path / "x_failed", n=100, seed=2, outcome=None) / "error.txt").write_text(
        "Traceback:\n  File\nRuntimeError: out | of\n"
    )
    leave(tmp_path / "x_unfinished", n=100, mix="mixup", outcome=None)
    (leave(tmp_path / "x_damaged", seed=3) / "metrics.csv").write_text("step,accuracy\n1,0.9\n2\n")
    leave(tmp_path / "x_stray", mix="bc")
    return tmp_path


def read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def cells_of(text: str, heading: str) -> list[list[str]]:
    """The body of the Markdown table under the heading that begins so; bold numbers are as others."""
    lines = text.split(f"\n## {heading}", 1)[1].splitlines()[2:]
    body = lines[: lines.index("")] if "" in lines else lines
    return [[cell.strip().replace("**", "") for cell in line.strip("|").split(" | ")] for line in body[2:]]


def test_headline_table_worked_out_by_hand(sweep):
    text = markdown(build_tables(load_runs(sweep))[0])
    assert text.startswith(
        "# little data\n\nThe first 100 or 500 training samples of digits: mixing at the input, α 1, 30 epochs, seeds 0 to 3; the"
        " cells of the table differ in images and mixing.\n\nCompared with: small_data_mixup, one seed\n\n"
    )
    assert "## Test accuracy (%) at the last evaluation, mean ± sd over seeds (number of runs)" in text
    assert "| images | none | none, published | label-mix | label-mix, published |" in text
    # (40 + 42 + 47) / 3 = 43; squares 9 + 1 + 16 over 2 is 13, whose root is 3.61.
    assert cells_of(text, "Test accuracy (%) at") == [
        ["100", "30.00 (1; 1 diverged)", "26.79 (+3.21)", "1 unfinished", ""],
        ["500", "43.00 ± 3.61 (3)", "44.60 (−1.60)", "56.00 (1)", "57.84 (−1.84)"],
    ]
    assert cells_of(text, "The selection rules side by side") == [
        ["100", "none", "30.00 (1; 1 diverged)", "30.00 (1; 1 diverged)"],
        ["500", "none", "43.00 ± 3.61 (3)", "51.00 ± 1.00 (3)"],
        ["500", "label-mix", "56.00 (1)", "56.00 (1)"],
    ]
    assert "- one note" in text and "Reduced" not in text


def test_runs_without_a_number_are_listed_first_with_the_reason(sweep):
    text = markdown(build_tables(load_runs(sweep))[0])
    assert "6 of 10 runs have a result, on a chip." in text
    assert cells_of(text, "Without a result: 4 of 10 runs") == [
        ["failed", "x_failed", "100 / none, seed 2", "RuntimeError: out \\| of"],
        ["diverged", "x_diverged", "100 / none, seed 1", "last evaluation at step 20"],
        ["damaged", "x_damaged", "500 / none, seed 3", "metrics.csv cannot be read: line 3 has 1 values for 2 columns"],
        ["unfinished", "x_unfinished", "100 / label-mix, seed 0", "no result.json; last evaluation at step 10"],
    ]
    assert "## In no row or column: 1 of 10 runs\n\n- x_stray (mix=bc, subset.n=500)" in text
    assert text.index("Without a result") < text.index("In no row") < text.index("at the last evaluation, mean")


def test_csv_files_worked_out_by_hand(sweep):
    write_report([sweep])
    records = {(r["row"], r["column"], r["rule"]): r for r in read(sweep / "report" / "table.csv")}
    assert len(records) == 3 * 2
    cell = records["500", "none", "last"]
    assert (cell["metric"], cell["ours"], cell["spread"], cell["n"]) == ("accuracy", "43.0", "3.605551", "3")
    assert (cell["published"], cell["difference"], cell["min"], cell["max"]) == ("44.6", "-1.6", "40.0", "47.0")
    assert records["500", "none", "best"]["ours"] == "51.0"
    assert records["100", "none", "last"]["spread"] == ""
    runs = {r["folder"]: r for r in read(sweep / "report" / "runs.csv")}
    assert len(runs) == 10
    assert {name: r["outcome"] for name, r in runs.items() if name.startswith("x")} == {
        "x_diverged": "diverged",
        "x_failed": "failed",
        "x_unfinished": "unfinished",
        "x_damaged": "damaged",
        "x_stray": "finished",
    }
    first = runs["n1"]
    assert (first["mix"], first["subset.n"], first["seed"], first["seconds"]) == ("none", "500", "1", "1.5")
    assert [first[f"accuracy_{rule}"] for rule in ("last", "best")] == [
        "42.0",
        "51.0",
    ] and "accuracy_median_last_10" not in first
    assert runs["x_diverged"]["accuracy_last"] == ""


def test_another_rule_is_named_wherever_numbers_are(sweep):
    table = build_tables(load_runs(sweep), "best")[0]
    text = markdown(table)
    assert cells_of(text, "Test accuracy (%), best on test, mean")[1][1] == "51.00 ± 1.00 (3)"
    assert "These numbers are by best on test, instead of last evaluation, which is the table's rule." in text
    assert draw(table, AGAINST).axes[0].get_ylabel() == "test accuracy (%), best on test"
    with pytest.raises(UserError, match=r"rule is 'bets'.*Did you mean 'best'"):
        build_tables(load_runs(sweep), "bets")


def test_median_with_smallest_and_largest(tmp_path):
    for seed, value in enumerate((0.1, 0.4, 0.2)):
        leave(
            tmp_path / str(seed),
            (value,),
            seed=seed,
            table=TABLE | {"statistic": "median", "decimals": 1, "published": {}},
        )
    table = build_tables(load_runs(tmp_path))[0]
    assert cells_of(markdown(table), "Test accuracy (%) at the last evaluation, median [min–max]") == [
        ["500", "20.0 [10.0–40.0] (3)", ""]
    ]
    write_report([tmp_path])
    assert float(read(tmp_path / "report" / "table.csv")[0]["spread"]) == pytest.approx(30)


@pytest.mark.parametrize(
    ("rule", "better", "expected"),
    [("last", "higher", 2), ("median_last_10", "higher", 6.5), ("best", "higher", 99), ("best", "lower", 2)],
)
def test_selection_rules(rule, better, expected):
    assert select([99.0, 50.0, *map(float, range(11, 1, -1))], rule, better) == expected


def test_lower_is_better_for_a_loss(tmp_path):
    leave(
        tmp_path / "a",
        (0.1, 0.2, 0.3, 0.4),
        table=TABLE | {"metric": "test_loss", "scale": 1, "better": "lower", "published": {}},
    )
    (tmp_path / "a" / "metrics.csv").write_text("step,test_loss\n1,0.9\n2,0.5\n3,0.7\n")
    table = build_tables(load_runs(tmp_path))[0]
    assert [table.values("500", "none", rule) for rule in ("last", "median_last_10", "best")] == [[0.7], [0.7], [0.5]]


def test_reductions_are_bold_and_protocols_are_kept_apart(tmp_path):
    reduced = {"epochs": [3, 100], "model": ["small_cnn", "preact_resnet18"]}
    for seed in range(2):
        leave(tmp_path / f"r{seed}", seed=seed, differs=reduced, epochs=3)
    text = markdown(build_tables(load_runs(tmp_path))[0])
    assert "**Reduced: epochs 3 instead of 100; model small_cnn instead of preact_resnet18**" in text
    leave(tmp_path / "full", (0.9,), epochs=100)
    leave(tmp_path / "torn", seed=7)
    (tmp_path / "torn" / "environment.json").write_text("{")
    full, small = build_tables(load_runs(tmp_path))
    assert full.values("500", "none") == [90.0] and small.values("500", "none") == [50.0, 50.0]
    assert "Reduced" not in markdown(full) and "**Reduced: epochs 3" in markdown(small)
    assert all("torn" in markdown(table) for table in (full, small))


def test_unlike_runs_in_one_cell_are_pointed_out(tmp_path):
    leave(tmp_path / "a", batch_size=64, device="cpu")
    leave(tmp_path / "b", batch_size=128, device="cuda", seed=1)
    assert "Unlike runs share a cell: they differ in batch_size (500 / none)." in markdown(
        build_tables(load_runs(tmp_path))[0]
    )
    assert "| unlike runs (2) |" in markdown(build_tables(load_runs(tmp_path))[0])
    (row,) = [
        row
        for row in tidy(build_tables(load_runs(tmp_path))[0])
        if row["row"] == "500" and row["column"] == "none" and row["rule"] == "last"
    ]
    assert row["ours"] is None and row["n"] == 2


def test_rows_without_the_key_come_last_under_a_dash(tmp_path):
    spec = TABLE | {"rows": {"label": "alpha", "key": "alpha"}, "published": {}}
    leave(tmp_path / "none", table=spec)
    for value in (10, 0.2, 1):
        leave(tmp_path / str(value), table=spec, mix="mixup", alpha=value)
    table = build_tables(load_runs(tmp_path))[0]
    assert [row.label for row in table.rows] == ["0.2", "1", "10", "–"]
    assert [row[1] for row in cells_of(markdown(table), "Test accuracy")] == ["", "", "", "50.00 (1)"]
    panel = draw(table, AGAINST | {"x": "alpha", "x_scale": "log"}).axes[0]
    level = next(line for line in panel.get_lines() if line.get_label() == "none")
    assert list(level.get_ydata()) == [50.0, 50.0]


def test_what_only_the_source_has_stays_in_sight(tmp_path):
    leave(tmp_path / "a", (0.5,), n=500)
    assert cells_of(markdown(build_tables(load_runs(tmp_path))[0]), "Test accuracy")[0] == ["100", "", "26.79", "", ""]


def test_runs_of_no_table_get_one_of_their_differences(tmp_path):
    for mix in ("none", "mixup"):
        for n in (100, 500):
            for seed in range(2):
                leave(tmp_path / f"{mix}{n}{seed}", (0.5 + seed / 10,), n=n, mix=mix, seed=seed, table=None)
    table = build_tables(load_runs(tmp_path), name="mine")[0]
    assert table.spec["title"] == "mine"
    assert [row.label for row in table.rows] == ["100", "500"] and [column.label for column in table.columns] == [
        "none",
        "mixup",
    ]
    assert {tuple(row[1:]) for row in cells_of(markdown(table), "Test accuracy")} == {("55.00 ± 7.07 (2)",) * 2}
    assert (tmp_path / "report" / "curves.png") in write_report([tmp_path])


def test_tables_of_several_titles_get_a_folder_each(tmp_path):
    leave(tmp_path / "a", table=TABLE | {"title": "one: <b>"})
    leave(tmp_path / "b", table=TABLE | {"title": "混合 二"})
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "config.yaml").write_text("a: [")
    written = write_report([tmp_path])
    assert {path.parent.relative_to(tmp_path / "report").as_posix() for path in written[:-1]} == {"one_b", "混合_二"}
    assert written[-1] == tmp_path / "report" / "report.html"
    for path in (path for path in written if path.name == "table.md"):
        assert "| damaged | c |" in path.read_text(encoding="utf-8")


def test_hostile_names_stay_text(tmp_path):
    columns = {"label": "$x | y$", "values": {"<img src=x>\n|": {"mix": "none"}, "_日本語 $": {"mix": "mixup"}}}
    figures = [AGAINST | {"file": "../../up"}, CURVES | {"file": "図"}]
    spec = TABLE | {"title": "<script>\n# no", "columns": columns, "published": {}, "figures": figures}
    leave(tmp_path / "a b <i>", table=spec)
    leave(tmp_path / "日本", (0.1, 0.2), mix="mixup", table=spec)
    leave(tmp_path / "bad |", outcome=None, table=spec)
    written = write_report([tmp_path])
    assert {path.parent for path in written} == {tmp_path / "report"}
    text = (tmp_path / "report" / "table.md").read_text(encoding="utf-8")
    assert text.startswith("# &lt;script&gt; # no\n") and "<" not in text
    assert "| images | &lt;img src=x&gt; \\| | \\_日本語 \\$ |" in text
    assert "日本語" in (tmp_path / "report" / "図.svg").read_text(encoding="utf-8")


def test_a_damaged_description_is_reported_and_defaults_stand_in(tmp_path):
    leave(
        tmp_path / "a",
        table=TABLE
        | {"rule": "lst", "colums": {}, "figures": [AGAINST | {"x_scal": "log"}, {"file": "f", "kind": "curve"}]},
    )
    write_report([tmp_path])
    text = (tmp_path / "report" / "table.md").read_text(encoding="utf-8")
    assert "table.rule is 'lst'" in text and "Did you mean 'last'? The default stands in." in text
    assert "table has no key 'colums'. Did you mean 'columns'? There are title, source, " in text
    assert "Not drawn: figure accuracy: there is no key 'x_scal' for kind against. Did you mean 'x_scale'?" in text
    assert (
        "Not drawn: figure f: kind is 'curve'; scores, against, curves, confusion, per_class, by_group, cost, images,"
        " reliability, probe, scatter, animation are known." in text
    )


def test_a_key_that_no_run_has_is_pointed_out(tmp_path):
    leave(tmp_path / "a", table=TABLE | {"rows": {"label": "images", "key": "subset.m"}, "published": {}})
    assert "table.rows.key is 'subset.m', which no run has a value for. Did you mean 'subset.n'?" in markdown(
        build_tables(load_runs(tmp_path))[0]
    )


@pytest.mark.parametrize(
    "path",
    sorted((Path(__file__).resolve().parent.parent / "conf" / "experiment").glob("*.yaml")),
    ids=lambda p: p.stem,
)
def test_every_experiment_describes_a_sound_table(path):
    table = yaml.safe_load(path.read_text(encoding="utf-8")).get("table")
    assert table is None or (
        table_problems(table),
        [p for f in table.get("figures", []) if (p := figure_problem(f))],
    ) == ({}, [])


@pytest.mark.parametrize("column", ["nan", "inf"])
def test_a_number_that_is_none_is_no_result(tmp_path, column):
    leave(tmp_path / "a")
    (tmp_path / "a" / "metrics.csv").write_text(f"step,accuracy\n1,0.5\n2,{column}\n")
    leave(tmp_path / "b", table=TABLE)
    (tmp_path / "b" / "metrics.csv").write_text("step,acuracy\n1,0.5\n")
    table = build_tables(load_runs(tmp_path))[0]
    assert not table.cells
    text = markdown(table)
    assert "accuracy is not a finite number in 1 evaluations" in text
    assert "metrics.csv has no column 'accuracy'. Did you mean 'acuracy'?" in text


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("config.yaml", b"a: [1", "config.yaml cannot be read"),
        ("config.yaml", b"- 1", "a mapping was expected"),
        ("config.yaml", b"\xff\xfe\x00", "config.yaml cannot be read"),
        ("environment.json", b"{", "environment.json cannot be read"),
        ("result.json", b'{"outcome": "fin', "result.json cannot be read"),
        ("result.json", b'{"outcome": "won"}', "finished or diverged was expected"),
        ("metrics.csv", b"", "no evaluation in it"),
        ("metrics.csv", b"step,accuracy\n1,x\n", "metrics.csv cannot be read"),
    ],
)
def test_a_damaged_file_costs_one_row(tmp_path, file, content, said):
    leave(tmp_path / "good")
    (leave(tmp_path / "bad", (0.9,), seed=1) / file).write_bytes(content)
    run = load_run(tmp_path / "bad")
    assert run.outcome == "damaged" and said in run.problem
    (table,) = build_tables(load_runs(tmp_path))
    assert table.values("500", "none") == [50.0] and "| damaged | bad |" in markdown(table)


def test_no_runs_names_the_folder_and_what_is_near(tmp_path):
    leave(tmp_path / "small_data" / "abc")
    (tmp_path / "empty").mkdir()
    with pytest.raises(
        UserError, match=rf"smal_data is not a folder; expected run folders.*Did you mean '{tmp_path}/small_data'\?"
    ):
        write_report([tmp_path / "smal_data"])
    with pytest.raises(UserError, match=r"empty holds no run.*Folders with runs beside it: small_data"):
        write_report([tmp_path / "empty"])
    with pytest.raises(UserError, match=r"holds no run.*as a run of mixexp leaves them. Did you mean '.*/small_data'"):
        write_report([tmp_path])
    with pytest.raises(UserError, match="is one run; name the folder that holds the runs: "):
        write_report([tmp_path / "small_data" / "abc"])


def test_a_report_of_nothing_finished_says_so(tmp_path):
    leave(tmp_path / "a", outcome=None, table=TABLE | {"figures": [AGAINST]})
    written = write_report([tmp_path])
    assert [path.name for path in written] == ["table.md", "table.tex", "table.csv", "runs.csv", "report.html"]
    assert "There is nothing to draw yet." in written[0].read_text(encoding="utf-8")


def test_writing_twice_gives_the_same_bytes_and_leaves_no_scraps(tmp_path):
    leave(tmp_path / "a", (0.1, 0.2), table=TABLE | {"figures": [AGAINST]})
    first = {path: path.read_bytes() for path in write_report([tmp_path])}
    assert {path: path.read_bytes() for path in write_report([tmp_path])} == first
    assert set((tmp_path / "report").iterdir()) == set(first)


def test_figure_against_shows_the_table(sweep):
    panel = draw(build_tables(load_runs(sweep))[0], AGAINST | {"x_scale": "log"}).axes[0]
    assert (panel.get_xlabel(), panel.get_ylabel(), panel.get_xscale()) == ("images", "test accuracy (%)", "log")
    none, label_mix = panel.containers
    assert [list(none.lines[0].get_xdata()), list(none.lines[0].get_ydata())] == [
        [100.0, 500.0],
        pytest.approx([30, 43]),
    ]
    assert [list(map(tuple, segment)) for segment in none.lines[2][0].get_segments()][1] == [
        (500, pytest.approx(39.394449)),
        (500, pytest.approx(46.605551)),
    ]
    hollow = [line for line in panel.get_lines() if line.get_gid() == "published"]
    assert [list(line.get_ydata()) for line in hollow] == [[26.79, 44.6], [57.84]]
    assert {line.get_markerfacecolor() for line in hollow} == {"none"} and {
        line.get_linestyle() for line in hollow
    } == {":"}
    assert none.lines[0].get_marker() != label_mix.lines[0].get_marker()
    assert none.lines[0].get_linestyle() != label_mix.lines[0].get_linestyle()


def test_figure_against_stops_at_x_max(sweep):
    panel = draw(build_tables(load_runs(sweep))[0], AGAINST | {"x_max": 200}).axes[0]
    assert {x for line in panel.get_lines() for x in line.get_xdata()} == {100.0}


def test_figure_against_words(tmp_path):
    for mix in ("none", "mixup"):
        leave(tmp_path / mix, mix=mix)
    panel = draw(build_tables(load_runs(tmp_path))[0], AGAINST | {"x": "mix", "by": "rows"}).axes[0]
    assert [tick.get_text() for tick in panel.get_xticklabels()] == ["mixup", "none"]
    assert [list(line.get_ydata()) for line in panel.get_lines() if line.get_gid() == "published"] == [
        [26.79],
        [57.84, 44.6],
    ]


def test_figure_curves_average_over_seeds(tmp_path):
    for seed, values in enumerate(((0.1, 0.3), (0.3, 0.7))):
        leave(tmp_path / f"a{seed}", values, seed=seed)
    leave(tmp_path / "b", n=100, steps=40, epochs=None)
    figure = draw(build_tables(load_runs(tmp_path))[0], CURVES | {"y": ["accuracy", "test_loss"]})
    panels = figure.axes
    assert [panel.get_title(loc="left") for panel in panels] == ["images 100", "", "images 500", ""]
    assert [panel.get_xlabel() for panel in panels] == ["step", "step", "epoch", "epoch"]
    (line,) = panels[2].get_lines()
    assert [list(line.get_xdata()), list(line.get_ydata())] == [[1.0, 2.0], pytest.approx([20, 50])]
    assert len(panels[2].collections) == 1 and not panels[0].collections
    assert panels[3].get_ylabel() == "test loss" and list(panels[3].get_lines()[0].get_ydata()) == [2.0, 1.0]


def test_lookup_and_equality_of_values():
    config = {"choices": {"mix": "mixup"}, "mix": {"n": 1}, "subset": {"n": 500}}
    assert (lookup(config, "mix"), lookup(config, "subset.n"), lookup(config, "subset.m"), lookup(config, "a.b")) == (
        "mixup",
        500,
        None,
        None,
    )
    assert (
        comparable(1) == comparable(1.0) == comparable("1")
        and comparable(True) != comparable(1)
        and comparable("nan") == "nan"
    )


def test_file_names_are_never_alike():
    assert distinct_names(["a/b", "a b", "..", "", "a_b"]) == ["a_b", "a_b_2", "table", "table_2", "a_b_3"]
    assert distinct_names(["a", "a_3", "a", "a"]) == ["a", "a_3", "a_2", "a_4"]
    assert len(distinct_names(["混" * 300])[0].encode()) < 200


def test_a_hundred_runs_are_read_and_tabled_quickly(tmp_path):
    for seed in range(100):
        leave(tmp_path / str(seed), tuple(i / 100 for i in range(100)), seed=seed)
    assert "99.00 ± 0.00 (100)" in markdown(build_table(load_runs(tmp_path)))


def test_reports_need_no_torch(tmp_path):
    leave(tmp_path / "a", table=TABLE | {"figures": [AGAINST]})
    code = (
        "import sys; from pathlib import Path; from mixexp.reporting.write import write_report;"
        " write_report([Path(sys.argv[1])])"
    )
    code += "; assert not {'torch', 'hydra', 'pandas', 'matplotlib.pyplot'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, timeout=120)


def test_the_script_prints_and_draws(sweep, tmp_path_factory):
    out = tmp_path_factory.mktemp("out")
    command = [sys.executable, str(SCRIPT), str(sweep), "--rule", "best", "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert "51.00 ± 1.00 (3)" in done.stdout and (out / "little_data.png").stat().st_size > 5000
    wrong = subprocess.run([sys.executable, str(SCRIPT), str(out)], capture_output=True, text=True, timeout=120)
    assert wrong.returncode == 2 and "holds no run" in wrong.stderr and "Traceback" not in wrong.stderr


def test_the_evaluation_with_the_best_validation_accuracy_can_be_chosen(tmp_path):
    leave(tmp_path / "a", (0.1, 0.2, 0.3, 0.4))
    (tmp_path / "a" / "metrics.csv").write_text("step,accuracy,val_accuracy\n1,0.9,0.5\n2,0.6,0.8\n3,0.7,0.8\n")
    table = build_tables(load_runs(tmp_path), "best_validation")[0]
    assert table.values("500", "none") == [60.0], "the first of the best on the held-out part, not the best on test"
    assert "at the best validation accuracy" in markdown(table)


SCALARS = st.none() | st.booleans() | st.integers(-5, 5) | st.floats(allow_nan=False) | st.text(max_size=12)
TREES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None)
@given(
    config=st.dictionaries(
        st.text(max_size=8) | st.sampled_from(["seed", "dataset", "mix"]), TREES, min_size=1, max_size=6
    )
)
def test_a_configuration_is_read_in_parts_as_it_is_in_one(config, tmp_path_factory):
    path = tmp_path_factory.mktemp("config") / "config.yaml"
    path.write_text(yaml.safe_dump(config, sort_keys=False, allow_unicode=True), encoding="utf-8")
    assert reader._read_config(path) == yaml.safe_load(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    "text",
    [
        "a: &x [1, 2]\nb: *x\n",
        "# first\na: 1\nb: 2\n",
        'a: "one\nb: two"\n',
        "a: 1\na: 2\n",
        "a:\n- 1\n# between\n- 2\nb: |\n  c: 3\n",
        "--- {a: 1}\n",
    ],
)
def test_a_configuration_that_is_no_row_of_entries_is_read_as_a_whole(text, tmp_path):
    (tmp_path / "config.yaml").write_text(text)
    assert reader._read_config(tmp_path / "config.yaml") == yaml.safe_load(text)


def test_a_setting_that_only_some_runs_have_parts_no_table(tmp_path):
    table = TABLE | {"columns": {"values": {"none": {"mix": "none"}, "late": {"other": "late"}}}, "published": {}}
    leave(tmp_path / "a", (0.5,), table=table, differs={"epochs": [3, 30]})
    leave(
        tmp_path / "b",
        (0.6,),
        table=table,
        mix="mixup",
        other="late",
        extra={"from": 1},
        differs={"epochs": [3, 30], "extra.from": [1, 5]},
    )
    leave(
        tmp_path / "c",
        (0.6,),
        seed=1,
        table=table,
        mix="mixup",
        other="late",
        extra={"from": 1},
        differs={"epochs": [3, 30], "extra.from": [1, 5]},
    )
    (found,) = build_tables(load_runs(tmp_path))
    assert len(found.values("500", "late")) == 2 and len(found.values("500", "none")) == 1
    leave(
        tmp_path / "d",
        (0.7,),
        seed=2,
        table=table,
        mix="mixup",
        other="late",
        extra={"from": 2},
        differs={"epochs": [3, 30], "extra.from": [2, 5]},
    )
    assert len(build_tables(load_runs(tmp_path))) == 2


def test_runs_without_a_table_have_one_for_each_data_set_called_by_what_was_swept(tmp_path):
    for data in ("digits", "flowers"):
        for mix in ("none", "mixup"):
            folder = leave(tmp_path / f"{data} {mix}", (0.5,), mix=mix, table=None)
            config = yaml.safe_load((folder / "config.yaml").read_text())
            config["choices"]["dataset"] = data
            (folder / "config.yaml").write_text(yaml.safe_dump(config))
    found = build_tables(load_runs(tmp_path), name="mine")
    assert [table.spec["title"] for table in found] == ["mine, digits", "mine, flowers"]
    assert [[row.label for row in table.rows] for table in found] == [["none", "mixup"]] * 2 and found[0].spec["rows"][
        "label"
    ] == "mixing"


def test_what_is_reduced_is_said_of_values_that_the_experiment_has(tmp_path):
    leave(
        tmp_path / "a",
        differs={"subset": ["head", "full"], "subset.n": [5000, 1000], "steps": [800, None], "epochs": [3, 30]},
    )
    assert (
        reductions(load_runs(tmp_path))
        == "subset head instead of full; subset.n 5000; steps 800, which the experiment leaves open; epochs 3 instead"
        " of 30"
    )
    leave(tmp_path / "test" / "a", differs={"test.n": [50, None]})
    leave(tmp_path / "test" / "b", differs={"test.n": [None, 50]})
    assert (
        reductions(load_runs(tmp_path / "test"))
        == "tested on 50 examples instead of all (in 1 of 2 runs); tested on all examples instead of 50 (in 1 of 2"
        " runs)"
    )


def test_a_cell_says_what_became_of_its_runs(tmp_path):
    leave(tmp_path / "a", (0.5,))
    for seed in range(2):
        leave(tmp_path / f"b{seed}", (0.5,), mix="mixup", seed=seed, outcome="diverged")
    leave(tmp_path / "c", mix="mixup", seed=2, outcome=None)
    assert (
        cells_of(markdown(build_tables(load_runs(tmp_path))[0]), "Test accuracy (%) at")[1][3]
        == "2 diverged; 1 unfinished"
    )


def test_figures_of_an_earlier_report_go_and_other_files_stay(sweep, tmp_path_factory):
    out = tmp_path_factory.mktemp("out")
    config = [path for path in sweep.glob("*/config.yaml")]
    write_report([sweep], out=out)
    earlier = {path.name for path in out.iterdir()}
    (out / "notes.png").write_text("mine")
    assert config and "curves.svg" in earlier
    leave(out.parent / "other" / "a", outcome=None)
    write_report([out.parent / "other"], out=out)
    assert (
        not {"curves.svg", "curves.pdf", "curves.png"} & {path.name for path in out.iterdir()}
        and (out / "notes.png").exists()
    )


def test_a_rule_that_no_run_has_a_number_for_is_refused(sweep):
    with pytest.raises(UserError, match="rule best_validation: no run has a number"):
        write_report([sweep], "best_validation")


def test_the_last_line_says_which_file_to_open(sweep, tmp_path):
    command = [sys.executable, "-m", "mixexp", "report", str(sweep), "--out", str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True)
    *_, page, last = done.stdout.splitlines()
    assert page == str(tmp_path / "out" / "report.html") and last == f"open in a browser: {page}", done.stderr


def test_a_reader_who_leaves_early_costs_no_file(sweep):
    command = f"{sys.executable} -m mixexp report '{sweep}' | head -1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert "Traceback" not in done.stderr and "BrokenPipe" not in done.stderr, done.stderr
    assert (sweep / "report" / "report.html").exists() and (sweep / "report" / "curves.pdf").exists()

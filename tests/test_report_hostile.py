"""Runs with broken files and hostile words: a row each, and nothing that runs, hangs or goes down."""

from __future__ import annotations

import csv
import importlib.util
import json
import shutil
from pathlib import Path

import commands
import pytest
from test_report import TABLE, leave

from mixexp.reporting.compare import compare, metric_of
from mixexp.reporting.csv_files import as_csv
from mixexp.reporting.latex import escaped
from mixexp.reporting.leaderboard import leaderboard
from mixexp.reporting.markdown import plain
from mixexp.reporting.write import write_report
from mixexp.spec.table import of_metric, table_problems
from mixexp.training.reader import everywhere, load_run

ROOT = Path(__file__).resolve().parent.parent
BOMB = "\n".join(
    [
        "a0: &a0 [x, x, x, x, x, x, x, x, x, x]",
        *(f"a{k}: &a{k} [{', '.join([f'*a{k - 1}'] * 10)}]" for k in range(1, 12)),
    ]
)
BROKEN = {
    "nested too deeply": ("config.yaml", "a: " + "[" * 100_000),
    "nested by lists": ("config.yaml", "a:\n" + "- " * 5000 + "x\n"),
    "aliases without end": ("config.yaml", BOMB + "\n"),
    "an alias of itself": ("config.yaml", "a: &a [*a]\n"),
    "choices that are none": ("config.yaml", "choices: 5\nseed: 0\n"),
    "a number beyond squares": ("metrics.csv", "step,accuracy\n1,1e200\n"),
    "seconds beyond a float": (
        "result.json",
        '{"outcome": "finished", "seconds": 1' + "0" * 400 + ', "steps": 1, "last": {"accuracy": 1}}',
    ),
    "seconds that are none": (
        "result.json",
        '{"outcome": "finished", "seconds": "x", "steps": 1, "last": {"accuracy": 1}}',
    ),
    "versions that are text": (
        "environment.json",
        '{"git": "x", "versions": ["y"], "device_name": 3, "differs_from_experiment": 1}',
    ),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_file_costs_at_most_its_row(tmp_path, what):
    for seed in range(3):
        leave(tmp_path / "runs" / f"r{seed}", (0.5 + seed / 100,), seed=seed)
    name, text = BROKEN[what]
    leave(tmp_path / "runs" / "broken", (0.9,), seed=7)
    (tmp_path / "runs" / "broken" / name).write_text(text)
    for words in (("report", "runs"), ("compare", "runs", "runs"), ("leaderboard", "runs")):
        done = commands.mixexp(*words, cwd=tmp_path)  # a process of its own, since some went down with it
        assert done.returncode == 0, (words, done.stderr[-500:])
    rows = [
        row
        for path in (tmp_path / "runs" / "report").rglob("runs.csv")
        for row in csv.DictReader(path.open(encoding="utf-8"))
    ]
    assert sorted(row["folder"] for row in rows) == ["broken", "r0", "r1", "r2"]


def test_a_folder_that_cannot_be_looked_into_is_listed(tmp_path, monkeypatch):
    leave(tmp_path / "runs" / "a", (0.5,))
    leave(tmp_path / "runs" / "closed", (0.6,), seed=1)
    exists = Path.exists

    def refused(path: Path, **words: bool) -> bool:  # root may look into everything
        if path.parent.name == "closed":
            raise PermissionError(13, "Permission denied", str(path))
        return exists(path, **words)

    monkeypatch.setattr(Path, "exists", refused)
    text = write_report([tmp_path / "runs"])[0].read_text(encoding="utf-8")
    assert "| damaged | closed |" in text and "1 of 2 runs has a result" in text


@pytest.mark.parametrize(
    "wrong",
    [
        {"decimals": -1}, {"decimals": True}, {"rule": {"a": 1}}, {"scale": 1e306}, {"scale": 0}, {"published": {"none": {500: 10**400}}},
        {"metric": "probe.x"}, {"columns": {"measures": {"a": {"metric": "accuracy", "scale": "x"}}}}, {"better": []},
        {"columns": {"measures": {"a": {"metric": "probe.x"}}}}, {"figures": [{"file": "f", "kind": ["x"]}]}, {"baseline": 5},
    ],
    ids=str,
)  # fmt: skip
def test_a_description_that_is_wrong_is_said_and_replaced(tmp_path, wrong):
    table = TABLE | wrong
    assert table_problems(table) or "figures" in wrong
    leave(tmp_path / "a", (0.5,), table=table)
    text = write_report([tmp_path])[0].parent.joinpath("table.md").read_text(encoding="utf-8")
    assert "The default stands in." in text or "It is ignored." in text or "Not drawn" in text


def test_no_cell_or_heading_of_a_csv_is_a_formula():
    rows = list(
        csv.reader(
            as_csv([{"=cmd|' /C calc'!A0": "\n=1+1", "@x": "+1", "plain": -1.5}, {"plain": "\t-2"}]).splitlines(True)
        )
    )
    assert (
        rows[0] == ["'=cmd|' /C calc'!A0", "'@x", "plain"]
        and rows[1] == ["'\n=1+1", "'+1", "-1.5"]
        and rows[2][2] == "'\t-2"
    )


def test_controls_of_a_terminal_are_shown_and_not_obeyed():
    assert "\x1b" not in plain("\x1b[2Jgone") and "\x00" not in escaped("a\x00b")


@pytest.mark.latex
@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no pdflatex: apt install texlive-latex-recommended")
def test_latex_of_hostile_words_compiles_and_runs_nothing(tmp_path):
    names = [
        r"\input{/etc/passwd}",
        r"\write18{touch ran}",
        "^^5cinput",
        "a & b % $ # _ { } ~ < > | \" '",
        "ϛϝͱϡ αω",
        "\x1b[31m\x00\x07",
        "é ß ł ǝ ĸ",
        "x" * 3000,
    ]
    table = TABLE | {
        "title": " ".join(names[:6]),
        "columns": {"values": {name: {"mix": f"m{k}"} for k, name in enumerate(names)}},
        "published": {},
    }
    table |= {"notes": ["\\end{table}\nsecond line"], "source": names[0]}
    for k in range(len(names)):
        leave(tmp_path / "runs" / f"r{k}", (0.5,), mix=f"m{k}", table=table)
    write_report([tmp_path / "runs"])
    text = (tmp_path / "runs" / "report" / "table.tex").read_text(encoding="utf-8")
    assert "compile with LuaLaTeX" in text
    (tmp_path / "latin.tex").write_text(
        "".join(c for c in text if ord(c) < 0x180 and c != "ĸ").replace("compile with LuaLaTeX", ""), encoding="utf-8"
    )
    spec = importlib.util.spec_from_file_location("compile_latex", ROOT / "scripts" / "compile_latex.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    script.compile_tables([tmp_path / "latin.tex"], tmp_path / "t.pdf")
    assert not list(tmp_path.rglob("ran"))


def test_labels_of_two_tables_are_never_the_same(tmp_path):
    for place, title in enumerate(("a/b", "a b", "日本", "東京", "table.md")):
        leave(tmp_path / f"r{place}", (0.5,), table=TABLE | {"title": title}, seed=place)
    for _ in range(2):
        written = write_report([tmp_path])
    labels = [
        line
        for path in written
        if path.suffix == ".tex"
        for line in path.read_text(encoding="utf-8").splitlines()
        if "\\label" in line
    ]
    assert len(labels) == len(set(labels)) == 5


def test_commands_over_runs_without_metric_or_facts(tmp_path):
    for name in ("a", "b"):
        for seed in range(3):
            folder = leave(
                tmp_path / name / f"r{seed}",
                (0.5 + seed / 50,),
                seed=seed,
                table={"title": "x", "rows": {"key": "seed"}},
            )
            (folder / "environment.json").write_text(json.dumps({"git": [], "versions": "y"}))
    runs = everywhere([tmp_path / "a"]), everywhere([tmp_path / "b"])
    assert metric_of(runs[0]) == "accuracy"
    found = compare(("a", "b"), runs, of_metric("accuracy"), "last")
    assert [one.verdict("higher") for one in found.changes] == ["identical"]
    assert [len(row.values) for row in leaderboard(runs[0], "accuracy", "last")] == [3]
    assert load_run(tmp_path / "a" / "r0").outcome == "finished"

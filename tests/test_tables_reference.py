"""The reference of tables: what lists it, what checks it and what is written about it are one, and its examples make
reports."""

from __future__ import annotations

import functools
import io
import json
import re
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from test_report import TABLE
from test_report_figures import SPECS, rich
from test_table_changes import leave_all

from mixexp import cli
from mixexp.errors import UserError
from mixexp.plan.options import describe
from mixexp.reporting.figures import KINDS as DRAWN
from mixexp.reporting.figures import draw
from mixexp.reporting.runs import ABOUT_ALIKE
from mixexp.reporting.tables import build_table
from mixexp.settings import CONF
from mixexp.spec import reference
from mixexp.spec.figures import KINDS, figure_problem
from mixexp.spec.table import DEFAULTS, table_problems
from mixexp.training.reader import load_runs

TEXT = (Path(__file__).resolve().parent.parent / "docs" / "tables.md").read_text(encoding="utf-8")
FILES = re.findall(r"^```yaml\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
COMMANDS = [
    line.partition("  #")[0].rstrip()
    for block in re.findall(r"^```bash\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    for line in block.splitlines()
]


def rows_of(section: reference.Section) -> list[str]:
    return ["| " + " | ".join([f"`{name}`", *words]).replace("<", "&lt;") + " |" for name, *words in section.keys]


def test_the_document_says_from_which_ratio_on_classes_are_unequal():
    assert f"more than {ABOUT_ALIKE} times the training images of the\nsmallest" in TEXT


def test_the_document_has_what_the_program_lists_and_nothing_else():
    sections = [*reference.table(), *reference.figures()]
    for section in sections:
        meaning = section.meaning[0].upper() + section.meaning[1:]
        head = f"### {section.name}\n\n{meaning}.\n\n| key | default | values | meaning |\n|---|---|---|---|\n"
        assert head + "\n".join(rows_of(section)) + "\n" in TEXT, section.name
    keys = TEXT[TEXT.index("\n## Keys\n") :]
    assert len(re.findall(r"^\| `", keys, re.MULTILINE)) == sum(len(section.keys) for section in sections)


def test_the_lists_name_every_key_kind_and_option():
    table, figures = describe([CONF], "table"), describe([CONF], "figures")
    assert all(re.search(rf"^  {key} +", table, re.MULTILINE) for key in DEFAULTS)
    for kind, described in KINDS.items():
        block = figures[figures.index(f"\n{kind}: ") :].partition("\n\n")[0]
        assert all(re.search(rf"^  {option} +", block, re.MULTILINE) for option in described.options)
    with pytest.raises(UserError, match="Did you mean 'figures'"):
        describe([CONF], "figurs")


def test_every_kind_that_is_described_is_drawn_and_no_other():
    assert list(KINDS) == list(DRAWN)


def test_a_default_is_a_value_that_the_key_may_have():
    assert table_problems({key: value for key, value in DEFAULTS.items() if value is not None}) == {}
    for kind in KINDS.values():
        assert [
            name
            for name, option in kind.options.items()
            if option.default is not None and option.values.problem(option.default)
        ] == []


def test_every_key_refuses_what_it_may_not_be():
    assert set(table_problems(dict.fromkeys(DEFAULTS, object()))) == set(DEFAULTS)
    for kind, described in KINDS.items():
        needed = {name: "x" for name, option in described.options.items() if option.needed}
        for name in described.options:
            assert f"figure f: {name} is <object" in figure_problem(
                {"file": "f", "kind": kind, **needed, name: object()}
            )
        for name in needed:
            assert (
                figure_problem({"file": "f", "kind": kind, **needed, name: ""})
                == f"figure f: kind {kind} needs {name}."
            )


@pytest.fixture(scope="module")
def documented(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the runs that the examples are of, and the first example's file."""
    home = tmp_path_factory.mktemp("examples")
    for run in leave_all(home / "outputs" / "mine", None, TABLE).iterdir():
        rows = ["true \\ predicted,cat,dog", "cat,3,1", "dog,1,5"]
        (run / "confusion.csv").write_text("\n".join(rows) + "\n")
    (home / "my.yaml").write_text(FILES[0], encoding="utf-8")
    return home


@pytest.mark.parametrize("number", range(len(FILES)))
def test_an_example_of_a_file_makes_a_report(number, documented, tmp_path, capsys):
    (tmp_path / "example.yaml").write_text(FILES[number], encoding="utf-8")
    cli.COMMANDS["report"](
        [
            str(documented / "outputs" / "mine"),
            "--table",
            str(tmp_path / "example.yaml"),
            "--out",
            str(tmp_path / "out"),
        ]
    )
    text = (tmp_path / "out" / "table.md").read_text(encoding="utf-8")
    content = yaml.safe_load(FILES[number])
    assert "18 of 18 runs have a result" in text and "Not drawn" not in text
    assert all(
        (tmp_path / "out" / f"{figure['file']}.svg").exists()
        for figure in content.get("table", content).get("figures", ())
    )


@pytest.mark.parametrize("command", COMMANDS)
def test_an_example_of_a_command_makes_a_report(command, documented, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(documented)
    program, name, *words = shlex.split(command)
    assert (program, name) == ("mixexp", "report")
    cli.COMMANDS["report"]([*words, "--out", str(tmp_path / "out")])
    assert "Not drawn" not in (tmp_path / "out" / "table.md").read_text(encoding="utf-8")


OTHER: dict[str, Any] = {
    "by": "rows", "each": "rows", "x_scale": "log", "y_scale": "log", "x_label": "another x", "y_label": "another y", "most": 1, "count": 2,
    "x_max": 200, "published": True, "where": {"kind": "drawn"}, "only": [100], "lines": "kind", "steps": ["drawn"], "colour": "label",
    "panels": "kind", "beside": {"probe": "points", "x": "x", "y": "density"}, "limits": [0, 1], "probe": "others",
}  # fmt: skip
"""Values of options that are not their defaults; of x and y those below."""
BY_KIND: Mapping[tuple[str, str], Any] = {
    ("against", "x"): "seed", ("against", "y"): "test_loss", ("curves", "y"): "accuracy", ("probe", "x"): "density", ("probe", "y"): "x",
    ("scatter", "x"): "density", ("scatter", "y"): "x", ("animation", "x"): "density", ("animation", "y"): "x", ("curves", "each"): "columns",
    ("per_class", "each"): "columns", ("images", "each"): "columns", ("images", "by"): "rows",
    ("scores", "published"): False, ("reliability", "each"): "columns",
}  # fmt: skip


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A table of two sizes and two mixes, whose runs have two files of points and of images that are alike but for one
    number."""
    folder = tmp_path_factory.mktemp("figures")
    for n in (100, 500):
        for mix in ("none", "mixup"):
            for seed in (0, 1):
                run = rich(folder / f"{n}{mix}{seed}", n=n, mix=mix, seed=seed)
                rows = (run / "probe_points.csv").read_text().splitlines()
                (run / "probe_points.csv").write_text(
                    "\n".join([*rows, f"20,{n / 1000},{seed + 0.3},drawn,cat"]) + "\n"
                )
                (run / "probe_others.csv").write_text("\n".join([*rows[:9], "20,3,9,drawn,cat"]) + "\n")
    table = build_table(load_runs(folder))
    return table


@pytest.fixture(scope="module")
def pictured(shown: Any) -> Callable[[Mapping[str, Any]], Any]:
    """A function that draws a figure of it, the same one once."""
    once = functools.cache(lambda text: picture_of(shown, json.loads(text)))
    return lambda spec: once(json.dumps(spec))


def picture_of(table: Any, spec: Mapping[str, Any]) -> Any:
    """What is drawn, as something to be compared: the lines, points, images and words of all panels, and the
    caption."""
    figure, caption = draw(table, spec)
    if not hasattr(figure, "savefig"):
        figure._draw_was_started = True  # matplotlib warns of an animation that nobody has seen
        figure = figure._fig
    file = io.BytesIO()
    figure.savefig(file, format="raw", dpi=40)
    return file.getvalue(), caption


@pytest.mark.parametrize(
    ("kind", "option"), [(kind, option) for kind, described in KINDS.items() for option in described.options]
)
def test_an_option_of_a_figure_changes_it(kind, option, shown, pictured):
    spec = {"file": "f", "kind": kind, **({} if kind in ("confusion", "images") else SPECS[kind])}
    if (kind, option) == ("images", "probe"):  # whose file is the only one with images
        with pytest.raises(UserError, match="has no column 'image'"):
            draw(shown, {**spec, "probe": "points"})
        return
    if (kind, option) == ("reliability", "probe"):  # whose file is the only one with bins
        with pytest.raises(UserError, match=r"no run has a probe_points\.csv with scaling"):
            draw(shown, {**spec, "probe": "points"})
        return
    if option in ("steps", "where") and kind == "probe":
        spec = {**spec, "steps": [], "lines": "kind" if option == "steps" else None}
    other = {**spec, option: BY_KIND.get((kind, option), OTHER.get(option))}
    without = {key: value for key, value in spec.items() if key != option or KINDS[kind].options[option].needed}
    assert figure_problem(other) == "" == figure_problem(without)
    assert pictured(other) != pictured(without)

"""The generated pages of the documentation: a card for every option, a page for every experiment, and nothing on them
that the program does not say itself."""

from __future__ import annotations

import ast
import dataclasses
import importlib.util
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import yaml
from running import resolved

from mixexp.plan.checks import _schema_errors
from mixexp.plan.options import options, settings
from mixexp.settings import CONF

ROOT = Path(__file__).resolve().parent.parent
SCRIPT = ROOT / "scripts" / "docs_pages.py"
GROUPS = [group for group in options([CONF]) if group != "experiment"]
LINK = re.compile(r"\[[^]]*\]\(([^)#\s]*)(?:#([^)\s]*))?\)")


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_pages", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules["docs_pages"] = module  # where dataclasses look for their annotations
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def site(script):
    return script.read()


@pytest.fixture(scope="module")
def pages(script, site) -> dict[str, str]:
    return script.pages(site)


def test_every_option_and_every_experiment_has_a_page(pages):
    wanted = {f"methods/{group}/{option}.md" for group in GROUPS for option in options([CONF])[group]}
    wanted |= {f"experiment/{path.stem}.md" for path in CONF.glob("experiment/*.yaml")}
    indexes = {f"{folder}/{name}.md" for folder in ("methods", "experiment") for name in ("index", "SUMMARY")}
    assert set(pages) == wanted | indexes
    for folder in ("methods", "experiment"):
        below = {page.removeprefix(f"{folder}/") for page in wanted if page.startswith(f"{folder}/")}
        for page in ("index", "SUMMARY"):
            assert {target for target, _ in LINK.findall(pages[f"{folder}/{page}.md"])} >= below


@pytest.mark.parametrize("group", GROUPS)
def test_a_card_says_what_when_with_which_settings_and_where_its_source_is(group, pages):
    for option, names in settings([CONF], group).items():
        card = pages[f"methods/{group}/{option}.md"]
        assert card.startswith(f"# {option}".replace("_", "\\_")) and "\nUse it " in card, option
        assert f"`conf/{group}/{option}.yaml`" in card and f"mixexp list {group}={option}\n" in card
        rows = {line.split("`")[1]: line for line in card.splitlines() if line.startswith(f"| `{group}.")}
        assert {f"{group}.{name}" for name in names} <= set(rows), option
        for key, row in rows.items():
            assert not row.endswith("|  |"), f"{option}: {key} has no meaning"


def test_a_card_has_the_equation_the_deviations_and_the_refusals_of_the_docstrings(pages):
    assert 'abstract "Equation"\n    Kullback-Leibler divergence Σ\\_c t\\_c·' in pages["methods/loss/kl.md"]
    assert (
        "softmax over classes instead of one sigmoid per class"
        in pages["methods/loss/focal.md"].partition("differs")[2]
    )
    card = pages["methods/mix/bc_plus.md"]
    assert "| image |" in card.partition("## What it goes with")[2]
    assert "mix.from\\_epoch = …: the run has … epochs" in card.partition("## What it refuses")[2]
    assert "this data set's kind is …" in pages["methods/probe/fgsm.md"]


def test_numbers_are_those_of_the_experiments_and_of_the_kept_tables(script, site):
    one = site.experiments["mixup_alpha"]
    (kept,) = [sweep for sweep in site.kept["mixup_alpha"] if sweep.kind == "laptop"]
    record = next(
        row for row in kept.rows if row["row"] == "1" and row["column"] == "test error" and row["rule"] == "last"
    )
    (cell,) = [cell for cell in script._numbers(one, [kept]) if (cell.row, cell.column) == ("1", "test error")]
    assert [(value, n) for _, value, n in cell.own] == [
        (f"{float(record['ours']):.2f} ± {float(record['spread']):.2f}", record["n"])
    ]
    stated = site.experiments["mixup_cifar"]
    table = {**stated.table, "published": {"mixup": {"CIFAR-10 PreAct ResNet-18": 12.5}}}
    changed = script._numbers(dataclasses.replace(stated, table=table), [])
    assert [(cell.published, cell.conditions["mix"]) for cell in changed] == [("12.50", "mixup")]


@pytest.mark.parametrize("path", sorted(CONF.glob("experiment/*.yaml")), ids=lambda path: path.stem)
def test_an_experiments_page_has_its_claims_editions_numbers_and_commands(path, pages):
    stated, page = yaml.safe_load(path.read_text()), pages[f"experiment/{path.stem}.md"]
    assert (f"mixexp reproduce {path.stem}\n" in page and "../references.md#" in page) or path.stem == "quickstart"
    for name in stated.get("claims") or {}:
        assert f">{name}: ".replace("_", "\\_") in page, name
    for edition in stated.get("editions") or {}:
        assert f"mixexp reproduce {path.stem} edition={edition}\n" in page
    for by_row in ((stated.get("table") or {}).get("published") or {}).values():
        for value in filter(None, by_row.values()):
            assert f"{value:g}" in page or f"{value:.2f}" in page or f"{value:.1f}" in page


def test_the_number_of_cells_is_the_one_that_the_files_state(script, site):
    for name, one in site.experiments.items():
        stated = re.search(r"^Cost: (\d+) runs", "\n".join(site.groups["experiment"][name]), re.MULTILINE)
        cells = script.cells(site, one)
        assert stated is None or cells is None or cells == int(stated[1]), name


def test_no_link_is_broken(script, site, pages):
    figures = script.figures(site)
    assert all(source.is_file() for source in figures.values())
    for place, words in pages.items():
        for target, anchor in LINK.findall(words):
            if re.match(r"\w+:", target):
                continue
            there = os.path.normpath(os.path.join(os.path.dirname(place), target))
            assert there in pages or there in figures or (ROOT / "docs" / there).is_file(), f"{place}: {target}"
            assert not anchor or anchor in site.anchors, f"{place}: {target}#{anchor}"


def test_the_script_names_no_option_and_no_experiment(site):
    ordinary = {"full", "grid", "none", "step"}  # words that mean other things as well
    names = {option for members in site.groups.values() for option in members} - ordinary
    for node in ast.walk(ast.parse(SCRIPT.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            assert node.value not in names, f"line {node.lineno}: {node.value}"


def test_a_card_shows_the_command_of_its_file_and_each_composes(pages):
    """An option alone is composed by the tests of its group."""
    for group in GROUPS:
        for option, lines in options([CONF])[group].items():
            shown = re.search(r"```bash\n(.*?)\n", pages[f"methods/{group}/{option}.md"], re.DOTALL)[1]
            stated = [line.removeprefix("Try it: ") for line in lines if line.startswith("Try it: ")]
            assert [shown] == (stated or [f"mixexp {group}={option}"])
            for words in (shlex.split(command)[1:] for command in stated):
                assert f"{group}={option}" in words
                assert _schema_errors(resolved(*words)) == [], words


@pytest.mark.docs
def test_the_site_builds_without_a_warning(tmp_path):
    for module in ("mkdocs", "material", "mkdocs_gen_files", "mkdocs_literate_nav"):
        pytest.importorskip(module)
    words = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "-d", str(tmp_path / "site")]
    subprocess.run(words, cwd=ROOT, check=True, env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert (tmp_path / "site" / "methods" / "mix" / "mixup.html").is_file()
    assert (tmp_path / "site" / "experiment" / "mixup_alpha.html").is_file()

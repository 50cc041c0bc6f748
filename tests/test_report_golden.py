"""The exact Markdown, LaTeX and CSV of runs that are kept here; python tests/test_report_golden.py writes them anew, to
be read before they are committed."""

from __future__ import annotations

import functools
import importlib.util
import shutil
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
RUNS, GOLDEN = HERE / "frozen_runs", HERE / "golden"


def texts() -> dict[str, str]:
    """Every golden file's text, made from the runs. Two rules: by the second one, a difference is more than noise."""
    # scipy and pandas take a second, which collecting need not
    from mixexp.reporting.csv_files import as_csv, contrast_records, run_records, tidy
    from mixexp.reporting.latex import latex, latex_differences
    from mixexp.reporting.markdown import markdown
    from mixexp.reporting.tables import build_tables
    from mixexp.training.reader import load_runs

    made = {}
    for rule in (None, "median_last_10"):
        (table,) = build_tables(load_runs(RUNS), rule)
        name = rule or "headline"
        made |= {f"{name}.md": markdown(table), f"{name}.tex": latex(table, name)}
        made[f"{name}-differences.tex"] = latex_differences(table, name)
    (table,) = build_tables(load_runs(RUNS))
    return made | {
        "table.csv": as_csv(tidy(table)),
        "differences.csv": as_csv(contrast_records(table)),
        "runs.csv": as_csv(run_records(table)),
    }


@functools.cache
def made_texts() -> dict[str, str]:
    return texts()


@pytest.mark.fast
@pytest.mark.parametrize("name", sorted(path.name for path in GOLDEN.iterdir()))
def test_the_report_of_the_kept_runs_is_what_it_was(name):
    made = made_texts()
    assert made.keys() == {path.name for path in GOLDEN.iterdir()}
    assert made[name] == (GOLDEN / name).read_text(encoding="utf-8")


@pytest.mark.fast
def test_the_kept_runs_show_what_a_report_can_say():
    made = made_texts()
    assert "†" in made["headline.md"] and " \\* " in made["median_last_10.md"]
    assert all(f"| {outcome} |" in made["headline.md"] for outcome in ("failed", "diverged", "unfinished"))


@pytest.mark.latex
@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no pdflatex: apt install texlive-latex-recommended")
def test_the_latex_compiles_in_a_paper_of_two_columns(tmp_path):
    log = _script().compile_tables(sorted(GOLDEN.glob("*.tex")), tmp_path / "tables.pdf")
    assert (tmp_path / "tables.pdf").stat().st_size > 10_000
    assert "Overfull" not in log and "Missing character" not in log


@pytest.mark.latex
@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no pdflatex: apt install texlive-latex-recommended")
def test_latex_that_is_wrong_is_noticed(tmp_path):
    broken = tmp_path / "broken.tex"
    broken.write_text(
        (GOLDEN / "headline.tex").read_text(encoding="utf-8").replace(r"\bottomrule", r"\bottomrul"), encoding="utf-8"
    )
    with pytest.raises(ValueError, match="Undefined control sequence"):
        _script().compile_tables([broken], tmp_path / "broken.pdf")


def _script():
    spec = importlib.util.spec_from_file_location("compile_latex", HERE.parent / "scripts" / "compile_latex.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    shutil.rmtree(GOLDEN)
    GOLDEN.mkdir()
    for name, text in texts().items():
        (GOLDEN / name).write_text(text, encoding="utf-8")

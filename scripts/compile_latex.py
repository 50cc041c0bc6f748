"""Compile LaTeX tables of reports as a two-column paper would, to check that they compile and how they look.

    python scripts/compile_latex.py outputs/small_data/report/*.tex --out /tmp/tables.pdf

Needs pdflatex, or lualatex for tables with letters that pdfLaTeX lacks: on Debian, apt install
texlive-latex-recommended texlive-luatex.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

PAPER = r"""\documentclass[twocolumn]{article}
%s
\usepackage{booktabs,graphicx}
\begin{document}
%s
\end{document}
"""
FONTS = {"pdflatex": r"\usepackage[T1]{fontenc}", "lualatex": r"\usepackage{fontspec}"}


def compile_tables(tables: list[Path], target: Path) -> str:
    """Make a PDF of some tables and return LaTeX's log.

    A table that needs LuaLaTeX, by its own comment, is compiled with it. Raises ValueError with the log's errors where
    a table does not compile.
    """
    texts = [table.read_text(encoding="utf-8") for table in tables]
    engine = "lualatex" if any("compile with LuaLaTeX" in text for text in texts) else "pdflatex"
    if shutil.which(engine) is None:
        raise ValueError(f"{engine} is not installed; on Debian: apt install texlive-latex-recommended texlive-luatex")
    with tempfile.TemporaryDirectory() as folder:
        paper = Path(folder, "paper.tex")
        paper.write_text(PAPER % (FONTS[engine], "\n\\clearpage\n".join(texts)), encoding="utf-8")
        command = [engine, "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", paper.name]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, errors="replace", timeout=300)
        if done.returncode:
            lines = done.stdout.splitlines()
            raise ValueError(
                "\n".join(
                    line
                    for number, line in enumerate(lines)
                    if any(part.startswith("!") for part in lines[max(0, number - 3) : number + 1])
                )
            )
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(paper.with_suffix(".pdf"), target)
        return paper.with_suffix(".log").read_text(encoding="utf-8", errors="replace")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", nargs="+", type=Path, help="table.tex and differences.tex of reports")
    parser.add_argument("--out", type=Path, default=Path("tables.pdf"), help="the PDF (default: tables.pdf)")
    arguments = parser.parse_args()
    try:
        log = compile_tables(arguments.table, arguments.out)
    except (ValueError, OSError) as error:
        parser.exit(1, f"{error}\n")
    lacking = sorted(
        {
            line.split("There is no ")[1][0]
            for line in log.splitlines()
            if line.startswith("Missing character: There is no ")
        }
    )
    if lacking:
        print(f"the font lacks {' '.join(lacking)}: \\setmainfont one that has them", file=sys.stderr)
    print(arguments.out)

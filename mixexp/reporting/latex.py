r"""A table as LaTeX for \input: booktabs rules, shrunk to the column where it is wider."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from mixexp.metrics import RULES
from mixexp.reporting import sheets
from mixexp.reporting.entries import label
from mixexp.reporting.markdown import heading
from mixexp.reporting.sheets import Sheet
from mixexp.reporting.tables import Table
from mixexp.text import sanitize

ONE_COLUMN = 56
"""The letters on a line of a paper's column at a readable size."""
LONGEST, WIDEST = 2000, 300
"""The most letters of a caption and of a cell; TeX has no room for a line of thousands."""
LATIN = 0x17F
"""The last letter that pdfLaTeX's T1 fonts have, apart from FOREIGN."""
FOREIGN = "ĦħĸĿŀŉŦŧſ"
_GREEK = (
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi pi rho sigma tau upsilon phi chi psi"
    " omega"
)
"""Letters that have a command."""
_COMMANDS = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "{": r"\{",
        "}": r"\}",
        "#": r"\#",
        "$": r"\$",
        "%": r"\%",
        "&": r"\&",
        "_": r"\_",
        "^": r"\textasciicircum{}",
        "~": r"\textasciitilde{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "|": r"\textbar{}",
        "[": "{[}",
        "]": "{]}",
        '"': r"\textquotedbl{}",
        "±": r"$\pm$",
        "−": "$-$",
        "–": "--",
        "—": "---",
        "†": r"$^\dagger$",
        "*": r"$^{*}$",
        "×": r"$\times$",
        "≤": r"$\leq$",
        "≥": r"$\geq$",
        "≠": r"$\neq$",
        "…": r"\ldots{}",
        "°": r"$^\circ$",
        "½": r"$\frac12$",
        "²": "$^2$",
        "³": "$^3$",
        "·": r"$\cdot$",
        **{letter: rf"$\{name}$" for letter, name in zip("αβγδεζηθικλμνξπρστυφχψω", _GREEK.split(), strict=True)},
    }
)


def latex(table: Table, name: str, rule: str | None = None) -> str:
    r"""The headline table with its caption; name: the end of \label.

    The caption has the source and the reductions, a note below the table the meaning of its signs. The report's other
    notes are comments, from which the author of a paper can choose.
    """
    spec, sheet = table.spec, sheets.headline(table, rule)
    reduced = table.reduced
    compared = f"Compared with: {spec['source']}." if spec["source"] else ""
    caption = [f"{spec['title']}: {heading(table, rule)}.", compared, f"Reduced: {reduced}." if reduced else ""]
    notes = [
        *(f"{outcome}: {run.folder.name}, {problem}" for run, outcome, problem in table.without_result),
        *spec["notes"],
        *table.remarks,
    ]
    return _float(sheet, caption, f"tab:{name}", [sheets.census(table), *notes])


def latex_differences(table: Table, name: str) -> str:
    """The comparisons by seed as a table of their own; empty where none could be tested."""
    sheet = sheets.differences(table)
    if sheet is None:
        return ""
    caption = [f"{table.spec['title']}: differences between runs of the same seed, {table.unit}, {RULES[table.rule]}."]
    return _float(sheet, caption, f"tab:{name}-differences", [])


def escaped(text: str, longest: int = LONGEST) -> str:
    """Text that LaTeX prints unchanged, Greek letters and signs as mathematics; cut where it is longer."""
    whole = sanitize(label(text))
    cut = whole if len(whole) <= longest else f"{whole[:longest]}…"
    return cut.translate(_COMMANDS)


def _float(sheet: Sheet, caption: Sequence[str], name: str, notes: Sequence[str]) -> str:
    below = [r"\par\vspace{.5\baselineskip}", rf"\parbox{{\linewidth}}{{\footnotesize {escaped(sheet.legend)}}}"]
    below = below if sheet.legend else []
    lengths = [max(map(len, column)) + 2 for column in zip(sheet.head, *sheet.rows, strict=True)]
    # table* spans both columns of a paper that has two
    kind = "table" if sum(lengths) <= ONE_COLUMN else "table*"
    lines = [
        rf"\begin{{{kind}}}",
        r"\centering",
        rf"\caption{{{' '.join(escaped(part) for part in caption if part)}}}",
        rf"\label{{{re.sub('[^A-Za-z0-9:.-]+', '-', name)}}}",
        r"\vspace{.5\baselineskip}",
        r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
        rf"\begin{{tabular}}{{@{{}}{'l' * sheet.left}{'r' * (len(sheet.head) - sheet.left)}@{{}}}}",
        r"\toprule",
        *_head(sheet),
        r"\midrule",
        *(_row(row, {column for at, column in sheet.bold if at == place}) for place, row in enumerate(sheet.rows)),
        r"\bottomrule",
        r"\end{tabular}}",
        *below,
        rf"\end{{{kind}}}",
    ]
    body = "\n".join(lines) + "\n"
    foreign = sorted({letter for letter in body if ord(letter) > LATIN or letter in FOREIGN})
    top = ["% needs \\usepackage{booktabs,graphicx}, and \\usepackage[T1]{fontenc} with pdfLaTeX"]
    if foreign:
        top.append(f"% {''.join(foreign)[:40]}: compile with LuaLaTeX or XeLaTeX and a font that has these letters")
    return "\n".join([*top, *(f"% {sanitize(label(note))}" for note in notes)]) + "\n" + body


def _head(sheet: Sheet) -> list[str]:
    """The headings in one line, or two where columns share one, with a rule below a shared heading."""
    if not sheet.groups:
        return [_row(sheet.head)]
    over, names, rules, place = [], [], [], 1
    for name, columns in sheet.groups:
        over.append(rf"\multicolumn{{{columns}}}{{c}}{{{escaped(name, WIDEST)}}}" if columns > 1 else "")
        rules += [rf"\cmidrule(lr){{{place}-{place + columns - 1}}}"] * (columns > 1)
        names += sheet.head[place - 1 : place - 1 + columns]
        place += columns
    return [" & ".join(over) + r" \\", " ".join(rules), _row(names)]


def _row(cells: Sequence[str], bold: Collection[int] = ()) -> str:
    """A line of cells; bold: the columns with a bold number."""
    return (
        " & ".join(_bold(cell) if place in bold else escaped(cell, WIDEST) for place, cell in enumerate(cells)) + r" \\"
    )


def _bold(cell: str) -> str:
    number, rest = sheets.split(cell)
    return rf"\textbf{{{escaped(number)}}}{' ' * rest.startswith(' ')}{escaped(rest, WIDEST)}"

"""Tables and one plain figure from a folder of runs: a starting point to copy and edit.

    python scripts/plot.py outputs/small_data --rule last --out figures

``mixexp report`` writes the full report; this script shows how to access the numbers. It reads files only and needs no
GPU.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from mixexp.errors import UserError
from mixexp.metrics import RULES
from mixexp.reporting.markdown import markdown
from mixexp.reporting.tables import Table, build_tables
from mixexp.reporting.write import distinct_names
from mixexp.training.reader import load_runs


def plot(table: Table, path: Path) -> None:
    """A line for each column of the table over its rows, with the spread over seeds."""
    figure, axes = plt.subplots(figsize=(5, 3.5), layout="constrained")
    for column, style in zip(
        table.columns, ("o-", "s--", "^-.", "D:", "v-", "P--", "X-.", "*:") * len(table.columns), strict=False
    ):
        # values() has one number a run; table.cells[row, column] has the runs: .config, .metrics, .result, .folder
        cells = [(place, table.values(row.label, column.label)) for place, row in enumerate(table.rows)]
        cells = [(place, values) for place, values in cells if values]
        below, above = zip(*(table.statistic.band(values) for _, values in cells), strict=True) if cells else ((), ())
        middle = [table.statistic.centre(values) for _, values in cells]
        axes.errorbar(
            [place for place, _ in cells], middle, yerr=(below, above), fmt=style, capsize=2.5, label=column.label
        )
    axes.set_xticks(range(len(table.rows)), [row.label for row in table.rows])
    axes.set_xlabel(table.spec["rows"].get("label", ""))
    axes.set_ylabel(f"{table.unit}, {RULES[table.rule]}")
    axes.legend()
    figure.savefig(path, dpi=200)
    plt.close(figure)


def main() -> None:
    """Print every table among the runs and save its figure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("directory", type=Path, metavar="DIR", help="a folder of runs, such as outputs/small_data")
    parser.add_argument(
        "--rule", choices=RULES, help="which evaluation of a run counts (default: as the table compared with)"
    )
    parser.add_argument("--out", type=Path, default=Path("."), help="where the figures go (default: here)")
    arguments = parser.parse_args()
    try:
        tables = build_tables(load_runs(arguments.directory), arguments.rule, arguments.directory.resolve().name)
    except (UserError, OSError) as error:
        parser.error(str(error))
    arguments.out.mkdir(parents=True, exist_ok=True)
    for table, name in zip(tables, distinct_names([table.spec["title"] for table in tables]), strict=True):
        print(markdown(table))
        plot(table, arguments.out / f"{name}.png")
        print(arguments.out / f"{name}.png")


if __name__ == "__main__":
    main()

"""Reliability diagrams against bins counted by hand over the runs' images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_report import leave

from mixexp.errors import UserError
from mixexp.reporting import figures
from mixexp.reporting.figures.reliability import pooled
from mixexp.reporting.tables import build_table
from mixexp.training.reader import load_run, load_runs

SPEC = {"file": "f", "kind": "reliability"}
HEADER = "step,scaling,lower,upper,images,confidence,accuracy"


def binned(folder: Path, *rows: tuple[Any, ...], **settings: Any) -> Path:
    """A run with these bins."""
    leave(folder, (0.5,), **settings)
    lines = [HEADER, *(",".join(map(str, row)) for row in rows)]
    (folder / "probe_reliability.csv").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    early = (10, "none", 0, 0.25, 100, 0.1, 0.1)
    binned(tmp_path / "a", early, (20, "none", 0.5, 0.75, 10, 0.6, 0.5), (20, "none", 0.75, 1.0, 30, 0.9, 0.8), seed=0)
    binned(tmp_path / "b", (20, "none", 0.5, 0.75, 20, 0.7, 0.8), (20, "fitted", 0.25, 0.5, 5, 0.4, 0.4), seed=1)
    binned(tmp_path / "c", (20, "none", 0.75, 1.0, 4, 1.0, 0.25), mix="mixup", seed=0)
    return tmp_path


def test_bins_hold_the_images_of_all_runs_after_the_last_step(runs):
    both = [load_run(runs / name) for name in ("a", "b")]
    bins = pooled(both, "reliability", "none")
    assert bins is not None and bins.count == 4 and bins.lower.tolist() == [0.5, 0.75]
    np.testing.assert_allclose(bins.share, [0.5, 0.5])
    np.testing.assert_allclose(bins.confidence, [(10 * 0.6 + 20 * 0.7) / 30, 0.9])
    np.testing.assert_allclose(bins.accuracy, [(10 * 0.5 + 20 * 0.8) / 30, 0.8])
    fitted = pooled(both, "reliability", "fitted")
    assert fitted is not None and fitted.share.tolist() == [1.0], "a run without it is left out"
    assert pooled(both[:1], "reliability", "fitted") is None


def test_a_figure_has_a_diagram_and_a_histogram_for_each_scaling(runs):
    figure, words = figures.draw(build_table(load_runs(runs)), SPEC)
    panels = figure.axes
    assert len(panels) == 4
    titled = {panel.get_title(loc="left"): panel for panel in panels if panel.get_title(loc="left")}
    assert set(titled) == {"before temperature scaling", "after temperature scaling"}
    before = titled["before temperature scaling"]
    diagonal, *lines = before.get_lines()
    assert diagonal.get_gid() == "diagonal" and diagonal.get_xdata().tolist() == [0, 1]
    drawn = sorted(tuple(np.round(line.get_ydata(), 6)) for line in lines)
    assert drawn == [(0.25,), (0.7, 0.8)]
    assert all(panel.get_xlim() == (0, 1) and panel.get_ylim() == (0, 1) for panel in panels)
    (legend,) = figure.legends
    assert len(legend.get_texts()) == 2
    assert "4 bins" in words and "all runs of a line (n = 1 to 2)" in words


def test_bins_of_other_widths_and_broken_ones_are_not_one_line(runs):
    binned(runs / "d", (20, "none", 0.5, 1.0, 10, 0.6, 0.5), seed=2)
    with pytest.raises(UserError, match="bins of different widths"):
        pooled([load_run(runs / name) for name in ("a", "d")], "reliability", "none")
    binned(runs / "e", (20, "none", 0.5, 1.0, "many", 0.6, 0.5), seed=3)
    with pytest.raises(UserError, match="a bin that cannot be read"):
        pooled([load_run(runs / "e")], "reliability", "none")


def test_runs_without_bins_have_no_diagram(tmp_path):
    leave(tmp_path / "a", (0.5,))
    with pytest.raises(UserError, match=r"no run has a probe_reliability\.csv"):
        figures.draw(build_table(load_runs(tmp_path)), SPEC)

"""The script whose numbers the README shows."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest


def test_coverage_is_counted_for_every_interval():
    path = Path(__file__).resolve().parent.parent / "scripts" / "interval_coverage.py"
    spec = importlib.util.spec_from_file_location("interval_coverage", path)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    found = script.coverage("normal", 3, 300)
    assert found.keys() == script.INTERVALS.keys()
    assert found["as reports show"] == found["Student's t"] == pytest.approx(0.95, abs=0.05)
    assert found["percentile bootstrap"] < 0.85, "between the smallest and the largest of three values lies the mean three times of four"

"""How often 95 % intervals for a mean over few seeds hold it: those that reports show, and those that they do not.

    python scripts/interval_coverage.py --samples 10000

Each row draws that many samples of n seeds and counts the intervals that hold the true mean; the count is known to about one in a hundred
at 2,000 samples and half of that at 10,000. A sample of equal values has no interval and is left out.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable

import numpy as np

from mixexp.report import inference

NOISES: dict[str, tuple[Callable[[np.random.Generator, tuple[int, int]], np.ndarray], float]] = {
    "normal": (lambda rng, size: rng.normal(size=size), 0.0),
    "exponential": (lambda rng, size: rng.exponential(size=size), 1.0),
    "whole images of a small test set (sd 0.7)": (lambda rng, size: np.round(rng.normal(0.2, 0.7, size)), 0.2),
    "one run in seven collapses by 20 sd": (lambda rng, size: rng.normal(size=size) - 20 * (rng.random(size) < 1 / 7), -20 / 7),
}
INTERVALS: dict[str, Callable[[np.ndarray], tuple[float, float]]] = {
    "as reports show": lambda values: _ends(inference.interval(list(values), "mean")),
    "Student's t": lambda values: _students(values),
    "percentile bootstrap": lambda values: tuple(np.quantile(_resampled(values).mean(axis=1), [0.025, 0.975])),
    "bootstrap-t": lambda values: _studentised(values),
}


def _ends(found: inference.Interval) -> tuple[float, float]:
    return found.low, found.high


def _students(values: np.ndarray) -> tuple[float, float]:
    reach = float(inference.special.stdtrit(len(values) - 1, 0.975)) * values.std(ddof=1) / math.sqrt(len(values))
    return values.mean() - reach, values.mean() + reach


def _resampled(values: np.ndarray) -> np.ndarray:
    return values[np.random.default_rng(len(values)).integers(0, len(values), (2000, len(values)))]


def _studentised(values: np.ndarray) -> tuple[float, float]:
    resampled = _resampled(values)
    spread = resampled.std(axis=1, ddof=1)
    ratios = (resampled.mean(axis=1) - values.mean())[spread > 0] / spread[spread > 0]
    low, high = np.quantile(ratios, [0.025, 0.975]) * values.std(ddof=1)
    return values.mean() - high, values.mean() - low


def coverage(noise: str, n: int, samples: int) -> dict[str, float]:
    """The share of each kind of interval that holds the true mean."""
    draw, true = NOISES[noise]
    found = [values for values in draw(np.random.default_rng(n), (samples, n)) if np.ptp(values)]
    ends = {name: [interval(values) for values in found] for name, interval in INTERVALS.items()}
    return {name: float(np.mean([low <= true <= high for low, high in some])) for name, some in ends.items()}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=2000, help="of each row (default 2000)")
    samples = parser.parse_args().samples
    print(f"| noise | n | {' | '.join(INTERVALS)} |\n|---|---:|{'---:|' * len(INTERVALS)}")
    for noise in NOISES:
        for n in (3, 5, 10, 20):
            print(f"| {noise} | {n} | " + " | ".join(f"{100 * share:.1f}" for share in coverage(noise, n, samples).values()) + " |", flush=True)

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mixexp.mix import Mix
from mixexp.probe import Rows

BINS = 40
"""Of the histogram of weights."""


def ratio_rows(mix: Mix, lam: Sequence[float]) -> Rows:
    """Rows of lam, density, curve: the histogram of these lam ("drawn"), and the density that they are drawn from ("formula") at the
    middle of each bin, where there is one.
    """
    drawn, edges = np.histogram(lam, bins=BINS, range=(0, 1), density=True)
    middles = (edges[:-1] + edges[1:]) / 2
    curves = {"drawn": drawn, "formula": mix.density(middles)}
    return [
        {"lam": place, "density": value, "curve": curve}
        for curve, values in curves.items()
        if values is not None
        for place, value in zip(middles.tolist(), values.tolist(), strict=True)
    ]

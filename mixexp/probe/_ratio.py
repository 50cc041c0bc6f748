from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.integrate import quad

from mixexp.mix import Mix
from mixexp.probe import Rows

BINS = 40
"""Of the histogram of weights."""


def ratio_rows(mix: Mix, lam: Sequence[float]) -> Rows:
    """Rows of lam, density, curve: the histogram of these lam ("drawn"), and the density that they are drawn from ("formula"), both as
    means over a bin, at its middle; no formula where there is none.
    """
    drawn, edges = np.histogram(lam, bins=BINS, range=(0, 1), density=True)
    middles = (edges[:-1] + edges[1:]) / 2
    formula = None
    if mix.density(middles) is not None:
        # at its middle alone, a bin at the end of Beta(0.2, 0.2) would have a third of what is drawn in it
        masses = [quad(lambda x: float(mix.density(np.array([x]))[0]), low, high)[0] for low, high in zip(edges, edges[1:], strict=False)]
        formula = np.array(masses) / np.diff(edges)
    curves = {"drawn": drawn, "formula": formula}
    return [
        {"lam": place, "density": value, "curve": curve}
        for curve, values in curves.items()
        if values is not None
        for place, value in zip(middles.tolist(), values.tolist(), strict=True)
    ]

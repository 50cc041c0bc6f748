"""The epoch at which a part of a run changes."""

from __future__ import annotations

import math


def change(after: float, epochs: float) -> int:
    """The first epoch, counted from 0, past a fraction of a run of `epochs`."""
    return math.floor(after * epochs + 1e-9)  # 0.29 * 100 is 29, and 28.999… in floating point


def require_change(setting: str, after: float, epochs: float) -> None:
    """Raise ValueError, which names the setting, where no epoch of a run is before its change."""
    if change(after, epochs) == 0:
        raise ValueError(f"{setting} = {after}: none of the run's epochs, {epochs:g}, is before the change")

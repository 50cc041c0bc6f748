"""Experiment runner for mixup-family augmentation and class-imbalance losses.

From Python: `run` and `sweep` make runs, `runs` finds them and gives frames of pandas, `report` writes their report,
`load` gives a trained network. Importing the package imports none of what these need.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mixexp.api.report import report
    from mixexp.api.runs import Run, Runs, runs
    from mixexp.api.start import run, sweep
    from mixexp.api.weights import load
    from mixexp.errors import RunsFailed, UserError

__all__ = ["Run", "Runs", "RunsFailed", "UserError", "load", "report", "run", "runs", "sweep"]

_PLACES = {
    **dict.fromkeys(("Run", "Runs", "runs"), "mixexp.api.runs"),
    **dict.fromkeys(("run", "sweep"), "mixexp.api.start"),
    **dict.fromkeys(("RunsFailed", "UserError"), "mixexp.errors"),
    "load": "mixexp.api.weights",
    "report": "mixexp.api.report",
}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_PLACES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_PLACES])

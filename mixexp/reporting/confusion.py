"""The confusion.csv of runs: test images by true and predicted class, and the recall of each class."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from mixexp.errors import UserError
from mixexp.files import read_text
from mixexp.training.reader import Run


@dataclass(frozen=True)
class Confusion:
    """Test images by true class (rows) and predicted class (columns), int64 [C, C], with the number of runs."""

    classes: tuple[str, ...]
    counts: np.ndarray
    runs: int = 1

    @property
    def shares(self) -> np.ndarray:
        """The share of each class that is predicted as each, float64 [C, C] with rows that sum to 1.

        A class without test images has nan.
        """
        total = self.counts.sum(1, keepdims=True)
        return np.divide(self.counts, total, out=np.full(self.counts.shape, np.nan), where=total > 0)

    @property
    def recall(self) -> np.ndarray:
        """The accuracy on each class, float64 [C]."""
        return np.diag(self.shares)


def confusion_of(run: Run) -> Confusion:
    """The confusion.csv of a run's last evaluation; raises UserError where it is missing or cannot be read."""
    try:
        (_, *classes), *rows = csv.reader(io.StringIO(read_text(run.folder / "confusion.csv"), newline=""))
        counts = np.array([[int(value) for value in values] for _, *values in rows], dtype=np.int64)
    except FileNotFoundError:
        raise UserError("there is no confusion.csv") from None
    except (OSError, ValueError, OverflowError, csv.Error) as error:
        raise UserError(f"confusion.csv cannot be read: {error}") from error
    if counts.shape != (len(classes), len(classes)) or (counts < 0).any() or [name for name, *_ in rows] != classes:
        raise UserError("confusion.csv is not a square of counts with the same classes in its rows and columns")
    return Confusion(tuple(classes), counts)


def pooled(runs: Iterable[Run]) -> Confusion:
    """The sum over the runs that have a matrix; raises UserError where none has, or where their classes differ."""
    counted = readable(runs, confusion_of)
    if len({each.classes for _, each in counted}) > 1:
        raise UserError("runs of one cell have different classes, so their confusion matrices have no sum")
    return Confusion(counted[0][1].classes, np.sum([each.counts for _, each in counted], axis=0), len(counted))


def readable(things: Iterable[Any], read: Callable[[Any], Any]) -> list[tuple[Any, Any]]:
    """The readable items, each with its content; raises UserError with the first reason where none is readable."""
    readings, problems = [], []
    for thing in things:
        try:
            readings.append((thing, read(thing)))
        except UserError as error:
            problems.append(str(error))
    if not readings:
        raise UserError(problems[0] if problems else "there are no runs")
    return readings


def training_counts(run: Run, classes: int) -> list[int]:
    """Training images of each class, from the run's environment; raises UserError where it lacks them."""
    counts = run.environment.get("train_counts")
    if (
        not isinstance(counts, list)
        or len(counts) != classes
        or not all(isinstance(count, int) and count >= 0 for count in counts)
    ):
        raise UserError("environment.json does not tell how many training images each class has")
    return counts

"""Tables as data sets, and scikit-learn's bundled tables."""

from __future__ import annotations

import abc
from collections.abc import Sequence
from typing import Annotated, Literal, NamedTuple

import numpy as np
import torch
from pydantic import Field

from mixexp.dataset import Dataset, Splits
from mixexp.dataset.split import shuffled, stratified_split
from mixexp.errors import UserError
from mixexp.training import sizes

_HUGE = 1e100  # its square can still be summed without overflow
_BLOCK = 2**23  # values that are standardised together


class Rows(NamedTuple):
    """A table: values, float64 [N, columns], labels, int64 [N] in 0..len(classes)-1, names of classes and columns."""

    values: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...]
    columns: Sequence[str] = ()


class Table(Dataset):
    """Rows of numbers with a fixed stratified test part; a row is an image of one pixel with a channel per column.

    split_seed draws the test part and shuffles the training rows once, so that the first N are of all classes.
    standardise: every column gets mean 0 and standard deviation 1 over the training rows (a constant one: mean 0), so
    that neighbours and blends are those of the standardised columns.
    mean and std, which normalise images, are then 0 and 1.
    """

    kind = "table"

    def __init__(
        self,
        test_fraction: Annotated[float, Field(gt=0, lt=1)],
        split_seed: Annotated[int, Field(ge=0, lt=2**63)],
        standardise: bool,
    ) -> None:
        self.test_fraction, self.split_seed, self.standardise = test_fraction, split_seed, standardise
        self.mean = self.std = None

    @abc.abstractmethod
    def read(self) -> Rows:
        """The whole table, in the same order every time; raises UserError if it is missing or unusable."""

    def load(self) -> Splits:
        """Images float32 [N, columns, 1, 1]; raises UserError for a class of one row, too."""
        rows = self.read()
        values, labels, classes = rows.values, rows.labels, rows.classes
        sizes = np.bincount(labels, minlength=len(classes))
        if lonely := [name for name, size in zip(classes, sizes, strict=True) if size < 2]:
            raise UserError(
                f"dataset: a class needs 2 rows, one for the test; these have one: {', '.join(lonely[:10])}."
            )
        train, test = stratified_split(labels, self.test_fraction, self.split_seed)
        train = train[shuffled(len(train), np.random.Philox(key=self.split_seed))]
        with np.errstate(over="ignore"):
            features = _standardised(values, train) if self.standardise else values.astype(np.float32)
        _refuse_overflow(rows, features, self.standardise)
        self.mean, self.std = [0.0] * values.shape[1], [1.0] * values.shape[1]
        images, targets = torch.from_numpy(features)[:, :, None, None], torch.from_numpy(labels)
        return Splits(images[train], targets[train], images[test], targets[test], classes)


def refuse_too_large(source: object, rows: int, columns: int, why: str = "") -> None:
    """Raise TooLarge for a table that does not fit into the machine's memory during preparation."""
    sizes.require_memory(f"{source}: {rows:,} rows of {columns:,} columns{why}", 24.0 * rows * columns)


def _standardised(values: np.ndarray, train: np.ndarray) -> np.ndarray:
    """Columns, float32 [N, columns], with mean 0 and deviation 1 over the training rows, a constant one with mean 0.

    Columns are processed in blocks, because copies of a large table would not fit into memory. Columns of extreme size
    are first scaled to about 1 by a power of two, which changes no digit, so that squares do not overflow or vanish.
    """
    features = np.empty(values.shape, dtype=np.float32)
    width = max(2, _BLOCK // len(values))
    # no block is a single column unless the table is: numpy would sum it in another order
    starts = range(0, max(1, values.shape[1] - 1), width)
    for start in starts:
        place = slice(start, start + width if start != starts[-1] else None)
        block = values[:, place]
        largest = np.abs(block).max(0)
        extreme = (largest > _HUGE) | ((largest > 0) & (largest < 1 / _HUGE))
        if extreme.any():
            block = np.ldexp(block, np.where(extreme, -np.frexp(largest)[1], 0))
        part = block[train]
        mean, deviation, constant = part.mean(0), part.std(0), part.max(0) == part.min(0)
        mean, deviation = np.where(constant, part[0], mean), np.where(constant | (deviation == 0), 1.0, deviation)
        features[:, place] = (block - mean) / deviation
    return features


def _refuse_overflow(rows: Rows, features: np.ndarray, standardised: bool) -> None:
    """Raise UserError with column and row (counted from 1) of the first value that float32 cannot represent."""
    sound = np.isfinite(features)
    if not sound.all():
        row, column = (int(place) for place in np.argwhere(~sound)[0])
        name = rows.columns[column] if rows.columns else str(column)
        hint = "" if standardised else "; dataset.standardise=true brings columns to mean 0 and standard deviation 1"
        raise UserError(
            f"dataset: column {name!r} has {rows.values[row, column]:g} in row {row + 1}, too large for float32{hint}."
        )


class SklearnTable(Table):
    """One of scikit-learn's tables: iris 150 × 4, wine 178 × 13 (three classes each), breast_cancer 569 × 30 (two).

    Source: scikit-learn's ``load_iris``, ``load_wine`` and ``load_breast_cancer``, copies of UCI's.
    """

    def __init__(
        self,
        name: Literal["iris", "wine", "breast_cancer"],
        test_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.2,
        split_seed: Annotated[int, Field(ge=0, lt=2**63)] = 0,
        standardise: bool = True,
    ) -> None:
        super().__init__(test_fraction, split_seed, standardise)
        self.name = name

    def read(self) -> Rows:
        from sklearn import datasets  # imported here because it takes a second and only its own data need it

        bundle = getattr(datasets, f"load_{self.name}")()
        return Rows(
            bundle.data.astype(np.float64), bundle.target.astype(np.int64), tuple(map(str, bundle.target_names))
        )

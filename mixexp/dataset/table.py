from __future__ import annotations

import abc
from typing import Annotated, NamedTuple

import numpy as np
import torch
from pydantic import Field

from mixexp.dataset import Dataset, Splits
from mixexp.dataset.split import shuffled, stratified_split
from mixexp.errors import UserError


class Rows(NamedTuple):
    """A table as it was read: values, float64 [N, columns], labels, int64 [N] in 0..len(classes)-1, and the classes' names."""

    values: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...]


class Table(Dataset):
    """Rows of numbers, of which a fixed stratified part is held out; every row is an image of one pixel, a channel a column.

    The held-out part is drawn by split_seed, and the training rows are shuffled once by it, so that the first N are of all classes.
    standardise: every column gets mean 0 and standard deviation 1 over the training rows (a constant one: mean 0), so a sample's
    neighbours and blends are those of the standardised columns. mean and std, which normalise images, are then 0 and 1.
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
        """The whole table, in the same order every time; raises UserError where it is missing or cannot be used."""

    def load(self) -> Splits:
        """Images float32 [N, columns, 1, 1]; raises UserError for a class of one row, too."""
        values, labels, classes = self.read()
        sizes = np.bincount(labels, minlength=len(classes))
        if lonely := [name for name, size in zip(classes, sizes, strict=True) if size < 2]:
            raise UserError(f"dataset: a class needs 2 rows, one for the test; these have one: {', '.join(lonely[:10])}.")
        train, test = stratified_split(labels, self.test_fraction, self.split_seed)
        train = train[shuffled(len(train), np.random.Philox(key=self.split_seed))]
        if self.standardise:
            deviation = values[train].std(0)
            values = (values - values[train].mean(0)) / np.where(deviation > 0, deviation, 1.0)
        self.mean, self.std = [0.0] * values.shape[1], [1.0] * values.shape[1]
        images, targets = torch.from_numpy(values.astype(np.float32))[:, :, None, None], torch.from_numpy(labels)
        return Splits(images[train], targets[train], images[test], targets[test], classes)

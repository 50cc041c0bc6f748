"""scikit-learn's handwritten digits, which need no download."""

from __future__ import annotations

import gzip
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import Field

from mixexp.dataset import Dataset, Splits, check_statistics
from mixexp.dataset.split import stratified_split


class Digits(Dataset):
    """1797 grey images of 8×8 pixels in ten classes; a fixed stratified part is held out for the test.

    Grey values 0..16 become 0..255 by value · 255 / 16, rounded half to even (8 gives 128).
    Source: scikit-learn's ``load_digits``, the test part of UCI's "Optical Recognition of Handwritten Digits".
    """

    def __init__(
        self,
        test_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.2,
        split_seed: Annotated[int, Field(ge=0, lt=2**63)] = 0,
        mean: list[Annotated[float, Field(ge=0, le=1)]] | None = None,
        std: list[Annotated[float, Field(gt=0)]] | None = None,
    ) -> None:
        self.test_fraction, self.split_seed = test_fraction, split_seed
        self.mean, self.std = mean, std

    def load(self) -> Splits:
        """Images uint8 [N, 1, 8, 8], both parts in scikit-learn's order."""
        check_statistics(self.mean, self.std, channels=1)
        pixels, digits = _digits()
        images = torch.from_numpy(np.rint(pixels * (255 / 16)).astype(np.uint8)[:, None])
        labels = torch.from_numpy(digits.astype(np.int64))
        train, test = stratified_split(digits, self.test_fraction, self.split_seed)
        return Splits(
            images[train], labels[train], images[test], labels[test], tuple(str(digit) for digit in range(10))
        )


def _digits() -> tuple[np.ndarray, np.ndarray]:
    """Images and labels as ``load_digits`` gives them, from its file: to import it takes a second in every process."""
    found = find_spec("sklearn")
    path = Path(found.origin).parent / "datasets" / "data" / "digits.csv.gz" if found and found.origin else None
    if path is None or not path.is_file():  # a scikit-learn that keeps it elsewhere
        from sklearn.datasets import load_digits

        bundle: Any = load_digits()
        return bundle.images, bundle.target
    with gzip.open(path, "rt", encoding="utf-8") as file:
        rows = np.loadtxt(file, delimiter=",")
    return rows[:, :-1].reshape(-1, 8, 8), rows[:, -1].astype(int)

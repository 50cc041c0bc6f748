from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from mixexp.imbalance import Imbalance


class Minority(Imbalance):
    """Chosen classes cut to n images each in the test set and train_per_test·n in the training set (article b).

    classes: the minority classes, by default the even ones. reduce_test: False leaves the test set whole. which: the images that stay
    are drawn by data_seed, or the first of each class in the official order, the same in every trial, as in the article's code.
    Differs from the paper: nothing with which = first.
    """

    added = ("which",)

    def __init__(
        self,
        n: Annotated[int, Field(gt=0)],
        classes: list[Annotated[int, Field(ge=0)]] | None = None,
        reduce_test: bool = True,
        which: Literal["drawn", "first"] = "drawn",
    ) -> None:
        self.n, self.classes, self.reduce_test = n, classes, reduce_test
        self.in_order = which == "first"

    def keep_counts(self, train_counts: np.ndarray, test_counts: np.ndarray, train_per_test: float) -> tuple[np.ndarray, np.ndarray]:
        num_classes = len(train_counts)
        chosen = list(range(0, num_classes, 2)) if self.classes is None else self.classes
        unknown = [c for c in chosen if c >= num_classes]
        if unknown or len(set(chosen)) < len(chosen) or not chosen:
            raise ValueError(f"imbalance.classes = {chosen}: distinct class numbers from 0 to {num_classes - 1} are needed")
        train, test = train_counts.copy(), test_counts.copy()
        train[chosen] = round(self.n * train_per_test)
        if self.reduce_test:
            test[chosen] = self.n
        for name, keep, have in (("training", train, train_counts), ("test", test, test_counts)):
            impossible = np.flatnonzero((keep > have) | (keep == 0))
            if len(impossible):
                c = impossible[(have - keep)[impossible].argmin()]
                raise ValueError(f"imbalance.n = {self.n}: class {c} would need {max(1, keep[c])} {name} images and has {have[c]}")
        return train, test

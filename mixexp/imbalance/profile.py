from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from mixexp.imbalance import Imbalance


class Profile(Imbalance):
    """Long-tailed training set with the largest class `ratio` times the smallest (Cui et al. 2019; Cao et al. 2019).

    exponential: n_c = n_max·ratio^(−c/(C−1)); step: the last half of the classes has n_max/ratio. n_max is the smallest class's
    count, so that the profile is the same for every class; counts are rounded down, at least 1. The test set stays whole.
    Differs from the paper: there n_max is N/C, which is the same where all classes are equal, as in CIFAR; their imbalance factor is
    sometimes written as 1/ratio.
    """

    def __init__(self, shape: Literal["exponential", "step"], ratio: Annotated[float, Field(ge=1)]) -> None:
        self.shape, self.ratio = shape, ratio

    def keep_counts(self, train_counts: np.ndarray, test_counts: np.ndarray, train_per_test: float) -> tuple[np.ndarray, np.ndarray]:
        num_classes, largest = len(train_counts), int(train_counts.min())
        if largest == 0:
            raise ValueError(
                f"imbalance.shape = {self.shape}: class {train_counts.argmin()} has no training image, and the profile gives every class "
                "some; take more images"
            )
        if largest < self.ratio:
            raise ValueError(
                f"imbalance.ratio = {self.ratio}: the smallest class has {largest} images, so the ratio can be at most {largest}"
            )
        ranks = np.arange(num_classes)
        if self.shape == "exponential":
            exponent = ranks / max(1, num_classes - 1)
        else:
            exponent = (ranks >= num_classes // 2).astype(float)
        # 1e-9 keeps an exact quotient such as 5000/100 from falling to 49 by a rounding error
        keep = np.maximum(1, np.floor(largest * self.ratio**-exponent + 1e-9)).astype(np.int64)
        return keep, test_counts

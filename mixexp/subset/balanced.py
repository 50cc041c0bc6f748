from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import Field

from mixexp.subset import Subset


class Balanced(Subset):
    """n / C images of every class, drawn without replacement by data_seed and kept in the official order."""

    def __init__(self, n: Annotated[int, Field(gt=0)]) -> None:
        self.n = n

    def select(self, labels: np.ndarray, num_classes: int, rng: np.random.Generator) -> np.ndarray:
        if self.n % num_classes:
            raise ValueError(f"subset.n = {self.n}: a balanced subset of {num_classes} classes needs a multiple of {num_classes}")
        per_class = self.n // num_classes
        counts = np.bincount(labels, minlength=num_classes)
        if per_class > counts.min():
            raise ValueError(
                f"subset.n = {self.n}: needs {per_class} images of every class, but class {counts.argmin()} has {counts.min()}"
            )
        chosen = [rng.choice(np.flatnonzero(labels == c), per_class, replace=False) for c in range(num_classes)]
        return np.sort(np.concatenate(chosen))

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from torch import Tensor

from mixexp.augment import Augment


class NoAugment(Augment):
    """Images as they are, normalised."""

    def draw(self, rng: np.random.Generator, rows: int) -> dict[str, np.ndarray]:
        return {}

    def __call__(self, images: Tensor, draws: dict[str, Tensor], normalize: Callable[[Tensor], Tensor]) -> Tensor:
        return normalize(images)

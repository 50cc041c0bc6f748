from __future__ import annotations

import numpy as np
from torch import Tensor

from mixexp.mix import Mix, Plan
from mixexp.mixed import Mixed


class NoMix(Mix):
    """Empirical risk minimisation: every sample is an image with its own label."""

    def origins(self, batch_size: int) -> int:
        return batch_size

    def draw(self, seed: int, epoch: int, order: np.ndarray, origins: int, batch_size: int) -> dict[str, np.ndarray]:
        return {}

    def plan(self, labels: Tensor, draws: dict[str, Tensor]) -> Plan:
        return Plan(Mixed((labels,)))

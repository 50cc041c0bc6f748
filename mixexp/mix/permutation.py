from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from mixexp.mix import Pairing


class Permutation(Pairing):
    """Partners by a random permutation of the batch itself (Zhang et al. 2018, section 2: works as well as a second loader).

    Further partners are the same permutation rolled on, so that a sample's partners differ. Fixed points can occur.
    """

    def draw(self, rng: np.random.Generator, order: np.ndarray) -> dict[str, np.ndarray]:
        return {"order": rng.random(len(order), dtype=np.float32)}

    def partners(self, labels: Tensor, draws: dict[str, Tensor], count: int) -> Tensor:
        permutation = draws["order"].argsort(stable=True)
        return torch.stack([permutation.roll(k) for k in range(count)], dim=1)

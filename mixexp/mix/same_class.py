from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from mixexp.mix import Pairing


class SameClass(Pairing):
    """Partners by a random permutation of the batch's images of each class (Zhang et al. 2018, table 5, "SC + RP").

    Further partners are the same permutation rolled on within the class. Fixed points can occur, and a sample that is alone in its
    class is its own partner.
    """

    def draw(self, rng: np.random.Generator, order: np.ndarray) -> dict[str, np.ndarray]:
        return {"order": rng.random(len(order), dtype=np.float32)}

    def partners(self, labels: Tensor, draws: dict[str, Tensor], count: int) -> Tensor:
        # sorted by class, the batch in its own order and in a random one: equal places are a permutation within every class
        shuffled = draws["order"].argsort(stable=True)
        random = shuffled[labels[shuffled].argsort(stable=True)]
        own = labels.argsort(stable=True)
        sizes = (labels.unsqueeze(0) == labels.unsqueeze(1)).sum(1)[own]
        begins = torch.searchsorted(labels[own], labels[own], right=False)
        place = torch.arange(len(labels), device=labels.device) - begins
        rolled = torch.stack([random[begins + (place - k) % sizes] for k in range(count)], dim=1)
        return torch.empty_like(rolled).index_copy_(0, own, rolled)

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from mixexp.mix import Pairing


class OtherClass(Pairing):
    """Partners of another class, uniform among those of the batch (Tokozume et al. 2018, section 3.1).

    A sample's partners differ as long as the batch has that many of other classes, and repeat beyond. A sample for which the batch
    has none is its own partner.
    Differs from the paper: its code draws both images from the whole training set; the batch, as in article c, needs no second read.
    """

    def draw(self, rng: np.random.Generator, order: np.ndarray) -> dict[str, np.ndarray]:
        return {"order": rng.random(len(order), dtype=np.float32), "start": rng.random(len(order), dtype=np.float32)}

    def partners(self, labels: Tensor, draws: dict[str, Tensor], count: int) -> Tensor:
        order = draws["order"].argsort(stable=True)
        other = labels[order].unsqueeze(0) != labels.unsqueeze(1)
        rank = other.cumsum(1)  # [S, S]: how many candidates, in random order, up to here
        available = rank[:, -1:]
        start = (draws["start"].unsqueeze(1) * available).long()
        steps = torch.arange(count, device=labels.device)
        wanted = (start + steps) % available.clamp(min=1) + 1
        column = torch.searchsorted(rank, wanted).clamp(max=len(labels) - 1)
        own = torch.arange(len(labels), device=labels.device).unsqueeze(1)
        return torch.where(available > 0, order[column], own)

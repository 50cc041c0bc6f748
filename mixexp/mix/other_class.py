from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from mixexp.mix import Pairing


class OtherClass(Pairing):
    """Partners of another class, uniform among those of the batch (Tokozume et al. 2018, section 3.1).

    replace false: a sample's partners differ as long as the batch has that many of other classes, and repeat beyond; true: each is
    drawn among all of them, so that two can be the same (article c's code). A single partner is as likely to be anyone either way.
    A sample for which the batch has none is its own partner.
    Differs from the paper: its code draws both images from the whole training set; the batch, as in article c, needs no second read.
    """

    added = ("replace",)

    def __init__(self, replace: bool = False) -> None:
        self.replace = replace

    def draw(self, rng: np.random.Generator, order: np.ndarray) -> dict[str, np.ndarray]:
        return self.draw_for(rng, order, 1)

    def draw_for(self, rng: np.random.Generator, order: np.ndarray, count: int) -> dict[str, np.ndarray]:
        if self.replace:
            return {"place": rng.random((len(order), count), dtype=np.float32)}
        return {"order": rng.random(len(order), dtype=np.float32), "start": rng.random(len(order), dtype=np.float32)}

    def partners(self, labels: Tensor, draws: dict[str, Tensor], count: int) -> Tensor:
        own = torch.arange(len(labels), device=labels.device)
        order = own if self.replace else draws["order"].argsort(stable=True)
        other = labels[order].unsqueeze(0) != labels.unsqueeze(1)
        rank = other.cumsum(1)  # [S, S]: how many candidates, in that order, up to here
        available = rank[:, -1:]
        if self.replace:
            wanted = (draws["place"] * available).long() + 1
        else:
            start = (draws["start"].unsqueeze(1) * available).long()
            wanted = (start + torch.arange(count, device=labels.device)) % available.clamp(min=1) + 1
        column = torch.searchsorted(rank, wanted).clamp(max=len(labels) - 1)
        return torch.where(available > 0, order[column], own.unsqueeze(1))

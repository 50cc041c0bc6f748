from __future__ import annotations

import torch
from torch import Tensor

from mixexp.mix import Pairing


class Guests(Pairing):
    """Partners from outside the batch, one an image, which join the batch behind its own images."""

    guests = True

    def partners(self, labels: Tensor, draws: dict[str, Tensor], count: int) -> Tensor:
        own = len(draws["guests"])
        return torch.arange(own, 2 * own, device=labels.device).unsqueeze(1)

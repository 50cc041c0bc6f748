from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from mixexp.augment import Augment


class Shift(Augment):
    """A sound padded with silence on both sides and cropped back to its length at a random place (Tokozume et al. 2018, ICLR).

    pad: silence on each side, as a part of the sound's length; ½ in the paper. The shift is uniform over all whole samples.
    """

    kinds = ("sound",)

    def __init__(self, pad: Annotated[float, Field(gt=0, le=1)] = 0.5) -> None:
        self.pad = pad

    def draw(self, rng: np.random.Generator, rows: int) -> dict[str, np.ndarray]:
        return {"start": rng.random(rows, dtype=np.float32)}

    def __call__(self, images: Tensor, draws: dict[str, Tensor], normalize: Callable[[Tensor], Tensor]) -> Tensor:
        length = images.shape[3]
        pad = round(self.pad * length)
        # a number just below 1 may be rounded up to it
        start = (draws["start"] * (2 * pad + 1)).long().clamp(max=2 * pad) - pad
        source = start.unsqueeze(1) + torch.arange(length, device=images.device)
        index = source.clamp(0, length - 1)[:, None, None].expand_as(images)
        silent = ((source < 0) | (source >= length))[:, None, None]
        return normalize(images.gather(3, index).masked_fill(silent, 0))

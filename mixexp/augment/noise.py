from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from mixexp.augment import Augment


class Noise(Augment):
    """Gaussian noise on the inputs, N(0, sigma²) for every value of every image, on top of another augmentation.

    at "before": sigma is in units of 0..1 for uint8 images, in the data's own for float32, and values are not cut off at the range's
    ends; "after": in units of the normalised input. The noise is drawn on the device, within the step.
    Source: Zhang et al. 2018, table 5, "Gaussian noise to inputs". Differs from the paper: which scale it means is not stated there.
    """

    def __init__(self, base: Augment, sigma: Annotated[float, Field(gt=0)], at: Literal["before", "after"] = "before") -> None:
        self.base, self.sigma, self.at = base, sigma, at
        self.kinds = base.kinds

    def check(self, shape: tuple[int, ...]) -> None:
        try:
            self.base.check(shape)
        except ValueError as error:
            raise ValueError(str(error).replace("augment.", "augment.base.", 1)) from error

    def draw(self, rng: np.random.Generator, rows: int) -> dict[str, np.ndarray]:
        return self.base.draw(rng, rows)

    def _noisy(self, x: Tensor, unit: float) -> Tensor:
        x = x.float()
        return x + unit * self.sigma * torch.randn_like(x)

    def __call__(self, images: Tensor, draws: dict[str, Tensor], normalize: Callable[[Tensor], Tensor]) -> Tensor:
        if self.at == "after":
            return self._noisy(self.base(images, draws, normalize), 1)
        unit = 255 if images.dtype == torch.uint8 else 1
        return self.base(images, draws, lambda x: normalize(self._noisy(x, unit)))

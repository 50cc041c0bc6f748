from __future__ import annotations

import numpy as np

from mixexp.mix.guests import Guests


class SecondPass(Guests):
    """Partners from a second pass over the training set in another order: mixup with two data loaders (Zhang et al. 2018, section 2).

    Both passes visit the same images an epoch, so every image is somebody's partner once.
    """

    def draw(self, rng: np.random.Generator, order: np.ndarray) -> dict[str, np.ndarray]:
        return {"guests": rng.permutation(order)}

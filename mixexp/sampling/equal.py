from __future__ import annotations

from typing import Literal

import numpy as np

from mixexp.sampling import Sampling


class Equal(Sampling):
    """As many images of every class an epoch: as many as the largest class has, or as the smallest has.

    Up to the largest (oversampling), every image is visited floor(largest/n_c) times and the rest drawn without replacement;
    down to the smallest (undersampling), a fresh part of the larger classes is drawn each epoch. Empty classes are left out.
    """

    equalises_classes = True

    def __init__(self, to: Literal["largest", "smallest"]) -> None:
        self.to = to
        self.repeats = to == "largest"

    def _per_class(self, counts: np.ndarray) -> int:
        present = counts[counts > 0]
        return int(present.max() if self.to == "largest" else present.min())

    def epoch_size(self, counts: np.ndarray) -> int:
        return self._per_class(counts) * int((counts > 0).sum())

    def order(self, labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        counts = np.bincount(labels)
        per_class = self._per_class(counts)
        parts = []
        for c in np.flatnonzero(counts):
            whole, rest = divmod(per_class, int(counts[c]))
            members = np.flatnonzero(labels == c)
            parts += [np.tile(members, whole), rng.choice(members, rest, replace=False)]
        return rng.permutation(np.concatenate(parts))

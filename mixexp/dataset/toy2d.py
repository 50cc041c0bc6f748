from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
import torch
from pydantic import Field

from mixexp import sizes
from mixexp.dataset import Dataset, Splits, check_statistics

CENTRES = {"blobs": [(-1.0, 0.0), (1.0, 0.0)], "sandwich": [(-1.0, 0.0), (0.0, 0.0), (1.0, 0.0)]}
"""Of the round clouds, which belong to classes 0 and 1 in turn."""


class Toy2D(Dataset):
    """Two classes in the plane, as many points of each but for one: two interleaving half circles (moons), two clouds, or a sandwich.

    In the sandwich class 0 has a cloud on either side of class 1's, so that points between two of its own are not its own.
    noise: standard deviation of a cloud, or of what is added to a half circle of radius 1. A point is a row of a table of two columns.
    The draw depends on the arguments alone.
    Source: scikit-learn's make_moons and make_blobs.
    """

    kind = "table"

    def __init__(
        self,
        arrangement: Literal["moons", "blobs", "sandwich"],
        noise: Annotated[float, Field(ge=0)],
        train_points: Annotated[int, Field(ge=4)] = 500,
        test_points: Annotated[int, Field(ge=4)] = 500,
        split_seed: Annotated[int, Field(ge=0, lt=2**31)] = 0,
        mean: list[float] | None = None,
        std: list[Annotated[float, Field(gt=0)]] | None = None,
    ) -> None:
        self.arrangement, self.noise, self.split_seed = arrangement, noise, split_seed
        self.train_points, self.test_points = train_points, test_points
        self.mean = None if mean is None else list(mean)
        self.std = None if std is None else list(std)

    def load(self) -> Splits:
        """Points float32 [N, 2, 1, 1]."""
        check_statistics(self.mean, self.std, channels=2)
        for name in ("train_points", "test_points"):
            sizes.require_memory(f"dataset.{name} = {getattr(self, name)}", 32.0 * getattr(self, name))  # two float64, two indices
        parts = [self._draw(count, seed) for seed, count in enumerate((self.train_points, self.test_points), 2 * self.split_seed)]
        return Splits(*parts[0], *parts[1], ("0", "1"))

    def _draw(self, count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
        from sklearn.datasets import make_blobs, make_moons  # over a second to import, which only this data set should cost

        if self.arrangement == "moons":
            points, labels = make_moons(count, noise=self.noise, random_state=seed)
        else:
            centres = CENTRES[self.arrangement]
            first = count // 2
            sizes = [count - first, first] if len(centres) == 2 else [(count - first + 1) // 2, first, (count - first) // 2]
            points, clouds = make_blobs(sizes, centers=np.array(centres), cluster_std=self.noise, random_state=seed)
            labels = clouds % 2
        return torch.from_numpy(points.astype(np.float32))[:, :, None, None], torch.from_numpy(labels.astype(np.int64))

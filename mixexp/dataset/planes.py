"""Points in the plane, drawn by a formula."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal, cast

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from mixexp.dataset import Dataset, Splits, check_statistics
from mixexp.errors import UserError
from mixexp.training import sizes

CENTRES = {"blobs": [(-1.0, 0.0), (1.0, 0.0)], "sandwich": [(-1.0, 0.0), (0.0, 0.0), (1.0, 0.0)]}
"""Centres of the round clouds, which belong to classes 0 and 1 in turn."""


class Toy2D(Dataset):
    """Two classes in the plane: two interleaving half circles (moons), two clouds (blobs), or a sandwich.

    The classes are equally large, except for one point of an odd number. In the sandwich, class 0 has a cloud on either
    side of class 1's, so that points between two of its own are not its own. A point is a row of a table of two
    columns. The draw depends only on the arguments.
    noise: standard deviation of a cloud, or of the noise on a half circle of radius 1.
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
        self.mean, self.std = mean, std

    def load(self) -> Splits:
        """Points float32 [N, 2, 1, 1]."""
        check_statistics(self.mean, self.std, channels=2)
        for name in ("train_points", "test_points"):
            # two float64, two indices
            sizes.require_memory(f"dataset.{name} = {getattr(self, name)}", 32.0 * getattr(self, name))
        parts = [
            self._draw(count, seed)
            for seed, count in enumerate((self.train_points, self.test_points), 2 * self.split_seed)
        ]
        return Splits(*parts[0], *parts[1], ("0", "1"))

    def _draw(self, count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
        from sklearn import datasets  # over a second to import, which only this data set should cost

        sklearn = cast("Any", datasets)  # it has no annotations, and takes more than its defaults seem to say
        if self.arrangement == "moons":
            points, labels = sklearn.make_moons(count, noise=self.noise, random_state=seed)
        else:
            centres = CENTRES[self.arrangement]
            first = count // 2
            sizes = (
                [count - first, first] if len(centres) == 2 else [(count - first + 1) // 2, first, (count - first) // 2]
            )
            points, clouds = sklearn.make_blobs(
                sizes, centers=np.array(centres), cluster_std=self.noise, random_state=seed
            )
            labels = clouds % 2
        return torch.from_numpy(points.astype(np.float32))[:, :, None, None], torch.from_numpy(labels.astype(np.int64))


class Gaussians(Dataset):
    """Points in the plane around equally likely modes, Gaussians of standard deviation `spread` in both directions.

    A point is a row of a table of two columns; its label is its mode. The draw depends only on the arguments.
    arrangement: ring, modes at equal distances on the unit circle, the first at (0, 1); grid, √modes × √modes of them,
    evenly spaced in [−1, 1]².
    """

    kind = "table"

    def __init__(
        self,
        arrangement: Literal["ring", "grid"],
        modes: Annotated[int, Field(ge=2)],
        spread: Annotated[float, Field(gt=0)] = 0.01,
        train_points: Annotated[int, Field(ge=1)] = 50_000,
        test_points: Annotated[int, Field(ge=1)] = 10_000,
        split_seed: Annotated[int, Field(ge=0, lt=2**63)] = 0,
        mean: list[float] | None = None,
        std: list[Annotated[float, Field(gt=0)]] | None = None,
    ) -> None:
        sizes.require_memory(f"dataset.modes = {modes}", 8.0 * modes**2)  # the confusion matrix
        self.centres = {"ring": _ring, "grid": _grid}[arrangement](modes)
        """Centres of the modes, float32 [modes, 2]."""
        self.spread, self.train_points, self.test_points, self.split_seed = (
            spread,
            train_points,
            test_points,
            split_seed,
        )
        self.mean, self.std = mean, std

    def load(self) -> Splits:
        """Points float32 [N, 2, 1, 1]; the training points are drawn first."""
        check_statistics(self.mean, self.std, channels=2)
        for name in ("train_points", "test_points"):
            # ten numbers of 8 bytes
            sizes.require_memory(f"dataset.{name} = {getattr(self, name)}", 80.0 * getattr(self, name))
        count = self.train_points + self.test_points
        # raw bits, which numpy never changes: a mode and two uniform numbers for a Gaussian pair (Box & Muller 1958)
        bits = np.random.Philox(key=self.split_seed).random_raw(3 * count).reshape(3, count)
        labels = torch.from_numpy((bits[0] % len(self.centres)).astype(np.int64))
        first, second = (bits[1:] >> 11) * 2.0**-53  # float64 in [0, 1)
        radius, angle = np.sqrt(-2 * np.log1p(-first)), 2 * np.pi * second
        normal = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
        points = (self.centres[labels].double() + self.spread * torch.from_numpy(normal)).float()[:, :, None, None]
        cut = self.train_points
        return Splits(points[:cut], labels[:cut], points[cut:], labels[cut:], tuple(map(str, range(len(self.centres)))))


def _ring(modes: int) -> Tensor:
    angle = torch.arange(modes, dtype=torch.float64) * (2 * math.pi / modes)
    return torch.stack([angle.sin(), angle.cos()], dim=1).float()


def _grid(modes: int) -> Tensor:
    side = math.isqrt(modes)
    if side * side != modes:
        raise UserError(f"dataset.modes = {modes}: a grid has a square number of them, such as {side * side or 4}")
    places = torch.linspace(-1, 1, side)
    return torch.cartesian_prod(places, places)

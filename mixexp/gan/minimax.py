from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated

from pydantic import Field
from torch import nn

from mixexp.dataset import Dataset
from mixexp.dataset.planes import Gaussians
from mixexp.gan import Objective

Positive = Annotated[int, Field(ge=1)]


class Minimax:
    """max over g, min over d: in turns, the discriminator d lowers its objective and the generator g raises its own.

    Both are fully connected networks with ReLU. A step is discriminator_steps updates of d and one of g.
    z_dim: dimensions of g's Gaussian input; width: units of a hidden layer; hidden_layers: number of hidden layers;
    discriminator_steps: updates of d for one of g; samples: generated samples in which an evaluation counts the modes;
    frame_points: number of these, and of test points, that a frame keeps; snapshots: steps with a frame, besides the
    last step.
    """

    def __init__(
        self,
        discriminator: Objective,
        generator: Objective,
        z_dim: Positive = 2,
        width: Positive = 512,
        hidden_layers: Annotated[int, Field(ge=1, le=1000)] = 3,
        discriminator_steps: Positive = 5,
        samples: Positive = 2500,
        frame_points: Positive = 1000,
        snapshots: Sequence[Positive] = (10, 100, 1000, 10_000, 20_000),
    ) -> None:
        if frame_points > samples:
            raise ValueError(
                f"gan.frame_points = {frame_points}: more than gan.samples = {samples}, of which they are the first"
            )
        self.discriminator, self.generator = discriminator, generator
        self.z_dim, self.width, self.hidden_layers = z_dim, width, hidden_layers
        self.discriminator_steps, self.samples = discriminator_steps, samples
        self.frame_points, self.snapshots = frame_points, frozenset(snapshots)

    def check(self, dataset: Dataset) -> None:
        """Raise ValueError unless the data's modes are known, in their own coordinates, with points for a frame."""
        if not isinstance(dataset, Gaussians):
            raise ValueError(
                "gan: modes can be counted only where the data set knows them; take dataset=ring or dataset=grid"
            )
        if dataset.mean != [0, 0] or dataset.std != [1, 1]:
            raise ValueError(
                "dataset.mean, dataset.std: have no effect on a run of the group gan, which is in the plane's own"
                " coordinates; leave them at 0 and 1"
            )
        if dataset.test_points < self.frame_points:
            raise ValueError(f"gan.frame_points = {self.frame_points}: the test set has {dataset.test_points} points")

    def networks(self, features: int) -> tuple[nn.Module, nn.Module]:
        """g, [N, z_dim] to [N, features], and d, to logits [N, 1], with torch's initial weights, as in mixup's code."""
        return self._perceptron(self.z_dim, features), self._perceptron(features, 1)

    def parameters(self, features: int, outputs: int) -> int:
        """Number of parameters of a network of the game, without building it."""
        return (
            (features + 1) * self.width
            + (self.hidden_layers - 1) * (self.width + 1) * self.width
            + (self.width + 1) * outputs
        )

    def _perceptron(self, features: int, outputs: int) -> nn.Module:
        sizes = [features, *[self.width] * self.hidden_layers]
        layers = [layer for a, b in pairwise(sizes) for layer in (nn.Linear(a, b), nn.ReLU())]
        return nn.Sequential(*layers, nn.Linear(self.width, outputs))

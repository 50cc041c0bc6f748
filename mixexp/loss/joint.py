from __future__ import annotations

from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from mixexp.loss import Loss
from mixexp.loss.affinity import Affinity
from mixexp.mixed import Mixed


class JointHead(nn.Module):
    """A linear classifier and an affinity head on the same features: float [B, h] → [B, 2C], the logits before the affinities."""

    def __init__(self, softmax: nn.Module, affinity: nn.Module) -> None:
        super().__init__()
        self.softmax, self.affinity = softmax, affinity

    def forward(self, features: Tensor) -> Tensor:
        return torch.cat([self.softmax(features), self.affinity(features)], 1)


class Joint(Loss):
    """Softmax trained alongside the affinity loss: cross-entropy + weight·(L_mm + R), two heads on one network (article b's advice).

    outputs: float [B, 2C], as JointHead gives them. affinity: the affinity loss, whose penalty counts with the same weight.
    predicts: which of the two heads names the class. Mixed labels: as cross-entropy and the affinity loss each take them.
    Differs from the paper: the article only says to train softmax alongside; weight and the two heads are ours.
    """

    linear_in_target = False

    def __init__(
        self, affinity: Affinity, weight: Annotated[float, Field(gt=0)] = 1.0, predicts: Literal["affinity", "softmax"] = "affinity"
    ) -> None:
        super().__init__()
        self.affinity, self.weight, self.predicts = affinity, weight, predicts

    def head(self, num_features: int, num_classes: int) -> nn.Module:
        return JointHead(nn.Linear(num_features, num_classes), self.affinity.head(num_features, num_classes))

    def scores(self, outputs: Tensor) -> Tensor:
        logits, affinities = outputs.chunk(2, 1)
        return self.affinity.scores(affinities) if self.predicts == "affinity" else logits

    def forward(self, outputs: Tensor, labels: Mixed) -> Tensor:
        logits, affinities = outputs.chunk(2, 1)
        cross_entropy = labels.average(lambda y: F.cross_entropy(logits, y, reduction="none"))
        return cross_entropy + self.weight * self.affinity(affinities, labels)

    def penalty(self, head: nn.Module) -> Tensor:
        return self.weight * self.affinity.penalty(head.affinity)

"""The affinity loss, alone and with softmax trained alongside."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from mixexp.labels import MixedLabels
from mixexp.loss import Loss

Start = Literal["he", "keras_he", "colliding"]
TRUNCATED = 0.87962566103423978
"""Standard deviation of a standard normal variable truncated at ±2 (values outside are drawn again)."""


def keras_he_normal(classes: int, centres: int, features: int) -> Tensor:
    """Initial weight [C, m, h], float32, of Keras's he_normal: N(0, 2/(C·m)) cut at ±2 / 0.8796 standard deviations.

    Keras treats a weight with three axes as a convolution, so that fan_in is C·m instead of the h features.
    """
    deviation = (2 / (classes * centres)) ** 0.5 / TRUNCATED
    return nn.init.trunc_normal_(
        torch.empty(classes, centres, features), std=deviation, a=-2 * deviation, b=2 * deviation
    )


class AffinityHead(nn.Module):
    """Affinity of features to class centres, d(f, w_j) = max_t exp(−‖f − w_jt‖² / σ) (Hayat et al. 2019, eq. 4 and 8).

    features: float [B, h] → float32 [B, C] in (0, 1]. centres: learnable, float32 [C, m, h], initialised as init says
    (see Affinity).
    """

    def __init__(self, num_features: int, num_classes: int, sigma: float, centres: int, init: Start = "he") -> None:
        super().__init__()
        self.sigma = sigma
        shape = num_classes, centres, num_features
        self.centres = nn.Parameter(
            torch.randn(shape) * (2 / num_features) ** 0.5 if init == "he" else keras_he_normal(*shape)
        )
        if init == "colliding":
            with torch.no_grad():
                self.centres[1] = self.centres[0]

    def forward(self, features: Tensor) -> Tensor:
        # float32 even under autocast: exp(−d²/σ) magnifies a rounding error of d² by its size
        with torch.autocast("cpu" if features.is_meta else features.device.type, enabled=False):
            # subtract, then square: ‖f‖² − 2f·w + ‖w‖² loses the digits of a small distance between long vectors
            difference = features.to(self.centres.dtype)[:, None, None] - self.centres
            return torch.exp(-difference.square().sum(3).amin(2) / self.sigma)


class Affinity(Loss):
    """Max-margin loss Σ_{j≠y} max(0, λ + d(f, w_j) − d(f, w_y)) on Gaussian affinities d (Hayat et al. 2019, eq. 5).

    Its penalty is the diversity term R(w), which makes all centres equidistant (eq. 7): the mean over pairs of centres
    of (‖w_j − w_k‖² − μ)², where μ is the mean of these squared distances. Mixed labels: the average of the two labels'
    losses.
    sigma: σ; margin: λ; centres: m centres per class; diversity: weight of R; batchnorm: a BatchNorm before the head,
    which helps in low dimension (koshian2_affinity); init: initial centres: he, N(0, 2/h); keras_he, as wide as
    koshian2_affinity's (keras_he_normal); colliding, as keras_he, but with class 1's centres equal to class 0's, the
    saddle that koshian2_affinity warns of.
    Differs from the paper: some experiments take optimiser, σ, λ and m from koshian2_affinity, and say so; R counts
    once, with weight 1.
    """

    linear_in_target = False
    added = ("init",)

    def __init__(
        self,
        sigma: Annotated[float, Field(gt=0)],
        margin: Annotated[float, Field(gt=0)],
        centres: Annotated[int, Field(gt=0)] = 1,
        diversity: Annotated[float, Field(ge=0)] = 1.0,
        batchnorm: bool = False,
        init: Start = "he",
    ) -> None:
        super().__init__()
        self.sigma, self.margin, self.centres, self.diversity, self.batchnorm = (
            sigma,
            margin,
            centres,
            diversity,
            batchnorm,
        )
        self.init: Start = init

    def head(self, num_features: int, num_classes: int) -> nn.Module:
        before = nn.BatchNorm1d(num_features) if self.batchnorm else nn.Identity()
        return nn.Sequential(before, AffinityHead(num_features, num_classes, self.sigma, self.centres, self.init))

    def forward(self, outputs: Tensor, labels: MixedLabels) -> Tensor:
        def loss_of(y: Tensor) -> Tensor:
            label_affinity = outputs.gather(1, y.unsqueeze(1))
            hinge = F.relu(self.margin + outputs - label_affinity)
            return hinge.scatter(1, y.unsqueeze(1), 0.0).sum(1)

        return labels.weighted_loss(loss_of)

    def scores(self, outputs: Tensor) -> Tensor:
        # −d²/σ: the softmax of affinities near 0, which an attack differentiates, would have no gradient
        return outputs.clamp(min=torch.finfo(outputs.dtype).tiny).log()

    def penalty(self, head: Any) -> Tensor:
        centres = head[1].centres.flatten(0, 1)
        first, second = torch.triu_indices(len(centres), len(centres), offset=1, device=centres.device)
        squared = (centres[first] - centres[second]).square().sum(1)
        return self.diversity * (squared - squared.mean()).square().mean()


class JointHead(nn.Module):
    """A linear classifier and an affinity head on the same features: float [B, h] → [B, 2C], logits first."""

    def __init__(self, softmax: nn.Module, affinity: nn.Module) -> None:
        super().__init__()
        self.softmax, self.affinity = softmax, affinity

    def forward(self, features: Tensor) -> Tensor:
        return torch.cat([self.softmax(features), self.affinity(features)], 1)


class Joint(Loss):
    """Cross-entropy and affinity loss on one network with two heads: CE + weight·(L_mm + R) (koshian2_affinity).

    outputs: float [B, 2C], as JointHead gives them. Mixed labels: cross-entropy and the affinity loss each treat them
    in their own way.
    affinity: the affinity loss, whose penalty has the same weight; weight: of the affinity loss and its penalty;
    predicts: the head that predicts the class.
    Differs from the paper: the article only says to train softmax alongside; weight and the two heads are ours.
    """

    linear_in_target = False

    def __init__(
        self,
        affinity: Affinity,
        weight: Annotated[float, Field(gt=0)] = 1.0,
        predicts: Literal["affinity", "softmax"] = "affinity",
    ) -> None:
        super().__init__()
        self.affinity, self.weight, self.predicts = affinity, weight, predicts

    def head(self, num_features: int, num_classes: int) -> nn.Module:
        return JointHead(nn.Linear(num_features, num_classes), self.affinity.head(num_features, num_classes))

    def scores(self, outputs: Tensor) -> Tensor:
        logits, affinities = outputs.chunk(2, 1)
        return self.affinity.scores(affinities) if self.predicts == "affinity" else logits

    def forward(self, outputs: Tensor, labels: MixedLabels) -> Tensor:
        logits, affinities = outputs.chunk(2, 1)
        cross_entropy = labels.weighted_loss(lambda y: F.cross_entropy(logits, y, reduction="none"))
        return cross_entropy + self.weight * self.affinity(affinities, labels)

    def penalty(self, head: Any) -> Tensor:
        return self.weight * self.affinity.penalty(head.affinity)

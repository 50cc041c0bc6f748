"""Label-distribution-aware margin loss, and the normalised classifier that it needs."""

from __future__ import annotations

from typing import Annotated

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from mixexp.labels import MixedLabels
from mixexp.loss import Loss
from mixexp.loss.cross_entropy import Beta, ClassWeights, make_class_weights, require_images


class CosineHead(nn.Module):
    """Cosine of the angle between features and each class's weight vector (Cao et al. 2019).

    features: float [B, h] → float32 [B, C] in [−1, 1]; no bias. weight: float32 [C, h], initially in random directions.
    """

    def __init__(self, num_features: int, num_classes: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(F.normalize(torch.empty(num_classes, num_features).uniform_(-1, 1)))

    def forward(self, features: Tensor) -> Tensor:
        # float32 even under autocast: the loss multiplies a rounding error by its scale
        with torch.autocast("cpu" if features.is_meta else features.device.type, enabled=False):
            return F.normalize(features.to(self.weight.dtype)) @ F.normalize(self.weight).T


class LDAM(Loss):
    """Cross-entropy of s·(cos θ_c − [c = y]·Δ_y) with margins Δ_c = margin·(n_min/n_c)^¼ (Cao et al. 2019).

    The outputs are cosines, from CosineHead; predictions use no margin. Mixed labels: the average of the two labels'
    losses, each with the margin of its own class.
    scale: s; margin: of the smallest class, the largest of all; class_weights, beta: as for CrossEntropy. The paper's
    LDAM-DRW weighs classes in the last epochs alone.
    Raises ValueError for a class without training images.
    Differs from the paper: nothing in the loss; with class weights, the mean over the batch is not divided by them.
    """

    linear_in_target = False

    def __init__(
        self,
        class_counts: np.ndarray,
        scale: Annotated[float, Field(gt=0)] = 30.0,
        margin: Annotated[float, Field(ge=0)] = 0.5,
        class_weights: ClassWeights = "none",
        beta: Beta = 0.9999,
    ) -> None:
        super().__init__()
        require_images("loss: its margins need every class", class_counts)
        self.scale = scale
        self.weighs_classes = class_weights != "none"
        self.weights: Tensor | None
        self.register_buffer("weights", make_class_weights(class_weights, class_counts, beta))
        self.margins: Tensor
        margins = margin * (class_counts.min() / class_counts) ** 0.25
        self.register_buffer("margins", torch.tensor(margins, dtype=torch.float32))

    def head(self, num_features: int, num_classes: int) -> nn.Module:
        return CosineHead(num_features, num_classes)

    def forward(self, outputs: Tensor, labels: MixedLabels) -> Tensor:
        def loss_of(y: Tensor) -> Tensor:
            margin = self.margins[y].to(outputs.dtype).unsqueeze(1)
            lowered = outputs.scatter_add(1, y.unsqueeze(1), -margin)
            return F.cross_entropy(self.scale * lowered, y, self.weights, reduction="none")

        return labels.weighted_loss(loss_of)

    def scores(self, outputs: Tensor) -> Tensor:
        return self.scale * outputs

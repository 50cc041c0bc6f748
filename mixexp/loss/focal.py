from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import Field
from torch import Tensor

from mixexp.labels import MixedLabels
from mixexp.loss import Loss
from mixexp.loss.cross_entropy import Beta, ClassWeights, make_class_weights


class Focal(Loss):
    """−(1 − p_y)^γ·log p_y with p = softmax(outputs) (Lin et al. 2017, eq. 4).

    Mixed labels: the average of the two labels' losses.
    gamma: γ, where 0 is cross-entropy; class_weights: the paper's α per class, a list or as make_class_weights names
    them; beta: β of the effective number (Cui et al. 2019).
    Differs from the paper: softmax over classes instead of one sigmoid per class.
    """

    linear_in_target = False
    added = ("beta",)

    def __init__(
        self,
        class_counts: np.ndarray,
        gamma: Annotated[float, Field(ge=0)] = 2.0,
        class_weights: ClassWeights = "none",
        beta: Beta = 0.9999,
    ) -> None:
        super().__init__()
        self.gamma = gamma
        self.weighs_classes = class_weights != "none"
        self.weights: Tensor | None
        self.register_buffer("weights", make_class_weights(class_weights, class_counts, beta))

    def forward(self, outputs: Tensor, labels: MixedLabels) -> Tensor:
        log_p = outputs.log_softmax(1)

        def loss_of(y: Tensor) -> Tensor:
            log_p_y = log_p.gather(1, y.unsqueeze(1)).squeeze(1)
            # 1 − p as −expm1(log p): exact for p near 1, where 1 − p rounds to 0 and its power has no gradient
            focus = (-log_p_y.expm1()).clamp(min=1e-12) ** self.gamma
            return -focus * log_p_y if self.weights is None else -self.weights[y] * focus * log_p_y

        return labels.weighted_loss(loss_of)

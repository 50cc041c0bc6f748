from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from mixexp.loss import Loss
from mixexp.loss.class_weights import class_weights as make_weights
from mixexp.mixed import Mixed


class CrossEntropy(Loss):
    """−Σ_c t_c·log softmax(outputs)_c, for mixed labels the weighted average of two (Zhang et al. 2018, equal by linearity).

    label_smoothing ε: t gives ε/C to every class and 1 − ε more to its own (Szegedy et al. 2016). class_weights w:
    −Σ_c w_c·t_c·log softmax(outputs)_c; the mean over the batch is not divided by the weights, unlike torch's "mean".
    """

    linear_in_target = True

    def __init__(
        self,
        class_counts: np.ndarray,
        label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0,
        class_weights: Literal["none", "balanced"] | list[Annotated[float, Field(ge=0)]] = "none",
    ) -> None:
        super().__init__()
        self.label_smoothing = label_smoothing
        self.weighs_classes = class_weights != "none"
        self.register_buffer("weights", make_weights(class_weights, class_counts))

    def forward(self, outputs: Tensor, labels: Mixed) -> Tensor:
        return labels.average(
            lambda y: F.cross_entropy(outputs, y, self.weights, reduction="none", label_smoothing=self.label_smoothing)
        )

from __future__ import annotations

from typing import Annotated

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from mixexp.labels import MixedLabels
from mixexp.loss import Loss
from mixexp.loss.cross_entropy import require_images


class LogitAdjustment(Loss):
    """Cross-entropy of outputs + τ·log π, where π_c = n_c/N is a class's share of the training images.

    It is the logit-adjusted loss of Menon et al. 2021 and, with τ = 1, the balanced softmax of Ren et al. 2020.
    Predictions use the outputs as they are, so that the loss on test images is not that of the predictions.
    Mixed labels: as cross-entropy, by linearity.
    tau: τ, where 0 is cross-entropy. With label noise, n_c are the counts of the noisy labels, on which it trains.
    Raises ValueError for a class without training images.
    Differs from the paper: nothing.
    """

    linear_in_target = True

    def __init__(self, class_counts: np.ndarray, tau: Annotated[float, Field(ge=0)] = 1.0) -> None:
        super().__init__()
        require_images("loss: the logarithms of the class sizes need every class", class_counts)
        self.weighs_classes = tau > 0
        self.offsets: Tensor
        offsets = tau * np.log(class_counts / class_counts.sum())
        self.register_buffer("offsets", torch.tensor(offsets, dtype=torch.float32))

    def forward(self, outputs: Tensor, labels: MixedLabels) -> Tensor:
        adjusted = outputs + self.offsets
        return labels.weighted_loss(lambda y: F.cross_entropy(adjusted, y, reduction="none"))

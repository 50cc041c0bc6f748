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


class ClassDependentTemperatures(Loss):
    """Cross-entropy of outputs_c / a_c with temperatures a_c = (n_max/n_c)^γ (CDT; Ye et al. 2020).

    A small class has to reach larger outputs. Predictions use the outputs without temperatures, so that the loss on
    test images is not that of the predictions. Mixed labels: as cross-entropy, by linearity.
    gamma: γ, where 0 is cross-entropy.
    Raises ValueError for a class without training images.
    Differs from the paper: nothing.
    """

    linear_in_target = True

    def __init__(self, class_counts: np.ndarray, gamma: Annotated[float, Field(ge=0)] = 0.2) -> None:
        super().__init__()
        require_images("loss: its temperatures need every class", class_counts)
        self.weighs_classes = gamma > 0
        self.temperatures: Tensor
        temperatures = (class_counts.max() / class_counts) ** gamma
        self.register_buffer("temperatures", torch.tensor(temperatures, dtype=torch.float32))

    def forward(self, outputs: Tensor, labels: MixedLabels) -> Tensor:
        cooled = outputs / self.temperatures
        return labels.weighted_loss(lambda y: F.cross_entropy(cooled, y, reduction="none"))

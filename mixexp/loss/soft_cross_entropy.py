from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from mixexp.loss import Loss
from mixexp.mixed import Mixed


class SoftCrossEntropy(Loss):
    """−Σ_c t_c·log softmax(outputs)_c of the blended label t itself: mixup's other formulation (Zhang et al. 2018, section 2).

    Equal to CrossEntropy, which blends two losses, as the loss is linear in t; the numbers agree to rounding.
    Differs from the paper: nothing.
    """

    linear_in_target = True

    def forward(self, outputs: Tensor, labels: Mixed) -> Tensor:
        return F.cross_entropy(outputs, labels.soft(outputs.shape[1]).to(outputs.dtype), reduction="none")

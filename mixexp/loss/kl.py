from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from mixexp.loss import Loss
from mixexp.mixed import Mixed


class KL(Loss):
    """Kullback-Leibler divergence Σ_c t_c·(log t_c − log softmax(outputs)_c) (Tokozume et al. 2018, eq. 4).

    Cross-entropy less the entropy of the label: same gradient, and 0 for a perfect prediction. Not linear in the target only by
    that constant; it is computed on the soft label.
    """

    linear_in_target = False

    def forward(self, outputs: Tensor, labels: Mixed) -> Tensor:
        target = labels.soft(outputs.shape[1])
        return F.kl_div(outputs.log_softmax(1), target, reduction="none").sum(1)

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from mixexp.labels import MixedLabels
from mixexp.loss import Loss


class BinaryCrossEntropy(Loss):
    """Σ_c −t_c·log p_c − (1 − t_c)·log(1 − p_c): a binary cross-entropy for every class.

    of: p = softmax(outputs) (manifold mixup's code, ``BCELoss(softmax(outputs), t)``) or one sigmoid per class;
    target: t is the mixed label, or 1 for every class in the blend with a weight above 0 (between-class learning's
    label ablation, "multi"); over_classes: "sum" as written above, or "mean" over the C classes, as in torch's BCELoss
    and so in manifold mixup's code.
    Both logarithms are computed from the outputs, which keeps precision where p rounds to 0 or 1.
    Differs from the paper: there, torch's BCELoss gives 100, without a gradient, for the logarithm of a p that has
    rounded to 0.
    """

    def __init__(
        self,
        of: Literal["softmax", "sigmoid"],
        target: Literal["mixed", "present"] = "mixed",
        over_classes: Literal["sum", "mean"] = "sum",
    ) -> None:
        super().__init__()
        self.of, self.target, self.over_classes = of, target, over_classes
        self.linear_in_target = target == "mixed"

    def forward(self, outputs: Tensor, labels: MixedLabels) -> Tensor:
        target = labels.to_one_hot(outputs.shape[1])
        if self.target == "present":
            target = (target > 0).float()
        if self.of == "sigmoid":
            losses = F.binary_cross_entropy_with_logits(outputs, target.to(outputs.dtype), reduction="none")
        else:
            losses = -target * outputs.log_softmax(1) - (1 - target) * log_rest(outputs)
        return losses.sum(1) if self.over_classes == "sum" else losses.mean(1)


def log_rest(outputs: Tensor) -> Tensor:
    """log(1 − softmax(outputs)), float [B, C], from outputs, float [B, C], with C ≥ 2.

    Only the largest p of a row can round to 1, so its complement is the sum of all others. Every other p is at most ½.
    """
    top = outputs.argmax(1, keepdim=True)
    others = outputs.scatter(1, top, -torch.inf).logsumexp(1, keepdim=True) - outputs.logsumexp(1, keepdim=True)
    # -1 is a placeholder for the replaced entry: log1p(-exp(0)) has no gradient, not even one multiplied by 0
    log_p = outputs.log_softmax(1).scatter(1, top, -1.0)
    return (-log_p.exp()).log1p().scatter(1, top, others)

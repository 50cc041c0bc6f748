from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from mixexp.labels import MixedLabels
from mixexp.loss import Loss

Smoothing = Annotated[float, Field(ge=0, lt=1)]


class LabelAwareSmoothing(Loss):
    """Cross-entropy with more label smoothing for larger classes (Zhong et al. 2021).

    −(1 − ε_y)·log p_y − ε_y·mean_c log p_c with p = softmax(outputs), ε_c = ε_tail + (ε_head − ε_tail)·g(r_c) and
    r_c = (n_c − n_min)/(n_max − n_min): g(r) = sin(½πr) for concave, r for linear, 1 − cos(½πr) for convex. Where all
    classes are equal, every ε is ε_head. Mixed labels: as cross-entropy, by linearity.
    smooth_head, smooth_tail: ε of the largest and of the smallest class; shape: of the curve between them.
    Differs from the paper: ε_y is spread over all classes, as in its code and as for CrossEntropy; the paper's equation
    spreads it over the other C − 1. There it is for the second stage, on a fixed network.
    """

    linear_in_target = True

    def __init__(
        self,
        class_counts: np.ndarray,
        smooth_head: Smoothing = 0.3,
        smooth_tail: Smoothing = 0.0,
        shape: Literal["concave", "linear", "convex"] = "concave",
    ) -> None:
        super().__init__()
        if smooth_tail > smooth_head:
            raise ValueError(
                f"loss.smooth_tail = {smooth_tail}: at most loss.smooth_head = {smooth_head}, so that larger classes"
                " are smoothed more"
            )
        smallest, largest = class_counts.min(), class_counts.max()
        rank = (class_counts - smallest) / (largest - smallest) if largest > smallest else np.ones(len(class_counts))
        angle = np.pi / 2 * rank
        curve = {"concave": np.sin(angle), "linear": rank, "convex": 1 - np.cos(angle)}[shape]
        self.smoothing: Tensor
        smoothing = smooth_tail + (smooth_head - smooth_tail) * curve
        self.register_buffer("smoothing", torch.tensor(smoothing, dtype=torch.float32))

    def forward(self, outputs: Tensor, labels: MixedLabels) -> Tensor:
        log_p = outputs.log_softmax(1)
        mean = log_p.mean(1)

        def loss_of(y: Tensor) -> Tensor:
            smoothing = self.smoothing[y]
            return -(1 - smoothing) * log_p.gather(1, y.unsqueeze(1)).squeeze(1) - smoothing * mean

        return labels.weighted_loss(loss_of)

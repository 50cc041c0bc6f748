"""Cross-entropy: averaged over a blend's labels, of the blended label, and as the divergence from it."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from mixexp.labels import MixedLabels
from mixexp.loss import Loss

ClassWeights = Literal["none", "balanced", "effective_number"] | list[Annotated[float, Field(ge=0)]]
Beta = Annotated[float, Field(ge=0, lt=1)]


def require_images(setting: str, counts: np.ndarray) -> None:
    """Raise ValueError, which names the setting, where a class has no training image; counts: int64 [C]."""
    if counts.min() == 0:
        raise ValueError(f"{setting}: class {counts.argmin()} has no training image")


def make_class_weights(weights: str | list[float], counts: np.ndarray, beta: float = 0.0) -> Tensor | None:
    """Class weights, float32 [C]: the given list, or by name; None for "none".

    balanced: N/(C·n_c) (King & Zeng 2001), whose mean over the images is 1. effective_number: proportional to
    (1 − β)/(1 − β^n_c), with sum C (Cui et al. 2019); equal weights at β = 0, and in proportion to
    1/n_c as β → 1.
    counts: training images per class, int64 [C]. Raises ValueError for a list of the wrong length, for a list of zeros,
    and, with a name, for a class without images.
    """
    if weights == "none":
        return None
    if isinstance(weights, str):
        require_images(f"loss.class_weights = {weights}", counts)
    if weights == "balanced":
        return torch.tensor(counts.sum() / (len(counts) * counts), dtype=torch.float32)
    if weights == "effective_number":
        # 1 − β^n as −expm1(n·log β), exact for β near 1; β = 0 has no logarithm, and weighs all classes alike
        unequal = -1 / np.expm1(counts * np.log(beta)) if beta > 0 else np.ones(len(counts))
        return torch.tensor(unequal * len(counts) / unequal.sum(), dtype=torch.float32)
    if len(weights) != len(counts):
        raise ValueError(f"loss.class_weights: {len(weights)} weights for {len(counts)} classes")
    if not any(weights):
        raise ValueError(f"loss.class_weights = {weights}: at least one weight must be above 0")
    return torch.tensor(weights, dtype=torch.float32)


class CrossEntropy(Loss):
    """−Σ_c t_c·log softmax(outputs)_c; for mixed labels the weighted average of two (Zhang et al. 2018).

    The average equals the loss of the blended label by linearity.
    label_smoothing: ε, where t gives ε/C to every class and 1 − ε more to its own (Szegedy et al. 2016);
    class_weights: w in −Σ_c w_c·t_c·log softmax(outputs)_c, a list or as make_class_weights names them; beta: β of the
    effective number (Cui et al. 2019).
    The mean over the batch is not divided by the weights, unlike torch's "mean".
    """

    linear_in_target = True
    added = ("beta",)

    def __init__(
        self,
        class_counts: np.ndarray,
        label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0,
        class_weights: ClassWeights = "none",
        beta: Beta = 0.9999,
    ) -> None:
        super().__init__()
        self.label_smoothing = label_smoothing
        self.weighs_classes = class_weights != "none"
        self.weights: Tensor | None
        self.register_buffer("weights", make_class_weights(class_weights, class_counts, beta))

    def forward(self, outputs: Tensor, labels: MixedLabels) -> Tensor:
        return labels.weighted_loss(
            lambda y: F.cross_entropy(outputs, y, self.weights, reduction="none", label_smoothing=self.label_smoothing)
        )


class SoftCrossEntropy(Loss):
    """−Σ_c t_c·log softmax(outputs)_c of the blended label t: mixup's other formulation (Zhang et al. 2018, section 2).

    It equals CrossEntropy, which blends two losses, because the loss is linear in t; the values agree to rounding.
    Differs from the paper: nothing.
    """

    linear_in_target = True

    def forward(self, outputs: Tensor, labels: MixedLabels) -> Tensor:
        return F.cross_entropy(outputs, labels.to_one_hot(outputs.shape[1]).to(outputs.dtype), reduction="none")


class KL(Loss):
    """Kullback-Leibler divergence Σ_c t_c·(log t_c − log softmax(outputs)_c) (Tokozume et al. 2018, eq. 4).

    Cross-entropy minus the entropy of the label: the same gradient, and 0 for a perfect prediction. It is computed on
    the soft label; only this entropy makes it not linear in the target.
    """

    linear_in_target = False

    def forward(self, outputs: Tensor, labels: MixedLabels) -> Tensor:
        target = labels.to_one_hot(outputs.shape[1])
        return F.kl_div(outputs.log_softmax(1), target, reduction="none").sum(1)

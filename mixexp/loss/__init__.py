"""Contract of the loss group: one value per sample from outputs and mixed labels, and optionally an own head."""

from __future__ import annotations

import abc

import torch
from torch import Tensor, nn

from mixexp.labels import MixedLabels


class Loss(nn.Module, abc.ABC):
    """A loss of one value per sample; the training loop takes the mean and adds the penalty.

    A constructor may take class_counts, int64 [C]: the training images per class, after imbalance and label noise,
    before over- or undersampling. The program passes it; it is not a YAML setting.
    """

    linear_in_target: bool
    """True: the loss of a soft label is the average of its labels' losses. False: the docstring says which it takes."""
    accepts_mixed: bool = True
    """False: blended labels have no meaning for it, so that it needs a mix that keeps one label."""
    weighs_classes: bool = False
    """True: it corrects for class sizes, as oversampling and undersampling also do."""

    def head(self, num_features: int, num_classes: int) -> nn.Module:
        """The classifier, from features, float [B, num_features], to outputs, float [B, C] for most losses."""
        return nn.Linear(num_features, num_classes)

    def scores(self, outputs: Tensor) -> Tensor:
        """Scores per class, float [B, C], larger for likelier classes, as logits are; by default the outputs."""
        return outputs

    def predict(self, outputs: Tensor) -> Tensor:
        """Predicted classes, int64 [B], from outputs: the class with the largest score."""
        return self.scores(outputs).argmax(1)

    @abc.abstractmethod
    def forward(self, outputs: Tensor, labels: MixedLabels) -> Tensor:
        """Loss of every sample, float32 [B], from outputs, float32 [B, C]."""

    def phase(self, epoch: int, epochs: float) -> int:
        """Number of the phase of an epoch, counted from 0, of a run of `epochs`: 0, unless it changes during a run."""
        return 0

    def enter(self, phase: int) -> None:
        """Change to a phase, by tensors in place: compiled steps go on."""

    def check_budget(self, epochs: float) -> None:
        """Raise ValueError if a setting has no effect in a run of this many epochs."""

    def penalty(self, head: nn.Module) -> Tensor:
        """Scalar regulariser of the head, which the loop adds once per batch; 0 by default."""
        return torch.zeros(())

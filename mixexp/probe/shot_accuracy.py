from __future__ import annotations

from typing import Literal

import numpy as np
import torch

from mixexp.evaluate import evaluate
from mixexp.metrics import FEW, MANY, by_class, by_limits, by_thirds
from mixexp.probe import Probe, Rows, Subject

GROUPS = ("many", "medium", "few")
COLUMNS = {
    "limits": (f"many_over_{MANY}", f"medium_{FEW}_to_{MANY}", f"few_under_{FEW}"),
    "thirds": ("many_largest_third", "medium_middle_third", "few_smallest_third"),
}
"""The columns of the groups, by the rule that they are named after."""


class ShotAccuracy(Probe):
    """Mean recall, on the test images, of the classes with many, medium and few training images.

    rule: limits, more than 100 images of a class, 20 to 100, and fewer than 20 (Liu et al. 2019); thirds, the classes
    in thirds by their number of images, those of one size together, whose largest are many and whose smallest are few
    (metrics.by_thirds); while_training: at every evaluation.
    Rows of shot_accuracy: one column for each group, whose name has the rule, empty for a group without classes.
    Classes without test images do not count.
    Differs from the paper: with limits, nothing. Codes for CIFAR-LT cut elsewhere: MiSLAS cuts CIFAR-100 at the classes
    36 and 71, in the order of their size, whatever these are.
    """

    def __init__(self, rule: Literal["limits", "thirds"] = "limits", while_training: bool = False) -> None:
        self.rule, self.while_training = rule, while_training
        self.files = {"shot_accuracy": COLUMNS[rule]}

    def measure(self, subject: Subject) -> dict[str, Rows]:
        classes = len(subject.classes)
        counts = torch.bincount(subject.train.labels, minlength=classes).tolist()
        groups = np.array(by_limits(counts) if self.rule == "limits" else by_thirds(counts))
        confusion, _ = evaluate(subject.network, subject.loss, subject.test, subject.normalize, classes, subject.run)
        subject.network.eval()  # evaluate leaves it in training mode
        scores = by_class(confusion)
        recalls = [scores["recall"][(groups == group) & (scores["images"] > 0)] for group in GROUPS]
        means = [float(recall.mean()) if len(recall) else None for recall in recalls]
        return {"shot_accuracy": [dict(zip(COLUMNS[self.rule], means, strict=True))]}

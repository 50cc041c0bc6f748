"""Metrics of a run, from confusion matrices and from its evaluations. NumPy only, so that reports need no torch."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

import numpy as np

NAMES = ("accuracy", "macro_f1", "micro_f1", "balanced_accuracy")
FRACTIONS = (*NAMES, *(f"val_{name}" for name in NAMES), "error")
"""Metrics that are shown in per cent."""
RULES = {
    "last": "last evaluation",
    "median_last_10": "median of the last 10 evaluations",
    "best": "best on test",
    "best_validation": "at the best validation accuracy",
}
"""Selection rule → its name in reports."""
MANY, FEW = 100, 20
"""The training images of a class above which they are many, and below which they are few.

Liu et al. 2019 and Kang et al. 2020 use these limits.
"""


def confusion_matrix(true: np.ndarray, predicted: np.ndarray, num_classes: int) -> np.ndarray:
    """The confusion matrix, int64 [C, C] with the true class in rows, of labels, int64 [N], and predictions."""
    return np.bincount(true * num_classes + predicted, minlength=num_classes**2).reshape(num_classes, num_classes)


def scores(confusion: np.ndarray) -> dict[str, float]:
    """Accuracy, macro and micro F1 and balanced accuracy, as fractions, of a confusion matrix.

    confusion: int [C, C], rows = true class. F1 of a class is 2·TP / (2·TP + FP + FN), 0 if the class neither occurs
    nor is predicted. Macro F1 is its mean over all classes that occur or are predicted; micro F1 pools the counts,
    which for single-label data equals accuracy. Balanced accuracy is the mean recall of the classes that occur. The
    values agree with scikit-learn's functions of the same names. Raises ValueError for an empty matrix.
    """
    confusion = np.asarray(confusion, dtype=np.int64)
    hits = np.diag(confusion)
    true, predicted = confusion.sum(axis=1), confusion.sum(axis=0)
    total = int(true.sum())
    if total == 0:
        raise ValueError("an empty confusion matrix has no scores")
    seen = (true + predicted) > 0
    f1 = 2 * hits[seen] / (true + predicted)[seen]
    recall = hits[true > 0] / true[true > 0]
    accuracy = float(hits.sum() / total)
    return {
        "accuracy": accuracy,
        "macro_f1": float(f1.mean()),
        "micro_f1": accuracy,
        "balanced_accuracy": float(recall.mean()),
    }


def by_class(confusion: np.ndarray) -> dict[str, np.ndarray]:
    """Per class the number of images, int [C], and recall, precision and F1, float [C], 0 for a zero denominator."""
    confusion = np.asarray(confusion, dtype=np.int64)
    hits, true, predicted = np.diag(confusion), confusion.sum(axis=1), confusion.sum(axis=0)
    ratios = {"recall": (hits, true), "precision": (hits, predicted), "f1": (2 * hits, true + predicted)}
    return {
        "images": true,
        **{
            name: np.divide(above, below, out=np.zeros(len(hits)), where=below > 0)
            for name, (above, below) in ratios.items()
        },
    }


def by_limits(counts: Sequence[int]) -> list[str]:
    """The group of each class by its number of training images."""
    return ["many" if count > MANY else "few" if count < FEW else "medium" for count in counts]


def by_thirds(counts: Sequence[int]) -> list[str]:
    """The group of each class by its rank among all; those of one size are together, at their middle rank.

    The largest classes are many and the smallest few, even if several have one size.
    """
    ordered = sorted(counts, reverse=True)
    middles = {count: ordered.index(count) + ordered.count(count) / 2 for count in counts}
    third = len(counts) / 3

    def group(count: int) -> str:
        if count == ordered[0] or (middles[count] < third and count != ordered[-1]):
            return "many"
        return "few" if count == ordered[-1] or middles[count] > 2 * third else "medium"

    return [group(count) for count in counts]


def select(values: Sequence[float], rule: str, better: str, held_out: Sequence[float] = ()) -> float:
    """The value of a run, from its evaluations in order, by a selection rule; held_out: their validation accuracies."""
    if rule == "best_validation":
        return values[held_out.index(max(held_out))]
    if rule == "last":
        return values[-1]
    if rule == "median_last_10":
        return statistics.median(values[-10:])
    return max(values) if better == "higher" else min(values)

from __future__ import annotations

import torch

from mixexp.evaluate import evaluate
from mixexp.metrics import by_class
from mixexp.probe import Probe, Rows, Subject


class ByClass(Probe):
    """Recall, precision and F1 of each class on the test images: which classes a network has learned, and when.

    recall = TP / (TP + FN), precision = TP / (TP + FP), F1 = 2·TP / (2·TP + FP + FN), each 0 where its denominator is.
    Rows of by_class: class, train_images, test_images, size ("minority" of a class with fewer than half as many training images as the
    largest has, else "majority"), recall, precision, f1; a row for each class at each evaluation.
    Differs from the paper: none defines it; koshian2_affinity has macro F1, the mean of the column f1 alone.
    """

    files = {"by_class": ("class", "train_images", "test_images", "size", "recall", "precision", "f1")}

    def __init__(self, while_training: bool = True) -> None:
        self.while_training = while_training

    def measure(self, subject: Subject) -> dict[str, Rows]:
        classes = len(subject.classes)
        trained = torch.bincount(subject.train.labels, minlength=classes).tolist()
        confusion, _ = evaluate(subject.network, subject.loss, subject.test, subject.normalize, classes, subject.run)
        subject.network.eval()  # which evaluate leaves in training mode
        scores = by_class(confusion)
        return {
            "by_class": [
                {
                    "class": name, "train_images": images, "test_images": int(scores["images"][label]),
                    "size": "minority" if 2 * images < max(trained) else "majority",
                    **{key: float(scores[key][label]) for key in ("recall", "precision", "f1")},
                }
                for label, (name, images) in enumerate(zip(subject.classes, trained, strict=True))
            ]
        }  # fmt: skip

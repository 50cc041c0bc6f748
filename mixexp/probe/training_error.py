"""Errors that no column of metrics.csv has: on the images that a network was trained on, and of each class."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from mixexp.evaluate import evaluate
from mixexp.labels import MixedLabels
from mixexp.metrics import by_class
from mixexp.probe import BATCH, Probe, Rows, Subject
from mixexp.training.data import DataSplit


class TrainingError(Probe):
    """Error and loss on the training images as they are: no augmentation, no mixing, evaluation mode; and what the test
    adds to them.

    Rows of training_error: labels, error, error_true, loss, samples, a row each for the images whose label is the true
    one ("real"), for those whose label is not ("corrupted"), where there are any, and for all. error and loss are
    against the labels that the network is trained on, noise where there is noise; error_true is against the true ones.
    Rows of generalisation: train_error, test_error, gap, train_loss, test_loss, loss_gap, a single one: the gaps are
    test minus training. Source: Zhang et al. 2018, Table 2, training error of real and corrupted labels at the last
    epoch. Differs from the paper: a label that was redrawn and came out the same counts as real, as it is no wrong one;
    whether it does there is not stated. With noise among all C classes that is one in C of the redrawn.
    """

    files: Mapping[str, tuple[str, ...]] = {
        "training_error": ("labels", "error", "error_true", "loss", "samples"),
        "generalisation": ("train_error", "test_error", "gap", "train_loss", "test_loss", "loss_gap"),
    }

    def __init__(self, while_training: bool = False) -> None:
        self.while_training = while_training

    def measure(self, subject: Subject) -> dict[str, Rows]:
        values, tested = (
            _judged(subject, subject.train, subject.true_labels),
            _judged(subject, subject.test, subject.test.labels),
        )
        real = (subject.train.labels == subject.true_labels).cpu()
        rows = []
        for name, chosen in (("real", real), ("corrupted", ~real), ("all", torch.ones_like(real))):
            if chosen.any():
                error, error_true, loss = values[:, chosen].mean(1).tolist()
                rows.append(
                    {
                        "labels": name,
                        "error": error,
                        "error_true": error_true,
                        "loss": loss,
                        "samples": int(chosen.sum()),
                    }
                )
        error, loss, test_error, test_loss = rows[-1]["error"], rows[-1]["loss"], *tested[[0, 2]].mean(1).tolist()
        gap = {"train_error": error, "test_error": test_error, "gap": test_error - error}
        gap |= {"train_loss": loss, "test_loss": test_loss, "loss_gap": test_loss - loss}
        return {"training_error": rows, "generalisation": [gap]}


def _judged(subject: Subject, part: DataSplit, true_labels: Tensor) -> Tensor:
    """For every image whether it is wrong by its own label, by the true one, and its loss, float64 [3, N]."""
    judgements = []
    for images, labels, true in zip(
        part.images.split(BATCH), part.labels.split(BATCH), true_labels.split(BATCH), strict=True
    ):
        outputs = subject.outputs(subject.inputs(images))
        predicted = subject.loss.predict(outputs)
        judgements.append(
            torch.stack([predicted != labels, predicted != true, subject.loss(outputs, MixedLabels((labels,)))])
            .cpu()
            .double()
        )
    return torch.cat(judgements, dim=1)


class ByClass(Probe):
    """Recall, precision and F1 of each class on the test images: which classes a network has learned, and when.

    recall = TP / (TP + FN), precision = TP / (TP + FP), F1 = 2·TP / (2·TP + FP + FN), each 0 where its denominator is.
    Rows of by_class: class, train_images, test_images, size ("minority" of a class with fewer than half as many
    training images as the largest has, else "majority"), recall, precision, f1; a row for each class at each
    evaluation. Differs from the paper: none defines it; koshian2_affinity has macro F1, the mean of the column f1
    alone.
    """

    files: Mapping[str, tuple[str, ...]] = {
        "by_class": ("class", "train_images", "test_images", "size", "recall", "precision", "f1")
    }

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

from __future__ import annotations

import torch
from torch import Tensor

from mixexp.labels import MixedLabels
from mixexp.probe import BATCH, Probe, Rows, Subject
from mixexp.run.data import DataSplit


class TrainingError(Probe):
    """Error and loss on the training images as they are: no augmentation, no mixing, evaluation mode; and what the test adds to them.

    Rows of training_error: labels, error, error_true, loss, samples, a row each for the images whose label is the true one ("real"),
    for those whose label is not ("corrupted"), where there are any, and for all. error and loss are against the labels that the
    network is trained on, noise where there is noise; error_true is against the true ones. Rows of generalisation: train_error,
    test_error, gap, train_loss, test_loss, loss_gap, a single one: the gaps are test minus training.
    Source: Zhang et al. 2018, Table 2, training error of real and corrupted labels at the last epoch.
    Differs from the paper: a label that was redrawn and came out the same counts as real, as it is no wrong one; whether it does
    there is not stated. With noise among all C classes that is one in C of the redrawn.
    """

    files = {
        "training_error": ("labels", "error", "error_true", "loss", "samples"),
        "generalisation": ("train_error", "test_error", "gap", "train_loss", "test_loss", "loss_gap"),
    }

    def __init__(self, while_training: bool = False) -> None:
        self.while_training = while_training

    def measure(self, subject: Subject) -> dict[str, Rows]:
        values, tested = _judged(subject, subject.train, subject.true_labels), _judged(subject, subject.test, subject.test.labels)
        real = (subject.train.labels == subject.true_labels).cpu()
        rows = []
        for name, chosen in (("real", real), ("corrupted", ~real), ("all", torch.ones_like(real))):
            if chosen.any():
                error, error_true, loss = values[:, chosen].mean(1).tolist()
                rows.append({"labels": name, "error": error, "error_true": error_true, "loss": loss, "samples": int(chosen.sum())})
        error, loss, test_error, test_loss = rows[-1]["error"], rows[-1]["loss"], *tested[[0, 2]].mean(1).tolist()
        gap = {"train_error": error, "test_error": test_error, "gap": test_error - error}
        gap |= {"train_loss": loss, "test_loss": test_loss, "loss_gap": test_loss - loss}
        return {"training_error": rows, "generalisation": [gap]}


def _judged(subject: Subject, part: DataSplit, true_labels: Tensor) -> Tensor:
    """For every image whether it is wrong by its own label, by the true one, and its loss, float64 [3, N]."""
    judgements = []
    for images, labels, true in zip(part.images.split(BATCH), part.labels.split(BATCH), true_labels.split(BATCH), strict=True):
        outputs = subject.outputs(subject.inputs(images))
        predicted = subject.loss.predict(outputs)
        judgements.append(torch.stack([predicted != labels, predicted != true, subject.loss(outputs, MixedLabels((labels,)))]).cpu().double())
    return torch.cat(judgements, dim=1)

from __future__ import annotations

import torch

from mixexp.mixed import Mixed
from mixexp.probe import BATCH, Probe, Rows, Subject


class TrainingError(Probe):
    """Error and loss on the training images as they are: no augmentation, no mixing, evaluation mode.

    Rows: labels, error, error_true, loss, samples, a row each for the images whose label is the true one ("real"), for those whose
    label is not ("corrupted"), where there are any, and for all. error and loss are against the labels that the network is trained
    on, noise where there is noise; error_true is against the true ones.
    Source: Zhang et al. 2018, Table 2, training error of real and corrupted labels at the last epoch.
    Differs from the paper: a label that was redrawn and came out the same counts as real, as it is no wrong one; whether it does
    there is not stated. With noise among all C classes that is one in C of the redrawn.
    """

    files = ("training_error",)

    def __init__(self, while_training: bool = False) -> None:
        self.while_training = while_training

    def measure(self, subject: Subject) -> dict[str, Rows]:
        part = subject.train
        found = []
        for images, labels, true in zip(*(values.split(BATCH) for values in (part.images, part.labels, subject.true_labels)), strict=True):
            outputs = subject.outputs(subject.inputs(images))
            predicted = subject.loss.predict(outputs)
            found.append(torch.stack([predicted != labels, predicted != true, subject.loss(outputs, Mixed((labels,)))]).double())
        values = torch.cat(found, dim=1).cpu()
        real = (part.labels == subject.true_labels).cpu()
        rows = []
        for name, chosen in (("real", real), ("corrupted", ~real), ("all", torch.ones_like(real))):
            if chosen.any():
                error, error_true, loss = values[:, chosen].mean(1).tolist()
                rows.append({"labels": name, "error": error, "error_true": error_true, "loss": loss, "samples": int(chosen.sum())})
        return {"training_error": rows}

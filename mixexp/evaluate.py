"""Confusion matrix and mean loss of a network on labelled images."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from mixexp.labels import MixedLabels
from mixexp.loss import Loss
from mixexp.metrics import scores
from mixexp.training.data import DataSplit, Normalize
from mixexp.training.device import Execution

BATCH = 1000


@torch.no_grad()
def evaluate(
    network: nn.Module, loss: Loss, part: DataSplit, normalize: Normalize, num_classes: int, run: Execution
) -> tuple[np.ndarray, float]:
    """Confusion matrix, int64 [C, C] with the true class in rows, and mean loss on a part's unchanged images.

    The network is left in training mode. The host waits for the device once, at the end.
    """
    network.eval()
    device = part.labels.device
    counts = torch.zeros(num_classes * num_classes, dtype=torch.int64, device=device)
    total = torch.zeros((), device=device)
    for images, labels in zip(part.images.split(BATCH), part.labels.split(BATCH), strict=True):
        with run.autocast():
            outputs = network(normalize(images).contiguous(memory_format=run.memory_format))
        outputs = outputs.float()
        total += loss(outputs, MixedLabels((labels,))).sum()
        # not bincount, which reads its result's size back from the device
        counts.scatter_add_(0, labels * num_classes + loss.predict(outputs), torch.ones_like(labels))
    network.train()
    return counts.view(num_classes, num_classes).cpu().numpy(), total.item() / len(part)


def evaluate_all(
    network: nn.Module,
    loss: Loss,
    test: DataSplit,
    held_out: DataSplit,
    normalize: Normalize,
    num_classes: int,
    run: Execution,
) -> tuple[dict[str, float], np.ndarray]:
    """Columns of an evaluation in metrics.csv, and the test confusion matrix; held_out: validation images, or empty."""
    confusion, test_loss = evaluate(network, loss, test, normalize, num_classes, run)
    row = {"test_loss": test_loss, **scores(confusion)}
    if len(held_out):
        held_out_confusion, row["val_loss"] = evaluate(network, loss, held_out, normalize, num_classes, run)
        held_out_scores = scores(held_out_confusion)
        row |= {"val_accuracy": held_out_scores["accuracy"], "val_macro_f1": held_out_scores["macro_f1"]}
    return row, confusion

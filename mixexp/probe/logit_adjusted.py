from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import torch
from pydantic import Field

from mixexp.metrics import confusion_matrix, scores
from mixexp.probe import Facts, Probe, Rows, Subject


class LogitAdjusted(Probe):
    """Accuracy with logit adjustment after training (Menon et al. 2021).

    The class with the largest score_c − τ·log π_c is predicted. π_c = n_c/N is the share of class c in the training
    images; scores are those of the loss (Loss.scores). A loss that corrects for class sizes, such as
    loss=logit_adjustment, is corrected twice.
    tau: values of τ, where 0 predicts as the network does; while_training: at every evaluation.
    Rows of logit_adjusted: tau, accuracy, macro_f1, on the test images.
    Differs from the paper: nothing; its τ is 1, or chosen on held-out images.
    """

    files: Mapping[str, tuple[str, ...]] = {"logit_adjusted": ("tau", "accuracy", "macro_f1")}

    def __init__(
        self, tau: Annotated[list[Annotated[float, Field(ge=0)]], Field(min_length=1)], while_training: bool = False
    ) -> None:
        self.tau, self.while_training = tau, while_training

    def check(self, facts: Facts) -> None:
        facts.require_every_class("logit adjustment")

    def measure(self, subject: Subject) -> dict[str, Rows]:
        counts = torch.bincount(subject.train.labels, minlength=len(subject.classes))
        log_share = (counts / counts.sum()).log()
        outputs = subject.loss.scores(subject.seen(subject.test.images, [])[1])
        true, rows = subject.test.labels.cpu().numpy(), []
        for tau in self.tau:
            predicted = (outputs - tau * log_share).argmax(1).cpu().numpy()
            found = scores(confusion_matrix(true, predicted, len(subject.classes)))
            rows.append({"tau": tau, **{name: found[name] for name in ("accuracy", "macro_f1")}})
        return {"logit_adjusted": rows}

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import torch
from pydantic import Field
from torch import nn

from mixexp.metrics import confusion_matrix, scores
from mixexp.probe import Facts, Probe, Rows, Subject


class TauNormalisation(Probe):
    """Accuracy with the class vectors of the linear classifier divided by a power of their length (Kang et al. 2020).

    The class with the largest (w_c/‖w_c‖^τ)·f is predicted, from features f. Large classes tend to have long vectors.
    tau: values of τ, where 1 compares directions alone; bias: true adds the classifier's bias, so that τ = 0 predicts
    as the network does; while_training: at every evaluation.
    Rows of tau_normalisation: tau, accuracy, macro_f1, on the test images.
    Differs from the paper: it chooses one τ on held-out images; here is a row for each.
    """

    files: Mapping[str, tuple[str, ...]] = {"tau_normalisation": ("tau", "accuracy", "macro_f1")}

    def __init__(
        self,
        tau: Annotated[list[Annotated[float, Field(ge=0)]], Field(min_length=1)],
        bias: bool = False,
        while_training: bool = False,
    ) -> None:
        self.tau, self.bias, self.while_training = tau, bias, while_training

    def check(self, facts: Facts) -> None:
        if not facts.linear_head:
            raise ValueError("probe: tau-normalisation needs a linear classifier, which this loss does not have")

    def measure(self, subject: Subject) -> dict[str, Rows]:
        head = subject.network.head
        assert isinstance(head, nn.Linear)
        features = subject.seen(subject.test.images, ["final"])[0]["final"]
        lengths = head.weight.norm(dim=1).clamp(min=torch.finfo(head.weight.dtype).tiny)
        products = features @ head.weight.T
        offset = head.bias if self.bias else torch.zeros_like(lengths)
        true, rows = subject.test.labels.cpu().numpy(), []
        for tau in self.tau:
            predicted = (products / lengths**tau + offset).argmax(1).cpu().numpy()
            found = scores(confusion_matrix(true, predicted, len(subject.classes)))
            rows.append({"tau": tau, **{name: found[name] for name in ("accuracy", "macro_f1")}})
        return {"tau_normalisation": rows}

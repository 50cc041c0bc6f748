from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from mixexp import calibration, streams
from mixexp.errors import note
from mixexp.probe import Facts, Probe, Rows, Subject

HALVES_SEED = 0
"""The seed of the halves of the test images, which are the same in all runs."""


class Calibration(Probe):
    """Calibration and proper scores on the test images, before and after temperature scaling.

    The probabilities are the softmax of the loss's scores (Loss.scores). With an affinity loss they are each class's
    part of the sum of the affinities, and with a binary cross-entropy of sigmoids they are the softmax of its outputs,
    not the sigmoids: neither loss trains them to be probabilities.
    fit_on: images on which the temperature is fitted: held_out, those of `validation` (without it nothing is fitted);
    or half_of_test, after which both rows are measured on the other half; bins: of the three calibration errors and
    the diagram; while_training: at every evaluation.
    Rows of calibration: scaling (none, fitted), temperature, minimum (inside, or at the lowest or highest end of the
    range searched), fitted_on, images (those measured), accuracy, ece, adaptive_ece, classwise_ece, nll, brier, aurc;
    see mixexp.calibration.
    Rows of reliability: scaling, lower, upper, images, confidence, accuracy, one for each bin that has images.
    Source: Guo et al. 2017, "On Calibration of Modern Neural Networks".
    Differs from the paper: nothing in ece, nll and the temperature; the other measures are of other papers.
    """

    files: Mapping[str, tuple[str, ...]] = {
        "calibration": (
            "scaling", "temperature", "minimum", "fitted_on", "images",
            "accuracy", "ece", "adaptive_ece", "classwise_ece", "nll", "brier", "aurc",
        ),
        "reliability": ("scaling", "lower", "upper", "images", "confidence", "accuracy"),
    }  # fmt: skip

    def __init__(
        self,
        fit_on: Literal["held_out", "half_of_test"] = "held_out",
        bins: Annotated[int, Field(gt=0, le=1000)] = calibration.BINS,
        while_training: bool = False,
    ) -> None:
        self.fit_on, self.bins, self.while_training = fit_on, bins, while_training
        self._noted = False

    def check(self, facts: Facts) -> None:
        if self.fit_on == "half_of_test" and facts.test < 2:
            raise ValueError("probe.fit_on = half_of_test: there is one test image, and no half of it")

    def measure(self, subject: Subject) -> dict[str, Rows]:
        scores, labels = subject.scores(subject.test.images), subject.test.labels.cpu().numpy()
        fitted = None
        if self.fit_on == "half_of_test":
            order = streams.generator(HALVES_SEED, "probe calibration").permutation(len(labels))
            fit, kept = np.sort(order[: len(order) // 2]), np.sort(order[len(order) // 2 :])
            fitted = calibration.fit_temperature(scores[fit], labels[fit])
            scores, labels = scores[kept], labels[kept]
        elif len(subject.held_out):
            held_out = subject.scores(subject.held_out.images), subject.held_out.labels.cpu().numpy()
            fitted = calibration.fit_temperature(*held_out)
        elif not self._noted:  # once in a run
            self._noted = True
            note(
                "probe=calibration: no temperature is fitted, as no training images are held out; validation=0.1 holds"
                " some out in a new run, and probe.fit_on=half_of_test takes half of the test images"
            )
        found = [{"scaling": "none", "temperature": 1.0, "minimum": "", "fitted_on": ""}]
        if fitted is not None:
            about = {"temperature": fitted.value, "minimum": fitted.minimum, "fitted_on": self.fit_on}
            found.append({"scaling": "fitted", **about})
        rows, diagram = [], []
        for row in found:
            probabilities = calibration.probabilities_of(scores, row["temperature"])
            nll = calibration.nll(scores, labels, row["temperature"])
            rows.append({**row, "images": len(labels), **self._measures(probabilities, labels, nll)})
            bins = calibration.reliability(probabilities, labels, self.bins)._asdict()
            columns = [(name, values.tolist()) for name, values in bins.items()]
            every = [
                {"scaling": row["scaling"], **{name: values[k] for name, values in columns}} for k in range(self.bins)
            ]
            diagram += [each for each in every if each["images"]]
        return {"calibration": rows, "reliability": diagram}

    def _measures(self, probabilities: np.ndarray, labels: np.ndarray, nll: float) -> dict[str, Any]:
        return {
            "accuracy": calibration.accuracy(probabilities, labels),
            "ece": calibration.ece(probabilities, labels, self.bins),
            "adaptive_ece": calibration.adaptive_ece(probabilities, labels, self.bins),
            "classwise_ece": calibration.classwise_ece(probabilities, labels, self.bins),
            "nll": nll,
            "brier": calibration.brier(probabilities, labels),
            "aurc": calibration.aurc(probabilities, labels),
        }

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from mixexp.probe import BATCH, Facts, Probe, Rows, Subject


class Features(Probe):
    """What a network of two features gives to its classifier: the plane in which the classes are told apart.

    samples: a fixed sample of so many images of each part, training and test.
    Rows: part, x, y, label, predicted; the last two are names of classes, and label is what a training image is trained on.
    Source: article b, the scatter of training and test features over the epochs.
    Differs from the paper: nothing.
    """

    files = ("features",)

    def __init__(self, samples: Annotated[int, Field(gt=0)] = 1000, while_training: bool = True) -> None:
        self.samples, self.while_training = samples, while_training

    def check(self, facts: Facts) -> None:
        if facts.features != 2:
            raise ValueError(
                f"probe: features are drawn in the plane, and this model's last layer has {facts.features}; "
                "model=mnist_cnn_2d has two, and probe=tsne draws any number"
            )

    def measure(self, subject: Subject) -> dict[str, Rows]:
        rows = []
        for part in ("train", "test"):
            chosen = subject.sample(part, self.samples)
            for images, labels in zip(chosen.images.split(BATCH), chosen.labels.split(BATCH), strict=True):
                found, outputs = subject.seen(images, ["final"])
                predicted = subject.loss.predict(outputs)
                for (x, y), own, guess in zip(found["final"].tolist(), labels.tolist(), predicted.tolist(), strict=True):
                    rows.append({"part": part, "x": x, "y": y, "label": subject.classes[own], "predicted": subject.classes[guess]})
        return {"features": rows}

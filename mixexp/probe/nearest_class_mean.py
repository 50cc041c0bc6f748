from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from mixexp.metrics import confusion_matrix, scores
from mixexp.probe import BATCH, Facts, Probe, Rows, Subject


class NearestClassMean(Probe):
    """Accuracy of the classifier that takes the class whose mean training features are nearest (Kang et al. 2020).

    Features are those before the classifier; the means are of the plain training images, without augmentation and
    mixing, by the labels that the network is trained on.
    while_training: at every evaluation, each time with a pass over the training images.
    Rows of nearest_class_mean: distance, accuracy, macro_f1, on the test images; distance is euclidean or cosine, the
    latter equal to the Euclidean distance from means of length 1.
    Differs from the paper: it has the cosine and the Euclidean distance from means of length 1, which rank alike;
    euclidean is from the means as they are (Mensink et al. 2013).
    """

    files: Mapping[str, tuple[str, ...]] = {"nearest_class_mean": ("distance", "accuracy", "macro_f1")}

    def __init__(self, while_training: bool = False) -> None:
        self.while_training = while_training

    def check(self, facts: Facts) -> None:
        facts.require_every_class("nearest class mean")

    def measure(self, subject: Subject) -> dict[str, Rows]:
        means = self._means(subject)
        predicted: dict[str, list[Tensor]] = {"euclidean": [], "cosine": []}
        for images in subject.test.images.split(BATCH):
            features = self._features(subject, images)
            # not by ‖f‖² − 2f·μ + ‖μ‖², which loses the digits of a small distance
            distances = torch.cdist(features, means, compute_mode="donot_use_mm_for_euclid_dist")
            predicted["euclidean"].append(distances.argmin(1))
            predicted["cosine"].append((features @ F.normalize(means).T).argmax(1))
        true, rows = subject.test.labels.cpu().numpy(), []
        for distance, classes in predicted.items():
            found = scores(confusion_matrix(true, torch.cat(classes).numpy(), len(subject.classes)))
            rows.append({"distance": distance, **{name: found[name] for name in ("accuracy", "macro_f1")}})
        return {"nearest_class_mean": rows}

    @staticmethod
    def _features(subject: Subject, images: Tensor) -> Tensor:
        """Features of images, float64 [B, D], on the CPU, where sums have one order."""
        return subject.seen(images, ["final"])[0]["final"].cpu().double()

    def _means(self, subject: Subject) -> Tensor:
        """Mean features of the training images of each class, float64 [C, D]."""
        classes, labels = len(subject.classes), subject.train.labels.cpu()
        sums: Tensor | None = None
        for images, of in zip(subject.train.images.split(BATCH), labels.split(BATCH), strict=True):
            features = self._features(subject, images)
            sums = features.new_zeros(classes, features.shape[1]) if sums is None else sums
            sums = sums.index_add(0, of, features)
        assert sums is not None
        return sums / torch.bincount(labels, minlength=classes).unsqueeze(1)

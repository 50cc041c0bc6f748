"""Probes for long tails on a trained network: shot groups, tau-normalisation, logit adjustment, NCM."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from probes import csv_rows, measured, probe_of, refusals, trained_subject
from running import trained
from sklearn.metrics import f1_score
from sklearn.neighbors import NearestCentroid

from mixexp.metrics import confusion_matrix
from mixexp.probe import Subject
from mixexp.probe.logit_adjusted import LogitAdjusted
from mixexp.probe.nearest_class_mean import NearestClassMean
from mixexp.probe.shot_accuracy import ShotAccuracy
from mixexp.probe.tau_normalisation import TauNormalisation

TAIL = ("imbalance=exponential", "imbalance.ratio=20")


@pytest.fixture(scope="module")
def subject(tmp_path_factory: pytest.TempPathFactory) -> Subject:
    """A network trained on digits whose classes have 6 to 139 images."""
    return trained_subject(tmp_path_factory.mktemp("tail"), *TAIL, "epochs=4", "model.width=8")[1]


def seen(subject: Subject) -> tuple[list[list[float]], list[list[float]], list[int]]:
    """Features, outputs and labels of the test images."""
    subject.network.eval()
    with torch.no_grad():
        features = subject.network.body(subject.inputs(subject.test.images))
        outputs = subject.network.head(features)
    return features.tolist(), outputs.tolist(), subject.test.labels.tolist()


def judged(predicted: list[int], true: list[int]) -> dict[str, float]:
    """Accuracy and macro F1 from scikit-learn."""
    labels = sorted(set(true) | set(predicted))
    return {
        "accuracy": sum(p == t for p, t in zip(predicted, true, strict=True)) / len(true),
        "macro_f1": float(f1_score(true, predicted, average="macro", labels=labels, zero_division=0)),
    }


def test_a_confusion_matrix_counts_pairs() -> None:
    true, predicted = np.array([0, 0, 2, 1, 2, 2]), np.array([0, 1, 2, 1, 0, 2])
    expected = [[sum((true == i) & (predicted == j)) for j in range(4)] for i in range(4)]
    assert confusion_matrix(true, predicted, 4).tolist() == expected


def test_the_groups_are_named_by_their_rule_and_have_the_mean_recall_of_their_classes(subject: Subject) -> None:
    counts = subject.train.labels.bincount().tolist()
    _, outputs, true = seen(subject)
    hits = {c: [row.index(max(row)) == c for row, t in zip(outputs, true, strict=True) if t == c] for c in range(10)}
    recall = {c: sum(each) / len(each) for c, each in hits.items()}
    limits = {
        "many_over_100": [c for c in recall if counts[c] > 100],
        "medium_20_to_100": [c for c in recall if 20 <= counts[c] <= 100],
        "few_under_20": [c for c in recall if counts[c] < 20],
    }
    thirds = {"many_largest_third": [0, 1, 2], "medium_middle_third": [3, 4, 5, 6], "few_smallest_third": [7, 8, 9]}
    assert counts == sorted(counts, reverse=True) and all(limits.values())
    for rule, groups in (("limits", limits), ("thirds", thirds)):
        (row,) = measured(ShotAccuracy(rule), subject)["shot_accuracy"]
        assert row == {name: pytest.approx(np.mean([recall[c] for c in group])) for name, group in groups.items()}
        assert probe_of("probe=shot_accuracy", f"probe.rule={rule}").files == {"shot_accuracy": tuple(groups)}


def test_a_group_without_classes_is_empty(tmp_path) -> None:
    trained(tmp_path, "imbalance=step", "imbalance.ratio=2", "probe=shot_accuracy", "epochs=1")
    (row,) = csv_rows(tmp_path / "probe_shot_accuracy.csv")
    assert (row["few_under_20"], row["many_over_100"] != "", row["medium_20_to_100"] != "") == ("", True, True)
    assert json.loads((tmp_path / "environment.json").read_text())["train_counts"] == [139] * 5 + [69] * 5


@pytest.mark.parametrize("bias", [False, True])
def test_tau_normalisation_against_a_loop(subject: Subject, bias: bool) -> None:
    features, outputs, true = seen(subject)
    weight, offset = subject.network.head.weight.tolist(), subject.network.head.bias.tolist()
    rows = measured(TauNormalisation([0, 0.5, 1, 3], bias), subject)["tau_normalisation"]
    for row in rows:
        predicted = []
        for f in features:
            values = [
                sum(a * b for a, b in zip(w, f, strict=True)) / math.hypot(*w) ** row["tau"] + bias * b
                for w, b in zip(weight, offset, strict=True)
            ]
            predicted.append(values.index(max(values)))
        assert row == {"tau": row["tau"], **judged(predicted, true)}
    assert len({row["accuracy"] for row in rows}) > 2
    if bias:
        assert rows[0] == {"tau": 0, **judged([row.index(max(row)) for row in outputs], true)}


def test_tau_normalisation_needs_a_linear_classifier() -> None:
    for loss in ("ldam", "affinity"):
        assert refusals("probe=tau_normalisation", f"loss={loss}") == [
            "probe: tau-normalisation needs a linear classifier, which this loss does not have"
        ]


def test_logit_adjustment_after_training_against_a_loop(subject: Subject) -> None:
    _, outputs, true = seen(subject)
    counts = subject.train.labels.bincount().tolist()
    rows = measured(LogitAdjusted([0, 0.5, 1]), subject)["logit_adjusted"]
    for row in rows:
        predicted = []
        for values in outputs:
            adjusted = [z - row["tau"] * math.log(n / sum(counts)) for z, n in zip(values, counts, strict=True)]
            predicted.append(adjusted.index(max(adjusted)))
        assert row == {"tau": row["tau"], **judged(predicted, true)}
    assert rows[0] == {"tau": 0, **judged([row.index(max(row)) for row in outputs], true)}
    assert len({row["accuracy"] for row in rows}) == 3


def test_the_nearest_class_mean_is_scikit_learns(subject: Subject) -> None:
    features, _, true = seen(subject)
    with torch.no_grad():
        train = subject.network.body(subject.inputs(subject.train.images)).double().numpy()
    labels = subject.train.labels.numpy()
    rows = {row.pop("distance"): row for row in measured(NearestClassMean(), subject)["nearest_class_mean"]}
    nearest = NearestCentroid().fit(train, labels)
    assert rows["euclidean"] == judged(nearest.predict(np.array(features)).tolist(), true)
    means = [train[labels == c].mean(0) for c in range(10)]
    predicted = []
    for f in features:
        cosines = [np.dot(f, mean) / (np.linalg.norm(f) * np.linalg.norm(mean)) for mean in means]
        predicted.append(int(np.argmax(cosines)))
    assert rows["cosine"] == judged(predicted, true)


@pytest.mark.parametrize("probe", ["logit_adjusted", "nearest_class_mean"])
def test_a_probe_that_needs_every_class_refuses_data_without_one(probe: str) -> None:
    (said,) = refusals(f"probe={probe}", "subset=head", "subset.n=5")
    assert said.startswith("probe: ") and said.endswith("has no training image") and "needs every class" in said

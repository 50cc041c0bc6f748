"""Recall, precision and F1 by class, and when they are measured."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from probes import csv_rows, subject_of
from running import rows_of, trained
from sklearn.metrics import precision_recall_fscore_support

from mixexp.metrics import by_class
from mixexp.probe import measuring
from mixexp.probe.training_error import ByClass


def test_the_scores_are_those_of_scikit_learn():
    rng = np.random.default_rng(0)
    true, predicted = rng.integers(0, 6, 300), rng.integers(1, 7, 300)  # class 0 is never predicted, 6 never true
    confusion = np.zeros((8, 8), dtype=int)  # and 7 is neither
    np.add.at(confusion, (true, predicted), 1)
    found = by_class(confusion)
    precision, recall, f1, images = precision_recall_fscore_support(true, predicted, labels=range(8), zero_division=0)
    for key, expected in (("precision", precision), ("recall", recall), ("f1", f1), ("images", images)):
        np.testing.assert_allclose(found[key], expected)


def test_a_row_for_each_class_by_what_the_network_says():
    subject = subject_of("imbalance=minority", "imbalance.n=10")
    with measuring(subject):
        rows = ByClass().measure(subject)["by_class"]
        assert not subject.network.training, "a probe after it measures in evaluation mode too"
    with measuring(subject), torch.no_grad():
        guesses = subject.outputs(subject.inputs(subject.test.images)).argmax(1)
    trained_on = torch.bincount(subject.train.labels, minlength=10).tolist()
    assert [row["class"] for row in rows] == list(subject.classes)
    for label, row in enumerate(rows):
        own = subject.test.labels == label
        assert (row["train_images"], row["test_images"]) == (trained_on[label], int(own.sum()))
        assert row["recall"] == pytest.approx((guesses[own] == label).float().mean().item())
        assert row["size"] == ("minority" if label % 2 == 0 else "majority"), "the even digits are the few"


def test_it_follows_training_and_its_mean_is_what_the_evaluation_finds(tmp_path):
    record = trained(tmp_path, "probe=by_class", "epochs=3", "evaluations=3")
    rows = csv_rows(tmp_path / "probe_by_class.csv")
    steps = list(dict.fromkeys(row["step"] for row in rows))
    assert len(steps) == 3 and len(rows) == 30
    for step, evaluated in zip(steps, rows_of(record), strict=True):
        own = [row for row in rows if row["step"] == step]
        assert np.mean([row["f1"] for row in own]) == pytest.approx(float(evaluated["macro_f1"]))
        assert np.mean([row["recall"] for row in own]) == pytest.approx(float(evaluated["balanced_accuracy"]))


def test_beside_the_training_error_both_are_measured_at_every_evaluation(tmp_path):
    trained(tmp_path, "probe=by_class_and_training_error", "epochs=2", "evaluations=2")
    assert len({row["step"] for row in csv_rows(tmp_path / "probe_training_error.csv")}) == 2
    assert len({row["step"] for row in csv_rows(tmp_path / "probe_by_class.csv")}) == 2

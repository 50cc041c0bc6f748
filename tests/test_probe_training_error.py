"""Training error on real and on corrupted labels."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from probes import csv_rows, measured, subject_of
from running import rows_of, trained

from mixexp.labels import MixedLabels
from mixexp.probe.training_error import TrainingError


def test_it_is_counted_image_by_image():
    subject = subject_of("label_noise=uniform", "label_noise.rate=0.5")
    rows = {row["labels"]: row for row in measured(TrainingError(), subject)["training_error"]}
    with torch.no_grad():
        outputs = subject.network.eval()(subject.inputs(subject.train.images))
    losses = subject.loss(outputs, MixedLabels((subject.train.labels,))).tolist()
    counted = {name: [] for name in ("real", "corrupted", "all")}
    for guess, label, true, loss in zip(
        outputs.argmax(1).tolist(), subject.train.labels.tolist(), subject.true_labels.tolist(), losses, strict=True
    ):
        for name in ("all", "real" if label == true else "corrupted"):
            counted[name].append((guess != label, guess != true, loss))
    for name, found in counted.items():
        error, error_true, loss = np.mean(found, axis=0)
        assert rows[name]["samples"] == len(found)
        assert (rows[name]["error"], rows[name]["error_true"]) == (pytest.approx(error), pytest.approx(error_true))
        assert rows[name]["loss"] == pytest.approx(loss, rel=1e-5)


def test_a_label_that_was_redrawn_and_came_out_true_counts_as_real():
    subject = subject_of("label_noise=uniform", "label_noise.rate=0.5")
    rows = {row["labels"]: row for row in measured(TrainingError(), subject)["training_error"]}
    wrong = rows["corrupted"]["samples"] / rows["all"]["samples"]
    # of 1438 labels 0.5 are redrawn among all ten classes, so 0.45 change: within five standard deviations
    assert wrong == pytest.approx(0.45, abs=5 * (0.45 * 0.55 / 1438) ** 0.5)


def test_the_gap_is_to_the_error_that_the_evaluation_finds(tmp_path):
    record = trained(tmp_path, "probe=training_error", "label_noise=uniform")
    (row,) = csv_rows(tmp_path / "probe_generalisation.csv")
    whole = csv_rows(tmp_path / "probe_training_error.csv")[-1]
    last = rows_of(record)[-1]
    assert row["test_error"] == pytest.approx(1 - float(last["accuracy"]))
    assert row["test_loss"] == pytest.approx(float(last["test_loss"]), rel=1e-5)
    assert (row["train_error"], row["train_loss"]) == (whole["error"], whole["loss"])
    assert (
        row["gap"] == row["test_error"] - row["train_error"] and row["loss_gap"] == row["test_loss"] - row["train_loss"]
    )


def test_without_noise_all_labels_are_real():
    rows = measured(TrainingError(), subject_of())["training_error"]
    assert [row["labels"] for row in rows] == ["real", "all"]
    assert {**rows[0], "labels": "all"} == rows[1]


def test_a_network_that_learnt_the_rule_errs_on_wrong_labels_alone(tmp_path):
    words = ("label_noise=uniform", "label_noise.among=others", "epochs=10", "model.width=8", "probe=training_error")
    rows = {row["labels"]: row for row in csv_rows(trained(tmp_path, *words).path / "probe_training_error.csv")}
    assert rows["real"]["error"] < 0.1 < 0.9 < rows["corrupted"]["error"]
    assert rows["corrupted"]["error_true"] < 0.2, "it sees through the noise"

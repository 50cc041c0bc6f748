"""The probe of calibration: which images it fits and measures on, and that its rows are those of the functions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from probes import csv_rows, measured, refusals, subject_of, trained_subject
from running import rows_of, trained

from mixexp import calibration
from mixexp.probe.calibration import Calibration
from mixexp.spec.table import better, of_metric

SMALL = ("subset=balanced", "subset.n=200", "batch_size=50")


def scores_of(subject, part) -> np.ndarray:
    """Scores of a part, one image at a time."""
    subject.network.eval()
    with torch.no_grad():
        rows = [subject.loss.scores(subject.network(subject.inputs(image[None]))) for image in part.images]
    return torch.cat(rows).double().numpy()


@pytest.fixture(scope="module")
def subject(tmp_path_factory):
    return trained_subject(tmp_path_factory.mktemp("run"), *SMALL, "epochs=3", "validation=0.25")[1]


def test_the_temperature_is_fitted_on_the_held_out_images_and_measured_on_all_test_images(subject):
    rows = measured(Calibration(), subject)["calibration"]
    assert [(row["scaling"], row["fitted_on"], row["images"]) for row in rows] == [
        ("none", "", len(subject.test)),
        ("fitted", "held_out", len(subject.test)),
    ]
    fitted = calibration.fit_temperature(scores_of(subject, subject.held_out), subject.held_out.labels.numpy())
    assert len(subject.held_out) == 50 and rows[1]["temperature"] == pytest.approx(fitted.value, rel=1e-3)
    assert rows[0]["temperature"] == 1 and rows[1]["minimum"] == fitted.minimum
    scores, labels = scores_of(subject, subject.test), subject.test.labels.numpy()
    for row in rows:
        p = calibration.probabilities_of(scores, row["temperature"])
        for name in ("accuracy", "ece", "adaptive_ece", "classwise_ece", "brier", "aurc"):
            assert row[name] == pytest.approx(getattr(calibration, name)(p, labels), rel=1e-3, abs=1e-5), name
        assert row["nll"] == pytest.approx(calibration.nll(scores, labels, row["temperature"]), rel=1e-4)
    assert rows[0]["accuracy"] == rows[1]["accuracy"], "a temperature changes no prediction"


def test_half_of_the_test_images_fits_and_the_other_half_is_measured(subject):
    rows = measured(Calibration("half_of_test"), subject)["calibration"]
    half = len(subject.test) - len(subject.test) // 2
    assert [(row["fitted_on"], row["images"]) for row in rows] == [("", half), ("half_of_test", half)]
    again = measured(Calibration("half_of_test"), subject)["calibration"]
    assert again == rows
    assert rows[0]["nll"] != measured(Calibration(), subject)["calibration"][0]["nll"]


def test_without_held_out_images_nothing_is_fitted_and_it_says_so(monkeypatch):
    said = []
    monkeypatch.setattr("mixexp.probe.calibration.note", said.append)
    probe, subject = Calibration(), subject_of(*SMALL)
    found = measured(probe, subject)
    assert measured(probe, subject) == found
    assert [row["scaling"] for row in found["calibration"]] == ["none"]
    assert {row["scaling"] for row in found["reliability"]} == {"none"}
    (text,) = said  # once in a run
    assert "no temperature is fitted" in text and "validation=0.1" in text and "probe.fit_on=half_of_test" in text


def test_the_diagram_has_the_bins_with_images_and_adds_up_to_the_error(subject):
    found = measured(Calibration(bins=10), subject)
    for row in found["calibration"]:
        bins = [each for each in found["reliability"] if each["scaling"] == row["scaling"]]
        assert sum(each["images"] for each in bins) == row["images"] and all(each["images"] for each in bins)
        assert all(each["lower"] < each["confidence"] <= each["upper"] for each in bins)
        gaps = [each["images"] * abs(each["confidence"] - each["accuracy"]) for each in bins]
        assert sum(gaps) / row["images"] == pytest.approx(row["ece"])


@pytest.mark.parametrize("loss", ["affinity", "joint", "binary_cross_entropy", "focal"])
def test_every_loss_gives_probabilities(loss):
    subject = subject_of(*SMALL, f"loss={loss}", "validation=0.25")
    rows = measured(Calibration(), subject)["calibration"]
    assert len(rows) == 2 and all(0 <= row["ece"] <= 1 and 0 <= row["brier"] <= 2 for row in rows)


def test_affinities_become_their_parts_of_the_sum():
    subject = subject_of(*SMALL, "loss=affinity")
    subject.network.eval()
    with torch.no_grad():
        affinities = subject.network(subject.inputs(subject.test.images)).double()
        p = calibration.probabilities_of(subject.scores(subject.test.images))
    assert np.allclose(p, (affinities / affinities.sum(1, keepdim=True)).numpy(), atol=1e-6)


def test_a_run_leaves_the_accuracy_of_its_evaluation_and_measures_while_training(tmp_path):
    words = (*SMALL, "probe=calibration", "validation=0.25", "probe.while_training=true")
    record = trained(tmp_path, *words)
    rows = csv_rows(tmp_path / "probe_calibration.csv")
    accuracies = {float(row["step"]): float(row["accuracy"]) for row in rows_of(record)}
    assert len(accuracies) > 1 and {row["step"] for row in rows} == set(accuracies)
    assert all(row["accuracy"] == pytest.approx(accuracies[row["step"]]) for row in rows)
    nlls = {float(row["step"]): float(row["test_loss"]) for row in rows_of(record)}
    assert all(row["nll"] == pytest.approx(nlls[row["step"]], rel=1e-4) for row in rows if row["scaling"] == "none")


def test_a_table_takes_less_of_every_error_for_better():
    for name in ("ece", "adaptive_ece", "classwise_ece", "nll", "brier", "aurc"):
        assert of_metric(f"probe.calibration.{name}")["better"] == "lower"
        assert better(of_metric("accuracy"), f"probe.calibration.{name}") == "lower"
    assert of_metric("probe.calibration.accuracy")["better"] == "higher"


def test_wrong_settings_are_refused():
    assert "probe.bins = 0" in refusals("probe=calibration", "probe.bins=0")[0]
    assert "held_out" in refusals("probe=calibration", "probe.fit_on=validation")[0]

"""Shapes of the clouds of two features."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from probes import csv_rows, measured, refusals, subject_of
from running import trained

from mixexp.probe.embeddings import Clouds, shapes

NAMES = ("a", "b", "c", "d")


def ellipse(
    rng: np.random.Generator, centre: tuple[float, float], long: float, wide: float, turn: float, count: int
) -> np.ndarray:
    """Points of a normal cloud with these deviations along its axes."""
    spin = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    return rng.normal(size=(count, 2)) * (long, wide) @ spin.T + centre


def test_long_and_round_clouds_are_told_apart_however_they_are_turned():
    rng = np.random.default_rng(0)
    points = np.concatenate([ellipse(rng, (0, 0), 6, 1, 0.7, 20_000), ellipse(rng, (30, 0), 2, 2, 0.3, 20_000)])
    long, compact = shapes(torch.tensor(points), torch.arange(2).repeat_interleave(20_000), NAMES)
    assert (long["elongation"], compact["elongation"]) == (pytest.approx(6, rel=0.02), pytest.approx(1, abs=0.02))
    assert (long["radius"], compact["radius"]) == (
        pytest.approx(math.sqrt(37), rel=0.02),
        pytest.approx(math.sqrt(8), rel=0.02),
    )
    assert (long["separation"], compact["separation"]) == (
        pytest.approx(30 / math.sqrt(37), rel=0.03),
        pytest.approx(30 / math.sqrt(8), rel=0.03),
    )
    assert (
        long["unevenness"]
        == pytest.approx(compact["unevenness"])
        == pytest.approx(math.log(math.sqrt(37 / 8)) / 2, abs=0.02)
    )


def test_moments_are_those_of_numpy():
    rng = np.random.default_rng(1)
    points, labels = rng.normal(size=(300, 2)) * (1, 3) + 5, rng.integers(0, 3, 300)
    rows = shapes(torch.tensor(points), torch.tensor(labels), NAMES)
    radii, means = [], []
    for label in range(3):
        own = points[labels == label]
        values = np.linalg.eigvals(np.cov(own.T))
        radii.append(math.sqrt(values.sum()))
        means.append(own.mean(0))
        assert rows[label]["elongation"] == pytest.approx(math.sqrt(max(values) / min(values)))
    middle = math.exp(np.mean(np.log(radii)))
    for label, row in enumerate(rows):
        nearest = min(np.linalg.norm(means[label] - means[other]) for other in range(3) if other != label)
        assert row["radius"] == pytest.approx(radii[label]) and row["separation"] == pytest.approx(
            nearest / radii[label]
        )
        assert (
            row["unevenness"] == pytest.approx(abs(math.log(radii[label] / middle)))
            and row["images"] == (labels == label).sum()
        )


def test_what_has_no_shape_has_no_row():
    rng = np.random.default_rng(2)
    points = torch.tensor(
        np.concatenate(
            [rng.normal(size=(5, 2)), rng.normal(size=(2, 2)), np.ones((4, 2)), np.outer(np.arange(4.0), (1, 2))]
        )
    )
    labels = torch.tensor([0] * 5 + [1] * 2 + [2] * 4 + [3] * 4)
    rows = {row["class"]: row for row in shapes(points, labels, NAMES)}
    assert list(rows) == ["a", "d"], "two points, or one and the same, are no cloud"
    assert rows["d"]["elongation"] > 1e6, "a line"
    (alone,) = shapes(points[:5], labels[:5], NAMES)
    assert math.isnan(alone["separation"]) and alone["unevenness"] == 0


def test_a_run_measures_its_own_plane(tmp_path):
    words = (
        "model=mnist_cnn_2d",
        "model.width=4",
        "subset=balanced",
        "subset.n=200",
        "batch_size=50",
        "epochs=2",
        "evaluations=2",
    )
    trained(tmp_path, *words, "probe=features_and_clouds")
    rows, points = csv_rows(tmp_path / "probe_clouds.csv"), csv_rows(tmp_path / "probe_features.csv")
    assert len({row["step"] for row in rows}) == 2
    last = [row for row in points if row["step"] == rows[-1]["step"] and row["part"] == "test"]
    for row in (row for row in rows if row["step"] == rows[-1]["step"]):
        own = np.array([(point["x"], point["y"]) for point in last if point["label"] == row["class"]])
        assert row["images"] == len(own) and row["radius"] == pytest.approx(math.sqrt(np.cov(own.T).trace()), rel=1e-3)


def test_a_network_with_more_features_is_refused():
    assert "this model's last layer has" in " ".join(refusals("probe=clouds"))
    assert measured(Clouds("test"), subject_of("model=mnist_cnn_2d", "model.width=4"))["clouds"][0]["class"] == "0"

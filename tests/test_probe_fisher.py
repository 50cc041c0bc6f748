"""Fisher's criterion, against scipy's analysis of variance and what it has to be at the extremes."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from probes import measured, refusals, subject_of
from scipy.stats import f_oneway

from mixexp.probe.entanglement import Fisher, scatters


def some_points(
    dimensions: int, counts: tuple[int, ...] = (7, 12, 5), apart: float = 1.0
) -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(dimensions)
    labels = np.repeat(np.arange(len(counts)), counts)
    return torch.from_numpy(rng.normal(size=(sum(counts), dimensions)) + apart * labels[:, None]), torch.from_numpy(
        labels
    )


def test_in_one_dimension_it_is_the_f_statistic_without_its_degrees_of_freedom():
    points, labels = some_points(1)
    between, within = scatters(points, labels)
    groups = [points[labels == c].flatten().numpy() for c in range(3)]
    assert between / within == pytest.approx(f_oneway(*groups).statistic * (3 - 1) / (len(points) - 3))


def test_the_two_scatters_add_up_to_the_whole():
    points, labels = some_points(6)
    between, within = scatters(points, labels)
    assert between + within == pytest.approx(float((points - points.mean(0)).square().sum(1).mean()))


def test_units_and_a_shift_change_nothing_and_distance_makes_it_larger():
    points, labels = some_points(4)
    between, within = scatters(points, labels)
    moved = scatters(1000 + 3 * points.float(), labels)
    assert moved[0] / moved[1] == pytest.approx(between / within, rel=1e-4)
    further = scatters(*some_points(4, apart=5.0))
    assert further[0] / further[1] > 10 * between / within


def test_every_layer_has_its_own_and_the_input_is_the_images():
    subject = subject_of("subset=balanced", "subset.n=200")
    rows = {row["layer"]: row for row in measured(Fisher(samples=100), subject)["fisher"]}
    assert list(rows) == list(subject.layers)
    chosen = subject.sample("train", 100)
    between, within = scatters(subject.inputs(chosen.images).flatten(1), chosen.labels)
    assert rows["input"]["criterion"] == pytest.approx(between / within) and all(
        row["criterion"] > 0 for row in rows.values()
    )


def test_one_class_or_one_point_a_class_has_none():
    points, labels = some_points(3)
    subject = subject_of("subset=balanced", "subset.n=10")
    assert all(math.isnan(row["criterion"]) for row in measured(Fisher(layers=["input"]), subject)["fisher"])
    assert scatters(points, torch.zeros_like(labels))[0] == pytest.approx(0)
    assert "no layer 'layr1'" in refusals("probe=fisher", "probe.layers=[layr1]")[0]

"""Soft nearest neighbour loss against a naive double loop, in its limits, and as it is measured."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from probes import csv_rows, measured, refusals, subject_of
from running import trained
from scipy.optimize import minimize_scalar

from mixexp.errors import note
from mixexp.probe.entanglement import Entanglement
from mixexp.training.data import DataSplit


def naive(points: np.ndarray, labels: list[int], temperature: float) -> float:
    """The formula, word for word, over points that have another of their class."""
    terms = []
    for i, own in enumerate(points):
        same = every = 0.0
        for j, other in enumerate(points):
            if j == i:
                continue
            weight = math.exp(-sum((a - b) ** 2 for a, b in zip(own, other, strict=True)) / temperature)
            every += weight
            same += weight * (labels[j] == labels[i])
        if labels.count(labels[i]) > 1:
            terms.append(-math.log(same / every))
    return sum(terms) / len(terms)


def loss_of(temperature, points, labels) -> float:
    return Entanglement(temperature).of(torch.as_tensor(points), torch.as_tensor(labels))[1]


def clouds(
    seed: int, apart: float, count: int = 60, classes: int = 3, width: int = 5
) -> tuple[torch.Tensor, torch.Tensor]:
    """Round clouds of width 1 whose centres are so far apart."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % classes
    centres = apart * np.eye(classes, width)
    return torch.from_numpy(centres[labels] + rng.normal(size=(count, width))).float(), torch.from_numpy(labels)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.3, 50), st.integers(3, 14))
def test_it_is_the_formula(seed, temperature, count):
    rng = np.random.default_rng(seed)
    points, labels = rng.normal(size=(count, 3)), rng.integers(0, 3, count).tolist()
    if len(set(labels)) == count:
        labels[1] = labels[0]
    assert loss_of(temperature, points, labels) == pytest.approx(
        naive(points, labels, temperature), rel=1e-9, abs=1e-12
    )


def test_points_alone_in_their_class_are_others_to_everybody_and_have_no_term():
    points, labels = [[0.0], [1.0], [1.5]], [0, 0, 1]
    assert loss_of(1.0, points, labels) == pytest.approx(naive(np.array(points), labels, 1.0))
    assert loss_of(1.0, points, labels) > loss_of(1.0, [[0.0], [1.0]], [0, 0]) == 0
    assert math.isnan(loss_of(1.0, points, [0, 1, 2])) and math.isnan(loss_of("minimum", points, [0, 1, 2]))


def test_far_apart_clusters_have_no_loss_and_random_labels_about_the_logarithm_of_the_classes():
    points, labels = clouds(0, apart=50)
    assert loss_of("minimum", points, labels) < 1e-6
    generator = torch.Generator().manual_seed(0)
    points, labels = torch.randn(1000, 10, generator=generator), torch.randint(10, (1000,), generator=generator)
    assert loss_of("minimum", points, labels) == pytest.approx(math.log(10), abs=0.02)


def test_the_minimum_is_one():
    for seed in range(5):
        points, labels = clouds(seed, apart=2)
        temperature, loss, minimum = Entanglement("minimum").of(points, labels)
        plain, own = points.double().numpy(), labels.tolist()
        reference = minimize_scalar(
            lambda t, p=plain, y=own: naive(p, y, math.exp(t)), bounds=(-6, 9), method="bounded"
        )
        assert loss == pytest.approx(reference.fun, rel=1e-6) and minimum == "inside"
        assert (
            loss <= min(loss_of(factor * temperature, points, labels) for factor in np.geomspace(0.01, 100, 41)) + 1e-12
        )


@pytest.mark.parametrize("factor", [1e-3, 7.0, 1e4])
def test_the_minimum_does_not_know_the_scale_nor_the_place(factor):
    points, labels = clouds(1, apart=2)
    temperature, loss, _ = Entanglement("minimum").of(points.double(), labels)
    scaled, same, _ = Entanglement("minimum").of(factor * points.double() + 3 * factor, labels)
    assert same == pytest.approx(loss, rel=1e-8)
    assert scaled == pytest.approx(factor**2 * temperature, rel=1e-3)


def pairs_of_a_class(apart: float, count: int = 40, width: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    """Points of two classes in one cloud, each with a close neighbour of its class: the nearest neighbour is always
    right."""
    rng = np.random.default_rng(0)
    places = rng.normal(size=(count, width))
    both = np.concatenate([places, places + apart])
    return torch.from_numpy(both), torch.from_numpy(np.tile(np.arange(count) % 2, 2))


@pytest.mark.parametrize(
    "points_and_labels", [pairs_of_a_class(1e-4), clouds(0, apart=50), clouds(3, apart=1000, classes=10, width=10)]
)
def test_a_loss_at_the_lowest_temperature_says_so(points_and_labels):
    points, labels = points_and_labels
    temperature, loss, minimum = Entanglement("minimum").of(points, labels)
    assert minimum == "lowest" and loss < 1e-6
    assert loss_of(100 * temperature, points, labels) >= loss


def test_a_loss_at_the_highest_temperature_says_so_and_is_that_of_no_distances():
    points, labels = torch.arange(8.0).unsqueeze(1), torch.arange(8) % 2  # the nearest are always of the other class
    _, loss, minimum = Entanglement("minimum").of(points, labels)
    assert minimum == "highest" and loss == pytest.approx(math.log(7 / 3), abs=0.02)


@pytest.mark.parametrize(
    ("temperature", "points", "labels", "expected"),
    [
        ("minimum", [[1.0, 1.0]] * 4, [0, 0, 1, 1], "anywhere"),
        ("minimum", [[0.0], [1.0], [1.5]], [0, 1, 2], ""),
        ("minimum", [[math.nan], [1.0], [1.5]], [0, 1, 1], ""),
        (2.0, [[0.0], [1.0], [1.5]], [0, 0, 1], ""),
    ],
    ids=["one point", "no class of two", "not finite", "given"],
)
def test_what_has_no_best_temperature_says_nothing_of_one(temperature, points, labels, expected):
    assert Entanglement(temperature).of(torch.tensor(points), torch.tensor(labels)).minimum == expected


def test_a_run_notes_once_that_its_layers_cannot_be_compared(capsys):
    note.cache_clear()
    subject = subject_of()
    apart = dataclasses.replace(subject, test=DataSplit(subject.test.images[:2], torch.tensor([0, 0])))
    for _ in range(2):
        (rows,) = measured(Entanglement("minimum", layers=["input", "final"]), apart).values()
        assert [row["minimum"] for row in rows] == ["lowest"] * 2 and [row["loss"] for row in rows] == [0.0] * 2
    assert (
        capsys.readouterr().err
        == "note: probe=entanglement: the smallest loss of some layers lies at the end of the temperatures that are"
        " tried, where it compares no layers (near 0, it says that every image's nearest neighbour is of its class);"
        " the column minimum of probe_entanglement.csv says of which, and probe.temperature=T measures all at one\n"
    )
    measured(Entanglement(100.0, layers=["input"]), apart)
    assert capsys.readouterr().err == ""


def test_coinciding_points_do_no_harm():
    assert loss_of("minimum", [[1.0, 1.0]] * 4, [0, 0, 1, 1]) == pytest.approx(math.log(3))
    assert math.isfinite(loss_of("minimum", [[0.0], [0.0], [1.0], [1.0], [3.0]], [0, 1, 0, 1, 0]))
    for odd in (math.nan, math.inf):
        assert math.isnan(loss_of("minimum", [[odd], [0.0], [1.0], [1.0]], [0, 0, 1, 1]))


def test_long_representations_are_summed_in_pieces():
    points = torch.randn(20, 9000, generator=torch.Generator().manual_seed(3)) + 100
    labels = torch.arange(20) % 2
    exact = naive(points.double().numpy(), labels.tolist(), 2000.0)
    assert loss_of(2000.0, points, labels) == pytest.approx(exact, rel=1e-6)


def test_every_layer_is_measured_on_the_same_images():
    subject = subject_of()
    (rows,) = measured(Entanglement("minimum", samples=100), subject).values()
    assert [row["layer"] for row in rows] == ["input", "layer1", "layer2", "layer3", "final"]
    part = subject.sample("test", 100)
    with torch.no_grad():
        stage = subject.network.eval().body.layer1(subject.inputs(part.images)).flatten(1)
        final = subject.network.body(subject.inputs(part.images))
    for place, points in ((0, subject.inputs(part.images).flatten(1)), (1, stage), (4, final)):
        assert rows[place]["loss"] == pytest.approx(loss_of("minimum", points, part.labels), rel=1e-5)
    (again,) = measured(Entanglement("minimum", samples=100), subject).values()
    assert again == rows


def test_training_separates_the_classes_in_the_last_layer(tmp_path):
    words = ("probe=entanglement", "probe.samples=200", "epochs=6", "model.width=8")
    rows = csv_rows(trained(tmp_path, *words).path / "probe_entanglement.csv")
    assert sorted({row["step"] for row in rows}) == [23 * k for k in range(1, 7)], "measured at every evaluation"
    final = [row["loss"] for row in rows if row["layer"] == "final"]
    inputs = {row["loss"] for row in rows if row["layer"] == "input"}
    assert final[-1] < final[0] / 2 and len(inputs) == 1


def test_what_makes_no_sense_is_refused():
    assert "no layer 'layer9'" in refusals("probe=entanglement", "probe.layers=[input,layer9]")[0]
    assert "named twice" in refusals("probe=entanglement", "probe.layers=[input,input]")[0]
    assert "probe.samples = 1" in refusals("probe=entanglement", "probe.samples=1")[0]
    assert "minimum" in refusals("probe=entanglement", "probe.temperature=minimun")[0]
    assert refusals("probe=entanglement", "probe.temperature=-1")

"""Features in the plane, and t-SNE's way there."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from probes import csv_rows, measured, refusals, subject_of
from running import trained

from mixexp.probe.embeddings import Features, Tsne

PLANE = ("model=mnist_cnn_2d",)


def test_features_are_what_the_classifier_sees():
    subject = subject_of(*PLANE)
    rows = measured(Features(samples=40), subject)["features"]
    assert [row["part"] for row in rows] == ["train"] * 40 + ["test"] * 40
    part = subject.sample("test", 40)
    with torch.no_grad():
        features = subject.network.eval().body(subject.inputs(part.images))
    assert np.allclose([(row["x"], row["y"]) for row in rows[40:]], features.numpy(), atol=1e-5)
    assert [row["label"] for row in rows[40:]] == [subject.classes[label] for label in part.labels]
    assert [row["predicted"] for row in rows[40:]] == [
        subject.classes[k] for k in subject.network.head(features).argmax(1)
    ]


def test_they_are_written_at_every_evaluation_for_the_same_images(tmp_path):
    rows = csv_rows(
        trained(tmp_path, *PLANE, "probe=features", "probe.samples=30", "batch_size=256").path / "probe_features.csv"
    )
    frames = [[row for row in rows if row["step"] == step] for step in sorted({row["step"] for row in rows})]
    assert len(frames) == 2 and [len(frame) for frame in frames] == [60, 60]
    assert [row["label"] for row in frames[0]] == [row["label"] for row in frames[1]]
    assert [row["x"] for row in frames[0]] != [row["x"] for row in frames[1]]


def test_other_widths_are_refused_with_a_way_out():
    (line,) = refusals("probe=features")
    assert "last layer has 16" in line and "model=mnist_cnn_2d" in line
    assert refusals("probe=features", *PLANE) == []


def test_tsne_keeps_classes_together_and_is_the_same_every_time():
    subject = subject_of()
    probe = Tsne(layer="input", samples=200, perplexity=20.0)
    rows = measured(probe, subject)["tsne"]
    assert measured(probe, subject)["tsne"] == rows
    places = np.array([(row["x"], row["y"]) for row in rows])
    distances = np.linalg.norm(places[:, None] - places, axis=2) + 1e9 * np.eye(len(places))
    labels = np.array([row["label"] for row in rows])
    assert (labels == labels[distances.argmin(1)]).mean() > 0.85, "as in space, where a digit's neighbour is mostly one"


@pytest.mark.parametrize(
    "words, said",
    [
        (("probe.samples=2",), "t-SNE of 2 points"),
        (("probe.samples=1",), "t-SNE of 1 point "),
        (("probe.samples=30",), "below the number of points, which is 30"),
        (("probe.perplexity=400",), "which is 359"),
        (("probe.layer=layer7",), "no layer 'layer7'"),
    ],
)
def test_tsne_of_too_little_is_refused(words, said):
    assert said in refusals("probe=tsne", *words)[0]

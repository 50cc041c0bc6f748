"""Misses and gradients in between training images, against a loop over pairs and a finite difference."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from probes import measured, refusals, subject_of, trained_subject

from mixexp import streams
from mixexp.probe.between import Between

WORDS = ("subset=balanced", "subset.n=60", "batch_size=20", "epochs=6", "model.width=4", "optimizer.lr=0.05")


def pairs_of(subject, count):
    """The pairs by their definition: two draws of the probe's own stream, the second never the first."""
    rng = streams.generator(subject.seed, "probe between")
    first = rng.integers(len(subject.train), size=count)
    return list(
        zip(
            first.tolist(),
            ((first + rng.integers(1, len(subject.train), size=count)) % len(subject.train)).tolist(),
            strict=True,
        )
    )


def test_misses_and_gradients_are_those_of_a_loop_over_pairs(tmp_path):
    _, subject = trained_subject(tmp_path, *WORDS)
    rows = measured(Between(pairs=40, points=5), subject)["between"]
    assert [row["lam"] for row in rows] == [0, 0.25, 0.5, 0.75, 1] and {row["pairs"] for row in rows} == {40}
    subject.network.eval()
    for row in rows:
        misses, norms = [], []
        for i, j in pairs_of(subject, 40):
            assert i != j
            x_i, x_j = (subject.inputs(subject.train.images[k : k + 1]) for k in (i, j))
            x = (row["lam"] * x_i + (1 - row["lam"]) * x_j).requires_grad_()
            outputs = subject.network(x)
            predicted = int(outputs.argmax())
            outputs.log_softmax(1)[0, predicted].backward()
            misses.append(predicted not in (int(subject.train.labels[i]), int(subject.train.labels[j])))
            norms.append(float(x.grad.square().sum().sqrt()))
        assert row["miss"] == pytest.approx(np.mean(misses))
        assert row["gradient_norm"] == pytest.approx(np.mean(norms), rel=1e-3)
    assert max(row["miss"] for row in rows) > 0


def test_the_gradient_is_the_steepest_slope():
    """A step of 1e-3 along it raises the log-probability by its norm times that, in float64."""
    subject = subject_of("dataset=two_moons", "model=mlp")
    network = subject.network.double().eval()
    x = torch.tensor([[0.3, -0.2]], dtype=torch.float64)[:, :, None, None].requires_grad_()
    most, predicted = network(x).log_softmax(1).max(1)
    (gradient,) = torch.autograd.grad(most.sum(), x)
    step = 1e-4 * gradient / gradient.norm()
    risen = network(x + step).log_softmax(1)[0, predicted] - network(x - step).log_softmax(1)[0, predicted]
    assert float(risen.detach()) / 2e-4 == pytest.approx(float(gradient.norm()), rel=1e-3)


def test_at_the_ends_of_lam_it_is_the_images_themselves(tmp_path):
    """With pairs swapped, lam and 1 − lam change places; at 1 the first image's own prediction counts."""
    _, subject = trained_subject(tmp_path, *WORDS)
    rows = {row["lam"]: row for row in measured(Between(pairs=200, points=2), subject)["between"]}
    with torch.no_grad():
        predicted = subject.network.eval()(subject.inputs(subject.train.images)).argmax(1).tolist()
    labels = subject.train.labels.tolist()
    for lam, which in ((0.0, 1), (1.0, 0)):
        missed = [predicted[pair[which]] not in (labels[pair[0]], labels[pair[1]]) for pair in pairs_of(subject, 200)]
        assert rows[lam]["miss"] == pytest.approx(np.mean(missed))


def test_pairs_are_of_all_training_images():
    subject = subject_of("subset=balanced", "subset.n=20")
    seen = {k for pair in pairs_of(subject, 1000) for k in pair}
    assert seen == set(range(20))
    assert "two" in refusals("probe=between", "subset=head", "subset.n=1")[0]

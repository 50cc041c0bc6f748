"""The toy sets, what a mix makes of them, and blends that land among another class."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from probes import measured, probe_of, refusals, subject_of
from running import config_of
from scipy.stats import beta, kstest
from sklearn.datasets import make_moons

from mixexp import streams
from mixexp.dataset.planes import Toy2D
from mixexp.mix import Plan
from mixexp.mix.ratio import Beta
from mixexp.probe.blends import Intrusion, MixedSamples
from mixexp.train import train
from mixexp.training.folder import RunFolder
from mixexp.training.spec import RunConfig

PLANE = ("model=mlp", "model.hidden=[8]", "mix=mixup", "mix.ratio.per=sample", "batch_size=500")


# --- data ---


def test_moons_are_scikit_learns_and_training_and_test_points_differ():
    found = Toy2D("moons", 0.1, train_points=100, test_points=60, split_seed=3).load()
    points, labels = make_moons(100, noise=0.1, random_state=6)
    assert np.allclose(found.train_images.flatten(1).numpy(), points) and found.train_labels.tolist() == labels.tolist()
    assert found.test_images.shape == (60, 2, 1, 1) and not torch.equal(found.test_images[:60], found.train_images[:60])


@pytest.mark.parametrize("count", [10, 11, 12, 101])
@pytest.mark.parametrize("arrangement", ["moons", "blobs", "sandwich"])
def test_classes_are_as_large_but_for_one_point(arrangement, count):
    found = Toy2D(arrangement, 0.1, train_points=count).load()
    counts = found.train_labels.bincount(minlength=2).tolist()
    assert sum(counts) == count and abs(counts[0] - counts[1]) <= 1


def test_in_a_sandwich_class_0_lies_on_either_side_of_class_1():
    found = Toy2D("sandwich", 0.1).load()
    x = found.train_images[:, 0, 0, 0]
    ours = x[found.train_labels == 0]
    assert (x[found.train_labels == 1].abs() < 0.5).all() and (ours.abs() > 0.5).all()
    assert (ours < 0).float().mean().item() == pytest.approx(0.5, abs=0.01)


# --- ratios ---


@pytest.mark.parametrize(
    "alpha, first_plus, fold", [(0.2, 0.0, False), (1.0, 1.0, False), (5.0, 0.0, True), (0.5, 0.0, True)]
)
def test_the_density_is_that_of_the_draws(alpha, first_plus, fold):
    ratio = Beta(alpha, "sample", first_plus, fold)
    lam = ratio.draw(streams.generator(0, "test"), 20_000, 100, 1).ravel().astype(float)
    even = np.linspace(0.5 if fold else 0, 1, 20_001)
    grid = even**9 / (even**9 + (1 - even) ** 9)  # dense at the ends, where the density may be infinite
    inner = (grid[1:] / 2 + grid[:-1] / 2).clip(max=np.nextafter(1, 0))
    cumulative = np.concatenate([[0], np.cumsum(ratio.density(inner) * np.diff(grid))])
    assert cumulative[-1] == pytest.approx(1, abs=0.03)
    assert kstest(lam, lambda x: np.interp(x, grid, cumulative / cumulative[-1])).statistic < 0.03
    assert fold == (ratio.density(np.array([0.3]))[0] == 0)


# --- clouds ---


def test_clouds_are_what_the_loop_trains_on(monkeypatch, tmp_path):
    words = (*PLANE, "dataset=two_moons", "epochs=1", "batch_size=200")
    seen, real = [], Plan.apply

    def spy(plan, x):
        seen.append((real(plan, x).clone(), plan))
        return real(plan, x)

    with monkeypatch.context() as patch:
        patch.setattr(Plan, "apply", spy)
        for _ in train(RunConfig.of(config_of(*words, "speed=eager")), RunFolder(tmp_path), {}):
            pass
    rows = measured(MixedSamples(samples=350), subject_of(*words))["mixed_samples"]
    points = torch.cat([x.flatten(1) for x, _ in seen])[:350]
    weights = torch.cat([plan.labels.to_one_hot(2)[:, 1] for _, plan in seen])[:350]
    assert np.allclose([(row["x"], row["y"]) for row in rows], points.numpy(), atol=1e-6)
    assert np.allclose([row["weight"] for row in rows], weights.numpy())


@pytest.mark.parametrize("alpha", [0.2, 5.0])
def test_small_alpha_stays_near_real_points_and_large_alpha_goes_to_the_middle(alpha):
    subject = subject_of(*PLANE, "dataset=two_blobs", f"alpha={alpha}")
    found = measured(MixedSamples(), subject)
    rows, ratio = found["mixed_samples"], found["ratio"]
    assert len(rows) == 500
    lam = np.array([row["lam"] for row in rows])
    middle = (np.abs(lam - 0.5) < 0.3).mean()
    assert middle == pytest.approx(beta(alpha, alpha).cdf(0.8) - beta(alpha, alpha).cdf(0.2), abs=0.1)
    drawn, formula = ([row["density"] for row in ratio if row["curve"] == name] for name in ("drawn", "formula"))
    assert np.mean(drawn) == pytest.approx(1) and len(drawn) == len(formula) == 40
    assert formula == pytest.approx(
        (40 * np.diff(beta(alpha, alpha).cdf(np.linspace(0, 1, 41)))).tolist(), rel=1e-4, abs=1e-9
    )
    weights = np.array([row["weight"] for row in rows])
    possible = np.stack([0 * lam, 0 * lam + 1, lam, 1 - lam])  # of two parts of one class, or of one of each
    assert np.isclose(weights, possible, atol=1e-6).any(0).all()


def test_without_mixing_the_cloud_is_the_data():
    subject = subject_of("model=mlp", "dataset=two_moons", "batch_size=100")
    rows = measured(MixedSamples(samples=1000), subject)["mixed_samples"]
    ours = sorted((round(row["x"], 4), round(row["y"], 4), row["weight"]) for row in rows)
    points = subject.inputs(subject.train.images).flatten(1).tolist()
    theirs = sorted(
        (round(x, 4), round(y, 4), label) for (x, y), label in zip(points, subject.train.labels.tolist(), strict=True)
    )
    assert ours == theirs and {row["lam"] for row in rows} == {1.0}


def test_mixed_samples_are_of_two_classes_in_the_plane():
    assert "1x8x8" in refusals("probe=mixed_samples")[0] and "dataset=two_moons" in refusals("probe=mixed_samples")[0]
    assert refusals("probe=mixed_samples", "dataset=ring", "model=mlp")


# --- intrusion ---


def brute_force(subject, epoch=0):
    """Blend after blend, training image after training image."""
    counts = {}
    images, labels = subject.inputs(subject.train.images).flatten(1).tolist(), subject.train.labels.tolist()
    for chosen, _, plan, _ in subject.mixed(epoch):
        points = plan.apply(subject.inputs(subject.train.gather(chosen))).flatten(1).tolist()
        for point, *parts in zip(points, *plan.rows, strict=True):
            rows = [int(chosen[part]) for part in parts]
            if len(set(rows)) == 1:
                continue
            nearest = min(range(len(images)), key=lambda k: math.dist(point, images[k]))
            classes = {labels[row] for row in rows}
            pair = "one class" if len(classes) == 1 else "several classes"
            blends, strange = counts.get(pair, (0, 0))
            counts[pair] = blends + 1, strange + (labels[nearest] not in classes)
    return counts


@pytest.mark.parametrize(
    "words",
    [
        ("dataset=sandwich",),
        ("dataset=iris",),
        ("dataset=iris", "mix=mixup_two_loaders"),
        ("dataset=iris", "mix=bc", "loss=kl"),
    ],
)
def test_intrusion_is_counted_blend_by_blend(words):
    base = ("model=mlp", "batch_size=40", "mix=mixup")
    subject = subject_of(*(word for word in base if word.split("=")[0] not in {w.split("=")[0] for w in words}), *words)
    rows = measured(Intrusion(), subject)["intrusion"]
    expected = brute_force(subject)
    assert {row["pair"]: row["blends"] for row in rows} == {pair: blends for pair, (blends, _) in expected.items()}
    for row in rows:
        blends, strange = expected[row["pair"]]
        assert row["intrusion"] == pytest.approx(strange / blends)


def test_a_sandwich_has_bad_pairs_and_two_clouds_have_none():
    found = {}
    for name in ("sandwich", "two_blobs"):
        subject = subject_of(*PLANE, f"dataset={name}", "mix=mixup_same_class", "alpha=1.0")
        (row,) = [row for row in measured(Intrusion(), subject)["intrusion"] if row["pair"] == "one class"]
        found[name] = row["intrusion"]
    assert found["two_blobs"] == 0 and found["sandwich"] > 0.1


def test_what_is_not_blended_is_no_blend():
    subject = subject_of("dataset=sandwich", "model=mlp", "mix=mixup_late", "mix.from_epoch=1", "epochs=2")
    (row,) = measured(Intrusion(epoch=0), subject)["intrusion"]
    assert row["blends"] == 0 and math.isnan(row["intrusion"])
    assert sum(row["blends"] for row in measured(Intrusion(epoch=1), subject)["intrusion"]) > 100


def test_a_window_is_that_of_the_runs_epochs():
    subject = subject_of("dataset=sandwich", "model=mlp", "mix=mixup_early", "mix.until=0.5", "epochs=2")
    lam = [torch.cat([batch.lam for batch in subject.mixed(epoch)]) for epoch in (0, 1)]
    assert lam[0].lt(1).any() and lam[1].eq(1).all()


def test_intrusion_can_be_had_of_any_data_and_only_where_there_are_blends():
    assert "this mix has none" in refusals("probe=intrusion")[0]
    rows = measured(probe_of("probe=intrusion", "probe.samples=100"), subject_of("mix=mixup", "alpha=0.1"))["intrusion"]
    assert [row["pair"] for row in rows] == ["one class", "several classes"] and sum(
        row["blends"] for row in rows
    ) <= 100

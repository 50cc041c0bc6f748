"""Parts of the mix group beyond pairs within a batch: neighbours, second passes, one class, several classes, BC+'s
switches."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import numpy as np
import pytest
import scipy
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from running import config_of, option, trained
from torch import Tensor

from mixexp import streams
from mixexp import train as loop
from mixexp.build import build
from mixexp.mix import pairing as pairings
from mixexp.mix.blend import BCPlus
from mixexp.mix.label import MixedLabel, NearestLabel
from mixexp.mix.mixes import DirichletMix
from mixexp.mix.pairing import Nearest, SameClass, SecondPass, nearest
from mixexp.training.setup import setup
from mixexp.training.spec import RunConfig


def points(count: int, columns: int = 4, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=(count, columns)).astype(np.float32))


def brute_force(x: np.ndarray, k: int, labels: np.ndarray | None = None) -> list[list[int]]:
    """Each point's k nearest others, of its own label where there are labels, by a sort of all distances."""
    found = []
    for i in range(len(x)):
        others = [j for j in range(len(x)) if j != i and (labels is None or labels[j] == labels[i])]
        found.append(sorted(others, key=lambda j: math.dist(x[i], x[j]))[:k])
    return found


# --- each image twice ---


@pytest.mark.fast
def test_regmixup_is_the_images_and_their_mixup() -> None:
    """Against a loop; its mean loss is half the sum of the losses of the images and of their blends."""
    mix, labels = build(option("mix", "regmixup")), torch.arange(7) % 3
    images, size = points(7, 12).view(7, 3, 2, 2), mix.source_images(14)
    mix.prepare(images, labels)
    draws = {name: torch.from_numpy(values) for name, values in mix.draw(3, 1, np.arange(7), size, 14).items()}
    plan = mix.plan(labels, draws)
    blended, soft, order = plan.apply(images), plan.labels.to_one_hot(3), draws["order"].argsort()
    assert size == 7 and len(draws["lam"].unique()) == 1 and mix.density(np.array([0.5])) is None
    assert torch.equal(blended[:7], images) and torch.equal(soft[:7], torch.eye(3)[labels])
    assert plan.weights[0][:7].eq(1).all() and plan.weights[1][:7].eq(0).all()
    for i in range(7):
        j = order[i].item()
        lam = 1.0 if i == j else draws["lam"][i, 0].item()
        torch.testing.assert_close(blended[7 + i], lam * images[i] + (1 - lam) * images[j])
        torch.testing.assert_close(soft[7 + i], lam * torch.eye(3)[labels[i]] + (1 - lam) * torch.eye(3)[labels[j]])
    logits = points(14, 3, seed=5)
    loss = build(option("loss", "cross_entropy"), class_counts=np.full(3, 5))(logits, plan.labels).mean()
    each = -(soft * logits.log_softmax(1)).sum(1)
    torch.testing.assert_close(loss, (each[:7].mean() + each[7:].mean()) / 2)


@pytest.mark.fast
def test_regmixups_weights_are_near_a_half_and_its_batches_even() -> None:
    mix = build(option("mix", "regmixup"))
    lam = mix.draw(0, 0, np.arange(40_000), 4, 8)["lam"][::4]
    assert lam.mean() == pytest.approx(0.5, abs=0.005) and lam.var() == pytest.approx(1 / (4 * 41), rel=0.1)
    with pytest.raises(ValueError, match="batch_size = 7: half of the samples are blended; take an even number"):
        mix.source_images(7)


# --- neighbours ---


@pytest.mark.fast
@pytest.mark.parametrize("chunk", [1, 7, 1024])
def test_neighbours_are_those_of_brute_force(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pairings, "_CHUNK", chunk)
    x = points(50) + 100  # far from the origin, where the squares' digits would be lost
    assert nearest(x, 6).tolist() == brute_force(x.double().numpy(), 6)


@pytest.mark.fast
@pytest.mark.parametrize("same_class", [False, True])
def test_neighbours_in_the_training_set(same_class: bool) -> None:
    images = points(60, 12).view(60, 3, 2, 2)
    labels = torch.from_numpy(np.random.default_rng(1).integers(3, size=60))
    pairing = Nearest(4, same_class)
    pairing.prepare(images, labels)
    expected = brute_force(images.flatten(1).double().numpy(), 4, labels.numpy() if same_class else None)
    assert pairing.neighbours.tolist() == expected


def test_neighbours_of_real_images_are_sklearns() -> None:
    from sklearn.datasets import load_digits  # a second, which other tests need not take

    digits = load_digits()
    images = torch.from_numpy(digits.images.astype(np.uint8)).unsqueeze(1)[:500]
    found = nearest(images.flatten(1).float(), 5)
    x = images.flatten(1).double()
    distances = torch.cdist(x, x).fill_diagonal_(torch.inf)
    # equal distances can be in any order, so distances are compared
    torch.testing.assert_close(distances.gather(1, found), distances.topk(5, largest=False).values, rtol=0, atol=1e-6)


@pytest.mark.fast
def test_partners_among_the_neighbours_are_uniform_and_drawn_anew() -> None:
    pairing = Nearest(5)
    pairing.prepare(points(20).view(20, 4, 1, 1), torch.zeros(20, dtype=torch.int64))
    order = np.repeat(np.arange(20), 2000)
    external = pairing.draw(np.random.default_rng(0), order)["external"]
    for i in range(20):
        counts = np.bincount(external[order == i], minlength=20)
        assert counts.sum() == counts[pairing.neighbours[i]].sum() == 2000
        assert scipy.stats.chisquare(counts[pairing.neighbours[i]]).pvalue > 1e-4
    again = pairing.draw(np.random.default_rng(1), order)["external"]
    assert 0.15 < (external == again).mean() < 0.25


@pytest.mark.fast
@pytest.mark.parametrize(
    ("same_class", "counts", "message"),
    [
        (False, [3, 2], "the training set has 5 images, so k can be 4"),
        (True, [9, 0, 4], "the smallest class has 4 images, so k can be 3"),
    ],
)
def test_more_neighbours_than_there_are_images_are_refused(same_class: bool, counts: list[int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Nearest(sum(counts) if not same_class else 4, same_class).check(np.array(counts))
    Nearest(sum(counts) - 1 if not same_class else 3, same_class).check(np.array(counts))


# --- a second pass ---


@pytest.mark.fast
def test_a_second_pass_visits_the_same_images_in_another_order() -> None:
    order = np.random.default_rng(0).permutation(200)[:150]
    external = SecondPass().draw(np.random.default_rng(1), order)["external"]
    assert sorted(external) == sorted(order) and (external != order).mean() > 0.95
    fixed = [(SecondPass().draw(np.random.default_rng(seed), order)["external"] == order).sum() for seed in range(300)]
    assert np.mean(fixed) == pytest.approx(1, abs=0.25), (
        "an image meets itself once a pass on average, as two loaders have it"
    )


@pytest.mark.fast
@pytest.mark.parametrize("mix", ["mixup_two_loaders", "mixup_knn"])
def test_external_partners_join_the_batch(mix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    real = loop.forward_blended

    def watch(network, images, layer, blend):
        plan = blend.__self__
        seen.append((images, plan, blend(images)))
        return real(network, images, layer, blend)

    monkeypatch.setattr(loop, "forward_blended", watch)
    words = (f"mix={mix}", "epochs=1", "subset=head", "subset.n=150")
    trained(tmp_path, *words)
    parts = setup(RunConfig.of(config_of(*words)))
    parts.mix.prepare(parts.train.images, parts.train.labels)
    order = parts.sampling.order(parts.selected.train_labels, streams.generator(0, "order", 0))
    external = parts.mix.draw(0, 0, order, 64, 64)["external"]
    start = 0
    for images, plan, blended in seen:
        size = len(blended)
        rows = torch.from_numpy(np.concatenate([order[start : start + size], external[start : start + size]]))
        start += size
        assert torch.equal(images, parts.normalize(parts.train.images[rows]))
        assert torch.equal(torch.cat(plan.labels.labels), parts.train.labels[rows])
        lam = plan.weights[0].view(-1, 1, 1, 1)
        torch.testing.assert_close(blended, lam * images[:size] + (1 - lam) * images[size:])
    assert start == 150


# --- same class ---


@pytest.mark.fast
@settings(max_examples=60, deadline=None)
@given(labels=st.lists(st.integers(0, 4), min_size=1, max_size=30), count=st.integers(1, 3), seed=st.integers(0, 1000))
def test_same_class_partners_are_a_permutation_of_each_class(labels: list[int], count: int, seed: int) -> None:
    y, pairing = torch.tensor(labels), SameClass()
    draws = {
        name: torch.from_numpy(v) for name, v in pairing.draw(np.random.default_rng(seed), np.arange(len(y))).items()
    }
    found = pairing.partners(y, draws, count)
    assert found.shape == (len(y), count)
    for k in range(count):
        assert sorted(found[:, k].tolist()) == list(range(len(y)))
        assert torch.equal(y[found[:, k]], y)


# --- labels ---


@pytest.mark.fast
@settings(max_examples=50, deadline=None)
@given(
    rows=st.lists(
        st.tuples(*[st.integers(0, 5)] * 3, *[st.sampled_from([0.0, 0.25, 0.5, 1.0])] * 3), min_size=1, max_size=8
    )
)
def test_the_nearest_label_is_that_of_the_largest_weight_the_first_of_equal_ones(rows: list[tuple]) -> None:
    columns = [torch.tensor(column) for column in zip(*rows, strict=True)]
    labels, weights = columns[:3], [column.float() for column in columns[3:]]
    record = NearestLabel()(labels, weights)
    expected = [row[max(range(3), key=lambda k, row=row: (row[3 + k], -k))] for row in rows]
    assert record.labels[0].tolist() == expected and not record.weights


@pytest.mark.fast
def test_the_nearest_label_is_that_of_the_nearest_image() -> None:
    """Of a linear blend, larger weight and smaller distance are the same thing."""
    first, second, lam = points(100), points(100, seed=1), torch.rand(100, generator=torch.Generator().manual_seed(0))
    blend = lam.unsqueeze(1) * first + (1 - lam).unsqueeze(1) * second
    record = NearestLabel()([torch.zeros(100, dtype=torch.int64), torch.ones(100, dtype=torch.int64)], [lam, 1 - lam])
    assert torch.equal(record.labels[0] == 0, (blend - first).norm(dim=1) <= (blend - second).norm(dim=1))


# --- several classes ---


def several(classes: list[int], labels: Tensor, alpha: float = 1.0, epoch: int = 0):
    mix = DirichletMix(classes, alpha, BCPlus(), MixedLabel())
    draws = {
        name: torch.from_numpy(values) for name, values in mix.draw(0, epoch, np.arange(len(labels)), 0, 0).items()
    }
    return mix.plan(labels, draws), draws


@pytest.mark.fast
@settings(max_examples=60, deadline=None)
@given(
    labels=st.lists(st.integers(0, 5), min_size=1, max_size=24),
    classes=st.sampled_from([[2], [3], [2, 3], [4]]),
    epoch=st.integers(0, 500),
)
def test_several_against_a_naive_loop(labels: list[int], classes: list[int], epoch: int) -> None:
    y = torch.tensor(labels)
    plan, draws = several(classes, y, epoch=epoch)
    for i, own in enumerate(labels):
        taken, rows, weights = {own}, [i], draws["weights"][i].tolist()
        for k, drawn in enumerate(draws["order"].T.tolist()):
            free = [
                j for j in sorted(range(len(y)), key=lambda j, drawn=drawn: (drawn[j], j)) if labels[j] not in taken
            ]
            rows.append(free[int(np.float32(drawn[i]) * np.float32(len(free)))] if free else i)
            taken.add(labels[rows[-1]])
            if rows[-1] == i:
                weights[0], weights[k + 1] = weights[0] + weights[k + 1], 0.0
        assert [part[i].item() for part in plan.rows] == rows
        assert [weight[i].item() for weight in plan.weights] == pytest.approx(weights, abs=1e-6)
        chosen = [labels[j] for j in rows if j != i]
        assert len(set(chosen)) == len(chosen) == min(max(classes) - 1, len(set(labels)) - 1) and own not in chosen


@pytest.mark.fast
def test_weights_of_several_classes_are_a_dirichlet_distribution() -> None:
    def weights_of(classes: list[int]) -> np.ndarray:
        return DirichletMix(classes, 1.0, BCPlus(), MixedLabel()).draw(0, 0, np.arange(18_000), 0, 0)["weights"]

    for part in weights_of([3]).T:
        assert scipy.stats.kstest(part, scipy.stats.beta(1, 2).cdf).pvalue > 1e-3, "a part of Dirichlet(1, 1, 1)"
    first, _, third = weights_of([2, 3]).T
    assert (third == 0).mean() == pytest.approx(0.5, abs=0.02)
    assert scipy.stats.kstest(third[third > 0], scipy.stats.beta(1, 2).cdf).pvalue > 1e-3
    assert scipy.stats.kstest(first[third == 0], "uniform").pvalue > 1e-3, "two classes have U(0, 1)"


@pytest.mark.fast
def test_partners_of_several_classes_are_uniform() -> None:
    y, epochs = [0, 0, 1, 1, 2, 2, 3, 3], 1500
    counts = np.zeros((2, 8, 8))
    for epoch in range(epochs):
        plan, _ = several([3], torch.tensor(y), epoch=epoch)
        for k in (1, 2):
            np.add.at(counts[k - 1], (np.arange(8), plan.rows[k].numpy()), 1)
    for k, i in itertools.product(range(2), range(8)):
        allowed = [j for j in range(8) if y[j] != y[i]]
        assert counts[k, i].sum() == counts[k, i, allowed].sum() == epochs
        assert scipy.stats.chisquare(counts[k, i, allowed]).pvalue > 1e-4


@pytest.mark.fast
def test_more_classes_than_there_are_are_refused() -> None:
    with pytest.raises(ValueError, match=r"mix.classes = \[2, 3\]: the training set has 2 classes"):
        DirichletMix([2, 3], 1.0, BCPlus(), MixedLabel()).check(np.array([5, 0, 5]))


# --- BC+'s switches ---


@pytest.mark.fast
@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize(("normalise", "by_energy"), list(itertools.product([False, True], repeat=2)))
def test_each_part_of_bc_plus_can_be_left_out(normalise: bool, by_energy: bool, count: int) -> None:
    images = [(k + 1) * points(6, 12, seed=k).view(6, 3, 2, 2) for k in range(count)]
    weights = torch.from_numpy(np.random.default_rng(0).dirichlet(np.ones(count), size=6)).float()
    found = BCPlus(normalise=normalise, by_energy=by_energy)(images, weights.unbind(1))
    for i in range(6):
        parts = [x[i].double().numpy() for x in images]
        w = weights[i].double().numpy()
        p = w / [x.std() for x in parts] if by_energy else w
        p = p / p.sum()
        expected = sum(a * x for a, x in zip(p, parts, strict=True)) / (math.sqrt((p**2).sum()) if normalise else 1)
        np.testing.assert_allclose(found[i].numpy(), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.fast
def test_bc_plus_without_any_of_its_parts_is_bc() -> None:
    x, lam = [points(6).view(6, 4, 1, 1), points(6, seed=1).view(6, 4, 1, 1)], torch.linspace(0, 1, 6)
    plain = BCPlus(zero_mean=False, normalise=False, by_energy=False)
    torch.testing.assert_close(plain(x, [lam, 1 - lam]), build(option("mix", "bc")["blend"])(x, [lam, 1 - lam]))
    assert not plain.zero_mean and BCPlus().zero_mean


# --- SMOTE ---

SMOTE = (
    "mix=smote",
    "mix.pairing.k=5",
    "sampling=oversample",
    "imbalance=minority",
    "imbalance.n=5",
    "imbalance.classes=[2,7]",
)


def on_one_segment(point: Tensor, first: Tensor, second: Tensor) -> float:
    """How far along from first to second a point lies; fails where it does not lie between them."""
    step = ((point - first) @ (second - first) / (second - first).square().sum()).item()
    assert -1e-5 <= step <= 1 + 1e-5
    torch.testing.assert_close(point, first + step * (second - first), rtol=0, atol=1e-4)
    return step


def test_smote_adds_points_on_segments_between_neighbours_of_a_class(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the loop itself gathers, blends and labels: repeats alone are blended, an image's first visit an epoch is
    itself."""
    seen = []
    real = loop.forward_blended

    def watch(network, images, layer, blend):
        seen.append((blend.__self__.labels.labels[0], blend(images).flatten(1)))
        return real(network, images, layer, blend)

    monkeypatch.setattr(loop, "forward_blended", watch)
    trained(tmp_path, *SMOTE, "epochs=1")
    parts = setup(RunConfig.of(config_of(*SMOTE, "epochs=1")))
    images, labels = parts.normalize(parts.train.images).flatten(1), parts.train.labels.numpy()
    neighbours = brute_force(parts.train.images.flatten(1).double().numpy(), 5, labels)
    order = parts.sampling.order(labels, streams.generator(0, "order", 0))
    points = torch.cat([blended for _, blended in seen])
    assert (torch.cat([y for y, _ in seen]).numpy() == labels[order[: len(points)]]).all()
    visited: set[int] = set()
    steps = []
    for row, point in zip(order, points, strict=False):
        if row not in visited:
            assert torch.equal(point, images[row]), "the first visit is the image"
        else:
            # equal distances can name another neighbour; those within rounding of the fifth count too
            limit = math.dist(images[row], images[neighbours[row][-1]]) + 1e-4
            near = [
                j
                for j in np.flatnonzero(labels == labels[row])
                if j != row and math.dist(images[row], images[j]) <= limit
            ]
            residual = []
            for j in near:
                try:
                    residual.append(on_one_segment(point, images[row], images[j]))
                except AssertionError:
                    continue
            assert residual, "on a segment to one of its neighbours"
            steps += residual[:1]
        visited.add(row)
    assert visited == set(range(len(labels)))
    counts = np.bincount(labels)
    assert len(steps) == len(points) - len(labels) and set(
        labels[[r for r in range(len(labels)) if counts[labels[r]] < 30]]
    ) == {2, 7}
    assert scipy.stats.kstest(steps, "uniform").pvalue > 1e-3


@pytest.mark.fast
def test_smote_has_imbalanced_learns_neighbours_and_steps() -> None:
    over_sampling = pytest.importorskip("imblearn.over_sampling")
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(size=(300, 3)), rng.normal(3, 2, size=(30, 3))]).astype(np.float32)
    y = np.repeat([0, 1], [300, 30])
    theirs, labels = over_sampling.SMOTE(k_neighbors=5, random_state=0).fit_resample(x, y)
    assert np.bincount(labels).tolist() == [300, 300]
    pairing = Nearest(5, same_class=True)
    pairing.prepare(torch.from_numpy(x).view(-1, 3, 1, 1), torch.from_numpy(y))
    steps = []
    for point in torch.from_numpy(theirs[330:]):
        found = []
        for i in range(300, 330):
            for j in pairing.neighbours[i]:
                try:
                    found.append(on_one_segment(point, torch.from_numpy(x[i]), torch.from_numpy(x[j])))
                except AssertionError:
                    continue
        assert found, "their points lie on segments between our neighbours"
        steps += found[:1]
    assert scipy.stats.kstest(np.minimum(steps, np.subtract(1, steps)) * 2, "uniform").pvalue > 1e-3, (
        "as far along, from either end"
    )

"""Every option of the mix group: its plans against naive loops, its distributions, its limits and its random
streams."""

from __future__ import annotations

import itertools
import math
import random
from typing import Any

import numpy as np
import pytest
import scipy
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf
from running import composed, names, raw_option
from torch import Tensor

from mixexp import streams
from mixexp.build import build, locate
from mixexp.labels import MixedLabels
from mixexp.loss.cross_entropy import CrossEntropy
from mixexp.mix import Mix, Plan
from mixexp.mix.blend import BCPlus, Linear
from mixexp.mix.label import FirstLabel, MixedLabel, NearestLabel
from mixexp.mix.mixes import Pairs
from mixexp.mix.pairing import ByClassSize, OtherClass, Permutation, SameClass
from mixexp.mix.ratio import Beta

pytestmark = pytest.mark.fast
NAMES = names("mix")
CLASSES = 4


def mix_of(name: str, alpha: float = 1.0, **changes: Any) -> Mix:
    """The option's object; changes name a setting by its path, with __ for the dot."""
    config = composed("mix", name)
    config.alpha = alpha
    for key, value in changes.items():
        OmegaConf.update(config, f"mix.{key.replace('__', '.')}", value, force_add=False)
    if "k" in config.mix.get("pairing", {}):
        config.mix.pairing.k = 1  # the sets here are small
    if "from_epoch" in config.mix:
        config.mix.from_epoch = 0  # what it does before is a test of its own
    return build(OmegaConf.to_container(config.mix, resolve=True))


def part(name: str, key: str) -> type:
    """The class of a part that an option names."""
    return locate(raw_option("mix", name)[key]["_target_"])


PAIRS = [name for name in NAMES if locate(raw_option("mix", name)["_target_"]) is Pairs]
STEPPED = [name for name in PAIRS if not part(name, "pairing").external]
BETA = [name for name in STEPPED if issubclass(part(name, "ratio"), Beta)]
USES_ALPHA = [name for name in PAIRS if "${alpha}" in str(raw_option("mix", name).get("ratio"))]
BC = [name for name in PAIRS if issubclass(part(name, "pairing"), OtherClass)]


def per_sample(name: str) -> dict[str, str]:
    """The setting by which an option draws a weight for each sample; a ratio of a user's own may have none."""
    return {"ratio__per": "sample"} if issubclass(part(name, "ratio"), Beta) else {}


def epoch_of(mix: Mix, rows: int, batch_size: int, seed: int = 0, epoch: int = 0) -> dict[str, Tensor]:
    draws = mix.draw(seed, epoch, np.arange(rows), mix.source_images(batch_size), batch_size)
    assert all(len(values) == rows for values in draws.values())
    return {name: torch.from_numpy(values) for name, values in draws.items()}


def accepts(mix: Mix, labels: Tensor) -> bool:
    """Whether validate lets a mix have such labels."""
    try:
        mix.check(labels.bincount().numpy())
    except ValueError:
        return False
    return True


Batch = tuple[slice, Plan, dict[str, Tensor]]


def batches(mix: Mix, labels: Tensor, batch_size: int, seed: int = 0, epoch: int = 0) -> list[Batch]:
    """An epoch's batches as the loop cuts them: rows of the epoch, plan and draws."""
    if not accepts(mix, labels):
        pytest.skip("validate refuses this mix of such labels")
    mix.prepare(some_images(len(labels)), labels)
    source_images, draws = mix.source_images(batch_size), epoch_of(mix, len(labels), batch_size, seed, epoch)
    found = []
    for start in range(0, len(labels), source_images):
        now = slice(start, start + source_images)
        own = {name: values[now] for name, values in draws.items()}
        found.append((now, mix.plan(joined(labels, now, own), own), own))
    return found


def joined(values: Tensor, now: slice, draws: dict[str, Tensor]) -> Tensor:
    """A batch's values, with those of its external partners behind."""
    return torch.cat([values[now], values[draws["external"]]]) if "external" in draws else values[now]


def only(mix: Mix, labels: Tensor, batch_size: int | None = None, seed: int = 0) -> Plan:
    ((_, plan, _),) = batches(mix, labels, batch_size or len(labels) * samples_per_image(mix), seed)
    return plan


def samples_per_image(mix: Mix) -> int:
    return 2 // mix.source_images(2)


def some_labels(count: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).integers(CLASSES, size=count))


def some_images(count: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=(count, 2, 3, 3)).astype(np.float32))


def naive_permutation(labels: list[int], draws: dict[str, list], count: int) -> list[list[int]]:
    order = sorted(range(len(labels)), key=lambda i: draws["order"][i])
    return [[order[(i - k) % len(labels)] for k in range(count)] for i in range(len(labels))]


def naive_other_class(labels: list[int], draws: dict[str, list], count: int) -> list[list[int]]:
    order = sorted(range(len(labels)), key=lambda i: draws["order"][i])
    found = []
    for i, own in enumerate(labels):
        others = [j for j in order if labels[j] != own]
        start = int(draws["start"][i] * len(others))
        found.append([others[(start + k) % len(others)] if others else i for k in range(count)])
    return found


def naive_same_class(labels: list[int], draws: dict[str, list], count: int) -> list[list[int]]:
    found = []
    for i, own in enumerate(labels):
        members = [j for j, label in enumerate(labels) if label == own]
        shuffled = sorted(members, key=lambda j: draws["order"][j])
        found.append([shuffled[(members.index(i) - k) % len(members)] for k in range(count)])
    return found


def naive_target(mix: Pairs, own: int, other: int, weight: float) -> list[float]:
    target = [0.0] * CLASSES
    if isinstance(mix.label, FirstLabel):
        weight = 1.0
    elif isinstance(mix.label, NearestLabel):
        weight = float(weight >= 0.5)
    target[own] += weight
    target[other] += 1 - weight
    return target


def naive_linear(first: np.ndarray, second: np.ndarray, lam: float) -> np.ndarray:
    return lam * first + (1 - lam) * second


def naive_energy(first: np.ndarray, second: np.ndarray, lam: float) -> np.ndarray:
    """The paper's own formula, for 0 < lam and two images that are not flat."""
    p = 1 / (1 + first.std() / second.std() * (1 - lam) / lam)
    return (p * first + (1 - p) * second) / math.sqrt(p**2 + (1 - p) ** 2)


NAIVE_PARTNERS = {Permutation: naive_permutation, OtherClass: naive_other_class, SameClass: naive_same_class}
NAIVE_BLEND = {Linear: naive_linear, BCPlus: naive_energy}
LABELS = (MixedLabel, FirstLabel, NearestLabel)


def has_reference(name: str) -> bool:
    """Whether the parts of an option have a naive loop here; a new part brings its own tests of exactness."""
    known = (part(name, "pairing") in NAIVE_PARTNERS, part(name, "blend") in NAIVE_BLEND, part(name, "label") in LABELS)
    return all(known)


@pytest.mark.parametrize("step_size", [None, 3])
@pytest.mark.parametrize("name", list(filter(has_reference, PAIRS)))
def test_plan_against_a_naive_loop(name: str, step_size: int | None) -> None:
    mix = mix_of(name, step_size=step_size, **per_sample(name))
    batch_size, labels, images = 6, some_labels(13), some_images(13)
    for now, plan, draws in batches(mix, labels, batch_size, seed=3):
        y, x = labels[now].tolist(), images[now].double().numpy()
        lam = draws["lam"].tolist()
        count = 1 if step_size is None else 2
        partners = NAIVE_PARTNERS[type(mix.pairing)](y, {k: v.tolist() for k, v in draws.items()}, count)
        blends, targets = [], []
        for i in range(len(y)):
            for k in range(count):
                j = partners[i][k]
                weight = 1.0 if i == j else lam[i][k]
                blends.append(NAIVE_BLEND[type(mix.blend)](x[i], x[j], weight))
                targets.append(naive_target(mix, y[i], y[j], weight))
        torch.testing.assert_close(plan.apply(images[now]), torch.tensor(np.array(blends), dtype=torch.float32))
        torch.testing.assert_close(plan.labels.to_one_hot(CLASSES), torch.tensor(targets))


@settings(max_examples=15, deadline=None)
@given(
    name=st.sampled_from(NAMES),
    labels=st.lists(st.integers(0, CLASSES - 1), min_size=1, max_size=40),
    batch_size=st.integers(1, 12),
    exponent=st.floats(-3, 3),
    seed=st.integers(0, 2**63 - 1),
)
def test_contract(name: str, labels: list[int], batch_size: int, exponent: float, seed: int) -> None:
    mix, y = mix_of(name, alpha=10**exponent), torch.tensor(labels)
    images = some_images(len(y))
    assume(accepts(mix, y))
    times = samples_per_image(mix)
    for now, plan, own in batches(mix, y, times * batch_size, seed, epoch=5):
        blended, soft = plan.apply(joined(images, now, own)), plan.labels.to_one_hot(CLASSES)
        assert len(blended) == len(soft) == times * len(y[now])
        assert blended.dtype == images.dtype and blended.isfinite().all()
        torch.testing.assert_close(soft.sum(1), torch.ones(len(soft)))
        assert soft.min() >= 0
        assert ((soft > 0).sum(1) <= (max(len(plan.rows), 1) if mix.mixes_labels else 1)).all()
        if not plan.rows:
            assert mix.blend is None and torch.equal(blended, images[now])
        else:
            assert all(w.dtype == torch.float32 and ((w >= 0) & (w <= 1)).all() for w in plan.weights)
            torch.testing.assert_close(sum(plan.weights), torch.ones(len(blended)))


@pytest.mark.parametrize("name", NAMES)
def test_dtype_and_shape_of_any_representation_are_kept(name: str) -> None:
    mix = mix_of(name)
    plan, present = only(mix, some_labels(6)), 12 if mix.external else 6
    for dtype in (torch.float64, torch.bfloat16):
        for shape in ((2, 3, 3),) if mix.blend is not None and mix.blend.needs_plane else ((5,), (2, 3, 3)):
            x = torch.arange(present * math.prod(shape), dtype=dtype).view(present, *shape)
            assert plan.apply(x).dtype == dtype and plan.apply(x).shape == (6 * samples_per_image(mix), *shape)


def test_what_the_options_say_of_themselves() -> None:
    none, data_mix, mixup, bc, plus = (mix_of(name) for name in ("none", "data_mix", "mixup", "bc", "bc_plus"))
    assert [m.mixes_labels for m in (none, data_mix, mixup, bc, plus)] == [False, False, True, True, True]
    assert [m.zero_mean for m in (none, data_mix, mixup, bc, plus)] == [False, False, False, False, True]
    assert none.blend is None and plus.blend.input_only and not bc.blend.input_only


@pytest.mark.parametrize("alpha", [1e-3, 1e-2, 0.2, 1.0, 5.0, 1e3])
@pytest.mark.parametrize("name", USES_ALPHA)
def test_beta_moments(name: str, alpha: float) -> None:
    mix, count = mix_of(name, alpha, ratio__per="sample"), 100_000
    lam = mix.ratio.draw(np.random.default_rng(0), count, 128, 1).astype(float)
    assert ((lam >= 0) & (lam <= 1)).all()
    a, b = alpha + (1 if isinstance(mix.label, FirstLabel) else 0), alpha
    mean, variance, kurtosis = (float(value) for value in scipy.stats.beta.stats(a, b, moments="mvk"))
    assert lam.mean() == pytest.approx(mean, abs=5 * math.sqrt(variance / count))
    assert lam.var() == pytest.approx(variance, abs=5 * variance * math.sqrt(max(kurtosis + 2, 0) / count) + 1e-7)


def test_data_mix_prefers_the_image_whose_label_is_kept() -> None:
    mix = mix_of("data_mix", 1.0, ratio__per="sample")
    labels = some_labels(20_000)
    plan = only(mix, labels)
    lam = plan.weights[0][plan.rows[0] != plan.rows[1]]
    assert lam.mean().item() == pytest.approx(2 / 3, abs=0.01)
    assert torch.equal(plan.labels.labels[0], labels) and not plan.labels.weights


@pytest.mark.parametrize("name", USES_ALPHA)
def test_alpha_to_zero_leaves_samples_almost_unmixed(name: str) -> None:
    plan = only(mix_of(name, 1e-3, ratio__per="sample"), some_labels(1000))
    assert torch.minimum(plan.weights[0], 1 - plan.weights[0]).mean() < 2e-3
    if isinstance(mix_of(name).label, FirstLabel):
        assert plan.weights[0].mean() > 0.99


@pytest.mark.parametrize("fold", [False, True])
@pytest.mark.parametrize("name", BETA)
def test_what_is_drawn_once(name: str, fold: bool) -> None:
    rows, batch_size = 50, 8
    distinct = {}
    for per in ("sample", "batch", "epoch"):
        mix = mix_of(name, 1.0, ratio__per=per, ratio__fold=fold, step_size=4)
        lam = epoch_of(mix, rows, batch_size)["lam"]
        assert lam.shape == (rows, 2)
        distinct[per] = lam.unique().numel()
        if per == "batch":
            assert all(chunk.unique().numel() == 1 for chunk in lam.split(4))
        assert not fold or lam.min() >= 0.5
        assert fold or per == "epoch" or lam.min() < 0.5
    assert distinct == {"sample": 100, "batch": 13, "epoch": 1}
    assert (epoch_of(mix, rows, 8, epoch=0)["lam"][0] != epoch_of(mix, rows, 8, epoch=1)["lam"][0]).all()


def test_folding_keeps_the_distribution_of_the_larger_part() -> None:
    plain = epoch_of(mix_of("bc"), 5000, 128)["lam"]
    folded = epoch_of(mix_of("bc", ratio__fold=True), 5000, 128)["lam"]
    torch.testing.assert_close(folded, torch.maximum(plain, 1 - plain))
    assert scipy.stats.kstest(folded.flatten().numpy(), scipy.stats.uniform(0.5, 0.5).cdf).pvalue > 0.01


label_vectors = st.one_of(
    st.lists(st.integers(0, 9), min_size=1, max_size=32),
    st.lists(st.sampled_from([0] * 20 + [1]), min_size=1, max_size=32),
    st.integers(1, 16).map(lambda n: [3] * n),
)


@settings(max_examples=60, deadline=None)
@given(name=st.sampled_from(BC), labels=label_vectors, count=st.sampled_from([1, 2, 5]), seed=st.integers(0, 1000))
def test_bc_partners(name: str, labels: list[int], count: int, seed: int) -> None:
    y = torch.tensor(labels)
    plan = only(mix_of(name, step_size=len(y)), y, count * len(y), seed)
    assert plan.rows[0].tolist() == [i for i in range(len(y)) for _ in range(count)]
    for i, own in enumerate(labels):
        partners = plan.rows[1][i * count : (i + 1) * count].tolist()
        available = sum(label != own for label in labels)
        if available == 0:
            assert partners == [i] * count
            assert plan.weights[0][i * count : (i + 1) * count].eq(1).all()
        else:
            assert all(labels[j] != own for j in partners)
            assert len(set(partners)) == min(count, available)


@settings(max_examples=40, deadline=None)
@given(labels=label_vectors, count=st.sampled_from([1, 2, 5]), seed=st.integers(0, 1000))
def test_bc_partners_with_replacement_against_a_loop(labels: list[int], count: int, seed: int) -> None:
    mix = mix_of("bc", step_size=len(labels), pairing__replace=True)
    draws = epoch_of(mix, len(labels), count * len(labels), seed)
    assert draws["place"].shape == (len(labels), count)
    partners = mix.plan(torch.tensor(labels), draws).rows[1].view(-1, count)
    for i, own in enumerate(labels):
        others = [j for j, label in enumerate(labels) if label != own]
        expected = [others[int(place * len(others))] if others else i for place in draws["place"][i].numpy()]
        assert partners[i].tolist() == expected


def test_partners_drawn_with_replacement_are_independent() -> None:
    """Any two of the four others are as likely, the same one twice included, which does not happen without
    replacement."""
    y, epochs = [0, 1, 1, 2, 2], 4000
    mix = mix_of("bc", step_size=5, pairing__replace=True)
    both = np.zeros((5, 5))
    for _, plan, _ in batches(mix, torch.tensor(y * epochs), 10):
        first, second = plan.rows[1].view(5, 2)[0].tolist()
        both[first, second] += 1
    assert both[0].sum() == both[:, 0].sum() == 0 and both.sum() == epochs
    assert scipy.stats.chisquare(both[1:, 1:].flatten()).pvalue > 1e-4


@pytest.mark.parametrize("name", BC)
@pytest.mark.parametrize("replace", [False, True])
def test_a_sample_without_another_class_stays_as_it_is(name: str, replace: bool) -> None:
    images = some_images(5)
    plan = only(mix_of(name, pairing__replace=replace), torch.full((5,), 2))
    torch.testing.assert_close(plan.apply(images), images)
    assert plan.labels.to_one_hot(CLASSES)[:, 2].eq(1).all()


@pytest.mark.parametrize("name", list(filter(has_reference, PAIRS)))
def test_partners_are_uniform(name: str) -> None:
    y, epochs = [0, 0, 0, 1, 1, 2, 2, 2], 1500
    mix, size = mix_of(name, step_size=8), 8
    counts = np.zeros((2, size, size))
    for _, plan, _ in batches(mix, torch.tensor(y * epochs), 16):
        partners = plan.rows[1].view(size, 2).numpy()
        for which in (0, 1):
            np.add.at(counts[which], (np.arange(size), partners[:, which]), 1)
    for which, i in itertools.product((0, 1), range(size)):
        same = type(mix.pairing) is SameClass
        allowed = [j for j in range(size) if (y[j] == y[i] if same else name not in BC or y[j] != y[i])]
        assert counts[which, i].sum() == counts[which, i, allowed].sum() == epochs
        assert scipy.stats.chisquare(counts[which, i, allowed]).pvalue > 1e-4


@pytest.mark.parametrize("name", STEPPED)
def test_128_images_with_8_partners_each(name: str) -> None:
    mix, labels = mix_of(name, step_size=128, **per_sample(name)), some_labels(128)
    assert mix.source_images(1024) == 128
    plan = only(mix, labels, 1024)
    assert plan.apply(some_images(128)).shape == (1024, 2, 3, 3)
    assert plan.rows[0].bincount().eq(8).all()
    if part(name, "pairing") is ByClassSize:
        return  # its partners repeat
    assert len(set(zip(plan.rows[0].tolist(), plan.rows[1].tolist(), strict=True))) == 1024
    mixed = plan.rows[0] != plan.rows[1]
    assert name not in BETA or plan.weights[0][mixed].unique().numel() > 0.99 * mixed.sum()


@pytest.mark.parametrize(("batch_size", "step_size"), [(128, 48), (64, 128)])
@pytest.mark.parametrize("name", STEPPED)
def test_step_size_that_does_not_divide(name: str, batch_size: int, step_size: int) -> None:
    with pytest.raises(ValueError, match=f"step_size = {step_size} does not divide batch_size = {batch_size}"):
        mix_of(name, step_size=step_size).source_images(batch_size)


@pytest.mark.parametrize("name", NAMES)
def test_batch_of_one_and_last_partial_batch(name: str) -> None:
    mix, labels, images = mix_of(name), some_labels(9), some_images(9)
    sizes, times = [], samples_per_image(mix)
    for now, plan, own in batches(mix, labels, 4 * times):
        sizes.append(len(plan.apply(joined(images, now, own))))
        assert len(plan.labels.labels[0]) == sizes[-1]
    assert sizes == [4 * times, 4 * times, times]
    if not mix.external:
        torch.testing.assert_close(plan.apply(images[8:]), images[8:].expand(times, -1, -1, -1))
        assert plan.labels.to_one_hot(CLASSES)[0, labels[8]] == 1


def energy(first: Tensor, second: Tensor, lam: Tensor) -> Tensor:
    return BCPlus()([first, second], [lam, 1 - lam])


def parts(first: Tensor, second: Tensor, blend: Tensor) -> tuple[float, float]:
    """The blend's coefficients of two images that are orthogonal to one another."""
    return tuple(((blend * image).sum() / image.square().sum()).item() for image in (first, second))


def waves(height_first: float, height_second: float) -> tuple[Tensor, Tensor]:
    """Two orthogonal images [1, 1, 2, 4] of mean 0 with the given standard deviations."""
    sign = torch.tensor([1.0, -1.0])
    return height_first * sign.repeat(4).view(1, 1, 2, 4), height_second * sign.repeat_interleave(4).view(1, 1, 2, 4)


@pytest.mark.parametrize("r", [0.01, 0.3, 0.5, 0.9])
@pytest.mark.parametrize("heights", [(1.0, 1.0), (0.2, 3.0), (50.0, 0.1)])
def test_bc_plus_energies_are_in_the_ratio_of_the_labels(r: float, heights: tuple[float, float]) -> None:
    first, second = waves(*heights)
    blend = energy(first, second, torch.tensor([r]))
    a, b = parts(first, second, blend)
    assert a * heights[0] / (a * heights[0] + b * heights[1]) == pytest.approx(r, rel=1e-5)
    assert a**2 + b**2 == pytest.approx(1, rel=1e-5)
    if heights[0] == heights[1]:
        assert blend.std(correction=0).item() == pytest.approx(heights[0], rel=1e-5)
    np.testing.assert_allclose(
        blend.numpy(), naive_energy(first.numpy(), second.numpy(), r), rtol=1e-4, atol=1e-6 * max(heights)
    )


def test_bc_plus_limits() -> None:
    first, second = waves(1.0, 4.0)
    flat = torch.full_like(first, 0.5)
    blend = energy
    for one, other in [(first, second), (first, flat), (flat, second), (flat, flat / 8)]:
        torch.testing.assert_close(blend(one, other, torch.ones(1)), one)
        torch.testing.assert_close(blend(one, other, torch.zeros(1)), other)
    half = torch.tensor([0.5])
    torch.testing.assert_close(blend(flat, second, half), flat)
    torch.testing.assert_close(blend(first, flat, half), flat)
    torch.testing.assert_close(blend(flat, flat / 8, torch.tensor([0.25])), (0.25 + 0.75 / 8) / math.sqrt(0.625) * flat)


def test_bc_plus_treats_every_pair_on_its_own() -> None:
    first, second, lam = some_images(5), 3 * some_images(5, seed=1), torch.linspace(0.1, 0.9, 5)
    together = energy(first, second, lam)
    for i in range(5):
        torch.testing.assert_close(together[i : i + 1], energy(first[i : i + 1], second[i : i + 1], lam[i : i + 1]))


@pytest.mark.parametrize("seed", range(5))
def test_mixup_agrees_with_torchvision(seed: int) -> None:
    from torchvision.transforms import v2  # more than a second, which other tests need not take

    size, theirs = 7, v2.MixUp(alpha=0.7, num_classes=CLASSES)
    images, labels = some_images(size, seed), some_labels(size, seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        lam = theirs.make_params([])["lam"]
        torch.manual_seed(seed)
        expected_images, expected_labels = theirs(images, labels)
    order = torch.roll(
        torch.arange(size), -1
    ).float()  # sorting by it gives torchvision's own pairing, each with the one before
    plan = mix_of("mixup").plan(labels, {"order": order, "lam": torch.full((size, 1), lam)})
    torch.testing.assert_close(plan.apply(images), expected_images)
    torch.testing.assert_close(plan.labels.to_one_hot(CLASSES), expected_labels)


@pytest.mark.parametrize("alpha", [0.2, 1.0, 2.0])
def test_data_mix_has_the_expected_loss_of_mixup(alpha: float) -> None:
    """Huszár's rewriting, on a fixed nonlinear softmax model of eight points in the plane."""
    rng, count = np.random.default_rng(0), 200_000
    points, hidden, out = (torch.from_numpy(rng.normal(size=shape)).float() for shape in ((8, 2), (2, 6), (6, 3)))
    images, labels = points.repeat(count // 8, 1), torch.tensor([0, 1, 2, 0, 1, 2, 2, 1]).repeat(count // 8)
    loss = CrossEntropy(np.ones(3, dtype=np.int64))
    losses = {}
    for name in ("mixup", "data_mix"):
        plan = only(mix_of(name, alpha, ratio__per="sample"), labels)
        losses[name] = loss(3 * torch.tanh(2 * plan.apply(images) @ hidden) @ out, plan.labels)
    error = math.sqrt(sum(values.var().item() / count for values in losses.values()))
    assert error < 0.02
    assert losses["mixup"].mean().item() == pytest.approx(losses["data_mix"].mean().item(), abs=4 * error)


def numbers(draws: dict[str, np.ndarray]) -> dict[str, list]:
    return {name: values.tolist() for name, values in draws.items()}


@pytest.mark.parametrize("name", NAMES)
def test_draws_depend_on_seed_and_epoch_only(name: str) -> None:
    mix = mix_of(name)
    if hasattr(getattr(mix, "pairing", None), "k"):
        mix.pairing.k = 5  # of one neighbour there is nothing to draw
    mix.prepare(some_images(20), torch.arange(20) % 2)

    def drawn(seed: int, epoch: int) -> dict[str, list]:
        return numbers(mix.draw(seed, epoch, np.arange(20) % 10, 4, 4))  # visited twice, as oversampling does

    torch.manual_seed(1), np.random.seed(1), random.seed(1)
    found = drawn(7, 3)
    torch.manual_seed(2), np.random.seed(2), random.seed(2)
    before = (torch.get_rng_state(), np.random.get_state(), random.getstate())
    others = [drawn(seed, epoch) for seed, epoch in [(7, 0), (7, 4), (8, 3), (3, 7)]]
    for key in found.keys() - set(getattr(getattr(mix, "mask", None), "numbers", ())):  # those are of the images
        values = found[key]
        same = [other[key] == values for other in others]
        # a ratio of a user's own may be one number, the same for every row, seed and epoch
        assert not any(same) or (all(same) and len(set(map(str, values))) == 1)
    assert drawn(7, 3) == found
    only(mix, torch.arange(6) % 2)
    assert torch.equal(before[0], torch.get_rng_state())
    assert all(np.array_equal(a, b) for a, b in zip(before[1], np.random.get_state(), strict=True))
    assert before[2] == random.getstate()


@pytest.mark.parametrize("name", PAIRS)
def test_each_part_has_a_stream_of_its_own(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, str, int]] = []
    generator = streams.generator
    monkeypatch.setattr(streams, "generator", lambda *stream: asked.append(stream) or generator(*stream))
    mix = mix_of(name)
    mix.prepare(some_images(20), torch.arange(20) % 2)
    mix.draw(7, 3, np.arange(20), 4, 4)
    assert len(set(asked)) == len(asked) == 2
    assert {(seed, epoch) for seed, _, epoch in asked} == {(7, 3)}


def test_the_ratio_does_not_depend_on_the_pairing_nor_follow_it() -> None:
    changes = {"ratio__per": "sample"}
    permuted, other = epoch_of(mix_of("mixup", **changes), 5000, 128), epoch_of(mix_of("bc", **changes), 5000, 128)
    assert torch.equal(permuted["lam"], other["lam"])
    for key in ("order", "start"):
        assert abs(np.corrcoef(other[key], other["lam"][:, 0])[0, 1]) < 0.06
    assert abs(np.corrcoef(other["order"], other["start"])[0, 1]) < 0.06


@settings(max_examples=25, deadline=None)
@given(
    rows=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.floats(0, 1, width=32)), min_size=1, max_size=6)
)
def test_mixed_record(rows: list[tuple[int, int, float]]) -> None:
    first, second, weight = (torch.tensor(column) for column in zip(*rows, strict=True))
    table = torch.tensor([3.0, -1.0, 0.5, 20.0])
    record = MixedLabels((first, second), (weight, 1 - weight))
    for row, average, (a, b, w) in zip(
        record.to_one_hot(4).tolist(), record.weighted_loss(lambda y: table[y]).tolist(), rows, strict=True
    ):
        expected = [0.0] * 4
        expected[a] += w
        expected[b] += 1 - w
        assert row == pytest.approx(expected, abs=1e-6)
        assert average == pytest.approx(w * table[a].item() + (1 - w) * table[b].item(), abs=1e-5)
    assert torch.equal(MixedLabels((first,)).weighted_loss(lambda y: table[y]), table[first])
    assert torch.equal(MixedLabels((first,)).to_one_hot(4).argmax(1), first)

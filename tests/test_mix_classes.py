"""Mixes that see class sizes: Remix's labels, UniMix's partners and ratio, each against a loop over samples."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import scipy
import torch
from omegaconf import OmegaConf
from running import composed
from torch import Tensor

from mixexp.build import build
from mixexp.mix import Mix, Plan
from mixexp.mix.blend import Linear
from mixexp.mix.label import MixedLabel, Remix
from mixexp.mix.mask import Box
from mixexp.mix.masked import MaskedPairs
from mixexp.mix.mixes import DirichletMix, Pairs
from mixexp.mix.pairing import ByClassSize, Permutation
from mixexp.mix.ratio import UniMixFactor
from mixexp.mix.ricap import Ricap

pytestmark = pytest.mark.fast
COUNTS = [60, 30, 20, 19, 3, 1]
"""Ratios of exactly 2 and 3, of just more than 3, and of less."""


def training_labels(counts: list[int] = COUNTS, first: int = 0) -> Tensor:
    return torch.cat([torch.full((count,), first + c) for c, count in enumerate(counts)])


def mix_of(name: str, labels: Tensor, **changes: Any) -> Mix:
    """The option's object, prepared for images with these labels; __ in a change stands for the dot."""
    config = composed("mix", name)
    for key, value in changes.items():
        OmegaConf.update(config, f"mix.{key.replace('__', '.')}", value, force_add=False)
    mix = build(OmegaConf.to_container(config.mix, resolve=True))
    mix.prepare(torch.zeros(len(labels), 1, 2, 3), labels)
    return mix


def drawn(mix: Mix, rows: int, batch: int, seed: int = 0) -> dict[str, Tensor]:
    order = np.arange(rows)
    return {name: torch.from_numpy(values) for name, values in mix.draw(seed, 0, order, batch, batch).items()}


def batch_labels(count: int, classes: int = len(COUNTS), seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).integers(classes, size=count))


def plan_of(mix: Mix, labels: Tensor, seed: int = 0) -> Plan:
    return mix.plan(labels, drawn(mix, len(labels), len(labels), seed))


# --- Remix ---


def naive_remix(n_i: int, n_j: int, lam: float, kappa: float, tau: float) -> float:
    if n_i / n_j >= kappa and lam < tau:
        return 0.0
    if n_i / n_j <= 1 / kappa and 1 - lam < tau:
        return 1.0
    return lam


@pytest.mark.parametrize(("kappa", "tau"), [(3, 0.5), (2, 0.9), (1.5, 0.2)])
def test_remix_against_a_loop(kappa: float, tau: float) -> None:
    mix = mix_of("remix", training_labels(), ratio__per="sample", label__kappa=kappa, label__tau=tau)
    labels, seen = batch_labels(300), set()
    plan = plan_of(mix, labels)
    first, second = plan.labels.weights
    for i in range(300):
        lam = plan.weights[0][i].item()
        classes = [labels[rows[i]].item() for rows in plan.rows]
        assert [part[i].item() for part in plan.labels.labels] == classes
        expected = naive_remix(*(COUNTS[c] for c in classes), lam, kappa, tau)
        assert (first[i].item(), second[i].item()) == (expected, pytest.approx(1 - expected, abs=1e-7))
        seen.add("same" if expected == lam else expected)
    assert seen == {"same", 0.0, 1.0}


def test_remix_mixes_images_as_mixup() -> None:
    labels, images = batch_labels(40), torch.randn(40, 1, 2, 3, generator=torch.Generator().manual_seed(0))
    plans = [plan_of(mix_of(name, training_labels()), labels, seed=3) for name in ("remix", "mixup")]
    assert torch.equal(*(plan.apply(images) for plan in plans))


@pytest.mark.parametrize(("counts", "changes"), [([7] * 6, {}), (COUNTS, {"label__tau": 0})])
def test_remix_of_equal_classes_is_mixup(counts: list[int], changes: dict[str, Any]) -> None:
    labels = batch_labels(80)
    mixup, remix = mix_of("mixup", training_labels(counts)), mix_of("remix", training_labels(counts), **changes)
    for seed in range(5):
        for one, other in zip(
            plan_of(mixup, labels, seed).labels.weights, plan_of(remix, labels, seed).labels.weights, strict=True
        ):
            assert torch.equal(one, other)


def test_remixs_labels_are_exact_with_many_classes_and_in_bfloat16() -> None:
    """Classes from 700 on, of which bfloat16 would make multiples of 4."""
    mix, labels = mix_of("remix", training_labels(first=700)), batch_labels(200) + 700
    plan = plan_of(mix, labels)
    images = torch.randn(200, 1, 2, 3).bfloat16()
    assert plan.apply(images).dtype == torch.bfloat16
    soft = plan.labels.to_one_hot(1000)
    for i in range(200):
        classes = [labels[rows[i]].item() for rows in plan.rows]
        expected = torch.zeros(1000)
        for c, weight in zip(classes, plan.labels.weights, strict=True):
            expected[c] += weight[i]
        assert torch.equal(soft[i], expected)


def test_remix_is_of_two_classes() -> None:
    with pytest.raises(ValueError, match=r"mix\.label: Remix compares two classes, and these blends have 3"):
        DirichletMix([2, 3], 1.0, Linear(), Remix())
    with pytest.raises(ValueError, match=r"mix\.label: Remix compares two classes, and these blends have 4"):
        Ricap(0.3, "batch", Remix())


# --- UniMix ---


def test_unimix_against_a_loop() -> None:
    mix = mix_of("unimix", training_labels())
    labels, images = batch_labels(50), torch.randn(50, 1, 2, 3, dtype=torch.float64)
    for seed in range(4):
        draws = drawn(mix, 50, 50, seed)
        plan = mix.plan(labels, draws)
        blended, soft = plan.apply(images), plan.labels.to_one_hot(len(COUNTS))
        shares = [COUNTS[c] ** -0.5 for c in labels.tolist()]
        for i in range(50):
            place, j = draws["place"][i, 0].item() * sum(shares), 0
            while sum(shares[: j + 1]) <= place:
                j += 1
            assert plan.rows[1][i].item() == j
            n_i, n_j = (COUNTS[labels[k]] for k in (i, j))
            lam = draws["lam"][i, 0].item() + n_j / (n_i + n_j)
            lam = 1.0 if i == j else lam - 1 if lam > 1 else lam
            torch.testing.assert_close(blended[i], lam * images[i] + (1 - lam) * images[j], rtol=1e-5, atol=1e-5)
            expected = torch.zeros(len(COUNTS))
            expected[labels[i]] += lam
            expected[labels[j]] += 1 - lam
            torch.testing.assert_close(soft[i], expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("power", [-0.5, -1.0, 0.0, 1.0])
def test_partners_have_their_probabilities(power: float) -> None:
    pairing, labels, count = ByClassSize(power), torch.tensor([0, 0, 1, 2, 4, 5]), 60_000
    pairing.prepare(torch.zeros(0), training_labels())
    draws = {"place": torch.from_numpy(pairing.draw_for(np.random.default_rng(0), np.arange(6), count)["place"])}
    partners = pairing.partners(labels, draws, count)
    expected = np.array([COUNTS[c] ** power for c in labels.tolist()], dtype=float)
    expected *= count / expected.sum()
    for i in range(6):
        assert scipy.stats.chisquare(partners[i].bincount(minlength=6).numpy(), expected).pvalue > 1e-4


def test_a_class_without_images_has_no_share() -> None:
    """Its number to a negative power is infinite."""
    pairing = ByClassSize(-2.0)
    pairing.prepare(torch.zeros(0), training_labels([5, 0, 50]))
    assert pairing.shares is not None and pairing.shares.tolist() == [2**24, 1, round(2**24 / 100)]
    last = {"place": torch.full((3, 1), np.nextafter(np.float32(1), np.float32(0)))}
    assert pairing.partners(torch.tensor([0, 0, 2]), last, 1).flatten().tolist() == [2, 2, 2]
    halves = {"place": torch.tensor([[0.0], [0.5]])}
    assert pairing.partners(torch.tensor([0, 0]), halves, 1).flatten().tolist() == [0, 1]


def test_unimixs_factor_of_equal_classes_is_shifted_by_a_half() -> None:
    """With alpha 1 it is mixup's uniform distribution, as the source's code says."""
    factor = UniMixFactor(1.0)
    factor.prepare(torch.tensor([9, 9]))
    lam = torch.from_numpy(factor.draw(np.random.default_rng(0), 4000, 50, 1)[:, 0])
    shifted = factor.of_classes(lam, torch.zeros(4000, dtype=torch.int64), torch.ones(4000, dtype=torch.int64))
    torch.testing.assert_close(shifted, torch.where(lam > 0.5, lam - 0.5, lam + 0.5))
    assert scipy.stats.kstest(shifted.numpy(), scipy.stats.uniform().cdf).pvalue > 1e-3
    assert factor.density(np.array([0.5])) is None


def test_unimixs_factor_favours_the_smaller_class() -> None:
    factor = UniMixFactor(0.8)
    factor.prepare(torch.tensor([100, 1]))
    lam, classes = torch.tensor([0.0, 0.005, 0.02, 1.0]), torch.zeros(4, dtype=torch.int64)
    large = factor.of_classes(lam, classes, classes + 1)
    torch.testing.assert_close(large, torch.tensor([1 / 101, 0.005 + 1 / 101, 0.02 + 1 / 101, 1 / 101]))
    small = factor.of_classes(lam, classes + 1, classes)
    torch.testing.assert_close(small, torch.tensor([100 / 101, 0.005 + 100 / 101, 0.02 - 1 / 101, 100 / 101]))


def test_a_ratio_of_classes_goes_with_neither_masks_nor_plain_epochs() -> None:
    with pytest.raises(ValueError, match=r"mix\.ratio: UniMixFactor depends on the classes of a pair"):
        MaskedPairs(Permutation(), UniMixFactor(0.8), Box(), MixedLabel())
    parts = (ByClassSize(0.0), UniMixFactor(0.8), Linear(), MixedLabel())
    for plain in ({"only_repeats": True}, {"from_epoch": 2}):
        with pytest.raises(ValueError, match=r"mix\.only_repeats, mix\.from_epoch: .* UniMixFactor depends on classes"):
            Pairs(*parts, **plain)


# --- both ---


@pytest.mark.parametrize("name", ["remix", "unimix"])
def test_a_step_is_one_graph_for_the_compiler(name: str) -> None:
    mix, labels, images = mix_of(name, training_labels()), batch_labels(8), torch.randn(8, 1, 2, 3)
    draws = drawn(mix, 8, 8)

    def blended(images: Tensor, labels: Tensor, draws: dict[str, Tensor]) -> tuple[Tensor, ...]:
        plan = mix.plan(labels, draws)
        return plan.apply(images), *plan.labels.labels, *plan.labels.weights

    torch.compiler.reset()
    compiled = torch.compile(blended, fullgraph=True, dynamic=False, backend="eager")
    for one, other in zip(compiled(images, labels, draws), blended(images, labels, draws), strict=True):
        assert torch.equal(one, other)


def test_shares_of_labels_stay_within_the_batch() -> None:
    """A unit of a float32 of many images' shares is more than one share of the smallest class."""
    pairing = ByClassSize(1.0)
    pairing.prepare(torch.zeros(0), training_labels([100_000, 1]))
    labels = batch_labels(500, 2)
    places = torch.from_numpy(pairing.draw(np.random.default_rng(0), np.arange(500))["place"])
    partners = pairing.partners(labels, {"place": places}, 1).flatten()
    assert partners.min() >= 0 and partners.max() < 500
    share = labels[partners].float().mean().item()
    assert share <= 4 * math.sqrt(1e-5 / 500) + 1e-5

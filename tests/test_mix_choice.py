"""Choices among mixes: one of several for each batch, a mix in a part of the epochs, and CMO, which is one."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import scipy
import torch
from omegaconf import OmegaConf
from running import composed, names, option, raw_option
from torch import Tensor

from mixexp.build import build, locate
from mixexp.loss.cross_entropy import CrossEntropy
from mixexp.mix import Mix, Plan
from mixexp.mix.blend import Linear
from mixexp.mix.choice import Choice, Window
from mixexp.mix.mixes import DirichletMix, NoMix
from mixexp.mix.pairing import SecondLoader
from mixexp.sampling import BalancedSampling, Natural, WeightedSampling
from mixexp.sampling import Deferred as DeferredSampling

pytestmark = pytest.mark.fast
SIZE = (5, 6)
COUNTS = [200, 60, 20, 20]
TRAINING = torch.cat([torch.full((count,), c) for c, count in enumerate(COUNTS)])
INNER = [name for name in names("mix") if locate(raw_option("mix", name)["_target_"]).at is Mix.at]


def mix_of(name: str, **changes: Any) -> Mix:
    """The option's object, prepared; changes name a setting by its path, with __ for the dot."""
    config = composed("mix", name)
    for key, value in changes.items():
        OmegaConf.update(config, f"mix.{key.replace('__', '.')}", value, force_add=False)
    for key, value in (("from_epoch", 0), ("k", 3)):
        parts = [part for part in (config.mix, config.mix.get("pairing", {})) if key in part]
        for part in parts:
            part[key] = value
    return ready(build(OmegaConf.to_container(config.mix, resolve=True)))


def ready(mix: Mix) -> Mix:
    mix.prepare(some_images(len(TRAINING), 9), TRAINING)
    return mix


def some_images(count: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=(count, 3, *SIZE)).astype(np.float32))


def order_of(rows: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).permutation(len(TRAINING))[:rows]


def plan_of(mix: Mix, batch: int = 16, seed: int = 0, at: tuple[int, float] = (0, 1)) -> tuple[Plan, Tensor]:
    """The plan of an epoch of one batch, and its images."""
    source = mix.source_images(batch)
    order = order_of(source)
    draws = {
        name: torch.from_numpy(values) for name, values in mix.at(*at).draw(seed, at[0], order, source, batch).items()
    }
    assert all(len(values) == source for values in draws.values())
    rows = torch.cat([torch.from_numpy(order), draws["external"]]) if mix.external else torch.from_numpy(order)
    return mix.plan(TRAINING[rows], draws), some_images(len(TRAINING), 1)[rows]


# --- a part of the epochs ---


@pytest.mark.parametrize("name", INNER)
def test_within_its_window_a_mix_is_itself_and_outside_images_are_themselves(name: str) -> None:
    bare, window = mix_of(name), ready(Window(mix_of(name), after=0.25, until=0.75))
    for epoch in range(4):
        alone, images = plan_of(bare, 18, at=(epoch, 4))
        plan, same = plan_of(window, 18, at=(epoch, 4))
        assert torch.equal(images, same)
        soft = plan.labels.to_one_hot(len(COUNTS))
        for dtype in (torch.float32, torch.bfloat16):
            x = images.to(dtype)
            if epoch in (1, 2):
                assert torch.equal(plan.apply(x), alone.apply(x))
                assert torch.equal(soft, alone.labels.to_one_hot(len(COUNTS)))
            else:
                source = window.source_images(18)
                own = torch.arange(source).repeat_interleave(18 // source)
                assert torch.equal(plan.apply(x), x[own])
                labels = TRAINING[torch.from_numpy(order_of(source))][own]
                assert torch.equal(soft, torch.eye(len(COUNTS))[labels])
                assert torch.stack(plan.weights).sum(0).eq(1).all() and plan.weights[0].eq(1).all()


def test_the_epochs_of_a_window_are_fractions_of_the_run() -> None:
    def epochs(window: Window, run: float) -> list[int]:
        return [epoch for epoch in range(math.ceil(run)) if window.at(epoch, run) is window]

    assert epochs(mix_of("cmo"), 200) == list(range(4, 197)), "the source: 3 < epoch < 200 - 3"
    assert epochs(mix_of("cmo"), 30) == list(range(29))
    assert epochs(mix_of("mixup_early"), 10) == list(range(9))
    whole = Window(NoMix(), after=0, until=1)
    assert epochs(whole, 0.3) == [0] and epochs(whole, 2.5) == [0, 1, 2]


def test_a_phase_is_the_same_object_by_which_warm_starts_compare_it() -> None:
    window = mix_of("mixup_early")
    assert window.at(8, 10) is window and window.at(9, 10) is window.at(99, 10) is not window


def test_a_window_says_what_it_cannot_be() -> None:
    with pytest.raises(ValueError, match=r"mix\.after = 0\.5: it has to be before mix\.until = 0\.5"):
        Window(NoMix(), after=0.5, until=0.5)
    with pytest.raises(ValueError, match=r"mix\.mix: Window changes during a run"):
        Window(Window(NoMix(), after=0, until=0.5), after=0, until=0.5)
    with pytest.raises(ValueError, match=r"mix\.until = 0\.9: the run has 1 epochs, and would never mix"):
        mix_of("mixup_early").check_budget(1)
    with pytest.raises(ValueError, match=r"mix\.mix\.step_size = 5 does not divide batch_size = 12"):
        mix_of("mixup_early", mix__step_size=5).source_images(12)
    with pytest.raises(ValueError, match=r"mix\.mix\.from_epoch = 5: the run has 4 epochs"):
        Window(build(option("mix", "mixup_late")), after=0, until=0.9).check_budget(4)
    with pytest.raises(ValueError, match=r"mix\.mix\.pairing\.k = 200: the training set has 20"):
        Window(build(option("mix", "mixup_knn")), after=0, until=0.9).check(np.array([20]))


# --- CMO ---


def test_cmo_against_a_loop() -> None:
    for seed in range(6):
        mix = mix_of("cmo", mix__p=1, mix__ratio__per="sample")
        order = order_of(20, seed)
        draws = mix.draw(seed, 0, order, 20, 20)
        rows = np.concatenate([order, draws["external"]])
        plan = mix.plan(TRAINING[rows], {name: torch.from_numpy(values) for name, values in draws.items()})
        images = some_images(len(TRAINING), 1)[rows]
        blended, soft = plan.apply(images), plan.labels.to_one_hot(len(COUNTS))
        for i in range(20):
            top, bottom, left, right = draws["box"][i].tolist()
            expected, target = images[i].clone(), torch.zeros(len(COUNTS))
            area = 0
            for y in range(SIZE[0]):
                for x in range(SIZE[1]):
                    if top <= y < bottom and left <= x < right:
                        expected[:, y, x] = images[20 + i, :, y, x]
                        area += 1
            target[TRAINING[order[i]]] += 1 - area / math.prod(SIZE)
            target[TRAINING[draws["external"][i]]] += area / math.prod(SIZE)
            assert torch.equal(blended[i], expected)
            torch.testing.assert_close(soft[i], target)


def test_cmos_pasted_images_are_of_all_classes_alike_and_of_all_images_of_a_class() -> None:
    """An image with probability 1/n: classes are uniform, and so are a class's images."""
    mix, drawn = mix_of("cmo"), []
    for epoch in range(200):
        drawn.append(mix.draw(0, epoch, order_of(250), 10, 10)["external"])
    external = np.concatenate(drawn)
    labels = TRAINING.numpy()[external]
    assert len(external) == 50_000 and scipy.stats.chisquare(np.bincount(labels)).pvalue > 1e-4
    for c in range(len(COUNTS)):
        images = np.bincount(external[labels == c], minlength=len(TRAINING))[TRAINING.numpy() == c]
        assert scipy.stats.chisquare(images).pvalue > 1e-4


def test_with_equal_classes_cmos_pasted_images_are_uniform() -> None:
    pairing = SecondLoader(WeightedSampling(0))
    pairing.prepare(torch.zeros(0), torch.arange(12) % 4)
    external = pairing.draw(np.random.default_rng(0), np.arange(30_000))["external"]
    assert scipy.stats.chisquare(np.bincount(external, minlength=12)).pvalue > 1e-4


def test_a_second_loader_starts_again() -> None:
    pairing = SecondLoader(Natural())
    pairing.prepare(torch.zeros(0), TRAINING)
    external = pairing.draw(np.random.default_rng(0), np.arange(2 * len(TRAINING) + 7))["external"]
    first, second = external[: len(TRAINING)], external[len(TRAINING) : 2 * len(TRAINING)]
    assert sorted(first) == sorted(second) == list(range(len(TRAINING))) and (first != second).any()
    with pytest.raises(ValueError, match=r"mix\.pairing\.sampling: Deferred changes during a run"):
        SecondLoader(DeferredSampling(Natural(), WeightedSampling(0), after=0.5))
    assert (
        len(SecondLoader(BalancedSampling("smallest")).sampling.order(TRAINING.numpy(), np.random.default_rng(0))) == 80
    )


@pytest.mark.parametrize("p", [0.0, 0.5, 1.0])
def test_cmo_mixes_a_batch_with_probability_p(p: float) -> None:
    """Half boxes of the size of lam = ¼ always show."""
    mix = mix_of("cmo", mix__p=p, mix__mask__inside=True)
    mix.mix.ratio.draw = lambda rng, rows, batch, count: np.full((rows, count), 0.25, np.float32)
    box = mix.draw(0, 0, np.zeros(40_000, dtype=np.int64), 10, 10)["box"].reshape(-1, 10, 4)
    shown = box[:, :, 1] > box[:, :, 0]
    assert (shown.all(1) == shown.any(1)).all()
    assert abs(shown[:, 0].mean() - p) <= 4 * math.sqrt(p * (1 - p) / len(shown))


# --- one of several ---

SEVERAL = {"a": "mixup", "b": "cutmix", "c": "ricap", "d": "bc_three", "e": "data_mix", "f": "none"}
"""Mixes of one, two, three and four parts, of one label and of several, with pixels' weights and without."""


def choice_of(probabilities: dict[str, float], names: dict[str, str] = SEVERAL, per: str = "batch") -> Choice:
    mixes = {key: mix_of(name) for key, name in names.items()}
    for mix in mixes.values():
        if isinstance(mix, DirichletMix):
            mix.blend = Linear()  # BC+ centres images, and the others do not
    return ready(Choice({key: probabilities.get(key, 0.0) for key in names}, per, **mixes))


@pytest.mark.parametrize("key", list(SEVERAL))
def test_a_choice_with_probability_one_is_that_mix(key: str) -> None:
    choice = choice_of({key: 1.0})
    for seed in range(3):
        alone, images = plan_of(choice.mixes[key], seed=seed)
        plan, _ = plan_of(choice, seed=seed)
        for x in (images, images.bfloat16()):
            assert torch.equal(plan.apply(x), alone.apply(x))
        assert torch.equal(plan.labels.to_one_hot(4), alone.labels.to_one_hot(4))


def test_a_choice_with_probability_zero_leaves_images_as_they_are() -> None:
    plan, images = plan_of(choice_of({}))
    assert torch.equal(plan.apply(images), images) and plan.weights[0].eq(1).all()
    assert torch.equal(plan.labels.to_one_hot(4), torch.eye(4)[TRAINING[torch.from_numpy(order_of(16))]])


@pytest.mark.parametrize("per", ["batch", "sample"])
def test_a_choice_against_a_loop_over_samples(per: str) -> None:
    choice = choice_of(dict.fromkeys(SEVERAL, 1 / 7), per=per)
    seen = set()
    for seed in range(30 if per == "batch" else 3):
        order = order_of(16, seed)
        draws = {name: torch.from_numpy(values) for name, values in choice.draw(seed, 2, order, 16, 16).items()}
        labels, images = TRAINING[torch.from_numpy(order)], some_images(16, seed)
        plan = choice.plan(labels, draws)
        blended, soft = plan.apply(images), plan.labels.to_one_hot(4)
        alone = []
        for mix in choice.mixes.values():
            own = {name: torch.from_numpy(values) for name, values in mix.draw(seed, 2, order, 16, 16).items()}
            one = mix.plan(labels, own)
            alone.append((one.apply(images), one.labels.to_one_hot(4)))
        for i in range(16):
            number = draws["which"][i].item()
            seen.add(number)
            x, y = (part[i] for part in alone[number]) if number < 6 else (images[i], torch.eye(4)[labels[i]])
            assert torch.equal(blended[i], x) and torch.equal(soft[i], y)
        assert per == "sample" or len(draws["which"].unique()) == 1
    assert seen == set(range(7)), "each mix, and none of them"


@pytest.mark.parametrize("per", ["batch", "sample"])
def test_a_choice_has_its_probabilities(per: str) -> None:
    wanted = {"a": 0.5, "b": 0.2, "f": 0.1}
    choice, batch = choice_of(wanted, {"a": "mixup", "b": "mixup", "f": "none"}, per), 10
    which = choice.draw(0, 0, np.zeros(100_000, dtype=np.int64), batch, batch)["which"].reshape(-1, batch)
    assert per == "sample" or (which == which[:, :1]).all()
    drawn = which.flatten() if per == "sample" else which[:, 0]
    for number, p in enumerate([*wanted.values(), 0.2]):
        assert abs((drawn == number).mean() - p) <= 4 * math.sqrt(p * (1 - p) / len(drawn))


def test_a_sum_of_one_leaves_none_unmixed() -> None:
    """Ten tenths are less than 1 in floating point."""
    names = {f"m{k}": "none" for k in range(10)}
    choice = choice_of(dict.fromkeys(names, 0.1), names)
    which = choice.draw(0, 0, np.zeros(9, dtype=np.int64), 1, 1)["which"]
    assert np.cumsum([0.1] * 10)[-1] < 1 and which.max() < 10
    assert choice.blend is None and not choice.mixes_labels


def test_the_numbers_of_a_mix_do_not_depend_on_the_choice() -> None:
    order = order_of(40)
    one, other = (choice_of(p).draw(0, 0, order, 8, 8) for p in ({"a": 1.0}, {"b": 0.5, "c": 0.5}))
    assert one.keys() == other.keys() and (one.pop("which") != other.pop("which")).any()
    assert all(np.array_equal(values, other[name]) for name, values in one.items())


def test_the_order_of_settings_is_no_part_of_a_choice() -> None:
    mixes = {"a": mix_of("mixup"), "b": mix_of("cutmix")}
    one = Choice({"a": 0.3, "b": 0.7}, "batch", **mixes)
    other = Choice({"b": 0.7, "a": 0.3}, "batch", b=mixes["b"], a=mixes["a"])
    drawn = [choice.draw(0, 0, order_of(40), 4, 4) for choice in (one, other)]
    assert all(np.array_equal(drawn[0][name], drawn[1][name]) for name in drawn[0])


def test_labels_of_a_choice_are_exact_with_many_classes_and_in_bfloat16() -> None:
    mix = choice_of(dict.fromkeys(SEVERAL, 1 / 6), per="sample")
    order = order_of(64)
    labels = torch.arange(64) + 701
    mix.prepare(some_images(64), labels)
    draws = {name: torch.from_numpy(values) for name, values in mix.draw(0, 0, order, 64, 64).items()}
    plan, images = mix.plan(labels, draws), some_images(64).bfloat16()
    soft = plan.labels.to_one_hot(1000)
    assert torch.equal(plan.apply(images), plan.apply(images.float()).bfloat16())
    for i in range(64):
        found = {}
        for c, weight in zip(plan.labels.labels, plan.labels.weights, strict=True):
            found[c[i].item()] = found.get(c[i].item(), 0) + weight[i].item()
        assert {c: soft[i, c].item() for c in soft[i].nonzero().flatten().tolist()} == pytest.approx(
            {c: weight for c, weight in found.items() if weight}
        )
    single = choice_of({"e": 0.5, "f": 0.5}, {"e": "data_mix", "f": "none"})
    assert not single.mixes_labels and not plan_of(single)[0].labels.weights


def test_timms_and_deits_settings() -> None:
    timm, deit = mix_of("timm"), mix_of("deit")
    for choice, alphas in ((timm, {"mixup": 1, "cutmix": 1}), (deit, {"mixup": 0.8, "cutmix": 1})):
        assert {name: mix.ratio.alpha for name, mix in choice.mixes.items()} == alphas
        assert choice.probabilities == [0.5, 0.5] and choice.per == "batch" and choice.mixes["cutmix"].p == 1
        assert {mix.ratio.per for mix in choice.mixes.values()} == {"batch"}


def test_smoothed_labels_of_a_choice_are_timms() -> None:
    """A class's target is lam·on + (1 − lam)·off for the first label, and so on, on = 1 − s + s/C and off = s/C."""
    plan, _ = plan_of(mix_of("deit"))
    logits = torch.randn(16, 4, generator=torch.Generator().manual_seed(0))
    losses = CrossEntropy(np.full(4, 9), label_smoothing=0.1)(logits, plan.labels)
    for i in range(16):
        target = torch.full((4,), 0.1 / 4)
        for c, weight in zip(plan.labels.labels, plan.labels.weights, strict=True):
            target[c[i]] += 0.9 * weight[i]
        torch.testing.assert_close(losses[i], -(target * logits[i].log_softmax(0)).sum())


def test_a_window_around_a_choice() -> None:
    window = ready(Window(mix_of("deit"), after=0, until=0.5))
    plan, images = plan_of(window, at=(1, 2))
    assert torch.equal(plan.apply(images), images)
    inside, _ = plan_of(window, at=(0, 2))
    assert torch.equal(inside.apply(images), plan_of(window.mix)[0].apply(images))


def test_a_choice_says_what_it_cannot_be() -> None:
    mixup, cutmix = mix_of("mixup"), mix_of("cutmix")
    for probabilities, mixes in (({}, {}), ({"a": 0.5}, {"a": mixup, "b": cutmix}), ({"a": 0.5, "c": 0}, {"a": mixup})):
        with pytest.raises(ValueError, match=r"mix\.probabilities: names .*, and the mixes are .*; each mix needs one"):
            Choice(probabilities, "batch", **mixes)
    for wrong in (2, -0.1, math.nan):
        with pytest.raises(ValueError, match=rf"mix\.probabilities\.a = {wrong}: needs a number from 0 to 1"):
            Choice({"a": wrong}, "batch", a=mixup)
    with pytest.raises(ValueError, match=r"mix\.probabilities: their sum is 1\.2, and can be 1 at most"):
        Choice({"a": 0.6, "b": 0.6}, "batch", a=mixup, b=cutmix)
    with pytest.raises(ValueError, match=r"mix\.a: its partners come from outside the batch"):
        Choice({"a": 1.0}, "batch", a=mix_of("mixup_two_loaders"))
    with pytest.raises(ValueError, match=r"mix\.a: Window changes during a run"):
        Choice({"a": 1.0}, "batch", a=mix_of("mixup_early"))
    with pytest.raises(ValueError, match=r"takes? different ones \(a 6, b 12\)"):
        Choice({"a": 0.5, "b": 0.5}, "batch", a=mix_of("regmixup"), b=mixup).source_images(12)
    with pytest.raises(ValueError, match=r"mix: b centres images, and the other mixes do not"):
        Choice({"a": 0.5, "b": 0.5}, "batch", a=mixup, b=mix_of("bc_plus"))
    with pytest.raises(ValueError, match=r"different kinds of data \(a image or spectrogram, b sound\)"):
        Choice({"a": 0.5, "b": 0.5}, "batch", a=cutmix, b=mix_of("bc_sound"))
    with pytest.raises(ValueError, match=r"mix\.b\.from_epoch = 5: the run has 4 epochs"):
        Choice({"a": 0.5, "b": 0.5}, "batch", a=mixup, b=build(option("mix", "mixup_late"))).check_budget(4)


def test_a_choice_has_the_limits_of_all_its_mixes() -> None:
    both = Choice({"a": 0.5, "b": 0.5}, "batch", a=mix_of("mixup"), b=mix_of("resizemix"))
    assert both.blend is not None and both.blend.needs_plane and both.blend.kinds == ("image", "spectrogram")
    assert both.blend.input_only == mix_of("resizemix").blend.input_only and not both.zero_mean and both.mixes_labels


# --- all ---


@pytest.mark.parametrize("name", ["cmo", "mixup_early", "deit"])
def test_a_step_is_one_graph_for_the_compiler(name: str) -> None:
    mix = mix_of(name)
    draws = {key: torch.from_numpy(values) for key, values in mix.draw(0, 0, order_of(8), 8, 8).items()}
    count = 16 if mix.external else 8
    images, labels = some_images(count), TRAINING[:: len(TRAINING) // count][:count]

    def blended(images: Tensor, labels: Tensor, draws: dict[str, Tensor]) -> tuple[Tensor, ...]:
        plan = mix.plan(labels, draws)
        return plan.apply(images), *plan.labels.labels, *plan.labels.weights

    torch.compiler.reset()
    compiled = torch.compile(blended, fullgraph=True, dynamic=False, backend="eager")
    switch = "off" if "off" in draws else "which"
    for off in (False, True):
        draws[switch].fill_(off)
        for one, other in zip(compiled(images, labels, draws), blended(images, labels, draws), strict=True):
            assert torch.equal(one, other)

"""Masks of the mix group: each against a loop over samples and pixels, its labels, its limits and its draws."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy
import torch
from omegaconf import OmegaConf
from running import composed, config_of, errors_of, names, raw_option, resolved, sounds
from torch import Tensor

from mixexp.build import build, locate
from mixexp.mix import Mask, Plan
from mixexp.mix.label import FirstLabel
from mixexp.mix.mask import Box, Fourier, Gaussian, Grid, ResizedBox
from mixexp.mix.masked import MaskedPairs
from mixexp.mix.ratio import Beta, BetaOfUniform, SquaredScale
from mixexp.mix.saliency import SalientBox, spectral_residual

pytestmark = pytest.mark.fast
NAMES = [name for name in names("mix") if issubclass(locate(raw_option("mix", name)["_target_"]), MaskedPairs)]
SIZE = (7, 10)


def mix_of(name: str, images: Tensor, **changes: Any) -> MaskedPairs:
    """The option's object, prepared for images; changes name a setting by its path, with __ for the dot."""
    config = composed("mix", name)
    for key, value in changes.items():
        OmegaConf.update(config, f"mix.{key.replace('__', '.')}", value, force_add=False)
    mix = build(OmegaConf.to_container(config.mix, resolve=True))
    mix.prepare(images, torch.zeros(len(images), dtype=torch.int64))
    return mix


def some_images(count: int, size: tuple[int, int] = SIZE, seed: int = 0) -> Tensor:
    shape = (count, 3, *size)
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape).astype(np.float32))


def drawn(mix: MaskedPairs, rows: int, batch: int, seed: int = 0) -> dict[str, Tensor]:
    draws = mix.draw(seed, 0, np.arange(rows), mix.source_images(batch), batch)
    assert all(len(values) == rows for values in draws.values())
    return {name: torch.from_numpy(values) for name, values in draws.items()}


def plan_of(mix: MaskedPairs, labels: Tensor, seed: int = 0) -> Plan:
    return mix.plan(labels, drawn(mix, len(labels), len(labels), seed))


def whole(mask: Mask, lam: np.ndarray, size: tuple[int, int], seed: int = 0) -> Tensor:
    """The masks of these lam, [n, H, W]."""
    draws = mask.draw(np.random.default_rng(seed), lam, size) | mask.of_images(np.zeros(len(lam), dtype=np.int64))
    return mask.weights({name: torch.from_numpy(values) for name, values in draws.items()}, size).squeeze(1)


# --- every mask ---


@pytest.mark.parametrize("per", ["sample", "batch"])
@pytest.mark.parametrize("name", NAMES)
def test_the_label_has_the_mean_of_the_pixels(name: str, per: str) -> None:
    """Images of ones and zeros show each pixel's weight; a mean of k of n whole pixels is k/n to the last bit."""
    changes = {"ratio__per": per} if "per" in raw_option("mix", name).get("ratio", {}) else {}
    for seed in range(5):
        mix = mix_of(name, some_images(40), p=1, **changes)
        plan = plan_of(mix, torch.arange(40), seed)
        own, second = (plan.rows[k] for k in (0, 1))
        pixels = plan.blend([torch.ones(40, 1, *SIZE), torch.zeros(40, 1, *SIZE)], plan.weights).squeeze(1)
        first, other = plan.labels.weights
        for i in range(40):
            values = pixels[i].flatten().tolist()
            expected = 1.0 if own[i] == second[i] else math.fsum(values) / len(values)
            if set(values) <= {0.0, 1.0}:
                assert first[i].item() == np.float32(expected)
            assert first[i].item() == pytest.approx(expected, abs=1e-6)
        assert torch.equal(first + other, torch.ones(40)) and first.dtype == torch.float32
        assert pixels.min() >= 0 and pixels.max() <= 1


@pytest.mark.parametrize("name", NAMES)
def test_a_lam_of_one_leaves_the_image_to_the_bit(name: str) -> None:
    images, labels = some_images(12), torch.arange(12)
    mix = mix_of(name, images, p=0)
    plan = plan_of(mix, labels)
    assert torch.equal(plan.apply(images), images) and plan.labels.weights[0].eq(1).all()
    assert torch.equal(plan.apply(images.bfloat16()), images.bfloat16())
    assert whole(mix.mask, np.ones(5), SIZE).eq(1).all()


@pytest.mark.parametrize("name", NAMES)
def test_an_image_that_is_its_own_partner_stays_as_it_is(name: str) -> None:
    images = some_images(1)
    for seed in range(10):
        plan = plan_of(mix_of(name, images, p=1), torch.zeros(1, dtype=torch.int64), seed)
        assert torch.equal(plan.apply(images), images) and plan.labels.weights[0].item() == 1


@pytest.mark.parametrize("p", [0.5, 0.1, 1.0])
@pytest.mark.parametrize("per", ["sample", "batch"])
def test_a_unit_is_mixed_with_probability_p(per: str, p: float) -> None:
    """A lam near 0 makes every mixed mask visible."""
    images, batch = some_images(2), 10
    mix = mix_of("cutmix", images, p=p, ratio__per=per, mask__inside=True)
    mix.ratio.draw = lambda rng, rows, batch, count: np.full((rows, count), 0.25, np.float32)
    box = drawn(mix, 40_000, batch)["box"]
    mixed = box[:, 1] > box[:, 0]
    if per == "batch":
        units = mixed.view(-1, batch)
        assert torch.equal(units.any(1), units.all(1))
        mixed = units[:, 0]
    rate, n = mixed.float().mean().item(), len(mixed)
    assert abs(rate - p) <= 4 * math.sqrt(p * (1 - p) / n)


@pytest.mark.parametrize("name", NAMES)
def test_masks_and_labels_are_exact_in_bfloat16_and_with_many_classes(name: str) -> None:
    images, labels = some_images(300), torch.arange(300) + 700
    mix = mix_of(name, images, p=1)
    plan = plan_of(mix, labels)
    exact, coarse = plan.apply(images.bfloat16().float()), plan.apply(images.bfloat16())
    assert torch.equal(exact.bfloat16(), coarse) and coarse.dtype == torch.bfloat16
    soft = plan.labels.to_one_hot(1000)
    for i in range(300):
        first, second = labels[plan.rows[0][i]].item(), labels[plan.rows[1][i]].item()
        assert soft[i, first].item() == (1 if first == second else plan.labels.weights[0][i].item())
    assert soft.sum(1).eq(1).all()


@pytest.mark.parametrize("name", NAMES)
def test_a_unit_shares_a_mask_and_others_have_their_own(name: str) -> None:
    mix = mix_of(name, some_images(2), p=1)
    if mix.mask.numbers:
        pytest.skip("a mask depends on the second image")
    values = drawn(mix, 60, 6)
    pixels = mix.mask.weights(values, SIZE).view(10, 6, -1)
    distinct = [len(unit.unique(dim=0)) for unit in pixels]
    assert max(distinct) == 1 if mix.ratio.per == "batch" else max(distinct) > 1
    assert len(pixels[:, 0].unique(dim=0)) > 3


# --- boxes ---


def naive_box(lam: float, centre: tuple[int, int], size: tuple[int, int], rounding: str) -> list[int]:
    """The paper's code: half a side before the centre and half after it, within the image."""
    found = []
    for c, length in zip(centre, size, strict=True):
        side = length * math.sqrt(1 - lam)
        half = (int(side) if rounding == "down" else round(side)) // 2
        found += [max(c - half, 0), min(c + half, length)]
    return found


@pytest.mark.parametrize("rounding", ["down", "nearest"])
@pytest.mark.parametrize("size", [(7, 10), (32, 32), (1, 5)])
def test_boxes_are_those_of_the_papers_code(size: tuple[int, int], rounding: str) -> None:
    lam = np.concatenate([np.random.default_rng(1).random(60), [0.0, 1.0]])
    draws = Box(False, rounding).draw(np.random.default_rng(0), lam, size)
    centres = np.random.default_rng(0).integers(size, size=(len(lam), 2))
    assert draws["box"].tolist() == [
        naive_box(value, tuple(centre), size, rounding) for value, centre in zip(lam, centres.tolist(), strict=True)
    ]


@pytest.mark.parametrize("inside", [False, True])
def test_a_batch_against_a_loop_over_pixels(inside: bool) -> None:
    images, labels = some_images(9), torch.arange(9) % 4
    mix = mix_of("cutmix", images, p=1, ratio__per="sample", mask__inside=inside)
    for seed in range(5):
        draws = drawn(mix, 9, 9, seed)
        plan = mix.plan(labels, draws)
        blended, soft, order = plan.apply(images), plan.labels.to_one_hot(4), draws["order"].argsort()
        for i in range(9):
            j, (top, bottom, left, right) = order[i].item(), draws["box"][i].tolist()
            expected, other = images[i].clone(), 0
            for y in range(SIZE[0]):
                for x in range(SIZE[1]):
                    if top <= y < bottom and left <= x < right:
                        expected[:, y, x] = images[j, :, y, x]
                        other += i != j
            assert torch.equal(blended[i], expected)
            target = torch.zeros(4)
            target[labels[i]] += 1 - other / (SIZE[0] * SIZE[1])
            target[labels[j]] += other / (SIZE[0] * SIZE[1])
            torch.testing.assert_close(soft[i], target)


def test_centres_are_uniform_and_uncorrelated_over_rows() -> None:
    n, size = 30_000, (8, 8)
    lam = np.full(n, 1 - (2 / 8) ** 2)  # boxes of two pixels, of which the centre is the lower right one
    pixels = whole(Box(), lam, size)
    last = pixels.eq(0).flatten(1).long() * torch.arange(64)
    centre = last.amax(1)  # at the border a box loses its first row or column, never its last
    assert scipy.stats.chisquare(centre.bincount(minlength=64).numpy()).pvalue > 1e-3
    for a, b in [(centre // 8, centre % 8), (centre[1:] // 8, centre[:-1] // 8), (centre[1:] % 8, centre[:-1] % 8)]:
        assert abs(np.corrcoef(a.numpy(), b.numpy())[0, 1]) < 4 / math.sqrt(n)


def test_a_box_inside_has_its_whole_area_anywhere() -> None:
    n, size = 20_000, (8, 6)
    box = Box(inside=True, rounding="nearest").draw(np.random.default_rng(0), np.full(n, 0.75), size)["box"]
    assert (box[:, 1] - box[:, 0] == 4).all() and (box[:, 3] - box[:, 2] == 3).all()
    for starts, places in ((box[:, 0], 5), (box[:, 2], 4)):
        assert scipy.stats.chisquare(np.bincount(starts, minlength=places)).pvalue > 1e-3
        assert starts.max() == places - 1
    assert abs(np.corrcoef(box[:, 0], box[:, 2])[0, 1]) < 4 / math.sqrt(n)


@pytest.mark.parametrize("seed", range(8))
def test_cutmix_agrees_with_torchvision(seed: int) -> None:
    from torchvision.transforms import v2  # more than a second, which other tests need not take

    count, size, theirs = 6, (9, 14), v2.CutMix(alpha=1.0, num_classes=400)
    images, labels = some_images(count, size, seed), torch.arange(count) * 70
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        expected, soft = theirs(images, labels)
        torch.manual_seed(seed)
        x1, y1, x2, y2 = theirs.make_params([images])["box"]
    mix = mix_of("cutmix_torchvision", images)
    order = torch.roll(torch.arange(count), -1).float()  # torchvision pairs each with the one before
    box = torch.tensor([[y1, y2, x1, x2]] * count)
    plan = mix.plan(labels, {"order": order, "box": box})
    assert torch.equal(plan.apply(images), expected)
    torch.testing.assert_close(plan.labels.to_one_hot(400), soft)


def test_boxes_have_the_sides_of_torchvisions() -> None:
    """Half the whole side rounded down, and the rounded side halved, are the same."""
    for length in range(1, 70):
        for lam in np.linspace(0, 1, 53):
            assert int(0.5 * math.sqrt(1 - lam) * length) == int(length * math.sqrt(1 - lam)) // 2


def test_the_named_variants() -> None:
    images = some_images(2)
    paper, vision, fastai, keras = (
        mix_of(name, images) for name in ("cutmix", "cutmix_torchvision", "cutmix_fastai", "cutmix_keras")
    )
    assert [mix.p for mix in (paper, vision, fastai, keras)] == [0.5, 1, 1, 1]
    assert [mix.ratio.per for mix in (paper, vision, fastai, keras)] == ["batch", "batch", "batch", "sample"]
    assert [mix.mask.inside for mix in (paper, vision, fastai, keras)] == [False, False, False, True]
    assert [mix.mask.rounding for mix in (paper, vision)] == ["down", "down"] and fastai.mask.rounding == "nearest"


# --- low-frequency noise ---


def naive_noise(z: np.ndarray, decay: float, size: tuple[int, int]) -> np.ndarray:
    """The inverse transform of a half spectrum as a sum of waves; all but the first and the middle column count twice."""
    height, width = size
    noise = np.zeros(size)
    for y in range(height):
        for x in range(width):
            for v in range(height):
                for u in range(width // 2 + 1):
                    vertical = (v if v <= (height - 1) // 2 else v - height) / height
                    scale = max(math.hypot(vertical, u / width), 1 / max(size)) ** -decay
                    wave = np.exp(2j * math.pi * (v * y / height + u * x / width))
                    noise[y, x] += (1 if u == 0 or 2 * u == width else 2) * (scale * z[v, u] * wave).real
    return noise


@pytest.mark.parametrize("size", [(5, 6), (4, 7)])
def test_fourier_masks_are_the_largest_pixels_of_the_noise(size: tuple[int, int]) -> None:
    lam, n = np.array([0.0, 0.3, 0.52, 1.0]), size[0] * size[1]
    found = whole(Fourier(3.0), lam, size)
    rng = np.random.default_rng(0)
    real, imaginary = rng.standard_normal((2, len(lam), size[0], size[1] // 2 + 1))
    up = rng.random(len(lam)) < 0.5
    for i, value in enumerate(lam):
        noise = naive_noise(real[i] + 1j * imaginary[i], 3.0, size)
        count = math.ceil(value * n) if up[i] else math.floor(value * n)
        largest = sorted(np.ndindex(size), key=lambda place, noise=noise: -noise[place])[:count]
        assert {tuple(place) for place in found[i].nonzero().tolist()} == set(largest)


def test_fourier_masks_have_the_area_of_lam_and_few_regions() -> None:
    lam = np.random.default_rng(1).random(200)
    smooth, rough = (whole(Fourier(decay), lam, (32, 32)) for decay in (3.0, 0.0))
    assert np.abs(smooth.mean((1, 2)).numpy() - lam).max() < 1 / 1024 + 1e-6
    exact = whole(Fourier(), np.full(4000, 0.25 + 0.5 / 1024), (32, 32)).sum((1, 2))
    assert set(exact.tolist()) == {256.0, 257.0} and abs((exact == 257).float().mean().item() - 0.5) < 0.04
    regions = [np.mean([scipy.ndimage.label(mask)[1] for mask in masks.numpy()]) for masks in (smooth, rough)]
    assert regions[0] < 4 and regions[1] > 20


def test_fourier_masks_are_not_symmetric() -> None:
    """As those of the paper's code are, which takes real and imaginary parts for neighbouring frequencies."""
    masks = whole(Fourier(), np.full(50, 0.5), (16, 16))
    turned = masks.flip(1, 2).roll((1, 1), (1, 2))
    assert (masks == turned).float().mean().item() == pytest.approx(0.5, abs=0.1)


# --- grids ---


def naive_grid(mask: Grid, lam: float, draws: list[float], size: tuple[int, int]) -> np.ndarray:
    """Hole by hole; draws: area, aspect, place of the first row and column in 0..1, and the number of holes."""
    area, aspect, v, u, holes = draws
    width = max(int(math.sqrt(int(area * size[0] * size[1]) / aspect)), 1)
    height, width = min(max(int(width * aspect), 1), size[0]), min(width, size[1])
    top, left = int(v * (size[0] - height + 1)), int(u * (size[1] - width + 1))
    holes = min(int(holes), max(width // 2, 1))
    patch = math.ceil(width / holes)
    hole = 0 if lam == 1 else min(max(int(patch * math.sqrt(1 - lam)), 1), patch - 1)
    weights = np.ones(size)
    for row in range(0, height, patch):
        for column in range(0, width, patch):
            for y in range(row, min(row + hole, height)):
                for x in range(column, min(column + hole, width)):
                    weights[top + y, left + x] = 0
    return weights


@pytest.mark.parametrize("size", [(32, 32), (9, 14), (3, 3)])
def test_grids_against_loops_over_holes(size: tuple[int, int]) -> None:
    mask, lam = Grid([2, 6], [0.5, 1.0], [0.5, 2.0]), np.array([*np.random.default_rng(1).random(60), 0.0, 1.0])
    found = whole(mask, lam, size).numpy()
    rng, n = np.random.default_rng(0), len(lam)
    area, aspect, place = rng.uniform(0.5, 1.0, n), rng.uniform(0.5, 2.0, n), rng.random((n, 2))
    holes = rng.integers(2, 7, n)
    for i in range(n):
        expected = naive_grid(mask, lam[i], [area[i], aspect[i], *place[i], holes[i]], size)
        assert (found[i] == expected).all()
    assert size == (3, 3) or (found[:-1].mean((1, 2)) < 1).all(), "a hole has a pixel at least"


def test_a_grids_limits_are_in_order() -> None:
    with pytest.raises(ValueError, match=r"mix.mask.holes = \[6,2\]: the smallest comes first"):
        Grid([6, 2], [0.5, 1.0], [0.5, 2.0])


# --- Gaussians ---


def test_gaussians_against_loops() -> None:
    lam = np.array([*(1 - np.random.default_rng(1).uniform(0.25, 0.5, 20) ** 2), 1.0])
    found = whole(Gaussian(), lam, SIZE)
    centres = np.random.default_rng(0).integers(SIZE, size=(len(lam), 2)).tolist()
    for i, (v, u) in enumerate(centres):
        scale = math.sqrt(1 - lam[i])
        for y in range(SIZE[0]):
            for x in range(SIZE[1]):
                exponent = (
                    ((y - v) / (scale * SIZE[0])) ** 2 + ((x - u) / (scale * SIZE[1])) ** 2 if scale else math.inf
                )
                assert found[i, y, x].item() == pytest.approx(1 - math.exp(-exponent / 2), abs=1e-6)
    assert (np.array(centres) == 0).any() and found[-1].eq(1).all()


def test_smoothmix_has_the_papers_widths_and_the_true_label() -> None:
    """A Gaussian weighs the second image: the first label has what is left, not the Gaussian's own mean."""
    images = some_images(2, (32, 32))
    mix = mix_of("smoothmix", images)
    draws = drawn(mix, 2000, 2)["gaussian"]
    assert (draws[:, 2:] / 32).min() >= 0.25 - 1e-6 and (draws[:, 2:] / 32).max() <= 0.5 + 1e-6
    labels, weights = torch.arange(2), []
    for seed in range(50):
        plan = plan_of(mix, labels, seed)
        weights.append(plan.weights[0].min().item())
    assert np.mean([w for w in weights if w < 1]) > 0.5, "a Gaussian of this width has less than half of the image"


# --- resized images ---


@pytest.mark.parametrize("size", [(7, 10), (8, 8)])
def test_resizemix_against_a_loop(size: tuple[int, int]) -> None:
    images, labels = some_images(8, size), torch.arange(8)
    mix = mix_of("resizemix", images, ratio__per="sample")
    boxes = 0
    for seed in range(10):
        draws = drawn(mix, 8, 8, seed)
        plan, order = mix.plan(labels, draws), draws["order"].argsort()
        blended = plan.apply(images)
        for i in range(8):
            top, bottom, left, right = draws["box"][i].tolist()
            expected = images[i].clone()
            if order[i] != i:
                for y in range(top, bottom):
                    for x in range(left, right):
                        row, column = (y - top) * size[0] // (bottom - top), (x - left) * size[1] // (right - left)
                        expected[:, y, x] = images[order[i], :, row, column]
                boxes += bottom > top and right > left
            assert torch.equal(blended[i], expected)
    assert boxes > 20


def test_resizing_is_torchs_nearest() -> None:
    images = some_images(1, (16, 24))
    for box in ([0, 8, 0, 24], [3, 7, 5, 11], [12, 16, 20, 24]):
        draws = {"box": torch.tensor([box], dtype=torch.int32)}
        top, bottom, left, right = box
        expected = torch.nn.functional.interpolate(images, (bottom - top, right - left), mode="nearest")
        assert torch.equal(ResizedBox().pasted(images, draws)[:, :, top:bottom, left:right], expected)


def test_resizemix_at_a_hidden_layer_is_refused() -> None:
    (line,) = errors_of(resolved("mix=resizemix", "mix_layer=layer1"))
    assert line.startswith(
        "mix_layer = layer1: mix at the input instead, with mix_layer=input; a hidden layer's output"
    )


# --- saliency ---


def naive_saliency(image: np.ndarray) -> np.ndarray:
    """The spectral residual of one image, [H, W], frequency by frequency and pixel by pixel."""
    height, width = image.shape

    def transformed(values: np.ndarray, sign: int) -> np.ndarray:
        rows, columns = (
            np.exp(sign * 2j * math.pi * np.outer(np.arange(n), np.arange(n)) / n) for n in (height, width)
        )
        return rows @ values @ columns

    spectrum = transformed(image, -1)
    logarithm, power = np.log(np.abs(spectrum)), np.zeros_like(image)
    residual = np.array(
        [
            [
                logarithm[v, u]
                - np.mean([logarithm[(v + i) % height, (u + j) % width] for i in (-1, 0, 1) for j in (-1, 0, 1)])
                for u in range(width)
            ]
            for v in range(height)
        ]
    )
    sharp = np.abs(transformed(np.exp(residual + 1j * np.angle(spectrum)), 1) / image.size) ** 2
    sigma = max(image.shape) / 16
    reach = math.ceil(3 * sigma)
    for y in range(height):
        for x in range(width):
            for v in range(max(0, y - reach), min(height, y + reach + 1)):
                for u in range(max(0, x - reach), min(width, x + reach + 1)):
                    power[y, x] += sharp[v, u] * math.exp(-((v - y) ** 2 + (u - x) ** 2) / (2 * sigma**2))
    return power


def test_the_spectral_residual_against_loops() -> None:
    images = some_images(3, (9, 12))
    found = spectral_residual(images).numpy()
    for image, saliency in zip(images.double().mean(1).numpy(), found, strict=True):
        np.testing.assert_allclose(saliency, naive_saliency(image), rtol=1e-3)


def scene(place: tuple[int, int], size: tuple[int, int], seed: int) -> Tensor:
    """A bright spot of some pixels on a gentle slope with a little noise, uint8 [1, 3, H, W]."""
    y, x = np.mgrid[: size[0], : size[1]]
    ground = 80 + 40 * x / size[1] + np.random.default_rng(seed).normal(0, 3, size)
    radius = max(size) / 12
    ground[np.hypot(y - place[0], x - place[1]) < radius] = 230
    return torch.from_numpy(ground.round().astype(np.uint8)).expand(1, 3, *size)


@pytest.mark.parametrize("size", [(32, 32), (28, 40), (150, 200)])
def test_the_most_salient_pixel_is_in_the_spot(size: tuple[int, int]) -> None:
    places = [(int(v * size[0]), int(u * size[1])) for v in (0.2, 0.5, 0.8) for u in (0.25, 0.7)]
    images = torch.cat([scene(place, size, seed) for seed, place in enumerate(places)])
    mask = SalientBox()
    mask.prepare(images)
    peaks = mask.of_images(np.arange(len(images)))["peak"]
    assert np.hypot(*(peaks - np.array(places)).T).max() < max(size) / 8
    mask.prepare(images.float() / 256)
    assert (mask.of_images(np.arange(len(images)))["peak"] == peaks).all(), "a factor changes nothing"


def test_images_without_contrast_have_a_box_too() -> None:
    mask = SalientBox()
    mask.prepare(torch.stack([torch.full((1, 8, 8), value, dtype=torch.uint8) for value in (0, 7, 255)]))
    assert whole(mask, np.array([0.5]), (8, 8)).isfinite().all()


@pytest.mark.parametrize("external", [False, True])
def test_saliencymix_against_a_loop(external: bool) -> None:
    """The centre is that of each sample's own partner, wherever the partner comes from."""
    images, labels = some_images(12), torch.arange(12)
    changes = {"pairing___target_": "mixexp.mix.pairing.SecondPass"} if external else {}
    mix = mix_of("saliencymix", images, p=1, **changes)
    order = np.random.default_rng(5).permutation(12)
    saliency = spectral_residual(images).flatten(1).argmax(1).tolist()
    for seed in range(6):
        draws = {name: torch.from_numpy(values) for name, values in mix.draw(seed, 0, order, 12, 12).items()}
        rows = torch.from_numpy(order)
        present = torch.cat([rows, draws["external"]]) if external else rows
        plan = mix.plan(labels[present], draws)
        blended, halves = plan.apply(images[present]), draws["half"].unique(dim=0)
        assert len(halves) == 1, "one lam a batch"
        for i in range(12):
            first, second = present[i].item(), present[plan.rows[1][i]].item()
            (v, u), (h, w) = divmod(saliency[second], SIZE[1]), halves[0].tolist()
            expected = images[first].clone()
            for y in range(max(0, v - h), min(SIZE[0], v + h)):
                for x in range(max(0, u - w), min(SIZE[1], u + w)):
                    expected[:, y, x] = images[second, :, y, x]
            assert torch.equal(blended[i], expected)


# --- at a hidden layer ---


@pytest.mark.parametrize("plane", [(7, 10), (4, 5), (2, 3), (1, 1)])
@pytest.mark.parametrize("name", [name for name in NAMES if name != "resizemix"])
def test_at_a_hidden_layer_a_pixel_has_the_mean_of_its_area(name: str, plane: tuple[int, int]) -> None:
    images, labels = some_images(6), torch.arange(6)
    mix = mix_of(name, images, p=1)
    plan = mix.plan(labels, drawn(mix, 6, 6))
    fine = plan.blend.pixels.squeeze(1)
    features = some_images(6, plane, seed=1)
    blended = plan.apply(features)
    for i in range(6):
        j = plan.rows[1][i].item()
        for y in range(plane[0]):
            for x in range(plane[1]):
                rows = range(y * SIZE[0] // plane[0], -(-(y + 1) * SIZE[0] // plane[0]))
                columns = range(x * SIZE[1] // plane[1], -(-(x + 1) * SIZE[1] // plane[1]))
                values = [fine[i, r, c].item() for r in rows for c in columns]
                w = 1.0 if i == j else sum(values) / len(values)
                expected = w * features[i, :, y, x] + (1 - w) * features[j, :, y, x]
                torch.testing.assert_close(blended[i, :, y, x], expected)


# --- ratios ---


def test_a_scale_is_uniform_and_lam_its_squares_rest() -> None:
    for per, distinct in (("sample", 10_000), ("batch", 100), ("epoch", 1)):
        lam = SquaredScale(0.1, 0.8, per).draw(np.random.default_rng(0), 10_000, 100, 1)
        assert lam.shape == (10_000, 1) and lam.dtype == np.float32 and len(np.unique(lam)) >= 0.99 * distinct
    lam = SquaredScale(0.1, 0.8, "sample").draw(np.random.default_rng(0), 10_000, 100, 1)
    scale = np.sqrt(1 - lam[:, 0].astype(float))
    assert scipy.stats.kstest(scale, scipy.stats.uniform(0.1, 0.7).cdf).pvalue > 1e-3
    with pytest.raises(ValueError, match=r"mix.ratio.low = 0.9: it is above mix.ratio.high = 0.8"):
        SquaredScale(0.9, 0.8)


def test_a_beta_of_uniform_has_the_variance_of_its_mixture() -> None:
    """Var lam = E 1/(4 (2a + 1)) = ln(1 + 2 high) / (8 high), since every a has the mean ½."""
    lam = BetaOfUniform(1.0).draw(np.random.default_rng(0), 200_000, 2, 1).astype(float)
    assert lam.min() >= 0 and lam.max() <= 1 and np.isfinite(lam).all()
    assert lam.mean() == pytest.approx(0.5, abs=0.005) and lam.var() == pytest.approx(math.log(3) / 8, abs=0.002)


def test_a_ratio_says_its_unit() -> None:
    assert Beta(1.0, "batch").per == "batch" and BetaOfUniform().per == "sample"


# --- what has no meaning ---


def test_another_label_fits() -> None:
    images = some_images(4)
    mix = mix_of("cutmix", images)
    mix.label = FirstLabel()
    assert torch.equal(plan_of(mix, torch.arange(4)).labels.labels[0], torch.arange(4))


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (
            ("dataset=two_moons", "model=mlp"),
            ["mix: it needs data of the kind image or spectrogram, and this data set's is table"],
        ),
        (
            ("mix_layer=final",),
            [
                "mix_layer = final: this mix weighs pixels, and a sample has the shape 64 there, without height and"
                " width; mix=mixup mixes at any layer"
            ],
        ),
        (
            ("model=mlp", "mix_layer=layer1"),
            [
                "mix_layer = layer1: this mix weighs pixels, and a sample has the shape 128 there, without height and"
                " width; mix=mixup mixes at any layer"
            ],
        ),
    ],
)
def test_data_and_layers_without_pixels_are_refused(words: tuple[str, ...], says: list[str]) -> None:
    assert errors_of(resolved("mix=cutmix", *words)) == says


def test_sounds_are_refused_and_stages_are_not() -> None:
    (line,) = errors_of(resolved("mix=cutmix", "model=sound_cnn", *sounds()))
    assert line == "mix: it needs data of the kind image or spectrogram, and this data set's is sound"
    assert config_of("mix=cutmix", "mix_layer=random")["choices"]["mix"] == "cutmix"


def test_the_pages_mask_shows_the_second_image_on_the_right() -> None:
    page = (Path(__file__).parents[1] / "docs" / "extending.md").read_text(encoding="utf-8")
    (block,) = (text for text in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "(Mask)" in text)
    names: dict[str, Any] = {}
    exec(block, names)
    pixels = whole(names["LeftHalf"](), np.array([0.3, 1.0]), (2, 5))
    assert pixels.tolist() == [[[1, 1, 0, 0, 0]] * 2, [[1, 1, 1, 1, 1]] * 2]


@pytest.mark.parametrize("plane", [SIZE, (3, 4)])
@pytest.mark.parametrize("name", NAMES)
def test_a_step_is_one_graph_for_the_compiler(name: str, plane: tuple[int, int]) -> None:
    mix, labels, images = mix_of(name, some_images(8), p=1), torch.arange(8), some_images(8, plane)
    if plane != SIZE and mix.mask.input_only:
        pytest.skip("at the input alone")
    draws = drawn(mix, 8, 8)

    def blended(images: Tensor, labels: Tensor, draws: dict[str, Tensor]) -> tuple[Tensor, ...]:
        plan = mix.plan(labels, draws)
        return plan.apply(images), *plan.labels.labels, *plan.labels.weights

    torch.compiler.reset()
    compiled = torch.compile(blended, fullgraph=True, dynamic=False, backend="eager")
    for one, other in zip(compiled(images, labels, draws), blended(images, labels, draws), strict=True):
        assert torch.equal(one, other)

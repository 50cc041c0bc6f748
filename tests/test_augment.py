"""Every option of the augment group: its contract, and flip and shift against a loop over pixels."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import scipy
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from running import option
from torch import Tensor

from mixexp import streams
from mixexp.augment import Augment, Continuous, Cutout, NoAugment, Noise, Standard
from mixexp.build import build
from mixexp.training.data import Normalize

CONF = Path(__file__).parents[1] / "conf" / "augment"
NAMES = sorted(path.stem for path in CONF.glob("*.yaml"))
MEAN, STD = [0.5, 0.2, 0.7], [0.25, 0.5, 0.1]


def augment_of(name: str) -> Augment:
    return build(option("augment", name))


def some_images(count: int, channels: int, height: int, width: int, seed: int = 0) -> Tensor:
    shape = (count, channels, height, width)
    return torch.from_numpy(np.random.default_rng(seed).integers(1, 256, size=shape, dtype=np.uint8))


def normalize_of(images: Tensor, zero_mean: bool = False) -> Normalize:
    channels = images.shape[1]
    return Normalize.of(images, MEAN[:channels], STD[:channels], zero_mean)


def drawn(augment: Augment, rows: int, seed: int = 0) -> dict[str, Tensor]:
    draws = augment.draw(np.random.default_rng(seed), rows)
    assert all(len(values) == rows for values in draws.values())
    return {name: torch.from_numpy(values) for name, values in draws.items()}


def naive_standard(augment: Standard, images: Tensor, draws: dict[str, Tensor], normalize: Normalize) -> Tensor:
    """Pixel by pixel: where the window shows the border, black before normalisation or 0 after it."""
    source = images if augment.pad == "before" else normalize(images)
    moved = torch.zeros_like(source)
    height, width = images.shape[2:]
    for image, (top, left), flip, result in zip(
        source, draws["offset"].tolist(), draws["flip"].tolist(), moved, strict=True
    ):
        for y in range(height):
            for x in range(width):
                from_y, from_x = y + top - augment.shift, x + left - augment.shift
                if 0 <= from_y < height and 0 <= from_x < width:
                    result[:, y, width - 1 - x if flip else x] = image[:, from_y, from_x]
    return normalize(moved) if augment.pad == "before" else moved


@pytest.mark.parametrize("count", [1, 5])
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 6, 9), (3, 9, 6)])
@pytest.mark.parametrize("name", NAMES)
def test_contract(name: str, shape: tuple[int, int, int], count: int) -> None:
    augment, images = augment_of(name), some_images(count, *shape)
    before, state = images.clone(), (torch.get_rng_state(), np.random.get_state()[1].tolist())

    def applied(augment: Augment) -> Tensor:
        with streams.torch_stream(
            torch.device("cpu"), 0, "forward", 0
        ):  # as the loop does for what a step draws itself
            return augment(images, drawn(augment, count), normalize_of(images))

    found = applied(augment)
    assert found.dtype == torch.float32 and found.shape == images.shape and found.isfinite().all()
    assert torch.equal(images, before)
    assert torch.equal(found, applied(augment_of(name)))
    assert torch.equal(state[0], torch.get_rng_state()) and state[1] == np.random.get_state()[1].tolist()


@settings(max_examples=25, deadline=None)
@given(
    shape=st.sampled_from([(1, 5, 7), (3, 7, 5), (2, 4, 4), (1, 1, 3)]),
    count=st.integers(1, 6),
    shift=st.integers(0, 4),
    pad=st.sampled_from(["before", "after"]),
    flip=st.booleans(),
    zero_mean=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_standard_against_a_loop(
    shape: tuple[int, int, int], count: int, shift: int, pad: str, flip: bool, zero_mean: bool, seed: int
) -> None:
    augment, images = Standard(flip, shift, pad), some_images(count, *shape, seed)
    normalize, draws = normalize_of(images, zero_mean), drawn(augment, count, seed)
    torch.testing.assert_close(augment(images, draws, normalize), naive_standard(augment, images, draws, normalize))


@pytest.mark.parametrize(("pad", "border"), [("before", [-0.5 / 0.25, -0.2 / 0.5]), ("after", [0.0, 0.0])])
def test_colour_of_the_border(pad: str, border: list[float]) -> None:
    images = torch.full((1, 2, 4, 4), 255, dtype=torch.uint8)
    draws = {
        "offset": torch.tensor([[0, 4]]),
        "flip": torch.tensor([False]),
    }  # a window 2 above the image and 2 to its right
    found = Standard(shift=2, pad=pad)(images, draws, normalize_of(images))
    colour = torch.tensor(border).view(1, 2, 1, 1).expand(1, 2, 4, 4)
    torch.testing.assert_close(found[:, :, :2], colour[:, :, :2])
    torch.testing.assert_close(found[:, :, :, 2:], colour[:, :, :, 2:])
    torch.testing.assert_close(found[:, :, 2:, :2], normalize_of(images)(images)[:, :, 2:, :2])


def test_every_shift_is_equally_likely_and_the_flip_a_coin() -> None:
    rows = 40_500
    augment = augment_of("standard")
    images = torch.zeros(rows, 1, 11, 11, dtype=torch.uint8)
    images[:, 0, 5, 4] = (
        255  # moved by dx it comes to 4 + dx, or mirrored to 6 - dx: flips do not change the set of places
    )
    found = augment(images, drawn(augment, rows), lambda x: x.float())
    place = found.flatten(1).argmax(1)
    draws = drawn(augment, rows)
    dy = place // 11 - 5
    dx = torch.where(draws["flip"], 6 - place % 11, place % 11 - 4)
    assert found.flatten(1).max(1).values.eq(255).all()
    seen = Counter(zip(dy.tolist(), dx.tolist(), strict=True))
    assert seen.keys() == {(y, x) for y in range(-4, 5) for x in range(-4, 5)}
    assert scipy.stats.chisquare(list(seen.values())).pvalue > 1e-3
    flips = draws["flip"]
    assert flips.float().mean().item() == pytest.approx(0.5, abs=4 * 0.5 / rows**0.5)
    assert all(dy[flips == side].float().mean().abs() < 0.1 for side in (True, False))


def test_flip_mirrors_width_only() -> None:
    augment, images = Standard(shift=0), some_images(200, 1, 3, 5)
    draws = drawn(augment, 200)
    found = augment(images, draws, lambda x: x.float())
    assert torch.equal(found[draws["flip"]], images[draws["flip"]].flip(3).float())
    assert torch.equal(found[~draws["flip"]], images[~draws["flip"]].float())
    assert 0 < draws["flip"].sum() < 200


@settings(max_examples=25, deadline=None)
@given(
    shape=st.sampled_from([(1, 5, 7), (3, 7, 5), (2, 4, 4), (1, 1, 3)]),
    count=st.integers(1, 6),
    height=st.sampled_from([0, 0.125, 0.3, 0.9]),
    width=st.sampled_from([0, 0.125, 0.3, 0.9]),
    flip=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_continuous_shifts_against_scipy(shape, count: int, height: float, width: float, flip: bool, seed: int) -> None:
    """Image after image and channel after channel, as Keras does it: an affine map of order 1 that fills with the
    nearest pixel."""
    augment, images = Continuous(flip, height, width), some_images(count, *shape, seed)
    normalize, draws = normalize_of(images), drawn(augment, count, seed)
    moved = np.empty(images.shape, np.float32)
    for image, (down, across), mirrored, result in zip(
        images.numpy(), draws["shift"].tolist(), draws["flip"].tolist(), moved, strict=True
    ):
        shift = (
            -height * shape[1] * down,
            -width * shape[2] * across,
        )  # scipy's moves the image, ours the place that is read
        for channel, values in zip(image.astype(np.float64), result, strict=True):
            found = scipy.ndimage.shift(channel, shift, order=1, mode="nearest")
            values[:] = found[:, ::-1] if mirrored else found
    torch.testing.assert_close(
        augment(images, draws, normalize), normalize(torch.from_numpy(moved)), rtol=1e-4, atol=1e-4
    )


def test_continuous_shifts_are_uniform_over_4_pixels_of_32_and_the_flip_a_coin() -> None:
    augment, rows = augment_of("continuous"), 20_000
    draws = drawn(augment, rows)
    pixels = 32 * augment.height * draws["shift"].double()
    assert pixels.min() < -3.99 and pixels.max() > 3.99 and augment.width == augment.height
    for axis in (0, 1):
        assert scipy.stats.kstest(pixels[:, axis].numpy(), scipy.stats.uniform(-4, 8).cdf).pvalue > 1e-3
    assert abs(np.corrcoef(pixels.numpy().T)[0, 1]) < 0.03
    assert draws["flip"].float().mean().item() == pytest.approx(0.5, abs=4 * 0.5 / rows**0.5)


IDLE = {
    "before": lambda: Standard(flip=False, shift=0),
    "after": lambda: Standard(flip=False, shift=0, pad="after"),
    "continuous": lambda: Continuous(False, 0, 0),
    "none": lambda: augment_of("none"),
}


@pytest.mark.parametrize("idle", IDLE)
def test_nothing_to_do_is_the_identity(idle: str) -> None:
    images, augment = some_images(50, 3, 4, 6), IDLE[idle]()
    found = augment(images, drawn(augment, 50), normalize_of(images))
    torch.testing.assert_close(
        found, (images / 255 - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
    )


def test_every_epoch_and_image_draws_anew() -> None:
    augment = augment_of("standard")
    one, other = drawn(augment, 300, seed=0), drawn(augment, 300, seed=1)
    assert len(one["offset"].unique(dim=0)) > 70
    assert not torch.equal(one["offset"], other["offset"]) and not torch.equal(one["flip"], other["flip"])


@pytest.mark.parametrize(("at", "deviation"), [("before", [0.1 / s for s in STD]), ("after", [0.1] * 3)])
def test_noise_is_normal_and_in_its_unit(at: str, deviation: list[float]) -> None:
    """sigma is of 0..1 before normalisation, which divides it by each channel's std, and of normalised units after
    it."""
    images = some_images(64, 3, 8, 8)
    base = Standard(flip=True, shift=2, pad="before")
    noisy = Noise(base, 0.1, at)
    draws, normalize = drawn(noisy, 64), normalize_of(images)
    plain = base(images, draws, normalize)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        noise = (noisy(images, draws, normalize) - plain).double()
        again = (noisy(images, draws, normalize) - plain).double()
    assert not torch.equal(noise, again), "drawn anew each time"
    for channel, expected in enumerate(deviation):
        values = noise[:, channel].flatten() / expected
        assert scipy.stats.kstest(values.numpy(), "norm").pvalue > 1e-3
        assert abs(np.corrcoef(values, again[:, channel].flatten())[0, 1]) < 0.1
    assert abs(np.corrcoef(noise[:, 0].flatten(), noise[:, 1].flatten())[0, 1]) < 0.1


def test_noise_on_float_data_is_in_its_own_unit() -> None:
    table = torch.zeros(4000, 2, 1, 1)
    noisy = Noise(build(option("augment", "none")), 0.5)
    assert noisy.kinds is None and Noise(Standard(), 1.0).kinds == ("image",)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        found = noisy(table, drawn(noisy, 4000), lambda x: 2 * x)
    assert found.std().item() == pytest.approx(2 * 0.5, rel=0.05)


@settings(max_examples=25, deadline=None)
@given(
    shape=st.sampled_from([(1, 5, 7), (3, 9, 6), (2, 1, 4)]),
    count=st.integers(1, 5),
    length=st.integers(2, 9),
    holes=st.integers(1, 3),
    seed=st.integers(0, 1000),
)
def test_cutout_against_a_loop(shape: tuple[int, int, int], count: int, length: int, holes: int, seed: int) -> None:
    """The square is 0 where normalisation has been, and all else is the base's image to the bit."""
    augment, images = Cutout(Standard(shift=1), length, holes), some_images(count, *shape, seed)
    normalize, draws = normalize_of(images), drawn(augment, count, seed)
    expected = Standard(shift=1)(images, draws, normalize)
    for image, centres in zip(expected, draws["hole"].tolist(), strict=True):
        for v, u in zip(*centres, strict=True):
            top, left = (int(np.float32(f) * np.float32(n)) for f, n in ((v, shape[1]), (u, shape[2])))
            for y in range(shape[1]):
                for x in range(shape[2]):
                    if -(length // 2) <= y - top < length // 2 and -(length // 2) <= x - left < length // 2:
                        image[:, y, x] = 0
    assert torch.equal(augment(images, draws, normalize), expected)


def test_centres_of_cutout_are_uniform_over_pixels_and_a_square_hangs_out() -> None:
    rows, augment = 20_000, Cutout(NoAugment(), 2)
    found = augment(torch.full((rows, 1, 6, 5), 255, dtype=torch.uint8), drawn(augment, rows), lambda x: x.float())
    hidden = found.eq(0).flatten(1)
    centre = (hidden.long() * torch.arange(30)).amax(1)  # the lower right pixel of a square of two
    assert scipy.stats.chisquare(centre.bincount(minlength=30).numpy()).pvalue > 1e-3
    assert set(hidden.sum(1).tolist()) == {1, 2, 4}
    y, x = centre // 5, centre % 5
    assert abs(np.corrcoef(y, x)[0, 1]) < 0.03 and abs(np.corrcoef(y[1:], y[:-1])[0, 1]) < 0.03


def test_cutout_that_hides_every_image_is_refused_and_needs_pictures() -> None:
    cutout = augment_of("cutout")
    cutout.check((3, 32, 32))
    with pytest.raises(ValueError, match=r"augment.length = 16: .* images of 8x8 pixels; it can be 15 at most"):
        cutout.check((1, 8, 8))
    Cutout(Standard(), 15).check((1, 8, 8))
    with pytest.raises(ValueError, match=r"augment.base.shift = 4: too large"):
        cutout.check((1, 3, 32))
    assert Cutout(NoAugment()).kinds == ("image", "spectrogram") and cutout.kinds == ("image",)

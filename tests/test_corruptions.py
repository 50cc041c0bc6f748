"""torchvision's corruptions against Pillow's and SciPy's, and that a higher severity changes more."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance, ImageOps
from scipy.ndimage import gaussian_filter

from mixexp.corruptions import SEVERITIES, STRENGTHS, corrupted


def pictures(channels: int = 3, side: int = 32, count: int = 3) -> torch.Tensor:
    """Waves in colours, without extreme values."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, side), torch.linspace(-1, 1, side), indexing="ij")
    waves = [torch.sin(3 * x + k) * torch.cos(2 * y - k) for k in range(count * channels)]
    return (128 + 60 * torch.stack(waves)).round().to(torch.uint8).view(count, channels, side, side)


def with_rng(images, name, severity):
    return corrupted(images, name, severity, np.random.default_rng(0))


def pillow(image: torch.Tensor) -> Image.Image:
    return Image.fromarray(image.permute(1, 2, 0).numpy())


def naive(name: str, image: torch.Tensor, strength: float) -> np.ndarray:
    if name == "brightness":
        values = [min(255, int(strength * value)) for value in image.flatten().tolist()]
        return np.array(values).reshape(image.shape).transpose(1, 2, 0)
    if name == "contrast":
        return np.asarray(ImageEnhance.Contrast(pillow(image)).enhance(strength))
    if name == "posterize":
        return np.asarray(ImageOps.posterize(pillow(image), int(strength)))
    if name == "jpeg":
        file = io.BytesIO()
        pillow(image).save(file, "JPEG", quality=int(strength))
        return np.asarray(Image.open(file))
    sigma = strength * 32
    return np.stack([gaussian_filter(c.astype(float), sigma, mode="mirror") for c in image.numpy()], axis=2)


@pytest.mark.parametrize("severity", SEVERITIES)
@pytest.mark.parametrize("name", [name for name in STRENGTHS if name != "gaussian_noise"])
def test_each_is_the_one_of_its_name(name, severity):
    images = pictures()
    for image, ours in zip(images, with_rng(images, name, severity), strict=True):
        theirs = naive(name, image, STRENGTHS[name][severity - 1]).astype(float)
        difference = np.abs(ours.permute(1, 2, 0).numpy() - theirs)
        assert difference.mean() < 1 and difference.max() <= 2


def test_noise_has_its_deviation_and_stays_in_range():
    grey = torch.full((20, 1, 32, 32), 128, dtype=torch.uint8)
    for severity in SEVERITIES:
        noisy = with_rng(grey, "gaussian_noise", severity).double() - 128
        assert noisy.std().item() == pytest.approx(255 * STRENGTHS["gaussian_noise"][severity - 1], rel=0.03)
    white = with_rng(torch.full_like(grey, 255), "gaussian_noise", 5)
    assert white.dtype == torch.uint8 and white.max() == 255 and white.min() > 0


@pytest.mark.parametrize("channels, side", [(1, 8), (3, 32), (1, 2)])
@pytest.mark.parametrize("name", STRENGTHS)
def test_every_severity_is_harder_and_keeps_the_shape(name, channels, side):
    images = pictures(channels, side)
    made = [with_rng(images, name, severity) for severity in SEVERITIES]
    assert all(each.shape == images.shape and each.dtype == torch.uint8 for each in made)
    changes = [(each.double() - images.double()).abs().mean().item() for each in made]
    if side == 32:
        assert changes == sorted(changes) and changes[0] > 0
    assert len(STRENGTHS[name]) == len(SEVERITIES)

"""Corruptions of pictures at five severities, made with torchvision and, for JPEG, with Pillow; not CIFAR-10-C's.

The kinds of corruption and the five severities follow Hendrycks and Dietterich 2019; the strengths are ours. Images:
uint8 [B, 1 or 3, H, W].
"""

from __future__ import annotations

import io
import math

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2 import functional as TF

SEVERITIES = (1, 2, 3, 4, 5)
STRENGTHS: dict[str, tuple[float, ...]] = {
    "gaussian_noise": (0.04, 0.08, 0.12, 0.16, 0.20),
    "gaussian_blur": (0.015, 0.02, 0.03, 0.04, 0.05),
    "brightness": (1.25, 1.5, 2.0, 2.5, 3.0),
    "contrast": (0.75, 0.5, 0.4, 0.3, 0.15),
    "jpeg": (50, 30, 20, 10, 5),
    "posterize": (5, 4, 3, 2, 1),
}
"""Corruption → its strength at each severity.

gaussian_noise: the standard deviation, of the pixels' range; gaussian_blur: the standard deviation, of the shorter
side; brightness: the factor of every pixel; contrast: the factor of the distance from the image's mean grey; jpeg: the
quality of the compression, from 100 to 1; posterize: the bits that are kept of eight.
"""


def corrupted(images: Tensor, corruption: str, severity: int, rng: np.random.Generator) -> Tensor:
    """The images with a corruption, uint8 as they are; rng draws the noise."""
    strength = STRENGTHS[corruption][severity - 1]
    match corruption:
        case "gaussian_noise":
            noise = torch.from_numpy(rng.standard_normal(images.shape, dtype=np.float32))
            return (images + 255 * strength * noise).round().clamp(0, 255).to(torch.uint8)
        case "gaussian_blur":
            sigma, side = strength * min(images.shape[2:]), min(images.shape[2:])
            # the edge is mirrored, and a mirror reaches no further than the image
            reach = min(math.ceil(4 * sigma), side - 1)
            return TF.gaussian_blur(images, [2 * reach + 1] * 2, [sigma, sigma])
        case "brightness":
            return TF.adjust_brightness(images, strength)
        case "contrast":
            return TF.adjust_contrast(images, strength)
        case "jpeg":
            return torch.stack([_compressed(image, int(strength)) for image in images])
        case _:
            return TF.posterize(images, int(strength))


def _compressed(image: Tensor, quality: int) -> Tensor:
    """An image, uint8 [1 or 3, H, W], after JPEG; not with torchvision, which gives its codec up."""
    pixels, file = image.permute(1, 2, 0).numpy(), io.BytesIO()
    Image.fromarray(pixels.squeeze(2) if pixels.shape[2] == 1 else pixels).save(file, "JPEG", quality=quality)
    with Image.open(file, formats=["JPEG"]) as picture:
        return torch.from_numpy(np.array(picture)).view(pixels.shape).permute(2, 0, 1)

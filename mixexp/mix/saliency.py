"""The most salient pixel of each image, and CutMix's box around it."""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mixexp.mix import Mask
from mixexp.mix.mask import outside, span

SIDE = 64
"""The largest side of a saliency map, in pixels; larger images are averaged over areas."""
_CHUNK = 1024


class SalientBox(Mask):
    """CutMix's box around the most salient pixel of the second image (Uddin et al. 2021).

    The box has √(1 − lam) of the image's sides, rounded down, and is cut off at the border. Each image's saliency is
    computed once, before training, as its spectral residual.
    Differs from the paper: it computes OpenCV's fine-grained saliency of the augmented image at each step; a flip or a
    shift here moves the object and not the box. Its code takes one image's pixel for a whole batch.
    """

    numbers = ("peak",)

    def __init__(self) -> None:
        self.peaks: np.ndarray | None = None

    def prepare(self, images: Tensor) -> None:
        height, width = images.shape[2:]
        peaks = []
        for chunk in images.split(_CHUNK):
            saliency = spectral_residual(chunk.cpu())  # on the host, so that every device has the same boxes
            rows, columns = saliency.shape[1:]
            place = saliency.flatten(1).argmax(1)
            row, column = place // columns, place % columns
            # of the area that a pixel of the map stands for
            middle = ((2 * row + 1) * height // (2 * rows), (2 * column + 1) * width // (2 * columns))
            peaks.append(torch.stack(middle, dim=1))
        self.peaks = torch.cat(peaks).numpy().astype(np.int32)

    def of_images(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        assert self.peaks is not None, "prepare comes first"
        return {"peak": self.peaks[rows]}

    def draw(self, rng: np.random.Generator, lam: np.ndarray, size: tuple[int, int]) -> dict[str, np.ndarray]:
        return {"half": (np.floor(np.sqrt(1 - lam)[:, None] * size) // 2).astype(np.int32)}

    def weights(self, draws: dict[str, Tensor], size: tuple[int, int]) -> Tensor:
        (top, left), (bottom, right) = ((draws["peak"] + sign * draws["half"]).unbind(1) for sign in (-1, 1))
        return outside(span(top, bottom, size[0]), span(left, right, size[1]))


def spectral_residual(images: Tensor) -> Tensor:
    """Saliency, float32 [N, h, w], of images, uint8 or float32 [N, C, H, W] (Hou, Zhang 2007, section 2).

    G ∗ |F⁻¹[exp(L − A∗L + iP)]|², L and P the logarithm of the amplitude and the phase of the Fourier transform of the
    channels' mean, A a mean of 3×3 frequencies, and G a Gaussian whose sigma is a sixteenth of the longer side.
    Differs from the paper: its maps have 64 pixels in the longer side, and sigma is 8; here 64 is the largest side.
    """
    grey = images.float().mean(1, keepdim=True)
    scale = min(1.0, SIDE / max(grey.shape[2:]))
    if scale < 1:
        height, width = (max(1, round(scale * side)) for side in grey.shape[2:])
        grey = F.adaptive_avg_pool2d(grey, (height, width))
    spectrum = torch.fft.fft2(grey)
    amplitude = spectrum.abs()
    # below this, an amplitude is one of rounding; a black image has none
    least = (1e-6 * amplitude.amax((2, 3), keepdim=True)).clamp(min=torch.finfo(amplitude.dtype).tiny)
    logarithm = torch.maximum(amplitude, least).log()
    # a spectrum is periodic
    smooth = F.avg_pool2d(F.pad(logarithm, (1, 1, 1, 1), mode="circular"), 3, stride=1)
    power = torch.fft.ifft2(torch.polar((logarithm - smooth).exp(), spectrum.angle())).abs().square()
    sigma = max(grey.shape[2:]) / 16
    reach = math.ceil(3 * sigma)
    kernel = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / sigma).square())
    power = F.conv2d(power, kernel.view(1, 1, -1, 1), padding=(reach, 0))
    return F.conv2d(power, kernel.view(1, 1, 1, -1), padding=(0, reach)).squeeze(1)

"""Masks: a box, low-frequency noise, a grid of holes, a Gaussian, and a box with the whole second image."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from mixexp.mix import Mask

_CHUNK = 1024


def span(starts: Tensor, ends: Tensor, length: int) -> Tensor:
    """Which places of a line of this length lie from start on and before end, bool [B, length]; int [B] each."""
    places = torch.arange(length, device=starts.device)
    return (places >= starts.unsqueeze(1)) & (places < ends.unsqueeze(1))


def outside(rows: Tensor, columns: Tensor) -> Tensor:
    """Weights, float32 [B, 1, H, W]: 0 in the crossings of the rows, bool [B, H], and columns, bool [B, W]; else 1."""
    return (~(rows.unsqueeze(2) & columns.unsqueeze(1))).unsqueeze(1).float()


def clipped_boxes(centres: np.ndarray, sides: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Boxes around pixels, cut off at the image's border: int32 [n, 4] of first and end row, first and end column.

    centres, sides: int [n, 2] in pixels, vertical before horizontal. A box reaches from c − ⌊side/2⌋ to before
    c + ⌊side/2⌋, so that an odd side loses a pixel.
    """
    half = sides // 2
    edges = np.stack([centres - half, centres + half], axis=2)
    return np.clip(edges, 0, np.array(size)[:, None]).reshape(-1, 4).astype(np.int32)


class Box(Mask):
    """A box of the second image, with √(1 − lam) of the image's height and width (Yun et al. 2019, eq. 2 and code).

    inside: false, the centre is uniform over all pixels, and the border cuts the box off, so that a box is smaller than
    1 − lam on average (the paper's code, torchvision, timm, fastai); true, the whole box is inside the image, with
    uniform edges (Keras).
    rounding: of the sides to pixels: "down" (the paper's code, torchvision, timm) or "nearest" (fastai).
    Differs from the paper: its text has the centre uniform in real numbers and says nothing of the border.
    Differs from Keras: there edges are no whole pixels, and the label has their area; here it has the pixels'.
    """

    def __init__(self, inside: bool = False, rounding: Literal["down", "nearest"] = "down") -> None:
        self.inside, self.rounding = inside, rounding

    def draw(self, rng: np.random.Generator, lam: np.ndarray, size: tuple[int, int]) -> dict[str, np.ndarray]:
        sides = np.sqrt(1 - lam)[:, None] * size
        sides = np.floor(sides) if self.rounding == "down" else np.rint(sides)
        if not self.inside:
            centres = rng.integers(size, size=(len(lam), 2))
            return {"box": clipped_boxes(centres, sides.astype(np.int64), size)}
        starts = np.floor(rng.random((len(lam), 2)) * (size - sides + 1))
        return {"box": np.stack([starts, starts + sides], axis=2).reshape(-1, 4).astype(np.int32)}

    def weights(self, draws: dict[str, Tensor], size: tuple[int, int]) -> Tensor:
        top, bottom, left, right = draws["box"].unbind(1)
        return outside(span(top, bottom, size[0]), span(left, right, size[1]))


class Fourier(Mask):
    """The largest pixels of low-frequency noise, as many as lam says (Harris et al. 2020).

    The noise is the real part of the inverse Fourier transform of Z/max(f, 1/max(H, W))^decay, Z complex and normal, f
    the frequency in cycles per pixel. Its lam·H·W largest pixels are the first image's, a number that is rounded up or
    down at even odds.
    decay: exponent of the frequency, 3 in the paper.
    A mask travels to the device with a bit for each pixel: H·W/8 bytes an image of an epoch.
    Differs from the paper's code (ecs-vlc/FMix): that one reads the real and imaginary parts of Z as neighbouring real
    frequencies, so that its masks are symmetric about a point; and its labels have lam, here the mask's mean.
    Differs from OpenMixup: that one has the horizontal frequencies 0 and 1 alone, so that a row of a mask is one run.
    """

    def __init__(self, decay: Annotated[float, Field(ge=0)] = 3.0) -> None:
        self.decay = decay

    def draw(self, rng: np.random.Generator, lam: np.ndarray, size: tuple[int, int]) -> dict[str, np.ndarray]:
        chunks = [self._largest(rng, lam[start : start + _CHUNK], size) for start in range(0, len(lam), _CHUNK)]
        return {"first": np.concatenate(chunks)}

    def _largest(self, rng: np.random.Generator, lam: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """The pixels of the first image, a bit each, uint8 [n, ⌈H·W/8⌉]."""
        height, width = size
        frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width))
        scale = np.maximum(frequency, 1 / max(size)) ** -self.decay
        real, imaginary = rng.standard_normal((2, len(lam), *scale.shape))
        noise = np.fft.irfft2(scale * (real + 1j * imaginary), s=size, axes=(1, 2)).reshape(len(lam), -1)
        up = rng.random(len(lam)) < 0.5
        count = np.where(up, np.ceil(lam * height * width), np.floor(lam * height * width))
        first = np.zeros(noise.shape, dtype=bool)
        descending = np.arange(height * width) < count[:, None]
        np.put_along_axis(first, (-noise).argsort(axis=1, kind="stable"), descending, axis=1)
        return np.packbits(first, axis=1)

    def weights(self, draws: dict[str, Tensor], size: tuple[int, int]) -> Tensor:
        shifts = torch.arange(7, -1, -1, device=draws["first"].device)
        bits = draws["first"].unsqueeze(2).int() >> shifts & 1
        return bits.flatten(1)[:, : size[0] * size[1]].view(-1, 1, *size).float()


class Grid(Mask):
    """A grid of holes that show the second image, in a part of the image.

    The part has the area a·H·W, a ~ U(cut_area), and a height of r times its width, r ~ U(cut_aspect), both rounded
    down, and lies anywhere in the image. It is divided into square patches, n ~ U{holes} along its width, each with a
    hole in its upper left corner of √(1 − lam) of its side: a pixel at least, and one less than the patch at most.
    holes, cut_area, cut_aspect: smallest and largest.
    Source: OpenMixup's gridmix and its settings, after IlyaDobrynin/GridMixup.
    Differs from the paper: GridMix (Baek, Bang, Shim 2021) draws the image of each cell of a regular grid, and has a
    loss that names each cell's class; neither is here.
    Differs from OpenMixup: the part is cut down to the image, where OpenMixup's starts at a negative row; it can lie at
    the last row and column; the holes are cut down to half its width, which OpenMixup refuses in the middle of a run.
    Raises ValueError where the smallest exceeds the largest.
    """

    def __init__(
        self,
        holes: Annotated[list[Annotated[int, Field(ge=1)]], Field(min_length=2, max_length=2)],
        cut_area: Annotated[list[Annotated[float, Field(gt=0, le=1)]], Field(min_length=2, max_length=2)],
        cut_aspect: Annotated[list[Annotated[float, Field(gt=0)]], Field(min_length=2, max_length=2)],
    ) -> None:
        for name, (low, high) in (("holes", holes), ("cut_area", cut_area), ("cut_aspect", cut_aspect)):
            if low > high:
                raise ValueError(f"mix.mask.{name} = [{low:g},{high:g}]: the smallest comes first")
        self.holes, self.cut_area, self.cut_aspect = holes, cut_area, cut_aspect

    def draw(self, rng: np.random.Generator, lam: np.ndarray, size: tuple[int, int]) -> dict[str, np.ndarray]:
        n = len(lam)
        area = np.floor(rng.uniform(self.cut_area[0], self.cut_area[1], n) * size[0] * size[1])
        aspect = rng.uniform(self.cut_aspect[0], self.cut_aspect[1], n)
        width = np.maximum(np.floor(np.sqrt(area / aspect)), 1)
        sides = np.clip(np.stack([np.floor(width * aspect), width], axis=1), 1, size)
        starts = np.floor(rng.random((n, 2)) * (size - sides + 1))
        (top, left), (height, width) = starts.T, sides.T
        holes = np.minimum(rng.integers(self.holes[0], self.holes[1] + 1, n), np.maximum(width // 2, 1))
        patch = np.ceil(width / holes)
        hole = np.minimum(np.maximum(np.floor(patch * np.sqrt(1 - lam)), 1), patch - 1) * (lam < 1)
        return {"grid": np.stack([top, top + height, left, left + width, patch, hole], axis=1).astype(np.int32)}

    def weights(self, draws: dict[str, Tensor], size: tuple[int, int]) -> Tensor:
        top, bottom, left, right, patch, hole = draws["grid"].unbind(1)
        lines = []
        for start, end, length in ((top, bottom, size[0]), (left, right, size[1])):
            place = (torch.arange(length, device=start.device) - start.unsqueeze(1)) % patch.unsqueeze(1)
            lines.append(span(start, end, length) & (place < hole.unsqueeze(1)))
        return outside(*lines)


class Gaussian(Mask):
    """1 minus a Gaussian around a pixel: the second image fades in (Lee et al. 2020).

    M = 1 − exp(−((y − c_y)²/(H·s)² + (x − c_x)²/(W·s)²)/2), s = √(1 − lam), c uniform over all pixels. The paper has s
    uniform from 0.25 to 0.5: mix.ratio of the class SquaredScale.
    Differs from the paper: nothing; its square form of the mask is not here.
    Differs from OpenMixup: that one gives the mean of the Gaussian to the first label, though it weighs the second
    image.
    """

    def draw(self, rng: np.random.Generator, lam: np.ndarray, size: tuple[int, int]) -> dict[str, np.ndarray]:
        centre, sigma = rng.integers(size, size=(len(lam), 2)), np.sqrt(1 - lam)[:, None] * size
        return {"gaussian": np.concatenate([centre, sigma], axis=1).astype(np.float32)}

    def weights(self, draws: dict[str, Tensor], size: tuple[int, int]) -> Tensor:
        centres, sigmas = draws["gaussian"].split(2, 1)
        lines = []
        for centre, sigma, length in zip(centres.unbind(1), sigmas.unbind(1), size, strict=True):
            distance = torch.arange(length, device=centre.device) - centre.unsqueeze(1)
            # without a width, it is nowhere
            shown = (sigma > 0).unsqueeze(1)
            lines.append(shown * torch.exp(-0.5 * (distance / sigma.clamp(min=1e-6).unsqueeze(1)).square()))
        return 1 - (lines[0].unsqueeze(2) * lines[1].unsqueeze(1)).unsqueeze(1)


class ResizedBox(Box):
    """A box that shows the whole second image, resized to it (Qin et al. 2020).

    The box is that of CutMix, with √(1 − lam) of the image's sides, cut off at the border. A pixel in row y of a box of
    h rows shows row ⌊(y − top)·H/h⌋, its nearest neighbour, and so for columns. The paper has
    sides uniform from 0.1 to 0.8: mix.ratio of the class SquaredScale.
    Source: OpenMixup's resizemix; the authors' own code is not public to our knowledge.
    Differs from the paper: nothing in its text, which leaves the border and the interpolation open.
    """

    input_only = "a hidden layer's output is no picture to be resized; mix=cutmix puts boxes of features together"

    def pasted(self, second: Tensor, draws: dict[str, Tensor]) -> Tensor:
        top, bottom, left, right = draws["box"].long().unbind(1)
        for dim, start, end in ((2, top, bottom), (3, left, right)):
            length = second.shape[dim]
            place = torch.arange(length, device=second.device) - start.unsqueeze(1)
            source = place * length // (end - start).clamp(min=1).unsqueeze(1)
            shape = [len(second), 1, 1, 1]
            shape[dim] = length
            # pixels out of the box are not shown
            second = second.take_along_dim(source.clamp(0, length - 1).view(shape), dim)
        return second

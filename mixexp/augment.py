"""Contract and options of the augment group: random changes of training images, by whole batches on the device."""

from __future__ import annotations

import abc
from collections.abc import Callable
from typing import Annotated, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor


class Augment(abc.ABC):
    """A map from raw images to network input, which also applies the normalisation at its own place."""

    kinds: tuple[str, ...] | None = None
    """Kinds of data that it is for; None: any."""

    def check(self, shape: tuple[int, ...]) -> None:  # noqa: B027  most have nothing to check
        """Raise ValueError if it does not fit images of this shape, channels first."""

    @abc.abstractmethod
    def draw(self, rng: np.random.Generator, rows: int) -> dict[str, np.ndarray]:
        """Random numbers for a whole epoch, one row per image: name → array [rows, …]."""

    @abc.abstractmethod
    def __call__(self, images: Tensor, draws: dict[str, Tensor], normalize: Callable[[Tensor], Tensor]) -> Tensor:
        """Network input, float32 [B, C, H, W], from images, uint8 or float32 of this shape, and their rows of draws."""


class NoAugment(Augment):
    """Images as they are, normalised."""

    def draw(self, rng: np.random.Generator, rows: int) -> dict[str, np.ndarray]:
        return {}

    def __call__(self, images: Tensor, draws: dict[str, Tensor], normalize: Callable[[Tensor], Tensor]) -> Tensor:
        return normalize(images)


class Standard(Augment):
    """Usual CIFAR augmentation: horizontal flip with probability ½, and a shift of up to `shift` pixels, zero-padded.

    A shift by (dy, dx), each uniform on −shift…shift, equals padding by `shift` and a crop back to size.
    flip: with or without the flip; shift: in pixels; pad: "before" normalisation fills with black (mixup's code and
    torchvision's order), "after" fills with 0 in normalised units, the mean colour (BC learning's code).
    Both are one gather of whole pixel rows from the padded batch and its mirror image.
    """

    kinds = ("image",)

    def __init__(
        self, flip: bool = True, shift: Annotated[int, Field(ge=0)] = 4, pad: Literal["before", "after"] = "before"
    ) -> None:
        self.flip, self.shift, self.pad = flip, shift, pad

    def check(self, shape: tuple[int, ...]) -> None:
        height, width = shape[1:]
        if self.shift > min(height, width):
            raise ValueError(
                f"augment.shift = {self.shift}: too large; the images have {height}x{width} pixels, so it can be"
                f" {min(height, width)} at most"
            )

    def draw(self, rng: np.random.Generator, rows: int) -> dict[str, np.ndarray]:
        return {
            "offset": rng.integers(0, 2 * self.shift + 1, size=(rows, 2)),
            "flip": rng.random(rows) < (0.5 if self.flip else 0.0),
        }

    def _move(self, images: Tensor, draws: dict[str, Tensor]) -> Tensor:
        count, channels, height, width = images.shape
        s, rows, columns = self.shift, height + 2 * self.shift, width + 2 * self.shift
        padded = images.new_zeros(2, count, rows, columns, channels)
        pixels = images.permute(0, 2, 3, 1)
        padded[0, :, s : s + height, s : s + width] = pixels
        padded[1, :, s : s + height, s : s + width] = pixels.flip(2)
        # a row of pixels can start at any pixel: a view with overlapping rows, [pixels − W + 1, W·C]
        windows = padded.view(-1).as_strided((padded[..., 0].numel() - width + 1, width * channels), (channels, 1))
        flip, top, left = draws["flip"].long(), draws["offset"][:, :1], draws["offset"][:, 1]
        left = torch.where(draws["flip"], 2 * s - left, left)
        image = (flip * count + torch.arange(count, device=images.device)).unsqueeze(1)
        starts = (image * rows + top + torch.arange(height, device=images.device)) * columns + left.unsqueeze(1)
        return windows.index_select(0, starts.flatten()).view(count, height, width, channels).permute(0, 3, 1, 2)

    def __call__(self, images: Tensor, draws: dict[str, Tensor], normalize: Callable[[Tensor], Tensor]) -> Tensor:
        if self.pad == "before":
            return normalize(self._move(images, draws))
        return self._move(normalize(images), draws)


class Continuous(Augment):
    """A shift by any fraction of a pixel, filled with the nearest pixel, and a horizontal flip with probability ½.

    It is Keras's ImageDataGenerator(horizontal_flip=flip, height_shift_range=height, width_shift_range=width) with the
    defaults interpolation_order=1 and fill_mode="nearest": out(y, x) = in(y + height·H·u, x + width·W·v), u and v
    uniform on −1…1, linear between pixels; then the flip. Pixels are not rounded.
    height: largest vertical shift, as a fraction of the image's height; width: largest horizontal shift, as a fraction
    of the image's width.
    Source: koshian2_bc's code, case 5, with 4/32 for both.
    Differs from the paper: nothing.
    """

    kinds = ("image",)

    def __init__(
        self,
        flip: bool = True,
        height: Annotated[float, Field(ge=0, lt=1)] = 0.125,
        width: Annotated[float, Field(ge=0, lt=1)] = 0.125,
    ) -> None:
        self.flip, self.height, self.width = flip, height, width

    def draw(self, rng: np.random.Generator, rows: int) -> dict[str, np.ndarray]:
        return {
            "shift": rng.uniform(-1, 1, size=(rows, 2)).astype(np.float32),
            "flip": rng.random(rows) < (0.5 if self.flip else 0.0),
        }

    def __call__(self, images: Tensor, draws: dict[str, Tensor], normalize: Callable[[Tensor], Tensor]) -> Tensor:
        down, across = draws["shift"].unbind(1)
        moved = _read(images.float(), self.height * images.shape[2] * down, 2)
        moved = _read(moved, self.width * images.shape[3] * across, 3)
        return normalize(torch.where(draws["flip"].view(-1, 1, 1, 1), moved.flip(3), moved))


def _read(images: Tensor, shift: Tensor, dim: int) -> Tensor:
    """Images, float32 [B, C, H, W], read at position + shift, float32 [B], along dim: linear, edges repeated."""
    last = images.shape[dim] - 1
    places = (torch.arange(last + 1, device=images.device) + shift.unsqueeze(1)).clamp(0, last)
    below = places.floor()
    shape = [len(images), 1, 1, 1]
    shape[dim] = last + 1
    low, high = (images.take_along_dim(index.long().view(shape), dim) for index in (below, (below + 1).clamp(max=last)))
    return torch.lerp(low, high, (places - below).view(shape))


class Shift(Augment):
    """A sound padded with silence on both sides, cropped at random to its length (Tokozume et al. 2018, ICLR).

    pad: silence on each side, as a fraction of the sound's length; ½ in the paper.
    The shift is uniform over all whole samples.
    """

    kinds = ("sound",)

    def __init__(self, pad: Annotated[float, Field(gt=0, le=1)] = 0.5) -> None:
        self.pad = pad

    def draw(self, rng: np.random.Generator, rows: int) -> dict[str, np.ndarray]:
        return {"start": rng.random(rows, dtype=np.float32)}

    def __call__(self, images: Tensor, draws: dict[str, Tensor], normalize: Callable[[Tensor], Tensor]) -> Tensor:
        length = images.shape[3]
        pad = round(self.pad * length)
        # the product of a number just below 1 can round up to 2 pad + 1
        start = (draws["start"] * (2 * pad + 1)).long().clamp(max=2 * pad) - pad
        source = start.unsqueeze(1) + torch.arange(length, device=images.device)
        index = source.clamp(0, length - 1)[:, None, None].expand_as(images)
        silent = ((source < 0) | (source >= length))[:, None, None]
        return normalize(images.gather(3, index).masked_fill(silent, 0))


class _OnTop(Augment):
    """A change of images on top of another augmentation, the base."""

    def __init__(self, base: Augment) -> None:
        self.base = base
        self.kinds = base.kinds

    def check(self, shape: tuple[int, ...]) -> None:
        try:
            self.base.check(shape)
        except ValueError as error:
            raise ValueError(str(error).replace("augment.", "augment.base.", 1)) from error

    def draw(self, rng: np.random.Generator, rows: int) -> dict[str, np.ndarray]:
        return self.base.draw(rng, rows)


class Noise(_OnTop):
    """Gaussian noise on the inputs, N(0, sigma²) for every value of every image, on top of another augmentation.

    base: the other augmentation; sigma: standard deviation; at: "before" normalisation, where sigma is in units of 0..1
    for uint8 images and in the data's own for float32, without clipping to the range, or "after", where it is in units
    of the normalised input.
    The noise is drawn on the device, within the step.
    Source: Zhang et al. 2018, table 5, "Gaussian noise to inputs".
    Differs from the paper: the paper does not state the scale.
    """

    def __init__(
        self, base: Augment, sigma: Annotated[float, Field(gt=0)], at: Literal["before", "after"] = "before"
    ) -> None:
        super().__init__(base)
        self.sigma, self.at = sigma, at

    def _noisy(self, x: Tensor, unit: float) -> Tensor:
        x = x.float()
        return x + unit * self.sigma * torch.randn_like(x)

    def __call__(self, images: Tensor, draws: dict[str, Tensor], normalize: Callable[[Tensor], Tensor]) -> Tensor:
        if self.at == "after":
            return self._noisy(self.base(images, draws, normalize), 1)
        unit = 255 if images.dtype == torch.uint8 else 1
        return self.base(images, draws, lambda x: normalize(self._noisy(x, unit)))


class Cutout(_OnTop):
    """Hidden squares: 0 in normalised units, the mean colour, on top of another augmentation; labels stay.

    base: the other augmentation; length: side of a square, in pixels, of which an odd one is rounded down to an even
    number; holes: squares of each image.
    A square's centre is uniform over all pixels, so that a square may hang out of the image: it hides the pixels from
    c − length/2 to before c + length/2. Squares may overlap.
    Source: DeVries, Taylor 2017 and code (uoguelph-mlrg/Cutout).
    Differs from the paper: nothing.
    Raises ValueError where a square would hide every image as a whole.
    """

    def __init__(
        self, base: Augment, length: Annotated[int, Field(ge=2)] = 16, holes: Annotated[int, Field(ge=1)] = 1
    ) -> None:
        super().__init__(base)
        self.kinds = base.kinds or ("image", "spectrogram")
        self.length, self.holes = length, holes

    def check(self, shape: tuple[int, ...]) -> None:
        super().check(shape)
        height, width = shape[1:]
        if self.length // 2 >= max(height, width):
            raise ValueError(
                f"augment.length = {self.length}: a square of this side hides every pixel of images of {height}x{width}"
                f" pixels; it can be {2 * max(height, width) - 1} at most"
            )

    def draw(self, rng: np.random.Generator, rows: int) -> dict[str, np.ndarray]:
        return {**super().draw(rng, rows), "hole": rng.random((rows, 2, self.holes), dtype=np.float32)}

    def __call__(self, images: Tensor, draws: dict[str, Tensor], normalize: Callable[[Tensor], Tensor]) -> Tensor:
        images = self.base(images, draws, normalize)
        lines = []
        for axis, size in enumerate(images.shape[2:]):
            # the product of a number just below 1 can round up to size
            centre = (draws["hole"][:, axis] * size).long().clamp(max=size - 1).unsqueeze(2)
            distance = torch.arange(size, device=images.device) - centre
            half = self.length // 2
            lines.append((distance >= -half) & (distance < half))
        hidden = (lines[0].unsqueeze(3) & lines[1].unsqueeze(2)).any(1, keepdim=True)
        return images.masked_fill(hidden, 0)

from __future__ import annotations

import base64
import io
from typing import Annotated

import torch
from PIL import Image
from pydantic import Field
from torch import Tensor
from torch.nn.functional import interpolate

from mixexp.mix import Plan
from mixexp.probe import Facts, Probe, Rows, Subject
from mixexp.probe._ratio import ratio_rows

LARGEST = 128
"""Pixels a side: larger images are made smaller, as a CSV's field may have 131,072 characters and no page shows more."""


class MixedImages(Probe):
    """What a network of images is shown: the first samples of an epoch, augmented, paired and blended as in the run, with their labels.

    samples: so many of an epoch, numbered from 0, or all it has.
    Rows of mixed_images: sample, counted from 0; image, a PNG in base64, the network's input with its normalisation undone, in 0..255,
    an image centred on its own mean about mid-grey; clipped, which part of its values lay outside and was cut off; labels, the classes
    with their weights; lam, of its first part; layer, where it is blended: at a hidden one the image is the first part, not blended.
    Rows of ratio: lam, density, curve, of all lam of that epoch: see MixedSamples.
    Source: Zhang et al. 2018, figure 1; Tokozume et al. 2018, figure 1, pictures of blends with their labels.
    Differs from the paper: noise drawn on the device is other noise than the run's.
    """

    files = ("mixed_images", "ratio")

    def __init__(self, samples: Annotated[int, Field(gt=0)] = 12, epoch: Annotated[int, Field(ge=0)] = 0) -> None:
        self.samples, self.epoch = samples, epoch

    def check(self, facts: Facts) -> None:
        facts.require_image("mixed_images")
        if facts.shape[0] not in (1, 3):
            raise ValueError(f"probe: mixed_images shows grey and colour images, and these have {facts.shape[0]} channels")

    def measure(self, subject: Subject) -> dict[str, Rows]:
        rows: Rows = []
        for images, plan, layer in subject.shown(self.epoch):
            rows += self._rows(subject, images, plan, layer, len(rows))
            if len(rows) >= self.samples:
                break
        lam = torch.cat([_lam(plan) for _, plan in subject.mixed(self.epoch)])
        return {"mixed_images": rows, "ratio": ratio_rows(subject.mix, lam.tolist())}

    def _rows(self, subject: Subject, images: Tensor, plan: Plan, layer: str, first: int) -> Rows:
        """Rows of a batch's samples, as many as are missing."""
        lam = _lam(plan)[: self.samples - first]
        if plan.blend is None:
            layer = ""
        samples = plan.apply(images) if layer in ("", "input") else images[plan.rows[0]]
        pixels = 255 * (samples[: len(lam)].float() * subject.normalize.std.to(samples) + subject.normalize.mean.to(samples))
        pixels = pixels + 127.5 * subject.normalize.zero_mean
        outside = ((pixels < -0.5) | (pixels > 255.5)).float().mean((1, 2, 3)).tolist()
        labels = plan.labels.soft(len(subject.classes))[: len(lam)]
        return [
            {
                "sample": first + k,
                "image": _png(pixels[k]),
                "clipped": round(outside[k], 4),
                "labels": ", ".join(f"{subject.classes[c]} {labels[k, c]:.2g}" for c in labels[k].argsort(descending=True, stable=True) if labels[k, c] > 0),
                "lam": value,
                "layer": layer,
            }
            for k, value in enumerate(lam.tolist())
        ]


def _lam(plan: Plan) -> Tensor:
    """The weights of the first parts, float32 [B]; 1 where nothing is blended."""
    return plan.weights[0] if plan.weights else torch.ones(len(plan.labels.labels[0]))


def _png(pixels: Tensor) -> str:
    """An image, float [C, H, W] in 0..255, as PNG in base64."""
    scale = LARGEST / max(pixels.shape[1:])
    if scale < 1:
        size = [max(1, round(side * scale)) for side in pixels.shape[1:]]
        pixels = interpolate(pixels[None], size=size, mode="area")[0]
    values = pixels.clamp(0, 255).round().to(torch.uint8).permute(1, 2, 0).cpu().numpy()
    file = io.BytesIO()
    Image.fromarray(values[..., 0] if values.shape[2] == 1 else values).save(file, format="PNG")
    return base64.b64encode(file.getvalue()).decode()

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from mixexp import streams
from mixexp.probe import BATCH, Facts, Probe, Rows, Subject


class Deformation(Probe):
    """Accuracy on test images that are rotated, sheared or zoomed about their centre; bilinear, black where nothing
    was.

    rotation: angles ~ U(−a, a) degrees, one an image, for every a of the list. shearing: x' = x + tan(θ)·y, θ ~ U(−a,
    a) degrees. zoom: percent of the image's side that is seen: below 100 the image is enlarged ("zoom in"), above it
    shrinks ("zoom out"). samples: a fixed sample of the test images; None: all. The angles come from the run's seed:
    runs of one seed see the same images. Rows: deformation (none, rotation, shearing, zoom), level, accuracy, error.
    Source: Verma et al. 2019 (manifold mixup), Tables 4 and 9, CIFAR-100.
    Differs from the paper: how its code deforms is not stated, and interpolation and filling are ours. The published
    accuracies fall from zoom 80 to 20 and from 120 to 180, so a percentage is read as the side of the window; they rise
    again from shearing 143.2 to 171.9, as they do with the tangent, for which half a turn is none.
    """

    files: Mapping[str, tuple[str, ...]] = {"deformation": ("deformation", "level", "accuracy", "error")}

    def __init__(
        self,
        rotation: list[Annotated[float, Field(ge=0, le=180)]],
        shearing: list[Annotated[float, Field(ge=0, le=180)]],
        zoom: list[Annotated[float, Field(gt=0)]],
        samples: Annotated[int, Field(gt=0)] | None = None,
    ) -> None:
        self.rotation, self.shearing, self.zoom, self.samples = rotation, shearing, zoom, samples

    def check(self, facts: Facts) -> None:
        facts.require_image("a rotation, a shear or a zoom")

    def measure(self, subject: Subject) -> dict[str, Rows]:
        part = subject.sample("test", self.samples)
        same = np.ones(len(part))

        def angles(name: str, level: float) -> np.ndarray:
            return streams.generator(subject.seed, f"probe {name} {float(level)}").uniform(-level, level, len(part))

        levels = [
            ("none", 0, self.zoomed(100 * same)),
            *(("rotation", level, self.rotated(angles("rotation", level))) for level in self.rotation),
            *(("shearing", level, self.sheared(angles("shearing", level))) for level in self.shearing),
            *(("zoom", level, self.zoomed(level * same)) for level in self.zoom),
        ]
        rows = []
        for name, level, maps in levels:
            right = torch.zeros((), device=part.labels.device)
            batches = zip(
                part.images.split(BATCH),
                part.labels.split(BATCH),
                maps.to(part.labels.device).split(BATCH),
                strict=True,
            )
            for images, labels, some in batches:
                outputs = subject.outputs(subject.inputs(self.deformed(images, some)))
                right += (subject.loss.predict(outputs) == labels).sum()
            accuracy = right.item() / len(part)
            rows.append({"deformation": name, "level": level, "accuracy": accuracy, "error": 1 - accuracy})
        return {"deformation": rows}

    @staticmethod
    def rotated(degrees: np.ndarray) -> Tensor:
        """From where the pixels come, float32 [N, 2, 2]: of a position (x, y) about the centre to another, by angles
        [N]."""
        turn = np.radians(degrees)
        return _maps(np.cos(turn), -np.sin(turn), np.sin(turn), np.cos(turn))

    @staticmethod
    def sheared(degrees: np.ndarray) -> Tensor:
        """The same by shears [N] along x."""
        ones = np.ones(len(degrees))
        return _maps(ones, np.tan(np.radians(degrees)), 0 * ones, ones)

    @staticmethod
    def zoomed(percent: np.ndarray) -> Tensor:
        """The same by windows [N]."""
        return _maps(percent / 100, 0 * percent, 0 * percent, percent / 100)

    @staticmethod
    def deformed(images: Tensor, maps: Tensor) -> Tensor:
        """Images, float32 [B, C, H, W], whose pixels come from elsewhere, from raw ones and maps, float32 [B, 2, 2]."""
        height, width = images.shape[2:]
        side = maps.new_tensor([width, height])
        # grid_sample counts both directions from −1 to 1
        centred = F.pad(maps * side / side.unsqueeze(1), (0, 1))
        grid = F.affine_grid(centred, list(images.shape), align_corners=False)
        return F.grid_sample(images.float(), grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def _maps(*entries: np.ndarray) -> Tensor:
    return torch.from_numpy(np.stack(entries, axis=1).reshape(-1, 2, 2).astype(np.float32))

"""Deformed test images against torchvision's, one by one, and what becomes of the accuracy."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torchvision.transforms.functional as TF
from probes import measured, refusals, trained_subject
from torchvision.transforms import InterpolationMode

from mixexp.probe.deformation import Deformation


def pictures(height: int = 24, width: int = 24) -> torch.Tensor:
    """Smooth ones, in which interpolation makes little difference."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, height), torch.linspace(-1, 1, width), indexing="ij")
    waves = [torch.sin(3 * x + k) * torch.cos(2 * y - k) + 0.3 * x * k for k in range(4)]
    return 100 + 50 * torch.stack(waves)[:, None].repeat(1, 3, 1, 1)


def same(ours: torch.Tensor, theirs: torch.Tensor) -> None:
    assert (ours - theirs).abs().max() < 0.02 * theirs.abs().max()


@pytest.mark.parametrize("size", [(24, 24), (16, 30)])
@pytest.mark.parametrize("angle", [0.0, 17.0, -45.0, 80.0, 171.9])
def test_rotation_is_torchvisions(angle, size):
    images = pictures(*size)
    ours = Deformation.deformed(images, Deformation.rotated(np.full(4, angle)))
    theirs = torch.stack([TF.rotate(image, angle, InterpolationMode.BILINEAR) for image in images])
    same(ours, theirs)


@pytest.mark.parametrize("angle", [0.0, 12.0, -28.6, 57.3, 143.2, 171.9])
def test_shearing_is_torchvisions(angle):
    images = pictures(16, 30)
    ours = Deformation.deformed(images, Deformation.sheared(np.full(4, angle)))
    theirs = [TF.affine(image, 0.0, [0, 0], 1.0, [angle, 0.0], InterpolationMode.BILINEAR) for image in images]
    same(ours, torch.stack(theirs))


@pytest.mark.parametrize("percent", [20.0, 60.0, 100.0, 140.0])
def test_a_zoom_is_the_side_of_the_window(percent):
    images = pictures(16, 30)
    ours = Deformation.deformed(images, Deformation.zoomed(np.full(4, percent)))
    theirs = [TF.affine(image, 0.0, [0, 0], 100 / percent, [0.0, 0.0], InterpolationMode.BILINEAR) for image in images]
    same(ours, torch.stack(theirs))


def test_every_image_has_a_map_of_its_own_and_black_comes_in():
    images = torch.full((2, 1, 20, 20), 255, dtype=torch.uint8)
    still, turned = Deformation.deformed(images, Deformation.rotated(np.array([0.0, 45.0])))
    assert torch.allclose(still, torch.full_like(still, 255))
    assert turned[0, 0, 0] == 0 and turned[0, 10, 10] == pytest.approx(255)
    small = Deformation.deformed(images, Deformation.zoomed(np.full(2, 200.0)))[0, 0]
    assert small.sum().item() == pytest.approx(255 * 10 * 10, rel=0.05), "half as high and wide"


def test_no_deformation_is_the_plain_accuracy_and_more_of_it_costs_more(tmp_path):
    _, subject = trained_subject(tmp_path, "epochs=6", "model.width=8")
    rows = measured(Deformation([0, 20, 80], [0, 28.6, 114.6, 171.9], [20, 60, 100, 120, 180]), subject)["deformation"]
    with torch.no_grad():
        right = subject.network.eval()(subject.inputs(subject.test.images)).argmax(1) == subject.test.labels
    found = {(row["deformation"], row["level"]): row["accuracy"] for row in rows}
    plain = right.float().mean().item()
    for still in (("none", 0), ("rotation", 0), ("shearing", 0), ("zoom", 100)):
        assert found[still] == pytest.approx(plain, abs=1e-6)
    assert all(row["error"] == pytest.approx(1 - row["accuracy"]) for row in rows)
    assert plain > found["rotation", 20] > found["rotation", 80]
    assert plain > found["shearing", 28.6] > found["shearing", 114.6]
    assert found["zoom", 20] < found["zoom", 60] < plain > found["zoom", 120] > found["zoom", 180]
    again = measured(Deformation([20], [], []), subject)["deformation"]
    assert again[1]["accuracy"] == found["rotation", 20], "the angles do not depend on what else is asked for"


def test_the_angles_are_uniform_and_of_either_sign(monkeypatch, tmp_path):
    _, subject = trained_subject(tmp_path, "epochs=1")
    drawn = []
    monkeypatch.setattr(
        Deformation, "rotated", staticmethod(lambda a: drawn.append(a) or Deformation.zoomed(100 + 0 * a))
    )
    measured(Deformation([60], [], []), subject)
    (angles,) = drawn
    assert len(angles) == len(subject.test) and np.abs(angles).max() <= 60
    assert abs(angles.mean()) < 5 * 60 / math.sqrt(3 * len(angles)) and np.abs(angles).mean() == pytest.approx(
        30, abs=4
    )


def test_only_images_can_be_deformed():
    assert "kind is table" in refusals("probe=deformation", "dataset=iris")[0]
    assert refusals("probe=deformation", "probe.zoom=[0]") and refusals("probe=deformation", "probe.rotation=[200]")

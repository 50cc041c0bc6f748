"""The probability all over the plane, against the network asked point by point."""

from __future__ import annotations

import pytest
import torch
from probes import measured, refusals, trained_subject

from mixexp.probe.between import Plane


@pytest.mark.parametrize("unsure", [0.05, 0.3])
def test_the_plane_is_what_the_network_says_at_every_point(unsure, tmp_path):
    _, subject = trained_subject(
        tmp_path, "dataset=two_moons", "model=mlp", "model.hidden=[16]", "epochs=20", "optimizer.lr=0.1"
    )
    found = measured(Plane(side=9, unsure=unsure), subject)
    rows = found["plane"]
    points = subject.inputs(subject.train.images).flatten(1)
    for axis, name in enumerate(("x", "y")):
        values = sorted({row[name] for row in rows})
        low, high = float(points[:, axis].min()), float(points[:, axis].max())
        assert (
            len(values) == 9
            and values[0] == pytest.approx(low - 0.1 * (high - low))
            and values[-1] == pytest.approx(high + 0.1 * (high - low))
        )
    assert len({(row["x"], row["y"]) for row in rows}) == len(rows) == 81
    with torch.no_grad():
        asked = [
            float(subject.network.eval()(torch.tensor([[[[row["x"]]], [[row["y"]]]]])).softmax(1)[0, 1]) for row in rows
        ]
    assert [row["probability"] for row in rows] == pytest.approx(asked, abs=1e-5)
    between = sum(unsure < p < 1 - unsure for p in asked)
    assert found["unsure"] == [{"unsure": pytest.approx(between / 81)}] and 0 < between < 81


def test_the_plane_is_for_two_classes_in_two_columns():
    (line,) = refusals("probe=plane")
    assert "1x8x8" in line and "10 classes" in line and "dataset=two_moons" in line
    assert "classes" in refusals("probe=plane", "dataset=ring", "model=mlp")[0]

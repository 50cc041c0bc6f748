"""The mixup paper's GANs in small: their samples come to the ring, and the experiment ends in its table."""

from __future__ import annotations

import csv
import itertools
import math
from collections import defaultdict
from pathlib import Path

import pytest
from commands import mixexp
from running import errors_of

from mixexp.dataset.planes import Gaussians
from mixexp.gan.play import play
from mixexp.plan.compose import compose
from mixexp.sweeping.status import status
from mixexp.training.folder import RunFolder
from mixexp.training.spec import RunConfig

SMALL = ("gan.width=32", "steps=300", "evaluations=3", "gan.samples=400", "gan.frame_points=400", "gan.snapshots=[1]")
CENTRES = Gaussians("ring", 8).centres.tolist()


def nearest(point: tuple[float, float]) -> tuple[float, int]:
    """The distance of a point to the mode next to it, and which that is."""
    return min((math.dist(point, centre), mode) for mode, centre in enumerate(CENTRES))


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("gan", ["plain", "paper", "code"])
def test_the_generators_samples_come_to_the_ring_and_what_they_cover_is_counted(gan, tmp_path):
    config = compose(["experiment=mixup_gan", f"gan={gan}", *SMALL])
    assert errors_of(config) == []
    for _ in play(RunConfig.of(config), RunFolder(tmp_path), {}):
        pass
    frames: dict[int, list[tuple[float, float]]] = defaultdict(list)
    for row in rows_of(tmp_path / "probe_frames.csv"):
        if row["kind"] == "generated":
            frames[int(row["step"])].append((float(row["x"]), float(row["y"])))
    assert {step: len(points) for step, points in frames.items()} == {1: 400, 300: 400}

    def off_the_ring(points: list[tuple[float, float]]) -> float:
        """The median distance to the unit circle."""
        return sorted(abs(math.hypot(*point) - 1) for point in points)[len(points) // 2]

    assert off_the_ring(frames[300]) < off_the_ring(frames[1]) / 3
    # the record counts before the frame is rounded to four decimals, so a sample on the very border may go either way
    last = rows_of(tmp_path / "metrics.csv")[-1]
    fewest, most = (
        [mode for distance, mode in map(nearest, frames[300]) if distance <= limit] for limit in (0.0299, 0.0301)
    )
    assert len(set(fewest)) <= int(last["modes"]) <= len(set(most))
    assert len(fewest) <= round(400 * float(last["high_quality"])) <= len(most)


def test_the_experiment_ends_in_its_table(tmp_path):
    words = (
        "dataset=ring",
        "seed=0",
        "gan.width=4",
        "steps=4",
        "gan.samples=20",
        "gan.frame_points=20",
        "table.figures=[]",
    )
    done = mixexp("reproduce", "mixup_gan", *words, "runs_per_device=1", cwd=tmp_path)
    assert done.returncode == 0 and "3 runs, 3 done (0 of them before)" in done.stdout, done.stdout + done.stderr
    folder = tmp_path / "outputs" / "mixup_gan"
    found = {(row["row"], row["column"]) for row in rows_of(folder / "report" / "table.csv") if row["rule"] == "last"}
    rows, columns = (
        ("ring, plain", "ring, mixup (paper)", "ring, mixup (code)"),
        ("modes covered", "fraction of high quality"),
    )
    assert found == set(itertools.product(rows, columns))
    told = status(folder)
    assert told.count(" done  ") == 3 and told.count("modes ") == 3

"""The benchmark's pieces work; its timings are nobody's test."""

from __future__ import annotations

import json
import math
from itertools import islice
from pathlib import Path
from types import ModuleType

import pytest
import torch

SCRIPTS = Path(__file__).parents[1] / "scripts"


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    """The script as a module, on a machine without CIFAR-10; the number of threads is as before afterwards."""
    monkeypatch.syspath_prepend(SCRIPTS)
    monkeypatch.setenv("MIXEXP_DATA", str(tmp_path / "no data here"))
    threads = torch.get_num_threads()
    import benchmark

    yield benchmark
    torch.set_num_threads(threads)


@pytest.fixture
def config(benchmark: ModuleType) -> dict:
    """A run on 300 synthetic images: two whole batches and a rest of 44."""
    node = {"_target_": "benchmark.Synthetic", "images": 300}
    return benchmark.configuration(["model=small_cnn", "model.width=4"], node)


def test_peer_trains(benchmark: ModuleType, config: dict) -> None:
    torch.manual_seed(0)
    peer = benchmark.Peer(config, workers=0)
    before = [parameter.clone() for parameter in peer.network.parameters()]
    for images, labels in peer.loader:
        loss, correct = peer.step(images, labels)
        assert math.isfinite(loss) and 0 <= correct <= len(images)
    assert all(not torch.equal(old, new) for old, new in zip(before, peer.network.parameters(), strict=True))


def test_loops_take_the_same_images_per_step(benchmark: ModuleType, config: dict, tmp_path: Path) -> None:
    loops = {
        "peer": iter(benchmark.Peer(config, workers=0)),
        "mixexp": benchmark.mixexp_training(config, tmp_path),
        "peer's input": benchmark.peer_input(config, workers=0),
        "mixexp's input": benchmark.mixexp_input(config),
    }
    seen = {name: list(islice(steps, 5)) for name, steps in loops.items()}
    assert seen == dict.fromkeys(loops, [128, 128, 44, 128, 128])


def test_mixexp_makes_no_evaluation_while_measured(benchmark: ModuleType, config: dict, tmp_path: Path) -> None:
    list(islice(benchmark.mixexp_training(config, tmp_path), 7))
    assert len((tmp_path / "metrics.csv").read_text().splitlines()) == 1  # the header alone


def test_ratio_is_against_the_better_peer(benchmark: ModuleType) -> None:
    found = {"mixexp": [8.0, 9.0, 10.0], "slow": [1.0, 1.0, 1.0], "fast": [2.0, 3.0, 2.0]}
    assert benchmark.versus_peer(found) == {"peer": "fast", "median": 4.0, "min": 3.0, "max": 5.0}


def test_json(benchmark: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.setattr(benchmark, "WORKERS", (0,))  # starting loader processes takes seconds
    monkeypatch.setattr(benchmark, "WARM_UP_STEPS", 1)
    monkeypatch.setattr(benchmark, "MODELS", {"small_cnn, width 4": ["model=small_cnn", "model.width=4"]})
    target = tmp_path / "figures.json"
    words = ["--seconds", "0.001", "--rounds", "2", "--threads", "1", "--parts", "input", "training", "--json", str(target)]
    benchmark.main(words)
    found = json.loads(target.read_text())
    assert found.keys() == {"machine", "settings", "input", "training"}
    assert found["machine"].keys() >= {"cpu", "cores", "torch", "date", "load_average", "load_average_after"}
    assert found["settings"]["data"] == "synthetic 32x32 colour"
    for (row,) in (found["input"], found["training"]):
        assert row["threads"] == 1 and row["ratio"]["peer"] == "peer, 0 workers"
        assert row["images_per_second"].keys() == {"mixexp", "peer, 0 workers"}
        for figures in (*row["images_per_second"].values(), row["ratio"]):
            assert 0 < figures["min"] <= figures["median"] <= figures["max"]
    shown = capsys.readouterr().out
    assert all(words in shown for words in ("synthetic", "small_cnn, width 4", "mixexp", "threads", "load average afterwards"))


def test_the_cost_of_a_run_is_what_a_slot_spends_beside_training(benchmark: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmark, "SWEEP_SLOTS", (2,))
    (row,) = benchmark.sweep(runs=4, rounds=1)
    assert (row["slots"], row["runs"]) == (2, 4)
    wall, per_hour, cost, trained = (row[name]["median"] for name in list(row)[2:])
    assert per_hour == pytest.approx(4 * 3600 / wall) and cost == pytest.approx(2 * wall / 4 - trained) and 0 < trained < wall
    assert f"{wall:.1f}" in benchmark.sweep_table([row])

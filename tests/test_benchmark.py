"""The benchmark's pieces work; its timings are nobody's test."""

from __future__ import annotations

import json
import math
from itertools import islice
from pathlib import Path
from types import ModuleType

import pytest
import torch

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    """The script as a module, on a machine without CIFAR-10; the number of threads is as before afterwards."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    monkeypatch.setenv("MIXEXP_DATA", str(tmp_path / "no data here"))
    threads = torch.get_num_threads()
    import benchmark

    yield benchmark
    torch.set_num_threads(threads)


@pytest.fixture
def config(benchmark: ModuleType) -> dict:
    """A run on 300 synthetic images: two whole batches and a rest of 44, which is left out."""
    node = {"_target_": "benchmark.Synthetic", "images": 300}
    return benchmark.configuration(["model=small_cnn", "model.width=4", "speed=eager"], node)


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
    assert seen == dict.fromkeys(loops, [128] * 5)


def test_mixexp_makes_no_evaluation_while_measured(benchmark: ModuleType, config: dict, tmp_path: Path) -> None:
    list(islice(benchmark.mixexp_training(config, tmp_path), 7))
    assert len((tmp_path / "metrics.csv").read_text().splitlines()) == 1  # the header alone


def test_ratios_are_against_the_peer_as_it_is_and_its_best_variant(benchmark: ModuleType) -> None:
    found = {"mixexp": [8.0, 9.0, 10.0], benchmark.PEER: [1.0, 1.0, 1.0], "peer, 0 workers": [2.0, 3.0, 2.0]}
    own = {"peer": benchmark.PEER, "median": 9.0, "min": 8.0, "max": 10.0}
    best = {"peer": "peer, 0 workers", "median": 4.0, "min": 3.0, "max": 5.0}
    assert benchmark.versus_peer(found) == {"mixexp": {"own": own, "best": best}}


def test_json(
    benchmark: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(benchmark, "WORKERS", (0,))  # starting loader processes takes seconds
    monkeypatch.setattr(benchmark, "WARM_UP_STEPS", 1)
    monkeypatch.setattr(benchmark, "modes", lambda device: ["eager"])  # compiling takes seconds too
    best_of = benchmark.best_of
    monkeypatch.setattr(benchmark, "best_of", lambda action, seconds=0.5: best_of(action, seconds / 1000))
    monkeypatch.setattr(benchmark, "MODELS", {"small_cnn, width 4": ["model=small_cnn", "model.width=4"]})
    target = tmp_path / "figures.json"
    words = [
        "--seconds",
        "0.001",
        "--rounds",
        "2",
        "--threads",
        "1",
        "--parts",
        "input",
        "training",
        "--json",
        str(target),
    ]
    benchmark.main(words)
    found = json.loads(target.read_text())
    assert found.keys() == {"machine", "settings", "input", "training"}
    assert found["machine"].keys() >= {"cpu", "cores", "torch", "date", "load_average", "load_average_after"}
    assert found["settings"]["data"] == "synthetic 32x32 colour"
    for (row,), ours in (
        (found["input"], {"mixexp"}),
        (found["training"], {"mixexp eager, float32", "mixexp eager, bfloat16"}),
    ):
        assert row["threads"] == 1 and row["ratio"].keys() == ours
        assert row["images_per_second"].keys() == {*ours, "peer, 0 workers"}
        for figures in (*row["images_per_second"].values(), *(ratio["own"] for ratio in row["ratio"].values())):
            assert 0 < figures["min"] <= figures["median"] <= figures["max"]
    (row,) = found["training"]
    assert row["of_matmul_rate"].keys() == row["images_per_second"].keys() and all(
        part > 0 for part in row["of_matmul_rate"].values()
    )
    assert row["ceilings"].keys() == {"float32", "bfloat16", "copy"}
    shown = capsys.readouterr().out
    assert all(
        words in shown for words in ("synthetic", "small_cnn, width 4", "mixexp", "threads", "load average afterwards")
    )


def test_the_cost_of_a_run_is_what_a_slot_spends_beside_training(
    benchmark: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(benchmark, "SWEEP_SLOTS", (2,))
    (row,) = benchmark.sweep(runs=4, rounds=1)
    assert (row["slots"], row["runs"]) == (2, 4)
    wall, per_hour, cost, trained = (row[name]["median"] for name in list(row)[2:])
    assert (
        per_hour == pytest.approx(4 * 3600 / wall)
        and cost == pytest.approx(2 * wall / 4 - trained)
        and 0 < trained < wall
    )
    assert benchmark.shown(wall) in benchmark.as_table([row])


def test_operations_of_an_image_are_counted_by_hand(benchmark: ModuleType, config: dict) -> None:
    """Three convolutions of width 4, 8, 16 on 32, 16, 8 pixels and a head: 2 a multiplication; three passes, two for
    the first layer."""
    first, second, third = (2 * 9 * i * o * side**2 for i, o, side in ((3, 4, 32), (4, 8, 16), (8, 16, 8)))
    assert benchmark.operations(config) == 2 * first + 3 * (second + third + 2 * 16 * 10)


def test_an_update_is_timed_for_every_optimizer(benchmark: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        benchmark, "best_of", lambda action, seconds: (action(), 2.0 if "foreach" in repr(action.__self__) else 1.0)[1]
    )
    found = benchmark.optimizer_step(benchmark.parse(["--threads", "1", "--rounds", "1"]))
    assert [row["what"] for row in found] == [
        f"{m}, {o}" for m in ("cnn10", "preact_resnet18") for o in ("sgd", "adam")
    ]
    assert "ratio" in benchmark.optimizer_table(found)


def test_runs_at_once_are_measured_together(benchmark: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmark, "AT_ONCE", (1, 2))
    monkeypatch.setattr(benchmark, "modes", lambda device: ["eager"])
    found = benchmark.throughput(benchmark.argparse.Namespace(data="digits", **vars(benchmark.parse(["--steps", "8"]))))
    assert [row["at_once"] for row in found] == [1, 2] and all(row["images_per_second"] > 0 for row in found)
    assert found[0]["memory"] > 50 * 2**20
    assert "1.00" in benchmark.throughput_table(found)


def test_the_report_of_many_runs_is_measured_on_runs_that_it_reads(benchmark: ModuleType) -> None:
    found = benchmark.aggregate(30, 5)
    assert found["runs"] == 30 and 0 < found["tables"] < found["seconds"] < 60 and found["memory"] > 2**20


def test_stacked_runs_are_as_many_networks(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)
    import stacked_runs

    network = stacked_runs.Stacked(2, 4, runs=3).eval()
    images = torch.randn(5, 6, 8, 8)
    changed = images.clone()
    changed[:, 2:4] += 1
    with torch.no_grad():
        differs = (network(changed) != network(images)).any(2).any(0)
    assert differs.tolist() == [False, True, False], "a run sees its own images alone"
    stacked_runs.main(["--seconds", "0.01", "--eager"])
    printed = capsys.readouterr().out
    assert printed.count(", eager: ") == len(stacked_runs.CASES) and printed.count("a run's gradient among") == 2

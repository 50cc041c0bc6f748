"""What a machine cannot hold is refused with the setting and both numbers, before anything is allocated; such a cell
costs one row."""

from __future__ import annotations

import copy
import functools
import resource
from pathlib import Path
from typing import Any

import pytest
import torch
from commands import mixexp
from running import errors_of

from mixexp.build import build
from mixexp.plan.compose import compose
from mixexp.training import sizes
from mixexp.training.sizes import TooLargeLine

HAS = "this machine has 16.0 GiB"
NEVER = "too large; no memory can hold it"
SMALL = ("steps=2", "evaluations=1", "batch_size=8", "model.width=2", "device=cpu", "output_dir=out")


@functools.cache
def _composed(words: tuple[str, ...]) -> dict[str, Any]:
    return compose(words)


@pytest.fixture(autouse=True)
def _a_machine_of_known_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sizes, "memory", lambda device=None: 16 * 2**30)
    monkeypatch.setattr(sizes, "processors", lambda: 4)


def refusals(words: str) -> list[str]:
    return errors_of({**copy.deepcopy(_composed(tuple(words.split()))), "output_dir": ".", "device": "cpu"})


MLP, TABLE, GAME = "dataset=two_moons model=mlp", "dataset=grid model=mlp", "dataset=ring gan=code steps=3"


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("threads=100000", "threads = 100000: too large; this machine has 4 processors"),
        ("threads=5", "threads = 5: too large; this machine has 4 processors"),
        ("model.width=100000", f"model.width = 100000: too large; it needs 9.8 TiB of memory at least, and {HAS}"),
        ("model.width=1000000000000", f"model.width = 1000000000000: {NEVER}"),
        (f"model.width={10**30}", f"model.width = {10**30}: {NEVER}"),
        (f"{MLP} model.hidden=[100000,100000]", f"model.hidden = 100000: too large; it needs 111.9 GiB of memory at least, and {HAS}"),
        ("model=lenet model.hidden=1000000000", f"model.hidden = 1000000000: too large; it needs 2.8 TiB of memory at least, and {HAS}"),
        ("loss=affinity loss.centres=100000", f"loss.centres = 100000, batch_size = 128: too large; it needs 125.5 TiB of memory at least, and {HAS}"),
        (f"loss=joint loss.affinity.centres={10**18}", f"loss.affinity.centres = {10**18}: {NEVER}"),
        (f"{MLP} dataset.train_points={10**12}", f"dataset.train_points = {10**12}: too large; it needs 29.1 TiB of memory at least, and {HAS}"),
        (f"{TABLE} dataset.test_points={10**10}", f"dataset.test_points = {10**10}: too large; it needs 745.1 GiB of memory at least, and {HAS}"),
        (f"{TABLE} dataset.modes={10**12}", f"dataset.modes = {10**12}: too large; it needs 6.9e+06 EiB of memory at least, and {HAS}"),
        (f"{TABLE} dataset.modes=90000", f"dataset.modes = 90000: too large; it needs 60.3 GiB of memory at least, and {HAS}"),
        (f"{GAME} batch_size={10**9}", f"batch_size = {10**9}: too large; it needs 5.6 TiB of memory at least, and {HAS}"),
        (f"{GAME} gan.width=1000000", f"gan.width = 1000000: too large; it needs 29.1 TiB of memory at least, and {HAS}"),
        (f"{GAME} gan.samples={10**12}", f"gan.samples = {10**12}: too large; it needs 14.6 TiB of memory at least, and {HAS}"),
        (f"{GAME} gan.z_dim={10**9}", f"gan.z_dim = {10**9}: too large; it needs 13.3 TiB of memory at least, and {HAS}"),
    ],
)  # fmt: skip
def test_what_this_machine_cannot_hold_is_named_with_both_numbers(words: str, line: str) -> None:
    lines = refusals(words)
    assert lines == [line] and isinstance(lines[0], TooLargeLine)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (
            "augment=standard augment.shift=100000",
            "augment.shift = 100000: too large; the images have 8x8 pixels, so it can be 8 at most",
        ),
        (
            "augment=noise augment.base.shift=9",
            "augment.base.shift = 9: too large; the images have 8x8 pixels, so it can be 8 at most",
        ),
        (
            "model=wide_resnet28_10 model.depth=600000004",
            "model.depth = 600000004: needs a whole number from 10 to 2000",
        ),
        ("model=densenet_bc190 model.depth=6000004", "model.depth = 6000004: needs a whole number from 10 to 2000"),
        (f"{GAME} gan.hidden_layers=1000000", "gan.hidden_layers = 1000000: needs a whole number from 1 to 1000"),
        (f"steps={10**30}", f"steps = {10**30}: needs a whole number from 1 to 2**63-1, or null"),
        (f"evaluations={10**30}", f"evaluations = {10**30}: needs a whole number from 1 to 2**63-1"),
    ],
)
def test_where_a_bound_is_known_it_is_named(words: str, line: str) -> None:
    assert refusals(words) == [line]


@pytest.mark.parametrize(
    "words",
    ["threads=4", "batch_size=1000000000", "evaluations=1000000000", "steps=1000000000000", "augment=standard augment.shift=8", "model.width=512",
     "loss.class_weights=none mix=mixup mix.step_size=1000000000 batch_size=1000000000", f"{GAME} gan.width=4096"],
)  # fmt: skip
def test_what_can_run_is_let_run(words: str) -> None:
    assert refusals(words) == []


def test_a_games_parameters_are_counted_as_its_networks_have_them() -> None:
    game = build(
        _composed(("gan=code", "dataset=ring", "steps=3", "gan.z_dim=5", "gan.hidden_layers=4", "gan.width=7"))["gan"]
    )
    made = [sum(parameter.numel() for parameter in network.parameters()) for network in game.networks(2)]
    assert [game.parameters(5, 2), game.parameters(2, 1)] == made


def test_a_batch_counts_by_the_rows_it_is_cut_from(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sizes, "memory", lambda device=None: 60 * 2**20)
    (line,) = refusals("model.width=64 batch_size=1024")
    assert line.startswith("batch_size = 1024: too large; it needs ")
    assert refusals("model.width=64 batch_size=1024 subset=head subset.n=32") == []


def test_what_another_machine_trains_needs_no_place_here() -> None:
    config = {**_composed(("threads=100000", "model.width=100000")), "output_dir": "."}
    assert errors_of(config, here=False) == []


# --- what a machine has ---


def test_memory_is_that_of_the_machine_within_its_limits(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.undo()
    (tmp_path / "limit").write_text(f"{3 * 2**30}\n")
    (tmp_path / "none").write_text("max\n")
    monkeypatch.setattr(sizes, "CGROUP_LIMITS", (tmp_path / "none", tmp_path / "absent"))
    everything = sizes.memory()
    assert 2**28 < everything < 2**50
    monkeypatch.setattr(sizes, "CGROUP_LIMITS", (tmp_path / "limit",))
    assert sizes.memory() == min(everything, 3 * 2**30)
    monkeypatch.setattr(
        sizes.resource,
        "getrlimit",
        lambda kind: (2**30 if kind == resource.RLIMIT_AS else resource.RLIM_INFINITY, resource.RLIM_INFINITY),
    )
    assert sizes.memory() == 2**30
    monkeypatch.delattr(sizes, "resource")  # as on Windows
    assert sizes.memory() == min(everything, 3 * 2**30)


@pytest.mark.parametrize(
    ("size", "words"),
    [(12, "12 bytes"), (1536, "1.5 KiB"), (16 * 2**30, "16.0 GiB"), (5 * 2**60, "5.0 EiB"), (1e30, "8.7e+11 EiB")],
)
def test_a_size_in_words(size: float, words: str) -> None:
    assert sizes.in_words(size) == words


@pytest.mark.parametrize(
    ("error", "raised", "says"),
    [
        (MemoryError(), sizes.TooLarge, "model.a = 1000000: too large; this machine has 16.0 GiB of memory"),
        (
            OverflowError("int too large to convert"),
            sizes.TooLarge,
            "model.a = 1000000: too large; no memory can hold it",
        ),
        (
            RuntimeError("Storage size calculation overflowed"),
            sizes.TooLarge,
            "model.a = 1000000: too large; no memory can hold it",
        ),
        (RuntimeError("mat1 and mat2 shapes"), RuntimeError, "mat1 and mat2 shapes"),
    ],
)
def test_a_librarys_error_about_a_size_is_the_settings(error: Exception, raised: type, says: str) -> None:
    with pytest.raises(raised) as caught, sizes.bounded({"a": 10**6, "b": {"c": 20_000}, "split_seed": 10**9}, "model"):
        raise error
    assert str(caught.value) == says


def test_only_what_a_pass_keeps_is_counted_and_once() -> None:
    with torch.device("meta"):
        layer = torch.nn.Linear(3, 5)
        kept = sizes.SavedTensors(layer.parameters())
        with kept.counting():
            layer(torch.zeros(2, 3)).relu().square()
    assert kept.bytes == 4 * (2 * 3 + 2 * 5), "the input and the ReLU's output, which both layers behind it keep"


# --- whole commands ---


def test_a_cell_that_is_too_large_costs_one_row_and_the_others_run(tmp_path: Path) -> None:
    done = mixexp("-m", *SMALL, "model.width=2,1000000,3", cwd=tmp_path)
    assert done.returncode == 1
    assert "2 runs, 2 done" in done.stdout
    first, second = done.stderr.splitlines()
    assert first.startswith("mixexp: left out: model.width = 1000000: too large; it needs ")
    assert second.startswith("    in 1 of 3 cells, first: ") and "model.width=1000000" in second
    assert len(list((tmp_path / "out" / "runs").glob("*/result.json"))) == 2


def test_where_every_cell_is_too_large_nothing_starts(tmp_path: Path) -> None:
    done = mixexp("-m", *SMALL, "model.width=1000000,2000000", cwd=tmp_path)
    assert done.returncode == 2 and done.stderr.startswith("mixexp: model.width = 1000000: too large")
    assert list(tmp_path.iterdir()) == []


def test_a_single_run_that_is_too_large_is_refused(tmp_path: Path) -> None:
    done = mixexp(*SMALL, "threads=100000", cwd=tmp_path)
    assert done.returncode == 2 and done.stderr.startswith("mixexp: threads = 100000: too large; this machine has ")
    assert list(tmp_path.iterdir()) == []

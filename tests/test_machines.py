"""What a machine has not: instructions, a compiler, /proc; commands run without, and say what they do without."""

from __future__ import annotations

import math
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from commands import new_mixexp
from running import errors_of

from mixexp import errors
from mixexp.plan.compose import compose
from mixexp.sweeping.pool import slots_for
from mixexp.training import device, sizes
from mixexp.training.spec import RunConfig

NOTE = (
    "precision = bfloat16: this processor has no bfloat16 instructions, and trains slower in it than with"
    " precision=float32"
)
CAPPED = {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41"}
"""torch's own code and oneDNN's for the least of processors."""


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "benchmarks")
    import benchmark

    return benchmark


def answers(monkeypatch: pytest.MonkeyPatch, machine: str = "x86_64", **told: bool | None) -> None:
    """torch says so of the processor; None: it has no such function."""
    monkeypatch.setattr(device.platform, "machine", lambda: machine)
    for name in ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA"):
        monkeypatch.delenv(name, raising=False)
    for place, name in (
        (torch.ops.mkldnn, "_is_mkldnn_bf16_supported"),
        (torch.cpu, "_is_avx512_bf16_supported"),
        (torch.cpu, "_is_amx_tile_supported"),
    ):
        answer = told.get(name.strip("_"))
        monkeypatch.setattr(place, name, None if answer is None else lambda answer=answer: answer, raising=False)


@pytest.mark.parametrize(
    ("machine", "told", "expected"),
    [
        ("x86_64", {"is_mkldnn_bf16_supported": True, "is_avx512_bf16_supported": True}, True),
        (
            "AMD64",
            {"is_mkldnn_bf16_supported": True, "is_avx512_bf16_supported": False, "is_amx_tile_supported": True},
            True,
        ),
        (
            "x86_64",
            {"is_mkldnn_bf16_supported": True, "is_avx512_bf16_supported": False},
            False,
        ),  # AVX-512 alone converts every number
        ("x86_64", {"is_mkldnn_bf16_supported": False, "is_avx512_bf16_supported": True}, False),
        ("aarch64", {"is_mkldnn_bf16_supported": True}, True),
        ("aarch64", {"is_mkldnn_bf16_supported": False}, False),
        ("x86_64", {}, False),
    ],
)
def test_whether_a_processor_has_bfloat16(
    monkeypatch: pytest.MonkeyPatch, machine: str, told: dict[str, bool], expected: bool
) -> None:
    answers(monkeypatch, machine, **told)
    assert device.has_bfloat16() is expected


@pytest.mark.parametrize(
    ("cap", "expected"),
    [("AVX2", False), ("sse41", False), ("AVX512_CORE", False), ("AVX512_CORE_AMX", True), ("ALL", True)],
)
def test_a_cap_on_onednn_counts(monkeypatch: pytest.MonkeyPatch, cap: str, expected: bool) -> None:
    answers(monkeypatch, is_mkldnn_bf16_supported=True, is_avx512_bf16_supported=True)
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", cap)
    assert device.has_bfloat16() is expected


@pytest.mark.parametrize(
    ("precision", "has", "notes"),
    [("bfloat16", False, [NOTE]), ("bfloat16", True, []), ("float32", False, []), ("auto", False, [])],
)
def test_bfloat16_without_instructions_is_said_before_work_starts(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture,
    precision: str,
    has: bool,
    notes: list[str],
) -> None:
    monkeypatch.setattr(device, "has_bfloat16", lambda: has)
    monkeypatch.chdir(tmp_path)
    errors.note.cache_clear()
    config = {**compose(["output_dir=."]), "precision": precision, "device": "cpu"}
    assert errors_of(config) == errors_of(config) == []
    assert capsys.readouterr().err.splitlines() == [f"note: {text}" for text in notes]


def test_a_run_in_bfloat16_trains_with_the_least_instructions(tmp_path: Path) -> None:
    words = (
        "precision=bfloat16",
        "mix=mixup",
        "model.width=4",
        "steps=2",
        "evaluations=1",
        "device=cpu",
        f"output_dir={tmp_path}/out",
    )
    done = new_mixexp(*words, cwd=tmp_path, **CAPPED)
    assert done.returncode == 0 and "finished, accuracy" in done.stdout, done.stderr
    assert [line for line in done.stderr.splitlines() if line.startswith("note: ")] == [f"note: {NOTE}"]


# --- the benchmark ---


@pytest.mark.parametrize("takes", [0.02, 0.0])
def test_an_action_that_outlasts_its_time_has_one(benchmark: ModuleType, takes: float) -> None:
    found = benchmark.best_of(lambda: time.sleep(takes), seconds=0.001)
    assert takes <= found < math.inf


def test_the_benchmark_says_what_it_leaves_out(
    benchmark: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(benchmark, "STATUS", tmp_path / "no proc")
    monkeypatch.setenv("CXX", "no-such-compiler")
    why = "only Linux's /proc says how much memory it uses"
    compiler = "no C++ compiler (g++, or what CXX names)"
    assert benchmark.left_out("cpu", benchmark.PARTS) == {"compiled": compiler, "throughput": why, "aggregate": why}
    assert benchmark.left_out("cpu", ["input"]) == {"compiled": compiler}
    monkeypatch.setattr(benchmark, "STATUS", tmp_path)
    assert benchmark.left_out("cuda", benchmark.PARTS) == {}


# --- processors ---


@pytest.mark.parametrize(
    ("text", "period", "expected"),
    [
        ("150000 100000", None, 2),
        ("50000 100000", None, 1),
        ("max 100000", None, 8),
        ("300000", "100000", 3),
        ("-1", "100000", 8),
        ("", None, 8),
    ],
)
def test_a_containers_share_of_the_processors_counts(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str, period: str | None, expected: int
) -> None:
    (tmp_path / "quota").write_text(text)
    (tmp_path / "period").write_text(period or "")
    monkeypatch.setattr(
        sizes,
        "CGROUP_QUOTAS",
        ((tmp_path / "quota", tmp_path / "period" if period else None), (tmp_path / "none", None)),
    )
    monkeypatch.setattr(sizes.os, "sched_getaffinity", lambda _: range(8), raising=False)
    assert sizes.usable_processors() == expected


def test_slots_are_no_more_than_the_processors_or_the_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    config: dict[str, Any] = {"threads": 2, "device": "cpu", "runs_per_device": "auto"}
    monkeypatch.setattr("mixexp.sweeping.pool.usable_processors", lambda: 5)
    assert slots_for([RunConfig.of(config)] * 9) == ["cpu"] * 2
    assert slots_for([RunConfig.of({**config, "runs_per_device": 10**12})] * 3) == ["cpu"] * 3

"""The device, autocast and memory layout of a run, described in its record and compared with its checkpoint's."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from mixexp.build.wording import head, typed
from mixexp.errors import UserError
from mixexp.text import resembling
from mixexp.training.checkpoint import code_hash
from mixexp.training.folder import processor
from mixexp.training.spec import RunConfig

NAMES = r"auto|cpu|mps|cuda(:\d+)?"
"""The names of devices on any machine."""


@dataclass(frozen=True)
class Execution:
    """The device, the precision of the forward pass (bfloat16 or not), and the memory layout of images and weights."""

    device: torch.device
    bfloat16: bool
    memory_format: torch.memory_format

    def autocast(self) -> torch.autocast:
        """The autocast context of a forward pass; parameters and their updates stay float32."""
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.bfloat16)


def available() -> list[str]:
    """Names that `device` may have on this machine, fastest first."""
    cuda = ["cuda", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))] if torch.cuda.is_available() else []
    mps = ["mps"] if torch.backends.mps.is_available() else []
    return [*cuda, *mps, "cpu"]


def unknown_device(name: str) -> str:
    """The message about a device that this machine lacks, with the likely one; empty where it has the device."""
    devices = available()
    if name in ("auto", *devices):
        return ""
    wish = re.fullmatch(r"(gpu|cuda|nvidia|mps|metal|apple|)[ :_-]*(\d*)", name.strip().lower())
    maker, number = wish.groups() if wish else ("", "")
    near = [f"cuda:{number}" if number else "cuda", "cuda"] if maker in ("gpu", "cuda", "nvidia", "") else ["mps"]
    near += ["mps"] * (maker == "gpu")
    there = [meant for meant in near if meant in devices] if wish else resembling(name, ["auto", *devices])
    hint = (
        f" Did you mean {typed('device', there[0])}?"
        if there
        else " 'device=auto' takes the fastest there is."
        if wish
        else ""
    )
    gpu = " (a GPU is cuda)" if maker in ("gpu", "nvidia") else ""
    return (
        f"{head('device', name)}needs auto, cpu, cuda{gpu}, cuda:N or mps; this machine has {', '.join(devices)}.{hint}"
    )


def execution(config: RunConfig) -> Execution:
    """The device, precision and layout of a configuration on this machine; raises UserError for a device it lacks.

    "auto" is CUDA when present, else Apple's MPS, else the CPU; bfloat16 on CUDA alone; channels_last everywhere but on
    MPS.
    """
    devices = available()
    name = devices[0] if config.device == "auto" else config.device
    if problem := unknown_device(name):
        raise UserError(problem)
    device = torch.device(name)
    bfloat16 = device.type == "cuda" if config.precision == "auto" else config.precision == "bfloat16"
    channels_last = device.type != "mps" if config.channels_last == "auto" else config.channels_last
    return Execution(device, bfloat16, torch.channels_last if channels_last else torch.contiguous_format)


def precision_note(config: RunConfig) -> str | None:
    """A note on the precision on this machine, None where there is nothing to note.

    config: one that `execution` accepts.
    """
    run = execution(config)
    if not run.bfloat16 or run.device.type != "cpu" or has_bfloat16():
        return None
    return (
        "precision = bfloat16: this processor has no bfloat16 instructions, and trains slower in it than with"
        " precision=float32"
    )


def has_bfloat16() -> bool:
    """True if oneDNN, which computes products and convolutions on the CPU, has bfloat16 instructions and may use them.

    On x86 oneDNN also accepts bfloat16 on processors that have AVX-512 alone, where it converts every number; so the
    processor's own instructions are checked too. A fact that a build of torch cannot report counts as no.
    """
    cap = next(
        (os.environ[name].upper() for name in ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA") if os.environ.get(name)), "ALL"
    )
    if not any(word in cap for word in ("ALL", "DEFAULT", "BF16", "FP16", "AMX", "AVX10")):
        return False
    onednn = _says(getattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", None))
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return onednn
    return onednn and any(
        _says(getattr(torch.cpu, name, None)) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    )


def _says(question: Any) -> bool:
    """The answer of one of torch's private functions; False where this build lacks it."""
    try:
        return question is not None and bool(question())
    except (RuntimeError, AttributeError, NotImplementedError):
        return False


def describe(run: Execution) -> dict[str, Any]:
    """The facts for environment.json: the device with its name, threads, precision and memory layout."""
    return {
        "device": str(run.device),
        "device_name": torch.cuda.get_device_name(run.device) if run.device.type == "cuda" else processor(),
        "threads": torch.get_num_threads(),
        "bfloat16": run.bfloat16,
        "channels_last": run.memory_format == torch.channels_last,
    }


def compatibility_key(run: Execution, own_code: Mapping[str, str]) -> dict[str, Any]:
    """The facts that must be the same for a continued run to give the numbers of an uninterrupted one.

    own_code: hashes by module.
    """
    # another CPU model may sum in another order
    computer = processor() if run.device.type == "cpu" else run.device.type
    versions = {"torch": str(torch.__version__), "numpy": np.__version__, "code": code_hash(own_code)}
    return {**versions, "device": computer, "bfloat16": run.bfloat16}


def make_deterministic(device: torch.device) -> None:
    """Forbid choices by timing, and sums in the order in which threads finish."""
    torch.backends.cudnn.deterministic = True
    if device.type == "cuda":
        os.environ.setdefault(
            "CUBLAS_WORKSPACE_CONFIG", ":4096:8"
        )  # fixed workspaces, read when the first product is formed
        torch.use_deterministic_algorithms(True, warn_only=True)  # a network may need what has no such form
        deterministic: Any = torch.utils.deterministic  # torch gives this module its class at run time
        deterministic.fill_uninitialized_memory = False  # a check for errors that costs a pass over all memory

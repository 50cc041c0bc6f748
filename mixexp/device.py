"""Where and how a run computes: device, autocast and memory layout."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from mixexp.errors import UserError
from mixexp.text import resembling
from mixexp.wording import head, typed

NAMES = r"auto|cpu|mps|cuda(:\d+)?"
"""What a device can be called on some machine."""


@dataclass(frozen=True)
class Execution:
    """The device, whether the forward pass runs in bfloat16, and the memory layout of images and weights."""

    device: torch.device
    bfloat16: bool
    memory_format: torch.memory_format

    def autocast(self) -> torch.autocast:
        """The context of a forward pass; parameters and their updates stay float32."""
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.bfloat16)


def available() -> list[str]:
    """Names that `device` may have on this machine, fastest first."""
    cuda = ["cuda", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))] if torch.cuda.is_available() else []
    mps = ["mps"] if torch.backends.mps.is_available() else []
    return [*cuda, *mps, "cpu"]


def unknown_device(name: str) -> str:
    """What to say of a device that this machine has not, with the one that is meant perhaps; empty where it has it."""
    found = available()
    if name in ("auto", *found):
        return ""
    wish = re.fullmatch(r"(gpu|cuda|nvidia|mps|metal|apple|)[ :_-]*(\d*)", name.strip().lower())
    maker, number = wish.groups() if wish else ("", "")
    near = [f"cuda:{number}" if number else "cuda", "cuda"] if maker in ("gpu", "cuda", "nvidia", "") else ["mps"]
    near += ["mps"] * (maker == "gpu")
    there = [meant for meant in near if meant in found] if wish else resembling(name, ["auto", *found])
    hint = f" Did you mean {typed('device', there[0])}?" if there else " 'device=auto' takes the fastest there is." if wish else ""
    gpu = " (a GPU is cuda)" if maker in ("gpu", "nvidia") else ""
    return f"{head('device', name)}needs auto, cpu, cuda{gpu}, cuda:N or mps; this machine has {', '.join(found)}.{hint}"


def execution(config: Mapping[str, Any]) -> Execution:
    """How a configuration computes on this machine; raises UserError for a device that is not there.

    "auto" is CUDA when present, else Apple's MPS, else the CPU; bfloat16 on CUDA alone; channels_last everywhere but on MPS.
    """
    found = available()
    name = found[0] if config["device"] == "auto" else config["device"]
    if problem := unknown_device(name):
        raise UserError(problem)
    device = torch.device(name)
    bfloat16 = device.type == "cuda" if config["precision"] == "auto" else config["precision"] == "bfloat16"
    channels_last = device.type != "mps" if config["channels_last"] == "auto" else config["channels_last"]
    return Execution(device, bfloat16, torch.channels_last if channels_last else torch.contiguous_format)

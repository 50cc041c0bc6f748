"""Where and how a run computes: device, autocast and memory layout."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from mixexp.errors import UserError


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


def execution(config: Mapping[str, Any]) -> Execution:
    """How a configuration computes on this machine; raises UserError for a device that is not there.

    "auto" is CUDA when present, else Apple's MPS, else the CPU; bfloat16 on CUDA alone; channels_last everywhere but on MPS.
    """
    found = available()
    name = found[0] if config["device"] == "auto" else config["device"]
    if name not in found:
        raise UserError(f"device = {name!r}: this machine has {', '.join(found)}")
    device = torch.device(name)
    bfloat16 = device.type == "cuda" if config["precision"] == "auto" else config["precision"] == "bfloat16"
    channels_last = device.type != "mps" if config["channels_last"] == "auto" else config["channels_last"]
    return Execution(device, bfloat16, torch.channels_last if channels_last else torch.contiguous_format)

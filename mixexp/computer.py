"""What a run is computed by: told in its record, and compared before its checkpoint is used."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch

from mixexp.checkpoint import code_hash
from mixexp.device import Execution
from mixexp.record import processor


def told(run: Execution) -> dict[str, Any]:
    """For environment.json: the device with its name, threads, precision and memory layout."""
    return {
        "device": str(run.device),
        "device_name": torch.cuda.get_device_name(run.device) if run.device.type == "cuda" else processor(),
        "threads": torch.get_num_threads(),
        "bfloat16": run.bfloat16,
        "channels_last": run.memory_format == torch.channels_last,
    }


def made_by(run: Execution, trusted: Iterable[str]) -> dict[str, Any]:
    """What must be the same for a continued run to give the numbers of an uninterrupted one."""
    computer = processor() if run.device.type == "cpu" else run.device.type  # another CPU model may add up in another order
    versions = {"torch": str(torch.__version__), "numpy": np.__version__, "code": code_hash(trusted)}
    return {**versions, "device": computer, "bfloat16": run.bfloat16}

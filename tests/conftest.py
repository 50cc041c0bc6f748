from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported: tests run two at a time on two cores

import torch

torch.set_num_threads(1)

# a shell starts so what is to run in the background, and the commands that tests interrupt would inherit it
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder with the real data sets, or a skip that says how to have it."""
    folder = Path(os.environ.get("MIXEXP_DATA", "data"))
    if not (folder / "cifar-10-batches-py").is_dir() or not (folder / "MNIST").is_dir():
        pytest.skip("no real CIFAR-10 and MNIST: set MIXEXP_DATA to the folder that has them")
    return folder.absolute()

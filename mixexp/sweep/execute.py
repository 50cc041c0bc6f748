"""One run in this process: claimed, trained to its end, its failure kept."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import Any

import torch
from filelock import FileLock, Timeout

from mixexp.errors import UserError
from mixexp.record import RunFolder
from mixexp.sweep.plan import Run
from mixexp.train import Progress, train


def execute(run: Run, on_progress: Callable[[Progress], None]) -> dict[str, Any]:
    """Train a run unless its folder says it is finished, and return its result; raises what the training raised.

    The traceback is kept in the folder's error.txt. A folder that another live process works on is refused with UserError; the
    claim is a file lock, so it dies with its process.
    """
    folder = RunFolder(run.folder)
    run.folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(run.folder / ".lock", timeout=0):
            done = folder.result()
            if done is not None:
                return done
            torch.set_num_threads(run.config["threads"])
            torch.backends.cudnn.deterministic = True
            try:
                for progress in train(run.config, folder, run.differs_from_experiment):
                    on_progress(progress)
            except Exception:
                folder.fail(traceback.format_exc())
                raise
            return folder.result()
    except Timeout:
        raise UserError(f"{run.folder}: another process is working on this run") from None

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from mixexp.logger import Logger, Outcome, Row, RunInfo

FINISH_SECONDS = 60.0


class WandB(Logger):
    """Weights & Biases: a run with the id run_id in the project `name`, offline unless asked otherwise, in the run's
    folder wandb/.

    mode: offline writes files, which `wandb sync outputs/<name>/*/wandb/offline-run-*` sends when you like; online
    sends as it goes, with your login. entity: the user or team, null for your own. Offline, a run that goes on is
    written anew from its rows; online, what the server has is kept, and what it has not is sent.
    """

    extra = "wandb"
    packages = ("wandb",)

    def __init__(
        self, mode: Literal["offline", "online"] = "offline", entity: Annotated[str, Field(min_length=1)] | None = None
    ) -> None:
        self._mode: Literal["offline", "online"] = mode
        self._entity = entity

    def start(self, info: RunInfo, rows: Sequence[Row]) -> None:
        os.environ.setdefault(
            "WANDB_ERROR_REPORTING", "false"
        )  # its own faults would go to its makers over the network, offline too
        import wandb

        if self._mode == "offline":
            for old in (info.folder / "wandb").glob(f"offline-run-*-{info.run_id}"):
                shutil.rmtree(old)
        self._run = wandb.init(
            project=info.project,
            entity=self._entity,
            id=info.run_id,
            name=info.label,
            dir=str(info.folder),
            mode=self._mode,
            resume="allow",
            reinit="create_new",  # several runs at once in a process
            config=dict(info.settings),
            settings=wandb.Settings(
                console="off",
                silent=True,
                disable_git=True,
                disable_code=True,
                x_disable_stats=True,
                finish_timeout=FINISH_SECONDS,
            ),
        )
        for row in rows:
            if row["step"] >= self._run.starting_step:
                self.row(row)

    def row(self, row: Row) -> None:
        self._run.log(
            {name: value for name, value in row.items() if name != "step"}, step=int(row["step"]), commit=True
        )

    def end(self, outcome: Outcome) -> None:
        self._run.summary["outcome"] = outcome
        self._run.finish(exit_code=0 if outcome in ("finished", "diverged") else 1)

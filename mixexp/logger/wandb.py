from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from mixexp.logger import Logger, Outcome, Row, RunInfo

FINISH_SECONDS = 60.0


class WandB(Logger):
    """Weights & Biases: a run with the id run_id in the project `name`, by default offline, in the folder wandb/.

    mode: offline, files in the run's folder, which `wandb sync outputs/<name>/*/wandb/offline-run-*` sends later;
    online, sends during the run, with your login; entity: the user or team, null for your own.
    Offline, a resumed run is written anew from its rows; online, the server's rows are kept and only missing ones sent.
    """

    extra = "wandb"
    packages = ("wandb",)

    def __init__(
        self, mode: Literal["offline", "online"] = "offline", entity: Annotated[str, Field(min_length=1)] | None = None
    ) -> None:
        self._mode: Literal["offline", "online"] = mode
        self._entity = entity

    def start(self, info: RunInfo, rows: Sequence[Row]) -> None:
        # W&B would send reports of its own errors to its makers, even offline
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
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
            reinit="create_new",  # for several runs at once in a process
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

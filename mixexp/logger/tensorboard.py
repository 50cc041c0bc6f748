from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mixexp.logger import Logger, Outcome, Row, RunInfo


class TensorBoard(Logger):
    """Event files in the run's folder tensorboard/: curves of all columns, settings as text and hyper-parameters.

    `tensorboard --logdir outputs/<name>` shows a sweep. Values are float32, as TensorBoard's scalars are. A resumed run
    is written anew from its rows, so that its curve has no gap and no point twice.
    """

    extra = "tensorboard"
    packages = ("tensorboard",)

    def start(self, info: RunInfo, rows: Sequence[Row]) -> None:
        from torch.utils.tensorboard import SummaryWriter

        folder = info.folder / "tensorboard"
        for old in folder.glob("events.out.tfevents.*"):
            old.unlink()
        self._writer: Any = SummaryWriter(str(folder))  # Any, because its file_writer is None once it is closed
        self._info, self._session_end = info, None
        lines = [f"| {key} | {str(value).replace('|', chr(92) + '|')} |" for key, value in info.settings.items()]
        self._writer.add_text("settings", "\n".join(["| setting | value |", "|---|---|", *lines]))
        for row in rows:
            self._write(row)
        self._writer.flush()

    def row(self, row: Row) -> None:
        self._write(row)
        self._writer.flush()  # shows errors of its thread here, not minutes later

    def end(self, outcome: Outcome) -> None:
        if self._session_end is not None and outcome in ("finished", "diverged"):
            self._writer.file_writer.add_summary(self._session_end)
        self._writer.close()

    def _write(self, row: Row) -> None:
        if self._session_end is None:
            self._describe(row)
        for name, value in row.items():
            if name != "step":
                self._writer.add_scalar(
                    name, value, int(row["step"]), walltime=self._info.began + row.get("seconds", 0.0)
                )

    def _describe(self, row: Row) -> None:
        """Write the hyper-parameters and the columns that measure them; SummaryWriter.add_hparams adds another run."""
        from torch.utils.tensorboard.summary import hparams

        plain: dict[str, Any] = {
            key: value if isinstance(value, bool | int | float | str) else str(value)
            for key, value in self._info.settings.items()
        }
        *beginning, self._session_end = hparams(plain, {name: value for name, value in row.items() if name != "step"})
        for summary in beginning:
            self._writer.file_writer.add_summary(summary)

"""A run's folder that also passes its rows to a logger once they are on disk; the loop treats it as any other."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, cast

from mixexp.logger import Logger, Outcome, Row, RunInfo, Several
from mixexp.settings import flatten
from mixexp.training.folder import RunFolder
from mixexp.training.spec import RunConfig


@contextlib.contextmanager
def logged(path: Path, config: RunConfig, note: Callable[[str], None]) -> Iterator[RunFolder]:
    """A run's folder with its configuration's logger, which gets an interruption if the context ends before the run."""
    if config.logger is None:
        yield RunFolder(path, note)
        return
    logger = Several(chosen=config.build("logger"))  # a logger's error does not stop the run
    folder = _LoggedFolder(path, note, logger, flatten(config.values))
    try:
        yield folder
    finally:
        folder.end("interrupted")


def run_info(
    folder: Path,
    settings: Mapping[str, Any],
    environment: Mapping[str, Any],
    rows: Sequence[Row],
    note: Callable[[str], None],
) -> RunInfo:
    """The facts that a logger gets about a run with these rows, without the logger's own settings.

    Its settings may hold private data such as a server's address.
    """
    logged_settings = {key: value for key, value in settings.items() if key.partition(".")[0] != "logger"}
    started = datetime.strptime(environment["started"], "%Y-%m-%dT%H:%M:%S%z").timestamp()
    before = [row["seconds"] for row in rows if row["step"] <= environment.get("continued_at_step", 0)]
    return RunInfo(folder, logged_settings, environment, started - max(before, default=0.0), note)


class _LoggedFolder(RunFolder):
    """A folder that reports every row to a logger after it is written, and the first end."""

    def __init__(self, path: Path, note: Callable[[str], None], logger: Logger, settings: Mapping[str, Any]) -> None:
        super().__init__(path, note)
        self._logger, self._settings = logger, settings
        self._open = False

    def start(
        self, config: Mapping[str, Any], environment: Mapping[str, Any], *arguments: Any, **keywords: Any
    ) -> None:
        super().start(config, environment, *arguments, **keywords)
        self._open = True
        self._logger.start(run_info(self.path, self._settings, environment, self.rows, self.note), list(self.rows))

    def append(self, row: Mapping[str, float]) -> None:
        super().append(row)
        self._logger.row(row)

    def finish(self, outcome: str, seconds: float, **facts: Any) -> dict[str, Any]:
        result = super().finish(outcome, seconds, **facts)
        self.end(cast("Outcome", outcome))
        return result

    def fail(self, reason: str) -> None:
        super().fail(reason)
        self.end("failed")

    def end(self, outcome: Outcome) -> None:
        """Report the end to the logger, once."""
        if self._open:
            self._open = False
            self._logger.end(outcome)

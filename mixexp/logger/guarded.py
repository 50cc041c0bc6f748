from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence

from mixexp.logger import Logger, Outcome, Row, RunInfo


class Guarded(Logger):
    """A logger whose first error is said, and is its last: the run goes on without it."""

    def __init__(self, logger: Logger) -> None:
        self._logger = logger
        self._note: Callable[[str], None] = print
        self._on = True

    def check(self) -> None:
        self._logger.check()

    def start(self, info: RunInfo, rows: Sequence[Row]) -> None:
        self._note = info.note
        self._attempt(lambda: self._logger.start(info, rows))

    def row(self, row: Row) -> None:
        self._attempt(lambda: self._logger.row(row))

    def end(self, outcome: Outcome) -> None:
        self._attempt(lambda: self._logger.end(outcome))

    def _attempt(self, action: Callable[[], None]) -> None:
        if not self._on:
            return
        try:
            action()
        except (Exception, SystemExit) as error:
            self._on = False
            reason = f"{type(error).__name__}: {next(iter(str(error).splitlines()), '')}".rstrip(": ")[:300]
            self._note(f"logger: {reason}; the run goes on without, and 'mixexp log' logs it when it is over")
            with contextlib.suppress(Exception, SystemExit):  # what it holds open
                self._logger.end("interrupted")

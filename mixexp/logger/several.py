from __future__ import annotations

from collections.abc import Sequence

from mixexp.logger import Logger, Outcome, Row, RunInfo
from mixexp.logger.guarded import Guarded


class Several(Logger):
    """Several loggers, each under a name of its own; what is wrong with one touches no other."""

    def __init__(self, **loggers: Logger) -> None:
        if not loggers:
            raise ValueError("logger: names no logger that it is made of")
        self._loggers = [Guarded(logger) for logger in loggers.values()]

    def check(self) -> None:
        for logger in self._loggers:
            logger.check()

    def start(self, info: RunInfo, rows: Sequence[Row]) -> None:
        for logger in self._loggers:
            logger.start(info, rows)

    def row(self, row: Row) -> None:
        for logger in self._loggers:
            logger.row(row)

    def end(self, outcome: Outcome) -> None:
        for logger in self._loggers:
            logger.end(outcome)

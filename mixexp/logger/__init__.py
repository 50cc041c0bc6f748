"""Contract of the logger group: mirrors of a run's evaluations after they are on disk; metrics.csv is the record."""

from __future__ import annotations

import abc
import contextlib
import importlib.util
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from mixexp.errors import UserError

Row = Mapping[str, float]
"""A line of metrics.csv: column → value; a column without a value is left out."""

Outcome = Literal["finished", "diverged", "failed", "interrupted"]


@dataclass(frozen=True)
class RunInfo:
    """A run as loggers see it.

    folder: <output_dir>/<name>/<run_id>; settings: the configuration as dotted keys, with the option's name under a
    group's key; environment: content of environment.json; began: seconds since 1970, to which a row's `seconds` are
    added for its time, whatever pauses there were; note: prints a line for the user.
    """

    folder: Path
    settings: Mapping[str, Any]
    environment: Mapping[str, Any]
    began: float
    note: Callable[[str], None]

    @property
    def run_id(self) -> str:
        """Name of the run's folder."""
        return self.folder.name

    @property
    def project(self) -> str:
        """Project of the run: the setting `name`."""
        return str(self.settings.get("name") or self.folder.parent.name)

    @property
    def label(self) -> str:
        """Label of the run."""
        return str(self.environment.get("label") or self.run_id)


class Logger(abc.ABC):
    """A tool that shows curves. An object logs one run; an exception that it raises never stops the run."""

    extra: str = ""
    """Extra of the installation with its packages, as in mixexp[extra]."""
    packages: tuple[str, ...] = ()
    """Packages that it imports when a run starts, and not before."""

    def check(self) -> None:
        """Raise UserError if a package is not installed."""
        missing = [name for name in self.packages if importlib.util.find_spec(name) is None]
        if missing:
            raise UserError(
                f"logger: it needs {', '.join(missing)}, not installed here; pip install 'mixexp[{self.extra}]'"
            )

    @abc.abstractmethod
    def start(self, info: RunInfo, rows: Sequence[Row]) -> None:
        """Begin or continue a run: afterwards exactly these rows are logged, each once."""

    @abc.abstractmethod
    def row(self, row: Row) -> None:
        """Log one more evaluation."""

    @abc.abstractmethod
    def end(self, outcome: Outcome) -> None:
        """Close the run, or this attempt at it."""


class Several(Logger):
    """Several named loggers; one that fails is reported once and dropped, while the run and the others go on."""

    def __init__(self, **loggers: Logger) -> None:
        if not loggers:
            raise ValueError("logger: names no logger that it is made of")
        self._loggers = list(loggers.values())
        self._note: Callable[[str], None] = print

    def check(self) -> None:
        for logger in self._loggers:
            logger.check()

    def start(self, info: RunInfo, rows: Sequence[Row]) -> None:
        self._note = info.note
        self._each(lambda logger: logger.start(info, rows))

    def row(self, row: Row) -> None:
        self._each(lambda logger: logger.row(row))

    def end(self, outcome: Outcome) -> None:
        self._each(lambda logger: logger.end(outcome))

    def _each(self, action: Callable[[Logger], None]) -> None:
        for logger in list(self._loggers):
            try:
                action(logger)
            except (Exception, SystemExit) as error:
                self._loggers.remove(logger)
                reason = f"{type(error).__name__}: {next(iter(str(error).splitlines()), '')}".rstrip(": ")[:300]
                self._note(f"logger: {reason}; the run goes on without, and 'mixexp log' logs it when it is over")
                with contextlib.suppress(Exception, SystemExit):  # close the resources that it holds
                    logger.end("interrupted")

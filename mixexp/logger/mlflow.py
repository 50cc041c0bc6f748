from __future__ import annotations

import itertools
import logging
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from filelock import FileLock
from pydantic import Field

from mixexp.logger import Logger, Outcome, Row, RunInfo

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric

STATUS = {"finished": "FINISHED", "diverged": "FINISHED", "failed": "FAILED", "interrupted": "KILLED"}
METRICS_A_CALL, PARAMS_A_CALL = 1000, 100
LOCK_SECONDS = 120.0


class MLflow(Logger):
    """MLflow runs, by default in the SQLite file mlflow.db of output_dir, without a server.

    An experiment is called as the setting `name`, a run is found again by its tags run_id and folder; its params are
    all settings, its other tags outcome, commit and device. tracking_uri: another store, or a server, such as
    http://localhost:5000. A run there with what metrics.csv has not, such as the numbers of an earlier attempt that
    another device made, goes to MLflow's trash, and is logged anew.
    """

    extra = "mlflow"
    packages = ("mlflow", "sqlalchemy", "alembic")

    def __init__(self, tracking_uri: Annotated[str, Field(min_length=1)] | None = None) -> None:
        self._tracking_uri = tracking_uri

    def start(self, info: RunInfo, rows: Sequence[Row]) -> None:
        self._info = info
        folder = info.folder.absolute()
        output_dir = folder.parent.parent
        self._folder = str(
            folder if self._tracking_uri else folder.relative_to(output_dir)
        )  # others may use the same server
        with FileLock(
            output_dir / ".mlflow.lock", timeout=LOCK_SECONDS
        ):  # of many runs that begin at once, one makes the tables
            self._client = _client(self._tracking_uri or _local(output_dir))
            found = self._client.get_experiment_by_name(info.project)
            experiment = found.experiment_id if found is not None else self._client.create_experiment(info.project)
        metrics = {_point(metric): metric for metric in self._metrics(rows)}
        same_id = self._client.search_runs([experiment], f"tags.run_id = '{info.run_id}'")
        earlier = [run for run in same_id if run.data.tags.get("folder") == self._folder]
        points = [
            _point(metric)
            for run in earlier
            for name in run.data.metrics
            for metric in self._client.get_metric_history(run.info.run_id, name)
        ]
        there = set(points)
        if len(earlier) == 1 and len(there) == len(points) and metrics.keys() >= there:
            self._run = earlier[0].info.run_id
            self._client.update_run(self._run, status="RUNNING")
        else:
            for run in earlier:
                self._client.delete_run(run.info.run_id)
            self._run, there = self._create(experiment), set()
        self._send(metric for point, metric in metrics.items() if point not in there)
        self._last = rows[-1].get("seconds", 0.0) if rows else 0.0

    def row(self, row: Row) -> None:
        self._send(self._metrics([row]))
        self._last = row.get("seconds", 0.0)

    def end(self, outcome: Outcome) -> None:
        self._client.set_tag(self._run, "outcome", outcome)
        self._client.set_terminated(self._run, STATUS[outcome], end_time=self._milliseconds(self._last))

    def _create(self, experiment: str) -> str:
        """A new run with what does not change: its params and tags."""
        from mlflow.entities import Param

        environment = self._info.environment
        tags = {"run_id": self._info.run_id, "folder": self._folder, "device": environment.get("device")}
        tags |= {"commit": (environment.get("git") or {}).get("commit")}
        described = {key: str(value) for key, value in tags.items() if value is not None}
        made = self._client.create_run(experiment, self._milliseconds(0.0), described, self._info.label)
        params = iter([Param(key, str(value)) for key, value in self._info.settings.items()])
        while some := list(itertools.islice(params, PARAMS_A_CALL)):
            self._client.log_batch(made.info.run_id, params=some)
        return made.info.run_id

    def _metrics(self, rows: Iterable[Row]) -> Iterator[Metric]:
        from mlflow.entities import Metric

        for row in rows:
            time = self._milliseconds(row.get("seconds", 0.0))
            yield from (
                Metric(name, float(value), time, int(row["step"])) for name, value in row.items() if name != "step"
            )

    def _send(self, metrics: Iterable[Metric]) -> None:
        waiting = iter(metrics)
        while some := list(itertools.islice(waiting, METRICS_A_CALL)):
            self._client.log_batch(self._run, metrics=some)

    def _milliseconds(self, seconds: float) -> int:
        return round(1000 * (self._info.began + seconds))


def _client(uri: str) -> MlflowClient:
    """A client of its own: MLflow's functions without one share a current run among all that run in a process."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # it would tell its makers of every call
    os.environ.setdefault(
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2"
    )  # a run does not wait minutes for a server that is away
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    from mlflow import MlflowClient

    for name in ("mlflow", "alembic"):  # how it makes its tables is nobody's concern
        logging.getLogger(name).setLevel(logging.WARNING)
    return MlflowClient(uri)


def _local(output_dir: Path) -> str:
    """The address of an SQLite file in a folder; runs that write at the same time wait for each other."""
    from sqlalchemy import URL

    return URL.create("sqlite", database=str(output_dir / "mlflow.db"), query={"timeout": "60"}).render_as_string()


def _point(metric: Metric) -> tuple[str, int, str]:
    """What tells points apart, as MLflow keeps them: an infinite value is the largest number."""
    largest = sys.float_info.max
    return (
        metric.key,
        metric.step,
        repr(metric.value if metric.value != metric.value else min(max(metric.value, -largest), largest)),
    )

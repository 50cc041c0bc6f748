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

    The experiment has the name of the setting `name`. A run is identified by its tags run_id and folder; its params are
    all settings, its other tags outcome, commit and device. A run in the store with values that metrics.csv lacks, such
    as those of an earlier attempt on another device, moves to MLflow's trash and is logged anew.
    tracking_uri: another store, or a server, such as http://localhost:5000.
    """

    extra = "mlflow"
    packages = ("mlflow", "sqlalchemy", "alembic")

    def __init__(self, tracking_uri: Annotated[str, Field(min_length=1)] | None = None) -> None:
        self._tracking_uri = tracking_uri

    def start(self, info: RunInfo, rows: Sequence[Row]) -> None:
        self._info = info
        folder = info.folder.absolute()
        output_dir = folder.parent.parent
        # absolute on a server, which others may use too
        self._folder = str(folder if self._tracking_uri else folder.relative_to(output_dir))
        # of many runs that begin at once, only one creates the tables
        with FileLock(output_dir / ".mlflow.lock", timeout=LOCK_SECONDS):
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
        """New run with its constant part: params and tags."""
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
    """Own client: MLflow's module-level functions share one current run among all runs of a process."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # otherwise every call is reported to MLflow's makers
    # no run waits minutes for an unreachable server
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    from mlflow import MlflowClient

    for name in ("mlflow", "alembic"):  # their messages about creating tables are of no use to the user
        logging.getLogger(name).setLevel(logging.WARNING)
    return MlflowClient(uri)


def _local(output_dir: Path) -> str:
    """Address of an SQLite file in a folder; concurrent writers wait for each other."""
    from sqlalchemy import URL

    return URL.create("sqlite", database=str(output_dir / "mlflow.db"), query={"timeout": "60"}).render_as_string()


def _point(metric: Metric) -> tuple[str, int, str]:
    """Identity of a point as MLflow stores it: an infinite value becomes the largest number."""
    largest = sys.float_info.max
    return (
        metric.key,
        metric.step,
        repr(metric.value if metric.value != metric.value else min(max(metric.value, -largest), largest)),
    )

"""Runs on disk as Python objects, and as frames of pandas."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from mixexp.errors import UserError, closest, closest_path
from mixexp.project import outputs
from mixexp.reporting.runs import implied_by_group, varying
from mixexp.settings import CIRCUMSTANCES, OPTIONAL, comparable, flatten, lookup, under
from mixexp.text import in_hydra, listed
from mixexp.training.reader import Run, everywhere

if TYPE_CHECKING:
    import pandas as pd


HEAD = ("name", "folder", "outcome", "problem")
FACTS = ("steps_done", "seconds", "started", "device", "device_name", "commit", "dirty")
"""Columns of a frame of runs before and after settings and figures."""


class Runs(Sequence[Run]):
    """Some runs, in the order of their folders; a slice, and the result of `where`, are Runs too.

    >>> import mixexp
    >>> found = mixexp.sweep(mix=["none", "mixup"], epochs=1, name="example")
    >>> len(found), len(found.where(mix="mixup"))
    (2, 1)
    >>> found.to_pandas().groupby("mix")["accuracy"].mean().index.tolist()
    ['mixup', 'none']
    """

    def __init__(self, members: Iterable[Run]) -> None:
        self._runs = tuple(members)

    @overload
    def __getitem__(self, place: int) -> Run: ...
    @overload
    def __getitem__(self, place: slice) -> Runs: ...
    def __getitem__(self, place: int | slice) -> Run | Runs:
        return Runs(self._runs[place]) if isinstance(place, slice) else self._runs[place]

    def __len__(self) -> int:
        return len(self._runs)

    def __repr__(self) -> str:
        outcomes: dict[str, int] = {}
        for run in self:
            outcomes[run.outcome] = outcomes.get(run.outcome, 0) + 1
        counted = ", ".join(f"{count} {outcome}" for outcome, count in outcomes.items())
        return f"<Runs: {counted or 'none'}; differ in {', '.join(self.varying()) or 'nothing'}>"

    def _repr_html_(self) -> str:
        if not self:
            return "<p>no run</p>"
        frame = self.to_pandas()
        figures = [name for run in self for name in run.last]
        return frame[["outcome", *self.varying(), *dict.fromkeys(figures)]].to_html()

    def varying(self) -> list[str]:
        """The dotted settings in which these runs differ, groups first, without those that a group's option implies.

        A setting that some runs lack, as runs without a mix lack alpha, differs where the others have more than one
        value.
        """
        keys = [key for key in varying(self, CIRCUMSTANCES) if not implied_by_group(key, self)]
        values = {key: {run.setting(key) for run in self} - {None} for key in keys}
        return [key for key in keys if len(values[key]) > 1 or key in OPTIONAL]

    def where(self, condition: Callable[[Run], bool] | None = None, /, **settings: Any) -> Runs:
        """The runs that have all of these settings and fulfil the condition.

        settings: a group's option or a setting, dotted ones as ``**{"loss.margin": 0.5}``; a list means any of its
        values. 1, 1.0 and "1" are the same. Raises UserError for a setting or a value that no run has.
        """
        known = {key for run in self for key in run.settings} | {
            str(group) for run in self for group in run.config.get("choices") or ()
        }
        for key in settings:
            if self and key not in known:
                raise UserError(f"where({key}=...): no run has such a setting.{closest(key, known)}")
        admitted = {key: list(value) if isinstance(value, list | tuple) else [value] for key, value in settings.items()}
        for key, values in admitted.items():
            there = {comparable(value): value for value in (lookup(run.config, key) for run in self)}
            for value in values:
                if there and comparable(value) not in there:
                    names = list(map(in_hydra, there.values()))
                    are = f"there are {listed(names, in_hydra(value))}.{closest(value, names)}"
                    raise UserError(f"where({key}={value!r}): no run has this value; {are}")

        def fulfils(run: Run) -> bool:
            return all(
                comparable(lookup(run.config, key)) in {comparable(value) for value in values}
                for key, values in admitted.items()
            )

        return Runs(run for run in self if fulfils(run) and (condition is None or condition(run)))

    def to_pandas(self) -> pd.DataFrame:
        """A frame with a row for each run, with the run_id as index.

        Columns: name, folder, outcome, problem; every setting that can change a result, as dotted keys, a group's
        option under the group's name, lists as tuples; the figures of the last evaluation, NaN where there are none;
        and steps_done, seconds, started, device, device_name, commit and dirty (whether the code had uncommitted
        changes).
        """
        import pandas as pd

        if not self:
            return pd.DataFrame(columns=[*HEAD, *FACTS], index=pd.Index([], name="run"))
        rows = [
            dict(zip(HEAD, (run.config.get("name"), str(run.folder), run.outcome, run.problem), strict=True))
            for run in self
        ]
        settings = [{key: _hashable(value) for key, value in flatten(run.config).items() if _told(key)} for run in self]
        index = pd.Index([run.folder.name for run in self], name="run")
        # the first run's order of columns; columns of later runs alone come after
        parts = [
            pd.DataFrame(part, index=index)
            for part in (rows, settings, [dict(run.last) for run in self], [_facts(run) for run in self])
        ]
        return pd.concat(parts, axis=1)

    def metrics(self) -> pd.DataFrame:
        """A frame with a row for each evaluation of each run.

        Columns: run, the settings in which the runs differ, and the columns of metrics.csv.
        """
        import pandas as pd

        differing = self.varying()
        frames = [
            pd.DataFrame(
                {name: pd.array(list(values), dtype=float) for name, values in run.metrics.items()}, dtype=float
            )
            for run in self
        ]
        if not frames:
            return pd.DataFrame()
        beside = pd.DataFrame(
            [{"run": run.folder.name, **{key: _hashable(lookup(run.config, key)) for key in differing}} for run in self]
        )
        of_rows = beside.loc[beside.index.repeat(list(map(len, frames)))].reset_index(drop=True)
        return pd.concat([of_rows, pd.concat(frames, ignore_index=True)], axis=1)


def _told(key: str) -> bool:
    """True if a setting is a column of a frame; places and devices are not, nor classes, which their options name."""
    return not under(key, CIRCUMSTANCES) and not key.endswith("._target_")


def _hashable(value: Any) -> Any:
    """A setting as a cell of a frame: lists as tuples, so that it can be grouped by."""
    if isinstance(value, list | tuple):
        return tuple(map(_hashable, value))
    return str(value) if isinstance(value, Mapping) else value


def _facts(run: Run) -> dict[str, Any]:
    about = run.environment
    git: Any = about.get("git")
    git = git if isinstance(git, Mapping) else {}
    values = (
        run.result.get("steps"),
        run.result.get("seconds"),
        *map(about.get, ("started", "device", "device_name")),
        *map(git.get, ("commit", "dirty")),
    )
    return dict(zip(FACTS, values, strict=True))


def runs(*folders: str | Path) -> Runs:
    """The runs in some folders and all their subfolders, with any outcome; raises UserError for a missing folder.

    folders: of runs, or a run's own; by default the project's output folder.

    >>> import mixexp
    >>> mixexp.run(mix="mixup", epochs=1, name="one").outcome
    'finished'
    >>> mixexp.runs("outputs/one").to_pandas()[["mix", "outcome"]].values.tolist()
    [['mixup', 'finished']]
    """
    if strange := [folder for folder in folders if not isinstance(folder, str | Path)]:
        raise UserError(f"runs({strange[0]!r}): the name of a folder is needed")
    paths = [Path(folder).expanduser() for folder in folders or (outputs(),)]
    if missing := [str(path) for path in paths if not path.is_dir()]:
        first = Path(missing[0])
        beside = [other.name for other in first.parent.glob("*") if other.is_dir()]
        raise UserError(f"runs: {', '.join(missing)} is not a folder.{closest_path(first, beside)}")
    return Runs(everywhere(paths))

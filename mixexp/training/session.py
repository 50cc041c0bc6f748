"""A run during training: its folder, its clock and its checkpoints. The loop owns the step."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor, nn
from torch.optim import Optimizer

from mixexp.errors import UserError
from mixexp.optimizer import load_state
from mixexp.training.checkpoint import Checkpoint
from mixexp.training.folder import RunFolder, environment, own_git
from mixexp.training.spec import RunConfig
from mixexp.training.weights import DESCRIBED, WEIGHTS, read_weights


class Progress(NamedTuple):
    """The progress of a run: steps done, steps in all, last accuracy."""

    step: int
    steps: int
    accuracy: float | None


class Session:
    """One run's record and progress, from the checkpoint it resumes from to its result.

    steps: of the whole run. made_by: facts that must be the same for a checkpoint to be used. stateful: the objects
    that a step changes, by name; a checkpoint holds them and resuming sets them. step: the number of steps done;
    diverged: a loss is not finite, after which no state is kept. The loop sets both.
    """

    def __init__(
        self,
        folder: RunFolder,
        config: RunConfig,
        steps: int,
        made_by: Mapping[str, Any],
        stateful: Mapping[str, nn.Module | Optimizer | Tensor],
    ) -> None:
        self.folder, self.steps = folder, steps
        self.step = 0
        self.diverged = False
        self._config, self._stateful = config, stateful
        self._checkpoint = Checkpoint(folder.path / "checkpoint.pt", made_by, config.checkpoint_seconds)
        self._rows: list[Mapping[str, float]] = []
        self._probed: Mapping[str, str] = {}
        self._seconds, self._started = 0.0, 0.0
        self._described: dict[str, Any] = {}

    def resume(
        self, same_so_far: Callable[[int, int], bool], warm_starts: Iterable[Path] = (), probed: bool = True
    ) -> None:
        """Resume where an earlier attempt stopped or a shorter run ended, if there is such a state.

        same_so_far(steps, step): True if a run of `steps` steps has done the same as this one in its first `step`.
        warm_starts: folders of shorter runs. probed: whether measurements made during a shorter run are this one's too.
        """
        home = self.folder.path
        for path in (home, *warm_starts):
            saved = self._checkpoint.load(path / "checkpoint.pt", self.folder.note if path == home else lambda _: None)
            if (
                saved is not None
                and same_so_far(saved["steps"], saved["step"])
                and self._has_best_of(path, saved["rows"])
            ):
                self.step, self._seconds, self._rows = saved["step"], saved["seconds"], saved["rows"]
                if path == home or probed:
                    self._probed = saved["probed"]
                after = f", where {path.name} ended" if path != home else ""
                self.folder.note(f"goes on at step {self.step:,} of {self.steps:,}{after}")
                for name, part in self._stateful.items():
                    if isinstance(part, Tensor):
                        part.copy_(saved[name])
                    elif isinstance(part, Optimizer):
                        load_state(part, saved[name])
                    else:
                        part.load_state_dict(saved[name])
                break

    def _has_best_of(self, path: Path, rows: Sequence[Mapping[str, float]]) -> bool:
        """True unless keep=best and the best weights of the evaluations so far are missing from this run's folder."""
        accuracies = [row["val_accuracy"] for row in rows if "val_accuracy" in row]
        if self._config.keep != "best" or not accuracies:
            return True
        if path == self.folder.path:
            try:
                saved_step = read_weights(path)["step"] if (path / WEIGHTS).is_file() else None
            except UserError:  # truncated or damaged
                saved_step = None
            # a step later than the checkpoint will be reached again
            if saved_step is not None and (
                saved_step == rows[accuracies.index(max(accuracies))]["step"] or saved_step > rows[-1]["step"]
            ):
                return True
            self.folder.note("the best weights so far are not kept here (keep=best); the run starts afresh")
        return False

    def start(self, facts: Mapping[str, Any], columns: Sequence[str]) -> None:
        """Write the run's configuration and environment and start its clock.

        facts: for environment.json, in addition to the machine and the steps.
        """
        self._described = {key: facts[key] for key in DESCRIBED if key in facts}
        if self.step == 0:
            (self.folder.path / WEIGHTS).unlink(missing_ok=True)
        about = environment(**facts, **_own(self._config), continued_at_step=self.step, steps=self.steps)
        self.folder.start(self._config.values, about, columns, self._rows, self._probed)
        self._started = time.perf_counter() - self._seconds

    @property
    def evaluated(self) -> int:
        """The step of the last evaluation, 0 before the first."""
        return int(self.folder.rows[-1]["step"]) if self.folder.rows else 0

    def record(self, row: Mapping[str, float]) -> None:
        """Write an evaluation's row; with keep=best, save the weights of the best evaluation so far."""
        best = max((earlier["val_accuracy"] for earlier in self.folder.rows if "val_accuracy" in earlier), default=-1.0)
        self.folder.append({**row, "seconds": round(self._elapsed(), 3)})
        if self._config.keep == "best" and not self.diverged and row["val_accuracy"] > best:
            self._save_weights()

    def turn(self) -> Iterator[Progress]:
        """Yield the run's progress, after saving a checkpoint that is due; closed here, the run leaves a checkpoint."""
        if self.step < self.steps and self._checkpoint.due():
            self._save()
        try:
            yield Progress(self.step, self.steps, self.folder.rows[-1].get("accuracy") if self.folder.rows else None)
        except GeneratorExit:
            if self.step < self.steps:
                try:
                    self._save()
                # a full disk does not make a stop a failure: the checkpoint before stays
                except OSError as error:
                    self.folder.note(f"no checkpoint at step {self.step:,}: {error}")
            raise

    def finish(self, **facts: Any) -> None:
        """Write the result, and keep the final state and weights where configured; a diverged run keeps neither."""
        keeps = self._config.keep_checkpoint and not self.diverged
        if keeps:
            self._save()
        if self.diverged or self._config.keep == "none":
            (self.folder.path / WEIGHTS).unlink(missing_ok=True)
        elif self._config.keep == "last":
            self._save_weights()
        outcome = "diverged" if self.diverged else "finished"
        self.folder.finish(outcome, self._elapsed(), steps=self.step, **facts)
        if not keeps:
            self._checkpoint.path.unlink(missing_ok=True)

    def _elapsed(self) -> float:
        return time.perf_counter() - self._started

    def _save_weights(self) -> None:
        states = {name: part.state_dict() for name, part in self._stateful.items() if isinstance(part, nn.Module)}
        self._checkpoint.write(self.folder.path / WEIGHTS, {"step": self.step, **self._described, **states})

    def _save(self) -> None:
        record = {"step": self.step, "steps": self.steps, "rows": self.folder.rows, "probed": self.folder.probed}
        states = {
            name: part if isinstance(part, Tensor) else part.state_dict() for name, part in self._stateful.items()
        }
        self._checkpoint.save({**record, "seconds": self._elapsed(), **states})


def _own(config: RunConfig) -> dict[str, Any]:
    """The facts for environment.json about the user's own code; empty where a run has none."""
    files = {name: source.files for name, source in config.own_sources.items()}
    return {"own_code": config.own_code, "own_git": own_git(files)} if files else {}

"""What the fast tier runs from end to end: golden runs, one stop, the command; python tests/test_minute.py writes the
golden numbers anew, to be read before they are committed."""

from __future__ import annotations

import contextlib
import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from running import command, config_of, result_of, rows_of, trained

from mixexp.settings import CONF
from mixexp.train import train
from mixexp.training.folder import RunFolder
from mixexp.training.spec import RunConfig

pytestmark = pytest.mark.fast
GOLDEN = Path(__file__).parent / "golden_runs.json"
CELLS = {
    "none": (),
    "mixup at the input": ("mix=mixup", "alpha=0.4"),
    "mixup at any layer": ("mix=mixup", "mix_layer=random", "schedule=cosine"),
    "between-class learning with its loss": ("mix=bc", "loss=kl", "optimizer=adam"),
    "affinity loss of classes made equal": (
        *("loss=affinity", "imbalance=minority", "imbalance.n=20", "sampling=oversample"),
        *("mix_layer=random", "augment=standard", "augment.shift=1"),
    ),
}
"""Two epochs on the digits each."""


def numbers_of(folder: Path, name: str) -> list[dict[str, float]]:
    """The rows of a cell's metrics.csv."""
    rows = rows_of(trained(folder, "precision=float32", *CELLS[name]))
    return [{key: float(value) for key, value in row.items()} for row in rows]


def test_the_list_has_every_cell() -> None:
    assert json.loads(GOLDEN.read_text(encoding="utf-8")).keys() == CELLS.keys()


@pytest.mark.parametrize("name", CELLS)
def test_a_run_has_the_numbers_that_it_had(name: str, tmp_path: Path) -> None:
    """But for the last digits, in which processors differ: tests/golden_runs.py compares two commits on one machine bit
    for bit."""
    expected = json.loads(GOLDEN.read_text(encoding="utf-8"))[name]
    for found, row in zip(numbers_of(tmp_path, name), expected, strict=True):
        assert found.keys() == row.keys()
        for key, value in row.items():
            # a prediction or two may go the other way by rounding
            assert found[key] == (
                pytest.approx(value, rel=1e-3)
                if key in ("step", "epoch", "train_loss", "lr")
                else pytest.approx(value, abs=0.02)
            ), key


def test_a_run_that_is_stopped_goes_on_as_if_it_had_not(tmp_path: Path) -> None:
    words = ("mix=mixup", "mix_layer=random", "schedule=cosine", "checkpoint_seconds=3600", "epochs=2")
    whole = trained(tmp_path / "whole", *words)
    for steps in (7, 23):  # before an evaluation and behind one
        with contextlib.closing(train(RunConfig.of(config_of(*words)), RunFolder(tmp_path / "stopped"), {})) as run:
            for done, _ in enumerate(run, start=1):
                if done == steps:
                    break
        assert result_of(tmp_path / "stopped") is None
    stopped = trained(tmp_path / "stopped", *words)
    assert json.loads((stopped.path / "environment.json").read_text())["continued_at_step"] == 30
    assert rows_of(stopped) == rows_of(whole)
    assert (stopped.path / "confusion.csv").read_text() == (whole.path / "confusion.csv").read_text()


def test_the_command_lists_trains_and_sweeps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    code, said = command(capsys, "list", "mix")
    assert code == 0 and all(path.stem in said for path in (CONF / "mix").glob("*.yaml"))
    small = ("model.width=2", "epochs=1", "subset=head", "subset.n=100")
    code, said = command(capsys, "mix=mixup", "alpha=0.2", *small)
    assert code == 0 and "finished, accuracy" in said
    words = ("-m", "mix=none,mixup", "alpha=0.2", *small, "hydra/launcher=basic")
    code, said = command(capsys, *words)
    assert code == 0 and "2 runs, 2 done (1 of them before)" in said
    folders = [path.parent for path in (tmp_path / "outputs" / "runs").glob("*/result.json")]
    assert len(folders) == 2
    for folder in folders:
        (folder / "result.json").unlink()
        (folder / "error.txt").write_text("RuntimeError: it broke\n")
    code, said = command(capsys, *words)
    assert code and "2 of them had failed before and were left so; retry=failed tries them again" in said
    assert not any((folder / "result.json").exists() for folder in folders)


def test_the_command_refuses_what_is_wrong_in_one_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    code, said = command(capsys, "mix=mixpu")
    assert code and said.startswith("mixexp: ") and "Did you mean 'mixup'?" in said
    assert list(tmp_path.iterdir()) == []


def make_golden() -> dict[str, Any]:
    """The numbers of every cell."""
    with tempfile.TemporaryDirectory() as folder:
        return {name: numbers_of(Path(folder) / str(count), name) for count, name in enumerate(CELLS)}


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps(make_golden(), indent=1) + "\n", encoding="utf-8")

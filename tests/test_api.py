"""`import mixexp`: runs, sweeps, frames, reports and networks from Python, in scripts, from standard input and in a
notebook."""

from __future__ import annotations

import ast
import doctest
import importlib
import inspect
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import commands
import numpy as np
import pytest
import torch

import mixexp
from mixexp.api import start
from mixexp.training.reader import load_run

ROOT = Path(__file__).resolve().parents[1]
FUNCTIONS = ("load", "report", "run", "runs", "sweep")
TINY = {"epochs": 1, "model.width": 2}


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture(autouse=True, scope="module")
def _forked() -> Iterator[None]:
    """Sweeps of this process have a forked command, and those of its children, as users start them, a new one."""

    def popen(command: Sequence[str], env: Mapping[str, str], **_: Any) -> commands.Started:
        assert command[:4] == [sys.executable, "-P", "-m", "mixexp"]
        return commands.begin(*command[4:], cwd=Path.cwd(), environment=env)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(start, "subprocess", SimpleNamespace(Popen=popen, PIPE=None, DEVNULL=None))
        yield


def python(code: str, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """A new Python that reads a program from standard input."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, *words], input=code, cwd=folder, env=environment, capture_output=True, text=True, timeout=300
    )


def test_importing_the_package_imports_nothing_heavy(tmp_path: Path) -> None:
    done = python(
        "import sys, mixexp; print([name for name in ('torch', 'pandas', 'numpy', 'hydra') if name in sys.modules])",
        tmp_path,
    )
    assert done.stdout == "[]\n", done.stderr


def test_the_surface_is_what_is_listed() -> None:
    assert set(mixexp.__all__) == {*FUNCTIONS, "Run", "Runs", "RunsFailed", "UserError"} <= set(dir(mixexp))
    for name in mixexp.__all__:
        assert inspect.isclass(getattr(mixexp, name)) or inspect.isfunction(getattr(mixexp, name))
    with pytest.raises(AttributeError, match="no attribute 'rum'"):
        mixexp.rum  # noqa: B018
    # what a type checker reads is what is there
    tree = ast.parse((ROOT / "mixexp" / "__init__.py").read_text(encoding="utf-8"))
    imported = {
        alias.name: node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    for name in mixexp.__all__:
        assert getattr(importlib.import_module(imported[name]), name) is getattr(mixexp, name)


class Last(doctest.OutputChecker):
    """What a call gives is the last of what is printed: runs say on their way how far they are."""

    def check_output(self, want: str, got: str, optionflags: int) -> bool:
        return got.endswith(want)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_each_function_is_typed_and_has_an_example_that_runs(name: str) -> None:
    function = getattr(mixexp, name)
    signature = inspect.signature(function)
    assert signature.return_annotation is not inspect.Signature.empty
    assert all(parameter.annotation is not inspect.Parameter.empty for parameter in signature.parameters.values())
    assert "Raises UserError" in " ".join(function.__doc__.split()) or "raises UserError" in function.__doc__
    run_examples(function, name)


USERS = """
import mixexp
import torch

done = mixexp.run("mix=mixup", alpha=0.2)
found = mixexp.sweep(mix=["none", "mixup"], seed=range(3))
frame = found.to_pandas()
accuracy: float = done.last["accuracy"]
best = max(found.where(mix="mixup"), key=lambda run: run.last["accuracy"])
model, preprocess, classes = mixexp.load(best)
scores: torch.Tensor = model(preprocess("a.png")[None])
page = mixexp.report(found, baseline="none")
print(page.name, frame.shape, found[0].folder, found[1:].metrics(), classes[0].upper())
try:
    mixexp.runs("outputs/x", "b")
except mixexp.UserError as error:
    print(error)
"""


FAULTS = {"sound": "", "lost": "done.lost\n", "report": "mixexp.report(3)\n", "int": "x: int = classes[0]\n"}
"""What is added to USERS, by a word of the complaint about it."""


def test_a_type_checker_knows_the_surface(tmp_path: Path) -> None:
    pytest.importorskip("basedpyright")
    for word, line in FAULTS.items():
        (tmp_path / f"{word}.py").write_text(USERS + line)
    words = [sys.executable, "-m", "basedpyright", "--pythonpath", sys.executable, "--level", "error", "--outputjson"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [*words, *(f"{word}.py" for word in FAULTS)]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    complaints = [(Path(one["file"]).stem, one["message"]) for one in json.loads(done.stdout)["generalDiagnostics"]]
    assert sorted(word for word, _ in complaints) == sorted(word for word in FAULTS if FAULTS[word]), complaints
    assert all(word in message for word, message in complaints), complaints


def test_the_example_of_runs_runs() -> None:
    run_examples(mixexp.Runs, "Runs")


def run_examples(thing: Any, name: str) -> None:
    (examples,) = [test for test in doctest.DocTestFinder(recurse=False).find(thing, name, globs={}) if test.examples]
    failures: list[str] = []
    assert doctest.DocTestRunner(Last(), verbose=False).run(examples, out=failures.append).failed == 0, "".join(
        failures
    )


def test_a_run_is_the_commands_own(tmp_path: Path) -> None:
    done = mixexp.run("mix=mixup", alpha=0.2, seed=3, **TINY)
    assert (
        isinstance(done, mixexp.Run)
        and done.outcome == "finished"
        and done.folder.parent == tmp_path / "outputs" / "runs"
    )
    again = commands.mixexp("mix=mixup", "alpha=0.2", "seed=3", "epochs=1", "model.width=2", cwd=tmp_path)
    assert "already finished" in again.stdout and str(done.folder) in again.stdout
    assert load_run(done.folder).last == done.last and 0 < done.last["accuracy"] <= 1


def test_a_mistake_is_one_error_without_those_of_libraries() -> None:
    with pytest.raises(mixexp.UserError) as raised:
        mixexp.run(jobs=1)
    assert raised.value.__suppress_context__ and raised.value.__cause__ is None


def test_an_axis_may_be_an_array() -> None:
    from mixexp.api.start import _axis

    assert (
        _axis(np.arange(3)) == _axis(torch.arange(3)) == _axis(range(3)) == "0,1,2"
        and _axis(np.array([0.5, 1])) == "0.5,1.0"
    )


def test_a_run_leaves_torch_as_it_was() -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(threads + 1)
    try:
        before = (
            torch.get_num_threads(),
            torch.backends.cudnn.deterministic,
            torch.are_deterministic_algorithms_enabled(),
        )
        state = torch.random.get_rng_state()
        mixexp.run(**TINY)
        assert before == (
            torch.get_num_threads(),
            torch.backends.cudnn.deterministic,
            torch.are_deterministic_algorithms_enabled(),
        )
        assert torch.equal(torch.random.get_rng_state(), state)
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (lambda: mixexp.run(mix="mixpu"), "mixup"),
        (lambda: mixexp.run(epoch=3), "epochs"),
        (lambda: mixexp.run("mix=none,mixup"), "mix=none,mixup: one value is needed here"),
        (lambda: mixexp.run(batch_size=0), "batch_size = 0"),
        (lambda: mixexp.run(config_dir="nowhere"), "config_dir = nowhere: there is no such folder"),
        (lambda: mixexp.sweep(mix=["none", "mixpu"]), "mixup"),
        (lambda: mixexp.sweep(seed=[]), "empty list"),
        (lambda: mixexp.sweep(seed=[0, 1], batch_size=0), "batch_size = 0"),
        (lambda: mixexp.sweep(seed={0, 1}), "an axis is a list, a tuple, a range or an array, not a set"),
        (lambda: mixexp.run(5), "overrides are texts"),
        (lambda: mixexp.run("-m", "seed=0,1"), "a sweep mixexp.sweep"),
        (lambda: mixexp.runs("nowhere"), "nowhere is not a folder"),
        (lambda: mixexp.runs(3), "the name of a folder is needed"),
        (lambda: mixexp.report(3), "a run or the name of a folder is needed"),
        (lambda: mixexp.load(None), "a run or the name of a folder is needed"),
        (lambda: mixexp.report([]), "no run"),
        (lambda: mixexp.load("nowhere"), "no folder of a run"),
    ],
)
def test_mistakes_are_user_errors_that_name_the_nearest(call: Any, expected: str, tmp_path: Path) -> None:
    with pytest.raises(mixexp.UserError, match=expected):
        call()
    assert not list(tmp_path.rglob("config.yaml"))


def test_an_exception_of_the_training_reaches_the_caller(tmp_path: Path) -> None:
    (tmp_path / "own_losses.py").write_text(
        "from mixexp.loss.cross_entropy import CrossEntropy\n"
        "class Broken(CrossEntropy):\n"
        "    def forward(self, outputs, labels):\n"
        "        if outputs.requires_grad and not outputs.is_meta: raise ZeroDivisionError('mine')\n"
        "        return super().forward(outputs, labels)\n"
    )
    with pytest.raises(ZeroDivisionError, match="mine"):
        mixexp.run("loss._target_=own_losses.Broken", trusted_modules=["own_losses"], **TINY)


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A sweep of four runs, with another run in its folder."""
    folder = tmp_path_factory.mktemp("swept")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        mixexp.run(mix="bc", name="mine", **TINY)
        return mixexp.sweep(mix=["none", "mixup"], seed=range(2), name="mine", **TINY)


def test_a_sweep_gives_its_own_runs(swept: Any) -> None:
    assert isinstance(swept, mixexp.Runs) and len(swept) == 4 and {run.outcome for run in swept} == {"finished"}
    assert swept.varying() == ["mix", "seed"] and "4 finished; differ in mix, seed" in repr(swept)
    assert [(run.config["choices"]["mix"], run.config["seed"]) for run in swept] == [
        ("none", 0),
        ("none", 1),
        ("mixup", 0),
        ("mixup", 1),
    ], "in the order of the grid"
    assert len(mixexp.runs(swept[0].folder.parent)) == 5 and len(mixexp.runs(swept[0].folder)) == 1
    assert isinstance(swept[1:], mixexp.Runs) and len(swept[1:]) == 3 and swept[-1] is swept[3]


def test_runs_are_selected_by_their_settings(swept: Any) -> None:
    assert (
        len(swept.where(mix="mixup")) == len(swept.where(seed="1")) == 2
        and len(swept.where(mix="mixup", seed=1.0)) == 1
    )
    assert (
        len(swept.where(seed=[0, 1])) == 4
        and len(swept.where(**{"model.width": 2})) == 4
        and len(swept.where(seed=0, mix=["none"])) == 1
    )
    assert len(swept.where(lambda run: run.last["accuracy"] > 2)) == 0
    with pytest.raises(mixexp.UserError, match=r"no run has such a setting\. Did you mean 'seed'"):
        swept.where(sede=0)
    for settings, said in (
        (
            {"mix": "mixpu"},
            r"where\(mix='mixpu'\): no run has this value; there are none, mixup. Did you mean 'mixup'\?",
        ),
        ({"seed": [0, 7]}, r"where\(seed=7\): no run has this value; there are 0, 1\."),
        ({"mix": "bc"}, r"where\(mix='bc'\): no run has this value; there are none, mixup\."),
    ):
        with pytest.raises(mixexp.UserError, match=said):
            swept.where(**settings)
    assert len(swept[:0].where(mix="bc", sede=0)) == 0, "of no run, no setting is wrong"


def test_a_frame_has_a_row_for_each_run(swept: Any) -> None:
    frame = swept.to_pandas()
    assert frame.index.tolist() == [run.folder.name for run in swept] and frame.columns.is_unique
    assert frame["accuracy"].tolist() == [run.last["accuracy"] for run in swept]
    for name in (
        "outcome",
        "mix",
        "model",
        "model.width",
        "seed",
        "macro_f1",
        "steps_done",
        "seconds",
        "started",
        "commit",
        "device",
    ):
        assert name in frame.columns
    assert frame["seed"].dtype.kind == "i" and frame["seconds"].gt(0).all() and set(frame["device"]) == {"cpu"}
    assert frame.groupby("mix")["accuracy"].count().to_dict() == {"none": 2, "mixup": 2}
    assert frame.groupby("mix_layer.layers").size().tolist() == [4], "a list can be grouped by"
    assert swept._repr_html_().count("<tr") >= 5


def test_a_frame_has_a_row_for_each_evaluation(swept: Any) -> None:
    frame = mixexp.sweep(mix="mixup", epochs=3, name="longer", **{"model.width": 2}).metrics()
    assert frame["step"].is_monotonic_increasing and len(frame) == 3
    frame = swept.metrics()
    assert (
        frame.columns[:3].tolist() == ["run", "mix", "seed"] and len(frame) == 4 and frame["test_loss"].dtype == float
    )
    assert frame.groupby("run")["accuracy"].last().to_dict() == {run.folder.name: run.last["accuracy"] for run in swept}


def test_frames_of_unfinished_runs_have_gaps(swept: Any, tmp_path: Path) -> None:
    folder = tmp_path / "some" / "0123456789ab"
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text("name: some\nchoices: {mix: none}\nseed: 1\n")
    (folder / "error.txt").write_text("RuntimeError: no luck\n")
    together = mixexp.Runs([*swept, *mixexp.runs(tmp_path / "some")])
    frame = together.to_pandas()
    assert (
        frame["outcome"].iloc[-1] == "failed"
        and frame["problem"].iloc[-1] == "RuntimeError: no luck"
        and np.isnan(frame["accuracy"].iloc[-1])
    )
    assert len(together.metrics()) == 4
    nothing = mixexp.Runs([])
    assert (
        nothing.to_pandas().empty
        and "outcome" in nothing.to_pandas()
        and nothing.metrics().empty
        and nothing._repr_html_() == "<p>no run</p>"
    )


def test_a_setting_without_effect_is_nan_beside_numbers(tmp_path: Path) -> None:
    for number, (mix, alpha) in enumerate((("none", "null"), ("mixup", "0.2"), ("mixup", "1"))):
        folder = tmp_path / "some" / f"{number}123456789ab"
        folder.mkdir(parents=True)
        (folder / "config.yaml").write_text(f"name: some\nchoices: {{mix: {mix}}}\nalpha: {alpha}\nseed: 1\n")
        (folder / "metrics.csv").write_text("step,epoch,lr,accuracy\n5,1,0.1,0.5\n9,2,0.1,0.7\n")
    frame = mixexp.runs(tmp_path / "some").metrics()
    assert frame["run"].str[0].tolist() == ["0", "0", "1", "1", "2", "2"]
    assert frame["alpha"].dtype == float and frame["alpha"].isna().tolist() == [True] * 2 + [False] * 4
    assert frame.groupby("mix")["alpha"].mean()["mixup"] == 0.6 and frame["accuracy"].tolist() == [0.5, 0.7] * 3


def test_failed_runs_of_a_sweep_are_said_and_the_others_kept(tmp_path: Path) -> None:
    (tmp_path / "own_mixes.py").write_text(
        "from mixexp.mix.mixes import Pairs\n"
        "class Broken(Pairs):\n"
        "    def draw(self, *arguments, **others): raise RuntimeError('mine')\n"
    )
    with pytest.raises(mixexp.RunsFailed, match="1 of 2 runs failed"):
        mixexp.sweep(
            "mix=mixup",
            "mix._target_=mixexp.mix.mixes.Pairs,own_mixes.Broken",
            trusted_modules=[["own_mixes"]],
            name="some",
            **TINY,
        )
    assert sorted(run.outcome for run in mixexp.runs("outputs/some")) == ["failed", "finished"]


def test_a_sweep_needs_no_guard_in_a_script(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(
        "import mixexp\n"
        "found = mixexp.sweep(mix=['none', 'mixup'], epochs=1, name='script', **{'model.width': 2})\n"
        "print('runs:', len(found), len(found.to_pandas()))\n"
    )
    done = python("", tmp_path, "script.py")
    assert done.returncode == 0 and "runs: 2 2" in done.stdout and "2 runs, 2 done" in done.stdout, (
        done.stdout + done.stderr
    )
    assert done.stdout.index("done") < done.stdout.index("runs: 2 2")


def test_ctrl_c_stops_a_sweep_from_standard_input_with_checkpoints(tmp_path: Path) -> None:
    code = """
import mixexp
try:
    mixexp.sweep(mix="mixup", seed=[0, 1], epochs=4000, runs_per_device=2, checkpoint_seconds=0, **{"model.width": 2})
except KeyboardInterrupt:
    print("stopped", flush=True)
"""
    (tmp_path / "code").write_text(code)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with (tmp_path / "code").open() as file:
        process = subprocess.Popen(
            [sys.executable], cwd=tmp_path, env=environment, stdin=file, stdout=subprocess.PIPE, text=True
        )
    deadline = time.time() + 120
    while len(list(tmp_path.glob("outputs/runs/*/metrics.csv"))) < 2 and time.time() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=120)
    assert out.endswith("stopped\n")
    assert len(list(tmp_path.glob("outputs/runs/*/checkpoint.pt"))) == 2
    time.sleep(0.5)
    sizes = [path.stat().st_size for path in tmp_path.glob("outputs/runs/*/metrics.csv")]
    time.sleep(0.5)
    assert sizes == [path.stat().st_size for path in tmp_path.glob("outputs/runs/*/metrics.csv")], (
        "nothing trains any more"
    )


def test_a_notebook_runs_sweeps_and_shows_frames_and_reports(tmp_path: Path) -> None:
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    text = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
    display = re.search(r"```python\n(import os\n.*?)```", text, re.DOTALL)[1]
    cells = [
        "import mixexp\nfound = mixexp.sweep(mix=['none', 'mixup'], epochs=1, name='notebook', **{'model.width': 2})",
        "found",
        "mixexp.run(mix='mixup', epochs=1, **{'model.width': 2}).outcome",
        display.replace("outputs/small_data", "outputs/notebook"),
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    os.environ["PYTHONPATH"], before = str(ROOT), os.environ.get("PYTHONPATH")
    try:
        nbclient.NotebookClient(
            notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
        ).execute()
    finally:
        os.environ.pop("PYTHONPATH") if before is None else os.environ.update(PYTHONPATH=before)
    outputs = json.dumps([cell["outputs"] for cell in notebook["cells"]])
    assert "2 runs, 2 done" in outputs and "text/html" in outputs and "'finished'" in outputs
    assert "text/markdown" in outputs and "image/png" in outputs
    assert 'src=\\"outputs/notebook/report/report.html\\"' in outputs.replace('\\\\"', '\\"')


def test_a_network_reproduces_its_runs_own_accuracy() -> None:
    from sklearn.datasets import load_digits

    done = mixexp.run(mix="mixup", keep="last", epochs=2, **{"model.width": 2})
    model, preprocess, classes = mixexp.load(done)
    from mixexp.training.data import load as load_data

    splits = load_data(done.config["dataset"])[1]
    with torch.inference_mode():
        predicted = model(preprocess(splits.test_images)).argmax(1)
    assert (predicted == splits.test_labels).double().mean().item() == pytest.approx(done.last["accuracy"], abs=1e-12)
    assert classes == tuple(map(str, load_digits().target_names))
    assert mixexp.load(str(done.folder)).classes == classes


def test_a_report_is_written_from_runs_and_from_folders(swept: Any, tmp_path: Path) -> None:
    page = mixexp.report(swept, out=tmp_path / "report", baseline="none")
    assert "4 of 4 runs have a result" in (page.parent / "table.md").read_text()
    assert page == tmp_path / "report" / "report.html" and page.is_file() and (page.parent / "table.md").is_file()
    assert mixexp.report(str(swept[0].folder.parent), out=tmp_path / "other").is_file()
    page = mixexp.report(swept.where(mix="mixup"), out=tmp_path / "some")
    assert "2 of 2 runs have a result" in (page.parent / "table.md").read_text()
    with pytest.raises(
        mixexp.UserError, match="2 of the 5 runs of their folder, whose own report would be overwritten; say out="
    ):
        mixexp.report(swept.where(mix="mixup"))
    (tmp_path / "own.yaml").write_text("metric: macro_f1\ntitle: In a file\n")
    for table, title in (
        ({"metric": "macro_f1", "title": "In Python"}, "In Python"),
        (tmp_path / "own.yaml", "In a file"),
    ):
        page = mixexp.report(swept, out=tmp_path / "changed", table=table)
        assert title in (page.parent / "table.md").read_text()
    with pytest.raises(mixexp.UserError, match="Did you mean 'metric'"):
        mixexp.report(swept, out=tmp_path / "wrong", table={"metrik": "macro_f1"})

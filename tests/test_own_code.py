"""Code of the user's own: what of it a run is made with, that an edit is noticed, and what `retry=changed` makes
again."""

from __future__ import annotations

import contextlib
import importlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from commands import mixexp
from test_report import leave

from mixexp.build.own_code import digest_now, source_of, sources
from mixexp.plan.changes import stale, to_remake
from mixexp.reporting.compare import compare, document, sides
from mixexp.reporting.leaderboard import leaderboard
from mixexp.reporting.runs import gather, outdated
from mixexp.reporting.summary import contrasts
from mixexp.reporting.tables import build_table
from mixexp.reporting.write import write_report
from mixexp.spec.table import of_metric
from mixexp.sweeping.one import earlier_end, set_aside
from mixexp.training.folder import own_git
from mixexp.training.reader import everywhere, load_runs, load_state, read_environment, run_folders

LOSS = """from mixexp.loss.cross_entropy import CrossEntropy

from helpers import factor


class Scaled(CrossEntropy):
    def forward(self, outputs, labels):
        return factor() * super().forward(outputs, labels)
"""
SMALL = ("model.width=2", "epochs=1", "batch_size=256")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The working directory, from which modules can be imported, which are forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]


def write(folder: Path, **files: str) -> None:
    """Write modules, by their paths."""
    for name, text in files.items():
        path = folder / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def forget() -> None:
    """Be as a process that has imported none of these modules."""
    for known in [known for known in sys.modules if known.startswith("oc_")]:
        del sys.modules[known]
    importlib.invalidate_caches()


def found(name: str) -> tuple[str, set[str]]:
    """A module's hash as another process would find it, and the names of the files in it."""
    forget()
    source = source_of(importlib.import_module(name))
    return source.digest, {path.name for path in source.files}


@pytest.mark.parametrize(
    ("files", "edited"),
    [
        ({"oc_mine": "A = 1\n"}, "oc_mine"),
        ({"oc_mine": "import oc_help\n", "oc_help": ""}, "oc_help"),
        (
            {
                "oc_mine": "def f():\n    from oc_help import g\n",
                "oc_help": "from oc_far import h as g\n",
                "oc_far": "h = 1\n",
            },
            "oc_far",
        ),
        ({"oc_mine": "from oc_pack.inner import b\n", "oc_pack/inner/b": "B = 1\n"}, "oc_pack/inner/b"),
        ({"oc_mine": "import oc_pack.a\n", "oc_pack/__init__": "", "oc_pack/a": ""}, "oc_pack/__init__"),
        (
            {"oc_mine/__init__": "from . import a\n", "oc_mine/a": "from .b import B\n", "oc_mine/b": "B = 1\n"},
            "oc_mine/b",
        ),
        (
            {
                "oc_mine/__init__": "from .deep.a import A\n",
                "oc_mine/deep/a": "from ..b import B as A\n",
                "oc_mine/b": "B = 1\n",
            },
            "oc_mine/b",
        ),
        ({"oc_mine": "import oc_other\n", "oc_other": "import oc_mine\n"}, "oc_other"),
    ],
    ids=["itself", "helper", "helper's helper", "no __init__", "package above", "relative", "two above", "circle"],
)
def test_an_edit_of_what_a_module_imports_is_seen(files: dict[str, str], edited: str, place: Path) -> None:
    write(place, **files, oc_beside="A = 1\n")
    forget()
    digest_before = digest_now("oc_mine")
    before, names = found("oc_mine")
    assert "oc_beside.py" not in names and len(names) == len(files)
    write(place, oc_beside="A = 2\n")
    assert found("oc_mine")[0] == before, "nobody imports it"
    write(place, **{edited: files[edited] + "# a comment\n"})
    assert found("oc_mine")[0] != before == digest_before
    assert digest_now("oc_mine") == found("oc_mine")[0], "which is found without importing it"


def test_what_is_installed_and_the_program_do_not_belong_to_it(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(place, oc_mine="import json, numpy, mixexp.loss, oc_package\n", **{"lib/site-packages/oc_package": "A = 1\n"})
    monkeypatch.syspath_prepend(str(place / "lib" / "site-packages"))
    assert found("oc_mine")[1] == {"oc_mine.py"}


def test_the_code_that_counts_is_the_imported_one(place: Path) -> None:
    """Somebody edits their loss while a long sweep trains with the one before: what its runs leave was not made by the
    new one."""
    write(place, oc_edited="A = 1\n")
    first, _ = found("oc_edited")
    write(place, oc_edited="A = 2\n")
    assert source_of(sys.modules["oc_edited"]).digest == first != found("oc_edited")[0]


def test_only_trusted_modules_that_change_numbers_count(place: Path) -> None:
    write(place, oc_mine="", oc_other="", oc_logger="")
    config = {
        "loss": {"_target_": "oc_mine.Loss"},
        "logger": {"_target_": "oc_logger.L"},
        "mix": {"parts": [{"_target_": "oc_other.Part"}]},
    }
    assert sources(config, ["oc_mine"]) == {}, "not imported"
    for name in ("oc_mine", "oc_other", "oc_logger"):
        importlib.import_module(name)
    assert list(sources(config, ["oc_mine", "oc_other", "oc_logger"])) == ["oc_mine", "oc_other"]
    assert list(sources(config, ["oc_mine", "oc_ot"])) == ["oc_mine"]


def test_a_file_that_the_repository_lacks_is_an_uncommitted_change(place: Path) -> None:
    write(place / "a", mine="", helper="")
    write(place / "b", mine="", helper="")
    write(place / "none", mine="")
    for name, added in (("a", "."), ("b", "mine.py")):
        for words in (
            ["init", "-q"],
            ["add", added],
            ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "first"],
        ):
            subprocess.run(["git", *words], cwd=place / name, check=True)
    ours = Path(__file__).resolve()
    files = {name: [place / name / "mine.py", place / name / "helper.py"] for name in ("a", "b", "none")}
    states = own_git({**files, "in_the_programs_own": [ours], "built_in": []})
    assert {name: state["dirty"] for name, state in states.items()} == {"a": False, "b": True}


# --- an edited loss ---


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A repository with a loss of the user's own beside its folder of options, and a working directory without
    either."""
    write(tmp_path / "methods", my_loss=LOSS, helpers="def factor():\n    return 1\n")
    (tmp_path / "methods" / "conf" / "loss").mkdir(parents=True)
    (tmp_path / "methods" / "conf" / "loss" / "scaled.yaml").write_text(
        "# Cross-entropy, scaled.\n_target_: my_loss.Scaled\n"
    )
    for words in (
        ["init", "-q"],
        ["add", "."],
        ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "first"],
    ):
        subprocess.run(["git", *words], cwd=tmp_path / "methods", check=True)
    (tmp_path / "elsewhere").mkdir()
    return tmp_path


def sweep(project: Path, *words: str, plan: bool = False) -> tuple[str, str]:
    own = ("--config-dir=../methods/conf", "trusted_modules=[my_loss]", "loss=scaled", *SMALL)
    done = mixexp("plan" if plan else "-m", *own, *words, cwd=project / "elsewhere")
    return done.stdout, done.stderr


def losses(folder: Path) -> dict[int, float]:
    return {run.config["seed"]: run.result["last"]["train_loss"] for run in load_runs(folder)}


def environment(run: Path, **changed: Any) -> dict[str, Any]:
    path = run / "environment.json"
    record = {**read_environment(run), **changed}
    path.write_text(json.dumps({key: value for key, value in record.items() if value is not None}))
    return record


def test_an_edited_loss_is_noticed_made_again_on_demand_and_kept_apart(project: Path) -> None:
    out, errors = sweep(project, "seed=0,1,2")
    assert "3 runs, 3 done (0 of them before)" in out and "note" not in out, errors
    folder = project / "elsewhere" / "outputs" / "runs"
    first = losses(folder)
    made = [read_environment(run) for run in run_folders(folder)]
    assert all(list(one["own_code"]) == ["my_loss"] and one["own_code"] == made[0]["own_code"] for one in made)
    commit = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=project / "methods", capture_output=True, text=True, check=True
    ).stdout.strip()
    assert all(one["own_git"] == {"my_loss": {"commit": commit, "dirty": False}} for one in made)

    write(project / "methods", helpers="def factor():\n    return 2\n")
    for planned in (True, False):
        out, errors = sweep(project, "seed=0,1,2", plan=planned)
        (line,) = [line for line in out.splitlines() if line.startswith("note: ")]
        assert (
            line.startswith("note: 3 finished runs were made with other code of your own than there is now: ")
            and "retry=changed" in line
        )
        assert "3 runs: 3 done" in out if planned else "3 done (3 of them before)" in out, errors
    assert losses(folder) == first

    out, _ = sweep(project, "seed=0,1,2", "retry=changed", plan=True)
    assert "3 runs: 3 changed; about " in out
    out, errors = sweep(project, "seed=0,1", "retry=changed")
    assert "2 runs, 2 done (0 of them before)" in out and out.count("what it left is kept in .earlier/") == 2, errors
    second = losses(folder)
    assert {seed: round(second[seed] / first[seed], 1) > 1.5 for seed in first} == {0: True, 1: True, 2: False}
    kept = [load_runs(place)[0] for place in folder.glob("*/.earlier")]
    assert {run.config["seed"]: run.result["last"]["train_loss"] for run in kept} == {
        seed: first[seed] for seed in (0, 1)
    }
    again = [read_environment(run) for run in run_folders(folder)]
    assert sorted(one["own_git"]["my_loss"]["dirty"] for one in again) == [False, True, True]
    assert "2 done (2 of them before)" in sweep(project, "seed=0,1", "retry=changed")[0], (
        "what was made again is not made a third time"
    )

    done = mixexp("report", "outputs/runs", cwd=project / "elsewhere")
    assert "unlike runs (3)" in done.stdout, done.stdout + done.stderr
    assert "changed since" not in done.stdout, "the module is not found from here"
    done = mixexp("report", "--config-dir=../methods/conf", "outputs/runs", cwd=project / "elsewhere")
    assert "my_loss has changed since 1 of the 3 runs with it were made; retry=changed makes" in done.stdout
    write(project / "methods", helpers="def factor():\n    return 3\n")
    done = mixexp("report", "--config-dir=../methods/conf", "outputs/runs", cwd=project / "elsewhere")
    assert "my_loss has changed since all 3 runs with it were made; retry=changed makes" in done.stdout
    write(project / "methods", helpers="def factor():\n    return 2\n")
    for run in run_folders(folder):
        environment(run, own_code=None)
    assert "note" not in sweep(project, "seed=0,1,2", "retry=changed")[0], "a record without it is of any code"
    assert "unlike" not in mixexp("report", "outputs/runs", cwd=project / "elsewhere").stdout


@pytest.mark.parametrize("launcher", ["basic", "joblib"])
def test_a_module_in_the_folder_of_options_is_found_by_launchers_jobs_and_by_a_probe(
    launcher: str, project: Path
) -> None:
    if launcher == "joblib":
        pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    for name in ("my_loss", "helpers"):
        (project / "methods" / f"{name}.py").rename(project / "methods" / "conf" / f"{name}.py")
    own, cwd = ("--config-dir=../methods/conf", "trusted_modules=[my_loss]"), project / "elsewhere"
    done = mixexp("-m", *own, "loss=scaled", *SMALL, "keep_checkpoint=true", f"hydra/launcher={launcher}", cwd=cwd)
    assert "1 run, 1 done" in done.stdout, done.stderr
    run = run_folders(cwd / "outputs" / "runs")[0]
    assert list(read_environment(run)["own_code"]) == ["my_loss"]
    assert (
        "No module named 'my_loss' in the working directory."
        in mixexp("probe", str(run), "probe=training_error", own[1], cwd=cwd).stderr
    )
    assert "probe_training_error.csv" in mixexp("probe", str(run), "probe=training_error", *own, cwd=cwd).stdout
    write(project / "methods" / "conf", helpers="def factor():\n    return 2\n")
    done = mixexp("probe", str(run), "probe=training_error", "--again", *own, cwd=cwd)
    assert "code of your own has changed since it was trained" in done.stderr and done.returncode == 0


def planned(folder: Path, own_code: dict[str, str], retry: str | None) -> SimpleNamespace:
    config = SimpleNamespace(own_code=own_code, retry=retry, keep="last")
    return SimpleNamespace(folder=folder, config=config, first=None)


def test_a_failed_run_is_tried_again_where_its_code_has_changed(tmp_path: Path) -> None:
    (tmp_path / "error.txt").write_text("RuntimeError: no\n")
    (tmp_path / "environment.json").write_text(json.dumps({"own_code": {"a": "1"}}))

    def left(own_code: dict[str, str], retry: str | None) -> bool:
        run = planned(tmp_path, own_code, retry)
        assert stale([run]) == [], "it is not a finished run"
        return earlier_end(run, to_remake([run])) is not None

    assert left({"a": "1"}, "changed") and left({"a": "2"}, None)
    assert not left({"a": "2"}, "changed") and not left({"a": "1"}, "failed")


def test_what_is_set_aside_is_never_lost_wherever_it_is_interrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = len(list(leave(tmp_path / "whole").iterdir()))
    for survives in range(count + 1):
        folder = leave(tmp_path / f"run{survives}")
        (folder / ".lock").touch()
        before = {path.name: path.read_text() for path in folder.iterdir() if path.name != ".lock"}
        done, rename = iter(range(survives)), Path.rename

        def move(path: Path, target: Path, done: Iterator[int] = done, rename: Any = rename) -> Path:
            if next(done, None) is None:
                raise KeyboardInterrupt
            return rename(path, target)

        monkeypatch.setattr(Path, "rename", move)
        notes: list[str] = []
        with contextlib.suppress(KeyboardInterrupt):
            set_aside(folder, ("own_code",), notes.append)
        monkeypatch.setattr(Path, "rename", rename)
        there = {path.name: path.read_text() for path in folder.rglob("*.*") if path.is_file() and path.name != ".lock"}
        assert all(
            note.startswith("made with other code of your own than there is now; what it left") for note in notes
        )
        assert there == before and len(notes) == (survives == count) and (folder / ".lock").exists()
        assert load_state(folder).outcome == (
            "finished" if survives == 0 else "unfinished" if survives == count else "damaged"
        )
        assert [run.folder for run in everywhere([folder])] == [folder] * (survives < count), (
            "readers pass over what is set aside"
        )
        if 0 < survives < count:
            set_aside(folder, (), notes.append)  # as when the run is made again after all
            assert notes[-1].startswith("set aside before, but not all of it; what it left")
            assert {
                path.name: path.read_text() for path in (folder / ".earlier").rglob("*.*") if path.is_file()
            } == before


# --- what reports make of it, on folders written by hand ---


def leave_two(folder: Path, first: dict[str, str], second: dict[str, str]) -> None:
    """Two settings with three seeds each, made with these hashes of the user's own modules."""
    for mix, own in (("none", first), ("mixup", second)):
        for seed, accuracy in enumerate((0.50, 0.53, 0.56)):
            environment(
                leave(folder / f"{mix}{seed}", (accuracy + 0.1 * (mix == "mixup"),), mix=mix, seed=seed, table=None),
                own_code=own or None,
            )


@pytest.mark.parametrize(
    ("first", "second", "n"),
    [
        ({"a": "1"}, {"a": "1"}, 3),
        ({"a": "1"}, {"a": "2"}, 0),
        ({"a": "1"}, {"b": "2"}, 3),
        ({"a": "1"}, {}, 3),
        ({}, {}, 3),
    ],
    ids=["one version", "two versions", "two modules", "no record", "none"],
)
def test_a_difference_is_formed_unless_a_module_has_two_versions(
    first: dict[str, str], second: dict[str, str], n: int, tmp_path: Path
) -> None:
    leave_two(tmp_path, first, second)
    table = build_table(load_runs(tmp_path))
    assert [one.result.n for one in contrasts(table)] == [n] * (n > 0) and not table.unlike
    assert [remark for remark in table.remarks if "versions" in remark] == [
        "The runs were made with 2 versions of a."
    ] * (n == 0)


def test_a_cell_of_two_versions_has_no_mean(tmp_path: Path) -> None:
    leave_two(tmp_path, {"a": "1"}, {"a": "1"})
    environment(tmp_path / "none2", own_code={"a": "2"})
    table = build_table(load_runs(tmp_path))
    assert list(table.unlike.values()) == [["the code of one's own"]]
    copy = environment(leave(tmp_path / "copy", (0.9,), seed=0, table=None), own_code={"a": "2"})
    assert copy and len(gather([tmp_path])[0]) == 7, "a run of another version is not a copy"


def test_two_folders_of_two_versions_are_compared_with_a_remark(tmp_path: Path) -> None:
    for name, version in (("old", "1" * 16), ("new", "2" * 16)):
        leave_two(tmp_path / name, {"a": version}, {"b": "3"})
    names = str(tmp_path / "old"), str(tmp_path / "new")
    found = compare(names, sides(names, [tmp_path]), of_metric("accuracy"), "last")
    assert [one.verdict("higher") for one in found.changes] == ["identical", "identical"]
    text = document(found, of_metric("accuracy"), "last")
    assert "| code of one's own | a 111111 or b 3 | a 222222 or b 3 |" in text
    assert "\n\nThe sides have different versions of a: differences can come from there.\n\n" in text
    environment(tmp_path / "new" / "none2", own_code={"a": "1" * 16})
    found = compare(names, sides(names, [tmp_path]), of_metric("accuracy"), "last")
    assert [one.verdict("higher") for one in found.changes].count(
        "unlike runs: they differ in the code of one's own"
    ) == 1, "one side has both"


def test_two_folders_of_one_version_have_no_remark(tmp_path: Path) -> None:
    leave_two(tmp_path / "old", {"a": "1"}, {"b": "3"})
    leave_two(tmp_path / "new", {"a": "1"}, {"c": "4"})
    names = str(tmp_path / "old"), str(tmp_path / "new")
    found = compare(names, sides(names, [tmp_path]), of_metric("accuracy"), "last")
    assert "different versions" not in document(found, of_metric("accuracy"), "last")


def test_versions_of_a_method_are_ranked_apart_and_those_of_a_network_are_other_protocols(tmp_path: Path) -> None:
    for seed in range(4):
        for mix in ("none", "mixup"):
            own = {"x": "1" * 8 if seed < 2 else "2" * 8, "net": "3"} if mix == "mixup" else {"net": "3"}
            environment(
                leave(tmp_path / f"{mix}{seed}", (0.5,), mix=mix, seed=seed, model={"_target_": "net.Net"}),
                own_code=own,
            )
    rows = leaderboard(load_runs(tmp_path), "accuracy", "last")
    # every mix of these folders is of the module x; "none" was recorded without it
    assert sorted((row.method, len(row.values)) for row in rows) == [
        ("mixup, x 111111", 2),
        ("mixup, x 222222", 2),
        ("none", 4),
    ]
    assert len({row.protocol for row in rows}) == 1
    environment(tmp_path / "none0", own_code={"net": "4"})
    rows = leaderboard(load_runs(tmp_path), "accuracy", "last")
    assert len({row.protocol for row in rows}) == 2 and all("net" in row.words for row in rows)


@pytest.mark.parametrize(
    ("now", "remarks"),
    [
        ({"a": "1", "b": "2"}, []),
        ({"a": "2", "b": "2"}, ["a has changed since all 3 runs with it were made"]),
        ({"b": "3"}, ["b has changed since all 3 runs with it were made"]),
        ({}, []),
    ],
    ids=["as they were", "one changed", "the other one, the first not found", "not found"],
)
def test_runs_of_old_code_alone_are_said_to_be_so(now: dict[str, str], remarks: list[str], tmp_path: Path) -> None:
    leave_two(tmp_path, {"a": "1"}, {"b": "2"})
    again = "; retry=changed makes such runs again."
    assert outdated(load_runs(tmp_path), now.get) == [f"{remark}{again}" for remark in remarks]
    one = [run for run in load_runs(tmp_path) if run.folder.name == "none0"]
    assert outdated(one, {"a": "2"}.get) == [f"a has changed since the only run with it was made{again}"]
    write_report([tmp_path], out=tmp_path / "report", code_now=now.get)
    text = (tmp_path / "report" / "table.md").read_text(encoding="utf-8")
    assert text.count("has changed since") == len(remarks)


@pytest.mark.parametrize("record", [3, [1], {"a": [1]}, "x"], ids=str)
def test_a_record_may_hold_anything(record: Any, tmp_path: Path) -> None:
    leave_two(tmp_path, {"a": "1"}, {"a": "1"})
    environment(tmp_path / "none0", own_code=record)
    assert build_table(load_runs(tmp_path)).cells and leaderboard(load_runs(tmp_path), "accuracy", "last")

"""--json: standard output is one object of the documented form, and docs/json.md has every key of it."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hydra.core.global_hydra import GlobalHydra
from test_abandoned import leave_plan
from test_claims import own  # noqa: F401  a fixture
from test_report import TABLE, leave
from test_status import begun, ended

from mixexp import cli
from mixexp.errors import plain_json

PAGE = (Path(__file__).resolve().parents[1] / "docs" / "json.md").read_text(encoding="utf-8")
TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "number": (float, int),
    "integer": (int,),
    "boolean": (bool,),
    "list": (list,),
    "object": (dict,),
    "any": (object,),
}


def documented() -> dict[str, dict[str, str]]:
    """Schema → key → type, as the page has them."""
    sections = re.split(r"^## ", PAGE, flags=re.MULTILINE)[1:]
    return {
        re.search(r"`(mixexp\.\w+/\d+)`", section)[1]: dict(
            re.findall(r"^\| `([^`]+)` \| (\S+) \| .+ \|$", section, re.MULTILINE)
        )
        for section in sections
    }


FORMS = documented()


def keys_of(value: Any, known: dict[str, str], path: str = "") -> Iterator[tuple[str, Any]]:
    """Every key of an object with its value, written as the page writes it."""
    if isinstance(value, dict):
        for key, inner in value.items():
            below = f"{path}.{key}" if path else key
            if path and any(name.startswith(f"{path}{{}}") for name in known):
                below = f"{path}{{}}"
            yield below, inner
            yield from keys_of(inner, known, below)
    elif isinstance(value, list):
        for inner in value:
            yield from keys_of(inner, known, f"{path}[]")


def check(output: str) -> tuple[dict[str, Any], set[str]]:
    """The object, whose keys and types are those of the page; and the keys."""
    found = json.loads(output)
    known = FORMS[found["schema"]]
    seen = set()
    for key, value in keys_of(found, known):
        assert key in known, f"{found['schema']}: {key} is not in docs/json.md"
        kind = known[key]
        allowed = TYPES[kind.rstrip("?")]
        fits = isinstance(value, allowed) and (kind == "any" or not isinstance(value, bool) or bool in allowed)
        assert fits or (value is None and (kind.endswith("?") or kind == "any")), (key, value)
        seen.add(key)
    return found, seen


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """`mixexp` in this process: its exit code, standard output and standard error."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")

    def run(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["mixexp", *words])
        capsys.readouterr()
        code = 0
        try:
            cli.main()
        except SystemExit as end:
            code = end.code or 0
        finally:
            GlobalHydra.instance().clear()
        return (code, *capsys.readouterr())

    return run


@pytest.fixture
def outputs(tmp_path: Path) -> Path:
    """Runs of two mixes and three seeds, one that failed, and the same runs in another folder with other numbers."""
    for folder, shift in (("a", 0.0), ("b", 0.1)):
        for mix, level in (("none", 0.4), ("mixup", 0.5)):
            for seed in range(3):
                rows = (0.1, level + shift * (1 + seed / 10) + seed / 50)
                leave(tmp_path / "outputs" / folder / f"{mix}{seed}", rows, mix=mix, seed=seed, epochs=30 + 10 * shift)
    broken = leave(tmp_path / "outputs" / "a" / "broken", mix="none", seed=9, outcome=None)
    (broken / "error.txt").write_text("RuntimeError: it broke\n")
    return tmp_path / "outputs"


def test_the_forms_of_the_page_are_those_of_the_commands():
    with_json = {
        name for name, command in cli.COMMANDS.items() if any(a.dest == "json" for a in command.parser()._actions)
    }
    assert FORMS.keys() == {f"mixexp.{name}/1" for name in with_json}
    assert with_json >= {"plan", "status", "report", "compare", "leaderboard", "list", "claims", "runs"}


def test_list(call, tmp_path):
    (tmp_path / "mixexp.yaml").write_text("output_dir: results\n")
    seen = set()
    for words in ((), ("mix",), ("mix=mixup",), ("settings",), ("table",), ("figures",), ("experiment=quickstart",)):
        code, out, errors = call("list", *words, "--json")
        assert (code, errors) == (0, "")
        found, keys = check(out)
        seen |= keys
        assert (found["project_file"] is not None) == (words in ((), ("settings",)))
    assert seen == FORMS["mixexp.list/1"].keys()
    groups = json.loads(call("list", "losses", "--json")[1] or "{}")
    assert not groups, "a group that is not there is refused"
    assert "focal" in [one["option"] for one in json.loads(call("list", "loss", "--json")[1])["groups"]["loss"]]


def test_plan(call, tmp_path):
    words = ("mix=none,mixup", "mix_layer=input,final", "epochs=1", "model.width=4", "steps=null", "loss.nothing=1")
    code, out, errors = call("plan", *words[:4], "--json")
    assert (code, errors) == (0, "")
    found, seen = check(out)
    assert seen == FORMS["mixexp.plan/1"].keys() - {"runs[].last{}"}
    assert found["cells"] == 4 and len(found["runs"]) == 3 and found["counts"] == {"missing": 3}
    assert found["guessed"] and found["seconds_left"] > 0 and found["refused"] == 0
    code, out, errors = call("plan", "mix=mixup", "alpha=0.5,-1", "epochs=1", "--json")
    assert code == 2 and "alpha = -1" in errors
    assert check(out)[0]["refused"] == 1 and len(json.loads(out)["runs"]) == 1


def test_status(call, tmp_path):
    folder = tmp_path / "sweep"
    leave_plan(folder, "a", "b", "c", age=10)
    ended(folder / "a")
    begun(folder / "b", rows=(20,))
    code, out, errors = call("status", "sweep", "sweep", "--json")
    assert (code, errors) == (0, "")
    found, seen = check(out)
    assert seen == FORMS["mixexp.status/1"].keys()
    one, _ = found["folders"]
    assert one["over"] and one["counts"] == {"done": 1, "interrupted": 1, "missing": 1}
    assert "stopped: no process works on the 2 runs left" in one["remarks"][0]
    assert one["command"] == "mixexp -m mix=none,mixup"


def test_runs(call, outputs):
    code, out, errors = call("runs", "outputs/a", "outputs/b", "mix=mixup", "--json")
    found, seen = check(out)
    assert (code, errors) == (0, "") and seen == FORMS["mixexp.runs/1"].keys()
    assert found["found"] == 13 and len(found["runs"]) == 6
    assert {run["settings"]["mix"] for run in found["runs"]} == {"mixup"}
    failed = check(call("runs", "outputs", "outcome=failed", "--json")[1])[0]["runs"]
    assert [run["problem"] for run in failed] == ["RuntimeError: it broke"]


def test_report(call, outputs):
    code, out, errors = call("report", "outputs/a", "--json", "--figure", "scores:file=one")
    found, seen = check(out)
    assert (code, errors) == (0, "") and seen == FORMS["mixexp.report/1"].keys()
    (table,) = found["tables"]
    assert (table["runs"], table["with_result"], table["title"]) == (7, 6, TABLE["title"])
    cell = next(one for one in table["cells"] if one["column"] == "label-mix" and one["rule"] == "last")
    assert cell["ours"] == pytest.approx(52.0) and cell["published"] == 57.84
    assert all(Path(name).exists() for name in found["files"])


def test_compare(call, outputs):
    code, out, errors = call("compare", "outputs/a", "outputs/b", "--json", "--out", "comparison")
    found, seen = check(out)
    assert (code, errors) == (0, "")
    assert FORMS["mixexp.compare/1"].keys() - seen <= {"circumstances{}"}
    assert found["first"] == "a" and found["settings"] == {"epochs": ["30", "31"]}
    assert {change["verdict"] for change in found["changes"]} == {"better"}
    assert found["without_number"] == [{"run_id": "broken", "outcome": "failed", "problem": "RuntimeError: it broke"}]


def test_leaderboard(call, outputs):
    code, out, errors = call("leaderboard", "--json", "--out", "board")
    found, seen = check(out)
    assert (code, errors) == (0, "") and seen == FORMS["mixexp.leaderboard/1"].keys()
    assert found["not_ranked"] == {"failed": 1} and {one["n"] for one in found["methods"]} == {3}
    assert all(len(one["folders"]) == one["n"] for one in found["methods"])


@pytest.mark.usefixtures("own")
def test_claims(call):
    code, out, errors = call("claims", "little", "--json", "--config-dir", "conf")
    _, seen = check(out)
    assert (code, errors) == (0, "") and seen == FORMS["mixexp.claims/1"].keys()


def test_what_json_has_no_type_for():
    value = {1: float("nan"), "a": [Path("x"), float("inf"), True, None, 2], "b": (1.5,)}
    assert plain_json(value) == {"1": None, "a": ["x", None, True, None, 2], "b": [1.5]}

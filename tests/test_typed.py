"""Where a setting is a text, a number typed for it is its characters; where it is a whole number, 1e1 is ten."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
import yaml
from commands import mixexp
from hydra.core.override_parser.overrides_parser import OverridesParser
from pydantic import Field

from mixexp.plan.coerce import settle
from mixexp.plan.compose import compose
from mixexp.plan.identity import run_id
from mixexp.plan.typed import characters
from mixexp.plan.typed import typed_values as values

CSV = ("dataset=csv", "dataset.file=flowers.csv", "dataset.label=species")
SMALL = ("model=mlp", "model.hidden=[4]", "epochs=1", "dataset.file=numbers.csv")
COLUMNS = ("4", "007", "1e3", "1_000", "true", "null", "x")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a table whose columns have the names of numbers; each of the first six could be the classes."""
    monkeypatch.delenv("MIXEXP_DATA", raising=False)  # where its data folder would not be looked for
    rows = [
        ",".join([*(f"c{n * (2 * k + 3) % 11 % 2}" for k in range(len(COLUMNS) - 1)), str(n * 5 % 13 / 7)])
        for n in range(40)
    ]
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "numbers.csv").write_text("\n".join([",".join(COLUMNS), *rows]) + "\n", encoding="utf-8")
    return tmp_path


def configs(folder: Path) -> list[dict[str, Any]]:
    return [yaml.safe_load(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*/config.yaml"))]


# --- a single configuration ---


@pytest.mark.parametrize(
    "typed",
    ["4", "007", "1e3", "1_000", "true", "True", "null", "NULL", "1.50", "+5", ".5", "-3", "nan", "1e400", "0x1f", "a"],
)
def test_what_is_typed_for_a_text_is_the_text(typed: str) -> None:
    bare = compose([*CSV, f"dataset.label={typed}", f"dataset.drop=[{typed},x]", f"name={typed}"])
    quoted = compose([*CSV, f"dataset.label='{typed}'", f"dataset.drop=['{typed}',x]", f"name='{typed}'"])
    assert bare == quoted
    assert (bare["dataset"]["label"], bare["dataset"]["drop"], bare["name"]) == (typed, [typed, "x"], typed)
    assert run_id(bare) == run_id(quoted)


@pytest.mark.parametrize(
    ("words", "key", "value"),
    [
        (["dataset=image_folder", "dataset.folder=007"], "folder", "007"),
        (
            ["dataset=csv", "dataset.file=1", "dataset.label=1", "dataset.label=2e0"],
            "label",
            "2e0",
        ),  # the last one counts
        (["dataset=csv", "dataset.file=1", "++dataset.label=00"], "label", "00"),
        (["dataset=csv", "dataset={label: 00, file: 1e3}"], "file", "1e3"),
        ([*CSV, "dataset.label=${seed}"], "label", "0"),
        ([*CSV, "dataset.label=str(1e3)"], "label", "1000.0"),  # as Hydra's function makes it
    ],
    ids=str,
)
def test_whatever_way_it_is_typed(words: list[str], key: str, value: str) -> None:
    assert compose(words)["dataset"][key] == value


def test_folders_are_texts_wherever_they_are_referred_to() -> None:
    config = compose(["dataset=cifar10", "data_dir=007", "output_dir=2024"])
    assert config["data_dir"] == config["dataset"]["data_dir"] == str(Path("007").absolute())
    assert config["output_dir"] == "2024"


def test_numbers_null_and_booleans_stay_what_they_are_where_no_text_is_wanted() -> None:
    config = compose(
        [
            "optimizer.lr=1e-1",
            "dataset.mean=null",
            "drop_last=true",
            "mix=mixup",
            "mix.step_size=null",
            "retry=null",
            "logger=mlflow",
        ]
    )
    assert (config["optimizer"]["lr"], config["dataset"]["mean"], config["drop_last"], config["mix"]["step_size"]) == (
        0.1,
        None,
        True,
        None,
    )
    assert config["retry"] is None and config["logger"]["tracking_uri"] is None, "a text or null: null is null"
    assert compose(["logger=mlflow", "logger.tracking_uri=3"])["logger"]["tracking_uri"] == "3"


@pytest.mark.parametrize(
    ("word", "key", "value"),
    [
        ("epochs=1e1", "epochs", 10),
        ("epochs=3.0", "epochs", 3),
        ("steps=2_000", "steps", 2000),
        ("runs_per_device=2.0", "runs_per_device", 2),
    ],
)
def test_a_whole_number_may_be_written_as_any_number(word: str, key: str, value: int) -> None:
    found = compose([word])
    assert found[key] == value and type(found[key]) is int
    assert run_id(found) == run_id(compose([f"{key}={value}"]))
    assert compose(["epochs=1.5"])["epochs"] == 1.5, "which is refused"


def test_whole_numbers_in_lists_and_inner_nodes_too() -> None:
    assert json.dumps(compose(["model=mlp", "model.hidden=[1e1,8]"])["model"]["hidden"]) == "[10, 8]"
    assert json.dumps(compose(["mix=mixup_knn", "mix.pairing.k=1e1"])["mix"]["pairing"]["k"]) == "10"
    assert json.dumps(compose(["optimizer.lr=1"])["optimizer"]["lr"]) == "1", "a number is written as it was"


@pytest.mark.parametrize(
    ("hint", "value", "typed", "settled"),
    [
        (str, 7, "007", "007"),
        (str, 7, None, "7"),
        (str, True, None, "true"),
        (str, None, None, None),
        (str, [4], ["4"], [4]),
        (list[str], [4, "a", 1000.0], ["4", "a", "1e3"], ["4", "a", "1e3"]),
        (list[list[str]], [[7]], [["07"]], [["07"]]),
        (Annotated[list[Annotated[str, Field(min_length=1)]], Field(min_length=1)] | None, [0], ["0"], ["0"]),
        (str | None, None, "null", None),
        (str | float, 4, "4", 4),
        (Literal["18", "34"], 18, "18", "18"),
        (Literal["18", "34"], 17, "17", 17),
        (Literal["auto"] | Annotated[int, Field(gt=0)], 2.0, "2.0", 2),
        (int, 1e300, "1e300", int(1e300)),
        (int, True, "true", True),
        (bool, 1, "1", 1),
        (float, 3, "3", 3),
        (dict[str, str], {"a": 1}, None, {"a": 1}),
        (Any, 4, "4", 4),
    ],
    ids=str,
)
def test_a_value_is_settled_by_its_type(hint: Any, value: Any, typed: Any, settled: Any) -> None:
    assert repr(settle(hint, value, typed)) == repr(settled)


# --- sweeps, files, commands ---


@pytest.mark.parametrize(
    ("word", "texts"),
    [
        ("lr=1e-3,0.10", ["1e-3", "0.10"]),
        ("label=007, 1_000 ,'a b',\"x,y\"", ["007", "1_000", "'a b'", '"x,y"']),
        ("drop=[0,1],[]", ["[0,1]", "[]"]),
        ("label=choice(1e3,True)", ["1e3", "True"]),
        ("seed=range(1,4)", ["1", "2", "3"]),
        ("lr=0.10", ["0.10"]),
        ("seed=int(3.0)", ["3"]),
        ("seed=", [""]),
    ],
)
def test_a_sweeps_values_are_as_typed(word: str, texts: list[str]) -> None:
    assert values(OverridesParser.create().parse_override(word)) == texts


def test_the_characters_of_what_hydra_can_read_are_known() -> None:
    words = ["a.b=007", "+c=[1e3,[x]]", "d={e: 1_0, f: {g: null}}", "h=int(3)", "~i", "j=", "k=1,2", "a.b=.5"]
    assert characters(words) == {"a.b": ".5", "c": ["1e3", ["x"]], "d.e": "1_0", "d.f.g": "null", "h": None}


def test_a_sweep_over_labels_trains_on_the_columns_typed(folder: Path) -> None:
    result = mixexp(
        "-m", *SMALL, "dataset=csv", "dataset.drop=[null,true]", "dataset.label=007,1e3,1_000", "name=2024", cwd=folder
    )
    assert result.returncode == 0, result.stderr
    found = configs(folder / "outputs" / "2024")
    assert sorted(config["dataset"]["label"] for config in found) == ["007", "1_000", "1e3"]
    assert all(config["dataset"]["drop"] == ["null", "true"] and config["name"] == "2024" for config in found)
    again = mixexp(
        "plan", "dataset=csv", *SMALL, "dataset.drop=['null','true']", "dataset.label='1e3'", "name='2024'", cwd=folder
    )
    assert "1 done" in again.stdout, again.stdout + again.stderr


LOOKS = """# @package _global_
# Labels that look like numbers.
defaults:
  - override /dataset: numbers
  - override /model: mlp
name: 2024
epochs: 1.0e+0
dataset: {label: 1e3, drop: [true, 1_000, "null", no, 0x10]}
model: {hidden: [4]}
hydra: {sweeper: {grid: [{dataset.label: [4, '007']}]}}
"""
NUMBERS = """# A table whose label looks like a number.
defaults: [csv]
file: 1e3
label: 007
"""


def own_options(folder: Path) -> Path:
    for name, text in (("experiment/digits_only", LOOKS), ("dataset/numbers", NUMBERS)):
        (folder / "conf" / name).parent.mkdir(parents=True)
        (folder / "conf" / f"{name}.yaml").write_text(text, encoding="utf-8")
    return folder / "conf"


def test_what_a_file_has_for_a_text_is_the_text(tmp_path: Path) -> None:
    own = [own_options(tmp_path)]
    data = compose(["dataset=numbers"], own)["dataset"]
    assert (data["file"], data["label"]) == ("1e3", "007")
    config = compose(["experiment=digits_only"], own)
    assert config["dataset"] == {**data, "label": "1e3", "drop": ["true", "1_000", "null", "no", "0x10"]}
    assert (config["name"], config["epochs"], config["model"]["hidden"]) == ("2024", 1, [4])
    config = compose(["experiment=digits_only", "dataset.label=1_6", "dataset.drop=[1e3]"], own)
    assert (config["dataset"]["label"], config["dataset"]["drop"]) == ("1_6", ["1e3"]), (
        "what is typed in the command counts"
    )


def test_an_experiment_of_such_labels_runs_in_every_command(mixexp_here: Any, folder: Path) -> None:
    own_options(folder)
    words = ("--config-dir=conf", "dataset.file=numbers.csv", "dataset.drop=[true,1_000]")
    result = mixexp("reproduce", "digits_only", *words, cwd=folder)
    assert result.returncode == 0, result.stderr
    found = configs(folder / "outputs" / "2024")
    assert sorted(config["dataset"]["label"] for config in found) == ["007", "4"]
    data = mixexp_here("data", "csv", "dataset.file=numbers.csv", "dataset.label=1e3", cwd=folder)
    assert data.returncode == 0 and "csv: 32 training and 8 test" in data.stdout, data.stdout + data.stderr


def test_values_left_empty_are_refused_and_nothing_is_written(mixexp_here: Any, folder: Path) -> None:
    result = mixexp_here(
        "steps=", "output_dir=", "data_dir=", "optimizer.lr=", "mix=mixup", "mix.ratio.per=", cwd=folder
    )
    assert result.returncode == 2 and "Traceback" not in result.stderr
    named = [line.removeprefix("mixexp: ").split("=:")[0] for line in result.stderr.splitlines()]
    assert named == ["steps", "data_dir", "output_dir", "mix.ratio.per", "optimizer.lr"]
    assert [path.name for path in folder.iterdir()] == ["data"]

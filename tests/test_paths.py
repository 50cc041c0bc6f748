"""The user's own files and folders: where they are looked for, and what that means for a run's identity."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from commands import mixexp
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from running import errors_of, write_tones

from mixexp import errors
from mixexp.plan.compose import compose
from mixexp.plan.identity import run_id
from mixexp.plan.options import expand_home
from mixexp.text import override
from mixexp.training import data

TABLE = "x,kind\n" + "".join(f"{i * i},{'ab'[i % 2]}\n" for i in range(20))
CSV = ("dataset=csv", "dataset.file=table.csv", "dataset.label=kind", "model=mlp")


def write_pictures(folder: Path) -> None:
    for name in ("cat", "dog"):
        (folder / name).mkdir(parents=True)
        for k in range(3):
            Image.fromarray(np.full((4, 4, 3), 40 * k, np.uint8)).save(folder / name / f"{k}.png")


MADE = {
    "csv": ("file", lambda path: path.write_text(TABLE), ("dataset.label=kind",)),
    "image_folder": ("folder", write_pictures, ()),
    "sound_folder": (
        "folder",
        lambda path: write_tones(path, 2, 2),
        ("dataset.sample_rate=8000", "dataset.seconds=0.05"),
    ),
}


@pytest.fixture
def typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where commands are typed; data_dir lies beside it."""
    for name in ("typed", "data"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "typed")
    monkeypatch.setenv("MIXEXP_DATA", str(tmp_path / "data"))
    errors.note.cache_clear()
    return tmp_path / "typed"


@pytest.mark.parametrize("option", MADE)
def test_what_lies_where_the_command_is_typed_is_found_and_named_in_full(option: str, typed: Path, capsys: Any) -> None:
    kind, make, words = MADE[option]
    make(typed / "mine")
    config = compose([f"dataset={option}", f"dataset.{kind}=mine", *words])
    assert config["dataset"][kind] == str(typed / "mine")
    make(typed.parent / "data" / "mine")
    assert capsys.readouterr().err == ""
    again = compose([f"dataset={option}", f"dataset.{kind}=mine", *words])
    assert run_id(again) == run_id(config), "where it is typed comes first"
    below = typed.parent / "data" / "mine"
    assert (
        capsys.readouterr().err
        == f"note: dataset.{kind}: {typed / 'mine'} is used; for the one in data_dir type dataset.{kind}={below}\n"
    )
    assert len(data.load(config["dataset"])[1].train_labels) > 0


@pytest.mark.parametrize("option", MADE)
def test_what_lies_in_data_dir_keeps_its_name_and_identity(
    option: str, typed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind, make, words = MADE[option]
    below = typed.parent / "data" / "mine"
    make(below)
    config = compose([f"dataset={option}", f"dataset.{kind}=mine", *words])
    assert config["dataset"][kind] == "mine" and config["dataset"]["root"] == str(typed.parent / "data")
    monkeypatch.chdir(typed.parent)
    beside = compose([f"dataset={option}", f"dataset.{kind}=data/mine", *words])
    assert run_id(beside) == run_id(config), "the same one, typed with its folder"
    monkeypatch.chdir(typed.parent / "data")
    assert run_id(compose([f"dataset={option}", f"dataset.{kind}=mine", *words])) == run_id(config)


def test_a_link_where_the_command_is_typed_to_the_one_in_data_dir_is_that_one(typed: Path, capsys: Any) -> None:
    (typed.parent / "data" / "table.csv").write_text(TABLE)
    (typed / "table.csv").symlink_to(typed.parent / "data" / "table.csv")
    assert compose(CSV)["dataset"]["file"] == "table.csv" and capsys.readouterr().err == ""


def test_a_name_through_the_parent_folder_means_the_same_from_everywhere(
    typed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (typed / "table.csv").write_text(TABLE)
    found = []
    for name, word in (("one", "../table.csv"), ("two/three", "../../table.csv")):
        (typed / name).mkdir(parents=True)
        monkeypatch.chdir(typed / name)
        found.append(compose([*CSV, f"dataset.file={word}"]))
    assert [config["dataset"]["file"] for config in found] == [str(typed / "table.csv")] * 2
    assert run_id(found[0]) == run_id(found[1])


def test_a_folder_of_the_files_name_is_not_the_file(typed: Path) -> None:
    (typed / "table.csv").mkdir()
    (typed.parent / "data" / "table.csv").write_text(TABLE)
    assert errors_of(compose(CSV)) == []


@pytest.mark.parametrize("option", MADE)
def test_both_places_are_named_where_neither_has_it(option: str, typed: Path) -> None:
    kind, make, words = MADE[option]
    below = typed.parent / "data"
    (message,) = errors_of(compose([f"dataset={option}", f"dataset.{kind}=mine", *words, "model=mlp"]))
    assert (
        message
        == f"There is no {kind} {below / 'mine'} (in data_dir) and none {typed / 'mine'} (where the command is typed): "
        f"set dataset.{kind}, absolute or relative to either."
    )
    make(typed / "my one")
    (message,) = errors_of(compose([f"dataset={option}", f"dataset.{kind}=myone", *words, "model=mlp"]))
    assert message.endswith(f"""relative to either. Did you mean 'dataset.{kind}="my one"'?""")
    (message,) = errors_of(compose([f"dataset={option}", f"dataset.{kind}=/no/such", *words, "model=mlp"]))
    assert message == f"There is no {kind} /no/such: set dataset.{kind}, absolute or relative to data_dir."


def test_names_of_any_kind_are_refused_in_one_message(typed: Path) -> None:
    for name in ("x" * 300, "~nobody/x.csv", "table.csv/x.csv"):
        (message,) = errors_of(compose([*CSV, f"dataset.file='{name}'"]))
        assert message.startswith("There is no file ")


def test_a_run_goes_on_from_another_folder(typed: Path) -> None:
    lines = TABLE.splitlines()
    (typed / "table.csv").write_text(
        "\n".join([f",id,{lines[0]}", *(f"r{n},{n},{line}" for n, line in enumerate(lines[1:]))])
    )
    words = (f"output_dir={typed.parent / 'out'}", "name=one", "epochs=1", "threads=1")
    done = mixexp(*CSV, *words, cwd=typed)
    assert done.returncode == 0, done.stderr
    unused, wanted = "Unnamed: 0 (no name), id (numbers the rows)", """'dataset.keep=["Unnamed: 0",id]'"""
    note = f"note: {typed / 'table.csv'}: not used: {unused}; to use them type {wanted}"
    assert [line for line in done.stderr.splitlines() if "note" in line] == [note], "by the check and by the run once"
    again = mixexp(*CSV, f"dataset.file={typed / 'table.csv'}", *words, cwd=typed.parent)
    assert again.returncode == 0 and "already finished" in again.stdout
    (record,) = (typed.parent / "out" / "one").glob("*/config.yaml")
    assert yaml.safe_load(record.read_text())["dataset"]["file"] == str(typed / "table.csv")


def test_a_path_may_begin_with_the_home_folder(typed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = typed.parent / "my home"
    home.mkdir()
    (home / "table.csv").write_text(TABLE)
    monkeypatch.setenv("HOME", str(home))
    parse = OverridesParser.create().parse_override
    assert expand_home("dataset.file=~/table.csv") == f'dataset.file="{home}/table.csv"'
    assert parse(expand_home("a=[~/x.csv,~,b]")).value() == [f"{home}/x.csv", str(home), "b"]
    assert [w for w in ("~probe", "x='a~'", "~/folder") if expand_home(w) != w] == []
    done = mixexp("data", "csv", "dataset.file=~/table.csv", "dataset.label=kind", cwd=typed, HOME=str(home))
    assert done.returncode == 0 and done.stdout.startswith("csv: 16 training"), done.stderr
    wrong = mixexp(
        "data",
        "csv",
        "dataset.file=~/table.csv",
        "dataset.label=kind",
        "dataset.keep=x",
        "dataset.decimal=x",
        cwd=typed,
    )
    assert (
        wrong.returncode == 2
        and "dataset.keep = x: needs a list of texts, or null. Did you mean 'dataset.keep=[x]'?" in wrong.stderr
    )
    assert (
        'dataset.decimal = x: needs ".", ",", point, comma or null' in wrong.stderr and "Traceback" not in wrong.stderr
    )


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.text(st.characters(exclude_characters="\x00\r\n\f\v", exclude_categories=("Cs",)), min_size=1, max_size=12),
        min_size=1,
        max_size=3,
    )
)
def test_an_override_printed_is_the_one_typed(texts: list[str]) -> None:
    parse = OverridesParser.create().parse_override
    for value in (texts, texts[0]):
        (word,) = shlex.split(override("dataset.drop", value))
        found = parse(word).value()
        found = found if isinstance(found, list) else [found]
        wanted = value if isinstance(value, list) else [value]
        assert [str(text).replace("\\${", "${") for text in found] == wanted

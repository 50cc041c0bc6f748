"""mixexp.yaml: what a project says once for every command, what beats it, and every mistake in it as one message."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import mixexp
from hydra.core.config_store import ConfigStore

from mixexp.build.own_code import look_in
from mixexp.errors import UserError
from mixexp.plan.compose import compose
from mixexp.plan.options import SEARCHED, config_dirs
from mixexp.project import outputs, project
from mixexp.training.reader import load_runs

SMALL = ("mix=mine", "model.width=2", "epochs=1", "batch_size=256")
ALL = "config_dirs: [conf]\ntrusted_modules: [pj_mixes]\ndata_dir: sets\noutput_dir: results\n"


def option(folder: Path, name: str, text: str) -> None:
    """Write an option's file, such as mix/mine."""
    path = folder / f"{name}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A project with an option and its class, and the working directory below it; this process forgets the project
    afterwards."""
    option(tmp_path / "conf", "mix/mine", "# Mine: plain after all.\n_target_: pj_mixes.Mine\n")
    (tmp_path / "pj_mixes.py").write_text("from mixexp.mix.mixes import NoMix\n\n\nclass Mine(NoMix):\n    pass\n")
    (tmp_path / "mixexp.yaml").write_text(ALL)
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path / "below")
    monkeypatch.delenv("MIXEXP_DATA", raising=False)
    yield tmp_path
    look_in([])
    ConfigStore.instance().store("mixexp_project", {}, package="_global_", provider="mixexp")


def test_every_key_is_read_with_paths_from_the_file_on(place: Path) -> None:
    here = project()
    assert here.config_dirs == (place / "conf",) and here.trusted_modules == ("pj_mixes",)
    assert (here.data_dir, here.output_dir, outputs()) == (place / "sets", place / "results", place / "results")
    (place / "mixexp.yaml").write_text("# nothing yet\n")
    assert project().settings == {} and outputs() == Path("outputs")
    (place / "mixexp.yaml").write_text("output_dir: below/here\n")
    assert outputs() == Path("here"), "as it is typed where it lies below"


def test_the_nearest_file_counts_alone(place: Path) -> None:
    (place / "below" / "mixexp.yaml").write_text("output_dir: mine\n")
    assert project().output_dir == place / "below" / "mine" and project().config_dirs == ()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("config_dir: [conf]\n", "config_dir: no such key; there are config_dirs, trusted_modules, data_dir, output_dir. Did you mean 'config_dirs'?"),
        ("config_dirs: conf\n", "config_dirs = conf: needs a list of folders of options. Did you mean 'config_dirs: [conf]'?"),
        ("config_dirs: [cnof]\n", "config_dirs: cnof: no such folder in {here}. Did you mean 'conf'?"),
        ("config_dirs: [pj_mixes.py]\n", "config_dirs: pj_mixes.py: is a file, and a folder of options is needed."),
        ("config_dirs: [3]\n", "config_dirs = [3]: needs a list of folders of options."),
        ("trusted_modules: pj_mixes\n", "trusted_modules = pj_mixes: needs a list of names of modules, each as an import has it, such as own.nets. "
         "Did you mean 'trusted_modules: [pj_mixes]'?"),
        ("trusted_modules: [pj-mixes.py]\n", "trusted_modules: pj-mixes.py is not a name of a module as an import has it, such as own.nets. Did you mean 'pj_mixes'?"),
        ("trusted_modules: [pj_mixs]\n", "trusted_modules: there is no module pj_mixs in {here}/below, {here}, nor is one installed. Did you mean 'pj_mixes'?"),
        ("data_dir: 3\n", "data_dir = 3: needs a folder. Did you mean 'data_dir: \"3\"'?"),
        ("data_dir: [sets]\n", "data_dir = [sets]: needs a folder."),
        ("output_dir:\n", "output_dir = null: needs a folder."),
        ("output_dir: pj_mixes.py\n", "output_dir = pj_mixes.py: is a file, and a folder is needed"),
        ("- conf\n", "a mapping is needed, such as config_dirs: [my_conf]; its keys are config_dirs, trusted_modules, data_dir, output_dir"),
        ("output_dir: a\n# b\noutput_dir: c\n", "line 3: the key output_dir is there already, in line 1"),
        ("output_dir: [a\n", "cannot be read (while parsing a flow sequence"),
    ],
)  # fmt: skip
def test_every_mistake_is_one_message_that_names_the_file(text: str, says: str, place: Path) -> None:
    (place / "mixexp.yaml").write_text(text)
    with pytest.raises(UserError) as refused:
        project()
    line = str(refused.value)
    assert line.startswith(f"{place / 'mixexp.yaml'}: {says.format(here=place)}") and "\n" not in line


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("link", "it is a link to gone.yaml, which is not there"),
        ("folder", "cannot be read (it is a folder, not a file)"),
    ],
)
def test_what_is_no_file_is_said(kind: str, says: str, place: Path) -> None:
    path = place / "mixexp.yaml"
    path.unlink()
    path.symlink_to("gone.yaml") if kind == "link" else path.mkdir()
    with pytest.raises(UserError) as refused:
        project()
    assert str(refused.value) == f"{path}: {says}"


def test_all_mistakes_are_told_at_once(place: Path) -> None:
    (place / "mixexp.yaml").write_text("output_dri: a\ndata_dir: 3\n")
    with pytest.raises(UserError) as refused:
        project()
    assert [line.split(": ")[1] for line in str(refused.value).splitlines()] == ["output_dri", "data_dir = 3"]


def test_what_is_typed_and_an_experiments_own_beat_it(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    option(place / "conf", "experiment/own", "# @package _global_\n# ours: mine.\noutput_dir: theirs\n")
    config = compose(["mix=mine"])
    assert config["choices"]["mix"] == "mine" and config["trusted_modules"] == ["pj_mixes"]
    assert (config["data_dir"], config["output_dir"]) == (str(place / "sets"), str(place / "results"))
    assert compose(["experiment=own"])["output_dir"] == "theirs" and SEARCHED == []
    config = compose(["experiment=own", "output_dir=typed", "data_dir=here", "trusted_modules=[json]"])
    assert (config["output_dir"], config["data_dir"], config["trusted_modules"]) == (
        "typed",
        str(place / "below" / "here"),
        ["json"],
    )
    monkeypatch.setenv("MIXEXP_DATA", str(place / "machine"))
    assert compose([])["data_dir"] == str(place / "machine"), (
        "where this machine has its data is no matter of the project"
    )
    assert compose([])["output_dir"] == str(place / "results")
    (place / "mixexp.yaml").unlink()
    assert compose([])["output_dir"] == "outputs" and compose([])["trusted_modules"] == [], "nothing is left of it"


def test_folders_of_options_add_up_and_one_name_is_one_option(place: Path) -> None:
    option(place / "more", "loss/smooth", "# Smoothed.\ndefaults: [cross_entropy]\nlabel_smoothing: 0.1\n")
    typed = [Path("../more"), Path("../conf")]
    assert config_dirs(typed) == typed, "each once"
    config = compose(["mix=mine", "loss=smooth"], typed[:1])
    assert config["loss"]["label_smoothing"] == 0.1
    option(place / "more", "mix/mine", "# Another one.\ndefaults: [mixup]\n")
    with pytest.raises(
        UserError,
        match=r"conf/mix/mine\.yaml: \.\./more has an option mix=mine and would use that one; give yours another name$",
    ):
        config_dirs(typed[:1])


def test_it_acts_for_every_command(place: Path) -> None:
    below = place / "below"

    def said(*words: str, code: int = 0) -> str:
        done = mixexp(*words, cwd=below)
        assert done.returncode == code and "Traceback" not in done.stderr, done.stderr
        return done.stdout + done.stderr

    listed = said("list")
    assert "Mine: plain after all." in listed and f"{place / 'mixexp.yaml'} holds here." in listed
    assert "2 runs: 2 missing" in said("plan", *SMALL, "seed=0,1")
    said("-m", *SMALL, "seed=0,1", "keep_checkpoint=true")
    said(*SMALL, "seed=2")
    runs = load_runs(place / "results" / "runs")
    assert {run.outcome for run in runs} == {"finished"} and len(runs) == 3 and list(below.iterdir()) == []
    assert all(
        run.environment["project_file"] == "../mixexp.yaml" and "pj_mixes" in run.environment["own_code"]
        for run in runs
    )
    typed = [("-m", *SMALL, "seed=0,1", "keep_checkpoint=true"), (*SMALL, "seed=2")]
    assert {run.environment["command"] for run in runs} == {shlex.join(["mixexp", *words]) for words in typed}
    kept = str(next(run.folder for run in runs if run.config["keep_checkpoint"]))
    assert "probe_training_error.csv" in said("probe", kept, "probe=training_error")
    assert "3 runs of 1 method under 1 protocol." in said("leaderboard")
    assert "3 of 3 runs" in said("report", "../results/runs")
    assert "1x8x8" in said("data", "digits")
    option(
        place / "conf",
        "experiment/own",
        "# @package _global_\n# ours: mine.\nname: own\nhydra: {sweeper: {grid: [{mix: [mine], seed: [0]}]}}\n",
    )
    assert "1 of 1 run has" in said("reproduce", "own", *SMALL[1:]) and (place / "results" / "own").is_dir()
    refused = said("mix=mien", code=2)
    assert (
        f"One of your own would be {place / 'conf' / 'mix' / 'mien.yaml'}." in refused
        and "Did you mean 'mine'?" in refused
    )
    (place / "mixexp.yaml").write_text("outputs: a\n")
    for words in (
        ("list",),
        ("plan", "quickstart"),
        ("mix=none",),
        ("-m", "seed=0,1"),
        ("leaderboard",),
        ("claims",),
        ("reproduce", "quickstart"),
        ("data", "digits"),
    ):
        assert said(*words, code=2).startswith(f"mixexp: {place / 'mixexp.yaml'}: outputs: no such key; there are "), (
            words
        )


def test_without_a_folder_an_unknown_option_says_where_one_would_lie(tmp_path: Path) -> None:
    errors = mixexp("mix=mine", cwd=tmp_path).stderr
    assert (
        "One of your own would be DIR/mix/mine.yaml, with --config-dir DIR or config_dirs: [DIR] in a mixexp.yaml."
        in errors
    )

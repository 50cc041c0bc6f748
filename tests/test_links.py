"""Links by label lead to the runs of a sweep, tell what they are, and make no reader count a run twice; a sweep's last
line."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from commands import mixexp
from test_status import begun, ended

from mixexp.reporting.runs import gather
from mixexp.sweeping import links
from mixexp.sweeping.links import file_name, link_by_label
from mixexp.sweeping.status import status
from mixexp.text import in_shell
from mixexp.training.reader import MARKERS, everywhere, run_folders

SMALL = ("model.width=2", "epochs=1")


def there(folder: Path) -> dict[str, str]:
    return {path.name: os.readlink(path) for path in (folder / "by-label").iterdir()}


def test_a_sweep_leaves_links_and_says_the_next_command(tmp_path):
    words = ("-m", "mix=none,mixup", "name=my runs", *SMALL)
    done = mixexp(*words, cwd=tmp_path)
    folder = tmp_path / "outputs" / "my runs"
    assert done.returncode == 0 and done.stdout.splitlines()[-1].endswith(": mixexp report 'outputs/my runs'"), (
        done.stderr
    )
    first = there(folder)
    assert {*first} == {"mix=none", "mix=mixup"} and {*first.values()} == {
        f"../{path.name}" for path in run_folders(folder)
    }
    assert "mix: mixup" in (folder / "by-label" / "mix=mixup" / "config.yaml").read_text()
    assert mixexp(*words, cwd=tmp_path).returncode == 0 and there(folder) == first
    report = mixexp("report", "outputs/my runs", cwd=tmp_path)
    assert report.returncode == 0 and (folder / "report" / "runs.csv").read_text().count("\n") == 3


def test_a_sweep_of_the_users_own_experiment_names_its_folder(tmp_path):
    (tmp_path / "conf" / "experiment").mkdir(parents=True)
    (tmp_path / "conf" / "experiment" / "mine.yaml").write_text(
        "# @package _global_\n# Mine.\nname: mine\nepochs: 1\nhydra:\n  sweeper:\n    grid: [{seed: [0, 1]}]\n"
    )
    done = mixexp("-m", "--config-dir=conf", "experiment=mine", "model.width=2", cwd=tmp_path)
    assert done.stdout.splitlines()[-1].endswith(": mixexp report outputs/mine --config-dir=conf"), done.stderr


def test_reproduce_reports_by_itself_and_does_not_say_how(tmp_path):
    done = mixexp(
        "reproduce", "quickstart", "seed=0", "alpha=0.2", "mix_layer=input", "epochs=1", "model.width=2", cwd=tmp_path
    )
    assert done.returncode == 0 and "mixexp report" not in done.stdout, done.stderr
    folder = tmp_path / "outputs" / "quickstart"
    assert {*there(folder).values()} == {f"../{path.name}" for path in run_folders(folder)} != set()


def test_a_sweep_with_a_failed_run_says_what_to_do_and_links_it_too(tmp_path):
    (tmp_path / "my_losses.py").write_text(
        "from mixexp.loss.cross_entropy import CrossEntropy\n\nclass Fragile(CrossEntropy):\n    def __init__(self,"
        " class_counts, breaks: bool):\n        super().__init__(class_counts)\n        self.breaks = breaks\n    def"
        " forward(self, outputs, labels):\n        if self.breaks and outputs.device.type != 'meta':\n            raise"
        " RuntimeError('it broke')\n        return super().forward(outputs, labels)\n"
    )
    (tmp_path / "conf" / "loss").mkdir(parents=True)
    (tmp_path / "conf" / "loss" / "fragile.yaml").write_text("# Breaks.\n_target_: my_losses.Fragile\nbreaks: true\n")
    words = ("-m", "--config-dir=conf", "loss=fragile", "trusted_modules=[my_losses]", "loss.breaks=true,false", *SMALL)
    for before in ("", "1 of them had failed before and were left so; "):
        done = mixexp(*words, cwd=tmp_path)
        assert done.returncode == 1 and "mixexp report" not in done.stdout
        assert done.stderr.splitlines()[-1] == f"{before}retry=failed tries them again"
    assert {*there(tmp_path / "outputs" / "runs")} == {"loss.breaks=true", "loss.breaks=false"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("aaaaaaaaaaaa", "bbbbbbbbbbbb", "ffffffffffff"):
        ended(tmp_path / name)
    return tmp_path


def test_equal_labels_have_the_run_behind_and_other_links_stay(folder):
    assert link_by_label(folder, {"aaaaaaaaaaaa": "seed=0", "bbbbbbbbbbbb": "Seed=0", "cccccccccccc": "not begun"})
    assert there(folder) == {"seed=0_aaaaaaaaaaaa": "../aaaaaaaaaaaa", "Seed=0_bbbbbbbbbbbb": "../bbbbbbbbbbbb"}
    link_by_label(folder, {"aaaaaaaaaaaa": "alpha=1"})
    link_by_label(folder, {"ffffffffffff": "ALPHA=1"})
    assert there(folder) == {
        "alpha=1": "../aaaaaaaaaaaa",
        "ALPHA=1_ffffffffffff": "../ffffffffffff",
        "Seed=0_bbbbbbbbbbbb": "../bbbbbbbbbbbb",
    }


def test_what_is_stale_goes_and_what_is_not_ours_stays(folder):
    link_by_label(folder, {"aaaaaaaaaaaa": "a", "bbbbbbbbbbbb": "b"})
    (folder / "by-label" / "mine").symlink_to(folder / "gone")
    (folder / "by-label" / "f").write_text("a file")
    shutil.rmtree(folder / "bbbbbbbbbbbb")
    link_by_label(folder, {"aaaaaaaaaaaa": "other", "ffffffffffff": "f"})
    assert {path.name for path in (folder / "by-label").iterdir()} == {"other", "mine", "f", "f_ffffffffffff"}
    assert (folder / "by-label" / "f").read_text() == "a file"


@pytest.mark.parametrize("name", MARKERS)
def test_a_label_like_a_runs_file_makes_the_folder_no_run(folder, name):
    link_by_label(folder, {"aaaaaaaaaaaa": name})
    assert there(folder) == {f"{name}_aaaaaaaaaaaa": "../aaaaaaaaaaaa"}
    assert len(run_folders(folder)) == 3


def test_a_file_system_without_links_is_left_alone(folder, monkeypatch):
    def refused(*_: object, **__: object) -> None:
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(links.os, "symlink", refused)
    before = sorted(folder.rglob("*"))
    assert not link_by_label(folder, {"aaaaaaaaaaaa": "a"})
    assert sorted(folder.rglob("*")) == before


def test_a_folder_that_is_a_link_itself_is_not_followed(folder, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (folder / "by-label").symlink_to(elsewhere)
    link_by_label(folder, {"aaaaaaaaaaaa": "a"})
    assert not list(elsewhere.iterdir())


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("mix=mixup alpha=0.2", "mix=mixup,alpha=0.2"),
        ("mix_layer.layers=[input,final]", "mix_layer.layers=_input,final"),
        ("../../etc", "_.._etc"),
        ("name=a/b\\c\0\n", "name=a_b_c"),
        (".hidden -m", "hidden,-m"),
        ("🙂", "run"),
        ("größe=" + "ß" * 300, "größe=" + "ß" * 86),
    ],
)
def test_a_label_is_the_name_of_a_file_that_needs_no_quotes(label, name):
    assert file_name(label) == name and len(name.encode()) <= 200
    assert in_shell(name) == name or not name.isascii()


def test_no_reader_counts_a_run_twice(folder):
    before, gathered = everywhere([folder]), gather([folder])
    link_by_label(folder, dict.fromkeys(("aaaaaaaaaaaa", "bbbbbbbbbbbb", "ffffffffffff"), "a"))
    after = everywhere([folder])
    assert [run.folder for run in after] == [run.folder for run in before] and len(after) == 3
    assert everywhere([folder, folder / "by-label"]) == after and len(everywhere([folder / "by-label"])) == 3
    assert len(run_folders(folder)) == 3 and gather([folder]) == gathered
    begun(folder / "cccccccccccc")
    assert any(line.startswith(f"{folder}: 4 runs: ") for line in status(folder).splitlines())

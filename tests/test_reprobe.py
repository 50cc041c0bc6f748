"""`mixexp probe`: finished runs are measured without training, and what they have is kept."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from probes import csv_rows
from running import command, trained

WORDS = ("epochs=2", "model.width=4", "keep_checkpoint=true")


@pytest.fixture(scope="module")
def original(tmp_path_factory) -> Path:
    """A finished run with its weights."""
    return trained(tmp_path_factory.mktemp("sweep") / "run", *WORDS, "label_noise=uniform").path


@pytest.fixture
def run(original, tmp_path) -> Path:
    """A copy of its folder."""
    return Path(shutil.copytree(original, tmp_path / "sweep" / "0123456789ab"))


def probe(capsys, *words: object) -> tuple[int, str]:
    """Exit code of the command, and what it says."""
    return command(capsys, "probe", *words)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("name", ["training_error", "robustness", "tsne", "calibration", "nearest_class_mean"])
def test_it_finds_what_the_run_itself_would_have_found(name, run, tmp_path, capsys):
    small = ["probe.deformation.zoom=[60]"] if name == "robustness" else []
    direct = trained(tmp_path / "direct", *WORDS, "label_noise=uniform", f"probe={name}", *small).path
    before = contents(run)
    assert probe(capsys, run, f"probe={name}", *small, "device=cpu")[0] == 0
    files = sorted(path.name for path in direct.glob("probe_*"))
    assert files and all((run / file).read_bytes() == (direct / file).read_bytes() for file in files)
    assert {key: value for key, value in contents(run).items() if not key.startswith("probe_")} == before


def test_what_is_there_is_kept_unless_again_is_said(run, capsys):
    assert probe(capsys, run, "probe=fgsm")[0] == 0
    first = contents(run)
    assert yaml.safe_load(first["probe_fgsm.yaml"])["epsilon"] == [4]
    code, said = probe(capsys, run, "probe=fgsm", "probe.epsilon=[4]")
    assert code == 0 and "same settings" in said and contents(run) == first
    code, said = probe(capsys, run, "probe=fgsm", "probe.epsilon=[8]", "probe.steps=3")
    assert code == 2 and "epsilon = [4], steps = 10; --again" in said and contents(run) == first
    assert probe(capsys, run, "probe=fgsm", "probe.epsilon=[8]", "--again")[0] == 0
    assert {row["epsilon"] for row in csv_rows(run / "probe_fgsm.csv")} == {0, 8}


def test_parts_of_a_probe_that_are_there_are_not_measured_again(run, capsys):
    probe(capsys, run, "probe=fgsm")
    first = contents(run)["probe_fgsm.csv"]
    code, said = probe(capsys, run, "probe=robustness", "probe.deformation.shearing=[]")
    assert code == 0 and "probe_deformation.csv" in said and "probe_fgsm.csv" not in said
    assert contents(run)["probe_fgsm.csv"] == first


def test_a_part_of_a_probe_that_is_no_probe_is_one_of_its_settings(run, capsys):
    words = ("probe=out_of_distribution", "probe.noise=[]", "+dataset@probe.more=digits")
    code, said = probe(capsys, run, *words)
    assert code == 0 and "probe_out_of_distribution.csv" in said
    made = yaml.safe_load((run / "probe_out_of_distribution.yaml").read_text())
    assert made["more"]["_target_"].endswith("Digits") and made["noise"] == []
    assert "same settings" in probe(capsys, run, *words)[1]
    code, said = probe(capsys, run, *words, "probe.more.split_seed=1")
    assert code == 2 and "made with more = " in said
    code, said = probe(capsys, run, "probe=fgsm", "dataset@dataset=mnist")
    assert code == 2 and "a probe leaves the run as it is" in said


def test_what_a_run_measured_while_it_trained_is_kept_too(tmp_path, capsys):
    folder = trained(tmp_path / "run", *WORDS, "probe=entanglement", "probe.samples=50").path
    before = contents(folder)
    assert "same settings" in probe(capsys, folder, "probe=entanglement", "probe.samples=50")[1]
    code, said = probe(capsys, folder, "probe=entanglement", "probe.samples=60")
    assert code == 2 and "samples = 50" in said and contents(folder) == before


def test_a_folder_of_runs_stands_for_all_of_them(run, capsys):
    other = Path(shutil.copytree(run, run.parent / "ba9876543210"))
    assert probe(capsys, run.parent, "probe=training_error")[0] == 0
    assert contents(run)["probe_training_error.csv"] == contents(other)["probe_training_error.csv"]


def test_nothing_is_measured_where_one_of_several_cannot_be(run, tmp_path, capsys):
    code, said = probe(capsys, run, tmp_path / "nowhere", tmp_path, "probe=fgsm")
    assert code == 2 and said.count("no folder of a run") == 2 and not list(run.glob("probe_*"))


@pytest.mark.parametrize(
    "harm, said",
    [
        (lambda f: (f / "checkpoint.pt").unlink(), "keep=last"),
        (lambda f: (f / "result.json").unlink(), "is not finished"),
        (lambda f: [(f / "result.json").unlink(), (f / "error.txt").write_text("x")], "its run failed"),
        (lambda f: (f / "result.json").write_text('{"outcome": "diverged"}'), "outcome diverged"),
        (lambda f: (f / "result.json").write_text("{"), "cannot be read"),
        (lambda f: (f / "config.yaml").write_text("a: [1"), "cannot be read"),
        (lambda f: (f / "config.yaml").write_text("a: 1"), "not a configuration"),
        (lambda f: (f / "config.yaml").unlink(), "no folder of a run"),
        (lambda f: (f / "checkpoint.pt").write_bytes((f / "checkpoint.pt").read_bytes()[:-40]), "cut or damaged"),
    ],
)
def test_a_folder_that_is_no_finished_run_with_weights_is_refused_with_its_reason(harm, said, run, capsys):
    harm(run)
    before = contents(run)
    code, message = probe(capsys, run, "probe=fgsm")
    assert code == 2 and said in message and "Traceback" not in message and contents(run) == before


@pytest.mark.parametrize(
    "words, said",
    [
        (("probe=fgms",), "Did you mean 'fgsm'?"),
        ((), "there are attacks_and_fit"),
        (("probe=null",), "there are attacks_and_fit"),
        (("probe=fgsm", "probe.epsilom=[4]"), "Did you mean 'probe.epsilon'?"),
        (("probe=fgsm", "alpha=3"), "leaves the run as it is"),
        (("probe=fgsm", "probe.steps=0"), "probe.steps = 0"),
        (("probe=features",), "last layer has 16"),
        (("probe=fgsm", "device=cuda:77"), "cuda:77"),
        (("probe=fgsm", "--agian"), "--agian"),
    ],
)
def test_mistakes_get_one_clear_message(words, said, run, capsys):
    before = contents(run)
    code, message = probe(capsys, run, *words)
    assert code == 2 and said in message and "Traceback" not in message and contents(run) == before


def test_code_that_a_configuration_names_runs_only_when_its_user_names_it_too(run, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "evil.py").write_text("open('ran', 'w')")
    config = yaml.safe_load((run / "config.yaml").read_text())
    config["loss"] = {"_target_": "evil.Loss"}
    config["trusted_modules"] = ["evil"]
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    code, message = probe(capsys, run, "probe=fgsm")
    assert code == 2 and "trusted_modules=[evil]" in message and not (tmp_path / "ran").exists()
    config["loss"] = {"_target_": "torch.hub.load", "repo_or_dir": "a/b", "model": "c"}
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    assert "makes no Loss" in probe(capsys, run, "probe=fgsm")[1]


def test_the_probe_that_a_record_names_is_not_made_unless_it_is_one(run, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(torch.hub, "load", lambda *_, **__: pytest.fail("called"))
    config = yaml.safe_load((run / "config.yaml").read_text())
    config["probe"] = {"_target_": "torch.hub.load", "repo_or_dir": "a/b", "model": "c"}
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    (run / "probe_fgsm.csv").write_text("step\n1\n")
    code, message = probe(capsys, run, "probe=fgsm")
    assert code == 2 and "made with unknown settings" in message and "Traceback" not in message


def test_weights_of_another_network_are_refused(run, capsys):
    config = yaml.safe_load((run / "config.yaml").read_text())
    config["model"]["width"] = 8
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    code, message = probe(capsys, run, "probe=fgsm")
    assert code == 2 and "its weights are not those" in message and not list(run.glob("probe_*"))


def test_a_run_without_the_settings_that_came_later_is_measured(run, capsys):
    config = yaml.safe_load((run / "config.yaml").read_text())
    assert config.pop("probe", None) is None
    config.pop("gan", None)
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    assert probe(capsys, run, "probe=training_error")[0] == 0


def test_training_anew_in_the_folder_takes_what_was_measured_on_the_old_network(run, capsys):
    probe(capsys, run, "probe=fgsm")
    (run / "result.json").unlink()
    trained(run, *WORDS, "seed=5")
    assert not list(run.glob("probe_*"))


def test_the_step_is_the_last_one_and_the_weights_are_the_runs(run, capsys):
    probe(capsys, run, "probe=training_error")
    rows = csv_rows(run / "probe_training_error.csv")
    assert {row["step"] for row in rows} == {json.loads((run / "result.json").read_text())["steps"]}
    assert torch.is_grad_enabled() and {row["labels"] for row in rows} == {"real", "corrupted", "all"}


def test_the_command_is_named_where_one_looks_for_it():
    found = subprocess.run([sys.executable, "-m", "mixexp", "--help"], capture_output=True, text=True, check=True)
    assert re.search(r"^  probe +measurements of finished runs", found.stdout, re.MULTILINE)

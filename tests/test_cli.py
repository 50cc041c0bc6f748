from __future__ import annotations

import csv
import os
import re
import signal
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml
from commands import mixexp, new_command, new_mixexp

from mixexp.plan.options import options
from mixexp.settings import CONF

SMALL = ("model.width=4", "epochs=1")


def test_one_run_and_the_same_again(tmp_path):
    first = new_mixexp("mix=mixup", "alpha=0.2", *SMALL, cwd=tmp_path)
    assert first.returncode == 0 and "finished, accuracy" in first.stdout and first.stderr == ""
    (folder,) = (tmp_path / "outputs" / "runs").iterdir()
    before = (folder / "metrics.csv").stat().st_mtime_ns
    again = mixexp("mix=mixup", "alpha=0.2", *SMALL, cwd=tmp_path)
    assert "already finished" in again.stdout
    assert (folder / "metrics.csv").stat().st_mtime_ns == before
    assert {p.name for p in folder.iterdir()} >= {
        "config.yaml",
        "environment.json",
        "metrics.csv",
        "confusion.csv",
        "result.json",
    }
    assert [p.name for p in tmp_path.iterdir()] == ["outputs"], "nothing else is left in the working directory"


def test_a_sweep_collapses_what_acts_alike_and_skips_what_is_done(tmp_path):
    words = ("-m", "mix=none,mixup", "alpha=0.2,1", "mix_layer=input,final", *SMALL)
    first = mixexp(*words, cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    assert "8 cells are 5 different runs" in first.stdout and "5 runs, 5 done (0 of them before)" in first.stdout
    again = mixexp(*words, cwd=tmp_path)
    assert "5 done (5 of them before)" in again.stdout
    assert len(list((tmp_path / "outputs" / "runs").glob("*/result.json"))) == 5


def test_a_run_gives_the_same_numbers_alone_in_a_sweep_and_beside_seven_others(tmp_path):
    for name, words in (
        ("alone", ("seed=1",)),
        ("after another", ("-m", "seed=0,1", "runs_per_device=1")),
        ("beside seven", ("-m", "seed=range(8)", "runs_per_device=8")),
    ):
        done = mixexp(*words, *SMALL, "mix=bc", "loss=kl", f"output_dir={name.replace(' ', '_')}", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    identity = next((tmp_path / "alone" / "runs").iterdir()).name

    def rows(name: str) -> list[list[str]]:
        with (tmp_path / name / "runs" / identity / "metrics.csv").open() as file:
            return [row[:-1] for row in csv.reader(file)]

    assert rows("alone") == rows("after_another") == rows("beside_seven")


@pytest.mark.parametrize(
    "words, expected",
    [
        (["alhpa=1"], ["alhpa", "Did you mean 'alpha=1'?"]),
        (["mix=mixpu"], ["mixpu", "bc, bc_", "Did you mean 'mixup'?"]),
        (["mix.ratoi.per=epoch", "mix=mixup"], ["mix.ratoi"]),
        (["loss=focal", "loss.gama=1"], ["loss.gama", "loss.gamma", "Did you mean 'loss.gamma=1'?"]),
        (["+foo=1"], ["foo", "no such setting"]),
        (["epochs=many"], ["epochs = many: needs a whole number"]),
        (["alpha=-1", "mix=mixup"], ["alpha = -1", "needs a number above 0"]),
        (["subset=head", "subset.n=2000"], ["subset.n = 2000", "1438"]),
        (["imbalance=minority", "imbalance.n=400"], ["imbalance.n = 400", "images and has"]),
        (["mix=mixup", "mix_layer=layer4"], ["layer4", "input, layer1, layer2, layer3, final"]),
        (["mix=bc_plus", "mix_layer=final"], ["BC+", "mix=bc"]),
        (["sampling=oversample", "loss.class_weights=balanced"], ["sampling, loss.class_weights"]),
        (["mix=null"], ["mix=null", "none"]),
        (["dataset=cifar10", "data_dir=nowhere", "dataset.download=false"], ["nowhere", "data_batch_1", "MIXEXP_DATA"]),
        (["output_dir=afile/x"], ["output_dir", "cannot write"]),
        (["name=afile", "output_dir=."], ["./afile", "cannot write"]),
        (["epochs=3", "steps=5"], ["epochs=3", "steps = 5"]),
        (["~mix"], ["mix", "mixexp list mix"]),
        (["output_dir='x"], ["output_dir='x", "quotes"]),
        (["-m", "name=a,b"], ["name=a,b", "one folder"]),
        (["reproduce", "quickstart", "quickstrat"], ["quickstrat", "Did you mean 'quickstart'?"]),
        (["--config-dir", "own", "mix=typo"], ["mix", "ratoi"]),
        (["--config-dir", "own", "experiment=broken"], ["YAML"]),
        (["-m", "--config-dir", "own", "experiment=badtable"], ["metrc", "alpah"]),
        (["model._target_=os.system"], ["os.system", "trusted_modules"]),
        (["device=cuda:77"], ["cuda:77", "cpu"]),
        (["-m", "experiment=quickstart,small_data"], ["one experiment at a time", "mixexp reproduce"]),
        (["experiment=quickstrat"], ["quickstrat", "Did you mean 'quickstart'?"]),
        (["reprodcue", "quickstart"], ["reprodcue", "Did you mean 'reproduce'?"]),
        (["reproduce", "quickstrat"], ["quickstrat", "Did you mean 'quickstart'?"]),
        (["list", "losses"], ["losses", "Did you mean 'loss'?"]),
        (["report", "nowhere"], ["nowhere"]),
        (["-m", "alpha=0,1", "mix=mixup"], ["alpha = 0", "in 1 of 2 cells"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_bad_input_gets_one_clear_message_and_leaves_nothing(words, expected, tmp_path, mixexp_here):
    (tmp_path / "afile").touch()
    for name, text in {
        "mix/typo.yaml": "# A misspelt key.\ndefaults: [mixup]\nratoi: {fold: true}\n",
        "experiment/broken.yaml": "# @package _global_\n# Not YAML.\nname: [\n",
        "experiment/badtable.yaml": (
            "# @package _global_\n# A bad table.\ntable: {metrc: accuracy, rows: {key: alpah}, columns: {key: mix}}\n"
        ),
    }.items():
        (tmp_path / "own" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "own" / name).write_text(text)
    done = mixexp_here(*words, cwd=tmp_path)
    assert done.returncode not in (0, None)
    assert done.stderr.startswith("mixexp: ") and "Traceback" not in done.stderr
    for part in expected:
        assert part in done.stderr
    assert not list(tmp_path.rglob("config.yaml")) and not list(tmp_path.rglob("result.json"))


def test_list_names_every_option(tmp_path, mixexp_here):
    done = mixexp_here("list", cwd=tmp_path)
    for group, members in options([CONF]).items():
        assert group in done.stdout
        for option, lines in members.items():
            assert f"{option} " in done.stdout and lines[0] in done.stdout


def test_the_version_is_that_of_mixexp(tmp_path, mixexp_here):
    shown = mixexp_here("--version", cwd=tmp_path)
    assert (shown.returncode, shown.stdout) == (0, f"mixexp {version('mixexp')}\n")


def test_an_option_and_a_class_of_the_users_own(tmp_path):
    (tmp_path / "conf" / "mix").mkdir(parents=True)
    (tmp_path / "conf" / "mix" / "mine.yaml").write_text("# Mine: plain after all.\n_target_: my_mixes.Mine\n")
    (tmp_path / "my_mixes.py").write_text("from mixexp.mix.mixes import NoMix\n\n\nclass Mine(NoMix):\n    pass\n")
    own = ("--config-dir", "conf", "mix=mine", *SMALL)
    assert "trusted_modules=[my_mixes]" in mixexp(*own, cwd=tmp_path).stderr
    done = mixexp(*own, "trusted_modules=[my_mixes]", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "mine" in mixexp("list", "mix", "--config-dir", "conf", cwd=tmp_path).stdout


def test_the_readmes_example_of_an_own_mix_works_as_written(tmp_path):
    readme = (Path(__file__).resolve().parent.parent / "README.md").read_text()
    section = readme[readme.index("## Add your own") :]
    code, option = (re.search(rf"```{kind}\n(.*?)```", section, re.DOTALL)[1] for kind in ("python", "yaml"))
    (tmp_path / "my_conf" / "mix").mkdir(parents=True)
    (tmp_path / "my_conf" / "mix" / "neighbour.yaml").write_text(option.replace("mixexp.mix.neighbour", "my_mixes"))
    (tmp_path / "my_mixes.py").write_text(code)
    own = ("--config-dir", "my_conf", "trusted_modules=[my_mixes]", *SMALL)
    done = mixexp("-m", "mix=mixup,neighbour", "mix_layer=input,final", *own, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "4 runs, 4 done" in done.stdout


def test_a_failing_run_costs_one_row_and_the_others_go_on(tmp_path):
    (tmp_path / "my_losses.py").write_text(
        "import os\nfrom mixexp.loss.cross_entropy import CrossEntropy\n\n\nclass Fragile(CrossEntropy):\n    def"
        " __init__(self, class_counts, way: str):\n        super().__init__(class_counts)\n        self.way = way\n\n  "
        "  def forward(self, outputs, labels):\n        if self.way == 'raise' and outputs.device.type != 'meta':\n    "
        "        raise RuntimeError('it broke')\n        if self.way == 'kill':\n            os.kill(os.getpid(), 9)\n "
        "       if self.way == 'exit':\n            os._exit(3)\n        return super().forward(outputs, labels)\n"
    )
    (tmp_path / "conf" / "loss").mkdir(parents=True)
    (tmp_path / "conf" / "loss" / "fragile.yaml").write_text("# Breaks.\n_target_: my_losses.Fragile\nway: no\n")
    done = mixexp(
        *(
            "-m",
            "--config-dir",
            "conf",
            "loss=fragile",
            "trusted_modules=[my_losses]",
            "loss.way=raise,kill,exit,none,fine",
            *SMALL,
        ),
        cwd=tmp_path,
    )
    assert done.returncode != 0
    assert "3 of 5 runs failed" in done.stderr and "2 done" in done.stdout
    for reason in ("it broke", "SIGKILL", "exited with code 3"):
        assert reason in done.stdout and reason in done.stderr
    assert len(list(tmp_path.rglob("result.json"))) == 2
    errors = [path.read_text() for path in tmp_path.rglob("error.txt")]
    assert len(errors) == 3 and any("RuntimeError: it broke" in text for text in errors)


def test_ctrl_c_keeps_what_is_finished(tmp_path):
    words = ("-m", "seed=range(50)", "model.width=4", "epochs=3", "runs_per_device=1")
    process = new_command(*words, cwd=tmp_path)
    assert "finished" in process.stdout.readline()
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130 and "Traceback" not in errors
    assert 0 < len(list(tmp_path.rglob("result.json"))) < 50


def test_reproduce_goes_from_data_check_to_report(tmp_path):
    done = mixexp("reproduce", "quickstart", "seed=0", "epochs=1", "alpha=0.2", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "digits: 1438 training and 359 test images" in done.stdout
    folder = tmp_path / "outputs" / "quickstart" / "report"
    table = (folder / "table.md").read_text()
    assert "Reduced" in table and "epochs" in table
    assert list(folder.glob("*.png")) and (folder / "table.csv").is_file()


def test_options_on_the_real_mnist(real_data, tmp_path):
    done = mixexp("data", "mnist", "cifar10", cwd=tmp_path, MIXEXP_DATA=str(real_data))
    assert "mnist: 60000 training and 10000 test images, 1x28x28" in done.stdout
    assert "cifar10: 50000 training and 10000 test images, 3x32x32" in done.stdout
    done = mixexp(
        *("experiment=affinity_mnist", "imbalance.n=10", "model=small_cnn", "model.width=4", "steps=3", "seed=0"),
        *("subset=head", "subset.n=5000"),
        cwd=tmp_path,
        MIXEXP_DATA=str(real_data),
    )
    assert done.returncode == 0, done.stderr
    config = yaml.safe_load(next(tmp_path.rglob("config.yaml")).read_text())
    assert config["choices"]["experiment"] == "affinity_mnist"

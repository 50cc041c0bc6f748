"""The examples of docs/experiments.md and docs/own_code.md, as a reader would save them."""

from __future__ import annotations

import csv
import importlib
import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from commands import mixexp

DOCS = Path(__file__).resolve().parents[1] / "docs"


def save(page: str, folder: Path) -> list[str]:
    """Write the files of a page that a sentence names before their block."""
    blocks = re.findall(
        r"`((?:my_\w+/|my_|conf/)[\w/]+\.(?:py|yaml))`[^`]*?:\n\n```\w+\n(.*?)```",
        (DOCS / page).read_text(encoding="utf-8"),
        re.DOTALL,
    )
    blocks += re.findall(
        r"`(conf/experiment/\w+\.yaml)`, is whole:\n\n```\w+\n(.*?)```",
        (DOCS / page).read_text(encoding="utf-8"),
        re.DOTALL,
    )
    for name, text in blocks:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return [name for name, _ in blocks]


def test_the_whole_experiment_is_planned_trained_and_reported(tmp_path: Path) -> None:
    assert "conf/experiment/few_images.yaml" in save("experiments.md", tmp_path)
    planned = mixexp("plan", "few_images", "--config-dir", "conf", cwd=tmp_path)
    assert planned.returncode == 0 and "18 runs" in planned.stdout, planned.stdout + planned.stderr
    done = mixexp("reproduce", "few_images", "--config-dir", "conf", "epochs=1", "device=cpu", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    table = (tmp_path / "outputs" / "few_images" / "report" / "table.md").read_text()
    assert (
        "| training images | none | mixup 0.2 | mixup 1 |" in table and "**Reduced: epochs 1 instead of 20**" in table
    )
    claims = mixexp("claims", "few_images", "--config-dir", "conf", cwd=tmp_path)
    assert claims.returncode == 0 and "helps_with_100" in claims.stdout, claims.stderr


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the files of docs/own_code.md, whose modules can be imported."""
    names = save("own_code.md", tmp_path)
    assert {"my_mixes.py", "my_losses.py", "my_conf/mix/box_mix.yaml", "my_conf/loss/my_balanced_softmax.yaml"} <= set(
        names
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def test_the_own_mix_and_loss_are_trained_together(own: Path) -> None:
    page = (DOCS / "own_code.md").read_text(encoding="utf-8").partition("Both together")[2]
    sweep, report = (shlex.split(line)[1:] for line in re.search(r"```bash\n(.*?)```", page, re.DOTALL)[1].splitlines())
    done = mixexp(*sweep, "epochs=2", "model.width=4", "device=cpu", cwd=own)
    assert done.returncode == 0, done.stderr
    runs = own / "outputs" / "long_tail"
    results = [json.loads(path.read_text()) for path in runs.glob("*/result.json")]
    assert [result["outcome"] for result in results] == ["finished"] * 12
    counts = [json.loads(path.read_text())["train_counts"] for path in runs.glob("*/environment.json")]
    assert all(
        f"has {max(count)} images" in page and f"smallest has {min(count)}:" in page.replace("\n", " ")
        for count in counts
    )
    configs = [yaml.safe_load(path.read_text()) for path in runs.glob("*/config.yaml")]
    assert [config["alpha"] for config in configs if config["choices"]["mix"] == "box_mix"] == [1.0] * 6
    with next(iter(runs.glob("*/metrics.csv"))).open() as file:
        assert len(list(csv.DictReader(file))) > 0
    for words, compared in ((report, "my_balanced_softmax − cross_entropy"), (report[:2], "box_mix − none")):
        done = mixexp(*words, cwd=own)
        assert done.returncode == 0 and done.stderr == "", done.stderr
        table = (runs / "report" / "table.md").read_text()
        assert set(re.findall(r"\w+ − \w+(?= \|)", table)) == {compared}
    refused = mixexp("mix=box_mix", "mix_layer=layer2", *sweep[-3:], cwd=own)
    assert "a box is one of pixels" in refused.stderr


def test_the_own_mixs_labels_are_the_areas_of_its_boxes(own: Path) -> None:
    mix = importlib.import_module("my_mixes").BoxMix(alpha=1.0)
    labels, images = torch.arange(64), torch.arange(64.0).view(64, 1, 1, 1).expand(64, 1, 7, 9)
    mix.prepare(images, labels)
    plan = mix.plan(
        labels, {name: torch.from_numpy(values) for name, values in mix.draw(0, 0, np.arange(64), 64, 64).items()}
    )
    blended = plan.apply(images)
    own_share = (blended == images).float().mean((1, 2, 3))
    other = plan.rows[1] != torch.arange(64)
    assert torch.allclose(own_share[other], plan.labels.weights[0][other]) and own_share.std() > 0.1
    assert torch.allclose(sum(plan.labels.weights), torch.ones(64))


def test_the_own_loss_is_cross_entropy_with_the_logarithms_of_the_class_sizes(own: Path) -> None:
    from mixexp.labels import MixedLabels

    loss = importlib.import_module("my_losses").BalancedSoftmax(np.array([10, 1]))
    labels = MixedLabels((torch.tensor([0]), torch.tensor([1])), (torch.tensor([0.75]), torch.tensor([0.25])))
    expected = -0.75 * np.log(10 / 11) - 0.25 * np.log(1 / 11)
    assert loss(torch.zeros(1, 2), labels).item() == pytest.approx(expected)


MIX = """from mixexp.labels import MixedLabels
from mixexp.mix import Mix, Plan


class Idle(Mix):
    def source_images(self, batch_size):
        return batch_size

    def draw(self, seed, epoch, order, source_images, batch_size):
        return {}

    def plan(self, labels, draws):
        return Plan(MixedLabels((labels,)))
"""


def test_a_sweep_and_its_plan_say_which_mixes_make_no_use_of_an_axis(tmp_path: Path) -> None:
    (tmp_path / "conf" / "mix").mkdir(parents=True)
    (tmp_path / "idles.py").write_text(MIX)
    (tmp_path / "conf" / "mix" / "idle.yaml").write_text("# Idle.\n_target_: idles.Idle\n")
    words = (
        "mix=idle,mixup,none",
        "mix_layer=input,layer2",
        "model.width=4",
        "epochs=1",
        "--config-dir",
        "conf",
        "trusted_modules=[idles]",
    )
    line = "note: mix_layer has no effect in the cells with mix=idle: no use is made of it there\n"
    for command in (("plan",), ("-m",)):
        done = mixexp(*command, *words, cwd=tmp_path)
        assert done.returncode == 0 and done.stdout.count(line) == 1 and done.stdout.count("no effect") == 1, (
            done.stdout + done.stderr
        )

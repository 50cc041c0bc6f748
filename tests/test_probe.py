"""What every probe keeps: it measures or refuses, and a run trains alike with it and without."""

from __future__ import annotations

import contextlib
import inspect
from pathlib import Path

import pytest
import torch
import yaml
from probes import csv_rows, measured, probe_of, refusals, subject_of
from running import composed, config_of, rows_of, trained

from mixexp.build import locate
from mixexp.labels import MixedLabels
from mixexp.plan.options import options
from mixexp.probe import Probe
from mixexp.settings import CONF
from mixexp.train import train
from mixexp.training.folder import RunFolder
from mixexp.training.spec import RunConfig

PROBES = sorted(options([CONF])["probe"])

# where a probe has a meaning, if that is not the digits
FITTING = {
    "clouds": ("model=mnist_cnn_2d",),
    "entangled_samples": ("dataset=two_moons", "model=mlp"),
    "features": ("model=mnist_cnn_2d",),
    "features_and_clouds": ("model=mnist_cnn_2d",),
    "intrusion": ("mix=mixup",),
    "mixed_samples": ("dataset=two_moons", "model=mlp", "mix=mixup"),
    "mixing": ("dataset=two_moons", "model=mlp", "mix=mixup"),
    "plane": ("dataset=two_moons", "model=mlp"),
}


def fitting(name: str) -> tuple[str, ...]:
    """A run of two epochs that the probe is for, on few images."""
    return (*FITTING.get(name, ()), "subset=balanced", "subset.n=100", "batch_size=50", "evaluations=2")


@pytest.mark.parametrize("name", PROBES)
def test_every_setting_is_a_constructor_argument_and_the_other_way_round(name):
    assert (CONF / "probe" / f"{name}.yaml").read_text(encoding="utf-8").split("\n")[1].startswith("# Source: ")
    node = dict(composed("probe", name)["probe"])
    target = locate(node.pop("_target_"))
    assert issubclass(target, Probe)
    parameters = inspect.signature(target).parameters.values()
    if all(parameter.kind is not parameter.VAR_KEYWORD for parameter in parameters):
        assert list(node) == [parameter.name for parameter in parameters]


@pytest.mark.parametrize("name", PROBES)
def test_it_measures_or_says_why_not(name):
    wrong = refusals(f"probe={name}")
    assert all(line.startswith("probe: ") and len(line) > 30 for line in wrong)
    assert bool(wrong) == (name in FITTING)
    assert refusals(f"probe={name}", *fitting(name)) == []


@pytest.fixture(scope="module", params=PROBES)
def measuring(request, tmp_path_factory) -> tuple[str, tuple[str, ...], RunFolder]:
    """A probe, the words of a run that it is for, and the run's folder with it."""
    name, words = request.param, (*fitting(request.param), "label_noise=uniform", "keep_checkpoint=true")
    return name, words, trained(tmp_path_factory.mktemp(name) / "with", *words, f"probe={name}")


def test_training_is_the_same_with_it(measuring, tmp_path):
    name, words, with_it = measuring
    without = trained(tmp_path, *words)
    assert rows_of(with_it) == rows_of(without)
    columns = {f"probe_{file}.csv": columns for file, columns in probe_of(f"probe={name}").files.items()}
    assert {path.name for path in with_it.path.glob("probe_*")} == set(columns)
    for file in columns:
        rows = csv_rows(with_it.path / file)
        steps = {row.pop("step") for row in rows}
        assert rows and all(tuple(row) == columns[file] for row in rows)
        assert steps == ({2.0, 4.0} if probe_of(f"probe={name}").while_training else {4.0})


def test_a_resumed_run_leaves_the_same_files(measuring, tmp_path):
    name, words, whole = measuring
    config, stopped = config_of(*words, f"probe={name}"), RunFolder(tmp_path / "stopped")
    with contextlib.closing(train(RunConfig.of(config), stopped, {})) as run:
        for _, _ in zip(range(3), run, strict=False):
            pass
    for _ in train(RunConfig.of(config), RunFolder(stopped.path), {}):
        pass
    files = sorted(path.name for path in whole.path.glob("probe_*"))
    assert files and files == sorted(path.name for path in stopped.path.glob("probe_*"))
    assert all((whole.path / file).read_bytes() == (stopped.path / file).read_bytes() for file in files)


@pytest.mark.parametrize("name", PROBES)
def test_it_changes_nothing_of_what_it_looks_at(name):
    subject = subject_of(*fitting(name))
    subject.network.train()
    held = [*subject.network.state_dict().values(), subject.train.images, subject.train.labels, subject.test.images]
    hooks = sum(len(module._forward_hooks) for module in subject.network.modules())
    before, generator = [value.clone() for value in held], torch.get_rng_state()
    first = measured(probe_of(f"probe={name}"), subject)
    assert all(torch.equal(was, value) for was, value in zip(before, held, strict=True))
    assert torch.equal(torch.get_rng_state(), generator) and torch.is_grad_enabled() and subject.network.training
    assert sum(len(module._forward_hooks) for module in subject.network.modules()) == hooks
    assert measured(probe_of(f"probe={name}"), subject) == first


def test_a_diverged_network_is_not_measured(tmp_path):
    record = trained(tmp_path, "optimizer.lr=1e30", "probe=tsne", "probe.samples=40", "epochs=1")
    assert not list(Path(record.path).glob("probe_*"))
    assert yaml.safe_load((tmp_path / "result.json").read_text())["outcome"] == "diverged"


def test_a_sample_is_of_its_part_in_order_and_stays_the_same():
    subject = subject_of()
    part = subject.sample("train", 50)
    assert len(part) == 50 and torch.equal(part.images, subject.sample("train", 50).images)
    rows = [next(k for k, image in enumerate(subject.train.images) if torch.equal(image, own)) for own in part.images]
    assert rows == sorted(set(rows)) and torch.equal(subject.train.labels[rows], part.labels)
    assert subject.sample("test", None) is subject.test and subject.sample("test", 10_000) is subject.test
    other = subject_of("seed=1").sample("train", 50)
    assert not torch.equal(other.images, part.images)


@pytest.mark.parametrize(
    "words", [("mix=mixup",), ("mix=bc", "mix.step_size=25", "loss=kl"), ("mix=mixup_two_loaders",), ("mix=none",)]
)
def test_the_batches_that_a_probe_sees_are_the_loops(words, monkeypatch, tmp_path):
    words = ("subset=balanced", "subset.n=120", "batch_size=50", "epochs=2", "speed=eager", *words)
    subject = subject_of(*words)
    plans, kind = [], type(subject.mix)
    real = kind.plan

    def spy(mix, labels, draws):
        plans.append(real(mix, labels, draws))
        return plans[-1]

    monkeypatch.setattr(kind, "plan", spy)
    trained(tmp_path, *words)
    taken = list(plans)
    ours = [batch.plan for epoch in (0, 1) for batch in subject.mixed(epoch)]
    assert len(ours) == len(taken)
    for mine, theirs in zip(ours, taken, strict=True):
        assert isinstance(mine.labels, MixedLabels)
        assert all(
            map(torch.equal, mine.labels.labels + mine.labels.weights, theirs.labels.labels + theirs.labels.weights)
        )

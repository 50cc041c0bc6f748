"""The loop uses what it builds: each part's effect is seen from outside, so that leaving it out fails here."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from running import config_of, rows_of, trained

from mixexp import evaluate as evaluating
from mixexp import streams
from mixexp import train as loop
from mixexp.augment import Standard
from mixexp.build import build
from mixexp.mix.mixes import NoMix
from mixexp.training import data
from mixexp.training.folder import RunFolder
from mixexp.training.spec import RunConfig


def watched(monkeypatch: pytest.MonkeyPatch, place: object, name: str) -> list[tuple]:
    """The (arguments, result) of every call of a function, which goes on working."""
    calls, real = [], getattr(place, name)

    def spy(*arguments, **keywords):
        result = real(*arguments, **keywords)
        calls.append((arguments, result))
        return result

    monkeypatch.setattr(place, name, spy)
    return calls


def choice_of(config: dict) -> tuple[data.SelectedData, torch.Tensor]:
    """The images a configuration uses, and all true training labels."""
    _, splits = data.load(config["dataset"])
    parts = [build(config[group]) for group in ("subset", "imbalance", "label_noise")]
    return data.select_data(splits, *parts, config["validation"], config["data_seed"]), splits.train_labels


def test_every_step_has_the_schedules_learning_rate(tmp_path, monkeypatch):
    config = config_of(
        "schedule=steps", "schedule.milestones=[0.5]", "schedule.warmup_epochs=0.5", "optimizer.lr=0.2", "epochs=2"
    )
    built = watched(monkeypatch, RunConfig, "build")
    rates = []
    for progress in loop.train(RunConfig.of(config), RunFolder(tmp_path), {}):
        (optimizer,) = (made for _, made in built if isinstance(made, torch.optim.Optimizer))
        rates.append(optimizer.param_groups[0]["lr"])
        steps = progress.steps
    schedule = build(config["schedule"])
    assert rates == [0.2 * schedule.factor(step, steps // 2, steps) for step in range(steps)]
    assert len(set(rates)) > 3


def test_the_samplers_order_decides_what_is_trained_on(tmp_path, monkeypatch):
    words = ("imbalance=minority", "imbalance.n=5", "sampling=oversample", "epochs=1")
    plans = watched(monkeypatch, NoMix, "plan")
    trained(tmp_path, *words)
    seen = torch.cat([arguments[1] for arguments, _ in plans]).bincount()
    largest = np.bincount(choice_of(config_of(*words))[0].train_labels).max()
    assert (seen[:-1] >= largest - 1).all() and seen.max() == largest, (
        "all classes alike, but for a last batch of one image"
    )


def test_noisy_labels_are_trained_on_with_their_own_images(tmp_path, monkeypatch):
    words = ("label_noise=uniform", "label_noise.rate=1", "label_noise.among=others", "epochs=1", "batch_size=1438")
    plans, images = watched(monkeypatch, NoMix, "plan"), watched(monkeypatch, loop, "forward_blended")
    trained(tmp_path, *words)
    config = config_of(*words)
    choice, true = choice_of(config)
    order = build(config["sampling"]).order(choice.train_labels, streams.generator(config["seed"], "order", 0))
    ((_, labels, _), _), *rest = plans
    assert not rest
    assert (labels.numpy() == choice.train_labels[order]).all()
    assert (labels.numpy() != true.numpy()[choice.train[order]]).all()
    dataset, splits = data.load(config["dataset"])
    normalize = data.Normalize.of(splits.train_images, dataset.mean, dataset.std, zero_mean=False)
    assert torch.equal(images[0][0][1], normalize(splits.train_images[torch.from_numpy(choice.train[order])]))


def test_the_losss_penalty_is_minimised_too(tmp_path):
    with_it, without = (trained(tmp_path / w, "loss=affinity", f"loss.diversity={w}", "epochs=1") for w in ("1", "0"))
    assert rows_of(with_it) != rows_of(without)


def test_bc_plus_centres_images_at_training_and_at_test_time(tmp_path, monkeypatch):
    words = ("mix=bc_plus", "loss=kl", "epochs=1")
    evaluations, inputs = watched(monkeypatch, evaluating, "evaluate"), watched(monkeypatch, loop, "forward_blended")
    trained(tmp_path / "centred", *words)
    assert evaluations[0][0][3].zero_mean
    # one grey channel with its statistics at zero mean: every centred image has the same mean after normalisation
    assert torch.allclose(inputs[0][0][1].mean((1, 2, 3)), inputs[0][0][1].mean(), atol=1e-5)
    trained(tmp_path / "raw", *words, "mix.blend.zero_mean=false")
    assert rows_of(RunFolder(tmp_path / "raw")) != rows_of(RunFolder(tmp_path / "centred"))


def test_every_batch_is_mixed_at_the_layer_drawn_for_it(tmp_path, monkeypatch):
    config = config_of("mix=mixup", "mix_layer=random", "mix_layer.layers=[input,layer2,final]")
    calls = watched(monkeypatch, loop, "forward_blended")
    steps = [progress.steps for progress in loop.train(RunConfig.of(config), RunFolder(tmp_path), {})]
    layer = build(config["mix_layer"])
    drawn = [name for epoch in (0, 1) for name in layer.draw(streams.generator(0, "mix_layer", epoch), len(steps) // 2)]
    assert [arguments[2] for arguments, _ in calls] == drawn
    assert set(drawn) == {"input", "layer2", "final"}


def test_validation_figures_are_of_the_held_out_images(tmp_path, monkeypatch):
    words = ("validation=0.2", "label_noise=uniform", "epochs=1")
    calls = watched(monkeypatch, evaluating, "evaluate")
    record = trained(tmp_path, *words)
    choice, true = choice_of(config_of(*words))
    test, held_out = calls
    assert torch.equal(held_out[0][2].labels, true[choice.validation]), "true labels: noise is for training"
    assert float(rows_of(record)[0]["val_loss"]) == held_out[1][1] != test[1][1]


def test_what_the_optimizer_group_says_is_what_trains(tmp_path: Path, monkeypatch):
    built = watched(monkeypatch, RunConfig, "build")
    trained(tmp_path, "optimizer=sgd", "optimizer.nesterov=true", "optimizer.weight_decay=0.5", "epochs=1")
    *_, optimizer = (made for _, made in built if isinstance(made, torch.optim.SGD))  # behind that of the check
    assert optimizer.defaults["nesterov"] and optimizer.defaults["weight_decay"] == 0.5


def test_external_partners_are_augmented_by_draws_of_their_own(tmp_path, monkeypatch):
    calls = watched(monkeypatch, Standard, "__call__")
    trained(tmp_path, "mix=mixup_two_loaders", "augment=standard", "augment.shift=1", "epochs=1", "drop_last=true")
    draws = [arguments[2] for arguments, _ in calls]
    halves = [{name: values.chunk(2) for name, values in found.items()} for found in draws]
    assert all(len(found["flip"]) == 2 * 64 for found in draws)
    for name in ("flip", "offset"):
        inside, external = (torch.cat([half[name][k] for half in halves]).float() for k in (0, 1))
        assert (inside != external).float().mean() > 0.3, "one row of draws for both would flip and shift them alike"


def test_a_longer_run_has_none_of_a_shorter_ones_measurements_at_its_end(tmp_path):
    words = ("probe=training_error", "keep_checkpoint=true")
    short = trained(tmp_path / "short", *words, "epochs=1").path
    for folder, others in (("alone", ()), ("after", (short,))):
        for _ in loop.train(
            RunConfig.of(config_of(*words, "epochs=2")), RunFolder(tmp_path / folder, lambda _: None), {}, others
        ):
            pass
    alone, after = ((tmp_path / name / "probe_training_error.csv").read_text() for name in ("alone", "after"))
    assert json.loads((tmp_path / "after" / "environment.json").read_text())["continued_at_step"] > 0
    assert alone == after

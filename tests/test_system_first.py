"""The articles' own experiments, shrunken to seconds on the digits: each shows something that is true of its method."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from running import errors_of, rows_of

from mixexp.plan.compose import compose
from mixexp.plan.identity import canonical
from mixexp.train import train
from mixexp.training.folder import RunFolder
from mixexp.training.spec import RunConfig

DIGITS = ("dataset=digits", "dataset.mean=null", "dataset.std=null", "model=small_cnn", "seed=0", "precision=float32")


def trained(folder: Path, name: str, *words: str) -> RunFolder:
    """A shrunken cell of an experiment, trained to its end."""
    config = compose([f"experiment={name}", *DIGITS, *words])
    assert errors_of(config) == []
    record = RunFolder(folder / str(len(list(folder.iterdir()))))
    for _ in train(RunConfig.of(canonical(config, True)), record, {}):
        pass
    return record


def last(record: RunFolder, column: str) -> float:
    return float(rows_of(record)[-1][column])


def test_final_layer_mixup_the_input_gets_worse_with_alpha_and_the_last_layer_less_so(tmp_path):
    words = (
        "mix=mixup",
        "mix.ratio.per=epoch",
        "epochs=12",
        "batch_size=64",
        "optimizer.lr=0.05",
        "evaluations=2",
        "model.width=8",
    )
    loss = {
        (layer, alpha): last(
            trained(tmp_path, "final_layer_mixup", *words, f"mix_layer={layer}", f"alpha={alpha}"), "test_loss"
        )
        for layer in ("input", "final")
        for alpha in (0.04, 5)
    }
    assert loss["input", 5] > 1.5 * loss["input", 0.04]
    assert loss["final", 5] - loss["final", 0.04] < loss["input", 5] - loss["input", 0.04]


def test_small_data_without_mixing_the_training_loss_vanishes_and_with_it_it_never_settles(tmp_path):
    words = (
        "augment=none",
        "subset.n=100",
        "steps=150",
        "batch_size=50",
        "model.width=8",
        "optimizer.lr=0.05",
        "evaluations=5",
    )
    none, data_mix, label_mix = (
        trained(tmp_path, "small_data", *words, f"mix={mix}") for mix in ("none", "data_mix", "mixup")
    )
    assert last(none, "train_loss") < 0.05 < 0.3 < last(label_mix, "train_loss")
    assert last(data_mix, "train_loss") > 4 * last(none, "train_loss")


def test_bc_learning_test_images_are_easier_than_the_blends_that_are_trained_on(tmp_path):
    words = (
        "epochs=10",
        "drop_last=false",
        "optimizer.lr=3e-3",
        "evaluations=2",
        "model.width=8",
        "augment=none",
        "schedule=constant",
    )
    # a few dozen steps are too few for Keras's running averages, which forget a hundredth a step
    words = (*words, "model.layer_defaults=torch")
    blended = trained(tmp_path, "bc_learning", *words, "mix=bc", "mix.ratio.fold=true", "loss=kl", "batch_size=64")
    eight = ("mix.step_size=64", "mix.pairing.replace=true", "batch_size=512")
    many = trained(tmp_path, "bc_learning", *words, "mix=bc", "mix.ratio.fold=true", "loss=kl", *eight)
    plain = trained(tmp_path, "bc_learning", *words, "mix=none", "loss=cross_entropy", "batch_size=64")
    assert last(plain, "train_loss") < last(plain, "test_loss"), "images seen before are easier than new ones"
    # KL has the labels' entropy taken off, so that a blend's loss could be 0 as well
    assert last(blended, "train_loss") > last(blended, "test_loss")
    assert last(many, "step") == last(blended, "step"), "eight blends an image, and as many steps"
    assert last(many, "accuracy") > 0.9


def test_bc_learning_shifts_make_training_harder_than_none(tmp_path):
    words = (
        "mix=bc",
        "mix.ratio.fold=true",
        "loss=kl",
        "schedule=steps",
        "epochs=6",
        "drop_last=false",
        "optimizer.lr=3e-3",
    )
    # as above, for Keras's running averages
    words = (*words, "evaluations=1", "model.width=8", "batch_size=64", "model.layer_defaults=torch")
    plain, shifted = (trained(tmp_path, "bc_learning", *words, f"augment={name}") for name in ("none", "continuous"))
    assert last(shifted, "train_loss") > 1.1 * last(plain, "train_loss")
    assert last(shifted, "accuracy") > 0.5


@pytest.mark.parametrize(("name", "sigma"), [("affinity_mnist", 10), ("affinity_cifar10", 90)])
def test_the_affinity_loss_makes_its_centres_equidistant(name, sigma, tmp_path):
    words = (
        "loss=affinity",
        f"loss.sigma={sigma}",
        "loss.margin=0.75",
        "loss.batchnorm=true",
        "loss.init=keras_he",
        "imbalance.n=5",
        "batch_size=64",
    )
    spread = {}
    for epochs in (1, 12):
        record = trained(
            tmp_path, name, *words, f"epochs={epochs}", "optimizer.lr=5e-3", "evaluations=1", "keep_checkpoint=true"
        )
        state = torch.load(record.path / "checkpoint.pt", weights_only=True)["network"]
        squared = torch.pdist(state["head.1.centres"].flatten(0, 1)).square()
        spread[epochs] = (squared.std() / squared.mean()).item()
    assert spread[12] < 0.7 * spread[1], "the diversity term counts for something"
    assert last(record, "accuracy") > 0.5

"""The sentence of what was trained: of settings that runs have in common the value, of others their values, and nothing
that no record says."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from test_report import leave

from mixexp.reporting.markdown import markdown
from mixexp.reporting.tables import build_table
from mixexp.reporting.trained import trained
from mixexp.training.reader import load_runs

SGD = {"_target_": "mixexp.optimizer.sgd", "lr": 0.1, "momentum": 0.9, "nesterov": False, "weight_decay": 0.0001}
CONFIG = {
    "dataset": {"_target_": "mixexp.dataset.torchvision.FromTorchvision", "name": "MNIST"},
    "subset": {"_target_": "mixexp.subset.Head", "n": 300},
    "imbalance": {"_target_": "mixexp.imbalance.NoImbalance"},
    "optimizer": SGD,
    "schedule": {"_target_": "mixexp.schedule.Constant", "warmup_epochs": 0},
    "epochs": 20, "batch_size": 128, "validation": 0.0, "alpha": None, "table": None,
}  # fmt: skip
CHOICES = {
    "dataset": "mnist", "subset": "head", "imbalance": "none", "label_noise": "none", "sampling": "natural", "augment": "none", "model": "small_cnn",
    "mix": "none", "mix_layer": None, "loss": "cross_entropy", "optimizer": "sgd", "schedule": "constant", "gan": None,
}  # fmt: skip
ENVIRONMENT = {
    "parameters": 6274,
    "steps": 60,
    "train_counts": [30] * 10,
    "test_counts": [1000] * 10,
    "inputs": {"kind": "image"},
}
PLAIN = (
    "small_cnn (6,274 parameters) on the first 300 training images of MNIST, tested on 10,000: cross-entropy loss,"
    " without augmentation, SGD (lr 0.1, momentum 0.9, weight decay 0.0001), constant rate, batches of"
    " 128, 20 epochs (60 steps), seed 0."
)


def made(folder: Path, choices: Mapping[str, Any] = {}, environment: Mapping[str, Any] = {}, **config: Any) -> Path:
    """A run folder with a whole configuration, but for these differences."""
    run = leave(folder)
    whole = {"seed": 0, "data_seed": 0, **CONFIG, **config, "choices": {**CHOICES, **choices}}
    (run / "config.yaml").write_text(yaml.safe_dump(whole, sort_keys=False))
    (run / "environment.json").write_text(json.dumps({**ENVIRONMENT, **environment}))
    return run


def sentence(folder: Path) -> str:
    return trained(build_table(load_runs(folder)))


def test_one_run_and_the_first_paragraph_of_the_markdown(tmp_path):
    made(tmp_path / "a")
    assert sentence(tmp_path) == PLAIN
    assert markdown(build_table(load_runs(tmp_path), title="mine")).startswith(f"# mine\n\n{PLAIN}\n\n1 of 1 run has")


@pytest.mark.parametrize(
    ("difference", "words"),
    [
        ({"choices": {"subset": "full"}, "subset": {"_target_": "mixexp.subset.full.Full"}}, "on all 300 training images of MNIST, tested"),
        ({"choices": {"subset": "balanced"}, "subset": {"_target_": "mixexp.subset.Balanced", "n": 300}}, "on 300 training images of MNIST, as many of each class, tested"),
        ({"choices": {"subset": "odd"}, "subset": {"_target_": "my.Odd", "n": 7}}, "on 300 training images of MNIST, tested"),
        ({"validation": 0.1, "environment": {"train_counts": [27] * 10}}, "MNIST, 10 % of them held out for validation (270 left), tested on 10,000:"),
        (
            {"choices": {"imbalance": "exponential"}, "imbalance": {"_target_": "mixexp.imbalance.LongTail", "shape": "exponential", "ratio": 100, "which": "drawn"},
             "environment": {"train_counts": [5000, 900, 12]}},
            "on the first 300 training images of MNIST, cut to 5,912 by exponential imbalance (ratio 100; 12 to 5,000 images a class), tested",
        ),
        ({"choices": {"label_noise": "uniform"}, "label_noise": {"_target_": "mixexp.label_noise.Uniform", "rate": 0.2}}, "MNIST, uniform label noise (rate 0.2), tested"),
        ({"choices": {"mix": "mixup", "mix_layer": "layer1"}, "alpha": 0.2, "mix": {"ratio": {"alpha": 0.2, "fold": False}}}, "10,000: mixup (α 0.2), mixed at layer1, cross-entropy loss, without augmentation, SGD"),
        ({"choices": {"mix": "mixup", "mix_layer": "input"}, "alpha": 0.2}, "10,000: mixup, mixed at the input, cross-entropy loss, without augmentation, SGD"),
        ({"choices": {"mix_layer": "input"}}, "10,000: cross-entropy loss, without augmentation, SGD"),
        ({"choices": {"loss": "focal"}, "loss": {"gamma": 2, "class_weights": "none"}}, "10,000: focal loss (gamma 2), without augmentation, SGD"),
        ({"choices": {"loss": "focal"}, "loss": {"gamma": 2, "class_weights": "none", "beta": 0.9999}}, "10,000: focal loss (gamma 2), without"),
        (
            {"choices": {"loss": "class_balanced"}, "loss": {"class_weights": "effective_number", "beta": 0.9999}},
            "10,000: class_balanced loss (class weights effective_number, beta 0.9999), without",
        ),
        ({"choices": {"loss": "kl"}}, "10,000: KL-divergence loss, without augmentation, SGD"),
        ({"choices": {"augment": "standard"}, "augment": {"flip": True, "shift": 4}}, "10,000: cross-entropy loss, standard augmentation (flip, shift 4), SGD"),
        ({"choices": {"loss": None, "augment": None}}, "10,000: SGD"),
        ({"choices": {"sampling": "oversample"}, "sampling": {"to": "largest"}}, "10,000: cross-entropy loss, oversample sampling (to largest), without augmentation, SGD"),
        ({"choices": {"schedule": "cosine"}, "schedule": {"_target_": "mixexp.schedule.Cosine", "warmup_epochs": 5}}, ", cosine schedule after a warm-up of 5 epochs, batches"),
        (
            {"choices": {"schedule": "steps"}, "schedule": {"_target_": "mixexp.schedule.Steps", "milestones": [0.5, 0.75], "milestones_in": "budget", "drop": 0.1}},
            ", rate × 0.1 at 50 and 75 % of the budget, batches",
        ),
        (
            {"choices": {"schedule": "steps"}, "schedule": {"_target_": "mixexp.schedule.Steps", "milestones": [30], "milestones_in": "epochs", "drop": 0.1}},
            ", rate × 0.1 after 30 epochs, batches",
        ),
        ({"choices": {"schedule": "waves"}, "schedule": {"_target_": "my.Waves", "period": 3}}, ", schedule waves (period 3), batches"),
        ({"choices": {"model": "mine"}, "model": {"_target_": "my_nets.TinyNet"}}, "mine (TinyNet) (6,274 parameters) on"),
        ({"choices": {"model": "tiny_net"}, "model": {"_target_": "my_nets.TinyNet"}}, "tiny_net (6,274 parameters) on"),
        ({"epochs": None, "steps": 500}, ", batches of 128, 500 steps, seed 0."),
        ({"choices": {"dataset": "csv"}, "dataset": {"_target_": "mixexp.dataset.csv_table.CsvTable", "file": "/home/me/mine.csv"}}, "300 training rows of csv (mine.csv), tested"),
        ({"choices": {"dataset": "sound_folder"}, "dataset": {"_target_": "mixexp.dataset.sounds.SoundFolder", "folder": "barks"}}, "training recordings of sound_folder (barks), tested"),
        ({"choices": {"dataset": "blobs"}, "dataset": {"_target_": "my.Blobs"}, "environment": {"inputs": {"kind": "table"}}}, "training rows of blobs, tested"),
        ({"environment": {"test_counts": "many", "parameters": -1, "steps": {}, "train_counts": [1, None]}}, "small_cnn on the first 300 training images of MNIST: cross-entropy loss, without augmentation, SGD"),
    ],
)  # fmt: skip
def test_what_is_not_usual_is_said_and_nothing_else(difference, words, tmp_path):
    made(tmp_path / "a", **difference)
    assert words in sentence(tmp_path)
    for usual in ("none", "natural", "cross_entropy", "null", "nesterov"):
        assert usual not in sentence(tmp_path)


def test_a_second_stage_is_said_where_all_runs_have_it(tmp_path):
    made(tmp_path / "a", choices={"second_stage": "crt"}, seed=1)
    assert ": cross-entropy loss, without augmentation, second stage crt, SGD" in sentence(tmp_path)
    made(tmp_path / "b", choices={"second_stage": None}, seed=2)
    assert "second stage crt" not in sentence(tmp_path)


def test_settings_that_vary_are_given_with_their_values_and_named_as_differing(tmp_path):
    for n, model, parameters in ((100, "small_cnn", 6274), (300, "lenet", 40000), (500, "lenet", 50000)):
        for mix, alpha in (("none", None), ("mixup", 0.2), ("mixup", 1.0)):
            for seed in (0, 1, 2, 3):
                ratio = {"ratio": {"alpha": alpha}} if alpha else {}
                made(
                    tmp_path / f"{n}{mix}{alpha}{seed}", {"model": model, "mix": mix, "mix_layer": "input" if alpha else None}, {"parameters": parameters, "steps": n, "train_counts": [n]},
                    seed=seed, subset={"_target_": "mixexp.subset.Head", "n": n}, alpha=alpha, mix=ratio,
                )  # fmt: skip
    text = sentence(tmp_path)
    assert text.startswith(
        "small_cnn (6,274 parameters) or lenet (40,000 to 50,000 parameters) on the first 100, 300 or 500 training images of MNIST, tested"
        " on 10,000: mixing at the input, cross-entropy loss, without augmentation, SGD"
    )
    assert (
        "20 epochs (100 to 500 steps), seeds 0 to 3; the cells of the table differ in " in text and "mixup" not in text
    )
    assert set(text.rstrip(".").partition("differ in ")[2].replace(" and ", ", ").split(", ")) == {
        "network",
        "mixing",
        "α",
        "training images",
    }


def test_all_that_differs_is_named_and_not_the_fewest_that_tell_cells_apart(tmp_path):
    for place, (weight, sigma, centres) in enumerate(((0.1, 10, 1), (0.5, 90, 1), (0.9, 50, 5))):
        made(tmp_path / str(place), {"loss": "affinity"}, loss={"margin": weight, "sigma": sigma, "centres": centres})
    assert sentence(tmp_path).endswith("; the cells of the table differ in loss.margin, loss.sigma and loss.centres.")


def test_an_option_that_no_row_shows_is_given_with_the_row_that_has_it(tmp_path):
    for mix, loss in (("none", "cross_entropy"), ("mixup", "cross_entropy"), ("bc", "kl")):
        made(
            tmp_path / mix,
            {"mix": mix, "mix_layer": None if mix == "none" else "input", "loss": loss},
            loss={"_target_": f"mixexp.loss.{loss}"},
        )
    assert sentence(tmp_path).endswith(
        "; the cells of the table differ in mixing and loss (bc: KL-divergence; the others: cross-entropy)."
    )
    for file in tmp_path.glob("mixup/config.yaml"):
        file.write_text(file.read_text().replace("alpha: null", "alpha: 0.2"))
    assert "mixing at the input, α 0.2 (mixup), " in sentence(tmp_path), "bc has none"
    for file in tmp_path.glob("bc/config.yaml"):
        file.write_text(file.read_text().replace("alpha: null", "alpha: 0.2"))
    assert "mixing at the input, α 0.2, " in sentence(tmp_path)
    made(tmp_path / "more", {"mix": "bc", "mix_layer": "input"}, loss={"_target_": "mixexp.loss.cross_entropy"})
    assert sentence(tmp_path).endswith(
        "; the cells of the table differ in mixing, α and loss."
    )  # the rows name the loss
    assert "α 0.2" not in sentence(tmp_path), "bc has it in some runs"


def test_what_an_option_or_a_root_setting_implies_is_no_difference_of_its_own(tmp_path):
    for mix, batch in (("none", 32), ("mixup", 32), ("none", 64), ("mixup", 64)):
        own = {} if mix == "none" else {"ratio": {"alpha": 0.2}, "step_size": batch}
        choices = {"mix": mix, "mix_layer": None if mix == "none" else "input"}
        made(
            tmp_path / f"{mix}{batch}",
            choices,
            mix=own,
            alpha=None if mix == "none" else 0.2,
            batch_size=batch,
            probe={"x": batch},
        )
    assert sentence(tmp_path).endswith("; the cells of the table differ in batch_size and mixing.")


def test_a_part_of_the_runs_is_not_taken_for_all(tmp_path):
    made(tmp_path / "whole")
    cut = {"_target_": "mixexp.imbalance.LongTail", "shape": "step", "ratio": 10}
    made(
        tmp_path / "cut",
        {"imbalance": "step"},
        {"train_counts": [30, 3]},
        imbalance=cut,
        optimizer={**SGD, "lr": 0.3},
        seed=7,
    )
    text = sentence(tmp_path)
    assert (
        "in some runs cut by step imbalance (3 to 30 images a class)" in text
        and "(lr 0.1 or 0.3, momentum 0.9" in text
        and "seeds 0, 7" in text
    )


def test_many_seeds_and_values_are_not_all_listed(tmp_path):
    for seed in range(0, 20, 2):
        made(tmp_path / str(seed), seed=seed, optimizer={**SGD, "lr": (seed + 1) / 100})
    assert "10 seeds; " in sentence(tmp_path) and "(lr 0.01 to 0.19, momentum" in sentence(tmp_path)


@pytest.mark.parametrize(
    ("seeds", "words"),
    [
        ((0, 1, 2), "seeds 0, 1, 2"),
        ((1, 2, 3, 4), "seeds 1 to 4"),
        ((0, 1, 2, 3, 4, 5, 6, 9), "seeds 0, 1, 2, 3, 4, 5, 6, 9"),
        ((0, 1, 2, 3, 4, 5, 6, 7, 9), "9 seeds"),
    ],
)
def test_seeds_are_listed_up_to_eight_unless_they_follow_one_another(seeds, words, tmp_path):
    for seed in seeds:
        made(tmp_path / str(seed), seed=seed)
    assert sentence(tmp_path).endswith(f"(60 steps), {words}.")


@pytest.mark.parametrize(("count", "words"), [(4, "batches of 1, 2, 3 or 4"), (5, "batches of 1 to 5")])
def test_four_values_are_listed_and_of_five_the_ends(count, words, tmp_path):
    for size in range(1, count + 1):
        made(tmp_path / str(size), batch_size=size)
    assert words in sentence(tmp_path)


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (6, "s0, s1, s2, s3, s4 and s5."),
        (7, "s0, s1, s2, s3, s4, s5 and 1 more setting."),
        (8, "s0, s1, s2, s3, s4, s5 and 2 more settings."),
    ],
)
def test_six_settings_that_differ_are_named(count, words, tmp_path):
    for place in range(count + 1):
        made(tmp_path / str(place), **{f"s{key}": key < place for key in range(count)})
    assert sentence(tmp_path).endswith(f"; the cells of the table differ in {words}")


def test_a_game_names_its_networks_and_nothing_of_a_classification(tmp_path):
    parameters = {"generator": 33666, "discriminator": 33537}
    ring = {"_target_": "mixexp.dataset.gaussians.Gaussians"}
    choices = {"gan": "plain", "dataset": "ring", "loss": "focal", "augment": "standard"}
    made(
        tmp_path / "a",
        choices,
        {"parameters": parameters, "train_counts": [6250] * 8, "test_counts": None, "steps": 100},
        dataset=ring,
        validation=0.1,
    )
    text = sentence(tmp_path)
    assert text.startswith(
        "A generator (33,666 parameters) and a discriminator (33,537 parameters) on 50,000 training points of ring: gan"
        " plain, SGD ("
    )
    assert not any(word in text for word in ("small_cnn", "focal", "standard", "held out", "first"))


def test_an_old_record_gives_a_shorter_sentence_and_none_gives_none(tmp_path):
    leave(tmp_path / "old" / "a", table=None)
    assert sentence(tmp_path / "old") == "The first 500 training samples of digits: 30 epochs, seed 0."
    (leave(tmp_path / "bad" / "a") / "config.yaml").write_text("{")
    assert sentence(tmp_path / "bad") == ""

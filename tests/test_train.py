from __future__ import annotations

import csv
import json
import math
import random

import numpy as np
import pytest
import torch
import yaml
from running import config_of, mixes_and_losses, result_of, rows_of, trained

from mixexp.metrics import scores
from mixexp.plan.options import options
from mixexp.settings import CONF
from mixexp.train import train
from mixexp.training.budget import steps_per_epoch
from mixexp.training.folder import RunFolder
from mixexp.training.spec import RunConfig

OPTIONS = options([CONF])
DRAWING = ("model=cnn11", "subset=head", "subset.n=200", "epochs=1")
"""Four steps that draw random numbers of torch's own kind, as cnn11 has dropout."""


def shortest(option: str) -> int:
    """Epochs of the shortest run with an option: one that changes on the way needs an epoch before the change."""
    return 2 if option in ("deferred", "ldam_drw") else 1


def steps_of(record: RunFolder) -> list[int]:
    return [int(row["step"]) for row in rows_of(record)]


def test_the_same_seed_gives_the_same_csv_bit_for_bit_and_another_does_not(tmp_path):
    words = ("mix=mixup", "mix_layer=random", "mix_layer.layers=[input,layer1,final]", "augment=standard")
    first, second, other = (trained(tmp_path / name, *words, f"seed={s}") for name, s in (("a", 1), ("b", 1), ("c", 2)))
    assert rows_of(first) == rows_of(second)
    assert (first.path / "confusion.csv").read_bytes() == (second.path / "confusion.csv").read_bytes()
    assert rows_of(first) != rows_of(other)


def test_numbers_do_not_depend_on_the_global_generators_and_leave_them_alone(tmp_path):
    found = []
    for name, seed in (("a", 1), ("b", 99)):
        torch.manual_seed(seed), np.random.seed(seed), random.seed(seed)
        before = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()
        found.append(rows_of(trained(tmp_path / name, *DRAWING, "mix=bc", "loss=kl")))
        assert torch.equal(before[0], torch.get_rng_state())
        assert (before[1] == np.random.get_state()[1]).all() and before[2] == random.getstate()
    assert found[0] == found[1]


def test_two_runs_dealt_turns_in_one_process_give_what_each_gives_alone(tmp_path):
    alone = [rows_of(trained(tmp_path / f"alone{seed}", *DRAWING, f"seed={seed}")) for seed in (0, 1)]
    records = [RunFolder(tmp_path / f"together{seed}") for seed in (0, 1)]
    runs = [train(RunConfig.of(config_of(*DRAWING, f"seed={seed}")), record, {}) for seed, record in enumerate(records)]
    for _ in zip(*runs, strict=True):
        pass
    assert [rows_of(record) for record in records] == alone


def test_seed_changes_the_training_but_not_the_data_and_data_seed_the_data(tmp_path):
    words = ("subset=balanced", "subset.n=200", "label_noise=uniform", "epochs=1")
    runs = [trained(tmp_path / f"{s}{d}", *words, f"seed={s}", f"data_seed={d}") for s, d in ((0, 0), (1, 0), (0, 1))]
    hashes = [json.loads((run.path / "result.json").read_text())["data_hash"] for run in runs]
    assert hashes[0] == hashes[1] != hashes[2]
    assert rows_of(runs[0]) != rows_of(runs[1])


@pytest.mark.parametrize("mix, loss", mixes_and_losses())
def test_every_mix_and_every_loss_trains_to_a_finite_result(mix, loss, tmp_path):
    record = trained(tmp_path, f"mix={mix}", f"loss={loss}", f"epochs={shortest(loss)}", "batch_size=300")
    result = result_of(record.path)
    assert result["outcome"] == "finished"
    assert all(math.isfinite(value) for value in result["last"].values())


@pytest.mark.parametrize(
    "group, option",
    [
        (g, o)
        for g in ("augment", "imbalance", "label_noise", "optimizer", "sampling", "schedule", "subset")
        for o in OPTIONS[g]
    ],
)
def test_every_option_of_the_other_groups_trains(group, option, tmp_path):
    # the shipped sizes are for larger data sets than the digits
    sizes = {"subset.n": 200, "imbalance.n": 5, "imbalance.ratio": 10}
    text = (CONF / group / f"{option}.yaml").read_text()
    words = [
        f"{key}={value}" for key, value in sizes.items() if key.startswith(group) and f"\n{key.split('.')[1]}:" in text
    ]
    record = trained(tmp_path, f"{group}={option}", *words, f"epochs={shortest(option)}")
    assert result_of(record.path)["outcome"] == "finished"


def test_training_learns(tmp_path):
    record = trained(tmp_path, "epochs=10", "model.width=16")
    assert float(rows_of(record)[-1]["accuracy"]) > 0.9
    assert float(rows_of(record)[-1]["test_loss"]) < 0.5


def test_a_vanishing_alpha_is_no_mixing(tmp_path):
    mixed = trained(tmp_path / "mixed", "mix=data_mix", "mix.ratio.first_plus=1", "alpha=1e-12", "epochs=1")
    none = trained(tmp_path / "none", "epochs=1")
    for ours, theirs in zip(rows_of(mixed), rows_of(none), strict=True):
        assert float(ours["train_loss"]) == pytest.approx(float(theirs["train_loss"]), rel=1e-4)


def test_the_row_of_an_evaluation_agrees_with_the_confusion_matrix(tmp_path):
    record = trained(tmp_path, "imbalance=minority", "imbalance.n=5")
    with (tmp_path / "confusion.csv").open() as file:
        header, *lines = csv.reader(file)
    matrix = np.array([[int(cell) for cell in line[1:]] for line in lines])
    last = rows_of(record)[-1]
    for name, value in scores(matrix).items():
        assert float(last[name]) == value
    assert matrix.sum(1).tolist() == json.loads((tmp_path / "environment.json").read_text())["test_counts"]
    assert len(header) == 11


def test_train_loss_is_the_mean_over_all_samples_since_the_last_evaluation(tmp_path):
    record = trained(tmp_path, "steps=1", "batch_size=2000")
    # before the first step the network's outputs are those of its first weights, so the loss is near log 10
    assert float(rows_of(record)[0]["train_loss"]) == pytest.approx(math.log(10), abs=0.5)


def test_evaluations_are_spread_over_the_budget_and_end_with_it(tmp_path):
    per_epoch = math.ceil(1438 / 64)
    assert steps_of(trained(tmp_path / "a", "epochs=3")) == [per_epoch, 2 * per_epoch, 3 * per_epoch]
    assert steps_of(trained(tmp_path / "b", "epochs=5", "evaluations=2")) == [58, 115]
    assert steps_of(trained(tmp_path / "c", "steps=30")) == [per_epoch, 30]


@pytest.mark.parametrize(
    "rows, batch, drop_last, expected",
    [
        (100, 10, False, 10),
        (105, 10, False, 11),
        (105, 10, True, 10),
        (101, 10, False, 10),
        (1, 10, False, 1),
        (5, 1, False, 5),
        (9, 10, True, 0),
        (9, 10, False, 1),
        (2, 10, False, 1),
    ],
)
def test_the_last_partial_batch_follows_one_rule(rows, batch, drop_last, expected):
    assert steps_per_epoch(rows, batch, drop_last) == expected


def test_one_image_left_over_does_not_break_batchnorm(tmp_path):
    record = trained(tmp_path, "subset=head", "subset.n=65", "loss=affinity", "loss.batchnorm=true", "epochs=2")
    assert result_of(record.path)["steps"] == 2


def test_a_held_out_part_is_reported_and_not_trained_on(tmp_path):
    record = trained(tmp_path, "validation=0.25")
    assert {"val_loss", "val_accuracy", "val_macro_f1"} <= rows_of(record)[0].keys()
    counts = json.loads((tmp_path / "environment.json").read_text())["train_counts"]
    assert sum(counts) == 1438 - round(0.25 * 1438)
    chosen = max(rows_of(record), key=lambda row: float(row["val_accuracy"]))
    assert result_of(record.path)["best_validation"]["accuracy"] == float(chosen["accuracy"])


def test_a_diverging_run_says_so_keeps_its_rows_and_stops(tmp_path):
    record = trained(tmp_path, "optimizer.lr=1e30", "epochs=50")
    result = result_of(record.path)
    assert result["outcome"] == "diverged"
    assert len(rows_of(record)) < 50


def test_the_record_holds_the_resolved_configuration_and_its_choices(tmp_path):
    trained(tmp_path, "mix=data_mix", "alpha=0.3", "epochs=1")
    config = yaml.safe_load((tmp_path / "config.yaml").read_text())
    assert config["mix"]["ratio"]["alpha"] == 0.3 and config["choices"]["mix"] == "data_mix"
    assert "${" not in (tmp_path / "config.yaml").read_text()


def test_bfloat16_stays_near_float32(tmp_path):
    losses = [
        float(rows_of(trained(tmp_path / p, f"precision={p}", "epochs=1"))[-1]["train_loss"])
        for p in ("float32", "bfloat16")
    ]
    assert losses[0] == pytest.approx(losses[1], rel=0.05) and losses[0] != losses[1]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_follows_the_cpu_in_float32(tmp_path):
    words = ("mix=mixup", "augment=standard", "precision=float32", "epochs=2")
    cpu, cuda = (trained(tmp_path / d, *words, f"device={d}") for d in ("cpu", "cuda"))
    for ours, theirs in zip(rows_of(cuda), rows_of(cpu), strict=True):
        assert float(ours["train_loss"]) == pytest.approx(float(theirs["train_loss"]), rel=1e-3)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_repeats_itself_bit_for_bit(tmp_path):
    first, second = (trained(tmp_path / n, "mix=mixup", "model=cnn10", "device=cuda") for n in "ab")
    assert rows_of(first) == rows_of(second)

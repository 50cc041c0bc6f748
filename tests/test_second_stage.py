"""A second stage: what it trains and what it leaves, its identity, and how it comes after its first stage."""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import hydra
import numpy as np
import pytest
import torch
from commands import mixexp
from running import composer, config_of, errors_of, names, option, resolved, rows_of
from torch import Tensor, nn

from mixexp.errors import UserError
from mixexp.files import read_json
from mixexp.inference.trained import load_trained
from mixexp.plan.identity import canonical
from mixexp.plan.plan import Plan, plan
from mixexp.plan.second_stage import first_words
from mixexp.second_stage import ScaledHead, effective, first_of, optimizer_of
from mixexp.settings import CONF
from mixexp.sweeping.launch import partition_runs
from mixexp.sweeping.one import Busy, iterate
from mixexp.sweeping.pool import Outcomes, _Queue, _without_first
from mixexp.train import train
from mixexp.training.folder import RunFolder
from mixexp.training.reader import load_run, read_environment, trained_config
from mixexp.training.setup import setup
from mixexp.training.spec import RunConfig, RunSpec

LONG_TAIL = ("imbalance=exponential", "imbalance.ratio=10", "epochs=2", "model.width=4", "batch_size=64")
FULL_BATCH = ("second_stage.sampling._target_=mixexp.sampling.Natural", "~second_stage.sampling.q", "batch_size=2000")


def typed(*words: str) -> RunConfig:
    return RunConfig.of(config_of(*LONG_TAIL, *words))


def done(folder: Path, config: RunConfig, first: Path | None = None) -> Path:
    for _ in train(config, RunFolder(folder, lambda _: None), {}, first=first):
        pass
    return folder


def weights(folder: Path) -> dict[str, Tensor]:
    return torch.load(folder / "weights.pt", weights_only=True)["network"]


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a first stage."""
    return done(tmp_path_factory.mktemp("first") / "run", typed("keep=last"))


# --- what it trains ---


@pytest.mark.parametrize("name", names("second_stage"))
def test_the_body_stays_as_it_was_bit_for_bit(name: str, first: Path, tmp_path: Path) -> None:
    config = typed(f"second_stage={name}", "second_stage.epochs=1", "keep=last")
    before, after = weights(first), weights(done(tmp_path / "run", config, first))
    parameters = {key for key, _ in setup(first_of(config)).network.named_parameters() if key.startswith("body.")}
    assert len(parameters) > 5 and all(torch.equal(before[key], after[key]) for key in parameters)
    moved = {key for key in before.keys() - parameters if key.startswith("body.") and "running" in key}
    assert moved and not any(torch.equal(before[key], after[key]) for key in moved), "these estimates go on"


def test_frozen_batch_norms_keep_their_estimates_and_use_them(first: Path, tmp_path: Path) -> None:
    words = ("second_stage=crt", "second_stage.epochs=1", "second_stage.batch_norm=frozen", "keep=last")
    before, after = weights(first), weights(done(tmp_path / "run", typed(*words), first))
    assert all(torch.equal(before[key], after[key]) for key in before if key.startswith("body."))
    network = setup(typed(*words), first).network.train()
    images = torch.rand(8, 1, 8, 8)
    with torch.no_grad():
        features = network.body(images)
        assert torch.equal(features, network.eval().body(images)) and network.head.training is False


@pytest.mark.parametrize(
    ("words", "trained"),
    [
        (("second_stage=crt",), {"head.weight", "head.bias"}),
        (("second_stage=crt", "second_stage.head=kept"), {"head.weight", "head.bias"}),
        (("second_stage=lws",), {"head.scale"}),
        (("second_stage=mislas",), {"head.scale", "head.head.weight", "head.head.bias"}),
    ],
)
def test_only_the_head_or_its_factors_are_trained(words: Sequence[str], trained: set[str], first: Path) -> None:
    config = typed(*words)
    network = setup(config, first).network
    assert {key for key, parameter in network.named_parameters() if parameter.requires_grad} == trained
    optimizer = optimizer_of(effective(config), network)
    there = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    assert there == {id(parameter) for key, parameter in network.named_parameters() if key in trained}


def test_a_new_head_is_neither_the_trained_one_nor_the_one_that_the_first_stage_began_with(first: Path) -> None:
    config = typed("second_stage=crt")
    new, begun = (setup(each, path).network.head for each, path in ((config, first), (first_of(config), None)))
    kept = setup(typed("second_stage=crt", "second_stage.head=kept"), first).network.head
    assert torch.equal(kept.weight, weights(first)["head.weight"])
    assert not torch.equal(new.weight, kept.weight) and not torch.equal(new.weight, begun.weight)


def test_factors_of_1_change_nothing() -> None:
    head, features = nn.Linear(3, 4), torch.randn(5, 3)
    scaled = ScaledHead(head, 4)
    assert torch.equal(scaled(features), head(features))
    with torch.no_grad():
        scaled.scale.copy_(torch.tensor([1.0, 2.0, 0.0, -1.0]))
    for row, by_hand in zip(scaled(features).tolist(), head(features).tolist(), strict=True):
        assert row == pytest.approx([by_hand[0], 2 * by_hand[1], 0.0, -by_hand[3]])


def by_hand(
    features: np.ndarray, labels: list[int], head: dict[str, np.ndarray], lr: float, head_lr: float, steps: int
) -> dict[str, np.ndarray]:
    """The head after steps of plain gradient descent on the mean cross-entropy of s_c·(w_c·f + b_c), by loops."""
    values = {name: value.astype(float).copy() for name, value in head.items()}
    classes = len(values["bias"])
    for _ in range(steps):
        gradient = {name: np.zeros_like(value) for name, value in values.items()}
        for f, y in zip(features.astype(float), labels, strict=True):
            plain = [float(values["weight"][c] @ f) + values["bias"][c] for c in range(classes)]
            outputs = [values["scale"][c] * plain[c] for c in range(classes)]
            total = sum(math.exp(output - max(outputs)) for output in outputs)
            for c in range(classes):
                error = (math.exp(outputs[c] - max(outputs)) / total - (c == y)) / len(labels)
                gradient["scale"][c] += error * plain[c]
                gradient["weight"][c] += error * values["scale"][c] * f
                gradient["bias"][c] += error * values["scale"][c]
        for name, rate in (("scale", lr), ("weight", lr * head_lr), ("bias", lr * head_lr)):
            values[name] -= rate * gradient[name]
    return values


@pytest.mark.parametrize("head_lr", [0, 0.5])
def test_scaled_heads_follow_gradient_descent_by_hand(head_lr: float, first: Path, tmp_path: Path) -> None:
    words = ("second_stage=lws", f"second_stage.head_lr={head_lr}", "second_stage.epochs=3", *FULL_BATCH, "keep=last")
    still = ("second_stage.batch_norm=frozen", "second_stage.schedule._target_=mixexp.schedule.Constant")
    config = typed(*words, *still, "optimizer.momentum=0", "precision=float32")
    parts = setup(config, first)
    with torch.no_grad():
        rows = torch.arange(len(parts.train.labels))
        features = parts.network.eval().body(parts.normalize(parts.train.gather(rows))).numpy()
    head = {name: weights(first)[f"head.{name}"].numpy() for name in ("weight", "bias")}
    head["scale"] = np.ones(10)
    expected = by_hand(features, parts.train.labels.tolist(), head, 0.05, head_lr, 3)
    after = weights(done(tmp_path / "run", config, first))
    for name, key in (("scale", "head.scale"), ("weight", "head.head.weight"), ("bias", "head.head.bias")):
        np.testing.assert_allclose(after[key].numpy(), expected[name], rtol=1e-4, atol=1e-6)
    assert np.abs(expected["scale"] - 1).max() > 1e-3


# --- resuming ---


@pytest.mark.parametrize("name", names("second_stage"))
def test_a_stopped_second_stage_goes_on_as_if_it_had_not(name: str, first: Path, tmp_path: Path) -> None:
    config = typed(f"second_stage={name}", "second_stage.epochs=2", "keep=last", "checkpoint_seconds=0")
    whole = done(tmp_path / "whole", config, first)
    for _ in range(3):
        attempt = train(config, RunFolder(tmp_path / "stopped", lambda _: None), {}, first=first)
        next(attempt)
        next(attempt)
        attempt.close()
    stopped = done(tmp_path / "stopped", config, first)
    assert read_environment(stopped)["continued_at_step"] == 6
    assert rows_of(RunFolder(stopped)) == rows_of(RunFolder(whole))
    assert all(torch.equal(value, weights(stopped)[key]) for key, value in weights(whole).items())


def test_a_checkpoint_from_other_weights_of_the_first_stage_is_not_used(first: Path, tmp_path: Path) -> None:
    config = typed("second_stage=lws", "second_stage.epochs=2", "checkpoint_seconds=0")
    attempt = train(config, RunFolder(tmp_path, lambda _: None), {"first_stage": "a of 1"}, first=first)
    next(attempt)
    attempt.close()
    for _ in train(config, RunFolder(tmp_path, lambda _: None), {"first_stage": "a of 2"}, first=first):
        pass
    assert read_environment(tmp_path)["continued_at_step"] == 0


# --- identity and plan ---


def planned(folder: Path, *cells: str, common: str = "") -> Plan:
    """The plan of a sweep with these cells."""
    words = [[*LONG_TAIL, f"output_dir={folder}", *common.split(), *cell.split()] for cell in cells]
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        return plan([composer()(each) for each in words], words)


def by_label(made: Plan) -> dict[str, RunSpec]:
    return {run.label: run for run in made.runs}


def test_a_first_stage_is_the_run_without_a_second_one_and_both_identify_a_second_stage(tmp_path: Path) -> None:
    made = by_label(planned(tmp_path, "second_stage=crt mix=mixup", "second_stage=lws mix=mixup", "mix=none"))
    alone = by_label(planned(tmp_path, "mix=mixup", "mix=none"))
    first = made["mix=mixup second_stage=null"]
    assert first.folder == alone["mix=mixup"].folder and first.config.keep == "last"
    seconds = [made[f"second_stage={name} mix=mixup"] for name in ("crt", "lws")]
    assert [run.first for run in seconds] == [first, first]
    assert len({run.folder for run in made.values()}) == 4
    other = by_label(planned(tmp_path, "second_stage=crt mix=mixup alpha=0.2", "mix=none"))
    assert other["second_stage=crt mix=mixup alpha=0.2"].folder != seconds[0].folder, "another first stage"


def test_a_first_stage_that_is_a_cell_too_is_one_run_which_keeps_its_weights(tmp_path: Path) -> None:
    for cells in (("second_stage=null", "second_stage=crt"), ("second_stage=crt", "second_stage=null")):
        made = planned(tmp_path, *cells)
        assert (made.cells, len(made.runs), made.first_stages, made.counted) == (2, 2, 0, [])
        run = by_label(made)["second_stage=null"]
        assert run.config.keep == "last" and run.words[-2:] == ("second_stage=null", "keep=last")
    made = planned(tmp_path, "second_stage=crt", "second_stage=lws")
    assert made.counted == ["1 run beside the cells, as the first stage of others"]


def test_first_stages_are_made_before_the_others(tmp_path: Path) -> None:
    made = planned(tmp_path, "second_stage=crt epochs=9", "second_stage=lws epochs=2", "mix=mixup epochs=5")
    _, waiting = partition_runs(made.runs)
    assert [run.first is not None for run in waiting] == [False] * 3 + [True] * 2


def test_the_words_of_a_first_stage_make_it_alone() -> None:
    words = ["mix=mixup", "second_stage=crt", "second_stage.lr=0.1", "++second_stage.epochs=3", "keep=none", "seed=1"]
    words += ["+loss@second_stage.loss=focal", "+dataset@probe.mnist=mnist"]
    assert first_words(words) == ["mix=mixup", "seed=1", "+dataset@probe.mnist=mnist", "second_stage=null", "keep=last"]


def test_where_only_the_second_stage_mixes_the_layer_counts() -> None:
    values = resolved(*LONG_TAIL, "second_stage=crt", "mix_layer=final")
    assert canonical(values, False)["mix_layer"]["layers"] == ["input"], "nothing mixes"
    values["second_stage"]["mix"] = option("mix", "mixup")
    assert canonical(values, False)["mix_layer"]["layers"] == ["final"]


# --- what is refused ---


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("second_stage=crt", "second_stage.head_lr=0.5"), "second_stage: head_lr = 0.5: only with head=scaled"),
        (("second_stage=lws", "loss=affinity"), "second_stage: head = scaled: the head of this loss is Sequential"),
        (("second_stage=mislas", "loss=ldam"), "second_stage: loss: its head is Linear and that of the first stage"),
        (("second_stage=crt", "keep=best", "validation=0.2"), "second_stage: keep = best: it starts from the last"),
        (("second_stage=crt", "mix=bc_plus"), "second_stage: mix: it does not centre each image"),
        (("second_stage=crt", "loss=class_balanced"), "second_stage: sampling, loss.class_weights: both correct"),
        (
            ("second_stage=mislas", "second_stage.loss.smooth_tail=0.5"),
            "second_stage: loss.smooth_tail = 0.5: at most loss.smooth_head = 0.4",
        ),
        (
            ("second_stage=lws", "probe=tau_normalisation"),
            "second_stage: probe: tau-normalisation needs a linear classifier",
        ),
        (("second_stage=crt", "second_stage.epochs=0"), "second_stage.epochs = 0: needs"),
        (("second_stage=crt", "second_stage.head=old"), "second_stage.head = old: needs new, kept or scaled"),
        (("second_stage=crt", "mix_layer=layer4", "mix=mixup"), "mix_layer: model has no layer 'layer4'"),
    ],
)
def test_what_does_not_fit_has_one_message(words: Sequence[str], message: str) -> None:
    (line,) = errors_of(resolved(*LONG_TAIL, *words))
    assert line.startswith(message)


def test_a_game_has_no_second_stage() -> None:
    lines = errors_of(resolved("dataset=ring", "gan=plain", "steps=2", "optimizer=adam", "second_stage=crt"))
    assert "gan, second_stage: each trains a run in its own way; keep one" in lines


def test_a_first_stage_that_has_finished_without_weights_is_asked_for_again(tmp_path: Path) -> None:
    made = planned(tmp_path, "second_stage=lws")
    (tmp_path / "runs").mkdir(exist_ok=True)
    first = made.runs[0]
    done(first.folder, first.config.replace(keep="none"))
    (refusal,) = planned(tmp_path, "second_stage=lws").refusals
    assert refusal.reason.startswith("second_stage: its first stage is finished and has not kept its last weights")
    again = planned(tmp_path, "second_stage=lws", common="retry=changed")
    assert again.refusals == [] and partition_runs(again.runs)[1] == again.runs


# --- one after the other ---


def take(run: RunSpec) -> dict[str, Any]:
    """The result of a run that is trained here."""
    steps = iterate(run, threading.Event(), lambda _: None)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def test_a_second_stage_waits_for_its_first_one_and_starts_from_it(tmp_path: Path) -> None:
    first, second = planned(tmp_path, "second_stage=lws second_stage.epochs=1").runs
    with pytest.raises(Busy, match=f"{first.folder.name}: this first stage is not finished"):
        take(second)
    first.folder.mkdir(exist_ok=True)
    (first.folder / "error.txt").write_text("MemoryError: of the test")
    with pytest.raises(Exception, match=r"its first stage has failed, .*MemoryError: of the test"):
        take(second)
    assert not (second.folder / "error.txt").exists(), "it has not failed itself, and goes on once the first has"
    take(first)
    assert take(second)["outcome"] == "finished"
    record = read_environment(second.folder)
    assert record["first_stage"] == f"{first.folder.name} of {read_environment(first.folder)['started']}"


@pytest.mark.parametrize("keep", ["none", "best"])
def test_a_first_stage_that_another_command_has_made_without_its_last_weights_is_not_used(
    keep: str, tmp_path: Path
) -> None:
    first, second = planned(tmp_path, "second_stage=lws validation=0.2").runs
    done(first.folder, first.config.replace(keep=keep))
    (first.folder / "config.yaml").write_text(f"keep: {keep}")
    with pytest.raises(UserError, match="its first stage is finished and has not kept its last weights"):
        take(second)
    assert not (second.folder / "result.json").exists()


def test_a_sweep_starts_a_second_stage_after_its_own_first_one_alone(tmp_path: Path) -> None:
    """An error.txt of an earlier try may be there until the first stage has begun again."""
    first, second = planned(tmp_path, "second_stage=lws").runs
    assert _Queue([first, second]).waits(second, Outcomes())
    assert not _Queue([first, second]).waits(first, Outcomes())
    assert not _Queue([first, second]).waits(second, Outcomes(results={first.folder.name: {}}))
    assert not _Queue([second]).waits(second, Outcomes()), "its first stage was over before, or is not of this sweep"


def test_a_sweep_does_not_start_a_second_stage_whose_first_has_failed(tmp_path: Path) -> None:
    first, second = planned(tmp_path, "second_stage=lws").runs
    assert _without_first(second, Outcomes()) is None
    outcomes = Outcomes(failures={first.folder.name: "MemoryError"})
    assert _without_first(second, outcomes) == f"its first stage has failed, {first.folder}"
    assert _without_first(first, outcomes) is None


def test_a_second_stage_is_made_again_where_its_first_one_was(tmp_path: Path) -> None:
    common = "retry=changed second_stage.epochs=1 keep=last"
    made = planned(tmp_path, "second_stage=lws", common=common)
    for run in made.runs:
        take(run)
    assert partition_runs(made.runs)[1] == []
    (made.runs[0].folder / "weights.pt").unlink()
    assert partition_runs(made.runs)[1] == made.runs
    with pytest.raises(Busy):
        take(made.runs[1])
    record = read_json(made.runs[0].folder / "environment.json")
    take(made.runs[0])
    about = made.runs[0].folder / "environment.json"
    about.write_text(json.dumps({**read_json(about), "started": "later"}))
    assert record["started"] != "later"
    assert partition_runs(made.runs)[1] == [made.runs[1]]
    take(made.runs[1])
    assert partition_runs(made.runs)[1] == []


def test_one_command_makes_both_stages_and_its_network_is_the_one_that_was_tested(
    tmp_path: Path, mixexp_here: Callable[..., Any]
) -> None:
    words = (*LONG_TAIL, "second_stage=mislas", "second_stage.epochs=1", "keep=last", f"output_dir={tmp_path}")
    made = mixexp_here(*words, cwd=tmp_path)
    assert made.returncode == 0 and "first stage: " in made.stdout
    second = next(path for path in (tmp_path / "runs").iterdir() if load_run(path).config["second_stage"] is not None)
    model, preprocess, _ = load_trained(second)
    assert isinstance(model.network.head, ScaledHead)
    test = setup(RunConfig.of(trained_config(second))).test
    with torch.inference_mode():
        accuracy = (model(preprocess(test.images)).argmax(1) == test.labels).double().mean().item()
    assert accuracy == pytest.approx(load_run(second).last["accuracy"], abs=1e-12)
    assert "already finished" in mixexp_here(*words, cwd=tmp_path).stdout


def test_a_sweep_trains_both_stages_and_its_status_and_report_have_them(tmp_path: Path) -> None:
    made = mixexp("-m", *LONG_TAIL, "second_stage=null,lws", "seed=0,1", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    assert "4 runs, 4 done" in made.stdout
    assert mixexp("status", "outputs/runs", cwd=tmp_path).stdout.count("second_stage=lws") == 2
    assert mixexp("report", "outputs/runs", cwd=tmp_path).returncode == 0
    assert "lws" in (tmp_path / "outputs/runs/report/table.md").read_text()

"""Every way to take a step gives the eager way's numbers: compiled ones to rounding, graphs bit for bit where the
device is the same.

CUDA graphs are checked without CUDA too, by a recorder that keeps to their rules: what is recorded has no effect, every
operation is repeated on the same memory, what the host decided stays as it was, and to read a value from the device is
an error.
"""

from __future__ import annotations

import contextlib
import itertools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from running import config_of, covering, errors_of, rows_of, trained
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from mixexp import optimizer, speed
from mixexp.errors import UserError
from mixexp.loss.cross_entropy import CrossEntropy
from mixexp.train import train
from mixexp.training import stepper as stepping
from mixexp.training.batches import Batches, Epoch
from mixexp.training.budget import Budget
from mixexp.training.device import make_deterministic
from mixexp.training.folder import RunFolder
from mixexp.training.spec import RunConfig

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
HAS_CUDA = torch.cuda.is_available()
COMPILER = speed._compiler() is not None


class Recorder(TorchDispatchMode):
    """Keeps the operations of a function with the tensors they read and write, and undoes what they changed."""

    def __init__(self) -> None:
        super().__init__()
        self.operations: list[tuple[Any, tuple, dict, Any]] = []
        self._before: dict[int, tuple[Tensor, Tensor]] = {}

    def __torch_dispatch__(self, operation: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        kwargs = kwargs or {}
        if operation is torch.ops.aten._local_scalar_dense.default:
            raise RuntimeError("operation not permitted when stream is capturing")
        for argument, value in zip(operation._schema.arguments, args, strict=False):
            # BatchNorm's schema does not say that it writes its running statistics
            if (argument.alias_info is not None and argument.alias_info.is_write) or argument.name.startswith(
                "running_"
            ):
                for tensor in [] if value is None else _listed(value):
                    self._before.setdefault(id(tensor), (tensor, tensor.clone()))
        result = operation(*args, **kwargs)
        self.operations.append((operation, args, kwargs, result))
        return result

    def undo(self) -> None:
        for tensor, before in reversed(self._before.values()):
            tensor.copy_(before)

    @torch.no_grad()
    def replay(self) -> None:
        for operation, args, kwargs, result in self.operations:
            again = operation(*args, **kwargs)
            for old, new in zip(_listed(result), _listed(again), strict=True):
                if isinstance(new, Tensor) and new.untyped_storage().data_ptr() != old.untyped_storage().data_ptr():
                    old.copy_(new)


def _listed(values: Any) -> list[Any]:
    return list(values) if isinstance(values, (list, tuple)) else [values]


captured: list[Recorder] = []


class Watch(TorchDispatchMode):
    """Notes whether a value is read from the device."""

    asked = ""

    def __torch_dispatch__(self, operation: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        if operation is torch.ops.aten._local_scalar_dense.default:
            self.asked = "called a synchronizing CUDA operation"
        return operation(*args, **(kwargs or {}))


def watch(step: Callable[[], None]) -> str:
    with Watch() as watching:
        step()
    return watching.asked


def record(steps: Callable[[], None], pool: Any, device: torch.device) -> Callable[[], None]:
    recorder = Recorder()
    try:
        with recorder:
            steps()
    finally:
        with torch.no_grad():
            recorder.undo()
    captured.append(recorder)
    return recorder.replay


@pytest.fixture
def graphs_on_the_cpu(monkeypatch) -> None:
    captured.clear()
    monkeypatch.setattr(speed, "GRAPH_DEVICES", ("cuda", "cpu"))
    monkeypatch.setattr(optimizer, "RATE_ON_DEVICE", ("cuda", "cpu"))
    monkeypatch.setattr(stepping, "new_pool", lambda: None)
    monkeypatch.setattr(stepping, "capture", record)
    monkeypatch.setattr(stepping, "waits", watch)


SMALL = ("subset=head", "subset.n=200", "batch_size=32", "epochs=4", "evaluations=2", "model.width=2")


@pytest.mark.parametrize(
    "words",
    [
        *covering("loss", "augment", "schedule", without=["noise"]),  # which draws in the step: see below
        ("sampling=undersample",),
        ("sampling=oversample", "imbalance=minority", "imbalance.n=3"),
        ("mix=mixup", "mix_layer=random", "augment=standard"),
        ("mix=mixup", "mix_layer=final", "loss=affinity", "augment=standard", "augment.pad=after"),
        ("mix=bc", "mix.step_size=8", "loss=kl"),
        ("mix=mixup", "subset.n=20", "steps=70", "evaluations=2"),  # epochs of a step each
        ("mix=mixup", "drop_last=true", "model.final_batchnorm=true"),
        ("mix=mixup", "schedule=cosine", "schedule.warmup_epochs=1"),
        ("mix=mixup", "validation=0.2", "optimizer.nesterov=true"),
    ],
    ids=" ".join,
)
def test_graphs_are_the_eager_steps_bit_for_bit(words, tmp_path, graphs_on_the_cpu):
    mine = [word for word in SMALL if word.partition("=")[0] not in {w.partition("=")[0] for w in words}]
    mine = [word for word in mine if not (word.startswith("epochs") and any(w.startswith("steps") for w in words))]
    eager = trained(tmp_path / "eager", *mine, *words, "speed=eager")
    assert not captured
    graph = trained(tmp_path / "graph", *mine, *words, "speed=graph", "speed.compiled=false")
    assert captured, "no step was recorded"
    assert rows_of(graph) == rows_of(eager)


def test_graphs_are_replayed_in_calls_of_several_steps_and_stop_where_something_differs(
    tmp_path, graphs_on_the_cpu, monkeypatch
):
    calls = []
    replay = Recorder.replay
    monkeypatch.setattr(Recorder, "replay", lambda self: (calls.append(len(self.operations)), replay(self))[1])
    config = config_of(*SMALL, "speed=graph", "speed.compiled=false")
    seen = [progress.step for progress in train(RunConfig.of(config), RunFolder(tmp_path), {})]
    assert seen == list(range(1, 29)) and len(calls) == 24, (
        "no eight whole batches in a row; the first two of each size are eager"
    )
    calls.clear()
    config = config_of(
        "subset=head",
        "subset.n=640",
        "batch_size=32",
        "epochs=4",
        "evaluations=2",
        "speed=graph",
        "speed.compiled=false",
    )
    seen = [progress.step for progress in train(RunConfig.of(config), RunFolder(tmp_path / "long"), {})]
    assert {b - a for a, b in itertools.pairwise(seen)} == {1, 8} and {40, 80} <= set(seen)
    assert len(set(calls)) == 2 and max(calls) > 7 * min(calls)


@pytest.mark.parametrize("drawing", [("model=preact_resnet18", "model.dropout=0.5"), ("augment=noise",)], ids=" ".join)
def test_a_step_that_draws_random_numbers_is_not_captured(drawing, tmp_path, graphs_on_the_cpu, capsys):
    words = (*drawing, "subset=head", "subset.n=8", "batch_size=4", "steps=4", "evaluations=1")
    with pytest.raises(
        UserError, match="speed = graph: it draws random numbers in the network; speed=compiled runs it"
    ):
        trained(tmp_path / "graph", *words, "speed=graph", "speed.compiled=false")
    eager = trained(tmp_path / "eager", *words, "speed=eager")
    assert not captured
    assert float(rows_of(eager)[0]["train_loss"]) > 0


@pytest.mark.parametrize("optional", [False, True])
def test_a_step_that_waits_for_the_device_is_named_or_left_eager(optional, graphs_on_the_cpu):
    stepper, weight, notes = counting_stepper(optional=optional, reads=True)
    batches = some_batches()
    stepper(0, batches, 1)
    if optional:
        assert stepper.mode_used == "graph"
        assert stepper(1, batches, 6) == 2 and stepper(2, batches, 7) == 3
        assert weight.item() == 3 and stepper.max_steps == 1 and stepper.mode_used == "eager"
        assert notes == ["no CUDA graphs: a step waits for the device, called a synchronizing CUDA operation"]
    else:
        with pytest.raises(UserError, match=r"speed = graph: a step waits for the device.*speed=compiled runs it"):
            stepper(1, batches, 6)
    assert not captured


def test_a_step_that_keeps_state_on_the_host_is_left_eager(graphs_on_the_cpu):
    """A graph would go on with the state it was captured in."""
    stepper, weight, notes = counting_stepper(optional=True, keeps=True)
    batches = some_batches()
    assert [stepper(step, batches, step + 5) for step in range(4)] == [1, 2, 3, 4]
    assert weight.item() == 1 + 2 + 3 + 4 and notes == ["no CUDA graphs: it keeps state in Python from step to step"]
    with pytest.raises(UserError, match="speed = graph: it keeps state in Python"):
        counting_stepper(optional=False, keeps=True)[0](0, batches, 5)


def test_a_failed_capture_is_no_case_for_going_on(graphs_on_the_cpu, monkeypatch):
    def fail(*_: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(stepping, "capture", fail)
    stepper, weight, _ = counting_stepper(optional=True)
    batches = some_batches()
    stepper(0, batches, 1), stepper(1, batches, 2)
    with pytest.raises(
        stepping.CaptureFailed, match="speed = graph: cannot be captured, CUDA out of memory"
    ) as failure:
        stepper(2, batches, 3)
    assert isinstance(failure.value.__cause__, torch.OutOfMemoryError) and weight.item() == 2


def test_an_optimizer_with_a_rate_on_the_host_is_not_captured():
    assert counting_stepper(optional=True, capturable=False)[2] == [
        "no CUDA graphs: this optimizer takes its learning rate from the host"
    ]
    with pytest.raises(UserError, match="learning rate from the host"):
        counting_stepper(optional=False, capturable=False)
    parameters = [torch.nn.Parameter(torch.zeros(1))]
    assert not optimizer.capturable(torch.optim.AdamW(parameters, lr=0.1))
    assert not optimizer.capturable(torch.optim.AdamW(parameters, lr=torch.tensor(0.1)))
    assert optimizer.capturable(torch.optim.SGD(parameters, lr=torch.tensor(0.1)))


def counting_stepper(
    optional: bool, capturable: bool = True, reads: bool = False, keeps: bool = False
) -> tuple[stepping.Stepper, Tensor, list[str]]:
    """A stepper whose step adds one to a weight, or, where it keeps state, one more each time."""
    weight, notes, module = torch.zeros(()), [], torch.nn.Module()
    module.kept = 0

    def take(batch: Any, layer: str, forward: Any) -> None:
        module.kept += keeps
        weight.add_(module.kept if keeps else batch.chosen.numel() // 4)
        if reads:
            weight.item()

    mode = speed.Mode(compiled=False, graph=True, why="", optional=optional)
    return stepping.Stepper(mode, take, lambda *_: None, capturable, [module], CPU, 0, notes.append), weight, notes


def some_batches(count: int = 8) -> Batches:
    batches = Batches(
        lambda _: Epoch(np.arange(4 * count), {}, {}, ["input"] * count), Budget(4 * count, 4, count, count, 1), CPU
    )
    batches.turn_to(0)
    return batches


def test_the_learning_rate_of_a_captured_step_follows_the_schedule(graphs_on_the_cpu):
    parameter = torch.nn.Parameter(torch.zeros(1))
    made = optimizer.sgd([parameter], lr=0.5, momentum=0.0)
    parameter.grad = torch.ones(1)
    replay = record(made.step, None, CPU)
    assert parameter.item() == 0
    replay()
    optimizer.set_rate(made, 0.25)
    replay()
    assert parameter.item() == -0.75
    saved = made.state_dict()
    other = optimizer.sgd([parameter], lr=0.1, momentum=0.0)
    rate = other.param_groups[0]["lr"]
    optimizer.load_state(other, saved)
    assert other.param_groups[0]["lr"] is rate and rate.item() == pytest.approx(0.1), "a graph goes on reading it there"


# -- which mode


FLOPS_OF_FOUR_MINUTES = 240 * 50e9


@pytest.mark.parametrize(
    "device, threads, flops, expected",
    [
        (CPU, 1, None, "eager"),
        (CPU, 1, FLOPS_OF_FOUR_MINUTES, "compiled"),
        (CPU, 1, 0.99 * FLOPS_OF_FOUR_MINUTES, "eager"),
        (CPU, 2, FLOPS_OF_FOUR_MINUTES, "eager"),
        (CPU, 2, 2 * FLOPS_OF_FOUR_MINUTES, "compiled"),
        (CUDA, 1, None, "eager"),
        (CUDA, 1, 1e15, "eager"),
        (CUDA, 1, 2e16, "compiled"),
        (torch.device("mps"), 1, 1e20, "eager"),
    ],
)
def test_auto_follows_its_rule(device, threads, flops, expected, monkeypatch):
    monkeypatch.setattr(speed, "_compiler", lambda: "/usr/bin/g++")
    mode = speed.Auto().mode(device, threads, flops)
    assert mode.name == expected and mode.why.startswith("auto: ")


def test_without_a_compiler_auto_is_eager_and_compiled_is_refused(monkeypatch):
    monkeypatch.setattr(speed, "_compiler", lambda: None)
    mode = speed.Auto().mode(CPU, 1, 1e20)
    assert mode.name == "eager" and mode.why.endswith("no C++ compiler")
    config = config_of()
    config["speed"] = {"_target_": "mixexp.speed.Compiled"}
    assert errors_of(config) == [
        "speed = compiled: a C++ compiler is needed on the CPU, and there is none (g++, or what CXX names)"
    ]


def test_graphs_are_refused_where_there_is_no_cuda():
    config = config_of()
    config["speed"] = {"_target_": "mixexp.speed.Graph"}
    config["device"] = "cpu"
    (error,) = errors_of(config)
    assert re.fullmatch("speed = graph: for CUDA, and this run is on cpu; speed=compiled is the fastest there", error)


# -- compiled


def curve(record: RunFolder) -> Tensor:
    rows = rows_of(record)
    return torch.tensor([[float(row[name]) for name in ("train_loss", "test_loss", "accuracy")] for row in rows])


def eager_and_compiled(folder: Path, *words: str) -> RunFolder:
    """The folder of a compiled run, after seeing that its numbers are the eager one's to rounding."""
    mine = (*SMALL, "mix=mixup", "augment=standard", *words)
    eager, compiled = (trained(folder / name, *mine, f"speed={name}") for name in ("eager", "compiled"))
    assert len(rows_of(compiled)) == 2
    tolerance = 2e-2 if "precision=bfloat16" in words else 1e-4
    torch.testing.assert_close(curve(compiled)[:, :2], curve(eager)[:, :2], rtol=tolerance, atol=tolerance)
    assert '"mode": "compiled"' in (folder / "compiled" / "environment.json").read_text()
    return compiled


@pytest.mark.skipif(not COMPILER, reason="needs a C++ compiler")
def test_compiled_is_eager_to_rounding_in_half_precision_too(tmp_path):
    eager_and_compiled(tmp_path, "precision=bfloat16", "mix_layer=input")


@pytest.mark.skipif(not COMPILER, reason="needs a C++ compiler")
def test_a_compiled_run_is_eager_to_rounding_and_goes_on_where_it_stopped(tmp_path):
    compiled = eager_and_compiled(tmp_path, "mix_layer=layer2")
    config = config_of(*SMALL, "mix=mixup", "augment=standard", "mix_layer=layer2", "speed=compiled")
    with contextlib.closing(train(RunConfig.of(config), RunFolder(tmp_path / "stopped"), {})) as run:
        for _ in range(9):
            next(run)
    notes: list[str] = []
    for _ in train(RunConfig.of(config), RunFolder(tmp_path / "stopped", notes.append), {}):
        pass
    assert notes == ["goes on at step 9 of 28"]
    assert rows_of(RunFolder(tmp_path / "stopped")) == rows_of(compiled)


@pytest.mark.skipif(not COMPILER, reason="needs a C++ compiler")
@pytest.mark.parametrize("optional", [False, True])
def test_what_cannot_be_compiled_is_named_or_left_eager(optional):
    weight, notes = torch.nn.Parameter(torch.ones(())), []

    def forward(images: Tensor, labels: Tensor, draws: dict, layer: str) -> tuple[Tensor, Tensor]:
        losses = weight * labels if weight.item() > 0 else labels
        return losses.mean(), losses.detach()

    def take(batch: Any, layer: str, forward: stepping.Forward) -> None:
        forward(batch.chosen, batch.chosen.float(), batch.mix, layer)[0].backward()

    mode = speed.Mode(compiled=True, graph=False, why="", optional=optional)
    stepper = stepping.Stepper(mode, take, forward, False, [], CPU, 0, notes.append)
    if optional:
        assert stepper(0, some_batches(), 1) == 1 and weight.grad.item() == 1.5 and stepper.mode_used == "eager"
        assert len(notes) == 1 and notes[0].startswith("not compiled: ")
    else:
        with pytest.raises(UserError, match=r"speed = compiled: cannot be compiled, .*; speed=eager runs it"):
            stepper(0, some_batches(), 1)


class Ramp(CrossEntropy):
    """A loss that grows with every step, by a number of its own."""

    def __init__(self, class_counts: np.ndarray) -> None:
        super().__init__(class_counts)
        self.steps = 0

    def forward(self, outputs: Tensor, labels: Any) -> Tensor:
        self.steps += self.training and outputs.requires_grad
        return super().forward(outputs, labels) * (self.steps / 100)


@pytest.mark.skipif(not COMPILER, reason="needs a C++ compiler")
@pytest.mark.parametrize("mode", ["compiled", "graph"])
def test_a_loss_with_state_in_python_is_never_trained_as_if_it_had_none(mode, tmp_path, graphs_on_the_cpu):
    def config(speed_mode: str) -> dict[str, Any]:
        made = config_of(
            *SMALL[:-1],
            "model=mlp",
            "mix=none",
            f"speed={speed_mode}",
            *(["speed.compiled=false"] * (speed_mode == "graph")),
        )
        return made | {"loss": {"_target_": "test_speed.Ramp"}, "trusted_modules": ["test_speed"]}

    eager = RunFolder(tmp_path / "eager")
    for _ in train(RunConfig.of(config("eager")), eager, {}):
        pass
    assert float(rows_of(eager)[0]["train_loss"]) < float(rows_of(eager)[1]["train_loss"])
    other = RunFolder(tmp_path / "other")
    try:
        for _ in train(RunConfig.of(config(mode)), other, {}):
            pass
    except UserError as error:
        assert "speed=" in str(error)
    else:
        torch.testing.assert_close(curve(other)[:, :2], curve(eager)[:, :2], rtol=1e-4, atol=1e-4)


# -- on a GPU


@pytest.mark.skipif(not HAS_CUDA, reason="needs CUDA")
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("layer", ["input", "layer2", "random"])
def test_all_modes_agree_on_cuda(precision, layer, tmp_path):
    make_deterministic(CUDA)
    words = ("mix=mixup", "augment=standard", "device=cuda", f"precision={precision}", f"mix_layer={layer}", *SMALL)
    eager = trained(tmp_path / "eager", *words, "speed=eager")
    graph = trained(tmp_path / "graph", *words, "speed=graph", "speed.compiled=false")
    again = trained(tmp_path / "again", *words, "speed=graph", "speed.compiled=false")
    compiled = trained(tmp_path / "compiled", *words, "speed=graph")
    assert rows_of(graph) == rows_of(again) == rows_of(eager), "the same operations in the same order"
    tolerance = 5e-2 if precision == "bfloat16" else 1e-3
    torch.testing.assert_close(curve(compiled)[:, :2], curve(eager)[:, :2], rtol=tolerance, atol=tolerance)

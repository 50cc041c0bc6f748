"""A run's steps in a mode: eager, compiled, or replayed from CUDA graphs."""

from __future__ import annotations

import itertools
import pickle
import random
import types
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mixexp import streams
from mixexp.eager import prepare_compiler
from mixexp.errors import UserError
from mixexp.speed import Mode
from mixexp.training.batches import Batch, Batches

STEPS_A_GRAPH = 8
"""The most steps that one call replays, where only their rows differ.

A small network's steps are shorter than a call from the host.
"""

Forward = Callable[[Tensor, Tensor, dict[str, Tensor], str], tuple[Tensor, Tensor]]
"""(images, labels, mix draws, layer to mix at) → (the value that the step minimises, the samples' losses)."""

_serial = itertools.count()


class CaptureFailed(UserError):
    """A failed capture of a step; the process's memory management is then unusable."""


class Stepper:
    """A run's steps in a mode.

    step(batch, layer, forward): an update, in place, from tensors alone; other tensors that it reads stay in place.
    capturable: whether the optimizer computes on the device alone. modules: those whose code takes part in a step.
    note: takes a line for the user.
    """

    def __init__(
        self,
        mode: Mode,
        step: Callable[[Batch, str, Forward], None],
        forward: Forward,
        capturable: bool,
        modules: Sequence[nn.Module],
        device: torch.device,
        seed: int,
        note: Callable[[str], None],
    ) -> None:
        self._mode, self._step, self._forward, self._device, self._seed, self._note = (
            mode,
            step,
            forward,
            device,
            seed,
            note,
        )
        self._modules = modules
        self._compiles = mode.compiled
        self._graphs_left = mode.graph
        self._known: dict[tuple[str, int], Forward] = {}
        self._draws_nothing: set[tuple[str, int]] = set()
        self._asks_nothing: set[tuple[str, int]] = set()
        self._replays: dict[tuple[str, int, int], Callable[[], None]] = {}
        self._pool: Any = None
        self._position = torch.zeros((), dtype=torch.int64, device=device)
        if mode.graph and not capturable:
            self._without_graphs("this optimizer takes its learning rate from the host")

    @property
    def mode_used(self) -> str:
        """The name of the mode in use, after any fallback."""
        return Mode(self._compiles, self._graphs_left, "").name

    @property
    def max_steps(self) -> int:
        """The most steps that one call takes where they are of one kind."""
        return STEPS_A_GRAPH if self._graphs_left else 1

    def __call__(self, step: int, batches: Batches, until: int) -> int:
        """Take the step, or several of its kind before `until`, where something else changes; return the next step."""
        batches.turn_to(step)
        rows, kind = batches.rows(step), batches.kind(step)
        if self._graphs_left and kind in self._asks_nothing:
            return step + self._replay(kind, rows.start, batches, batches.same_kind_until(step, until) - step)
        assert batches.table is not None  # turn_to has made it
        batch = batches.table.map(lambda values: values[rows])
        if kind not in self._known:
            self._first(kind, step, batch, batches.whole)
        # at the second of its kind: the first one allocates much that waits for the device
        elif self._graphs_left:
            if kind not in self._draws_nothing:
                self._without_graphs("it draws random numbers in the network")
            self._seeded(kind, step, lambda: self._watched(kind, batch))
        else:
            self._seeded(kind, step, lambda: self._step(batch, kind[0], self._known[kind]))
        return step + 1

    def _first(self, kind: tuple[str, int], step: int, batch: Batch, whole: int) -> None:
        """Take the first step of a layer and size, and classify it."""
        # an epoch's last, partial batch would need a compilation of its own for a single step
        self._known[kind] = self._compiled(self._forward) if self._compiles and kind[1] == whole else self._forward
        before = host_state(self._modules)
        try:
            with streams.torch_stream(self._device, self._seed, "forward", step) as drawn:
                self._step(batch, kind[0], self._known[kind])
                if not drawn():
                    self._draws_nothing.add(kind)
        except _compiler_error() as error:  # raised for the gradient, after the forward pass has been traced
            raise UserError(
                f"speed = {self._mode.name}: cannot be compiled, {_first_line(error)}; speed=eager runs it"
            ) from error
        if host_state(self._modules) != before:
            why = "it keeps state in Python from step to step"
            if self._graphs_left:
                self._without_graphs(why)
            # it would be compiled again at every step
            if self._compiles:
                self._without_compiling(why)
                self._known[kind] = self._forward

    def _seeded(self, kind: tuple[str, int], step: int, take: Callable[[], None]) -> None:
        if kind in self._draws_nothing:
            take()
        else:
            with streams.torch_stream(self._device, self._seed, "forward", step):
                take()

    def _watched(self, kind: tuple[str, int], batch: Batch) -> None:
        """Take a step and check that it does not wait for the device, which a graph cannot hold."""
        if asks := waits(lambda: self._step(batch, kind[0], self._known[kind])):
            self._without_graphs(f"a step waits for the device, {asks}")
        else:
            self._asks_nothing.add(kind)

    def _replay(self, kind: tuple[str, int], start: int, batches: Batches, ahead: int) -> int:
        """Replay a graph of the most steps possible; return their number."""
        count = STEPS_A_GRAPH if ahead >= STEPS_A_GRAPH else 1
        (layer, size), table, forward = kind, batches.table, self._known[kind]
        assert table is not None

        def steps() -> None:
            for _ in range(count):
                index = self._position + torch.arange(size, device=self._device)
                self._step(table.map(lambda values, index=index: values.index_select(0, index)), layer, forward)
                self._position += size

        if (*kind, count) not in self._replays:
            if self._pool is None:
                self._pool = new_pool()
            try:
                self._replays[(*kind, count)] = capture(steps, self._pool, self._device)
            except RuntimeError as error:
                # the end of a failed capture raises an error of its own, which hides the first
                cause = error.__context__ if isinstance(error.__context__, Exception) else error
                raise CaptureFailed(
                    f"speed = graph: cannot be captured, {_first_line(cause)}; speed=compiled runs it"
                ) from cause
        self._position.fill_(start)
        self._replays[(*kind, count)]()
        return count

    def _without_graphs(self, why: str) -> None:
        if not self._mode.optional:
            raise UserError(f"speed = graph: {why}; speed=compiled runs it")
        self._note(f"no CUDA graphs: {why}")
        self._graphs_left = False

    def _without_compiling(self, why: str, error: Exception | None = None) -> None:
        if not self._mode.optional:
            raise UserError(f"speed = {self._mode.name}: cannot be compiled, {why}; speed=eager runs it") from error
        self._note(f"not compiled: {why}")
        self._compiles = False

    def _compiled(self, forward: Forward) -> Forward:
        """The forward pass, compiled for one shape and layer."""
        prepare_compiler()
        import torch._inductor.config as inductor
        from torch._dynamo.exc import FailOnRecompileLimitHit, TorchDynamoException

        # Compiled code belongs to a code object: with its own, a run shares neither this code nor the recompile limit.
        own_code = types.FunctionType(
            forward.__code__.replace(co_name=f"forward_{next(_serial)}"),
            forward.__globals__,
            None,
            None,
            forward.__closure__,
        )
        options: dict[str, Any] = {"fallback_random": True}
        # no choice by timing, which depends on the device's other load
        if self._device.type == "cuda":
            options |= {"triton.autotune_pointwise": False, "shape_padding": False}
            options |= {"deterministic": True} if hasattr(inductor, "deterministic") else {}
        compiled = torch.compile(own_code, fullgraph=True, dynamic=False, options=options)

        def call(*arguments: Any) -> tuple[Tensor, Tensor]:
            nonlocal compiled
            try:
                return compiled(*arguments)
            except (TorchDynamoException, FailOnRecompileLimitHit) as error:
                self._without_compiling(_first_line(error), error)
                compiled = forward
                return compiled(*arguments)

        return call


def _compiler_error() -> type[Exception]:
    """The error of torch's compiler, which is imported where one has been raised."""
    from torch._dynamo.exc import TorchDynamoException

    return TorchDynamoException


def host_state(modules: Sequence[nn.Module]) -> Any:
    """Python state that may change between steps; a CUDA graph would replay its value at capture time.

    It covers plain attributes of the modules and their submodules, and the global generators.
    """
    plain = (bool, int, float, str, type(None))
    parts = [part for module in modules for part in module.modules()]
    attributes = [{name: value for name, value in vars(part).items() if isinstance(value, plain)} for part in parts]
    return attributes, random.getstate(), pickle.dumps(np.random.get_state())


def new_pool() -> Any:
    """The memory pool of a run's graphs; they never run at the same time and leave nothing in it for each other."""
    return torch.cuda.graph_pool_handle()


def capture(steps: Callable[[], None], pool: Any, device: torch.device) -> Callable[[], None]:
    """A function that repeats the work of `steps` on the device; `steps` itself is recorded and has no effect."""
    graph = torch.cuda.CUDAGraph()
    stream = torch.cuda.current_stream(device)
    # the default stream cannot be captured
    side_stream = None if stream == torch.cuda.default_stream(device) else stream
    with torch.cuda.device(device), torch.cuda.graph(graph, pool=pool, stream=side_stream):
        steps()
    return graph.replay


def waits(step: Callable[[], None]) -> str:
    """Take a step and return what made the host wait for the device; empty where nothing did."""
    before = torch.cuda.get_sync_debug_mode()
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            step()
        finally:
            torch.cuda.set_sync_debug_mode(before)
    return next((_first_line(w.message) for w in seen if "synchronizing CUDA operation" in str(w.message)), "")


def _first_line(error: object) -> str:
    return next(iter(str(error).splitlines()), "") or type(error).__name__

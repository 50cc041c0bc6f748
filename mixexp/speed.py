"""The speed group: execution modes of a step. Eager is the reference; the others are faster, and equal to rounding."""

from __future__ import annotations

import abc
import os
import shutil
import sys
from dataclasses import dataclass

import torch

from mixexp.errors import UserError

NOMINAL_FLOPS = 50e9
"""Operations per second of one thread, about half of a current processor's matrix product; only a unit of length."""

COMPILES_FROM_SECONDS, COMPILES_FOR_CUDA_FROM_FLOPS = 240.0, 2e16
GRAPH_DEVICES = ("cuda",)


@dataclass(frozen=True)
class Mode:
    """Execution mode of a run's steps and the reason for it; optional: if it fails, the run goes on in eager mode."""

    compiled: bool
    graph: bool
    why: str
    optional: bool = False

    @property
    def name(self) -> str:
        """The mode in words."""
        return " ".join([*(["compiled"] if self.compiled else []), *(["graph"] if self.graph else [])]) or "eager"


class Speed(abc.ABC):
    """A rule that chooses the mode."""

    @abc.abstractmethod
    def mode(self, device: torch.device, threads: int, flops: float | None) -> Mode:
        """Mode of a run; flops: its floating-point operations if known. Raises UserError if it is impossible here."""


class Eager(Speed):
    """Eager mode: every operation is executed as it is called."""

    def mode(self, device: torch.device, threads: int, flops: float | None) -> Mode:
        return Mode(compiled=False, graph=False, why="asked for")


class Compiled(Speed):
    """The forward pass and its gradient through torch.compile, with fixed shapes, without autotuning."""

    def mode(self, device: torch.device, threads: int, flops: float | None) -> Mode:
        if device.type == "mps":
            raise UserError("speed = compiled: for the CPU and CUDA; speed=eager runs on mps")
        if device.type == "cpu" and _compiler() is None:
            raise UserError(
                "speed = compiled: a C++ compiler is needed on the CPU, and there is none (g++, or what CXX names)"
            )
        return Mode(compiled=True, graph=False, why="asked for")


class Graph(Speed):
    """Whole steps replayed from CUDA graphs, of the compiled or of the eager pass."""

    def __init__(self, compiled: bool = True) -> None:
        self.compiled = compiled

    def mode(self, device: torch.device, threads: int, flops: float | None) -> Mode:
        if device.type not in GRAPH_DEVICES:
            raise UserError(
                f"speed = graph: for CUDA, and this run is on {device.type}; speed=compiled is the fastest there"
            )
        return Mode(compiled=self.compiled, graph=True, why="asked for")


class Auto(Speed):
    """The fastest mode that pays off, chosen from the run's length only, so that equal runs use equal modes.

    CPU: compiled from COMPILES_FROM_SECONDS on, at NOMINAL_FLOPS per thread, if there is a compiler. CUDA: compiled
    from COMPILES_FOR_CUDA_FROM_FLOPS on; graphs only on request (speed=graph). Otherwise eager.
    """

    def mode(self, device: torch.device, threads: int, flops: float | None) -> Mode:
        flops = flops or 0.0
        if device.type == "cuda":
            return Mode(flops >= COMPILES_FOR_CUDA_FROM_FLOPS, False, f"auto: {flops:.1e} operations", optional=True)
        seconds = flops / (NOMINAL_FLOPS * threads)
        why = f"auto: {seconds:,.0f} s at {NOMINAL_FLOPS * threads:.0e} operations a second"
        if device.type != "cpu" or seconds < COMPILES_FROM_SECONDS:
            return Mode(compiled=False, graph=False, why=why)
        if _compiler() is None:
            return Mode(compiled=False, graph=False, why=f"{why}, but no C++ compiler")
        return Mode(compiled=True, graph=False, why=why, optional=True)


def _compiler() -> str | None:
    return shutil.which(os.environ.get("CXX", "clang++" if sys.platform == "darwin" else "g++"))

"""Keeps torch from importing its compiler, torch._dynamo, in a process that compiles nothing."""

from __future__ import annotations

import gc
import sys
from inspect import getclosurevars
from types import FunctionType

import torch

_VARIANT = "__dynamo_disable"
"""The attribute in which torch keeps the variant of a function that its compiler leaves alone."""


def spare_compiler() -> None:
    """Let the functions that torch shields from its compiler run as they are, until something is compiled.

    They are methods of its optimizers and the rules by which the meta device finds shapes. The first call of one makes
    a shielded variant, and for that imports torch._dynamo: 1.0 of the 5.0 s of processor time of a small run
    (`time mixexp dataset=digits steps=20`, one core of an AMD EPYC, 2026-12-01, n = 3). Nothing is done where the
    compiler is there already; a torch that shields in another way imports it as before.
    """
    if "torch._dynamo" not in sys.modules:
        for function in _shielded():
            setattr(function, _VARIANT, function)


def prepare_compiler() -> None:
    """Let torch make the shielded variants; called before something is compiled."""
    for function in _shielded():
        if vars(function).get(_VARIANT) is function:
            delattr(function, _VARIANT)


def _shielded() -> list[FunctionType]:
    """The functions inside torch's shields, which all have the code of one wrapper."""
    code = getattr(torch.optim.Optimizer.zero_grad, "__code__", None)
    shields = [one for one in gc.get_referrers(code) if isinstance(one, FunctionType)]
    inside = [getclosurevars(shield).nonlocals.get("fn") for shield in shields]
    return [function for function in inside if isinstance(function, FunctionType)]

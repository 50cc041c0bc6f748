"""Choices among mixes: a mix in a part of a run's epochs."""

from __future__ import annotations

import contextlib
import copy
import math
from collections.abc import Iterator, Sequence
from typing import Annotated

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from mixexp.labels import MixedLabels
from mixexp.mix import Blend, Mix, Plan, broadcast_weights
from mixexp.phases import change


class Chosen(Blend):
    """The blend of each sample's number; numbers past the last leave the first part as it is.

    blends: each with its number of parts, None where there is none; which: int64 [B], of a batch.
    All are computed, and one is taken, so that a step stays the same.
    """

    def __init__(self, blends: Sequence[tuple[Blend | None, int]], which: Tensor) -> None:
        self.blends, self.which = blends, which

    def __call__(self, parts: Sequence[Tensor], weights: Sequence[Tensor]) -> Tensor:
        found = parts[0]
        for number, (blend, count) in enumerate(self.blends):
            if blend is not None:
                blended = blend(parts[:count], weights[:count])
                found = torch.where(broadcast_weights(self.which == number, blended), blended, found)
        return found


def choose(plans: Sequence[Plan], labels: Tensor, which: Tensor) -> Plan:
    """The plan that has each sample from the plan of its image's number, and past the last the image as it is.

    plans: of one batch, with equally many samples; labels: of the batch, int64 [S] or [2 S]; which: int64 [S].
    """
    images, samples = len(which), len(plans[0].labels.labels[0])
    own, which = (
        values.unsqueeze(1).expand(-1, samples // images).flatten()
        for values in (torch.arange(images, device=which.device), which)
    )
    one, zero = torch.ones(samples, device=which.device), torch.zeros(samples, device=which.device)
    # torch's compiler cannot negate a tuple
    whole = images == samples and all(plan.whole or len(plan.rows) == 0 for plan in plans)
    everything = [*plans, Plan(MixedLabels((labels[own],)))]
    records = [plan.labels for plan in everything]
    weighted = [record for record in records if record.weights]
    return Plan(
        MixedLabels(
            _pick(which, [record.labels for record in records], labels[own]),
            _pick(which, [record.weights or (one,) for record in records], zero) if weighted else (),
        ),
        _pick(which, [plan.rows or (own,) for plan in everything], own),
        _pick(which, [plan.weights or (one,) for plan in everything], zero),
        Chosen([(plan.blend, len(plan.rows)) for plan in plans], which),
        whole,
    )


def _pick(which: Tensor, candidates: Sequence[tuple[Tensor, ...]], missing: Tensor) -> tuple[Tensor, ...]:
    """The tensors, [B] each, of each sample's number; the last candidate is that of all further numbers.

    missing: in place of each tensor that only other candidates have.
    """
    most = max(map(len, candidates))
    *first, found = [(*tensors, *[missing] * (most - len(tensors))) for tensors in candidates]
    for number, tensors in enumerate(first):
        found = tuple(torch.where(which == number, new, old) for new, old in zip(tensors, found, strict=True))
    return found


@contextlib.contextmanager
def _inside(name: str) -> Iterator[None]:
    """Context in which an error of mix.SETTING names mix.NAME.SETTING."""
    try:
        yield
    except ValueError as error:
        raise ValueError(str(error).replace("mix.", f"mix.{name}.", 1)) from error


def _require_constant(mix: Mix, name: str) -> None:
    if type(mix).at is not Mix.at:
        raise ValueError(
            f"mix.{name}: {type(mix).__name__} changes during a run, and a part of another mix cannot; put it outermost"
        )


class Window(Mix):
    """A mix in a part of the epochs; before and after it, each sample is its image as it is.

    mix: the mix; after, until: fractions of the E epochs: it is on from epoch ⌊after·E⌋ on and before epoch ⌊until·E⌋,
    counted from 0.
    The numbers of all epochs are drawn, and steps stay the same.
    Raises ValueError where after is not before until, and in a run that would never mix.
    """

    def __init__(
        self, mix: Mix, after: Annotated[float, Field(ge=0, lt=1)], until: Annotated[float, Field(gt=0, le=1)]
    ) -> None:
        _require_constant(mix, "mix")
        if after >= until:
            raise ValueError(f"mix.after = {after:g}: it has to be before mix.until = {until:g}")
        self.mix, self.after, self.until, self.on = mix, after, until, True
        self.blend, self.mixes_labels = mix.blend, mix.mixes_labels
        self.external, self.needs_repeats = mix.external, mix.needs_repeats
        self._off = copy.copy(self)
        self._off.on = False

    def _epochs(self, epochs: float) -> range:
        """The epochs that mix, counted from 0."""
        return range(*(change(part, math.ceil(epochs)) for part in (self.after, self.until)))

    def at(self, epoch: int, epochs: float) -> Mix:
        return self if epoch in self._epochs(epochs) else self._off

    def check(self, counts: np.ndarray) -> None:
        with _inside("mix"):
            self.mix.check(counts)

    def check_budget(self, epochs: float) -> None:
        if not self._epochs(epochs):
            raise ValueError(
                f"mix.after = {self.after:g}, mix.until = {self.until:g}: the run has {epochs:g} epochs, and would"
                " never mix"
            )
        with _inside("mix"):
            self.mix.check_budget(epochs)

    def prepare(self, images: Tensor, labels: Tensor) -> None:
        self.mix.prepare(images, labels)

    def source_images(self, batch_size: int) -> int:
        with _inside("mix"):
            return self.mix.source_images(batch_size)

    def draw(
        self, seed: int, epoch: int, order: np.ndarray, source_images: int, batch_size: int
    ) -> dict[str, np.ndarray]:
        return {**self.mix.draw(seed, epoch, order, source_images, batch_size), "off": np.full(len(order), not self.on)}

    def plan(self, labels: Tensor, draws: dict[str, Tensor]) -> Plan:
        own = {name: values for name, values in draws.items() if name != "off"}
        return choose([self.mix.plan(labels, own)], labels, draws["off"].long())

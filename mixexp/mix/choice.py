"""Choices among mixes: one of several for each batch or sample, and a mix in a part of a run's epochs."""

from __future__ import annotations

import contextlib
import copy
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from mixexp import streams
from mixexp.labels import MixedLabels
from mixexp.mix import Blend, Mix, Plan, broadcast_weights
from mixexp.phases import change
from mixexp.text import listed


class Chosen(Blend):
    """The blend of each sample's number; numbers past the last leave the first part as it is.

    blends: each with its number of parts, None where there is none; which: int64 [B], of a batch.
    All are computed, and one is taken, so that a step stays the same.
    """

    def __init__(self, blends: Sequence[tuple[Blend | None, int]], which: Tensor | None = None) -> None:
        self.blends, self.which = blends, which

    def __call__(self, parts: Sequence[Tensor], weights: Sequence[Tensor]) -> Tensor:
        assert self.which is not None, "of a batch"
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


class Choice(Mix):
    """One of several named mixes, drawn for each batch or sample; without one, a sample is its image as it is.

    probabilities: name → probability, with a sum of 1 at most; the rest is the probability of no mix. per: "batch", or
    "sample".
    The numbers of every mix are drawn in every epoch, from the streams that it would have alone, so that a choice with
    probability 1 is that mix. Every blend is computed, and one is taken, so that steps stay the same.
    Source: timm.data.Mixup, where prob·switch_prob is the probability of CutMix and prob·(1 − switch_prob) mixup's.
    Raises ValueError for mixes that cannot share a batch: one with partners from outside it, one that changes during a
    run, and those of different numbers of images, of centred images and others, or for different kinds of data.
    """

    def __init__(
        self, probabilities: dict[str, float], per: Literal["batch", "sample"] = "batch", **mixes: Mix
    ) -> None:
        if not mixes or probabilities.keys() != mixes.keys():
            raise ValueError(
                f"mix.probabilities: names {listed(sorted(probabilities)) or 'nothing'}, and the mixes are"
                f" {listed(sorted(mixes)) or 'none'}; each mix needs one"
            )
        for name, probability in probabilities.items():
            if not 0 <= probability <= 1:
                raise ValueError(f"mix.probabilities.{name} = {probability:g}: needs a number from 0 to 1")
        total = math.fsum(probabilities.values())
        if total > 1 + 1e-9:
            raise ValueError(f"mix.probabilities: their sum is {total:g}, and can be 1 at most")
        for name, mix in mixes.items():
            _require_constant(mix, name)
            if mix.external:
                raise ValueError(f"mix.{name}: its partners come from outside the batch; a choice has no such mix")
        # by name: the order of settings is no part of a run's identity
        self.mixes = {name: mixes[name] for name in sorted(mixes)}
        self.probabilities, self.per = [probabilities[name] for name in self.mixes], per
        self.blend = _together({name: mix.blend for name, mix in self.mixes.items() if mix.blend is not None})
        self.mixes_labels = any(mix.mixes_labels for mix in mixes.values())
        self.needs_repeats = any(mix.needs_repeats for mix in mixes.values())

    def check(self, counts: np.ndarray) -> None:
        for name, mix in self.mixes.items():
            with _inside(name):
                mix.check(counts)

    def check_budget(self, epochs: float) -> None:
        for name, mix in self.mixes.items():
            with _inside(name):
                mix.check_budget(epochs)

    def prepare(self, images: Tensor, labels: Tensor) -> None:
        for mix in self.mixes.values():
            mix.prepare(images, labels)

    def source_images(self, batch_size: int) -> int:
        found = {}
        for name, mix in self.mixes.items():
            with _inside(name):
                found[name] = mix.source_images(batch_size)
        if len(set(found.values())) > 1:
            each = ", ".join(f"{name} {images}" for name, images in found.items())
            raise ValueError(f"mix: a batch has one number of images, and its mixes take different ones ({each})")
        return next(iter(found.values()))

    def draw(
        self, seed: int, epoch: int, order: np.ndarray, source_images: int, batch_size: int
    ) -> dict[str, np.ndarray]:
        rows, unit = len(order), {"batch": source_images, "sample": 1}[self.per]
        ends = np.cumsum(self.probabilities)
        ends = np.where(np.isclose(ends, 1, rtol=0, atol=1e-9), 1, ends)
        drawn = streams.generator(seed, "choice", epoch).random(-(-rows // unit))
        draws = {"which": np.repeat(np.searchsorted(ends, drawn, side="right"), unit)[:rows].astype(np.int64)}
        for name, mix in self.mixes.items():
            own = mix.draw(seed, epoch, order, source_images, batch_size)
            draws |= {f"{name}.{key}": values for key, values in own.items()}
        return draws

    def plan(self, labels: Tensor, draws: dict[str, Tensor]) -> Plan:
        plans = []
        for name, mix in self.mixes.items():
            prefix = f"{name}."
            own = {key[len(prefix) :]: values for key, values in draws.items() if key.startswith(prefix)}
            plans.append(mix.plan(labels, own))
        return choose(plans, labels, draws["which"])


def _together(blends: Mapping[str, Blend]) -> Blend | None:
    """A blend with the limits of all of these named ones; ValueError where they contradict each other."""
    if not blends:
        return None
    made = Chosen([(blend, 0) for blend in blends.values()])
    of = {name: blend.kinds for name, blend in blends.items() if blend.kinds is not None}
    if of:
        made.kinds = tuple(kind for kind in next(iter(of.values())) if all(kind in kinds for kinds in of.values()))
        if not made.kinds:
            each = ", ".join(f"{name} {' or '.join(kinds)}" for name, kinds in of.items())
            raise ValueError(f"mix: its mixes are for different kinds of data ({each})")
    centred = [name for name, blend in blends.items() if blend.zero_mean]
    if centred and len(centred) < len(blends):
        raise ValueError(f"mix: {listed(centred)} centres images, and the other mixes do not; all have to, or none")
    made.input_only = next((blend.input_only for blend in blends.values() if blend.input_only is not None), None)
    made.needs_plane, made.zero_mean = any(blend.needs_plane for blend in blends.values()), bool(centred)
    return made


class Window(Mix):
    """A mix in a part of the epochs; before and after it, each sample is its image as it is.

    mix: the mix; after, until: fractions of the E epochs: it is on from epoch ⌊after·E⌋ on and before epoch ⌊until·E⌋,
    counted from 0.
    The numbers of all epochs are drawn, and steps stay the same: partners from outside the batch pass the layers below
    the mix layer in all epochs, and count in their BatchNorm; at the input they leave nothing.
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

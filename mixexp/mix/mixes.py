"""No mixing, blends of two samples, and blends of several."""

from __future__ import annotations

from typing import Annotated

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from mixexp import streams
from mixexp.labels import MixedLabels
from mixexp.mix import Blend, Label, Mix, Pairing, Plan, Ratio


class NoMix(Mix):
    """Empirical risk minimisation: every sample is one image with its own label."""

    def source_images(self, batch_size: int) -> int:
        return batch_size

    def draw(
        self, seed: int, epoch: int, order: np.ndarray, source_images: int, batch_size: int
    ) -> dict[str, np.ndarray]:
        return {}

    def plan(self, labels: Tensor, draws: dict[str, Tensor]) -> Plan:
        return Plan(MixedLabels((labels,)))


class Pairs(Mix):
    """Blends of two samples, composed of four independent parts: pairing, ratio, blend and label.

    step_size: source images per batch, each blended with batch_size / step_size partners that the pairing chooses
    (koshian2_bc), or null for as many images as samples; only_repeats: an image stays unmixed when an epoch visits it
    for the first time (SMOTE's originals); from_epoch: first epoch, counted from 0, that mixes (Zhang et al. 2018,
    section 3.3, five epochs without).
    A sample that is its own partner stays unmixed too.
    """

    def __init__(
        self,
        pairing: Pairing,
        ratio: Ratio,
        blend: Blend,
        label: Label,
        step_size: Annotated[int, Field(gt=0)] | None = None,
        only_repeats: bool = False,
        from_epoch: Annotated[int, Field(ge=0)] = 0,
    ) -> None:
        if pairing.external and step_size is not None:
            raise ValueError(
                f"mix.step_size = {step_size}: each image has one partner from outside the batch; leave it null"
            )
        label.check(2)
        if type(ratio).of_classes is not Ratio.of_classes and (only_repeats or from_epoch):
            # they set lam to 1, which such a ratio would change again
            raise ValueError(
                f"mix.only_repeats, mix.from_epoch: leave them at false and 0, as {type(ratio).__name__} depends on"
                " classes"
            )
        self.pairing, self.ratio, self.blend, self.label, self.step_size = pairing, ratio, blend, label, step_size
        self.from_epoch = from_epoch
        self.mixes_labels, self.external, self.needs_repeats = label.mixes, pairing.external, only_repeats

    def check(self, counts: np.ndarray) -> None:
        self.pairing.check(counts)

    def check_budget(self, epochs: float) -> None:
        if self.from_epoch >= epochs:
            raise ValueError(f"mix.from_epoch = {self.from_epoch}: the run has {epochs:g} epochs, and would never mix")

    def prepare(self, images: Tensor, labels: Tensor) -> None:
        self.pairing.prepare(images, labels)
        self.ratio.prepare(labels.bincount())
        self.label.prepare(labels.bincount())

    def source_images(self, batch_size: int) -> int:
        if self.step_size is None:
            return batch_size
        if batch_size % self.step_size:
            raise ValueError(f"mix.step_size = {self.step_size} does not divide batch_size = {batch_size}")
        return self.step_size

    def draw(
        self, seed: int, epoch: int, order: np.ndarray, source_images: int, batch_size: int
    ) -> dict[str, np.ndarray]:
        count = batch_size // source_images
        draws = self.pairing.draw_for(streams.generator(seed, "pairing", epoch), order, count)
        lam = self.ratio.draw(streams.generator(seed, "ratio", epoch), len(order), source_images, count)
        if self.needs_repeats:
            lam[np.unique(order, return_index=True)[1]] = 1.0
        if epoch < self.from_epoch:
            lam[:] = 1.0
        return {**draws, "lam": lam}

    def density(self, lam: np.ndarray) -> np.ndarray | None:
        return self.ratio.density(lam)

    def plan(self, labels: Tensor, draws: dict[str, Tensor]) -> Plan:
        lam = draws["lam"]
        first = torch.arange(len(lam), device=labels.device).unsqueeze(1).expand_as(lam).flatten()
        second = self.pairing.partners(labels, draws, lam.shape[1]).flatten()
        classes = [labels[part] for part in (first, second)]
        lam = self.ratio.of_classes(lam.flatten(), *classes)
        lam = torch.where(first == second, 1.0, lam)
        rows, weights = (first, second), (lam, 1 - lam)
        return Plan(self.label(classes, weights), rows, weights, self.blend, whole=len(first) == len(labels))


class DirichletMix(Mix):
    """Blends of several samples of different classes, weights ~ Dirichlet(alpha, …, alpha), drawn once per sample.

    classes: numbers of classes in a blend, from which every sample draws one; alpha: of the Dirichlet
    distribution.
    If the batch has too few classes, the missing parts are the sample itself.
    Source: Tokozume et al. 2018, ablation "number of mixed classes" ("N = 3", "N = 2 or 3"). Mixup's section 2 reports
    no further gain from Dirichlet weights over three samples.
    Differs from the paper: its distribution for three classes is not in any source we could read; Dirichlet(1, 1, 1)
    generalises U(0, 1).
    """

    def __init__(
        self,
        classes: Annotated[list[Annotated[int, Field(ge=2)]], Field(min_length=1)],
        alpha: Annotated[float, Field(gt=0)],
        blend: Blend,
        label: Label,
    ) -> None:
        self.classes, self.alpha, self.blend, self.label = classes, alpha, blend, label
        self.mixes_labels = label.mixes
        label.check(max(classes))

    def prepare(self, images: Tensor, labels: Tensor) -> None:
        self.label.prepare(labels.bincount())

    def check(self, counts: np.ndarray) -> None:
        present = int((counts > 0).sum())
        if max(self.classes) > present:
            raise ValueError(f"mix.classes = {self.classes}: the training set has {present} classes")

    def source_images(self, batch_size: int) -> int:
        return batch_size

    def draw(
        self, seed: int, epoch: int, order: np.ndarray, source_images: int, batch_size: int
    ) -> dict[str, np.ndarray]:
        rng, most = streams.generator(seed, "ratio", epoch), max(self.classes)
        parts = rng.choice(self.classes, size=len(order))
        weights = rng.standard_gamma(self.alpha, size=(len(order), most))
        # gamma variables divided by their sum are Dirichlet-distributed, for any number of parts
        weights *= np.arange(most) < parts[:, None]
        weights /= np.maximum(weights.sum(1, keepdims=True), np.finfo(float).tiny)
        pairing = streams.generator(seed, "pairing", epoch)
        return {
            "order": pairing.random((len(order), most - 1), dtype=np.float32),
            "weights": weights.astype(np.float32),
        }

    def plan(self, labels: Tensor, draws: dict[str, Tensor]) -> Plan:
        themselves = torch.arange(len(labels), device=labels.device)
        rows = [themselves]
        free = labels.unsqueeze(0) != labels.unsqueeze(1)  # [S, S]: images whose class the sample does not have yet
        for k in range(draws["order"].shape[1]):
            order = draws["order"][:, k].argsort(stable=True)
            rank = free[:, order].cumsum(1)
            # each sample starts at a random candidate: its own draw, as a fraction of its number of candidates
            start = (draws["order"][:, k].unsqueeze(1) * rank[:, -1:]).long().clamp(max=len(labels) - 1)
            column = torch.searchsorted(rank, start + 1).clamp(max=len(labels) - 1).squeeze(1)
            partner = torch.where(rank[:, -1] > 0, order[column], themselves)
            rows.append(partner)
            free = free & (labels[partner].unsqueeze(1) != labels.unsqueeze(0))
        # the image itself takes the weight of missing parts
        missing = torch.stack([partner == themselves for partner in rows[1:]], dim=1)
        others = draws["weights"][:, 1:].masked_fill(missing, 0.0)
        weights = [1 - others.sum(1), *others.unbind(1)]
        record = self.label([labels[part] for part in rows], weights)
        return Plan(record, tuple(rows), tuple(weights), self.blend, whole=True)

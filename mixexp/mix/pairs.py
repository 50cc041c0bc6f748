from __future__ import annotations

from typing import Annotated

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from mixexp import streams
from mixexp.mix import Blend, Label, Mix, Pairing, Plan, Ratio


class Pairs(Mix):
    """Blends of two samples, put together from the four independent parts: pairing, ratio, blend and label.

    step_size: images a batch is made of; each is blended with batch_size / step_size partners (article c), which the pairing
    chooses. None: as many images as samples. only_repeats: an image stays as it is when an epoch visits it for the first time (SMOTE's originals).
    from_epoch: epochs before it see samples as they are (Zhang et al. 2018, section 3.3, five epochs), numbered from 0.
    A sample whose partner is itself stays as it is too.
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
        if pairing.guests and step_size is not None:
            raise ValueError(f"mix.step_size = {step_size}: partners from outside the batch are one an image; leave it null")
        self.pairing, self.ratio, self.blend, self.label, self.step_size = pairing, ratio, blend, label, step_size
        self.from_epoch = from_epoch
        self.mixes_labels, self.guests, self.needs_repeats = label.mixes, pairing.guests, only_repeats

    def check(self, counts: np.ndarray) -> None:
        self.pairing.check(counts)

    def check_budget(self, epochs: float) -> None:
        if self.from_epoch >= epochs:
            raise ValueError(f"mix.from_epoch = {self.from_epoch}: the run has {epochs:g} epochs, and would never mix")

    def prepare(self, images: Tensor, labels: Tensor) -> None:
        self.pairing.prepare(images, labels)

    def origins(self, batch_size: int) -> int:
        if self.step_size is None:
            return batch_size
        if batch_size % self.step_size:
            raise ValueError(f"mix.step_size = {self.step_size} does not divide batch_size = {batch_size}")
        return self.step_size

    def draw(self, seed: int, epoch: int, order: np.ndarray, origins: int, batch_size: int) -> dict[str, np.ndarray]:
        count = batch_size // origins
        draws = self.pairing.draw_for(streams.generator(seed, "pairing", epoch), order, count)
        lam = self.ratio.draw(streams.generator(seed, "ratio", epoch), len(order), origins, count)
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
        lam = torch.where(first == second, 1.0, lam.flatten())
        rows, weights = (first, second), (lam, 1 - lam)
        record = self.label([labels[part] for part in rows], weights)
        return Plan(record, rows, weights, self.blend, whole=len(first) == len(labels))

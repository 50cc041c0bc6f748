"""A second stage as a kind of run: the errors of both stages, its cost, and its first stage in a plan."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import OmegaConf
from torch import nn

from mixexp.build import locate
from mixexp.loss.ldam import CosineHead
from mixexp.plan.classification import CLASSIFICATION
from mixexp.plan.composer import Composed
from mixexp.plan.dry_run import data_summary
from mixexp.second_stage import SecondStage, effective, first_of
from mixexp.settings import under
from mixexp.train import measured, train
from mixexp.training import sizes
from mixexp.training.loop import Loop
from mixexp.training.reader import lacks_weights
from mixexp.training.spec import RunConfig, RunSpec
from mixexp.training.task import Work

SCALED = (nn.Linear, CosineHead)
"""Heads with an output per class, which a factor can scale."""


def check(config: RunConfig, errors: list[str], here: bool) -> list[str]:
    """The errors of the first stage, else those of the second one, each of which begins with the group."""
    if errors := CLASSIFICATION.check(first_of(config), errors, here):
        return errors
    lines = _conflicts(config) or CLASSIFICATION.check(effective(config), [], here)
    return [f"second_stage: {line}" for line in lines]


def _conflicts(config: RunConfig) -> list[str]:
    """The conflicts within a second stage's settings and with its first stage."""
    stage = config.second_stage or {}
    if locate(stage["_target_"], config.trusted) is not SecondStage:
        return [f"_target_ {stage['_target_']}: it has to be mixexp.second_stage.SecondStage itself"]
    if config.keep == "best":
        # the first stage keeps its last weights, also where it is a cell of the sweep
        return ["keep = best: it starts from the last weights of its first stage; give keep=last"]
    lines: list[str] = []
    return sizes.problems(lambda: lines.extend(_misfits(config, stage))) or lines


def _misfits(config: RunConfig, stage: Mapping[str, Any]) -> list[str]:
    """What of a second stage does not fit its first one; raises ValueError where a part of it cannot be made."""
    then, lines, kind = effective(config), [], stage["head"]
    centred, was = then.build("mix").zero_mean, config.build("mix").zero_mean
    if centred != was:
        lines.append(
            f"mix: it {'centres' if centred else 'does not centre'} each image, unlike that of the first stage; the"
            " features are of such images"
        )
    counts = np.array(data_summary(config).counts)
    with torch.device("meta"):
        # only the kinds of heads matter, so one feature is enough
        heads = [each.build("loss", class_counts=counts).head(1, len(counts)) for each in (config, then)]
    before, now = (type(head) for head in heads)
    if kind != "new" and now is not before:
        lines.append(
            f"loss: its head is {now.__name__} and that of the first stage {before.__name__}; head=new makes its own"
        )
    if kind == "scaled" and not isinstance(heads[1], SCALED):
        names = " or ".join(kind.__name__ for kind in SCALED)
        lines.append(f"head = scaled: the head of this loss is {now.__name__}; it scales {names}")
    if kind != "scaled" and stage["head_lr"] != 1:
        lines.append(f"head_lr = {stage['head_lr']}: only with head=scaled; lr is the rate of any other head")
    return lines


def work(config: RunConfig) -> Work:
    """The work of a second stage: a forward pass a step, beside which the head's backward pass is small."""
    whole = CLASSIFICATION.work(effective(config))
    return whole._replace(training=whole.training / 3)


SECOND_STAGE = Loop("model", check, work, train, measured)


def first_cell(cell: Composed) -> Composed:
    """The cell of a first stage, which keeps its last weights; cell: that of its second stage."""
    config = copy.deepcopy(cell.config)
    OmegaConf.update(config, "second_stage", None)
    OmegaConf.update(config, "keep", "last")
    return dataclasses.replace(cell, config=config, choices={**cell.choices, "second_stage": None})


def first_words(words: Sequence[str]) -> list[str]:
    """The overrides that make a first stage alone; words: those of its second stage."""
    places = [word.lstrip("+~").partition("=")[0].rpartition("@")[2] for word in words]
    others = [word for word, place in zip(words, places, strict=True) if not under(place, ("second_stage", "keep"))]
    return [*others, "second_stage=null", "keep=last"]


def weightless(run: RunSpec) -> list[str]:
    """The message about a second stage to do whose first stage has finished without its last weights."""
    first = run.first
    if (
        first is None
        or (run.folder / "result.json").exists()
        or first.config.retry == "changed"
        or not lacks_weights(first.folder, "last")
    ):
        return []
    return [without_weights(first.folder)]


def without_weights(folder: Path) -> str:
    """The message about a first stage that has finished without its last weights; folder: its own."""
    return (
        f"second_stage: its first stage is finished and has not kept its last weights, {folder}; retry=changed makes it"
        " again with them"
    )

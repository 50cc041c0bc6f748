"""From a resolved configuration to the objects of a run: data on the device, initial network, options of the groups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mixexp import streams
from mixexp.build import telling
from mixexp.eager import spare_compiler
from mixexp.errors import UserError, note
from mixexp.loss import Loss
from mixexp.probe import Probe, Subject
from mixexp.second_stage import effective, prepare, take_weights
from mixexp.training import data
from mixexp.training.budget import Budget, budget_of
from mixexp.training.data import Normalize, SelectedData
from mixexp.training.device import execution
from mixexp.training.network import Network
from mixexp.training.reader import read_environment, trained_config
from mixexp.training.spec import RunConfig
from mixexp.training.weights import Inputs, read_weights


@dataclass(frozen=True, kw_only=True)
class RunParts(Subject):
    """The parts of a run: those that a probe sees, and those that the loop needs in addition.

    counts: training images of each class, int64 [C]; contents: hash of the data set's files; size_rule: how a file
    becomes an image of the data set's size, in words. config: the settings that it trains with, those of the second
    stage in a run that has one.
    """

    config: RunConfig
    selected: SelectedData
    counts: np.ndarray
    budget: Budget
    probe: Probe | None
    contents: str
    size_rule: str

    def input_format(self) -> Inputs:
        """The rule by which the data set's images become the network's inputs."""
        normalize, shape = self.normalize, list(self.test.images.shape[1:])
        mean, std = normalize.mean.flatten().tolist(), normalize.std.flatten().tolist()
        return Inputs(self.kind, shape, normalize.unit, mean, std, normalize.zero_mean, self.size_rule)

    def facts(self) -> dict[str, Any]:
        """The facts about these parts for environment.json."""
        return {
            "parameters": sum(p.numel() for p in self.network.parameters()),
            "steps_per_epoch": self.budget.steps_per_epoch,
            "train_counts": self.counts.tolist(),
            "test_counts": torch.bincount(self.test.labels, minlength=len(self.classes)).tolist(),
            **({} if self.selected.test_of == len(self.test) else {"test_of": self.selected.test_of}),
            "data_hash": self.selected.digest(),
            "data_contents": self.contents,
            "inputs": self.input_format().record(),
            "classes": list(self.classes),
        }


def setup(config: RunConfig, first: Path | None = None) -> RunParts:
    """The parts of a run; no global generator is touched.

    Weights are drawn on the CPU, so that every device starts from the same. first: the folder of a second stage's first
    stage, whose weights its network gets. Raises UserError where they do not fit.
    """
    spare_compiler()
    config = effective(config)
    run = execution(config)
    dataset, splits = data.load(config.dataset, config.trusted)
    groups = {group: config.build(group) for group in ("sampling", "augment", "mix", "mix_layer")}
    sampling, mix = groups["sampling"], groups["mix"]
    subset, imbalance, label_noise = (config.build(group) for group in ("subset", "imbalance", "label_noise"))
    selected = data.select_data(
        splits, subset, imbalance, label_noise, config.validation, config.data_seed, config.test_n
    )
    num_classes = len(splits.classes)
    train = data.part(splits.train_images, selected.train_labels, selected.train, run.device)
    counts = np.bincount(selected.train_labels, minlength=num_classes)
    budget = budget_of(config, sampling.epoch_size(counts), mix.source_images(config.batch_size))
    mix.prepare(train.images, train.labels)
    network, loss = network_of(config, splits.train_images.shape[1:], counts)
    if first is not None and config.second_stage is not None:
        take_weights(network, config.second_stage, first, splits.digest)
    return RunParts(
        network=network.to(run.device).to(memory_format=run.memory_format),
        loss=loss.to(run.device),
        **groups,
        normalize=Normalize.of(splits.train_images, dataset.mean, dataset.std, zero_mean=mix.zero_mean).to(run.device),
        run=run,
        train=train,
        true_labels=splits.train_labels[torch.from_numpy(selected.train)].to(run.device),
        test=data.part(splits.test_images, splits.test_labels[selected.test], selected.test, run.device),
        classes=splits.classes,
        kind=dataset.kind,
        seed=config.seed,
        batch_size=config.batch_size,
        epochs=budget.epochs,
        other=lambda source: restored(Path(source), another(source, config)),
        config=config,
        selected=selected,
        counts=counts,
        held_out=data.part(
            splits.train_images, splits.train_labels[selected.validation], selected.validation, run.device
        ),
        budget=budget,
        probe=None if config.probe is None else config.build("probe"),
        contents=splits.digest,
        size_rule=dataset.size_rule,
    )


def network_of(config: RunConfig, shape: Sequence[int], counts: np.ndarray) -> tuple[Network, Loss]:
    """The initial network of a run and its loss, on the CPU; shape: of an image, counts: images of each class."""
    config = effective(config)
    # a second stage's new head does not start where that of the first stage did
    purpose = "weights" if config.second_stage is None else "second_stage"
    with streams.torch_stream(torch.device("cpu"), config.seed, purpose):
        body = config.build("model", in_channels=shape[0], image_size=tuple(shape[1:]))
        loss = config.build("loss", class_counts=counts)
        network = Network(body, loss.head(body.num_features, len(counts)))
    if config.second_stage is not None:
        prepare(network, config.second_stage, len(counts))
    return network, loss


def restored(folder: Path, config: RunConfig) -> RunParts:
    """The network of a finished run with the weights it kept, in evaluation mode; config: the run's own."""
    state, parts = read_weights(folder), setup(config)
    about = read_environment(folder)
    if (trained_on := about.get("data_contents", parts.contents)) != parts.contents:
        raise UserError(
            f"{folder}: the data set's files have changed since it was trained (contents {trained_on} then,"
            f" {parts.contents} now)"
        )
    if about.get("own_code", config.own_code) != config.own_code:
        note(f"{folder}: code of your own has changed since it was trained; its weights are put into what there is now")
    try:
        parts.network.load_state_dict(state["network"])
        parts.loss.load_state_dict(state["loss"])
    except RuntimeError as error:
        raise UserError(
            f"{folder}: its weights are not those of the network that its config.yaml describes ({error})"
        ) from error
    parts.network.eval()
    return replace(parts, step=state["step"])


def another(source: str, config: RunConfig) -> RunConfig:
    """The configuration of a finished run, with the data set's place and the device taken from `config`.

    Raises UserError unless both use the same data set. The place of its files does not count, as far as its class
    declares so.
    """
    other = trained_config(Path(source))
    ours, theirs = (telling(node, config.trusted) for node in (config.dataset, other["dataset"]))
    if ours != theirs:
        raise UserError(
            f"{source}: its network is for another data set, {other['choices'].get('dataset')} with {theirs}"
        )
    here = ("dataset", "device", "precision", "channels_last", "threads", "trusted_modules")
    return RunConfig.of({**other, **{key: config.values[key] for key in here}, "probe": None, "logger": None})

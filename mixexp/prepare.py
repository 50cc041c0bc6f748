"""From a resolved configuration to the objects of a run: its data on the device, its network as it starts, its groups' parts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mixexp import data, streams
from mixexp.augment import Augment
from mixexp.build import build, telling
from mixexp.checkpoint import read_weights
from mixexp.data import Choice, Normalize, Part
from mixexp.device import Execution, execution
from mixexp.errors import UserError
from mixexp.loss import Loss
from mixexp.mix import Mix
from mixexp.mix_layer import MixLayer
from mixexp.network import Network, layers
from mixexp.probe import Probe, Subject
from mixexp.run.reader import read_environment, trained_config
from mixexp.sampling import Sampling


@dataclass(frozen=True)
class Prepared:
    """What a run is made of before its first step."""

    run: Execution
    kind: str
    classes: tuple[str, ...]
    choice: Choice
    counts: np.ndarray
    train: Part
    held_out: Part
    test: Part
    true_labels: torch.Tensor
    normalize: Normalize
    sampling: Sampling
    augment: Augment
    mix: Mix
    mix_layer: MixLayer
    network: Network
    loss: Loss
    probe: Probe | None
    seed: int
    batch_size: int
    contents: str
    other: Callable[[str], Subject]

    def subject(self, step: int) -> Subject:
        """What a probe sees of the run after a step."""
        return Subject(
            self.network, self.loss, self.sampling, self.augment, self.mix, self.mix_layer, self.normalize, self.run, self.train,
            self.true_labels, self.test, self.classes, self.kind, tuple(layers(self.network.body)), self.seed, self.batch_size, step,
            self.other,
        )  # fmt: skip


def prepare(config: Mapping[str, Any]) -> Prepared:
    """The parts of a run, from a configuration that validate.py has passed; no global generator is touched.

    Weights are drawn on the CPU, so that every device starts from the same.
    """
    run = execution(config)
    seed, trusted = config["seed"], tuple(config["trusted_modules"])
    dataset, splits = data.load(config["dataset"], trusted)
    sampling, augment, mix, mix_layer = (build(config[group], trusted) for group in ("sampling", "augment", "mix", "mix_layer"))
    subset, imbalance, label_noise = (build(config[group], trusted) for group in ("subset", "imbalance", "label_noise"))
    choice = data.choose(splits, subset, imbalance, label_noise, config["validation"], config["data_seed"])
    num_classes = len(splits.classes)
    train = data.part(splits.train_images, choice.train_labels, choice.train, run.device)
    held_out = data.part(splits.train_images, splits.train_labels[choice.validation], choice.validation, run.device)
    test = data.part(splits.test_images, splits.test_labels[choice.test], choice.test, run.device)
    normalize = data.Normalize(splits.train_images, dataset.mean, dataset.std, zero_mean=mix.zero_mean).to(run.device)
    counts = np.bincount(choice.train_labels, minlength=num_classes)
    mix.prepare(train.images, train.labels)
    with streams.torch_stream(torch.device("cpu"), seed, "weights"):
        shape = splits.train_images.shape
        body = build(config["model"], trusted, in_channels=shape[1], image_size=tuple(shape[2:]))
        loss = build(config["loss"], trusted, class_counts=counts).to(run.device)
        network = Network(body, loss.head(body.num_features, num_classes))
    network = network.to(run.device, memory_format=run.memory_format)
    probe = None if config["probe"] is None else build(config["probe"], trusted)
    true_labels = splits.train_labels[torch.from_numpy(choice.train)].to(run.device)
    return Prepared(
        run, dataset.kind, splits.classes, choice, counts, train, held_out, test, true_labels, normalize,
        sampling, augment, mix, mix_layer, network, loss, probe, seed, config["batch_size"],
        splits.digest, lambda source: restored(Path(source), another(source, config)),
    )  # fmt: skip


def restored(folder: Path, config: Mapping[str, Any]) -> Subject:
    """The network of a finished run with the weights it kept, in evaluation mode; config: its own, as validate.py has passed it."""
    state, parts = read_weights(folder), prepare(config)
    if (trained_on := read_environment(folder).get("data_contents", parts.contents)) != parts.contents:
        raise UserError(f"{folder}: the data set's files have changed since it was trained (contents {trained_on} then, {parts.contents} now)")
    try:
        parts.network.load_state_dict(state["network"])
        parts.loss.load_state_dict(state["loss"])
    except RuntimeError as error:
        raise UserError(f"{folder}: its weights are not those of the network that its config.yaml describes ({error})") from error
    parts.network.eval()
    return parts.subject(state["step"])


def another(source: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration of a finished run, to compute where a run of `config` does; raises UserError unless both share a data set.

    Where the files of a data set lie does not count, as far as its class says so.
    """
    found = trained_config(Path(source))
    ours, theirs = (telling(node, config["trusted_modules"]) for node in (config["dataset"], found["dataset"]))
    if ours != theirs:
        raise UserError(f"{source}: its network is for another data set, {found['choices'].get('dataset')} with {theirs}")
    here = ("dataset", "device", "precision", "channels_last", "threads", "trusted_modules")
    return {**found, **{key: config[key] for key in here}, "probe": None, "logger": None}

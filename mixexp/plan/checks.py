"""Everything that can be wrong with a configuration, said at once, before anything starts."""

from __future__ import annotations

import functools
import json
import re
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from mixexp import data, sizes
from mixexp.build import build, check, is_module, locate, schema_errors
from mixexp.conf_dir import CONF
from mixexp.device import NAMES, execution, precision_note, unknown_device
from mixexp.errors import UserError, note
from mixexp.gan.play import memory_of
from mixexp.mix import Mix
from mixexp.mix_layer import MixLayer
from mixexp.plan.dry_run import (
    DATA,
    DataSummary,
    cache_key,
    data_summary,
    network_summary,
    optimizer_states,
    require_complete,
)
from mixexp.plan.groups import GROUPS, OPTIONAL_GROUPS
from mixexp.prepare import another
from mixexp.probe import Facts
from mixexp.run.spec import Settings
from mixexp.schedule import Schedule
from mixexp.text import in_shell, listed, resembling
from mixexp.train import steps_per_epoch, total_steps
from mixexp.wording import typed

FITS = tuple(group for group in {**GROUPS, **OPTIONAL_GROUPS} if group not in ("speed", "logger"))
"""The groups whose options have to go together."""

IDLE_IN_A_GAME = (
    *("subset", "imbalance", "label_noise", "sampling", "augment", "model", "mix", "mix_layer", "loss", "schedule", "probe"),
    *("drop_last", "validation", "data_seed", "channels_last"),
)
"""What has no effect on a run of the group gan, which has to leave it as config.yaml has it."""

MODELS = {"image": "small_cnn", "spectrogram": "small_cnn", "sound": "sound_cnn", "table": "mlp"}
"""A small network for each kind of data."""


class TooLarge(str):
    """A line about a configuration without a fault that this machine cannot hold."""


def validate(config: Mapping[str, Any], here: bool = True) -> list[str]:
    """All that is wrong with a resolved configuration, one line each; empty when it can run on this machine.

    First what can be seen in the configuration alone; when that is well, what needs the data, the network's shape and the device.
    here: whether this machine is to train it, and has to be large enough.
    """
    scalars = {key: value for key, value in config.items() if key not in {**GROUPS, **OPTIONAL_GROUPS}}
    errors = schema_errors(Settings, scalars, "")
    if isinstance(device := config.get("device"), str) and not re.fullmatch(NAMES, device):
        errors.append(unknown_device(device))
    trusted = config.get("trusted_modules")
    trusted = tuple(filter(is_module, trusted)) if isinstance(trusted, list) else ()
    for group, kind in {**GROUPS, **OPTIONAL_GROUPS}.items():
        if config.get(group) is None and group in OPTIONAL_GROUPS:
            continue
        if config.get(group) is None:
            errors.append(f"{group}: an option of this group is needed; mixexp list {group} names them")
        else:
            errors += check(config[group], group, kind, trusted)
    if not errors and "lr" not in config["optimizer"]:
        errors.append("optimizer.lr: needs a value, which the schedule multiplies")
    if not errors and config["epochs"] is None and config["steps"] is None:
        errors.append("epochs, steps: one of them must be given")
    if errors:
        return errors
    errors += _attempt(lambda: build(config["speed"], trusted).mode(execution(config).device, config["threads"], 1, None))
    if config["logger"] is not None:
        errors += _attempt(lambda: build(config["logger"], trusted).check())
    errors += _attempt(lambda: _writable(f"{config['output_dir']}/{config['name']}"))
    if here:
        errors += _attempt(lambda: _threads(config["threads"]))
    if config["gan"] is not None:
        return errors + _game(config, trusted)
    try:
        found = data_summary(cache_key(config, *DATA), trusted)
    except (UserError, ValueError) as error:
        return [*errors, _line(error)]
    errors += _fits(cache_key(config, *FITS, "batch_size", "drop_last", "epochs", "steps"), found, trusted)
    if here and not errors:
        errors += _attempt(lambda: _holds(config, found, trusted))
    if not errors:
        _note_oddities(config, found, trusted)
    if not errors and (text := precision_note(config)) is not None:
        note(text)
    return errors or _others(config, trusted)


def _note_oddities(config: Mapping[str, Any], found: DataSummary, trusted: tuple[str, ...]) -> None:
    """Note classes that a part of the data lacks, and a network whose architecture is made for other data than these."""
    model, dataset = (config["choices"].get(group) or config[group]["_target_"] for group in ("model", "dataset"))
    for text in found.missing:
        note(f"dataset={dataset}: {text}")
    kinds = getattr(locate(config["model"]["_target_"], trusted), "kinds", None)
    if kinds is not None and found.kind not in kinds:
        advice = f"; a network for such data is {in_shell(f'model={MODELS[found.kind]}')}" if found.kind in MODELS else ""
        note(f"model={model} is made for data of the kind {' or '.join(kinds)}, and dataset={dataset} is of the kind {found.kind}{advice}")


def _threads(threads: int) -> None:
    """Raise TooLarge for more threads than processors, of which too many end the process without a word."""
    if threads > sizes.processors():
        raise sizes.TooLarge(f"threads = {threads}: too large; this machine has {sizes.processors()} processors")


def _holds(config: Mapping[str, Any], found: DataSummary, trusted: tuple[str, ...]) -> None:
    """Raise TooLarge where the device cannot hold the network, its gradients, the optimizer's state and what a step keeps.

    The estimate is the least that a run needs, so that whatever can run is let run.
    """
    mix, sampling = (build(config[group], trusted) for group in ("mix", "sampling"))
    rows, batch = sampling.epoch_size(np.array(found.counts)), mix.source_images(config["batch_size"])
    shape = network_summary(cache_key(config, "model", "loss"), found.counts, (min(rows, batch, 2), *found.shape), trusted)
    samples = min(rows, batch) * (config["batch_size"] // batch)
    run = execution(config)
    sizes.require_memory(f"dataset: its {len(found.counts)} classes", 8.0 * len(found.counts) ** 2)  # the table of confusions
    state = 4 * shape.parameters * (2 + optimizer_states(cache_key(config, "optimizer"), trusted))
    step = shape.kept_once + samples * shape.kept / (2 if run.bfloat16 else 1)
    parts = {group: config[group] for group in ("model", "loss")}
    names = [sizes.called(parts, "")] if step < state else [sizes.called(parts, ""), f"batch_size = {config['batch_size']}"]
    what = ", ".join(name for name in names if name) or f"model = {config['choices'].get('model')}"
    sizes.require_memory(what, state + step, run.device)


def _others(config: Mapping[str, Any], trusted: tuple[str, ...]) -> list[str]:
    """What is wrong with the finished runs whose networks a probe needs beside the one it measures."""
    probe = None if config["probe"] is None else build(config["probe"], trusted)
    errors = []
    for source in () if probe is None else probe.others:
        try:
            errors += [f"{source}: {error}" for error in validate(another(source, config))]
        except UserError as error:
            errors.append(str(error))
    return errors


def _game(config: Mapping[str, Any], trusted: tuple[str, ...]) -> list[str]:
    """What is wrong with a run of the group gan, beyond its schema."""
    changed = [word for name in IDLE_IN_A_GAME for word in _departures(name, config[name], _root()[name], config["choices"])]
    errors = [f"{word}: has no effect on a run of the group gan; leave it as config.yaml has it" for word in changed]
    if config["steps"] is None:
        errors.append("steps: a run of the group gan has its budget in steps, one of which is an update of its generator; give steps")
    if config["precision"] == "bfloat16":
        errors.append("precision = bfloat16: a run of the group gan is in float32; leave it at auto")
    try:
        mode = build(config["speed"], trusted).mode(execution(config).device, config["threads"], 1, None)
        if mode.compiled or mode.graph:
            errors.append(f"speed = {mode.name}: has no effect on a run of the group gan, which is eager; leave it at auto")
        with sizes.bounded(config["dataset"], "dataset"):
            dataset, splits = data.load(config["dataset"], trusted)
        with sizes.bounded(config["gan"], "gan"):
            game = build(config["gan"], trusted)
            game.check(dataset)
            needed = memory_of(game, splits.train_images[0].numel(), config["batch_size"])
        what = sizes.called({"gan": config["gan"], "batch_size": config["batch_size"]}, "") or f"gan = {config['choices'].get('gan')}"
        sizes.require_memory(what, needed, execution(config).device)
        parameters = [torch.nn.Parameter(torch.zeros(1))]
        build(config["optimizer"], trusted, parameters=parameters, params=parameters)
    except (UserError, ValueError) as error:
        errors.append(_line(error))
    return list(dict.fromkeys(errors))


def _departures(name: str, found: Any, kept: Any, choices: Mapping[str, Any]) -> list[str]:
    """Where a setting is not what is kept, as `key = value`: another option, or settings of the same one."""
    if found == kept:
        return []
    if isinstance(found, dict) and isinstance(kept, dict) and found["_target_"] == kept["_target_"]:
        return [word for key in found for word in _departures(f"{name}.{key}", found[key], kept.get(key), choices)]
    return [f"{name} = {choices.get(name) or found}"]


@functools.cache
def _root() -> dict[str, Any]:
    """config.yaml with the options that it chooses."""
    found = yaml.safe_load((CONF / "config.yaml").read_text(encoding="utf-8"))
    chosen = {group: option for entry in found["defaults"] if isinstance(entry, dict) for group, option in entry.items()}
    files = {group: CONF / group / f"{option}.yaml" for group, option in chosen.items() if group in GROUPS}
    return found | {group: yaml.safe_load(path.read_text(encoding="utf-8")) for group, path in files.items()}


def _attempt(action: Any) -> list[str]:
    try:
        action()
    except (UserError, ValueError) as error:
        return [_line(error)]
    return []


def _line(error: Exception) -> str:
    """What to say of an error; of another class where a larger machine would not raise it."""
    return TooLarge(error) if isinstance(error, sizes.TooLarge) else str(error)


@functools.lru_cache(maxsize=64)
def _writable(name: str) -> None:
    """Raise UserError unless a file can be made there, or in the nearest folder above that exists; leaves no trace, at no moment."""
    folder = Path(name).absolute()
    try:
        there = next(parent for parent in (folder, *folder.parents) if parent.exists())
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        raise UserError(f"output_dir/name = {name}: cannot write there ({error.strerror})") from error


@functools.lru_cache(maxsize=1024)
def _fits(key: str, found: DataSummary, trusted: tuple[str, ...]) -> tuple[str, ...]:
    """What does not go together: objects that their constructors refuse, layers, losses and mixes, batches."""
    config = json.loads(key)
    counts = found.counts
    errors: list[str] = []
    built: dict[str, Any] = {}
    for group in ("sampling", "augment", "mix", "mix_layer", "schedule", *(name for name in OPTIONAL_GROUPS if config.get(name))):
        errors += _attempt(lambda: built.update({group: _bounded(config, group, trusted)}))
    errors += _attempt(lambda: built.update(loss=_bounded(config, "loss", trusted, class_counts=np.array(counts))))
    for group, part in built.items():
        errors += _attempt(lambda: require_complete(group, part))
    # the optimizer's own checks, on a parameter it does not train
    parameters = [torch.nn.Parameter(torch.zeros(1))]
    errors += _attempt(lambda: build(config["optimizer"], trusted, parameters=parameters, params=parameters))
    if errors:
        return tuple(errors)

    sampling, mix, mix_layer, loss = built["sampling"], built["mix"], built["mix_layer"], built["loss"]
    rows = sampling.epoch_size(np.array(counts))
    smallest = min(rows, 2)
    try:
        batch = mix.source_images(config["batch_size"])
    except ValueError as error:
        errors.append(str(error))
    else:
        smallest = min(rows, batch, 2)
        errors += _batches(config, mix, built["schedule"], rows, batch)
    errors += _attempt(lambda: mix.check(np.array(counts)))
    errors += _kinds(found.kind, augment=built["augment"]) or _attempt(lambda: built["augment"].check(found.shape))
    errors += _kinds(found.kind, mix=mix.blend)
    if mix.needs_repeats and not sampling.repeats:
        errors.append("mix: it blends only images that an epoch repeats, and none is; add sampling=oversample")
    if mix.mixes_labels and not loss.accepts_mixed:
        errors.append("loss: it has no meaning for mixed labels; take a mix that keeps one label, such as mix=data_mix")
    if sampling.equalises_classes and loss.weighs_classes:
        errors.append("sampling, loss.class_weights: both correct for class sizes, so small classes would count twice; keep one")
    try:
        shape = network_summary(cache_key(config, "model", "loss"), counts, (smallest, *found.shape), trusted)
    except (UserError, ValueError) as error:
        return (*errors, _line(error))
    if "probe" in built:
        facts = Facts(found.kind, found.shape, len(counts), sum(counts), found.tested, shape.layers, shape.features, mix.blend is not None)
        errors += _attempt(lambda: built["probe"].check(facts))
    return (*errors, *_layers(mix, mix_layer, shape.layers))


def _bounded(config: Mapping[str, Any], group: str, trusted: tuple[str, ...], **given: Any) -> Any:
    """What a group's node makes; raises TooLarge where one of its numbers is why it cannot be made."""
    with sizes.bounded(config[group], group):
        return build(config[group], trusted, **given)


def _kinds(kind: str, **parts: Any) -> list[str]:
    """What is chosen that is for data of another kind."""
    return [
        f"{group}: it is for data of the kind {' or '.join(part.kinds)}, and this data set's is {kind}"
        for group, part in parts.items()
        if part is not None and part.kinds is not None and kind not in part.kinds
    ]


def _batches(config: Mapping[str, Any], mix: Mix, schedule: Schedule, rows: int, batch: int) -> list[str]:
    """What is wrong with an epoch of `rows` images cut into batches made of `batch` images."""
    per_epoch = steps_per_epoch(rows, batch, config["drop_last"])
    if per_epoch == 0:
        return [f"batch_size = {config['batch_size']}: an epoch has {rows} images, and drop_last leaves no whole batch of {batch}"]
    steps = total_steps(config, per_epoch)
    errors = _attempt(lambda: schedule.check_budget(per_epoch, steps)) + _attempt(lambda: mix.check_budget(steps / per_epoch))
    if mix.blend is not None and min(rows, batch) == 1:
        errors.append("mix: a batch made of one image has no partners to blend it with; raise batch_size (or mix.step_size)")
    return errors


def _layers(mix: Mix, mix_layer: MixLayer, known: Sequence[str]) -> list[str]:
    """What is wrong with the layers a mix shall happen at, among those that the model has."""
    errors = []
    for layer in mix_layer.layers if mix.blend is not None else ():
        if layer not in known:
            near = [*resembling(layer, known), None][0]
            meant = typed("mix_layer.layers", [near if name == layer else name for name in mix_layer.layers])
            hint = f" Did you mean {meant}?" if near is not None else ""
            errors.append(f"mix_layer: model has no layer {layer!r}; it has {listed(known)}.{hint}")
        elif layer != "input" and mix.blend.input_only:
            errors.append(f"mix_layer = {layer}: mix at the input instead; {mix.blend.input_only}")
    return errors



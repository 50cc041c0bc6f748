"""Everything that can be wrong with a configuration, said at once, before anything starts."""

from __future__ import annotations

import functools
import json
import math
import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch.utils.flop_counter import FlopCounterMode

from mixexp import sizes
from mixexp.augment import Augment
from mixexp.build import build, check, is_module, locate, schema_errors
from mixexp.contracts import undefined
from mixexp.dataset import Dataset
from mixexp.errors import UserError, note
from mixexp.gan.loop import GAME
from mixexp.gan.minimax import Minimax
from mixexp.imbalance import Imbalance
from mixexp.label_noise import LabelNoise
from mixexp.logger import Logger
from mixexp.loss import Loss
from mixexp.mix import Mix
from mixexp.mix_layer import MixLayer
from mixexp.model import Body
from mixexp.probe import Facts, Probe
from mixexp.run import data
from mixexp.run.budget import Budget, budget_of
from mixexp.run.device import NAMES, execution, precision_note, unknown_device
from mixexp.run.loop import Cost, Loop
from mixexp.run.network import Network, layers
from mixexp.run.setup import another
from mixexp.sampling import Sampling
from mixexp.schedule import Schedule
from mixexp.speed import Speed
from mixexp.subset import Subset
from mixexp.text import in_shell, listed, resembling
from mixexp.train import train
from mixexp.wording import typed

GROUPS: dict[str, type] = {
    "dataset": Dataset,
    "subset": Subset,
    "imbalance": Imbalance,
    "label_noise": LabelNoise,
    "sampling": Sampling,
    "augment": Augment,
    "model": Body,
    "mix": Mix,
    "mix_layer": MixLayer,
    "loss": Loss,
    "optimizer": torch.optim.Optimizer,
    "schedule": Schedule,
    "speed": Speed,
}
"""Every group and what its options make."""

DATA = ("dataset", "subset", "imbalance", "label_noise", "validation", "data_seed")
"""What decides which images a run uses."""

OPTIONAL_GROUPS: dict[str, type] = {"probe": Probe, "gan": Minimax, "logger": Logger}
"""Groups of which a run may have no option."""

FITS = tuple(group for group in {**GROUPS, **OPTIONAL_GROUPS} if group not in ("speed", "logger"))
"""The groups whose options have to go together."""

MODELS = {"image": "small_cnn", "spectrogram": "small_cnn", "sound": "sound_cnn", "table": "mlp"}
"""A small network for each kind of data."""

Positive = Annotated[int, Field(gt=0, lt=2**63)]
Natural = Annotated[int, Field(ge=0, lt=2**63)]
Auto = Literal["auto"]


Text = Annotated[str, Field(min_length=1)]
Module = Annotated[
    str,
    Field(pattern=r"^[^\W\d]\w*(\.[^\W\d]\w*)*$", description="the name of a module as an import has it, such as own.nets"),
]


class Settings(BaseModel):
    """The run's scalars: every key of config.yaml that is not a group."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    name: Annotated[
        str,
        Field(
            pattern=r"^[^./\\][^/\\]*$",
            max_length=100,
            description="the name of a folder: a text of 1 to 100 letters without / and \\ that does not begin with a point",
        ),
    ]
    alpha: Annotated[float, Field(gt=0)]
    seed: Natural
    data_seed: Natural
    epochs: Positive | None
    steps: Positive | None
    batch_size: Positive
    drop_last: bool
    validation: Annotated[float, Field(ge=0, lt=1)]
    evaluations: Positive
    device: str
    precision: Literal["auto", "float32", "bfloat16"]
    channels_last: Auto | bool
    threads: Positive
    runs_per_device: Auto | Positive
    checkpoint_seconds: Annotated[float, Field(ge=0)]
    keep_checkpoint: bool
    retry: Literal["failed"] | None
    fail_fast: bool
    hang_minutes: Annotated[float, Field(gt=0)] | None
    data_dir: Text
    output_dir: Text
    trusted_modules: list[Module]
    table: dict[str, Any] | None
    claims: dict[str, Any] | None
    editions: dict[str, Any] | None
    edition: Text | None
    checks: dict[str, Any] | None
    choices: dict[str, Any]


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
    errors += _attempt(lambda: build(config["speed"], trusted).mode(execution(config).device, config["threads"], None))
    if config["logger"] is not None:
        errors += _attempt(lambda: build(config["logger"], trusted).check())
    errors += _attempt(lambda: _writable(f"{config['output_dir']}/{config['name']}"))
    if here:
        errors += _attempt(lambda: _threads(config["threads"]))
    return loop_of(config).check(config, errors, here)


def _classification(config: Mapping[str, Any], errors: list[str], here: bool) -> list[str]:
    """What is wrong with the data, network and groups of a classification, behind the errors found so far."""
    trusted = tuple(config["trusted_modules"])
    try:
        found = _data(_key(config, *DATA), trusted)
    except (UserError, ValueError) as error:
        return [*errors, sizes.line(error)]
    errors += _fits(_key(config, *FITS, "batch_size", "drop_last", "epochs", "steps", "evaluations"), found, trusted)
    if here and not errors:
        errors += _attempt(lambda: _holds(config, found, trusted))
    if not errors:
        _note_oddities(config, found, trusted)
    if not errors and (text := precision_note(config)) is not None:
        note(text)
    return errors or _others(config, trusted)


def _note_oddities(config: Mapping[str, Any], found: _Data, trusted: tuple[str, ...]) -> None:
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


def _holds(config: Mapping[str, Any], found: _Data, trusted: tuple[str, ...]) -> None:
    """Raise TooLarge where the device cannot hold the network, its gradients, the optimizer's state and what a step keeps.

    The estimate is the least that a run needs, so that whatever can run is let run.
    """
    mix, sampling = (build(config[group], trusted) for group in ("mix", "sampling"))
    rows, batch = sampling.epoch_size(np.array(found.counts)), mix.origins(config["batch_size"])
    shape = _shape_only(_key(config, "model", "loss"), found.counts, (min(rows, batch, 2), *found.shape), trusted)
    samples = min(rows, batch) * (config["batch_size"] // batch)
    run = execution(config)
    sizes.require_memory(f"dataset: its {len(found.counts)} classes", 8.0 * len(found.counts) ** 2)  # the table of confusions
    state = 4 * shape.parameters * (2 + _states(_key(config, "optimizer"), trusted))
    step = shape.kept_once + samples * shape.kept / (2 if run.bfloat16 else 1)
    parts = {group: config[group] for group in ("model", "loss")}
    names = [sizes.called(parts, "")] if step < state else [sizes.called(parts, ""), f"batch_size = {config['batch_size']}"]
    what = ", ".join(name for name in names if name) or f"model = {config['choices'].get('model')}"
    sizes.require_memory(what, state + step, run.device)


@functools.lru_cache(maxsize=64)
def _states(key: str, trusted: tuple[str, ...]) -> int:
    """How many numbers an optimizer keeps for each parameter."""
    parameters = [torch.nn.Parameter(torch.zeros(7))]
    optimizer = build(json.loads(key)["optimizer"], trusted, parameters=parameters, params=parameters)
    parameters[0].grad = torch.zeros(7)
    optimizer.step()
    return sum(value.numel() for state in optimizer.state.values() for value in state.values() if torch.is_tensor(value)) // 7


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


def _attempt(action: Any) -> list[str]:
    try:
        action()
    except (UserError, ValueError) as error:
        return [sizes.line(error)]
    return []


def _key(config: Mapping[str, Any], *names: str) -> str:
    return json.dumps({name: config[name] for name in names}, sort_keys=True)


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


class _Data(NamedTuple):
    """Training images per class, the shape of an image, how many are evaluated and of these tested on, and what they are.

    missing: what parts of the data have no image of some classes, in words.
    """

    counts: tuple[int, ...]
    shape: tuple[int, ...]
    evaluated: int
    tested: int
    kind: str
    missing: tuple[str, ...]


@functools.lru_cache(maxsize=1024)
def _data(key: str, trusted: tuple[str, ...]) -> _Data:
    """What there is to know of a run's images; raises what is wrong with the real data."""
    config = json.loads(key)
    with sizes.bounded(config["dataset"], "dataset"):
        dataset, splits = data.load(config["dataset"], trusted)
    _complete("dataset", dataset)
    if len(splits.classes) < 2:
        raise ValueError("dataset: it has one class, and there is nothing to tell apart")
    chosen = {group: config[group] for group in ("subset", "imbalance", "label_noise")}
    with sizes.bounded(chosen, ""):
        subset, imbalance, label_noise = (build(node, trusted) for node in chosen.values())
        choice = data.select_data(splits, subset, imbalance, label_noise, config["validation"], config["data_seed"])
    counts = np.bincount(choice.train_labels, minlength=len(splits.classes))
    tested = len(choice.test)
    shape, missing = tuple(splits.train_images.shape[1:]), tuple(data.missing_classes(splits, choice))
    return _Data(tuple(counts.tolist()), shape, tested + len(choice.validation), tested, dataset.kind, missing)


@functools.lru_cache(maxsize=1024)
def _fits(key: str, found: _Data, trusted: tuple[str, ...]) -> tuple[str, ...]:
    """What does not go together: objects that their constructors refuse, layers, losses and mixes, batches."""
    config = json.loads(key)
    counts = found.counts
    errors: list[str] = []
    built: dict[str, Any] = {}
    for group in ("sampling", "augment", "mix", "mix_layer", "schedule", *(name for name in OPTIONAL_GROUPS if config.get(name))):
        errors += _attempt(lambda: built.update({group: _bounded(config, group, trusted)}))
    errors += _attempt(lambda: built.update(loss=_bounded(config, "loss", trusted, class_counts=np.array(counts))))
    for group, part in built.items():
        errors += _attempt(lambda: _complete(group, part))
    # the optimizer's own checks, on a parameter it does not train
    parameters = [torch.nn.Parameter(torch.zeros(1))]
    errors += _attempt(lambda: build(config["optimizer"], trusted, parameters=parameters, params=parameters))
    if errors:
        return tuple(errors)

    sampling, mix, mix_layer, loss = built["sampling"], built["mix"], built["mix_layer"], built["loss"]
    rows = sampling.epoch_size(np.array(counts))
    smallest = min(rows, 2)
    try:
        batch = mix.origins(config["batch_size"])
    except ValueError as error:
        errors.append(str(error))
    else:
        smallest = min(rows, batch, 2)
        errors += _batches(config, mix, built["schedule"], budget_of(config, rows, batch))
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
        shape = _shape_only(_key(config, "model", "loss"), counts, (smallest, *found.shape), trusted)
    except (UserError, ValueError) as error:
        return (*errors, sizes.line(error))
    if "probe" in built:
        facts = Facts(found.kind, found.shape, len(counts), sum(counts), found.tested, shape.layers, shape.features, mix.blend is not None)
        errors += _attempt(lambda: built["probe"].check(facts))
    return (*errors, *_layers(mix, mix_layer, shape.layers))


def _complete(group: str, part: Any) -> None:
    """Raise ValueError where an object has not what its contract says that it has."""
    if missing := undefined(part, {**GROUPS, **OPTIONAL_GROUPS}[group]):
        raise ValueError(f"{group}: {type(part).__module__}.{type(part).__qualname__} has to set {'; '.join(missing)}")


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


def _batches(config: Mapping[str, Any], mix: Mix, schedule: Schedule, budget: Budget) -> list[str]:
    """What is wrong with the batches of an epoch, and with what a schedule or a mix does over the budget."""
    per_epoch = budget.steps_per_epoch
    if per_epoch == 0:
        whole = f"an epoch has {budget.rows} images, and drop_last leaves no whole batch of {budget.batch}"
        return [f"batch_size = {config['batch_size']}: {whole}"]
    errors = _attempt(lambda: schedule.check_budget(per_epoch, budget.steps))
    errors += _attempt(lambda: mix.check_budget(budget.steps / per_epoch))
    if mix.blend is not None and min(budget.rows, budget.batch) == 1:
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


class _Shape(NamedTuple):
    """What a network is without its numbers: where it can be mixed at, how wide its last layer is, a sample's forward operations.

    flops_before: the operations up to each of the layers. kept: the bytes that the pass of a sample keeps for its gradient;
    kept_once: those that a step's penalty keeps.
    """

    layers: tuple[str, ...]
    features: int
    flops: float
    flops_before: tuple[float, ...]
    parameters: int
    kept: float
    kept_once: int


@functools.lru_cache(maxsize=1024)
def _shape_only(key: str, counts: tuple[int, ...], shape: tuple[int, ...], trusted: tuple[str, ...]) -> _Shape:
    """The network without memory, after a batch of that shape has passed through it in training mode; raises ValueError."""
    config = json.loads(key)
    loss = build(config["loss"], trusted, class_counts=np.array(counts))
    nodes = {group: config[group] for group in ("model", "loss")}
    with torch.device("meta"):
        with sizes.bounded(nodes, ""):
            body = build(config["model"], trusted, in_channels=shape[1], image_size=tuple(shape[2:]))
            _complete("model", body)
            network = Network(body, loss.head(body.num_features, len(counts)))
        counter = FlopCounterMode(display=False)
        before = dict.fromkeys(layers(body), 0.0)

        def reached(layer: str) -> Callable[..., None]:
            return lambda *_: before.update({layer: counter.get_total_flops() / shape[0]})

        for layer in layers(body)[1:]:
            network.module_at(layer).register_forward_hook(reached(layer))
        kept, once = (sizes.Kept(network.parameters()) for _ in range(2))
        try:
            with sizes.bounded(nodes, ""), counter, kept.counting():
                network(torch.zeros(shape))
            with sizes.bounded(nodes, ""), once.counting():
                loss.penalty(network.head)
        except Exception as error:  # whatever a model of the user's own may raise
            reason = str(error) if isinstance(error, RuntimeError | ValueError) else f"{type(error).__name__}: {error}"
            raise ValueError(f"model: cannot be trained on batches of shape {shape}: {reason}") from error
    parameters = sum(parameter.numel() for parameter in network.parameters())
    flops = counter.get_total_flops() / shape[0]
    kept_by_one = kept.bytes / shape[0]
    return _Shape(tuple(before), body.num_features, flops, tuple(before.values()), parameters, kept_by_one, once.bytes)


def cost(config: Mapping[str, Any]) -> Cost:
    """The cost of a configuration that validate has passed."""
    return loop_of(config).cost(config)


def _cost_of_classification(config: Mapping[str, Any]) -> Cost:
    """The cost with that of evaluations; a backward pass counts as two forward ones.

    Batches are as large as the images of an epoch let them be. Up to the layer that is mixed at, images pass, and partners from
    outside the batch; from there on, samples.
    """
    trusted = tuple(config["trusted_modules"])
    found = _data(_key(config, *DATA), trusted)
    mix, mix_layer, sampling = (build(config[group], trusted) for group in ("mix", "mix_layer", "sampling"))
    budget = budget_of(config, sampling.epoch_size(np.array(found.counts)), mix.origins(config["batch_size"]))
    batch = min(budget.rows, budget.batch, 2)
    shape = _shape_only(_key(config, "model", "loss"), found.counts, (batch, *found.shape), trusted)
    evaluations = math.ceil(budget.steps / budget.interval)
    images = budget.images(budget.steps)
    samples = images * (config["batch_size"] // budget.batch)
    mixed_at = mix_layer.layers if mix.blend is not None else ("input",)
    before = np.mean([shape.flops_before[shape.layers.index(layer)] for layer in mixed_at])
    forward = before * images * (2 if mix.guests else 1) + (shape.flops - before) * samples
    return Cost(budget.steps, float(3 * forward + shape.flops * evaluations * found.evaluated))


CLASSIFICATION = Loop("model", _classification, _cost_of_classification, train)
LOOPS = {"gan": GAME}
"""Groups whose options are trained by a loop of their own."""


def loop_of(config: Mapping[str, Any]) -> Loop:
    """The loop that trains a configuration."""
    return next((loop for group, loop in LOOPS.items() if config[group] is not None), CLASSIFICATION)

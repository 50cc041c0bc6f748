"""Classification as a kind of run: its errors, its cost, and the loop that trains it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from mixexp.build import locate
from mixexp.build.wording import typed
from mixexp.errors import UserError, note
from mixexp.loss import Loss
from mixexp.mix import Mix
from mixexp.mix_layer import MixLayer
from mixexp.plan.dry_run import DataSummary, data_summary, network_summary, optimizer_states, require_complete
from mixexp.plan.groups import CONTRACTS
from mixexp.plan.options import options
from mixexp.probe import Facts
from mixexp.sampling import Sampling
from mixexp.schedule import Schedule
from mixexp.settings import CONF
from mixexp.text import in_shell, listed, resembling
from mixexp.train import measured, train
from mixexp.training import sizes
from mixexp.training.budget import Budget, budget_of
from mixexp.training.device import execution, precision_note
from mixexp.training.loop import Loop
from mixexp.training.spec import RunConfig, depends_on
from mixexp.training.task import Work

FITS = tuple(group for group in CONTRACTS if group not in ("speed", "logger"))
"""The groups whose options have to be compatible."""

MODELS = {"image": "small_cnn", "spectrogram": "small_cnn", "sound": "sound_cnn", "table": "mlp"}
"""A small network for each kind of data."""


def check(config: RunConfig, errors: list[str], here: bool) -> list[str]:
    """The errors of the data, network and groups of a classification, after those already known.

    Without errors, it notes classes that a part of the data lacks, a network made for other data, and a slow precision.
    """
    try:
        data = data_summary(config)
    except (UserError, ValueError) as error:
        return [*errors, sizes.line(error)]
    errors += _fits(config, data)
    if config.keep == "best" and not config.validation:
        errors.append(
            "keep = best: it is chosen on a held-out part of the training images; give validation=0.1, or keep=last"
        )
    if here and not errors:
        errors += sizes.problems(lambda: _holds(config, data))
    if errors:
        return errors
    model, dataset = (config.choices.get(group) or getattr(config, group)["_target_"] for group in ("model", "dataset"))
    for text in data.missing:
        note(f"dataset={dataset}: {text}")
    kinds = getattr(locate(config.model["_target_"], config.trusted), "kinds", None)
    if kinds is not None and data.kind not in kinds:
        advice = f"; a network for such data is {in_shell(f'model={MODELS[data.kind]}')}" if data.kind in MODELS else ""
        note(
            f"model={model} is made for data of the kind {' or '.join(kinds)}, and dataset={dataset} is of the kind"
            f" {data.kind}{advice}"
        )
    if (text := precision_note(config)) is not None:
        note(text)
    return []


def _holds(config: RunConfig, data: DataSummary) -> None:
    """Raise TooLarge where the device cannot hold the network, its gradients, the optimizer's state and saved tensors.

    The estimate is a lower bound, so that a run that fits is never refused.
    """
    rows = config.build("sampling").epoch_size(np.array(data.counts))
    batch = config.build("mix").source_images(config.batch_size)
    shape = network_summary(config, data.counts, (min(rows, batch, 2), *data.shape))
    samples = min(rows, batch) * (config.batch_size // batch)
    run = execution(config)
    # the confusion matrix
    sizes.require_memory(f"dataset: its {len(data.counts)} classes", 8.0 * len(data.counts) ** 2)
    state = 4 * shape.parameters * (2 + optimizer_states(config))
    step = shape.penalty_bytes + samples * shape.saved_bytes / (2 if run.bfloat16 else 1)
    causes = [sizes.largest({"model": config.model, "loss": config.loss}, "")]
    causes += [f"batch_size = {config.batch_size}"] * (step >= state)
    what = ", ".join(filter(None, causes)) or f"model = {config.choices.get('model')}"
    sizes.require_memory(what, state + step, run.device)


@depends_on(*FITS, "batch_size", "drop_last", "epochs", "steps", "evaluations")
def _fits(config: RunConfig, data: DataSummary) -> tuple[str, ...]:
    """The conflicts between the groups: refused arguments, layers, losses and mixes, batches."""
    counts = data.counts
    errors: list[str] = []
    built: dict[str, Any] = {}
    for group in ("sampling", "augment", "mix", "mix_layer", "schedule", *["probe"] * (config.probe is not None)):
        errors += sizes.problems(lambda group=group: built.update({group: _bounded(config, group)}))
    errors += sizes.problems(lambda: built.update(loss=_bounded(config, "loss", class_counts=np.array(counts))))
    for group, part in built.items():
        errors += sizes.problems(lambda group=group, part=part: require_complete(group, part))
    # the optimizer's own checks, on a parameter it does not train
    errors += sizes.problems(lambda: config.build_optimizer([torch.nn.Parameter(torch.zeros(1))]))
    if errors:
        return tuple(errors)

    sampling, mix, mix_layer, loss = built["sampling"], built["mix"], built["mix_layer"], built["loss"]
    try:
        rows = sampling.epoch_size(np.array(counts))
    except ValueError as error:
        return (str(error),)
    smallest = min(rows, 2)
    try:
        batch = mix.source_images(config.batch_size)
    except ValueError as error:
        errors.append(str(error))
    else:
        smallest = min(rows, batch, 2)
        errors += _batches(config, mix, (mix, sampling, loss), built["schedule"], budget_of(config, rows, batch))
    errors += sizes.problems(lambda: mix.check(np.array(counts)))
    errors += _kinds(data.kind, augment=built["augment"]) or sizes.problems(lambda: built["augment"].check(data.shape))
    errors += (wrong_kind := _kinds(data.kind, mix=mix.blend))
    if mix.needs_repeats and not sampling.repeats:
        errors.append(
            "mix: it blends only images that an epoch repeats, and this epoch repeats none; add sampling=oversample"
        )
    if mix.mixes_labels and not loss.accepts_mixed:
        errors.append("loss: it cannot take mixed labels; choose a mix that keeps one label, such as mix=data_mix")
    if sampling.equalises_classes and loss.weighs_classes:
        setting = "loss.class_weights" if "class_weights" in config.loss else "loss"
        errors.append(
            f"sampling, {setting}: both correct for class sizes, so small classes would count twice; keep one"
        )
    try:
        shape = network_summary(config, counts, (smallest, *data.shape))
    except (UserError, ValueError) as error:
        return (*errors, sizes.line(error))
    if "probe" in built:
        facts = Facts(
            data.kind,
            data.shape,
            counts,
            data.tested,
            shape.layers,
            shape.features,
            shape.linear_head,
            mix.blend is not None,
        )
        errors += sizes.problems(lambda: built["probe"].check(facts))
    errors += _layers(mix, mix_layer, shape.layers)
    if not wrong_kind:
        errors += _planes(mix, mix_layer, dict(zip(shape.layers, shape.shapes, strict=True)))
    return tuple(errors)


def _bounded(config: RunConfig, group: str, **given: Any) -> Any:
    """The object that a group's node makes; raises TooLarge where the size of one of its numbers prevents that."""
    with sizes.bounded(getattr(config, group), group):
        return config.build(group, **given)


def _kinds(kind: str, **parts: Any) -> list[str]:
    """A line for each part that is for data of another kind."""
    return [
        f"{group}: it needs data of the kind {' or '.join(part.kinds)}, and this data set's is {kind}"
        for group, part in parts.items()
        if part is not None and part.kinds is not None and kind not in part.kinds
    ]


def _batches(
    config: RunConfig, mix: Mix, phased: Sequence[Mix | Sampling | Loss], schedule: Schedule, budget: Budget
) -> list[str]:
    """The errors of the batches of an epoch, and of a schedule and of other parts over the budget."""
    per_epoch = budget.steps_per_epoch
    if per_epoch == 0:
        whole = f"an epoch has {budget.rows} images, and drop_last leaves no whole batch of {budget.batch}"
        return [f"batch_size = {config.batch_size}: {whole}"]
    errors = sizes.problems(lambda: schedule.check_budget(per_epoch, budget.steps))
    for part in phased:
        errors += sizes.problems(lambda part=part: part.check_budget(budget.epochs))
    if mix.blend is not None and min(budget.rows, budget.batch) == 1:
        errors.append("mix: a batch of one image has no partner to blend with; raise batch_size (or mix.step_size)")
    return errors


def _layers(mix: Mix, mix_layer: MixLayer, known: Sequence[str]) -> list[str]:
    """The errors of the layers to mix at; known: the layers of the model."""
    errors = []
    for layer in mix_layer.layers if mix.blend is not None else ():
        if layer not in known:
            near = [*resembling(layer, known), None][0]
            named = len(mix_layer.layers) == 1 and near in options([CONF])["mix_layer"]  # a label has the option's name
            layers = [near if name == layer else name for name in mix_layer.layers]
            meant = typed("mix_layer", near) if named else typed("mix_layer.layers", layers)
            hint = f" Did you mean {meant}?" if near is not None else ""
            errors.append(f"mix_layer: model has no layer {layer!r}; it has {listed(known)}.{hint}")
        elif layer != "input" and mix.blend is not None and mix.blend.input_only:
            errors.append(
                f"mix_layer = {layer}: mix at the input instead, with mix_layer=input; {mix.blend.input_only}"
            )
    return errors


def _planes(mix: Mix, mix_layer: MixLayer, shapes: Mapping[str, tuple[int, ...]]) -> list[str]:
    """The errors of layers without pixels, for a mix that weighs them; shapes: of a sample at each layer."""
    if mix.blend is None or not mix.blend.needs_plane:
        return []
    return [
        f"mix_layer = {layer}: this mix weighs pixels, and a sample has the shape {'x'.join(map(str, shape))} there,"
        " without height and width; mix=mixup mixes at any layer"
        for layer, shape in shapes.items()
        if layer in mix_layer.layers
        and not (layer != "input" and mix.blend.input_only)
        and (len(shape) != 3 or math.prod(shape[1:]) == 1)
    ]


def work(config: RunConfig) -> Work:
    """The work of a classification; a backward pass counts as two forward passes.

    Batches are limited by the images of an epoch. Before the mixing layer, the images and any external partners pass;
    after it, the samples pass.
    """
    data = data_summary(config)
    mix, mix_layer, sampling = (config.build(group) for group in ("mix", "mix_layer", "sampling"))
    budget = budget_of(config, sampling.epoch_size(np.array(data.counts)), mix.source_images(config.batch_size))
    batch = min(budget.rows, budget.batch, 2)
    shape = network_summary(config, data.counts, (batch, *data.shape))
    evaluations = math.ceil(budget.steps / budget.interval)
    images = budget.images(budget.steps)
    samples = images * (config.batch_size // budget.batch)
    mixed_at = mix_layer.layers if mix.blend is not None else ("input",)
    before = np.mean([shape.flops_before[shape.layers.index(layer)] for layer in mixed_at])
    forward = before * images * (2 if mix.external else 1) + (shape.flops - before) * samples
    training, evaluation = float(3 * forward), float(shape.flops * evaluations * data.evaluated)
    held_out = data.evaluated - data.tested
    return Work(training, evaluation, budget.steps, evaluations, data.tested, held_out, sum(data.counts))


CLASSIFICATION = Loop("model", check, work, train, measured)

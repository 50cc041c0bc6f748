"""The single loop: one run, read top to bottom."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from mixexp import data, streams
from mixexp.build import build
from mixexp.checkpoint import Checkpoint, State, code_hash
from mixexp.device import execution
from mixexp.evaluate import evaluate
from mixexp.metrics import scores
from mixexp.network import Network, forward_blended
from mixexp.record import RunFolder, environment, processor
from mixexp.schedule import Schedule


class Progress(NamedTuple):
    """How far a run is."""

    step: int
    steps: int
    accuracy: float | None


def steps_per_epoch(rows: int, batch: int, drop_last: bool) -> int:
    """Batches in an epoch of `rows` images, `batch` at a time.

    The last, partial batch is used unless drop_last; one of a single image never is, since BatchNorm has no variance of one value.
    """
    whole, rest = divmod(rows, batch)
    return whole + (not drop_last and rest > 0 and not (rest == 1 and whole > 0))


def total_steps(config: Mapping[str, Any], per_epoch: int) -> int:
    """The run's budget in steps: `steps` where it is given, else `epochs`."""
    return config["steps"] if config["steps"] is not None else config["epochs"] * per_epoch


def evaluation_interval(config: Mapping[str, Any], per_epoch: int, steps: int) -> int:
    """Steps from one evaluation to the next: the budget in `evaluations` parts, but an epoch at least."""
    return max(per_epoch, math.ceil(steps / config["evaluations"]))


def same_so_far(config: Mapping[str, Any], schedule: Schedule, per_epoch: int, steps: int, other_steps: int, step: int) -> bool:
    """Whether a run of other_steps has done in its first `step` steps what one of `steps` does: learning rates, evaluations."""

    def course(budget: int) -> list[tuple[float, bool]]:
        every = evaluation_interval(config, per_epoch, budget)
        return [(schedule.factor(i, per_epoch, budget), (i + 1) % every == 0 or i + 1 == budget) for i in range(step)]

    return step < steps and (steps == other_steps or course(steps) == course(other_steps))


def on_device(draws: dict[str, np.ndarray], device: torch.device) -> dict[str, Tensor]:
    """An epoch's random numbers, drawn on the host so that every device sees the same, moved over at once."""
    return {name: torch.from_numpy(values).to(device, non_blocking=True) for name, values in draws.items()}


def train(
    config: Mapping[str, Any], folder: RunFolder, facts: Mapping[str, Any], shorter: Iterable[Path] = ()
) -> Iterator[Progress]:
    """Train one run to its end and leave its record; yields after every step, outside all contexts, so that runs can be dealt turns.

    config: a resolved configuration that validate.py has passed. facts: what else environment.json shall say. shorter: folders of
    runs that differ in their budget alone, to start from where one has done the same so far. Nothing outside the folder is written,
    and no global generator is touched. Closed after a step, it leaves a checkpoint, from which the next call goes on: every random
    stream is keyed by seed, purpose and step, so the step is all there is to know of them.
    """
    # -- data: whole, uint8, on the device
    run = execution(config)
    seed, trusted = config["seed"], tuple(config["trusted_modules"])
    dataset, splits = data.load(config["dataset"], trusted)
    sampling, augment, mix, mix_layer, schedule = (
        build(config[group], trusted) for group in ("sampling", "augment", "mix", "mix_layer", "schedule")
    )
    subset, imbalance, label_noise = (build(config[group], trusted) for group in ("subset", "imbalance", "label_noise"))
    choice = data.choose(splits, subset, imbalance, label_noise, config["validation"], config["data_seed"])
    num_classes = len(splits.classes)
    train_part = data.part(splits.train_images, choice.train_labels, choice.train, run.device)
    held_out = data.part(splits.train_images, splits.train_labels[choice.validation], choice.validation, run.device)
    test_part = data.part(splits.test_images, splits.test_labels[choice.test], choice.test, run.device)
    normalize = data.Normalize(splits.train_images, dataset.mean, dataset.std, zero_mean=mix.zero_mean).to(run.device)
    counts = np.bincount(choice.train_labels, minlength=num_classes)

    # -- network, loss, optimizer; weights are drawn on the CPU, so every device starts from the same
    with streams.torch_stream(torch.device("cpu"), seed, "weights"):
        body = build(
            config["model"], trusted, in_channels=splits.train_images.shape[1], image_size=tuple(splits.train_images.shape[2:])
        )
        loss = build(config["loss"], trusted, class_counts=counts).to(run.device)
        network = Network(body, loss.head(body.num_features, num_classes))
    network = network.to(run.device, memory_format=run.memory_format)
    parameters = list(network.parameters())
    optimizer = build(config["optimizer"], trusted, parameters=parameters, params=parameters)
    base_lr = config["optimizer"]["lr"]

    # -- budget
    rows, batch = sampling.epoch_size(counts), mix.origins(config["batch_size"])
    per_epoch = steps_per_epoch(rows, batch, config["drop_last"])
    steps = total_steps(config, per_epoch)
    evaluate_every = evaluation_interval(config, per_epoch, steps)

    # -- where an earlier attempt stopped, or a shorter run ended
    computer = processor() if run.device.type == "cpu" else run.device.type  # another CPU model may add up in another order
    made_by = {"torch": str(torch.__version__), "numpy": np.__version__, "code": code_hash(trusted)}
    made_by |= {"device": computer, "bfloat16": run.bfloat16}
    checkpoint = Checkpoint(folder.path / "checkpoint.pt", made_by, config["checkpoint_seconds"])
    first, loss_sum, loss_count, seconds, written = 0, torch.zeros((), device=run.device), 0, 0.0, []
    for path in (folder.path, *shorter):
        saved = checkpoint.load(path / "checkpoint.pt", folder.note if path == folder.path else lambda _: None)
        if saved is not None and same_so_far(config, schedule, per_epoch, steps, saved["steps"], saved["step"]):
            for name, part in (("network", network), ("loss", loss), ("optimizer", optimizer)):
                part.load_state_dict(saved[name])
            names = ("step", "loss_sum", "loss_count", "seconds", "rows")
            first, loss_sum, loss_count, seconds, written = (saved[name] for name in names)
            loss_sum = loss_sum.to(run.device)
            folder.note(f"goes on at step {first:,} of {steps:,}" + (f", where {path.name} ended" if path != folder.path else ""))
            break

    folder.start(
        config,
        environment(
            **facts,
            continued_at_step=first,
            device=str(run.device),
            device_name=torch.cuda.get_device_name(run.device) if run.device.type == "cuda" else processor(),
            threads=torch.get_num_threads(),
            bfloat16=run.bfloat16,
            channels_last=run.memory_format == torch.channels_last,
            parameters=sum(p.numel() for p in network.parameters()),
            steps=steps,
            steps_per_epoch=per_epoch,
            train_counts=counts.tolist(),
            test_counts=torch.bincount(test_part.labels, minlength=num_classes).tolist(),
            data_hash=choice.digest(),
        ),
        validation=len(held_out) > 0,
        rows=written,
    )
    started = time.perf_counter() - seconds
    lr, accuracy = None, folder.rows[-1]["accuracy"] if folder.rows else None
    network.train()

    def state(done: int) -> State:
        """What the rest of the run depends on, after so many steps."""
        parts = {"network": network.state_dict(), "loss": loss.state_dict(), "optimizer": optimizer.state_dict()}
        sums = {"loss_sum": loss_sum, "loss_count": loss_count, "seconds": time.perf_counter() - started}
        return {"step": done, "steps": steps, "rows": folder.rows, **sums, **parts}

    for step in range(first, steps):
        epoch, k = divmod(step, per_epoch)
        if k == 0 or step == first:  # an epoch's random numbers, all at once
            order = sampling.order(choice.train_labels, streams.generator(seed, "order", epoch))
            order = torch.from_numpy(order).to(run.device, non_blocking=True)
            augment_draws = on_device(augment.draw(streams.generator(seed, "augment", epoch), rows), run.device)
            mix_draws = on_device(mix.draw(seed, epoch, rows, batch, config["batch_size"]), run.device)
            layer_of = mix_layer.draw(streams.generator(seed, "mix_layer", epoch), per_epoch)

        # -- a batch: gather, augment, plan the blend
        now = slice(k * batch, (k + 1) * batch)
        chosen = order[now]
        images = augment(train_part.images.index_select(0, chosen), {name: values[now] for name, values in augment_draws.items()}, normalize)
        images = images.contiguous(memory_format=run.memory_format)
        plan = mix.plan(train_part.labels[chosen], {name: values[now] for name, values in mix_draws.items()})

        # -- a step
        new_lr = base_lr * schedule.factor(step, per_epoch, steps)
        if new_lr != lr:
            lr = new_lr
            for group in optimizer.param_groups:
                group["lr"] = lr
        with streams.torch_stream(run.device, seed, "forward", step), run.autocast():
            outputs = forward_blended(network, images, layer_of[k], plan.apply)
        losses = loss(outputs.float(), plan.labels)
        optimizer.zero_grad(set_to_none=True)
        (losses.mean() + loss.penalty(network.head)).backward()
        optimizer.step()
        loss_sum += losses.detach().sum()
        loss_count += len(losses)

        # -- an evaluation, by budget
        if (step + 1) % evaluate_every == 0 or step + 1 == steps:
            train_loss = loss_sum.item() / loss_count
            loss_sum, loss_count = torch.zeros((), device=run.device), 0
            confusion, test_loss = evaluate(network, loss, test_part, normalize, num_classes, run)
            row = {"step": step + 1, "epoch": round((step + 1) / per_epoch, 4), "lr": lr, "train_loss": train_loss}
            row |= {"test_loss": test_loss, **scores(confusion)}
            accuracy = row["accuracy"]
            if len(held_out):
                held_out_confusion, row["val_loss"] = evaluate(network, loss, held_out, normalize, num_classes, run)
                held_out_scores = scores(held_out_confusion)
                row |= {"val_accuracy": held_out_scores["accuracy"], "val_macro_f1": held_out_scores["macro_f1"]}
            folder.append(row | {"seconds": round(time.perf_counter() - started, 3)})
            finite = math.isfinite(train_loss) and math.isfinite(test_loss)
            if not finite:
                break
        if step + 1 < steps and checkpoint.due():
            checkpoint.save(state(step + 1))
        try:
            yield Progress(step + 1, steps, accuracy)
        except GeneratorExit:
            if step + 1 < steps:
                try:
                    checkpoint.save(state(step + 1))
                except OSError as error:  # a full disk makes no failure of a stop: the run goes on from the checkpoint before
                    folder.note(f"no checkpoint at step {step + 1:,}: {error}")
            raise

    folder.confusion(confusion, splits.classes)
    if config["keep_checkpoint"] and finite:
        checkpoint.save(state(step + 1))
    folder.finish(
        outcome="finished" if finite else "diverged",
        seconds=time.perf_counter() - started,
        steps=step + 1,
        data_hash=choice.digest(),
    )
    if not (config["keep_checkpoint"] and finite):
        checkpoint.path.unlink(missing_ok=True)

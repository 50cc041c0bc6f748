"""The single loop: one run, read top to bottom."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from mixexp import computer, streams
from mixexp.batches import Batch, Batches, Epoch
from mixexp.build import build
from mixexp.checkpoint import Checkpoint, State
from mixexp.evaluate import evaluate
from mixexp.metrics import scores
from mixexp.network import forward_blended
from mixexp.optimizer import capturable, load_state, set_rate
from mixexp.prepare import prepare
from mixexp.probe import measuring
from mixexp.record import RunFolder, environment
from mixexp.schedule import Schedule
from mixexp.speed import Forward, Stepper


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


def train(
    config: Mapping[str, Any], folder: RunFolder, facts: Mapping[str, Any], shorter: Iterable[Path] = (), flops: float | None = None
) -> Iterator[Progress]:
    """Train one run to its end and leave its record; yields after steps, outside all contexts, so that runs can be dealt turns.

    config: a resolved configuration that validate.py has passed. facts: what else environment.json shall say. shorter: folders of
    runs that differ in their budget alone, to start from where one has done the same so far. flops: of the whole run, where known,
    which decides whether compiling pays. Nothing outside the folder is written,
    and no global generator is touched. Closed after a step, it leaves a checkpoint, from which the next call goes on: every random
    stream is keyed by seed, purpose and step, so the step is all there is to know of them.
    """
    # -- data whole on the device, network, loss, optimizer
    parts = prepare(config)
    run, seed, trusted = parts.run, parts.seed, tuple(config["trusted_modules"])
    sampling, augment, mix, mix_layer = parts.sampling, parts.augment, parts.mix, parts.mix_layer
    network, loss, normalize, choice = parts.network, parts.loss, parts.normalize, parts.choice
    train_part, held_out, test_part, num_classes = parts.train, parts.held_out, parts.test, len(parts.classes)
    schedule, speed = (build(config[group], trusted) for group in ("schedule", "speed"))
    parameters = list(network.parameters())
    optimizer = build(config["optimizer"], trusted, parameters=parameters, params=parameters)
    base_lr = config["optimizer"]["lr"]

    # -- budget
    rows, batch = sampling.epoch_size(parts.counts), mix.source_images(config["batch_size"])
    per_epoch = steps_per_epoch(rows, batch, config["drop_last"])
    steps = total_steps(config, per_epoch)
    evaluate_every = evaluation_interval(config, per_epoch, steps)
    mode = speed.mode(run.device, config["threads"], steps, flops)

    # -- where an earlier attempt stopped, or a shorter run ended
    made_by = {**computer.made_by(run, trusted), "speed": mode.name, "data": parts.contents}
    checkpoint = Checkpoint(folder.path / "checkpoint.pt", made_by, config["checkpoint_seconds"])
    first, loss_sum, loss_count, seconds, written, probed = 0, torch.zeros((), device=run.device), 0, 0.0, [], {}
    for path in (folder.path, *shorter):
        saved = checkpoint.load(path / "checkpoint.pt", folder.note if path == folder.path else lambda _: None)
        if saved is not None and same_so_far(config, schedule, per_epoch, steps, saved["steps"], saved["step"]):
            network.load_state_dict(saved["network"])
            loss.load_state_dict(saved["loss"])
            load_state(optimizer, saved["optimizer"])
            loss_sum.copy_(saved["loss_sum"])
            first, loss_count, seconds, written = (saved[name] for name in ("step", "loss_count", "seconds", "rows"))
            if path == folder.path or (parts.probe is not None and parts.probe.while_training):
                probed = saved["probed"]  # at a shorter run's end there was a measurement that this one does not have
            folder.note(f"goes on at step {first:,} of {steps:,}" + (f", where {path.name} ended" if path != folder.path else ""))
            break

    folder.start(
        config,
        environment(
            **facts,
            continued_at_step=first,
            **computer.told(run),
            speed={"mode": mode.name, "why": mode.why},
            parameters=sum(p.numel() for p in network.parameters()),
            steps=steps,
            steps_per_epoch=per_epoch,
            train_counts=parts.counts.tolist(),
            test_counts=torch.bincount(test_part.labels, minlength=num_classes).tolist(),
            data_hash=choice.digest(),
            data_contents=parts.contents,
        ),
        validation=len(held_out) > 0,
        rows=written,
        probed=probed,
    )
    started = time.perf_counter() - seconds
    lr, accuracy = None, folder.rows[-1]["accuracy"] if folder.rows else None
    network.train()

    def state() -> State:
        """What the rest of the run depends on, after the steps that are done."""
        states = {"network": network.state_dict(), "loss": loss.state_dict(), "optimizer": optimizer.state_dict()}
        sums = {"loss_sum": loss_sum, "loss_count": loss_count, "seconds": time.perf_counter() - started}
        return {"step": done, "steps": steps, "rows": folder.rows, "probed": folder.probed, **sums, **states}

    def draw(epoch: int) -> Epoch:
        order = sampling.order(choice.train_labels, streams.generator(seed, "order", epoch))
        mixing = mix.draw(seed, epoch, order, batch, config["batch_size"])
        external = {}
        if mix.external:
            external = {**augment.draw(streams.generator(seed, "augment guests", epoch), rows), "chosen": mixing["external"]}
        return Epoch(
            order,
            augment.draw(streams.generator(seed, "augment", epoch), rows),
            mixing,
            mix_layer.draw(streams.generator(seed, "mix_layer", epoch), per_epoch),
            external,
        )

    def forward(images: Tensor, labels: Tensor, mix_draws: dict[str, Tensor], layer: str) -> tuple[Tensor, Tensor]:
        """What a step minimises, and its samples' losses."""
        plan = mix.plan(labels, mix_draws)
        with run.autocast():
            outputs = forward_blended(network, images, layer, plan.apply)
        losses = loss(outputs.float(), plan.labels)
        return losses.mean() + loss.penalty(network.head), losses.detach()

    def take(batch: Batch, layer: str, forward: Forward) -> None:
        """A step: gather, augment, mix on the way through the network, update."""
        chosen, augment_draws = batch.everybody()
        images = augment(train_part.gather(chosen), augment_draws, normalize).contiguous(memory_format=run.memory_format)
        minimised, losses = forward(images, train_part.labels.index_select(0, chosen), batch.mix, layer)
        optimizer.zero_grad(set_to_none=True)
        minimised.backward()
        optimizer.step()
        loss_sum.add_(losses.sum())

    def alike(step: int, later: int) -> bool:
        """Whether a later step differs from this one in nothing but its rows, and no evaluation comes between."""
        same_rate = schedule.factor(step, per_epoch, steps) == schedule.factor(later, per_epoch, steps)
        return later < steps and step // evaluate_every == later // evaluate_every and batches.alike(step, later) and same_rate

    batches = Batches(draw, min(rows, per_epoch * batch), batch, per_epoch, run.device)
    stepper = Stepper(mode, take, forward, capturable(optimizer), (network, loss), run.device, seed, folder.note)
    samples = config["batch_size"] // batch  # that an image becomes
    done = first
    while done < steps:
        # -- one step, or several that are alike
        batches.turn_to(done)
        new_lr = base_lr * schedule.factor(done, per_epoch, steps)
        if new_lr != lr:
            lr = new_lr
            set_rate(optimizer, lr)
        ahead = 1 + sum(1 for _ in itertools.takewhile(lambda later: alike(done, later), range(done + 1, done + stepper.most)))
        now = batches.rows(done)
        taken = stepper(done, batches, ahead)
        loss_count += taken * (now.stop - now.start) * samples
        done += taken

        # -- an evaluation, by budget
        if done % evaluate_every == 0 or done == steps:
            confusion, test_loss = evaluate(network, loss, test_part, normalize, num_classes, run)
            train_loss = loss_sum.item() / loss_count  # read when the host has waited anyway
            loss_sum.zero_()
            loss_count = 0
            row = {"step": done, "epoch": round(done / per_epoch, 4), "lr": lr, "train_loss": train_loss}
            row |= {"test_loss": test_loss, **scores(confusion)}
            accuracy = row["accuracy"]
            if len(held_out):
                held_out_confusion, row["val_loss"] = evaluate(network, loss, held_out, normalize, num_classes, run)
                held_out_scores = scores(held_out_confusion)
                row |= {"val_accuracy": held_out_scores["accuracy"], "val_macro_f1": held_out_scores["macro_f1"]}
            finite = math.isfinite(train_loss) and math.isfinite(test_loss)
            if parts.probe is not None and finite and (parts.probe.while_training or done == steps):
                with measuring(subject := parts.subject(done)):
                    folder.measured(done, parts.probe.measure(subject))
            folder.append(row | {"seconds": round(time.perf_counter() - started, 3)})
            if not finite:
                break
        if done < steps and checkpoint.due():
            checkpoint.save(state())
        try:
            yield Progress(done, steps, accuracy)
        except GeneratorExit:
            if done < steps:
                try:
                    checkpoint.save(state())
                except OSError as error:  # a full disk makes no failure of a stop: the run goes on from the checkpoint before
                    folder.note(f"no checkpoint at step {done:,}: {error}")
            raise

    folder.confusion(confusion, parts.classes)
    if config["keep_checkpoint"] and finite:
        checkpoint.save(state())
    folder.finish(
        outcome="finished" if finite else "diverged",
        seconds=time.perf_counter() - started,
        steps=done,
        speed=stepper.taken,
        data_hash=choice.digest(),
    )
    if not (config["keep_checkpoint"] and finite):
        checkpoint.path.unlink(missing_ok=True)

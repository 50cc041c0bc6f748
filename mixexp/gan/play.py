"""The loop of a game of two networks: one run, read top to bottom; its record and its turns are those of mixexp.train."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from mixexp import computer, data, streams
from mixexp.build import build
from mixexp.checkpoint import Checkpoint, State
from mixexp.device import execution
from mixexp.gan import Objective
from mixexp.gan.coverage import coverage
from mixexp.gan.minimax import Minimax
from mixexp.optimizer import load_state
from mixexp.record import RunFolder, environment
from mixexp.train import Progress, evaluation_interval

COLUMNS = ("step", "epoch", "lr", "d_loss", "g_loss", "modes", "high_quality")
"""epoch: real points the discriminator was shown, in training sets; the losses are what each minimises, since the evaluation before."""

Draws = tuple[Tensor, Tensor, dict[str, Tensor]]
"""Of one update: training rows, int64 [n] with replacement, noise, float32 [n, z_dim], and the objective's own."""


def draw(objective: Objective, rng: np.random.Generator, rows: int, batch: int, z_dim: int, device: torch.device) -> Draws:
    """The random numbers of one update on a training set of `rows` points, drawn on the host."""
    count = objective.batches * batch
    chosen, noise = rng.integers(rows, size=count), rng.standard_normal((count, z_dim), dtype=np.float32)
    own = {name: torch.from_numpy(array).to(device) for name, array in objective.draw(rng, batch).items()}
    return torch.from_numpy(chosen).to(device), torch.from_numpy(noise).to(device), own


def discriminator_loss(game: Minimax, generator: nn.Module, discriminator: nn.Module, points: Tensor, draws: Draws) -> Tensor:
    """What the discriminator minimises, float32 []; the generator gets no gradient. points: the training set, float32 [N, features]."""
    rows, noise, own = draws
    with torch.no_grad():
        generated = generator(noise)
    return game.discriminator.loss(discriminator, points.index_select(0, rows), generated, own)


def generator_loss(game: Minimax, generator: nn.Module, discriminator: nn.Module, points: Tensor, draws: Draws) -> Tensor:
    """What the generator minimises, float32 []: minus its objective (minimax, not the form that does not saturate)."""
    rows, noise, own = draws
    return -game.generator.loss(discriminator, points.index_select(0, rows), generator(noise), own)


def flops(game: Minimax, features: int, batch: int, steps: int, evaluations: int) -> float:
    """Floating-point operations of a run's matrix products, counted on networks without memory."""
    rng, meta = streams.generator(0, "flops"), torch.device("meta")
    with meta:
        generator, discriminator = game.networks(features)
        points = torch.zeros(1, features)
        counted = []
        for loss, objective, trained in (
            (discriminator_loss, game.discriminator, discriminator),
            (generator_loss, game.generator, generator),
        ):
            with FlopCounterMode(display=False) as counter:
                minimised = loss(game, generator, discriminator, points, draw(objective, rng, 1, batch, game.z_dim, meta))
                minimised.backward(inputs=list(trained.parameters()))
            counted.append(counter.get_total_flops())
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            generator(torch.zeros(game.samples, game.z_dim))
    return float(steps * (game.discriminator_steps * counted[0] + counted[1]) + evaluations * counter.get_total_flops())


def memory_of(game: Minimax, features: int, batch: int) -> float:
    """The least bytes that a game needs: both networks with their gradients, what a batch's pass keeps, and the evaluation's samples."""
    parameters = game.parameters(game.z_dim, features) + game.parameters(features, 1)
    kept = batch * (game.z_dim + features + game.width * game.hidden_layers)
    return 4.0 * (2 * parameters + kept + game.samples * (game.z_dim + features))


def play(config: Mapping[str, Any], folder: RunFolder, facts: Mapping[str, Any]) -> Iterator[Progress]:
    """Train one run to its end and leave its record; yields after steps, outside all contexts, as mixexp.train.train does.

    config: a resolved configuration that validate.py has passed. facts: what else environment.json shall say. In float32, every
    operation as it comes. All that a step draws is keyed by seed and step, so that a run closed after any step goes on from its
    checkpoint as if it had not stopped.
    """
    # -- points whole on the device, networks, optimizers
    run, seed, trusted = execution(config), config["seed"], tuple(config["trusted_modules"])
    game = build(config["gan"], trusted)
    dataset, splits = data.load(config["dataset"], trusted)
    points = splits.train_images.flatten(1).contiguous().to(run.device)
    with streams.torch_stream(torch.device("cpu"), seed, "weights"):  # on the CPU, so that every device starts from the same
        generator, discriminator = (network.to(run.device) for network in game.networks(points.shape[1]))
    parameters = [list(network.parameters()) for network in (discriminator, generator)]
    optimizers = [build(config["optimizer"], trusted, parameters=found, params=found) for found in parameters]
    lr, steps, batch = config["optimizer"]["lr"], config["steps"], config["batch_size"]
    evaluate_every = evaluation_interval(config, 1, steps)

    # -- what is looked at: the same noise and the same test points throughout
    noise = streams.generator(seed, "gan samples").standard_normal((game.samples, game.z_dim), dtype=np.float32)
    noise, centres = torch.from_numpy(noise).to(run.device), dataset.centres.to(run.device)
    shown = splits.test_images[: game.frame_points].flatten(1)

    # -- where an earlier attempt stopped
    made_by = {**computer.made_by(run, trusted), "data": splits.digest}
    checkpoint = Checkpoint(folder.path / "checkpoint.pt", made_by, config["checkpoint_seconds"])
    modules = {"generator": generator, "discriminator": discriminator}
    sums, first, counted, seconds, written, probed = torch.zeros(2, device=run.device), 0, 0, 0.0, [], {}
    saved = checkpoint.load(checkpoint.path, folder.note)
    if saved is not None and saved["step"] < steps:
        for name, module in modules.items():
            module.load_state_dict(saved[name])
        for optimizer, found in zip(optimizers, saved["optimizers"], strict=True):
            load_state(optimizer, found)
        sums.copy_(saved["sums"])
        first, counted, seconds, written, probed = (saved[name] for name in ("step", "counted", "seconds", "rows", "probed"))
        folder.note(f"goes on at step {first:,} of {steps:,}")

    folder.start(
        config,
        environment(
            **facts,
            continued_at_step=first,
            **computer.told(run),
            parameters={name: sum(p.numel() for p in module.parameters()) for name, module in modules.items()},
            steps=steps,
            train_counts=torch.bincount(splits.train_labels, minlength=len(centres)).tolist(),
            data_contents=splits.digest,
        ),
        validation=False,
        rows=written,
        probed=probed,
        columns=COLUMNS,
    )
    started = time.perf_counter() - seconds

    def state() -> State:
        """What the rest of the run depends on, after the steps that are done."""
        states = {name: module.state_dict() for name, module in modules.items()}
        states |= {"optimizers": [optimizer.state_dict() for optimizer in optimizers], "sums": sums, "counted": counted}
        return {"step": done, "rows": folder.rows, "probed": folder.probed, "seconds": time.perf_counter() - started, **states}

    def take(step: int) -> None:
        """The discriminator's updates, then the generator's one."""
        rng = streams.generator(seed, "gan", step)
        turns = [(discriminator_loss, game.discriminator, 0)] * game.discriminator_steps + [(generator_loss, game.generator, 1)]
        for loss, objective, who in turns:
            minimised = loss(game, generator, discriminator, points, draw(objective, rng, len(points), batch, game.z_dim, run.device))
            optimizers[who].zero_grad(set_to_none=True)
            minimised.backward(inputs=parameters[who])
            optimizers[who].step()
            sums[who] += minimised.detach()

    done, finite = first, True
    while done < steps and finite:
        take(done)
        done += 1
        counted += 1

        # -- an evaluation, by budget, and a frame
        if done % evaluate_every == 0 or done == steps or done in game.snapshots:
            with torch.no_grad():
                samples = generator(noise)
        if done % evaluate_every == 0 or done == steps:
            d_loss, g_loss = (sums.cpu().double() / torch.tensor([game.discriminator_steps * counted, counted])).tolist()
            sums.zero_()
            counted = 0
            modes, high_quality = coverage(samples, centres, dataset.spread)
            epoch = done * game.discriminator_steps * game.discriminator.batches * batch / len(points)
            row = {"step": done, "epoch": round(epoch, 4), "lr": lr, "d_loss": d_loss, "g_loss": g_loss}
            row |= {"modes": modes, "high_quality": high_quality, "seconds": round(time.perf_counter() - started, 3)}
            folder.append(row)
            finite = math.isfinite(d_loss) and math.isfinite(g_loss)
        if done in game.snapshots or done == steps:
            kinds = {"data": shown, "generated": samples[: game.frame_points].cpu()}
            frame = [{"x": x, "y": y, "kind": kind} for kind, found in kinds.items() for x, y in found.double().numpy().round(4).tolist()]
            folder.measured(done, {"frames": frame})

        if done < steps and finite and checkpoint.due():
            checkpoint.save(state())
        try:
            yield Progress(done, steps, None)
        except GeneratorExit:
            if done < steps and finite:
                try:
                    checkpoint.save(state())
                except OSError as error:  # a full disk makes no failure of a stop: the run goes on from the checkpoint before
                    folder.note(f"no checkpoint at step {done:,}: {error}")
            raise

    if config["keep_checkpoint"] and finite:
        checkpoint.save(state())
    folder.finish(outcome="finished" if finite else "diverged", seconds=time.perf_counter() - started, steps=done)
    if not (config["keep_checkpoint"] and finite):
        checkpoint.path.unlink(missing_ok=True)

"""The loop of a game of two networks: one run, read top to bottom; records and turns are those of mixexp.train."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterable, Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from mixexp import streams
from mixexp.gan import Objective
from mixexp.gan.minimax import Minimax
from mixexp.training.budget import Budget
from mixexp.training.data import load
from mixexp.training.device import compatibility_key, describe, execution
from mixexp.training.folder import RunFolder
from mixexp.training.session import Progress, Session
from mixexp.training.spec import RunConfig

COLUMNS = ("step", "epoch", "lr", "d_loss", "g_loss", "modes", "high_quality")
"""Columns of metrics.csv; the losses are the minimised ones, as means over the updates since the last evaluation.

epoch: real points shown to the discriminator, divided by the size of the training set.
"""

FRAMES = {"frames": ("x", "y", "kind")}
"""File of points, read like a probe's, and its columns besides `step`."""

Draws = tuple[Tensor, Tensor, dict[str, Tensor]]
"""Draws of one update: training rows, int64 [n] with replacement, noise, float32 [n, z_dim], the objective's own."""

NEAR = 3
"""Distance from a mode, in standard deviations, within which a sample is of high quality."""


def draw(
    objective: Objective, rng: np.random.Generator, rows: int, batch: int, z_dim: int, device: torch.device
) -> Draws:
    """Random numbers of one update on a training set of `rows` points, drawn on the host."""
    count = objective.batches * batch
    chosen, noise = rng.integers(rows, size=count), rng.standard_normal((count, z_dim), dtype=np.float32)
    objective_draws = {name: torch.from_numpy(array).to(device) for name, array in objective.draw(rng, batch).items()}
    return torch.from_numpy(chosen).to(device), torch.from_numpy(noise).to(device), objective_draws


def discriminator_loss(
    game: Minimax, generator: nn.Module, discriminator: nn.Module, points: Tensor, draws: Draws
) -> Tensor:
    """Discriminator's loss, float32 [], no gradient to the generator; points: training set, float32 [N, features]."""
    rows, noise, objective_draws = draws
    with torch.no_grad():
        generated = generator(noise)
    return game.discriminator.loss(discriminator, points.index_select(0, rows), generated, objective_draws)


def generator_loss(
    game: Minimax, generator: nn.Module, discriminator: nn.Module, points: Tensor, draws: Draws
) -> Tensor:
    """Generator's loss, float32 []: its negated objective (minimax, not the non-saturating form)."""
    rows, noise, objective_draws = draws
    return -game.generator.loss(discriminator, points.index_select(0, rows), generator(noise), objective_draws)


def coverage(samples: Tensor, centres: Tensor, spread: float) -> tuple[int, float]:
    """Number of covered modes and fraction of high-quality samples (Srivastava et al. 2017, section 4.1).

    A sample is of high quality if the nearest centre is at most three standard deviations away, as 98.9 % of a mode's
    own points are in two dimensions. A mode is covered if it is the nearest to such a sample. samples, float32 [N, F];
    centres, float32 [M, F].
    """
    distance, nearest = torch.cdist(samples, centres, compute_mode="donot_use_mm_for_euclid_dist").min(dim=1)
    good = distance <= NEAR * spread
    return len(nearest[good].unique()), good.sum().item() / len(samples)


def game_budget(config: RunConfig, points: int) -> Budget:
    """Budget of a game, which has no epochs."""
    assert config.steps is not None, "the check of a game asks for steps"
    return Budget(points, config.batch_size, 1, config.steps, config.evaluations)


def play(
    config: RunConfig,
    folder: RunFolder,
    metadata: Mapping[str, Any],
    warm_starts: Iterable[Path] = (),
    flops: float | None = None,
) -> Generator[Progress]:
    """Train one run to its end and leave its record; yields after steps, outside all contexts, as mixexp.train.train
    does.

    config: validated. metadata: further entries of environment.json. The game runs in float32 and eager mode, and never
    continues a shorter run. All draws of a step are keyed by seed and step, so that a run closed after any step
    continues from its checkpoint as if it had not stopped.
    """
    # -- all points on the device, networks, optimizers
    run, seed = execution(config), config.seed
    game = config.build("gan")
    loaded, splits = load(config.dataset, config.trusted)
    dataset = cast("Any", loaded)  # the check has asked for one in the plane, with its centres
    points = splits.train_images.flatten(1).contiguous().to(run.device)
    # on the CPU, so that every device starts from the same weights
    with streams.torch_stream(torch.device("cpu"), seed, "weights"):
        generator, discriminator = (network.to(run.device) for network in game.networks(points.shape[1]))
    parameters = [list(network.parameters()) for network in (discriminator, generator)]
    optimizers = [config.build_optimizer(trained) for trained in parameters]
    budget = game_budget(config, len(points))
    sums = torch.zeros(2, device=run.device)  # of both losses since the last evaluation
    turns = [(discriminator_loss, game.discriminator, 0)] * game.discriminator_steps + [
        (generator_loss, game.generator, 1)
    ]

    def update(step: int) -> None:
        """Updates of the discriminator, then one of the generator."""
        rng = streams.generator(seed, "gan", step)
        for loss, objective, who in turns:
            draws = draw(objective, rng, len(points), budget.batch, game.z_dim, run.device)
            minimised = loss(game, generator, discriminator, points, draws)
            optimizers[who].zero_grad(set_to_none=True)
            minimised.backward(inputs=parameters[who])
            optimizers[who].step()
            sums[who] += minimised.detach()

    # -- resume where an earlier attempt stopped
    made_by = {**compatibility_key(run, config.own_code), "data": splits.digest}
    modules = {"generator": generator, "discriminator": discriminator}
    stateful = {**modules, "d_optimizer": optimizers[0], "g_optimizer": optimizers[1], "sums": sums}
    session = Session(folder, config, budget.steps, made_by, stateful)
    session.resume(lambda steps, step: step < budget.steps)
    centres = dataset.centres.to(run.device)
    facts = {
        "parameters": {name: sum(p.numel() for p in module.parameters()) for name, module in modules.items()},
        "train_counts": torch.bincount(splits.train_labels, minlength=len(centres)).tolist(),
        "data_contents": splits.digest,
    }
    session.start({**metadata, **describe(run), **facts}, COLUMNS)

    # -- evaluation data: the same noise and the same test points throughout
    noise = streams.generator(seed, "gan samples").standard_normal((game.samples, game.z_dim), dtype=np.float32)
    noise = torch.from_numpy(noise).to(run.device)
    test_points = splits.test_images[: game.frame_points].flatten(1)
    while session.step < budget.steps:
        update(session.step)
        session.step = step = session.step + 1

        # -- an evaluation, by budget, and a frame
        shown = step in game.snapshots or step == budget.steps
        if shown or budget.evaluates(step):
            with torch.no_grad():
                samples = generator(noise)
        if budget.evaluates(step):
            count = step - session.evaluated
            d_loss, g_loss = (sums.cpu().double() / torch.tensor([game.discriminator_steps * count, count])).tolist()
            sums.zero_()
            modes, high_quality = coverage(samples, centres, dataset.spread)
            epoch = step * game.discriminator_steps * game.discriminator.batches * budget.batch / len(points)
            row = {
                "step": step,
                "epoch": round(epoch, 4),
                "lr": config.optimizer["lr"],
                "d_loss": d_loss,
                "g_loss": g_loss,
            }
            session.record({**row, "modes": modes, "high_quality": high_quality})
            session.diverged = not (math.isfinite(d_loss) and math.isfinite(g_loss))
        if shown:
            kinds = {"data": test_points, "generated": samples[: game.frame_points].cpu()}
            frame = [
                {"x": x, "y": y, "kind": kind}
                for kind, xy in kinds.items()
                for x, y in xy.double().numpy().round(4).tolist()
            ]
            folder.append_probe_rows(step, dict.fromkeys(FRAMES, frame))
        if session.diverged:
            break
        yield from session.turn()

    session.finish()

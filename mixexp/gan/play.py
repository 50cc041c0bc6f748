"""A game of two networks as a kind of run: its loop, read top to bottom, what it refuses and what it costs.

Its record and its turns are those of mixexp.train.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from mixexp import streams
from mixexp.errors import UserError
from mixexp.gan import Objective
from mixexp.gan.minimax import Minimax
from mixexp.run import sizes
from mixexp.run.budget import Budget
from mixexp.run.data import load
from mixexp.run.device import compatibility_key, describe, execution
from mixexp.run.folder import RunFolder
from mixexp.run.loop import Loop
from mixexp.run.session import Progress, Session
from mixexp.run.spec import RunConfig, depends_on
from mixexp.settings import CONF

COLUMNS = ("step", "epoch", "lr", "d_loss", "g_loss", "modes", "high_quality")
"""epoch: real points the discriminator was shown, in training sets; the losses are what each minimises, since the evaluation before."""

Draws = tuple[Tensor, Tensor, dict[str, Tensor]]
"""Of one update: training rows, int64 [n] with replacement, noise, float32 [n, z_dim], and the objective's own."""

NEAR = 3
"""Standard deviations of a mode within which a sample is of high quality."""

UNUSED = (
    *("subset", "imbalance", "label_noise", "sampling", "augment", "model", "mix", "mix_layer", "loss", "schedule", "probe"),
    *("drop_last", "validation", "data_seed", "channels_last"),
)
"""Settings without an effect on a run of the group gan, which has to leave them as config.yaml has them."""


def draw(objective: Objective, rng: np.random.Generator, rows: int, batch: int, z_dim: int, device: torch.device) -> Draws:
    """The random numbers of one update on a training set of `rows` points, drawn on the host."""
    count = objective.batches * batch
    chosen, noise = rng.integers(rows, size=count), rng.standard_normal((count, z_dim), dtype=np.float32)
    objective_draws = {name: torch.from_numpy(array).to(device) for name, array in objective.draw(rng, batch).items()}
    return torch.from_numpy(chosen).to(device), torch.from_numpy(noise).to(device), objective_draws


def discriminator_loss(game: Minimax, generator: nn.Module, discriminator: nn.Module, points: Tensor, draws: Draws) -> Tensor:
    """The discriminator's loss, float32 []; the generator gets no gradient. points: the training set, float32 [N, features]."""
    rows, noise, objective_draws = draws
    with torch.no_grad():
        generated = generator(noise)
    return game.discriminator.loss(discriminator, points.index_select(0, rows), generated, objective_draws)


def generator_loss(game: Minimax, generator: nn.Module, discriminator: nn.Module, points: Tensor, draws: Draws) -> Tensor:
    """The generator's loss, float32 []: minus its objective (minimax, not the form that does not saturate)."""
    rows, noise, objective_draws = draws
    return -game.generator.loss(discriminator, points.index_select(0, rows), generator(noise), objective_draws)


def coverage(samples: Tensor, centres: Tensor, spread: float) -> tuple[int, float]:
    """Modes that are covered, and the fraction of samples of high quality (Srivastava et al. 2017, section 4.1).

    A sample is of high quality where the nearest centre is at most three standard deviations away (of a mode's own points 98.9 %
    are, in two dimensions); a mode is covered where it is nearest to such a sample. samples, float32 [N, F]; centres, float32 [M, F].
    """
    distance, nearest = torch.cdist(samples, centres, compute_mode="donot_use_mm_for_euclid_dist").min(dim=1)
    good = distance <= NEAR * spread
    return len(nearest[good].unique()), good.sum().item() / len(samples)


def game_budget(config: RunConfig, points: int) -> Budget:
    """The budget of a game, which has no epochs."""
    return Budget(points, config.batch_size, 1, config.steps, config.evaluations)


def play(
    config: RunConfig, folder: RunFolder, metadata: Mapping[str, Any], warm_starts: Iterable[Path] = (), flops: float | None = None
) -> Iterator[Progress]:
    """Train one run to its end and leave its record; yields after steps, outside all contexts, as mixexp.train.train does.

    config: one that validate has passed. metadata: what else environment.json shall say. In float32, every
    operation as it comes, and never from where a shorter run ended. All that a step draws is keyed by seed and step, so that a run
    closed after any step goes on from its checkpoint as if it had not stopped.
    """
    # -- points whole on the device, networks, optimizers
    run, seed = execution(config), config.seed
    game = config.build("gan")
    dataset, splits = load(config.dataset, config.trusted)
    points = splits.train_images.flatten(1).contiguous().to(run.device)
    with streams.torch_stream(torch.device("cpu"), seed, "weights"):  # on the CPU, so that every device starts from the same
        generator, discriminator = (network.to(run.device) for network in game.networks(points.shape[1]))
    parameters = [list(network.parameters()) for network in (discriminator, generator)]
    optimizers = [config.build_optimizer(trained) for trained in parameters]
    budget = game_budget(config, len(points))
    sums = torch.zeros(2, device=run.device)  # of both losses since the last evaluation
    turns = [(discriminator_loss, game.discriminator, 0)] * game.discriminator_steps + [(generator_loss, game.generator, 1)]

    def update(step: int) -> None:
        """The discriminator's updates, then the generator's one."""
        rng = streams.generator(seed, "gan", step)
        for loss, objective, who in turns:
            draws = draw(objective, rng, len(points), budget.batch, game.z_dim, run.device)
            minimised = loss(game, generator, discriminator, points, draws)
            optimizers[who].zero_grad(set_to_none=True)
            minimised.backward(inputs=parameters[who])
            optimizers[who].step()
            sums[who] += minimised.detach()

    # -- from where an earlier attempt stopped
    made_by = {**compatibility_key(run, config.trusted), "data": splits.digest}
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

    # -- what is looked at: the same noise and the same test points throughout
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
            row = {"step": step, "epoch": round(epoch, 4), "lr": config.optimizer["lr"], "d_loss": d_loss, "g_loss": g_loss}
            session.record({**row, "modes": modes, "high_quality": high_quality})
            session.diverged = not (math.isfinite(d_loss) and math.isfinite(g_loss))
        if shown:
            kinds = {"data": test_points, "generated": samples[: game.frame_points].cpu()}
            frame = [{"x": x, "y": y, "kind": kind} for kind, xy in kinds.items() for x, y in xy.double().numpy().round(4).tolist()]
            folder.append_probe_rows(step, {"frames": frame})
        if session.diverged:
            break
        yield from session.turn()

    session.finish()


# --- what it refuses and what it costs ---


def check(config: RunConfig, errors: list[str], here: bool) -> list[str]:
    """The errors of a run of the group gan, beyond its schema, after those already known."""
    values, defaults = config.values, _defaults()
    changed = [word for name in UNUSED for word in _departures(name, values[name], defaults[name], config.choices)]
    lines = [f"{word}: has no effect on a run of the group gan; leave it as config.yaml has it" for word in changed]
    if config.steps is None:
        lines.append("steps: a run of the group gan has its budget in steps, one of which is an update of its generator; give steps")
    if config.precision == "bfloat16":
        lines.append("precision = bfloat16: a run of the group gan is in float32; leave it at auto")
    try:
        mode = config.build("speed").mode(execution(config).device, config.threads, None)
        if mode.compiled or mode.graph:
            lines.append(f"speed = {mode.name}: has no effect on a run of the group gan, which is eager; leave it at auto")
        with sizes.bounded(config.dataset, "dataset"):
            dataset, splits = load(config.dataset, config.trusted)
        with sizes.bounded(config.gan, "gan"):
            game = config.build("gan")
            game.check(dataset)
            needed = memory_of(game, splits.train_images[0].numel(), config.batch_size)
        setting = sizes.largest({"gan": config.gan, "batch_size": config.batch_size}, "")
        sizes.require_memory(setting or f"gan = {config.choices.get('gan')}", needed, execution(config).device)
        config.build_optimizer([torch.nn.Parameter(torch.zeros(1))])
    except (UserError, ValueError) as error:
        lines.append(sizes.line(error))
    return errors + list(dict.fromkeys(lines))


def _departures(name: str, value: Any, default: Any, choices: Mapping[str, Any]) -> list[str]:
    """The settings that are not the default, as `key = value`: another option, or settings of the same one."""
    if value == default:
        return []
    if isinstance(value, dict) and isinstance(default, dict) and value["_target_"] == default["_target_"]:
        return [word for key in value for word in _departures(f"{name}.{key}", value[key], default.get(key), choices)]
    return [f"{name} = {choices.get(name) or value}"]


@functools.cache
def _defaults() -> dict[str, Any]:
    """config.yaml with the options that it chooses."""
    root = yaml.safe_load((CONF / "config.yaml").read_text(encoding="utf-8"))
    chosen = {group: option for entry in root["defaults"] if isinstance(entry, dict) for group, option in entry.items()}
    files = {group: CONF / group / f"{option}.yaml" for group, option in chosen.items() if group in UNUSED and option is not None}
    return root | {group: yaml.safe_load(path.read_text(encoding="utf-8")) for group, path in files.items()}


def memory_of(game: Minimax, features: int, batch: int) -> float:
    """The least bytes that a game needs: both networks with their gradients, what a batch's pass keeps, and the evaluation's samples."""
    parameters = game.parameters(game.z_dim, features) + game.parameters(features, 1)
    activations = batch * (game.z_dim + features + game.width * game.hidden_layers)
    return 4.0 * (2 * parameters + activations + game.samples * (game.z_dim + features))


@depends_on("gan", "dataset", "batch_size", "steps", "evaluations")
def flops_of(config: RunConfig) -> float:
    """Floating-point operations of a run's matrix products, counted on networks without memory."""
    images = load(config.dataset, config.trusted)[1].train_images
    budget, game, features = game_budget(config, len(images)), config.build("gan"), images[0].numel()
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
                minimised = loss(game, generator, discriminator, points, draw(objective, rng, 1, budget.batch, game.z_dim, meta))
                minimised.backward(inputs=list(trained.parameters()))
            counted.append(counter.get_total_flops())
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            generator(torch.zeros(game.samples, game.z_dim))
    evaluations = math.ceil(budget.steps / budget.interval)
    return float(budget.steps * (game.discriminator_steps * counted[0] + counted[1]) + evaluations * counter.get_total_flops())


GAME = Loop("gan", check, flops_of, play, {"precision": "float32"})

"""Games of two networks: their losses, their turns, what they are judged by, and how a run of one stops and goes on."""

from __future__ import annotations

import contextlib
import csv
import itertools
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from running import errors_of
from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

from mixexp import streams
from mixexp.build import build
from mixexp.dataset.planes import Gaussians
from mixexp.errors import UserError
from mixexp.gan import play as loop
from mixexp.gan.objectives import RealWithGenerated, Shuffled, Unmixed
from mixexp.gan.play import coverage, play
from mixexp.mix.ratio import Beta, Uniform
from mixexp.plan.compose import compose
from mixexp.plan.identity import canonical, run_id
from mixexp.plan.loops import loop_of
from mixexp.plan.options import options
from mixexp.settings import CONF
from mixexp.training.data import load
from mixexp.training.folder import RunFolder
from mixexp.training.spec import RunConfig

TINY = (
    *(
        "dataset=ring",
        "dataset.train_points=200",
        "dataset.test_points=30",
        "optimizer=adam",
        "batch_size=6",
        "alpha=0.2",
    ),
    *("gan.width=8", "gan.samples=50", "gan.frame_points=10", "gan.snapshots=[2,5]", "steps=7", "evaluations=3"),
)
GAMES = sorted(options([CONF])["gan"])


def config_of(*words: str) -> dict[str, Any]:
    """A valid configuration of a game of a few steps."""
    config = compose([*TINY, *words])
    assert errors_of(config) == []
    return config


def attempt(folder: Path, config: dict[str, Any], steps: int | None = None) -> list[str]:
    """Play in a folder, to the end or until it is stopped after so many steps; returns what the user is told."""
    notes: list[str] = []
    with contextlib.closing(play(RunConfig.of(config), RunFolder(folder, notes.append), {})) as run:
        for done, _ in enumerate(run, start=1):
            if done == steps:
                break
    return notes


def rows_of(folder: Path, name: str = "metrics.csv") -> list[dict[str, str]]:
    with (folder / name).open(newline="") as file:
        return [{key: value for key, value in row.items() if key != "seconds"} for row in csv.DictReader(file)]


# --- the losses, sample by sample ---


def judge(samples: Tensor) -> Tensor:
    """A discriminator with nothing to learn: logits [N, 1] of points of the plane."""
    return (samples[:, :1] * 1.5 - samples[:, 1:].square() + 0.25).double()


def naive(point: Sequence[float], real: float) -> float:
    """The binary cross-entropy of one point, by the book."""
    says = 1 / (1 + math.exp(-(1.5 * point[0] - point[1] ** 2 + 0.25)))
    return -real * math.log(says) - (1 - real) * math.log(1 - says)


def blended(a: Sequence[float], b: Sequence[float], lam: float) -> list[float]:
    return [lam * a[i] + (1 - lam) * b[i] for i in range(2)]


def points(seed: int, count: int) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=(count, 2)))


def tensors(draws: dict[str, np.ndarray]) -> dict[str, Tensor]:
    return {name: torch.from_numpy(array) for name, array in draws.items()}


def test_without_mixing_the_loss_is_the_mean_over_real_and_generated_points():
    real, generated = points(0, 5), points(1, 5)
    expected = sum([naive(x, 1) for x in real.tolist()] + [naive(x, 0) for x in generated.tolist()]) / 10
    assert Unmixed().loss(judge, real, generated, {}).item() == pytest.approx(expected, rel=1e-12)


def test_the_papers_loss_blends_each_real_point_with_a_generated_one():
    objective = RealWithGenerated(Beta(0.7, per="sample"))
    draws = objective.draw(np.random.default_rng(2), 6)
    lam = [float(value) for value in draws["lam"][:, 0]]
    assert len(set(lam)) == 6, "each pair has its own"
    real, generated = points(0, 6), points(1, 6)
    expected = (
        sum(naive(blended(x, g, w), w) for x, g, w in zip(real.tolist(), generated.tolist(), lam, strict=True)) / 6
    )
    assert objective.loss(judge, real, generated, tensors(draws)).item() == pytest.approx(expected, rel=1e-6)


def test_the_codes_loss_blends_two_batches_of_real_and_generated_points_pair_by_pair():
    objective = Shuffled(Uniform(0.5))
    draws = objective.draw(np.random.default_rng(3), 4)
    lam, partners = draws["lam"][:, 0].tolist(), draws["partners"].tolist()
    assert sorted(partners) == list(range(8)) and partners != sorted(partners)
    real, generated = points(0, 8).tolist(), points(1, 8).tolist()
    first = [(x, 1) for x in real[:4]] + [(g, 0) for g in generated[:4]]
    second = [(x, 1) for x in real[4:]] + [(g, 0) for g in generated[4:]]
    total = 0.0
    for i in range(8):
        (a, real_a), (b, real_b) = first[i], second[partners[i]]
        total += naive(blended(a, b, lam[i]), lam[i] * real_a + (1 - lam[i]) * real_b)
    found = objective.loss(judge, points(0, 8), points(1, 8), tensors(draws))
    assert found.item() == pytest.approx(total / 8, rel=1e-6)


def test_where_lam_is_one_or_zero_every_mixed_loss_is_the_unmixed_one():
    real, generated = points(0, 8), points(1, 8)
    plain = Unmixed().loss(judge, real, generated, {}).item()
    lams = {lam: torch.full((8, 1), lam, dtype=torch.float64) for lam in (1.0, 0.0)}
    paper = RealWithGenerated(Beta(1, per="sample"))
    halves = [paper.loss(judge, real, generated, {"lam": lam}).item() for lam in lams.values()]
    assert sum(halves) / 2 == pytest.approx(plain, rel=1e-12)
    order = {"partners": torch.randperm(8)}
    code = Shuffled(Uniform(1))
    for lam, half in ((1.0, slice(0, 4)), (0.0, slice(4, 8))):
        found = code.loss(judge, real, generated, {"lam": lams[lam], **order}).item()
        assert found == pytest.approx(Unmixed().loss(judge, real[half], generated[half], {}).item(), rel=1e-12)


def test_the_options_are_the_papers_and_the_codes_formulations():
    built = {name: build(config_of(f"gan={name}", "alpha=0.2")["gan"]) for name in GAMES}
    assert set(built) == {"plain", "paper", "code"}
    kinds = {name: (type(game.discriminator), type(game.generator)) for name, game in built.items()}
    assert kinds == {
        "plain": (Unmixed, Unmixed),
        "paper": (RealWithGenerated, RealWithGenerated),
        "code": (Shuffled, Unmixed),
    }
    ratios = {name: built[name].discriminator.ratio for name in ("paper", "code")}
    many = {name: ratio.draw(np.random.default_rng(0), 100_000, 100_000, 1) for name, ratio in ratios.items()}
    # Beta(a, a): mean 1/2, variance 1 / (4 (2 a + 1)); Uniform(0, a): mean a/2, variance a²/12
    assert (many["paper"].mean(), many["paper"].var()) == pytest.approx((0.5, 1 / (4 * 1.4)), abs=0.005)
    assert (many["code"].mean(), many["code"].var()) == pytest.approx((0.1, 0.2**2 / 12), abs=0.001)
    assert many["code"].min() >= 0 and many["code"].max() <= 0.2
    assert built["paper"].generator.ratio.alpha == 0.2, "the generator plays for the same"
    for game in (build(compose(["dataset=ring", f"gan={name}", "steps=1"])["gan"]) for name in GAMES):
        assert (game.discriminator_steps, game.width, game.hidden_layers, game.z_dim) == (5, 512, 3, 2)
        assert game.snapshots == {10, 100, 1000, 10_000, 20_000}


def test_the_networks_are_what_the_paper_says():
    generator, discriminator = build(compose(["dataset=ring", "gan=paper", "steps=1", "gan.z_dim=5"])["gan"]).networks(
        2
    )
    for network, ends in ((generator, (5, 2)), (discriminator, (2, 1))):
        linear = [module for module in network if isinstance(module, nn.Linear)]
        sizes = [linear[0].in_features, *(module.out_features for module in linear)]
        assert sizes == [ends[0], 512, 512, 512, ends[1]]
        assert [type(module) for module in network][1::2] == [nn.ReLU] * 3


# --- the turns ---


@pytest.mark.parametrize("name", GAMES)
def test_a_step_is_five_updates_of_the_discriminator_and_one_of_the_generator(name, tmp_path):
    """Against a loop of textbook operations on the same draws: torch's plain Adam, the objectives' losses, autograd."""
    config = config_of(f"gan={name}", "steps=2", "keep_checkpoint=true")
    attempt(tmp_path, config)
    saved = torch.load(tmp_path / "checkpoint.pt", weights_only=True)

    game, (_, splits) = build(config["gan"]), load(config["dataset"])
    train = splits.train_images.flatten(1)
    with streams.torch_stream(torch.device("cpu"), config["seed"], "weights"):
        generator, discriminator = game.networks(2)
    adams = [torch.optim.Adam(network.parameters(), lr=1e-3, fused=False) for network in (discriminator, generator)]
    told = []
    for step in range(2):
        rng = streams.generator(config["seed"], "gan", step)
        for turn in range(6):
            objective = game.discriminator if turn < 5 else game.generator
            rows, noise, own = loop.draw(objective, rng, len(train), 6, 2, torch.device("cpu"))
            value = objective.loss(discriminator, train[rows], generator(noise), own)
            which = turn // 5
            told.append((which, (-1) ** which * value.item()))
            trained = [discriminator, generator][which]
            for parameter, gradient in zip(
                trained.parameters(), torch.autograd.grad(value, list(trained.parameters())), strict=True
            ):
                parameter.grad = gradient if turn < 5 else -gradient
            adams[which].step()
    for name_of, network in (("generator", generator), ("discriminator", discriminator)):
        for key, value in network.state_dict().items():
            torch.testing.assert_close(saved[name_of][key], value, rtol=1e-5, atol=1e-6)
    found = [(float(row["d_loss"]), float(row["g_loss"])) for row in rows_of(tmp_path)]
    expected = [
        tuple(np.mean([loss for player, loss in told[6 * step : 6 * step + 6] if player == which]) for which in (0, 1))
        for step in range(2)
    ]
    assert np.allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("name", GAMES)
def test_who_has_the_turn_moves_and_nobody_else(name, tmp_path, monkeypatch):
    networks: list[nn.Module] = []
    moves: list[tuple[bool, ...]] = []
    before: list[list[Tensor]] = []
    make = loop.Minimax.networks

    def kept(self: Any, features: int) -> tuple[nn.Module, nn.Module]:
        networks.extend(make(self, features))
        return tuple(networks)

    def look(*_: Any) -> None:
        now = [torch.cat([p.detach().flatten().clone() for p in network.parameters()]) for network in networks]
        if before:
            moves.append(tuple(not torch.equal(a, b) for a, b in zip(before[-1], now, strict=True)))
        before.append(now)

    monkeypatch.setattr(loop.Minimax, "networks", kept)
    config = config_of(f"gan={name}", "steps=2", "gan.discriminator_steps=3")
    hooks = [
        register_optimizer_step_pre_hook(lambda *_: None if before else look()),
        register_optimizer_step_post_hook(look),
    ]
    try:
        attempt(tmp_path, config)
    finally:
        for hook in hooks:
            hook.remove()
    assert moves == [(False, True)] * 3 + [(True, False)] + [(False, True)] * 3 + [(True, False)]


# --- modes ---


def brute(samples: list[list[float]], centres: list[list[float]], spread: float) -> tuple[int, float]:
    covered, good = set(), 0
    for sample in samples:
        distances = [math.dist(sample, centre) for centre in centres]
        if min(distances) <= 3 * spread:
            good += 1
            covered.add(distances.index(min(distances)))
    return len(covered), good / len(samples)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    arrangement=st.sampled_from([("ring", 8), ("grid", 25)]),
    noise=st.sampled_from([0.0, 0.01, 0.02, 0.3]),
)
def test_modes_are_counted_as_a_loop_counts_them(seed, arrangement, noise):
    made = Gaussians(*arrangement)
    rng = np.random.default_rng(seed)
    some = made.centres[torch.from_numpy(rng.integers(arrangement[1], size=rng.integers(1, 12)))]
    samples = (some.double() + torch.from_numpy(rng.normal(size=some.shape)) * noise).float()
    assert coverage(samples, made.centres, made.spread) == pytest.approx(
        brute(samples.tolist(), made.centres.tolist(), 0.01)
    )


def test_the_data_cover_all_their_modes_and_98_9_percent_of_them_are_near():
    """P(r <= 3 sigma) of a Gaussian in two dimensions is 1 − exp(−9/2)."""
    for name, modes in (("ring", 8), ("grid", 25)):
        made = Gaussians(name, modes)
        covered, near = coverage(made.load().train_images.flatten(1), made.centres, made.spread)
        assert covered == modes and near == pytest.approx(1 - math.exp(-4.5), abs=0.002)


def test_points_that_are_nowhere_cover_nothing():
    made = Gaussians("ring", 8)
    assert coverage(torch.full((5, 2), math.nan), made.centres, made.spread) == (0, 0.0)
    assert coverage(torch.zeros(5, 2), made.centres, made.spread) == (0, 0.0)
    assert coverage(torch.cat([made.centres[:2], torch.zeros(6, 2)]), made.centres, made.spread) == (2, 0.25)


# --- the toy sets ---


def test_the_ring_has_its_modes_on_the_unit_circle_and_the_grid_in_the_square():
    ring, grid = Gaussians("ring", 8).centres, Gaussians("grid", 25).centres
    assert torch.allclose(ring.norm(dim=1), torch.ones(8))
    between = [math.dist(a, b) for a, b in itertools.pairwise([*ring.tolist(), ring[0].tolist()])]
    assert between == pytest.approx([2 * math.sin(math.pi / 8)] * 8, rel=1e-6)
    wanted = {(x / 2, y / 2) for x in range(-2, 3) for y in range(-2, 3)}
    assert {tuple(place) for place in grid.tolist()} == wanted and len(grid) == 25


def test_points_lie_around_the_mode_that_is_their_label():
    made = Gaussians("grid", 25, spread=0.02, train_points=50_000, test_points=100)
    found = made.load()
    assert found.train_images.shape == (50_000, 2, 1, 1) and found.test_images.shape == (100, 2, 1, 1)
    apart = found.train_images.flatten(1) - made.centres[found.train_labels]
    assert apart.mean(0).tolist() == pytest.approx([0, 0], abs=5 * 0.02 / math.sqrt(50_000))
    assert torch.cov(apart.T).flatten().tolist() == pytest.approx([0.0004, 0, 0, 0.0004], abs=1.5e-5)
    counts = torch.bincount(found.train_labels, minlength=25)
    assert (counts - 2000).abs().max() < 5 * math.sqrt(2000), "modes are equally likely"
    assert not torch.equal(found.train_images[:100], found.test_images)


def test_points_are_the_same_every_time_and_others_with_another_seed():
    def made(**changed: int) -> Tensor:
        return Gaussians("ring", 8, **{"train_points": 20, "test_points": 5, **changed}).load().train_images

    assert torch.equal(made(), made()) and not torch.equal(made(), made(split_seed=1))
    first = made().flatten(1)[:2].tolist()
    assert first == [pytest.approx(point, abs=1e-6) for point in ((0.7133961, -0.7111227), (0.9861772, -0.0052605))], (
        "on every machine"
    )
    assert made().dtype == torch.float32


def test_a_grid_of_no_square_is_refused():
    with pytest.raises(UserError, match=r"dataset.modes = 24: a grid has a square number of them, such as 16"):
        Gaussians("grid", 24)


# --- the record ---


def test_a_record_has_the_games_own_columns_and_its_frames(tmp_path):
    attempt(tmp_path, config_of("gan=code"))
    rows = rows_of(tmp_path)
    assert list(rows[0]) == ["step", "epoch", "lr", "d_loss", "g_loss", "modes", "high_quality"]
    assert [int(row["step"]) for row in rows] == [3, 6, 7]
    # two batches of six real points for each of five updates, of a training set of 200
    assert [float(row["epoch"]) for row in rows] == [0.9, 1.8, 2.1]
    assert [float(row["lr"]) for row in rows] == [0.001] * 3
    frames = rows_of(tmp_path, "probe_frames.csv")
    assert list(dict.fromkeys(row["step"] for row in frames)) == ["2", "5", "7"], "the snapshots, and the end"
    data = Gaussians("ring", 8, train_points=200, test_points=30).load().test_images.flatten(1)[:10]
    for step in ("2", "5", "7"):
        parts = {
            kind: [row for row in frames if row["step"] == step and row["kind"] == kind]
            for kind in ("data", "generated")
        }
        assert {kind: len(part) for kind, part in parts.items()} == {"data": 10, "generated": 10}
        assert [[float(row["x"]), float(row["y"])] for row in parts["data"]] == [
            pytest.approx(point, abs=1e-4) for point in data.tolist()
        ]
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["outcome"] == "finished" and result["steps"] == 7 and result["evaluations"] == 3
    assert result["last"] == {
        name: pytest.approx(float(rows[-1][name])) for name in ("d_loss", "g_loss", "modes", "high_quality")
    }
    assert not (tmp_path / "checkpoint.pt").exists()


def test_a_game_that_diverges_is_recorded_so(tmp_path):
    config = config_of("gan=plain", "optimizer.lr=1e30", "steps=20", "evaluations=20")
    turns = [progress.step for progress in play(RunConfig.of(config), RunFolder(tmp_path), {})]
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["outcome"] == "diverged" and result["steps"] < 20 and result["last"]["modes"] == 0
    assert turns == list(range(1, result["steps"])), "as a classification, it takes no turn after its end"
    assert not (tmp_path / "checkpoint.pt").exists()


def same(one: Any, two: Any) -> bool:
    if isinstance(one, dict):
        return one.keys() == two.keys() and all(same(one[key], two[key]) for key in one if key != "seconds")
    if isinstance(one, list | tuple):
        return len(one) == len(two) and all(map(same, one, two))
    return torch.equal(one, two) if isinstance(one, Tensor) else one == two


@pytest.mark.parametrize("name", GAMES)
def test_a_run_stopped_anywhere_goes_on_as_if_it_had_not(name, tmp_path):
    config = config_of(f"gan={name}", "keep_checkpoint=true")
    attempt(tmp_path / "whole", config)
    for stops in ((1,), (2,), (3,), (6,), (1, 1, 1, 1, 1, 1), (4, 2)):
        path = tmp_path / "-".join(map(str, stops))
        for steps in stops:
            attempt(path, config, steps)
            assert not (path / "result.json").exists(), "a stopped run is not over"
        assert attempt(path, config) == [f"goes on at step {sum(stops)} of 7"]
        assert rows_of(path) == rows_of(tmp_path / "whole")
        assert (path / "probe_frames.csv").read_bytes() == (tmp_path / "whole" / "probe_frames.csv").read_bytes()
        states = [torch.load(folder / "checkpoint.pt", weights_only=True) for folder in (path, tmp_path / "whole")]
        assert same(*states) and states[0]["step"] == 7


def test_a_seed_is_a_run(tmp_path):
    for name, words in (("a", ()), ("b", ()), ("c", ("seed=1",))):
        attempt(tmp_path / name, config_of("gan=paper", *words))
    found = [rows_of(tmp_path / name) for name in "abc"]
    assert found[0] == found[1] != found[2]


def test_the_global_generators_are_left_alone(tmp_path):
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    attempt(tmp_path, config_of("gan=code", "steps=2"))
    assert torch.equal(torch.rand(1), expected)


# --- what it costs, what it is and what is refused ---


def test_the_cost_is_that_of_the_products_by_hand():
    config = config_of("gan=code", "gan.width=16", "gan.z_dim=3", "steps=10", "evaluations=2")
    inner = 2 * 16 * 16 * 2  # two products of 16 x 16, a multiplication and an addition each
    generator, discriminator = 2 * 3 * 16 + inner + 2 * 16 * 2, 2 * 2 * 16 + inner + 2 * 16
    # d: 12 noises through g; 12 blends through d, back through all of d but into the blends
    updated = 12 * generator + 12 * (3 * discriminator - 2 * 2 * 16)
    # g: 6 noises and back but into them; 6 real and 6 generated points through d and back into the points
    fooled = 6 * (3 * generator - 2 * 3 * 16) + 12 * 2 * discriminator
    typed = RunConfig.of(config)
    assert (
        loop.game_budget(typed, 200).steps == 10
        and loop_of(typed).work(typed).flops == 10 * (5 * updated + fooled) + 2 * 50 * generator
    )


def test_what_acts_alike_is_one_run():
    def identity(*words: str) -> str:
        return run_id(canonical(config_of(*words), "gan=plain" not in words))

    assert identity("gan=plain", "alpha=0.2") == identity("gan=plain", "alpha=1")
    assert len({identity(f"gan={name}", f"alpha={alpha}") for name in ("paper", "code") for alpha in (0.2, 0.5)}) == 4
    assert identity("gan=paper", "precision=float32") == identity("gan=paper")
    assert identity("gan=paper", "gan.z_dim=5") != identity("gan=paper")
    assert identity("gan=paper", "epochs=3") == identity("gan=paper")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        *((word, f"{word.partition('=')[0]} = ") for word in (
            "subset=head", "imbalance=minority", "label_noise=uniform", "sampling=oversample", "augment=standard", "model=cnn11",
            "mix=mixup", "loss=kl", "schedule=cosine", "model.width=3", "mix_layer.layers=[final]", "drop_last=true", "validation=0.1",
            "data_seed=1", "channels_last=true", "speed=compiled",
        )),
        ("steps=null", "steps: a run of the group gan has its budget in steps"),
        ("precision=bfloat16", "precision = bfloat16: a run of the group gan is in float32"),
        ("dataset.mean=[0.5,0]", "dataset.mean, dataset.std: have no effect on a run of the group gan"),
        ("gan.frame_points=51", "gan.frame_points = 51: more than gan.samples = 50"),
        ("dataset.test_points=9", "gan.frame_points = 10: the test set has 9 points"),
        ("gan.discriminator_steps=0", "gan.discriminator_steps = 0: needs a whole number of 1 or more"),
        ("gan.discriminator.ratio.high=1.5", "gan.discriminator.ratio.high = 1.5: needs a number above 0 and of at most 1"),
    ],
)  # fmt: skip
def test_what_a_game_has_no_use_for_is_refused(words, says):
    (line,) = errors_of(compose([*TINY, "gan=code", words]))
    assert line.startswith(says)
    if says.endswith(" = "):
        assert "has no effect on a run of the group gan" in line


def test_data_whose_modes_nobody_knows_are_refused():
    (line,) = errors_of(compose(["gan=plain", "dataset=digits", "steps=3"]))
    assert line == "gan: modes can be counted only where the data set knows them; take dataset=ring or dataset=grid"

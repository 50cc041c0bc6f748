"""The learning rate's course, and the optimizers that use it."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from running import option
from torch import nn

from mixexp.build import build
from mixexp.optimizer import adam, sgd
from mixexp.schedule import Constant, Cosine, Schedule, Steps
from mixexp.training.budget import steps_per_epoch

pytestmark = pytest.mark.fast

CONF = Path(__file__).resolve().parents[1] / "conf"
SCHEDULES = sorted((CONF / "schedule").glob("*.yaml"))
OPTIMIZERS = sorted((CONF / "optimizer").glob("*.yaml"))
FEW = settings(max_examples=40, deadline=None)


def node(path: Path) -> dict[str, object]:
    return option(path.parent.name, path.stem)


def experiment(name: str) -> dict[str, object]:
    return yaml.safe_load((CONF / "experiment" / f"{name}.yaml").read_text(encoding="utf-8"))


def schedule_of(name: str, **changed: object) -> Schedule:
    """The steps schedule as an experiment sets it."""
    return build({**node(CONF / "schedule" / "steps.yaml"), **experiment(name).get("schedule", {}), **changed})


def drops(schedule: Schedule, per_epoch: int, total: int) -> dict[int, float]:
    """Every step whose factor differs from the step before, with its factor."""
    factors = [schedule.factor(step, per_epoch, total) for step in range(total)]
    return {step: factors[step] for step in range(1, total) if factors[step] != factors[step - 1]}


# --- the articles' boundaries ---


@pytest.mark.parametrize("n", [50000, 20000, 10000, 5000, 1000])
def test_small_data_divides_by_10_after_33_and_66_of_100_epochs(n: int) -> None:
    config = experiment("small_data")
    per_epoch = steps_per_epoch(n, config["batch_size"], drop_last=False)
    total = config["epochs"] * per_epoch
    assert drops(schedule_of("small_data"), per_epoch, total) == {
        33 * per_epoch: pytest.approx(0.1),
        66 * per_epoch: pytest.approx(0.01),
    }


def test_the_sizes_above_are_those_of_the_grid() -> None:
    blocks = experiment("small_data")["hydra"]["sweeper"]["grid"]
    assert [block["subset.n"] for block in blocks] == [[50000, 20000, 10000, 5000, 1000], [500, 250], 100]
    assert [block.get("steps") for block in blocks] == [None, 117000, 40000]


@pytest.mark.parametrize(("total", "first", "second"), [(117000, 38610, 77220), (40000, 13200, 26400)])
def test_small_data_keeps_these_fractions_of_its_budgets_in_steps(total: int, first: int, second: int) -> None:
    assert list(drops(schedule_of("small_data"), 4, total)) == [first, second]


@pytest.mark.parametrize(
    ("name", "rows"), [("affinity_mnist", 60000), ("affinity_mnist", 30508), ("affinity_cifar10", 27500)]
)
def test_affinity_divides_by_5_after_50_and_80_epochs(name: str, rows: int) -> None:
    config = experiment(name)
    per_epoch = steps_per_epoch(rows, config["batch_size"], drop_last=False)
    assert drops(schedule_of(name), per_epoch, config["epochs"] * per_epoch) == {
        50 * per_epoch: pytest.approx(0.2),
        80 * per_epoch: pytest.approx(0.04),
    }


def test_bc_learning_divides_by_5_after_100_150_and_200_of_250_epochs() -> None:
    config = experiment("bc_learning")
    (cell,) = (cell for cell in config["hydra"]["sweeper"]["grid"] if "continuous" in cell["augment"])
    milestones = yaml.safe_load(cell["schedule.milestones"])
    schedule = schedule_of("bc_learning", milestones=milestones, drop=cell["schedule.drop"])
    per_epoch = steps_per_epoch(50000, config["batch_size"], config["drop_last"])
    assert per_epoch == 390
    assert drops(schedule, per_epoch, config["epochs"] * per_epoch) == {
        100 * per_epoch: pytest.approx(0.2),
        150 * per_epoch: pytest.approx(0.04),
        200 * per_epoch: pytest.approx(0.008),
    }


def test_article_a_uses_the_mixup_papers_halves() -> None:
    assert list(drops(schedule_of("final_layer_mixup"), 391, 39100)) == [50 * 391, 75 * 391]


# --- steps ---


@FEW
@given(epochs=st.integers(2, 300), per_epoch=st.integers(1, 500), data=st.data())
def test_a_milestone_means_the_same_in_every_unit(epochs: int, per_epoch: int, data: st.DataObject) -> None:
    epoch, total = data.draw(st.integers(1, epochs - 1)), epochs * per_epoch
    boundary = epoch * per_epoch
    for milestone, unit in ((epoch, "epochs"), (boundary, "steps"), (epoch / epochs, "budget")):
        schedule = Steps([milestone], unit, 0.5)
        assert schedule.factor(boundary - 1, per_epoch, total) == 1.0, unit
        assert schedule.factor(boundary, per_epoch, total) == 0.5, unit


@pytest.mark.parametrize("percent", [7, 14, 28, 55, 56, 57, 58])
def test_binary_fractions_do_not_move_a_milestone(percent: int) -> None:
    """0.55·100 is 55.00000000000001 in binary and 0.57·100 is 56.99999999999999."""
    assert list(drops(Steps([percent / 100], "budget", 0.1), 10, 100)) == [percent]


@FEW
@given(
    milestones=st.lists(st.floats(0.01, 0.99), min_size=1, max_size=4, unique=True).map(sorted),
    drop=st.floats(0.05, 0.95),
    total=st.integers(1, 3000),
)
def test_steps_never_rise_and_stay_in_range(milestones: list[float], drop: float, total: int) -> None:
    schedule = Steps(milestones, "budget", drop)
    factors = [schedule.factor(step, 7, total) for step in range(total)]
    assert factors[0] <= 1 and all(later <= earlier for earlier, later in itertools.pairwise(factors))
    assert factors[-1] >= drop ** len(milestones)


@pytest.mark.parametrize("milestones", [[0.5, 0.5], [0.8, 0.5]])
def test_milestones_must_rise(milestones: list[float]) -> None:
    with pytest.raises(ValueError, match=r"schedule\.milestones = .*: must rise"):
        Steps(milestones, "budget", 0.1)


def test_milestones_in_the_budget_must_lie_in_it() -> None:
    with pytest.raises(
        ValueError, match=r"schedule\.milestones = \[0\.5, 1\.0\]: fractions of the budget must be below 1"
    ):
        Steps([0.5, 1.0], "budget", 0.1)
    assert Steps([0.5, 1.0], "epochs", 0.1).factor(10, 10, 100) == pytest.approx(0.01)


# --- warm-up, cosine, all ---


@pytest.mark.parametrize("path", SCHEDULES, ids=lambda path: path.stem)
@FEW
@given(total=st.integers(1, 5000), per_epoch=st.integers(1, 400), warmup=st.floats(0, 20), data=st.data())
def test_every_schedule_stays_in_range(
    path: Path, total: int, per_epoch: int, warmup: float, data: st.DataObject
) -> None:
    schedule = build({**node(path), "warmup_epochs": warmup})
    step = data.draw(st.integers(0, total - 1))
    assert 0 < schedule.factor(step, per_epoch, total) <= 1


@pytest.mark.parametrize("path", SCHEDULES, ids=lambda path: path.stem)
def test_warm_up_is_a_straight_line_to_the_curve(path: Path) -> None:
    by_step = {**node(path), **({"warmup_by": "step"} if "warmup_by" in node(path) else {})}
    plain, warm = (build({**by_step, "warmup_epochs": epochs}) for epochs in (0.0, 2.0))
    factors = [warm.factor(step, 5, 1000) for step in range(11)]
    assert factors[:10] == pytest.approx([(step + 1) / 10 for step in range(10)])
    assert plain.factor(0, 5, 1000) == factors[10] == 1.0


LDAM_RATES = {1: 0.2, 2: 0.4, 3: 0.6, 4: 0.8, 5: 1, 6: 1, 160: 1, 161: 0.01, 180: 0.01, 181: 0.0001, 200: 0.0001}
"""The factor in an epoch, counted from 1, as kaidic/LDAM-DRW counts where it sets the rate."""


@pytest.mark.parametrize("per_epoch", [1, 7, 97])
def test_the_rates_of_ldams_code(per_epoch: int) -> None:
    """Its drops are `epoch > 160` and `epoch > 180` for epochs from 1: 160 and 180 epochs completed."""
    schedule = build(node(CONF / "schedule" / "ldam.yaml"))
    for epoch, expected in LDAM_RATES.items():
        for step in range((epoch - 1) * per_epoch, epoch * per_epoch):
            assert schedule.factor(step, per_epoch, 200 * per_epoch) == pytest.approx(expected), epoch


def test_the_rates_of_mislas_code_and_of_twice_the_epochs() -> None:
    mislas, ldam = (build(node(CONF / "schedule" / f"{name}.yaml")) for name in ("mislas", "ldam"))
    for epoch, expected in ((1, 0.2), (5, 1), (160, 1), (161, 0.1), (181, 0.01), (200, 0.01)):
        assert mislas.factor((epoch - 1) * 97 + 40, 97, 200 * 97) == pytest.approx(expected)
    for epoch, expected in ((5, 1), (320, 1), (321, 0.01), (360, 0.01), (361, 0.0001)):
        assert ldam.factor((epoch - 1) * 97, 97, 400 * 97) == pytest.approx(expected)


def test_a_warm_up_by_epochs_of_one_and_a_half() -> None:
    schedule = Steps([0.5], "budget", 0.1, warmup_epochs=1.5, warmup_by="epoch")
    assert [schedule.factor(step, 2, 20) for step in range(5)] == pytest.approx([2 / 3, 2 / 3, 1, 1, 1])


def test_warm_up_of_half_an_epoch() -> None:
    assert [Constant(0.5).factor(step, 8, 100) for step in range(5)] == [0.25, 0.5, 0.75, 1.0, 1.0]


def test_the_constant_schedule_is_constant() -> None:
    assert {Constant().factor(step, 3, 20) for step in range(20)} == {1.0}


def test_cosine_starts_at_1_is_half_in_the_middle_and_ends_near_0() -> None:
    schedule = Cosine()
    assert schedule.factor(0, 10, 1000) == 1.0
    assert schedule.factor(500, 10, 1000) == pytest.approx(0.5)
    assert schedule.factor(250, 10, 1000) == pytest.approx((1 + math.sqrt(0.5)) / 2)
    assert 0 < schedule.factor(999, 10, 1000) < 1e-5


def test_cosine_begins_where_warm_up_ends() -> None:
    schedule = Cosine(warmup_epochs=10)
    assert schedule.factor(100, 10, 1100) == 1.0
    assert schedule.factor(600, 10, 1100) == pytest.approx(0.5)
    assert 0 < schedule.factor(1099, 10, 1100) < 1e-5


def test_a_warm_up_longer_than_the_budget_never_reaches_the_top() -> None:
    assert [Cosine(warmup_epochs=2).factor(step, 5, 5) for step in range(5)] == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5])


# --- optimizers ---


def trained(make: object, steps: int = 5) -> torch.Tensor:
    """The weights of a small network after some steps on fixed data."""
    torch_state = torch.random.get_rng_state()
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3))
    images, labels = torch.randn(20, 6), torch.randint(3, (20,))
    torch.random.set_rng_state(torch_state)
    optimizer = make(network.parameters())
    for _ in range(steps):
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(images), labels).backward()
        optimizer.step()
    return nn.utils.parameters_to_vector(network.parameters()).detach()


@pytest.mark.parametrize(("momentum", "nesterov"), [(0.0, False), (0.5, False), (0.9, False), (0.5, True), (0.9, True)])
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_sgd_is_torchs_plain_one(momentum: float, nesterov: bool, weight_decay: float) -> None:
    arguments = {"lr": 0.3, "momentum": momentum, "nesterov": nesterov, "weight_decay": weight_decay}
    plain = trained(lambda p: torch.optim.SGD(p, **arguments, foreach=False, fused=False))
    torch.testing.assert_close(trained(lambda p: sgd(p, **arguments)), plain, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("betas", [(0.9, 0.999), (0.5, 0.6)])
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
@pytest.mark.parametrize("eps", [1e-8, 0.1])
def test_adam_is_torchs_plain_one(betas: tuple[float, float], weight_decay: float, eps: float) -> None:
    arguments = {"lr": 0.05, "eps": eps, "weight_decay": weight_decay}
    plain = trained(lambda p: torch.optim.Adam(p, **arguments, betas=betas, foreach=False, fused=False))
    ours = trained(lambda p: adam(p, **arguments, beta1=betas[0], beta2=betas[1]))
    torch.testing.assert_close(ours, plain, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("path", OPTIMIZERS, ids=lambda path: path.stem)
def test_every_optimizer_is_built_from_its_yaml_and_is_fused(path: Path) -> None:
    parameters = [nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(3))]
    optimizer = build(node(path), parameters=iter(parameters))
    (group,) = optimizer.param_groups
    assert group["params"] == parameters
    assert group["lr"] == node(path)["lr"] and group["weight_decay"] == node(path)["weight_decay"]
    assert group["fused"]


def test_nesterov_needs_momentum() -> None:
    with pytest.raises(ValueError, match=r"optimizer\.nesterov = true needs optimizer\.momentum > 0"):
        sgd([nn.Parameter(torch.ones(1))], lr=0.1, momentum=0.0, nesterov=True)


@pytest.mark.parametrize(
    "schedule",
    [
        Steps(milestones=[500], milestones_in="epochs", drop=0.1),
        Steps(milestones=[5, 300], milestones_in="steps", drop=0.1),
        Constant(warmup_epochs=30),
        Cosine(warmup_epochs=31),
    ],
)
def test_what_lies_beyond_the_budget_is_refused(schedule) -> None:
    with pytest.raises(ValueError, match=r"schedule\.(milestones|warmup_epochs) = .*budget"):
        schedule.check_budget(10, 300)
    schedule.check_budget(10, 6000)

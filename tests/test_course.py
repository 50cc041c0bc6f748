"""What changes on the way of a run: the learning rate, the sampling, the mix, the phase of the loss."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from running import option

from mixexp.build import build
from mixexp.labels import MixedLabels
from mixexp.loss.cross_entropy import CrossEntropy
from mixexp.loss.deferred import Deferred
from mixexp.mix.choice import Window
from mixexp.mix.mixes import NoMix
from mixexp.sampling import Deferred as DeferredSampling
from mixexp.sampling import Natural, WeightedSampling
from mixexp.schedule import Constant, Cosine, Schedule, Steps
from mixexp.training.budget import Budget
from mixexp.training.course import Course

pytestmark = pytest.mark.fast

COUNTS = np.array([60, 20, 6])


def losses() -> tuple[CrossEntropy, CrossEntropy]:
    return CrossEntropy(COUNTS), CrossEntropy(COUNTS, class_weights="balanced")


def course(schedule: Schedule | None = None, **parts) -> Course:
    """A run of four epochs of four steps."""
    budget = Budget(rows=40, batch=10, steps_per_epoch=4, steps=16, evaluations=100)
    schedule = Constant() if schedule is None else schedule
    others = (parts.get("sampling", Natural()), parts.get("mix", NoMix()), parts.get("loss", losses()[0]))
    return Course(0.5, schedule, *others, budget)


def test_a_longer_run_is_the_same_until_its_course_departs():
    assert course().same_so_far(8, 8) and course(Steps([2], "epochs", 0.1)).same_so_far(8, 8)
    assert not course(Cosine()).same_so_far(8, 8) and course(Cosine()).same_so_far(16, 8)
    assert not course().same_so_far(6, 6), "it was evaluated where this one is not"
    assert not course().same_so_far(16, 16), "nothing is left to do"


@pytest.mark.parametrize(
    "part",
    [
        {"sampling": DeferredSampling(Natural(), WeightedSampling(0), after=0.5)},
        {"loss": Deferred(*losses(), after=0.5)},
        {"mix": Window(NoMix(), after=0, until=0.5)},
    ],
    ids=["sampling", "loss", "mix"],
)
def test_a_phase_makes_a_course(part):
    assert course(**part).same_so_far(16, 8)
    assert not course(**part).same_so_far(8, 8), "half of it was in the second phase, and none is here"
    assert course(**part).same_so_far(8, 4), "one epoch in the first phase"


def test_steps_are_taken_together_within_a_rate_and_a_phase():
    run = course(Steps([3], "epochs", 0.1), loss=Deferred(*losses(), after=0.5))
    assert [run.same_until(step, 16) for step in (0, 5, 8, 12)] == [8, 8, 12, 16]
    assert run.same_until(0, 3) == 3


def test_what_is_new_is_set_in_place_and_once():
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=9.0)
    loss = Deferred(*losses(), after=0.5)
    run, changed = course(Steps([3], "epochs", 0.1), loss=loss), loss.changed
    assert run.enter(0, optimizer) == 0.5 == optimizer.param_groups[0]["lr"] and not changed
    optimizer.param_groups[0]["lr"] = 7.0
    assert run.enter(5, optimizer) == 0.5 and optimizer.param_groups[0]["lr"] == 7.0, "nothing is new"
    assert run.enter(8, optimizer) == 0.5 == optimizer.param_groups[0]["lr"] and changed
    assert run.enter(12, optimizer) == 0.05 == optimizer.param_groups[0]["lr"]


def test_a_deferred_loss_is_its_first_and_then_its_second():
    first, then = losses()
    loss = Deferred(first, then, after=0.8)
    outputs = torch.randn(5, 3, generator=torch.Generator().manual_seed(0), requires_grad=True)
    labels = torch.tensor([0, 1, 2, 2, 0])
    weights = torch.tensor([0.3, 1.0, 0.5, 0.0, 0.9])
    for mixed in (MixedLabels((labels,)), MixedLabels((labels, labels.flip(0)), (weights, 1 - weights))):
        for phase, alone in ((0, first), (1, then), (0, first)):
            loss.enter(phase)
            assert torch.equal(loss(outputs, mixed), alone(outputs, mixed))
            gradients = [torch.autograd.grad(one(outputs, mixed).sum(), outputs)[0] for one in (loss, alone)]
            assert torch.equal(*gradients)
    assert [loss.phase(epoch, 200) for epoch in (0, 159, 160, 199)] == [0, 0, 1, 1]
    assert loss.weighs_classes and loss.linear_in_target and loss.accepts_mixed
    loss.enter(1)
    again = Deferred(*losses(), after=0.8)
    again.load_state_dict(loss.state_dict())
    assert again.changed, "kept weights know the phase"
    with pytest.raises(ValueError, match=r"after = 0\.8: none of the run's epochs, 1, is before the change"):
        loss.check_budget(1)


def test_the_two_losses_share_a_head():
    affinity = build(option("loss", "affinity"), class_counts=COUNTS)
    made = Deferred(losses()[0], affinity, after=0.5)
    with pytest.raises(
        ValueError, match=r"loss\.then: .* needs the head .*, and CrossEntropy of loss\.first has Linear"
    ):
        made.head(4, 3)


def test_its_losses_stay_as_they_are():
    with pytest.raises(ValueError, match=r"loss\.then: Deferred changes during a run itself"):
        Deferred(losses()[0], Deferred(*losses(), after=0.5), after=0.5)

"""The arithmetic of a run's length, against counting step by step."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mixexp.training.budget import budget_of
from mixexp.training.spec import RunConfig

pytestmark = pytest.mark.fast

counts = st.integers(1, 40)


@example(rows=30, batch=10, epochs=3, evaluations=2, drop_last=False)  # a last evaluation between two intervals
@given(rows=counts, batch=counts, epochs=st.integers(1, 4), evaluations=counts, drop_last=st.booleans())
def test_images_and_evaluations_are_those_that_a_loop_meets(rows, batch, epochs, evaluations, drop_last):
    settings = {"steps": None, "epochs": epochs, "drop_last": drop_last, "evaluations": evaluations}
    budget = budget_of(RunConfig.of(settings), rows, batch)
    images = step = 0
    due = []
    for _ in range(epochs):
        for start in range(0, rows, batch):
            size = min(batch, rows - start)
            if size < batch and (drop_last or (size == 1 and start > 0)):
                continue
            assert budget.images(step) == images
            images, step = images + size, step + 1
            if step % budget.interval == 0 or step == budget.steps:
                due.append(step)
    assert step == budget.steps
    if step:
        assert budget.images(step) == images and len(due) <= evaluations and due[-1] == step
        assert [s for s in range(1, step + 1) if budget.evaluates(s)] == due
        assert [budget.next_evaluation(s) for s in range(step)] == [min(d for d in due if d > s) for s in range(step)]

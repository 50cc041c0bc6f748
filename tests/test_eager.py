"""A process that compiles nothing does not import torch's compiler, and its optimizers compute what torch's compute."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from mixexp.optimizer import adam, sgd

CODE = """
import sys
from mixexp.cli import main

for optimizer in ("sgd", "adam"):
    sys.argv[1:] = ["dataset=digits", "subset=balanced", "subset.n=20", "steps=2", "evaluations=1", f"optimizer={optimizer}"]
    main()
assert "torch._dynamo" not in sys.modules

import torch
from mixexp.eager import prepare_compiler

prepare_compiler()
torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1).zero_grad()
assert "torch._dynamo" in sys.modules
"""


def test_a_run_imports_no_compiler_until_something_is_compiled(tmp_path: Path):
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(list(tmp_path.glob("outputs/runs/*/result.json"))) == 2


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (
            lambda p: sgd(p, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.01),
            lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.01, fused=True),
        ),
        (
            lambda p: adam(p, lr=0.1, weight_decay=0.01),
            lambda p: torch.optim.Adam(p, lr=0.1, weight_decay=0.01, fused=True),
        ),
    ],
    ids=["sgd", "adam"],
)
def test_a_step_is_torchs_own(ours, theirs):
    start = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    ends = []
    for make in (ours, theirs):
        parameter = torch.nn.Parameter(start.clone())
        optimizer = make([parameter])
        for _ in range(4):
            optimizer.zero_grad()
            (parameter.sin() ** 2).sum().backward()
            optimizer.step()
        assert parameter.grad_fn is None and parameter.requires_grad
        ends.append((parameter.detach(), optimizer.state_dict()))
    (one, ours_state), (other, torchs_state) = ends
    assert torch.equal(one, other) and not torch.equal(one, start)
    assert ours_state["state"].keys() == torchs_state["state"].keys()

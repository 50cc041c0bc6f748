#!/usr/bin/env bash
# torch 2.14.1: `import torch` leaves the compiler out, but the first optimizer of a process imports it. Building torch.optim.SGD on one
# parameter, without torch.compile anywhere, brings in torch._dynamo and sympy: about 900 modules, and nearly as much processor time as
# `import torch` itself. Every short process that trains, such as a test or a slot of a sweep, pays for it. Building any nn.Module does not.
# Seen on one core of an AMD EPYC, 2026-12-01: import torch 1.6 s, nn.Linear 0.0 s, SGD 1.2 s and 898 modules.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q torch==2.14.1 numpy==2.3.5
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import sys
import time


def cost(make):
    modules, start = len(sys.modules), time.process_time()
    made = make()
    return made, time.process_time() - start, len(sys.modules) - modules


torch, seconds, _ = cost(lambda: __import__("torch"))
print(f"import torch {torch.__version__}: {seconds:.1f} s")
assert torch.__version__.startswith("2.14.1")
assert "torch._dynamo" not in sys.modules and "sympy" not in sys.modules, "import torch is without the compiler"
layer, seconds, added = cost(lambda: torch.nn.Linear(2, 2))
print(f"nn.Linear: {seconds:.1f} s, {added} modules")
assert "torch._dynamo" not in sys.modules
_, seconds, added = cost(lambda: torch.optim.SGD(layer.parameters(), lr=0.1))
print(f"torch.optim.SGD: {seconds:.1f} s, {added} modules")
assert "torch._dynamo" in sys.modules and "sympy" in sys.modules and added > 500, "the optimizer imports the compiler"
PYTHON

#!/usr/bin/env bash
# openmixup 0.2.9: FMix's noise has two of the 17 horizontal frequencies of a 32x32 mask, 0 and 1. Its code adds two rows of the spectrum,
# of vertical frequencies 0 and 1, as real and imaginary part, where the last axis holds these parts. So in each row of a mask, the first
# image's pixels are one run (around the border), while its columns and the transposed mask may have several. The authors' code,
# ecs-vlc/FMix, has another form. The function of the masks is run by itself: stand-ins take the place of torch and mmcv, which it does
# not use.
# Seen: of 300 masks none has a row with two runs, and 52 have a column with two or more.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q numpy==2.2.6 scipy==1.15.3
"$work/venv/bin/pip" install -q --no-deps openmixup==0.2.9
"$work/venv/bin/python" - <<'PYTHON'
import importlib.util
import random
import sys
import sysconfig
from pathlib import Path
from types import ModuleType

import numpy as np

for name in ("torch", "openmixup", "openmixup.models", "openmixup.models.utils"):
    sys.modules[name] = ModuleType(name)
sys.modules["torch"].no_grad = lambda: lambda function: function
sys.modules["openmixup.models.utils"].batch_shuffle_ddp = None
path = Path(sysconfig.get_path("purelib")) / "openmixup/models/augments/fmix.py"
spec = importlib.util.spec_from_file_location("fmix", path)
fmix = importlib.util.module_from_spec(spec)
spec.loader.exec_module(fmix)


def most_runs(lines):
    """The most runs of ones in a line whose ends touch."""
    return max(int(np.sum(line != np.roll(line, 1))) // 2 for line in lines)


np.random.seed(0), random.seed(0)
masks = [fmix.sample_mask(alpha=1, decay_power=3, shape=(32, 32))[1][0] for _ in range(300)]
rows, columns = (sum(most_runs(lines) >= 2 for lines in found) for found in (masks, [mask.T for mask in masks]))
print(f"masks with two runs or more in a row: {rows}, in a column: {columns}")
assert rows == 0 and columns >= 30
frequencies = np.abs(np.fft.rfft(fmix.make_low_freq_image(3, (32, 32))[0], axis=1)).max(0)
print("largest amplitude at horizontal frequencies 0 to 3:", frequencies[:4].round(6))
assert frequencies[1] > 1 and frequencies[2:].max() < 1e-9
PYTHON

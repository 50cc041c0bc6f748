#!/usr/bin/env bash
# Pillow 13.0.0: a TIFF whose PhotometricInterpretation is WhiteIsZero is inverted when it is read if it has 8 bits, and is not if it has
# 16. Both open as ordinary grey images (L and I;16), so a data set of scans that mixes the depths mixes negatives and positives.
# Seen for the stored values 0, 10, 200: 255, 245, 55 with 8 bits, and 0, 10, 200 with 16.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q pillow==13.0.0 numpy==2.4.6 tifffile==2026.3.3
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import numpy as np
import tifffile
from PIL import Image

read = {}
for dtype in (np.uint8, np.uint16):
    tifffile.imwrite("image.tif", np.array([[0, 10, 200]], dtype=dtype), photometric="miniswhite")
    with Image.open("image.tif") as image:
        read[image.mode] = np.asarray(image).tolist()
print(read)
assert read == {"L": [[255, 245, 55]], "I;16": [[0, 10, 200]]}
PYTHON

#!/usr/bin/env bash
# Pillow 13.0.0: an uncompressed TIFF of 16 bits a channel whose channels lie apart (PlanarConfiguration 2) opens without an error and
# has other pixels than were written: zeros, and the values of other places. The same pixels in one plane, or compressed, are read
# rightly (their upper bytes, as Pillow's RGB has 8 bits). Microscopes and tifffile write such files.
# Seen for the upper bytes [71, 208, 171] and [0, 100, 219]: [0, 0, 0] and [71, 208, 171].
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

pixels = np.array([[[0x4700, 0xD000, 0xAB00], [0x0000, 0x6400, 0xDB00]]], dtype=np.uint16)
read = {}
for planes, values in (("contig", pixels), ("separate", pixels.transpose(2, 0, 1))):
    for compression in (None, "deflate"):
        tifffile.imwrite("image.tif", values, photometric="rgb", planarconfig=planes, compression=compression)
        assert np.array_equal(tifffile.imread("image.tif"), values), "the file is sound"
        with Image.open("image.tif") as image:
            read[planes, compression] = np.asarray(image).tolist()
        print(planes, compression, read[planes, compression])
upper = (pixels >> 8).tolist()
assert read["contig", None] == read["contig", "deflate"] == read["separate", "deflate"] == upper
assert read["separate", None] == [[[0, 0, 0], [71, 208, 171]]], "other pixels than were written"
PYTHON

#!/usr/bin/env bash
# hydra-core 1.3.8: a sweep over range(start, stop, step) leaves its end out, as its documentation and Python's range do, but with
# fractions the end is there or not, as rounding has it: range(0.1,0.4,0.1) makes four values, the last of them 0.4, and
# range(0.1,0.7,0.1) six, the last of them 0.6. A grid has a cell more than asked for, and no word is said.
# Seen: 0.1 0.2 0.30000000000000004 0.4, and 0.1 0.2 0.30000000000000004 0.4 0.5 0.6.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q hydra-core==1.3.8
"$work/venv/bin/python" - <<'PYTHON'
from hydra.core.override_parser.overrides_parser import OverridesParser

parser = OverridesParser.create()
values = {}
for stop in ("0.4", "0.7"):
    override = parser.parse_override(f"lr=range(0.1,{stop},0.1)")
    values[stop] = list(override.sweep_string_iterator())
    print(override.input_line, *values[stop])
assert values["0.4"] == ["0.1", "0.2", "0.30000000000000004", "0.4"], "the end is in"
assert values["0.7"] == ["0.1", "0.2", "0.30000000000000004", "0.4", "0.5", "0.6"], "the end is out"
PYTHON

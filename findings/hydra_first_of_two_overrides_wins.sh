#!/usr/bin/env bash
# hydra-core 1.3.8: where one defaults list overrides the same group twice, the first entry wins and the second does nothing. Entries of
# a defaults list that merge values go the other way (the last wins), and two choices of a group without `override` are an error.
# Seen: {'db': {'name': 'b'}} for "override /db: b" followed by "override /db: c".
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q hydra-core==1.3.8
mkdir -p "$work/conf/db"
for name in a b c; do echo "name: $name" >"$work/conf/db/$name.yaml"; done
printf 'defaults:\n  - db: a\n  - experiment\n' >"$work/conf/config.yaml"
printf '# @package _global_\ndefaults:\n  - override /db: b\n  - override /db: c\n' >"$work/conf/experiment.yaml"
"$work/venv/bin/python" - "$work/conf" <<'PYTHON'
import sys

from hydra import compose, initialize_config_dir

with initialize_config_dir(sys.argv[1], version_base="1.3"):
    composed = compose("config")
print(composed)
assert composed.db.name == "b", "the first of two overrides wins"
PYTHON

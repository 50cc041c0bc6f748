"""A fixed list of runs, whose numbers a change of the code must not touch; a script, which pytest does not collect.

    python tests/golden_runs.py make FOLDER              trains them with the mixexp that Python imports, in some
    minutes python tests/golden_runs.py make FOLDER cells kept   some parts alone: cells, stopped, kept, speeds,
    quickstart python tests/golden_runs.py compare FOLDER FOLDER    compares two such folders; exit code 1 and the first
    difference

Make one folder with the commit before the change and one with the commit after it (PYTHONPATH names a checkout), on one
machine: numbers differ between processors. Compared are the names of the runs' folders, which are their run_ids,
metrics.csv without its seconds, confusion.csv and every CSV of a probe.
"""

from __future__ import annotations

import csv
import importlib
import itertools
import json
import os
import runpy
import signal
import sys
import tempfile
import time
from pathlib import Path

import yaml

ROOT = {"model": "small_cnn", "subset": "balanced"}
SHORT = {"model.width": 4, "batch_size": 64, "epochs": 3, "subset.n": 500}
CELLS = [
    {"mix": "mixup", "mix_layer": "input"},
    {"mix": "mixup", "mix_layer": "layer1", "drop_last": "true", "optimizer": "adam", "schedule": "cosine"},
    {
        "mix": "mixup",
        "mix_layer": "random",
        "model.dropout": 0.3,
        "schedule": "steps",
        "schedule.milestones": "[0.34,0.67]",
    },
    {"mix": "mixup", "mix_layer": "final", "precision": "bfloat16"},
    {"mix": "bc", "loss": "kl", "mix.step_size": 16},
    {"mix": "bc_plus", "loss": "kl"},
    {"mix": "bc_three"},
    {"mix": "data_mix", "augment": "standard"},
    {"mix": "mixup_same_class", "probe": "training_error"},
    {"mix": "mixup_knn"},
    {"mix": "mixup_two_loaders", "augment": "standard", "mix_layer": "random"},
    {"mix": "smote", "imbalance": "step", "imbalance.ratio": 5, "sampling": "oversample"},
    {"loss": "affinity", "imbalance": "exponential", "imbalance.ratio": 5, "sampling": "oversample"},
    {"loss": "focal", "imbalance": "step", "imbalance.ratio": 5, "sampling": "undersample", "epochs": 20},
    {"loss": "joint", "mix": "none", "probe": "by_class"},
    {"augment": "standard", "label_noise": "uniform", "validation": 0.2},
    {"augment": "noise", "probe": "attacks_and_fit", "epochs": "null", "steps": 11},
    {"subset.n": 30, "epochs": 50, "mix": "mixup", "evaluations": 7, "probe": "entanglement"},
    {"model": "mlp", "model.width": "null", "probe": "deformation", "epochs": 2, "mix": "mixup", "mix_layer": "random"},
    {"optimizer.lr": 1000000, "loss": "cross_entropy"},
    {
        "dataset": "two_moons",
        "subset": "full",
        "subset.n": "null",
        "model": "mlp",
        "model.width": "null",
        "mix": "mixup",
        "probe": "mixing",
    },
]
GAN = {
    "dataset": "ring",
    "optimizer": "adam",
    "batch_size": 16,
    "gan.width": 16,
    "gan.snapshots": "[2,5]",
    "evaluations": 4,
    "steps": 30,
}
GAMES = [{**GAN, "gan": name} for name in ("paper", "code", "plain")]
PARTS = ["cells", "stopped", "kept", "speeds", "quickstart"]
STOPPED = {
    "classifier": {
        "mix": "mixup",
        "mix_layer": "random",
        "augment": "standard",
        "probe": "by_class",
        "sampling": "oversample",
        "epochs": 20,
    },
    "game": {**GAN, "gan": "paper", "steps": 200},
}
KEPT = {"mix": "mixup", "mix_layer": "random", "keep_checkpoint": "true", "schedule": "constant", "seed": 7}
COMPARED = {"mix": "mixup", "mix_layer": "layer2", "seed": 5, "threads": 1, "epochs": 2}


def spelled(cell: dict[str, object]) -> list[str]:
    """The command-line words of a cell; null takes a setting of the others away."""
    settings = {**(ROOT | SHORT if "gan" not in cell else {}), **cell}
    return [f"{key}={value}" for key, value in settings.items() if not (value == "null" and "." in key)]


def start(*words: str, folder: Path) -> int:
    """Begin a command in a fork of this process, which has imported torch once for all, and return its number."""
    if number := os.fork():
        return number
    sys.argv[:] = ["mixexp", *words, f"output_dir={folder}"]
    runpy.run_module("mixexp", run_name="__main__")
    os._exit(0)


def run(*words: str, folder: Path) -> None:
    """Train with a command; ends this process where it fails."""
    if os.waitstatus_to_exitcode(os.waitpid(start(*words, folder=folder), 0)[1]):
        sys.exit(f"failed: {' '.join(words)}")


def stop_and_resume(*words: str, folder: Path) -> None:
    """Train one run that SIGTERM stops after its second evaluation, and that goes on."""
    words = (*words, "checkpoint_seconds=3600")
    number, over = start(*words, folder=folder), False
    while not over:
        time.sleep(0.02)
        over = os.waitpid(number, os.WNOHANG) != (0, 0)
        if not over and any(len(path.read_text().splitlines()) > 2 for path in folder.glob("*/*/metrics.csv")):
            os.kill(number, signal.SIGTERM)
            over = os.waitpid(number, 0) is not None
    run(*words, folder=folder)
    (about,) = folder.glob("*/*/environment.json")
    if not json.loads(about.read_text())["continued_at_step"]:
        sys.exit(f"{about.parent}: it was over before it could be stopped")


def sweep(cells: list[dict[str, object]], name: str, folder: Path) -> None:
    """Train cells one after another."""
    with tempfile.TemporaryDirectory() as scratch:
        experiment = Path(scratch) / "experiment" / f"{name}.yaml"
        experiment.parent.mkdir()
        grid = [dict(word.split("=", 1) for word in spelled(cell)) for cell in cells]
        text = yaml.safe_dump({"name": name, "hydra": {"sweeper": {"grid": grid}}})
        experiment.write_text(f"# @package _global_\n# Golden runs.\n{text}")
        run("-m", f"--config-dir={scratch}", f"experiment={name}", "hydra/launcher=basic", folder=folder)


def make(folder: Path, parts: list[str]) -> None:
    """Train all runs in a folder, or those of some parts."""
    importlib.import_module("mixexp.train")
    folder = folder.absolute()
    if "cells" in parts:
        sweep(CELLS, "classifiers", folder)
        sweep(GAMES, "games", folder)
    if "stopped" in parts:
        for name, cell in STOPPED.items():
            stop_and_resume(*spelled(cell), "name=runs", folder=folder / f"stopped_{name}")
    if "kept" in parts:
        for epochs in (4, 8):
            run(*spelled(KEPT | {"epochs": epochs}), "name=kept", folder=folder)
    if "speeds" in parts:
        for speed in ("eager", "compiled"):  # the same run_id
            run(*spelled(COMPARED), f"speed={speed}", f"name={speed}", folder=folder)
    if "quickstart" in parts:
        run("-m", "experiment=quickstart", "hydra/launcher=basic", folder=folder)


def contents(path: Path) -> list[list[str]]:
    """The rows of a CSV, without what a clock says."""
    with path.open(newline="") as file:
        rows = list(csv.reader(file))
    clock = rows[0].index("seconds") if rows and "seconds" in rows[0] else None
    return [[cell for column, cell in enumerate(row) if column != clock] for row in rows]


def differences(old: Path, new: Path) -> str:
    """The first difference of two folders in words; empty where there is none."""
    names = [{str(path.relative_to(folder)) for path in folder.rglob("*.csv")} for folder in (old, new)]
    if not names[0] or names[0] != names[1]:
        return f"other files: {sorted(names[0] ^ names[1]) or 'none at all'}"
    for name in sorted(names[0]):
        for line, (one, other) in enumerate(itertools.zip_longest(contents(old / name), contents(new / name)), start=1):
            if one != other:
                return f"{name}, line {line}:\n{one}\n{other}"
    print(f"{len(names[0])} files are equal")
    return ""


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    if sys.argv[1] == "make":
        make(Path(sys.argv[2]), sys.argv[3:] or PARTS)
    else:
        sys.exit(differences(Path(sys.argv[2]), Path(sys.argv[3])) or 0)  # an empty text would be a failure

"""A fixed list of runs, whose numbers a change of the code must not touch; a script, which pytest does not collect.

    python tests/golden_runs.py make FOLDER              trains them with the mixexp that Python imports, in some minutes
    python tests/golden_runs.py compare FOLDER FOLDER    compares two such folders; exit code 1 and the first difference

Make one folder with the commit before the change and one with the commit after it (PYTHONPATH names a checkout), on one machine: numbers
differ between processors. Compared are the names of the runs' folders, which are their run_ids, metrics.csv without its seconds,
confusion.csv and every CSV of a probe.
"""

from __future__ import annotations

import csv
import itertools
import json
import os
import signal
import subprocess
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
    {"mix": "mixup", "mix_layer": "random", "model.dropout": 0.3, "schedule": "steps", "schedule.milestones": "[0.34,0.67]"},
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
    {"dataset": "two_moons", "subset": "full", "subset.n": "null", "model": "mlp", "model.width": "null", "mix": "mixup", "probe": "mixing"},
]
GAN = {"dataset": "ring", "optimizer": "adam", "batch_size": 16, "gan.width": 16, "gan.snapshots": "[2,5]", "evaluations": 4, "steps": 30}
GAMES = [{**GAN, "gan": name} for name in ("paper", "code", "plain")]
STOPPED = [
    "mix=mixup mix_layer=random augment=standard probe=by_class sampling=oversample imbalance=step imbalance.ratio=2 epochs=40",
    " ".join(f"{key}={value}" for key, value in {**GAN, "gan": "paper", "steps": 4000, "gan.width": 64}.items()),
]
KEPT = "mix=mixup mix_layer=random keep_checkpoint=true schedule=constant seed=7"
SPEEDS = ["speed=eager mix=mixup mix_layer=layer2 seed=5 threads=1", "speed=compiled mix=mixup mix_layer=layer2 seed=5 threads=1"]


def spelled(cell: dict[str, object]) -> list[str]:
    """The command-line words of a cell; null takes a setting of the others away."""
    settings = {**(ROOT | SHORT if "gan" not in cell else {}), **cell}
    return [f"{key}={value}" for key, value in settings.items() if not (value == "null" and key.partition(".")[2])]


def mixexp(*words: str, folder: Path) -> list[str]:
    """The command that trains in a folder."""
    return [sys.executable, "-m", "mixexp", *words, f"output_dir={folder}"]


def stop_and_resume(words: list[str], folder: Path) -> None:
    """Train one run that SIGTERM stops after its second evaluation, and that goes on."""
    command = mixexp(*words, "checkpoint_seconds=3600", folder=folder)
    process = subprocess.Popen(command)
    rows = folder / "stopped"
    while process.poll() is None:
        if any(len(path.read_text().splitlines()) > 2 for path in rows.glob("*/metrics.csv")):
            process.send_signal(signal.SIGTERM)
            break
        time.sleep(0.02)
    process.wait()
    subprocess.run(command, check=True)
    newest = max(rows.glob("*/environment.json"), key=lambda path: path.stat().st_mtime_ns)
    if not json.loads(newest.read_text())["continued_at_step"]:
        sys.exit(f"{newest.parent}: it was over before it could be stopped")


def make(folder: Path) -> None:
    """Train all runs in a folder."""
    folder = folder.absolute()
    with tempfile.TemporaryDirectory() as scratch:
        own = Path(scratch) / "experiment"
        own.mkdir()
        for name, cells in (("classifiers", CELLS), ("games", GAMES)):
            grid = [dict(word.split("=", 1) for word in spelled(cell)) for cell in cells]
            experiment = {"name": name, "hydra": {"sweeper": {"grid": grid}}}
            (own / f"{name}.yaml").write_text(f"# @package _global_\n# Golden runs.\n{yaml.safe_dump(experiment)}")
            subprocess.run(mixexp("-m", f"--config-dir={scratch}", f"experiment={name}", folder=folder), check=True)
    for words in STOPPED:
        stop_and_resume([*([] if "gan=" in words else spelled({})), *words.split(), "name=stopped"], folder)
    for epochs in (4, 8):
        subprocess.run(mixexp(*spelled({}), *KEPT.split(), f"epochs={epochs}", "name=kept", folder=folder), check=True)
    for words in SPEEDS:  # the same run_id: each in a folder of its own
        name = words.partition(" ")[0].replace("=", "_")
        subprocess.run(mixexp(*spelled({}), *words.split(), f"name={name}", folder=folder), check=True)
    subprocess.run(mixexp("-m", "experiment=quickstart", folder=folder), check=True)


def contents(path: Path) -> list[list[str]]:
    """The rows of a CSV, without what a clock says."""
    with path.open(newline="") as file:
        rows = list(csv.reader(file))
    clock = rows[0].index("seconds") if rows and "seconds" in rows[0] else None
    return [[cell for column, cell in enumerate(row) if column != clock] for row in rows]


def differences(old: Path, new: Path) -> str:
    """The first difference of two folders in words; empty where there is none."""
    names = [{str(path.relative_to(folder)) for path in folder.glob("*/*/*.csv")} for folder in (old, new)]
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
        make(Path(sys.argv[2]))
    else:
        sys.exit(differences(Path(sys.argv[2]), Path(sys.argv[3])))

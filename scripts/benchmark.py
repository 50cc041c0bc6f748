"""How fast mixexp is beside a plain DataLoader + PIL + mixup loop, and what its command and its pool cost.

Everything is measured side by side in one process, in alternating rounds: on a shared machine the absolute figures move, the
ratios hold. The peer is the usual loop (as in facebookresearch/mixup-cifar10's train.py: PIL transforms, mixup in the step, the
loss and the number of correct predictions fetched every step), written here for today's torch; a ratio is always against the
peer's better variant. "mixexp" is the loop that runs train with, on the same network, images, batch size and optimizer.
Where others use the cores, loops of several threads collapse to a fraction, ours and the peer's: believe a row of narrow range.

    python scripts/benchmark.py                                   ten minutes on two idle cores
    python scripts/benchmark.py --models cnn10 --seconds 10       a bigger network too
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
import torchvision
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader
from torchvision import transforms

from mixexp import data
from mixexp.build import build
from mixexp.compose import compose
from mixexp.dataset import Dataset, Splits
from mixexp.errors import UserError
from mixexp.network import Network
from mixexp.record import RunFolder
from mixexp.sweep.pool import slots_for
from mixexp.train import steps_per_epoch, train

SETTING = (
    "augment=standard",
    "mix=mixup",
    "alpha=1",
    "batch_size=128",
    "optimizer=sgd",
    "precision=float32",
    "device=cpu",
    "steps=1000000000",  # the measurement stops the run, and no evaluation comes before
    "evaluations=1",
    "checkpoint_seconds=1000000000",
)
MODELS = {f"small_cnn, width {width}": ["model=small_cnn", f"model.width={width}"] for width in (8, 16)}
BIGGER = ("mnist_cnn", "cnn10", "cnn11", "preact_resnet18", "resnet18")
WORKERS = (0, 2)
WARM_UP_STEPS = 8  # of every round: more than the batches that loader workers have prefetched while others were measured
PARTS = ("input", "training", "start_up", "sweep")
TINY_SWEEP = ("dataset=digits", "steps=2", "device=cpu", "name=tiny")
THOUSAND_CELLS = ("mix=none,mixup,bc,data_mix", "loss=cross_entropy,focal", "optimizer.lr=0.2,0.1,0.05,0.02,0.01", "seed=range(25)")
FEW_RUNS, MANY_RUNS = 2, 12
SWEEP_RUNS, SWEEP_SLOTS, SWEEP_ROUNDS = 200, (1, 2, 4), 3


# -- what is trained on


class Synthetic(Dataset):
    """Random images of CIFAR-10's shape, for machines without it; speed does not depend on what they show."""

    mean, std = [0.5, 0.5, 0.5], [0.25, 0.25, 0.25]

    def __init__(self, images: int = 10_000) -> None:
        self.images = images

    def load(self) -> Splits:
        """uint8 [images, 3, 32, 32] and a hundred test images."""
        rng = torch.Generator().manual_seed(0)

        def split(count: int) -> tuple[Tensor, Tensor]:
            images = torch.randint(0, 256, (count, 3, 32, 32), dtype=torch.uint8, generator=rng)
            return images, torch.randint(0, 10, (count,), generator=rng)

        return Splits(*split(self.images), *split(100), tuple("0123456789"))


def dataset_node() -> tuple[str, dict[str, Any]]:
    """The data's name and its node of a configuration: CIFAR-10 where it lies in MIXEXP_DATA, else synthetic images."""
    node = compose(["dataset=cifar10", "dataset.download=false"])["dataset"]
    try:
        data.load(node)
    except UserError:
        return "synthetic 32x32 colour", {"_target_": f"{__name__}.Synthetic", "images": 10_000}
    return "CIFAR-10", node


def configuration(overrides: Sequence[str], node: Mapping[str, Any]) -> dict[str, Any]:
    """The resolved configuration of a run that both loops train."""
    return {**compose([*SETTING, *overrides]), "dataset": dict(node), "trusted_modules": [__name__]}


def load(config: Mapping[str, Any]) -> tuple[Dataset, Splits]:
    """The configuration's data set and its images."""
    return data.load(config["dataset"], tuple(config["trusted_modules"]))


# -- the peer


class PilImages(torch.utils.data.Dataset):
    """One PIL image at a time through the usual transforms, as torchvision's data sets hand them out."""

    def __init__(self, dataset: Dataset, splits: Splits) -> None:
        self.images = splits.train_images.permute(0, 2, 3, 1).contiguous().numpy()
        self.labels = splits.train_labels.tolist()
        self.transform = transforms.Compose(
            [
                transforms.RandomCrop(32, padding=4),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
                transforms.Normalize(dataset.mean, dataset.std),
            ]
        )

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(Image.fromarray(self.images[index])), self.labels[index]


def loader(config: Mapping[str, Any], workers: int) -> DataLoader:
    """The peer's loader; its workers persist from epoch to epoch, which favours it."""
    images = PilImages(*load(config))
    return DataLoader(images, config["batch_size"], shuffle=True, num_workers=workers, persistent_workers=workers > 0)


def peer_input(config: Mapping[str, Any], workers: int) -> Iterator[int]:
    """The peer's batches without a network, for ever; yields images."""
    batches = loader(config, workers)
    while True:
        for images, _ in batches:
            yield len(images)


class Peer:
    """The peer's training loop: iterating it trains and yields the images of every step, for ever."""

    def __init__(self, config: Mapping[str, Any], workers: int) -> None:
        self.loader = loader(config, workers)
        body = build(config["model"], in_channels=3, image_size=(32, 32))
        self.network = Network(body, torch.nn.Linear(body.num_features, 10))
        settings = {key: value for key, value in config["optimizer"].items() if key != "_target_"}
        self.optimizer = torch.optim.SGD(self.network.parameters(), **settings)
        self.alpha = config["alpha"]

    def step(self, images: Tensor, labels: Tensor) -> tuple[float, float]:
        """One step with mixup at the input: the batch's loss and its weighted number of correct predictions."""
        lam = float(np.random.beta(self.alpha, self.alpha))
        partners = torch.randperm(len(images))
        outputs = self.network(lam * images + (1 - lam) * images[partners])
        loss = lam * F.cross_entropy(outputs, labels) + (1 - lam) * F.cross_entropy(outputs, labels[partners])
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        predicted = outputs.argmax(1)
        correct = lam * predicted.eq(labels).sum() + (1 - lam) * predicted.eq(labels[partners]).sum()
        return loss.item(), correct.item()

    def __iter__(self) -> Iterator[int]:
        while True:
            for images, labels in self.loader:
                self.step(images, labels)
                yield len(images)


# -- mixexp


def images_of_steps(rows: int, batch: int) -> Iterator[int]:
    """How many images each step of the loop takes, for ever; the last of an epoch has the rest."""
    per_epoch = steps_per_epoch(rows, batch, drop_last=False)
    while True:
        yield from (min(batch, rows - k * batch) for k in range(per_epoch))


def mixexp_input(config: Mapping[str, Any]) -> Iterator[int]:
    """mixexp's batches without a network, drawn, gathered, augmented and normalised as in train; yields images."""
    dataset, splits = load(config)
    augment, batch = build(config["augment"]), config["batch_size"]
    normalize = data.Normalize(splits.train_images, dataset.mean, dataset.std, zero_mean=False)
    rows, rng = len(splits.train_images), np.random.default_rng(0)
    while True:
        order = torch.from_numpy(rng.permutation(rows))
        draws = on_device(augment.draw(rng, rows), torch.device("cpu"))
        for start in range(0, rows, batch):
            now = slice(start, start + batch)
            gathered = splits.train_images[order[now]]
            images = augment(gathered, {name: values[now] for name, values in draws.items()}, normalize)
            yield len(images.contiguous(memory_format=torch.channels_last))


def mixexp_training(config: Mapping[str, Any], folder: Path) -> Iterator[int]:
    """mixexp's own loop; yields the images of every step."""
    counts = images_of_steps(len(load(config)[1].train_images), config["batch_size"])
    for _, images in zip(train(config, RunFolder(folder), {}), counts, strict=False):
        yield images


# -- measuring


def rate(steps: Iterator[int], seconds: float) -> float:
    """Images per second of at least `seconds`, after a warm-up."""
    for _ in islice(steps, WARM_UP_STEPS):
        pass
    images, started = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - started) < seconds or not images:
        images += next(steps)
    return images / elapsed


def alternate(measure: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Every measurement once a round; what disturbs the machine for a while disturbs all of them."""
    found: dict[str, list[float]] = {name: [] for name in measure}
    for _ in range(rounds):
        for name, once in measure.items():
            found[name].append(once())
    return found


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median, minimum and maximum of the rounds."""
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def versus_peer(found: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    """mixexp's rate over that of the peer's better variant, round by round."""
    peers = {name: statistics.median(values) for name, values in found.items() if name != "mixexp"}
    best = max(peers, key=peers.__getitem__)
    return {"peer": best, **spread([ours / peer for ours, peer in zip(found["mixexp"], found[best], strict=True)])}


def compare(what: str, loops: Mapping[str, Iterator[int]], threads: int, arguments: argparse.Namespace) -> dict[str, Any]:
    """One comparison: the rates of the loops, taken in turns, and the ratio."""
    torch.set_num_threads(threads)
    measure = {name: lambda steps=steps: rate(steps, arguments.seconds) for name, steps in loops.items()}
    found = alternate(measure, arguments.rounds)
    rates = {name: spread(values) for name, values in found.items()}
    return {"what": what, "threads": threads, "images_per_second": rates, "ratio": versus_peer(found)}


def input_path(node: Mapping[str, Any], arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Part (a): batches without a network."""
    config = configuration([], node)

    def loops() -> dict[str, Iterator[int]]:
        return {"mixexp": mixexp_input(config), **{f"peer, {n} workers": peer_input(config, n) for n in WORKERS}}

    return [compare("input path alone", loops(), threads, arguments) for threads in arguments.threads]


def training(node: Mapping[str, Any], arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Part (b): one run's training, evaluation left out."""
    found = []
    for label, overrides in {**MODELS, **{name: [f"model={name}"] for name in arguments.models}}.items():
        config = configuration(overrides, node)
        for threads in arguments.threads:
            with tempfile.TemporaryDirectory() as folder:
                peers = {f"peer, {n} workers": iter(Peer(config, n)) for n in WORKERS}
                loops = {"mixexp": mixexp_training(config, Path(folder)), **peers}
                found.append(compare(label, loops, threads, arguments))
                loops["mixexp"].close()  # it leaves a checkpoint, for which the folder has to be there
    return found


def mixexp_seconds(*words: str) -> float:
    """Wall time of a mixexp command, from its start to its end; raises CalledProcessError when it fails."""
    started = time.perf_counter()
    subprocess.run([sys.executable, "-m", "mixexp", *words], check=True, capture_output=True)
    return time.perf_counter() - started


def tiny_sweep(folder: Path, runs: int, *more: str) -> float:
    """Wall time of a sweep of runs that hardly train."""
    shutil.rmtree(folder, ignore_errors=True)
    return mixexp_seconds("-m", *TINY_SWEEP, f"seed=range({runs})", f"output_dir={folder}", *more)


def start_up(rounds: int) -> dict[str, Any]:
    """Part (c): what commands and a sweep's runs cost beside training.

    The cost of one more run is the difference of two sweeps, times the slots that share the runs: the start of the pool cancels.
    """
    with tempfile.TemporaryDirectory() as temporary:
        few, many = Path(temporary, "few"), Path(temporary, "many")
        tiny_sweep(many, MANY_RUNS)  # for the report to read
        found = alternate(
            {
                "mixexp --help": lambda: mixexp_seconds("--help"),
                "mixexp list": lambda: mixexp_seconds("list"),
                f"mixexp report, {MANY_RUNS} runs": lambda: mixexp_seconds("report", str(many / "tiny")),
                "mixexp plan, 1,000 cells": lambda: mixexp_seconds("plan", *THOUSAND_CELLS, f"output_dir={temporary}"),
                f"mixexp -m, {FEW_RUNS} tiny runs": lambda: tiny_sweep(few, FEW_RUNS),
                f"mixexp -m, {MANY_RUNS} tiny runs": lambda: tiny_sweep(many, MANY_RUNS),
            },
            rounds,
        )
        trained = [json.loads(path.read_text())["seconds"] for path in many.glob("tiny/*/result.json")]
    slots = len(slots_for([compose(list(TINY_SWEEP))] * MANY_RUNS))
    *_, short, long = found.values()
    each = [slots * (b - a) / (MANY_RUNS - FEW_RUNS) for a, b in zip(short, long, strict=True)]
    return {
        "wall_seconds": {name: spread(values) for name, values in found.items()},
        "pool": {"slots": slots, "seconds_per_run": spread(each), "of_these_training": statistics.mean(trained)},
    }


def sweep(runs: int, rounds: int) -> list[dict[str, Any]]:
    """Part (d): what a sweep of many tiny runs costs beside their training, with 1, 2 and 4 slots; its start is shared by the runs.

    A slot's time of a run less the run's own seconds: planning, loading data, building the network, writing the folder.
    """
    found = []
    for slots in SWEEP_SLOTS:
        walls, costs, trained = [], [], []
        for _ in range(rounds):
            with tempfile.TemporaryDirectory() as folder:
                walls.append(tiny_sweep(Path(folder, "sweep"), runs, f"runs_per_device={slots}"))
                own = [json.loads(path.read_text())["seconds"] for path in Path(folder).glob("sweep/tiny/*/result.json")]
            assert len(own) == runs, f"{len(own)} of {runs} runs finished"
            trained.append(statistics.mean(own))
            costs.append(slots * walls[-1] / runs - trained[-1])
        per_hour = [3600 * runs / wall for wall in walls]
        figures = {"wall_seconds": walls, "runs_per_hour": per_hour, "overhead_seconds": costs, "training_seconds": trained}
        found.append({"slots": slots, "runs": runs, **{name: spread(values) for name, values in figures.items()}})
    return found


# -- telling


def machine() -> dict[str, Any]:
    """What the figures were measured on, and how busy it was."""
    model = platform.processor() or platform.machine()
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), model)
    return {
        "date": time.strftime("%Y-%m-%d %H:%M %z"),
        "cpu": model,
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "cores": os.cpu_count(),
        "platform": platform.platform(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
        "load_average": [round(load, 2) for load in os.getloadavg()],
    }


def as_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Left-aligned columns, as wide as their widest cell."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    lines = [header, ["-" * width for width in widths], *rows]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines)


def show(value: Mapping[str, Any], form: str) -> str:
    """A median with its range."""
    return f"{value['median']:{form}}  ({value['min']:{form}} – {value['max']:{form}})"


def rates_table(comparisons: Sequence[Mapping[str, Any]]) -> str:
    """Rates and ratios, a row per loop."""
    rows = []
    for comparison in comparisons:
        for name, images in comparison["images_per_second"].items():
            ratio = comparison["ratio"]
            against = f"{show(ratio, '.2f')} x {ratio['peer']}" if name == "mixexp" else ""
            rows.append([comparison["what"], str(comparison["threads"]), name, show(images, ",.0f"), against])
    return as_table(["", "threads", "loop", "images/s", "ratio to the better peer"], rows)


def start_up_table(found: Mapping[str, Any]) -> str:
    """Wall times of commands, and the pool's cost of a run."""
    pool = found["pool"]
    rows = [[name, show(seconds, ".2f")] for name, seconds in found["wall_seconds"].items()]
    rows.append([f"one more tiny run, in one of {pool['slots']} slots", show(pool["seconds_per_run"], ".3f")])
    rows.append(["    of these the run's own seconds", f"{pool['of_these_training']:.3f}"])
    return as_table(["", "seconds"], rows)


def sweep_table(found: Sequence[Mapping[str, Any]]) -> str:
    """A sweep's wall time, runs per hour and cost of a run, a row per number of slots."""
    names = ("wall_seconds", "runs_per_hour", "overhead_seconds", "training_seconds")
    forms = (".1f", ",.0f", ".3f", ".3f")
    rows = [[str(row["slots"]), *(show(row[name], form) for name, form in zip(names, forms, strict=True))] for row in found]
    return as_table(["slots", "wall s", "runs per hour", "s a run beside training", "s a run training"], rows)


def parse(words: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=1.0, help="of each measurement (default 1)")
    parser.add_argument("--rounds", type=int, default=5, help="measurements of each loop, of which the median counts (default 5)")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="CPU threads (default 1 2)")
    parser.add_argument("--models", type=lambda text: text.split(","), default=[], help=f"more networks: {','.join(BIGGER)}")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, help="what to measure (default all)")
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    return parser.parse_args(words)


def main(words: Sequence[str] | None = None) -> None:
    """Measure, print and, where asked for, write."""
    arguments = parse(words)
    name, node = dataset_node()
    settings = {"data": name, "setting": SETTING, "seconds": arguments.seconds, "rounds": arguments.rounds}
    found: dict[str, Any] = {"machine": machine(), "settings": settings}
    print("\n".join(f"{key}: {value}" for key, value in {**found["machine"], **settings, "threads": arguments.threads}.items()))
    if "input" in arguments.parts:
        found["input"] = input_path(node, arguments)
        print(f"\n(a) input path alone, {name}\n\n{rates_table(found['input'])}", flush=True)
    if "training" in arguments.parts:
        found["training"] = training(node, arguments)
        print(f"\n(b) training of one run, {name}\n\n{rates_table(found['training'])}", flush=True)
    if "start_up" in arguments.parts:
        found["start_up"] = start_up(arguments.rounds)
        print(f"\n(c) start-up and cost of a run\n\n{start_up_table(found['start_up'])}", flush=True)
    if "sweep" in arguments.parts:
        found["sweep"] = sweep(SWEEP_RUNS, SWEEP_ROUNDS)
        print(f"\n(d) a sweep of {SWEEP_RUNS} tiny runs, {SWEEP_ROUNDS} rounds\n\n{sweep_table(found['sweep'])}", flush=True)
    found["machine"]["load_average_after"] = [round(load, 2) for load in os.getloadavg()]
    print(f"\nload average afterwards: {found['machine']['load_average_after']}")
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

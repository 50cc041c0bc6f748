"""The speed of mixexp against a plain DataLoader + PIL + mixup loop and the hardware, and the cost of its command.

All loops are measured in alternating rounds: on a shared machine the absolute figures vary, but the ratios hold. The
peer is the usual loop (as in facebookresearch/mixup-cifar10's train.py: 8 loader workers, PIL transforms, mixup in the
step, the loss and the number of correct predictions fetched every step), written here for today's torch, also with
fewer workers. "mixexp" is the training loop of runs, in each of its speed modes, on the same network, images, batch
size and optimizer; the peer computes in float32. Where other programs use the cores, loops with several threads
collapse to a fraction, mixexp's and the peer's: trust rows with a narrow range.

    python benchmarks/benchmark.py                                   20 minutes on two idle cores
    python benchmarks/benchmark.py --parts training --models cnn10,preact_resnet18 --seconds 3 --rounds 2 --threads 2
    python benchmarks/benchmark.py --device cuda --models mnist_cnn,cnn10,preact_resnet18
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import itertools
import json
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
import torchvision
from PIL import Image
from torch import Tensor
from torch.utils.benchmark import Timer
from torch.utils.data import DataLoader
from torch.utils.flop_counter import FlopCounterMode
from torchvision import transforms

from mixexp.build import build
from mixexp.dataset import Dataset, Splits
from mixexp.errors import UserError
from mixexp.plan.compose import compose
from mixexp.sweeping.pool import slots_for
from mixexp.sweeping.stream import DeviceStream
from mixexp.train import train
from mixexp.training import data
from mixexp.training.batches import Batches, Epoch
from mixexp.training.budget import budget_of
from mixexp.training.device import has_bfloat16, make_deterministic
from mixexp.training.folder import RunFolder, processor
from mixexp.training.network import Network
from mixexp.training.spec import RunConfig

SETTING = (
    "augment=standard",
    "mix=mixup",
    "alpha=1",
    "batch_size=128",
    "optimizer=sgd",
    # a partial batch has another shape, which would be compiled or captured during the measurement
    "drop_last=true",
    # the measurement stops the run, before any evaluation
    "steps=1000000000",
    "evaluations=1",
    "checkpoint_seconds=1000000000",
)
MODELS = {f"small_cnn, width {width}": ["model=small_cnn", f"model.width={width}"] for width in (8, 16)}
BIGGER = ("mnist_cnn", "cnn10", "cnn11", "preact_resnet18", "resnet18")
WORKERS = (0, 2, 8)
PEER = "peer, 8 workers"
"""The peer as its authors run it."""
WARM_UP_STEPS = (
    # of every round: more than the batches that loader workers have prefetched during the other measurements
    20
)
AT_ONCE = (1, 2, 4, 8)
THROUGHPUT_STEPS = {"cpu": 160, "cuda": 4000}
TINY_SWEEP = ("dataset=digits", "steps=2", "device=cpu", "name=tiny")
THOUSAND_CELLS = (
    "mix=none,mixup,bc,data_mix",
    "loss=cross_entropy,focal",
    "optimizer.lr=0.2,0.1,0.05,0.02,0.01",
    "seed=range(25)",
)
FEW_RUNS, MANY_RUNS = 2, 12
SWEEP_RUNS, SWEEP_SLOTS, SWEEP_ROUNDS = 200, (1, 2, 4), 3
AGGREGATED = ((100, 100), (10_000, 100))
# getrusage would include the memory of this process, since a child begins as its copy
REPORTING = (
    "import sys; from mixexp.cli import main; main(); sys.stderr.write(next(x for x in open('/proc/self/status') if"
    " x.startswith('VmHWM')))"
)
STATUS = Path("/proc/self/status")
"""The file with a process's peak memory, on Linux alone."""
PRECISIONS = ("float32", "bfloat16")
FOREACH = {
    "sgd": functools.partial(torch.optim.SGD, lr=0.1, momentum=0.9, weight_decay=1e-4, foreach=True),
    "adam": functools.partial(torch.optim.Adam, lr=1e-3, foreach=True),
}
"""torch's optimizers, as a reference for mixexp's updates."""


# -- the training data


class Synthetic(Dataset):
    """Random images of CIFAR-10's shape, for machines without it; speed does not depend on their content."""

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
    """The data's name and its node of a configuration: CIFAR-10 where MIXEXP_DATA has it, else synthetic images."""
    node = compose(["dataset=cifar10", "dataset.download=false"])["dataset"]
    try:
        data.load(node)
    except UserError:
        return "synthetic 32x32 colour", {"_target_": f"{__name__}.Synthetic", "images": 10_000}
    return "CIFAR-10", node


def configuration(overrides: Sequence[str], node: Mapping[str, Any], device: str = "cpu") -> dict[str, Any]:
    """The resolved configuration of a run that both loops train."""
    return {
        **compose([*SETTING, f"device={device}", "precision=float32", *overrides]),
        "dataset": dict(node),
        "trusted_modules": [__name__],
    }


# -- the peer


class PilImages(torch.utils.data.Dataset):
    """One PIL image at a time through the usual transforms, as torchvision's data sets return them."""

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
    """The peer's loader; its workers persist from epoch to epoch, which favours the peer."""
    images = PilImages(*data.load(config["dataset"], tuple(config["trusted_modules"])))
    with warnings.catch_warnings():
        # more workers than cores, as in the peer's own code
        warnings.filterwarnings("ignore", message="This DataLoader will create")
        return DataLoader(
            images,
            config["batch_size"],
            shuffle=True,
            drop_last=True,
            num_workers=workers,
            persistent_workers=workers > 0,
        )


def peer_input(config: Mapping[str, Any], workers: int) -> Iterator[int]:
    """The peer's batches without a network, endless; yields numbers of images."""
    batches = loader(config, workers)
    while True:
        for images, _ in batches:
            yield len(images)


class Peer:
    """The peer's training loop: an endless iterator that trains and yields the number of images of every step."""

    def __init__(self, config: Mapping[str, Any], workers: int) -> None:
        self.loader = loader(config, workers)
        body = build(config["model"], in_channels=3, image_size=(32, 32))
        self.device = torch.device(config["device"])
        self.network = Network(body, torch.nn.Linear(body.num_features, 10)).to(self.device)
        settings = {key: value for key, value in config["optimizer"].items() if key != "_target_"}
        self.optimizer = torch.optim.SGD(self.network.parameters(), **settings)
        self.alpha = config["alpha"]

    def step(self, images: Tensor, labels: Tensor) -> tuple[float, float]:
        """One step with mixup at the input: the batch's loss and its weighted number of correct predictions."""
        images, labels = images.to(self.device), labels.to(self.device)
        lam = float(np.random.beta(self.alpha, self.alpha))
        partners = torch.randperm(len(images), device=self.device)
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


def mixexp_input(config: Mapping[str, Any]) -> Iterator[int]:
    """mixexp's batches without a network, drawn, gathered, augmented and normalised as in train.

    Yields image counts.
    """
    dataset, splits = data.load(config["dataset"], tuple(config["trusted_modules"]))
    device, batch = torch.device(config["device"]), config["batch_size"]
    augment = build(config["augment"])
    normalize = data.Normalize.of(splits.train_images, dataset.mean, dataset.std, zero_mean=False).to(device)
    rows, rng = len(splits.train_images), np.random.default_rng(0)
    part = data.part(splits.train_images, splits.train_labels, np.arange(rows), device)
    budget = budget_of(RunConfig.of(config), rows, batch)
    layers = ["input"] * budget.steps_per_epoch
    batches = Batches(lambda _: Epoch(rng.permutation(rows), augment.draw(rng, rows), {}, layers), budget, device)
    for step in itertools.count():
        batches.turn_to(step)
        now = batches.rows(step)
        draws = batches.table.map(lambda values, now=now: values[now])
        images = augment(part.gather(draws.chosen), draws.augment, normalize).contiguous(
            memory_format=torch.channels_last
        )
        yield len(images)


def mixexp_training(config: Mapping[str, Any], folder: Path) -> Iterator[int]:
    """mixexp's own loop; yields the number of images of every step, or of several taken in one call."""
    make_deterministic(torch.device(config["device"]))
    stream, steps, before = (
        DeviceStream(torch.device(config["device"])),
        train(RunConfig.of(config), RunFolder(folder, lambda _: None), {}),
        0,
    )
    try:
        while True:
            done = stream.advance(steps).step
            yield (done - before) * config["batch_size"]
            before = done
    finally:
        stream.close(steps)


def modes(device: str) -> list[str]:
    """The speed modes of a device."""
    return [
        "eager",
        *(["compiled"] if device == "cuda" or shutil.which(os.environ.get("CXX", "g++")) else []),
        *(["graph"] * (device == "cuda")),
    ]


# -- measuring


def settled() -> None:
    """Wait until a GPU has finished its work."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def rate(steps: Iterator[int], seconds: float) -> float:
    """Images per second over at least `seconds`, after a warm-up of at most the same time."""
    started = time.perf_counter()
    for _ in islice(steps, WARM_UP_STEPS):
        if time.perf_counter() - started > seconds:
            break
    settled()
    images, started = 0, time.perf_counter()
    while time.perf_counter() - started < seconds or not images:
        images += next(steps)
    settled()
    return images / (time.perf_counter() - started)


def best_of(action: Callable[[], Any], seconds: float = 0.5) -> float:
    """The shortest of an action's times, in seconds, on torch's present number of threads."""
    timer = Timer("action()", globals={"action": action}, num_threads=torch.get_num_threads())
    return min(timer.blocked_autorange(min_run_time=seconds).times)


def ceilings(device: str, threads: int) -> dict[str, float]:
    """The peak rates of the device: products of large matrices in FLOP/s, by precision, and a copy in bytes/s.

    A copy counts reading and writing.
    """
    torch.set_num_threads(threads)
    side, rates = (8192 if device == "cuda" else 1024), {}
    for name in ("float32", "bfloat16"):
        a, b = (torch.randn(side, side, device=device).to(getattr(torch, name)) for _ in range(2))
        rates[name] = 2 * side**3 / best_of(lambda a=a, b=b: a @ b)
    source = torch.randn(2**30 if device == "cuda" else 2**25, device=device)
    target = torch.empty_like(source)
    rates["copy"] = 2 * source.nbytes / best_of(lambda: target.copy_(source))
    return rates


def alternate(measure: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """The results of every measurement, taken once a round; a disturbance of the machine then affects all of them."""
    results: dict[str, list[float]] = {name: [] for name in measure}
    for _ in range(rounds):
        for name, once in measure.items():
            results[name].append(once())
    return results


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median, minimum and maximum of the rounds."""
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def versus_peer(rates: Mapping[str, Sequence[float]]) -> dict[str, dict[str, Any]]:
    """Each of mixexp's rates over that of the peer as its authors run it, and of its best variant, round by round."""
    peers = {name: statistics.median(values) for name, values in rates.items() if name.startswith("peer")}
    best, usual = max(peers, key=peers.__getitem__), PEER if PEER in peers else min(peers, key=peers.__getitem__)

    def over(name: str, peer: str) -> dict[str, Any]:
        return {"peer": peer, **spread([ours / theirs for ours, theirs in zip(rates[name], rates[peer], strict=True)])}

    return {name: {"own": over(name, usual), "best": over(name, best)} for name in rates if name not in peers}


def compare(
    what: str,
    ours: Mapping[str, Iterator[int]],
    peer: Callable[[int], Iterator[int]],
    threads: int,
    arguments: argparse.Namespace,
) -> dict[str, Any]:
    """One comparison: the rates of mixexp's loops and of the peer, by number of workers, in turns, and the ratios."""
    torch.set_num_threads(threads)
    loops = {**ours, **{f"peer, {workers} workers": peer(workers) for workers in WORKERS}}
    measure = {name: lambda steps=steps: rate(steps, arguments.seconds) for name, steps in loops.items()}
    results = alternate(measure, arguments.rounds)
    rates = {name: spread(values) for name, values in results.items()}
    return {"what": what, "threads": threads, "images_per_second": rates, "ratio": versus_peer(results)}


def input_path(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Part (a): batches without a network."""
    config = configuration([], arguments.node, arguments.device)
    peer = functools.partial(peer_input, config)
    return [
        compare("input path alone", {"mixexp": mixexp_input(config)}, peer, threads, arguments)
        for threads in arguments.threads
    ]


def training(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Part (b): one run's training without evaluation; its operations as a fraction of the measured matmul rate."""
    rows = []
    models = {name: [f"model={name}"] for name in arguments.models} or MODELS
    for (label, overrides), threads in itertools.product(models.items(), arguments.threads):
        torch.set_num_threads(threads)  # the compiler generates code for this number of threads
        config = configuration(overrides, arguments.node, arguments.device)
        with tempfile.TemporaryDirectory() as folder:
            loops = {}
            for precision, mode in itertools.product(PRECISIONS, modes(arguments.device)):
                settings = configuration(
                    [*overrides, f"speed={mode}", f"precision={precision}"], arguments.node, arguments.device
                )
                loops[f"mixexp {mode}, {precision}"] = mixexp_training(settings, Path(folder, f"{mode} {precision}"))
            for ours in loops.values():  # compiled and captured before any measurement
                for _ in islice(ours, 3):
                    pass
            row = compare(label, loops, lambda workers, config=config: iter(Peer(config, workers)), threads, arguments)
            row["flops_per_image"] = operations(config)
            row["ceilings"] = ceilings(arguments.device, threads)
            row["of_matmul_rate"] = {
                name: (
                    images["median"]
                    * row["flops_per_image"]
                    / row["ceilings"]["bfloat16" if "bfloat16" in name else "float32"]
                )
                for name, images in row["images_per_second"].items()
            }
            if arguments.device == "cuda":
                row["memory_of_all_loops"] = torch.cuda.max_memory_allocated()
            for ours in loops.values():
                ours.close()  # it leaves a checkpoint, which needs the folder
        rows.append(row)
    return rows


def operations(config: Mapping[str, Any]) -> float:
    """Floating-point operations of an image's forward and backward pass, without the gradient of the image itself."""
    body = build(config["model"], in_channels=3, image_size=(32, 32))
    network = Network(body, torch.nn.Linear(body.num_features, 10))
    with FlopCounterMode(display=False) as counter:
        network(torch.zeros(2, 3, 32, 32)).sum().backward()
    return counter.get_total_flops() / 2


def optimizer_step(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Part (c): an update alone, mixexp's fused one against torch's foreach."""
    rows = []
    for model, kind, threads in itertools.product(("cnn10", "preact_resnet18"), FOREACH, arguments.threads):
        torch.set_num_threads(threads)
        node = compose([f"optimizer={kind}"])["optimizer"]
        made = {}
        for name, make in (
            ("mixexp", lambda p, node=node: build(node, parameters=p, params=p)),
            ("foreach", FOREACH[kind]),
        ):
            body = build(compose([f"model={model}"])["model"], in_channels=3, image_size=(32, 32)).to(arguments.device)
            for parameter in body.parameters():
                parameter.grad = torch.ones_like(parameter)
            made[name] = make(list(body.parameters()))
        times = alternate({name: lambda o=o: best_of(o.step, 0.3) for name, o in made.items()}, arguments.rounds)
        ratio = spread([b / a for a, b in zip(times["mixexp"], times["foreach"], strict=True)])
        rows.append(
            {
                "what": f"{model}, {kind}",
                "threads": threads,
                "seconds": {n: spread(v) for n, v in times.items()},
                "ratio": ratio,
            }
        )
    return rows


def throughput(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Part (d): several runs at once in a sweep: images per second of all, between their first and last evaluation."""
    measurements = []
    dataset = "cifar10" if arguments.data == "CIFAR-10" else "digits"
    images = min(50_000, 32 * arguments.steps)  # at least four epochs, and so evaluations
    shared = [
        f"dataset={dataset}",
        "subset=head",
        f"subset.n={images}",
        "augment=standard",
        "mix=mixup",
        "drop_last=true",
        "evaluations=3",
    ]
    shared += [
        f"device={arguments.device}",
        f"speed={modes(arguments.device)[-1]}",
        f"steps={arguments.steps}",
        "name=throughput",
    ]
    models = {name: f"model={name}" for name in arguments.models} or {"small_cnn, width 16": "model=small_cnn"}
    for (label, model), at_once in itertools.product(models.items(), AT_ONCE):
        with tempfile.TemporaryDirectory() as folder, memory_used(arguments.device) as samples:
            mixexp_seconds(
                "-m", model, *shared, f"seed=range({at_once})", f"runs_per_device={at_once}", f"output_dir={folder}"
            )
            runs = [pd.read_csv(path) for path in sorted(Path(folder, "throughput").glob("*/metrics.csv"))]
        # evaluations included
        spans = [rows[["step", "seconds"]].iloc[-1] - rows[["step", "seconds"]].iloc[0] for rows in runs]
        rates = [128 * span["step"] / span["seconds"] for span in spans]
        assert len(rates) == at_once, f"{len(rates)} of {at_once} runs finished"
        measurements.append(
            {"what": label, "at_once": at_once, "images_per_second": sum(rates), "memory": max(samples)}
        )
    return measurements


@contextlib.contextmanager
def memory_used(device: str) -> Iterator[list[int]]:
    """Samples, twice a second, of the memory used by commands begun inside, all processes together.

    It is a GPU's memory, or the machine's.
    """

    def used() -> int:
        if device == "cuda":
            free, total = torch.cuda.mem_get_info()
            return total - free
        lines = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
        return 1024 * (int(lines["MemTotal"].split()[0]) - int(lines["MemAvailable"].split()[0]))

    before, samples, over = used(), [0], threading.Event()

    def watch() -> None:
        while not over.wait(0.5):
            samples.append(used() - before)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield samples
    finally:
        over.set()
        thread.join()


def aggregate(runs: int, rows: int) -> dict[str, Any]:
    """Part (g): the report of many runs: seconds until its tables are printed and in all, and memory."""
    with tempfile.TemporaryDirectory() as temporary:
        tiny_sweep(Path(temporary, "one"), 1)
        (model,) = Path(temporary, "one", "tiny").glob("*/result.json")
        files = {
            path.name: path.read_text() for path in model.parent.iterdir() if path.suffix in (".json", ".yaml", ".csv")
        }
        header, *_, row = files["metrics.csv"].splitlines()
        cells = dict(zip(header.split(","), row.split(","), strict=True))
        lines = [
            ",".join({**cells, "step": str(k), "epoch": str(k), "accuracy": f"{k / rows:.6f}"}.values())
            for k in range(1, rows + 1)
        ]
        files["metrics.csv"] = "\n".join([header, *lines]) + "\n"
        files["result.json"] = json.dumps(json.loads(files["result.json"]) | {"evaluations": rows})
        for seed in range(runs):
            folder = Path(temporary, "many", f"{seed:012x}")
            folder.mkdir(parents=True)
            for name, text in files.items():
                folder.joinpath(name).write_text(
                    re.sub("^seed: 0$", f"seed: {seed}", text, flags=re.MULTILINE) if name == "config.yaml" else text
                )
        command = [sys.executable, "-c", REPORTING, "report", str(Path(temporary, "many"))]
        started = time.perf_counter()
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as report:
            report.stdout.readline()  # a table is written to the terminal at once
            printed = time.perf_counter() - started
            errors = report.communicate()[1]
        if report.returncode:
            raise subprocess.CalledProcessError(report.returncode, command, stderr=errors)
        seconds = time.perf_counter() - started
    return {"runs": runs, "rows": rows, "tables": printed, "seconds": seconds, "memory": 1024 * int(errors.split()[-2])}


def mixexp_seconds(*words: str) -> float:
    """Wall time of a mixexp command, from start to end; raises CalledProcessError when it fails."""
    started = time.perf_counter()
    subprocess.run([sys.executable, "-m", "mixexp", *words], check=True, capture_output=True)
    return time.perf_counter() - started


def tiny_sweep(folder: Path, runs: int, *more: str) -> float:
    """Wall time of a sweep of runs that hardly train."""
    shutil.rmtree(folder, ignore_errors=True)
    return mixexp_seconds("-m", *TINY_SWEEP, f"seed=range({runs})", f"output_dir={folder}", *more)


def start_up(rounds: int) -> dict[str, Any]:
    """Part (e): the cost of commands and of a sweep's runs, apart from training.

    The cost of one more run is the difference of two sweeps, times the slots that share the runs: the start of the pool
    cancels.
    """
    with tempfile.TemporaryDirectory() as temporary:
        few, many = Path(temporary, "few"), Path(temporary, "many")
        tiny_sweep(many, MANY_RUNS)  # for the report
        times = alternate(
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
    slots = len(slots_for([RunConfig.of(compose(list(TINY_SWEEP)))] * MANY_RUNS))
    *_, short, long = times.values()
    each = [slots * (b - a) / (MANY_RUNS - FEW_RUNS) for a, b in zip(short, long, strict=True)]
    return {
        "wall_seconds": {name: spread(values) for name, values in times.items()},
        "pool": {"slots": slots, "seconds_per_run": spread(each), "of_these_training": statistics.mean(trained)},
    }


def sweep(runs: int, rounds: int) -> list[dict[str, Any]]:
    """Part (f): the overhead of a sweep of many tiny runs, with 1, 2 and 4 slots; the runs share the sweep's start.

    It is a slot's time per run minus the run's own seconds: planning, loading data, building the network, writing the
    folder.
    """
    rows = []
    for slots in SWEEP_SLOTS:
        walls, costs, trained = [], [], []
        for _ in range(rounds):
            with tempfile.TemporaryDirectory() as folder:
                walls.append(tiny_sweep(Path(folder, "sweep"), runs, f"runs_per_device={slots}"))
                run_seconds = [
                    json.loads(path.read_text())["seconds"] for path in Path(folder).glob("sweep/tiny/*/result.json")
                ]
            assert len(run_seconds) == runs, f"{len(run_seconds)} of {runs} runs finished"
            trained.append(statistics.mean(run_seconds))
            costs.append(slots * walls[-1] / runs - trained[-1])
        per_hour = [3600 * runs / wall for wall in walls]
        figures = {
            "wall_seconds": walls,
            "runs_per_hour": per_hour,
            "overhead_seconds": costs,
            "training_seconds": trained,
        }
        rows.append({"slots": slots, "runs": runs, **{name: spread(values) for name, values in figures.items()}})
    return rows


# -- reporting


def left_out(device: str, parts: Sequence[str]) -> dict[str, str]:
    """The parts that cannot be measured on this machine, with the reasons."""
    reasons = {}
    if device == "cpu" and "compiled" not in modes(device):
        reasons["compiled"] = "no C++ compiler (g++, or what CXX names)"
    if not STATUS.exists():
        reasons |= {
            part: "only Linux's /proc says how much memory it uses"
            for part in ("throughput", "aggregate")
            if part in parts
        }
    return reasons


def machine() -> dict[str, Any]:
    """The machine of the measurement, and its load."""
    return {
        "date": time.strftime("%Y-%m-%d %H:%M %z"),
        "cpu": processor(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "bfloat16_instructions": has_bfloat16(),
        "cores": os.cpu_count(),
        **({"gpu": torch.cuda.get_device_name(), "cuda": torch.version.cuda} if torch.cuda.is_available() else {}),
        "platform": platform.platform(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
        "load_average": [round(load, 2) for load in os.getloadavg()],
    }


def shown(value: Any) -> str:
    """A figure to three digits or, for several rounds, their median with its range."""
    if isinstance(value, Mapping):
        return f"{shown(value['median'])}  ({shown(value['min'])} – {shown(value['max'])})"
    if isinstance(value, float) and abs(value) < 100:
        return f"{value:#.3g}"
    return value if isinstance(value, str) else f"{value:,.0f}"


def as_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Left-aligned columns, as wide as their widest cell, under the keys of the rows."""
    cells = [list(rows[0]), *([shown(value) for value in row.values()] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    cells.insert(1, ["-" * width for width in widths])
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in cells
    )


def rates_table(comparisons: Sequence[Mapping[str, Any]]) -> str:
    """Rates and ratios, a row per loop."""
    peers = {key: ratio["peer"] for key, ratio in next(iter(comparisons[0]["ratio"].values())).items()}
    rows = []
    for comparison in comparisons:
        for name, images in comparison["images_per_second"].items():
            row = {"": comparison["what"], "threads": comparison["threads"], "loop": name, "images/s": images}
            ratio = comparison["ratio"].get(name, {"own": "", "best": ""})
            row |= {f"x {peers['own']}": ratio["own"], f"x the best peer ({peers['best']})": ratio["best"]}
            rows.append(
                {
                    **row,
                    "of matmul rate": (
                        f"{comparison['of_matmul_rate'][name]:.0%}" if "of_matmul_rate" in comparison else ""
                    ),
                }
            )
    return as_table(rows)


def training_table(comparisons: Sequence[Mapping[str, Any]]) -> str:
    """Rates and ratios, the device's peak rates for each comparison, and the operations of an image."""
    rows = []
    for comparison in comparisons:
        row = {"": comparison["what"], "threads": comparison["threads"]}
        units = {"float32": "matmul GFLOP/s, float32", "bfloat16": "bfloat16", "copy": "copy GB/s"}
        row |= {unit: comparison["ceilings"][name] / 1e9 for name, unit in units.items()}
        rows.append({**row, "MFLOP an image, forward and backward": comparison["flops_per_image"] / 1e6})
    return f"{rates_table(comparisons)}\n\n{as_table(rows)}"


def optimizer_table(comparisons: Sequence[Mapping[str, Any]]) -> str:
    """Milliseconds of an update, and the ratio."""
    rows = []
    for row in comparisons:
        times = {f"{name}, ms": 1e3 * row["seconds"][name]["median"] for name in ("mixexp", "foreach")}
        rows.append({"": row["what"], "threads": row["threads"], **times, "ratio": row["ratio"]})
    return as_table(rows)


def throughput_table(measurements: Sequence[Mapping[str, Any]]) -> str:
    """Images per second of all runs together, and memory, per number of runs at once."""
    alone = {row["what"]: row["images_per_second"] for row in measurements if row["at_once"] == AT_ONCE[0]}
    rows = []
    for row in measurements:
        rates = {
            "images/s together": row["images_per_second"],
            "x one alone": row["images_per_second"] / alone[row["what"]],
        }
        memory = {"GiB, all processes": row["memory"] / 2**30, "GiB a run": row["memory"] / row["at_once"] / 2**30}
        rows.append({"": row["what"], "at once": row["at_once"], **rates, **memory})
    return as_table(rows)


def start_up_table(measurement: Mapping[str, Any]) -> str:
    """Wall times of commands, and the pool's cost of a run."""
    pool = measurement["pool"]
    seconds = {
        **measurement["wall_seconds"],
        f"one more tiny run, in one of {pool['slots']} slots": pool["seconds_per_run"],
    }
    seconds["    of these the run's own seconds"] = pool["of_these_training"]
    return as_table([{"": name, "seconds": figure} for name, figure in seconds.items()])


PARTS: dict[str, tuple[str, Callable[[argparse.Namespace], Any], Callable[[Any], str]]] = {
    "input": ("(a) input path alone, {data}", input_path, rates_table),
    "training": ("(b) training of one run, {data}", training, training_table),
    "optimizer": ("(c) an optimizer's update", optimizer_step, optimizer_table),
    "throughput": ("(d) runs at once, one thread each, {steps} steps", throughput, throughput_table),
    "start_up": ("(e) start-up and cost of a run", lambda arguments: start_up(arguments.rounds), start_up_table),
    "sweep": (
        f"(f) a sweep of {SWEEP_RUNS} tiny runs, {SWEEP_ROUNDS} rounds",
        lambda _: sweep(SWEEP_RUNS, SWEEP_ROUNDS),
        as_table,
    ),
    "aggregate": ("(g) mixexp report of many runs", lambda _: list(itertools.starmap(aggregate, AGGREGATED)), as_table),
}
"""The parts: heading, measurement and table of each."""


def parse(words: Sequence[str] | None) -> argparse.Namespace:
    """The parsed command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=1.0, help="of each measurement (default 1)")
    parser.add_argument(
        "--rounds", type=int, default=5, help="measurements of each loop, of which the median counts (default 5)"
    )
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="CPU threads (default 1 2)")
    parser.add_argument(
        "--models", type=lambda text: text.split(","), default=[], help=f"instead of small_cnn: {','.join(BIGGER)}"
    )
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, help="what to measure (default all)")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="where to train (default cpu)")
    parser.add_argument(
        "--steps", type=int, help="of each run of the throughput (default 160 on the CPU, 4000 on CUDA)"
    )
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    arguments = parser.parse_args(words)
    arguments.steps = arguments.steps or THROUGHPUT_STEPS[arguments.device]
    return arguments


def main(words: Sequence[str] | None = None) -> None:
    """Measure, print and, where requested, write."""
    arguments = parse(words)
    arguments.data, arguments.node = dataset_node()
    settings = {"data": arguments.data, "setting": SETTING, "seconds": arguments.seconds, "rounds": arguments.rounds}
    without = left_out(arguments.device, arguments.parts)
    results: dict[str, Any] = {"machine": {**machine(), "left_out": without}, "settings": settings}
    print(
        "\n".join(
            f"{key}: {value}" for key, value in {**results["machine"], **settings, "threads": arguments.threads}.items()
        )
    )
    for part, (heading, measure, table) in PARTS.items():
        if part in arguments.parts and part not in without:
            results[part] = measure(arguments)
            print(f"\n{heading.format(**vars(arguments))}\n\n{table(results[part])}", flush=True)
    results["machine"]["load_average_after"] = [round(load, 2) for load in os.getloadavg()]
    print(f"\nload average afterwards: {results['machine']['load_average_after']}")
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

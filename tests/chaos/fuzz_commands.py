"""Random command lines through the real entry point, each judged: refused in one message, or the run that was asked
for.

A command may be refused (exit code 2, one message, nothing written), may train (exit code 0, and every config.yaml says
what was typed, by a composition of the options' files that shares nothing with Hydra's), or may have runs that fail
(exit code 1, with their table). A traceback, a silence, a hang, or another configuration than the one asked for is a
fault.

    python tests/chaos/fuzz_commands.py                      2,000 commands, half an hour on one core
    python tests/chaos/fuzz_commands.py --seed 7 --count 150
    python tests/chaos/fuzz_commands.py --only 1284          one command of a seed again, with all that it printed
"""

from __future__ import annotations

import argparse
import collections
import itertools
import json
import random
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from omegaconf import OmegaConf

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import commands

from mixexp.plan.options import options
from mixexp.settings import CONF, leaves
from mixexp.spec.grid import as_override

SECONDS = 600
"""That a command may take; the slowest takes ten on an idle core, and with two threads on a crowded one minutes."""
MEMORY = 12 * 2**30
"""Bytes that a command may allocate, so that one which asks for more fails by itself."""
EXPERIMENTS = ("toy_mixup", "toy_pairs", "mixup_gan", "mixup_tables", "quickstart")
"""Those whose data need no file."""
DATASETS = {"digits": "small_cnn", "iris": "mlp", "wine": "mlp", "two_moons": "mlp", "grid": "mlp", "sandwich": "mlp"}
"""Data sets that need no file, and a model for each."""
SMALL = ("small_cnn", "mlp", "lenet", "sound_cnn", "mnist_cnn_2d")
"""Models that a command may train; the others are only planned."""
BORDERS = (0, -1, 1, 2, 3, 17, 10**5, 10**9, 10**18, 10**30, 0.5, 0.99, 1.0, -0.5, 1e-300, 1e300)
ODD = (
    "null",
    "[]",
    "{}",
    "''",
    "' '",
    "abc",
    "true",
    "[1,2]",
    "{a: 1}",
    "1e400",
    "nan",
    "inf",
    "-inf",
    "0x10",
    "1_000",
    "'1'",
    "ü",
    "*",
    "\\,",
)
"""Values of another type than a setting has, as typed: what YAML or Hydra makes of them is not predicted."""
BUDGETS = ("steps", "epochs", "evaluations")


@dataclass(frozen=True)
class Word:
    """A word of a command line, and what it asks for.

    does: "choose" (an option), "set" (a value), "axis" (several values or options), "remove", or "unclear" where the
    result is not predicted.
    """

    text: str
    does: str
    key: str = ""
    value: Any = None


@dataclass(frozen=True)
class Command:
    """A command line; expected: the configurations that it asks for where they can be said, None where it need only
    answer well."""

    words: tuple[str, ...]
    expected: list[dict[str, Any]] | None = None


@dataclass
class Verdict:
    """How a command ended, and what is wrong with that."""

    outcome: str
    faults: list[str] = field(default_factory=list)


# -- what a command line asks for, from the options' files alone


def option(group: str, name: str) -> dict[str, Any]:
    """An option's settings, references unresolved."""
    found = OmegaConf.to_container(OmegaConf.load(CONF / group / f"{name}.yaml"))
    settings: dict[str, Any] = {}
    for entry in found.pop("defaults", ()):
        inner, _, place = entry.partition("@")
        settings = merged(settings, {place: option(group, inner)} if place else option(group, inner))
    return merged(settings, found)


def merged(base: Any, over: Any) -> Any:
    """Mappings merged key by key; anything else is replaced."""
    if not isinstance(base, Mapping) or not isinstance(over, Mapping):
        return over
    return {**base, **{key: merged(base[key], value) if key in base else value for key, value in over.items()}}


def asked_for(words: Sequence[Word], folder: Path) -> dict[str, Any] | None:
    """The configuration that words without axes ask for, None where one of them is unclear."""
    if any(word.does in ("unclear", "remove") for word in words):
        return None
    root = OmegaConf.to_container(OmegaConf.load(CONF / "config.yaml"))
    choices = {
        group: name for entry in root.pop("defaults") if isinstance(entry, dict) for group, name in entry.items()
    }
    choices = {group: name for group, name in choices.items() if not group.startswith("override ")}
    chosen = {word.key: word.value for word in words if word.does == "choose"}
    over = {}
    if chosen.get("experiment"):
        over = OmegaConf.to_container(OmegaConf.load(CONF / "experiment" / f"{chosen['experiment']}.yaml"))
        entries = [pair for entry in over.pop("defaults") if isinstance(entry, dict) for pair in entry.items()]
        choices |= {group.removeprefix("override /"): name for group, name in entries}
    choices |= chosen
    config = {key: value for key, value in root.items() if key != "hydra"}
    for group, name in choices.items():
        if group != "experiment" and not group.startswith("hydra/"):
            config[group] = option(group, name) if name is not None else None
    config = merged(config, {key: value for key, value in over.items() if key != "hydra"})
    for word in words:
        if word.does == "set":
            config = _with(config, word.key.split("."), word.value)
            if config is None:
                return None
    return _settled(config, choices, folder)


def _with(config: Any, path: Sequence[str], value: Any) -> Any:
    """The configuration with a setting changed, None where it has no such setting."""
    if not isinstance(config, Mapping) or path[0] not in config:
        return None
    inner = merged(config[path[0]], value) if len(path) == 1 else _with(config[path[0]], path[1:], value)
    return None if inner is None and len(path) > 1 else {**config, path[0]: inner}


def _settled(config: dict[str, Any], choices: dict[str, Any], folder: Path) -> dict[str, Any]:
    """References resolved, and one spelling for what acts alike."""
    refers = "${alpha}" in json.dumps(config)
    config["data_dir"] = (
        str(folder / "data")
        if config["data_dir"] == "${oc.env:MIXEXP_DATA,data}"
        else str(folder / str(config["data_dir"]))
    )
    config = OmegaConf.to_container(OmegaConf.create(config), resolve=True)
    config["choices"] = dict(choices)
    if config["steps"] is not None:
        config["epochs"] = None
    if not refers:
        config["alpha"] = None
    if config["gan"] is not None:
        config["precision"] = "float32"
    if choices["mix"] == "none":
        config["mix_layer"], config["choices"]["mix_layer"] = option("mix_layer", "input"), None
    return config


def differing(expected: Any, found: Any, path: str = "") -> list[str]:
    """Where two configurations differ, as `key: asked for …, is …`."""
    if isinstance(expected, Mapping) and isinstance(found, Mapping):
        return [
            line
            for key in {**expected, **found}
            for line in differing(expected.get(key), found.get(key), f"{path}.{key}" if path else key)
        ]
    if isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        return [
            line
            for i, (a, b) in enumerate(zip(expected, found, strict=True))
            for line in differing(a, b, f"{path}[{i}]")
        ]
    alike = expected == found and isinstance(expected, bool) == isinstance(found, bool)
    if path == "device" and expected == "auto":  # a sweep gives each run a device of its own
        return []
    digits = (
        isinstance(found, str) and isinstance(expected, int | float) and found == str(expected)
    )  # a text given as a number
    return [] if alike or digits else [f"{path}: asked for {expected!r}, is {found!r}"]


# -- making command lines


class Maker:
    """Command lines from a random generator."""

    def __init__(self, rng: random.Random, folder: Path) -> None:
        self.rng, self.folder = rng, folder
        self.groups = {group: sorted(members) for group, members in options([CONF]).items()}
        root = OmegaConf.to_container(OmegaConf.load(CONF / "config.yaml"))
        self.root = {key: value for key, value in root.items() if key not in ("defaults", "hydra", *self.groups)}

    def command(self) -> Command:
        """A command line of any kind."""
        kinds = (self.run, self.sweep, self.plan, self.named, self.reading, self.flags)
        return self.rng.choices(kinds, (58, 10, 12, 10, 8, 2))[0]()

    def run(self) -> Command:
        """One run."""
        words = self.words(self.rng.choice((0, 1, 1, 2, 2, 3, 4)))
        config = asked_for(words, self.folder)
        return Command(tuple(word.text for word in words), None if config is None else [config])

    def sweep(self) -> Command:
        """A sweep over one to three axes, of at most four cells."""
        words = self.words(self.rng.choice((0, 0, 1)), experiments=False)  # whose own grids are of many more runs
        axes = [self.axis(size) for size in self.rng.choice(((2,), (3,), (2, 2), (2, 1, 2), (4,)))]
        axes = list({word.key: word for word in axes if word.key not in {word.key for word in words}}.values())
        line = ("-m", *(word.text for word in words), *(word.text for word in axes))
        if not axes:
            return Command(line)
        cells = []
        for values in itertools.product(*(word.value for word in axes)):
            does = ["choose" if word.key in self.groups else "set" for word in axes]
            cells.append([*words, *(Word("", d, word.key, v) for d, word, v in zip(does, axes, values, strict=True))])
        configs = [asked_for(cell, self.folder) for cell in cells]
        return Command(line, None if None in configs else configs)

    def plan(self) -> Command:
        """A plan, which may be of what nobody would train here."""
        words = self.words(self.rng.choice((1, 1, 2, 3)), huge=True)
        names = [self.rng.choice([*self.groups["experiment"], "small_dat"])] if self.rng.random() < 0.15 else []
        return Command(("plan", *names, *(word.text for word in words)))

    def named(self) -> Command:
        """A command that takes a name."""
        choose = self.rng.choice
        word = self.change(choose(list(self.root)), huge=True).text
        return choose(
            [
                Command(("list", choose([*self.groups, "modle", "lists"]))),
                Command(("list",)),
                Command(("data", choose([*DATASETS, *self.groups["dataset"], "mnits"]), "dataset.download=false")),
                Command(("data", choose(list(DATASETS)), word)),
                Command((choose(["data", "reproduce", "plan", "probe", "log", "report", "status"]),)),
                Command(
                    (
                        "reproduce",
                        choose(["toy_mixup", "toy_mixpu"]),
                        "alpha=1",
                        "steps=1",
                        "evaluations=1",
                        "output_dir=out",
                        word,
                    )
                ),
                Command(("probe", choose(["out", "nowhere", "."]), f"probe={choose([*self.groups['probe'], 'tsn'])}")),
                Command(("log", choose(["out", "nowhere"]), f"logger={choose(['tensorboard', 'tensorbord', 'null'])}")),
                Command((choose(["lst", "repor", "plans", "runs", "help", "Status", "mixup", ""]),)),
            ]
        )

    def reading(self) -> Command:
        """A command that reads the runs of earlier ones."""
        choose = self.rng.choice
        folder = choose(["kept/runs", "kept/runs", "kept", "nowhere", ".", "kept/file", ""])
        extra = choose([(), (), ("--rule", "best"), ("--rule", "bset"), ("--rule",), ("x=1",), ("--out",)])
        word = choose(["status", "status", "report", "compare", "leaderboard"])
        return Command((word, folder, *((choose(["kept/runs", "nowhere"]),) if word == "compare" else ()), *extra))

    def flags(self) -> Command:
        """Hydra's own options, and words of no command."""
        words = [word.text for word in self.words(1)]
        ways = (
            ["--cfg", "job"],
            ["-m", "--cfg", "job"],
            ["--help"],
            ["--help-hydra"],
            ["--version"],
            ["--config-dir", "nowhere"],
            ["--info"],
        )
        return Command((*self.rng.choice(ways), *words))

    def words(self, count: int, huge: bool = False, experiments: bool = True) -> list[Word]:
        """The words of a small run and so many random ones; huge: sizes may be beyond what anybody trains."""
        rng = self.rng
        dataset = rng.choice(list(DATASETS))
        chosen = {"dataset": dataset, "model": DATASETS[dataset]}
        few = {
            "dataset": tuple(DATASETS),
            "experiment": EXPERIMENTS,
            **({} if huge else {"model": SMALL, "logger": ("tensorboard",)}),
        }
        for group in rng.sample([group for group in self.groups if group != "speed"], rng.choice((0, 1, 1, 2))):
            chosen[group] = rng.choice(few.get(group, self.groups[group]))
        if not experiments:
            chosen.pop("experiment", None)
        if "experiment" in chosen:
            chosen = {"experiment": chosen["experiment"]}
        of_options = leaves({group: option(group, name) for group, name in chosen.items() if group != "experiment"})
        settings = {key: value for key, value in of_options.items() if not key.endswith("_target_")}
        words = [Word(f"{group}={name}", "choose", group, name) for group, name in chosen.items()]
        if not huge:
            words += [
                self._set(key, size)
                for key, size in {"model.width": 2, "dataset.train_points": 60}.items()
                if key in settings
            ]
        odd = []
        for _ in range(count):
            kind = rng.random()
            if kind < 0.5 and settings:
                odd.append(self.change(*rng.choice(list(settings.items())), huge=huge))
            elif kind < 0.8:
                odd.append(self.change(*rng.choice(list(self.root.items())), huge=huge))
            else:
                odd.append(self.strange(settings))
        words += [
            self._set(key, value)
            for key, value in {"steps": 2, "evaluations": 1, "output_dir": "out", "batch_size": 8}.items()
        ]
        rng.shuffle(words)
        return [*words, *odd]

    def change(self, key: str, value: Any = None, huge: bool = False) -> Word:
        """A setting with another value: near its own, at a border, or of another type."""
        rng, kind = self.rng, self.rng.random()
        if key in ("output_dir", "name", "data_dir"):
            new = (
                rng.choice(["out", "a b", "out/x", "ü"])
                if key != "name"
                else rng.choice(["runs", "a b", "ä", "x=1", "..", "a/b"])
            )
            return Word(f"{key}={json.dumps(new, ensure_ascii=False)}", "set", key, new)
        if kind < 0.12:
            return Word(f"{key}={rng.choice(ODD)}", "unclear")
        if isinstance(value, bool):
            return self._set(key, rng.choice([True, False]))
        if isinstance(value, int | float) or (value is None and kind < 0.6):
            borders = [border for border in BORDERS if huge or not (key.split(".")[-1] in BUDGETS and border > 20)]
            near = [value, value * 2, value / 2, value + 1, int(value / 3)] if value else [1, 5]
            near = [number for number in near if huge or not (key in BUDGETS and number > 20)] or [3]
            return self._set(key, rng.choice(near if kind < 0.55 else borders))
        if isinstance(value, list):
            return self._set(key, rng.choice([value, value[:1], value * 2, value[::-1], [*value, 3]]))
        if isinstance(value, str) and "${" not in value:
            return self._set(key, rng.choice([value, value[:-1] or "x", value.upper()]))
        return Word(f"{key}={rng.choice(('0.5', '2', 'null'))}", "unclear")

    def strange(self, settings: Mapping[str, Any]) -> Word:
        """A word that is misspelt, or takes away, adds or chooses in a way that few do."""
        rng = self.rng
        key = rng.choice([*settings, *self.root, *self.groups])
        letters = list(key)
        letters.insert(rng.randrange(len(letters)), rng.choice("aeiou._"))
        group = rng.choice(list(self.groups))
        name = rng.choice(self.groups[group])
        texts = [
            f"{''.join(letters)}=1", f"~{key}", f"+{key}=1", f"++{key}=1", f"+new_{key}=1", f"{key}", f"{key}=", f"={key}", f"{key}==1",
            f"{group}=[{name}]", f"{group}={name}x", f"{group}={name},{name}", f"{group}/{name}", f"{group}={{a: 1}}", f"{group}=null", f"~{group}",
            f"+{group}={name}", f"{group}@x={name}", f"{key}=choice(1,2)", f"{key}=range(3,0)", f"{key}=1,2", f"{key}=${{seed}}", f"{key}=${{x}}",
            f"{key}='a", f"{key}=[1", f"hydra.run.dir={name}", f"hydra/launcher={name}", "trusted_modules=['']", "trusted_modules=[os]", "-x", "--",
            f"{group}._target_=os.system", f"{key}.x=1", f"{key}=glob(*)", f"{key}=interval(0,1)", f"lr={0.1}", "seed=0 seed=1", "\x1b[31m=1",
        ]  # fmt: skip
        return Word(rng.choice(texts), "unclear")

    def axis(self, size: int) -> Word:
        """A setting or group with several values."""
        rng = self.rng
        kind = rng.random()
        if kind < 0.3:
            group = rng.choice(("mix", "loss", "optimizer", "schedule", "label_noise", "augment"))
            values: list[Any] = rng.sample(self.groups[group], min(size, len(self.groups[group])))
            return Word(f"{group}={','.join(values)}", "axis", group, values)
        key, pool = rng.choice(
            [("seed", [0, 1, 2, 3]), ("data_seed", [0, 5, 6]), ("batch_size", [4, 8, 16]), ("optimizer.lr", [0.1, 0.5, 2, 1e-5]),
             ("alpha", [0.2, 1, 1.0, 5]), ("steps", [1, 2, 3]), ("threads", [1, 2]), ("validation", [0.0, 0.2, 0.5]), ("seed", [1, "x", -1])]
        )  # fmt: skip
        values = rng.sample(pool, min(size, len(pool)))
        return Word(f"{key}={','.join(map(as_override, values))}", "axis", key, values)

    def _set(self, key: str, value: Any) -> Word:
        return Word(f"{key}={as_override(value)}", "set", key, value)


# -- judging what a command did

LIBRARY = re.compile(
    r"Traceback|\b(?!User)[A-Z]\w+(?:Error|Exception|Warning)\b|\.py\"|\.py:\d|<class |object at"
    r" 0x|site-packages|HYDRA_FULL_ERROR|\bpydantic\b"
)
"""Python's, or a library's, way of speaking."""


def judge(command: Command, ended: subprocess.CompletedProcess[str], before: set[str], folder: Path) -> Verdict:
    """What is wrong with how a command ended."""
    code, errors = ended.returncode, ended.stderr.splitlines()
    messages = [i for i, line in enumerate(errors) if line.startswith("mixexp: ")]
    faults = []
    if code not in (0, 1, 2):
        faults.append(f"no end after {SECONDS} seconds" if code == -signal.SIGALRM else f"exit code {code}")
    if found := LIBRARY.search(ended.stdout + ended.stderr):
        faults.append(f"the language of a library: {found[0]}")
    spoken = errors[: messages[0]] if messages else errors
    faults += [f"on stderr: {line}" for line in spoken if line.strip() and not line.startswith("note: ")][:1]
    if code in (1, 2) and len(messages) != 1:
        faults.append(f"{len(messages)} messages")
    if code == 0 and not (ended.stdout.strip() or ended.stderr.strip()):
        faults.append("silence")
    new = files(folder) - before
    if code == 2 and new:
        faults.append(f"refused, and left {', '.join(sorted(new)[:3])}")
    if command.expected is not None and code == 0:
        faults += configurations(command.expected, folder)
    outcome = {0: "done", 1: "failed", 2: "refused"}.get(code, "ended badly")
    return Verdict(outcome, faults)


def files(folder: Path) -> set[str]:
    """What lies in a folder."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def configurations(expected: Sequence[dict[str, Any]], folder: Path) -> list[str]:
    """How the configurations of the runs in a folder are others than those expected; every run is finished or
    diverged."""
    found = {
        path: OmegaConf.to_container(OmegaConf.load(path))
        for path in folder.rglob("config.yaml")
        if "kept" not in path.parts
    }
    faults = [f"{path.parent.name}: not over" for path in found if not (path.parent / "result.json").exists()]
    if not found:
        return ["exit code 0 and no run"]
    for config in expected:
        nearest = min((differing(config, other) for other in found.values()), key=len)
        faults += nearest[:3]
    for path, config in found.items():
        faults += [
            f"{path.parent.name}: {line}" for line in min((differing(other, config) for other in expected), key=len)[:3]
        ]
    return faults


def fuzz(
    seed: int, count: int, folder: Path, only: int | None = None
) -> Iterator[tuple[int, Command, subprocess.CompletedProcess[str], Verdict]]:
    """So many random commands, each judged; each has a folder of its own, and one that keeps runs of earlier ones."""
    commands.SECONDS, commands.MEMORY = SECONDS, MEMORY
    kept = folder / "kept"
    (kept / "runs").mkdir(parents=True)
    (kept / "file").touch()
    for number in range(count):
        place = folder / str(number)
        command = Maker(random.Random(f"{seed} {number}"), place).command()
        if only not in (None, number):
            continue
        (place / "data").mkdir(parents=True)
        (place / "kept").symlink_to(kept)
        before = files(place)
        ended = commands.mixexp(*command.words, cwd=place, MIXEXP_DATA=str(place / "data"), COLUMNS="100")
        verdict = judge(command, ended, before, place)
        if verdict.outcome == "done" and len(list((kept / "runs").iterdir())) < 4:
            for run in (place / "out" / "runs").glob("*/result.json"):
                shutil.copytree(run.parent, kept / "runs" / run.parent.name, dirs_exist_ok=True)
        shutil.rmtree(place, ignore_errors=True)
        yield number, command, ended, verdict


def line_of(command: Command) -> str:
    """A command as it is typed in a shell."""
    return shlex.join(["mixexp", *command.words])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--only", type=int, help="the number of one command")
    arguments = parser.parse_args()
    outcomes: collections.Counter[str] = collections.Counter()
    faulty = 0
    with tempfile.TemporaryDirectory() as folder:
        for number, command, ended, verdict in fuzz(arguments.seed, arguments.count, Path(folder), arguments.only):
            outcomes[verdict.outcome] += 1
            if verdict.faults:
                faulty += 1
                print(
                    f"{number}: {line_of(command)}\n    {verdict.outcome}; " + "\n    ".join(verdict.faults), flush=True
                )
            if arguments.only is not None:
                print(line_of(command), ended.stdout, ended.stderr, yaml.safe_dump(command.expected), sep="\n")
    print(f"seed {arguments.seed}: {sum(outcomes.values())} commands, {faulty} with a fault; {dict(outcomes)}")
    sys.exit(bool(faulty))


if __name__ == "__main__":
    main()

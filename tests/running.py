"""What tests share: composing a small run and training it in a folder of the test's own."""

from __future__ import annotations

import atexit
import contextlib
import copy
import csv
import functools
import shutil
import sys
import tempfile
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import hydra
import numpy as np
import pytest
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig, OmegaConf

from mixexp import cli
from mixexp.files import read_yaml
from mixexp.plan.checks import Refused, validate
from mixexp.plan.composer import Composer
from mixexp.plan.identity import canonical
from mixexp.plan.options import options
from mixexp.plan.overrides import loaded_groups
from mixexp.plan.repository import read_once
from mixexp.plan.resolved import resolve
from mixexp.settings import CONF
from mixexp.train import train
from mixexp.training.folder import RunFolder
from mixexp.training.reader import load_state
from mixexp.training.spec import RunConfig

TINY = ("model.width=4", "epochs=2", "batch_size=64")


@functools.cache
def raw_option(group: str, name: str) -> dict[str, Any]:
    """An option's file over those of its group that it builds on, nothing composed: what a list of parameters may ask
    while pytest collects."""
    node = read_yaml(CONF / group / f"{name}.yaml")
    found: dict[str, Any] = {}
    for base in node.pop("defaults", ()):
        option, _, key = base.partition("@") if isinstance(base, str) else ("_self_", "", "")
        if option != "_self_":
            inner = raw_option(group, option)
            found = merged(found, {key: inner} if key else inner)
    return merged(found, node)


def merged(node: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """A mapping with another one's values over its own, at every depth."""
    found = dict(node)
    for key, value in over.items():
        inner = isinstance(value, Mapping) and isinstance(found.get(key), Mapping)
        found[key] = merged(found[key], value) if inner else value
    return found


def names(group: str) -> list[str]:
    """The options of a group, by the names of their files."""
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


@functools.cache
def _defaults() -> DictConfig:
    """The default configuration."""
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        return hydra.compose("config")


@functools.cache
def _composed(group: str, name: str) -> DictConfig:
    """The default configuration with an option; test_cells.py sees that one read off its files is what Hydra makes of
    it."""
    config = copy.deepcopy(_defaults())
    OmegaConf.set_struct(config, False)
    config[group] = raw_option(group, name)
    return config


def composed(group: str, name: str) -> DictConfig:
    """A configuration with an option of a group, references unresolved; the option may build on another one."""
    return copy.deepcopy(_composed(group, name))


@functools.cache
def _option(group: str, name: str) -> dict[str, Any]:
    return OmegaConf.to_container(_composed(group, name)[group], resolve=True)


def option(group: str, name: str) -> dict[str, Any]:
    """An option as the program sees it."""
    return copy.deepcopy(_option(group, name))


@contextlib.contextmanager
def about(*what: object) -> Iterator[None]:
    """Add to an error what of a loop it is about."""
    try:
        yield
    except Exception as error:
        error.add_note(f"about {what}")
        raise


def mixes_and_losses() -> list[tuple[str, str]]:
    """Every mix with a common loss and every loss with the common mixes; test_loss.py pairs all of them without
    training."""
    found = options([CONF])
    pairs = [(mix, "cross_entropy") for mix in found["mix"]] + [
        (mix, loss) for loss in found["loss"] for mix in ("none", "mixup", "data_mix")
    ]
    return sorted(set(pairs))


def covering(*groups: str, without: Collection[str] = ()) -> list[tuple[str, ...]]:
    """Every mix, and with the mixes every option of further groups but those left out: as many cells as mixes."""
    found = []
    for number, mix in enumerate(names("mix")):
        cell = [f"mix={mix}"]
        for group in groups:
            fitting = [name for name in names(group) if name not in without and (group, name) != ("augment", "shift")]
            if group == "loss" and raw_option("mix", mix).get("only_repeats"):  # it needs sampling=oversample
                fitting = [name for name in fitting if name == "cross_entropy"]
            sound = group == "augment" and mix == "bc_sound"  # a shift is of sounds, and all else of images
            cell.append(f"{group}={'shift' if sound else fitting[number % len(fitting)]}")
        found.append(tuple(cell))
    return found


def write_tones(folder: Path, classes: int = 10, count: int = 25, samples: int = 400, sample_rate: int = 8000) -> None:
    """WAV files in class folders: a class is a frequency, its sounds differ in phase and by up to 40 dB in strength."""
    from scipy.io import wavfile

    rng = np.random.default_rng(0)
    time = np.arange(samples) / sample_rate
    for n in range(classes):
        (folder / f"tone{n}").mkdir(parents=True)
        for k in range(count):
            wave = 10 ** rng.uniform(-2, 0) * np.sin(2 * np.pi * (300 * (n + 1) * time + rng.random()))
            wavfile.write(folder / f"tone{n}" / f"{k:02d}.wav", sample_rate, np.rint(32000 * wave).astype(np.int16))


def write_pictures(folder: Path) -> None:
    """Twenty pictures of 30×20 pixels in each of two class folders, blue and red."""
    from PIL import Image

    rng = np.random.default_rng(0)
    for name, colour in (("blue", (30, 30, 220)), ("red", (220, 30, 30))):
        (folder / name).mkdir(parents=True)
        for k in range(20):
            pixels = np.clip(rng.normal(colour, 20, (20, 30, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{k:02d}.png")


def trained_on_pictures(root: Path) -> Path:
    """The folder of a run that kept its weights, on pictures that are written to root/photos."""
    write_pictures(root / "photos")
    words = (
        "dataset=image_folder",
        f"dataset.folder={root / 'photos'}",
        "dataset.height=8",
        "dataset.width=8",
        "batch_size=8",
    )
    return trained(root / "run", "keep=last", "optimizer.lr=0.05", "epochs=20", *words).path


def command(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str]:
    """The exit code of a command in this process, and what it says."""
    code, output, errors = command_with_streams(capsys, *words)
    return code, output + errors


def command_with_streams(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    """The same with its two streams apart."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["mixexp", *map(str, words)])
        code = 0
        try:
            cli.main()
        except SystemExit as end:
            code = end.code
        finally:
            GlobalHydra.instance().clear()
    said = capsys.readouterr()
    return code, said.out, said.err


@functools.cache
def sounds() -> list[str]:
    """The overrides for a small data set of sounds in ten classes."""
    folder = tempfile.mkdtemp(prefix="mixexp-tones-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    write_tones(Path(folder))
    return ["dataset=sound_folder", f"dataset.folder={folder}", "dataset.sample_rate=8000", "dataset.seconds=0.05"]


def needs(*overrides: str) -> list[str]:
    """What options among the overrides need beside them to be trained on the digits."""
    words = []
    for name in (word.removeprefix("mix=") for word in overrides if word.startswith("mix=")):
        mix = option("mix", name)
        words += ["sampling=oversample"] if mix.get("only_repeats") else []
        words += ["mix.from_epoch=0"] if mix.get("from_epoch") else []
        words += ["mix.until=1"] if mix.get("until", 1) < 1 else []  # these runs have an epoch or less
        words += ["mix.pairing.k=3"] if "k" in mix.get("pairing", {}) else []
        words += sounds() if mix.get("blend", {}).get("sample_rate") else []
    for name in (word.removeprefix("schedule=") for word in overrides if word.startswith("schedule=")):
        words += ["schedule.warmup_epochs=0.5"] if option("schedule", name).get("warmup_epochs") else []
    words += sounds() if "augment=shift" in overrides else []
    words += ["augment.length=4"] if "augment=cutout" in overrides else []  # a digit has 8x8 pixels
    keys = {word.partition("=")[0] for word in overrides}
    return [word for word in words if word.partition("=")[0] not in keys]


@functools.cache
def composer() -> Composer:
    """One for all tests of a process, to be called where Hydra has our options: it composes each choice of options once,
    and reads each file once. test_cells.py sees that cells made so are Hydra's own."""
    return Composer(_compose, loaded_groups())


def _compose(words: list[str]) -> DictConfig:
    """Hydra's composition, with the program's own files read once in a process."""
    loader = GlobalHydra.instance().config_loader()
    assert isinstance(loader, ConfigLoaderImpl)
    folders = {source.path for source in loader.repository.get_sources() if source.scheme() == "file"}
    assert folders == {str(CONF)}, "a user's own file may change"
    read_once(loader, _READ)
    return hydra.compose("config", overrides=words, return_hydra_config=True)


_READ: dict[str, bytes] = {}


def resolved(*words: str) -> dict[str, Any]:
    """What mixexp.plan.compose.compose gives, from compositions that tests share."""
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        return resolve(composer()(words), words)[0]


def config_of(*overrides: str) -> dict[str, Any]:
    """A valid canonical configuration on the digits with a tiny network, unless overrides say otherwise."""
    small = [
        word for word in TINY if not any(o.startswith("model=") for o in overrides) or not word.startswith("model.")
    ]
    words = [*small, *overrides, *needs(*overrides)]
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        config, _ = resolve(composer()(words))
    return canonical(validate(config).values, True)


def errors_of(values: Mapping[str, Any], here: bool = True) -> list[str]:
    """What is wrong with a configuration; empty where a run can have it."""
    try:
        validate(values, here)
    except Refused as refused:
        return refused.lines
    return []


def result_of(folder: Path) -> dict[str, Any] | None:
    """The result of a run that is over, else None."""
    state = load_state(folder)
    return state.result if state.over else None


def trained(folder: Path, *overrides: str) -> RunFolder:
    """The folder of a run trained to its end."""
    record = RunFolder(folder)
    for _ in train(RunConfig.of(config_of(*overrides)), record, {}):
        pass
    return record


def rows_of(record: RunFolder, without: tuple[str, ...] = ("seconds",)) -> list[dict[str, str]]:
    """The CSV's rows as written, without the columns that a clock fills."""
    with (record.path / "metrics.csv").open() as file:
        return [{key: value for key, value in row.items() if key not in without} for row in csv.DictReader(file)]

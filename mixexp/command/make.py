"""The commands that make runs or read data: reproduce and data. A run and a sweep have no word of their own."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mixexp.command.tree import Command, names_and_overrides
from mixexp.errors import RunsFailed, UserError
from mixexp.plan.options import code_now, config_dirs, options
from mixexp.settings import CONF

MULTIRUN = ("-m", "--multirun")
"""Hydra's option for a sweep, which reproduce makes anyway."""


def _reproduce(arguments: argparse.Namespace) -> None:
    from mixexp.plan.compose import compose, is_sweep
    from mixexp.reporting.changes import typed
    from mixexp.reporting.commands import show_files, show_table
    from mixexp.reporting.write import write_report
    from mixexp.sweeping.application import application
    from mixexp.sweeping.launch import report_follows

    folders = arguments.folders
    needed = f"reproduce: name one of {', '.join(options([CONF])['experiment'])}"
    names, overrides = names_and_overrides(arguments.words, needed)
    overrides = [word for word in overrides if word not in MULTIRUN]
    single = [word for word in overrides if not is_sweep(word)]
    configs = {name: compose([f"experiment={name}", *single], folders) for name in names}
    for config in configs.values():
        _check_data(config, config["choices"]["dataset"])
    failures = []
    for name, config in configs.items():
        failure = None
        try:
            with report_follows():
                application(["-m", *(f"--config-dir={folder}" for folder in folders), f"experiment={name}", *overrides])
        except RunsFailed as error:  # the report shows what there is and lists what failed
            failure = error
        folder = Path(config["output_dir"]) / config["name"]
        if failure is None or any(folder.glob("*/config.yaml")):
            changes = typed(config["table"], overrides)
            own = config_dirs(folders)
            written = write_report(
                [folder], wrote=show_table(), options=[CONF, *own], changes=changes, code_now=code_now(own)
            )
            show_files(written)
        if failure is not None:
            failures.append(str(failure))
    if failures:
        raise RunsFailed("\n".join(failures))


def _data(arguments: argparse.Namespace) -> None:
    from mixexp.plan.compose import compose

    needed = f"data: name one of {', '.join(options([CONF])['dataset'])}"
    names, overrides = names_and_overrides(arguments.words, needed)
    for name in names:
        _check_data(compose([f"dataset={name}", *overrides], arguments.folders), name)


def _check_data(config: Mapping[str, Any], name: str) -> None:
    from mixexp.build import check, schema_errors
    from mixexp.dataset import Dataset
    from mixexp.training.data import load
    from mixexp.training.spec import Settings

    trusted = {"trusted_modules": config["trusted_modules"]}
    if errors := [error for error in schema_errors(Settings, trusted, "") if error.startswith("trusted_modules")]:
        raise UserError("\n".join(errors))
    if errors := check(config["dataset"], "dataset", Dataset, tuple(config["trusted_modules"])):
        raise UserError("\n".join(errors))
    _, splits = load(config["dataset"], tuple(config["trusted_modules"]))
    shape = "x".join(map(str, splits.train_images.shape[1:]))
    print(
        f"{name}: {len(splits.train_labels)} training and {len(splits.test_labels)} test images, {shape} (channels"
        " first)"
    )


COMMANDS = (
    Command(
        name="reproduce",
        group="Run",
        summary="an experiment's whole table: data check, sweep and report in one",
        description="Check an experiment's data, make the runs of its grid and write its report.",
        positionals=(
            ("NAME", "+", "experiments; mixexp list experiment names them"),
            ("KEY=VALUE", "*", "settings of all runs; they narrow or change the grid, and the report says so"),
        ),
        examples=(
            ("mixexp reproduce quickstart", "27 runs in about a minute, their table and figures"),
            ("mixexp reproduce final_layer_mixup epochs=2 seed=0", "the same grid, reduced"),
        ),
        more=("docs/experiments.md", "docs/editions.md"),
        overrides=True,
        hydra_options=MULTIRUN,
        own_options=True,
        run=_reproduce,
    ),
    Command(
        name="data",
        group="Run",
        summary="read data sets, after a download where they are missing",
        description="Read data sets and print their sizes; a data set that is missing is downloaded if it can be.",
        positionals=(
            ("NAME", "+", "data sets; mixexp list dataset names them"),
            ("KEY=VALUE", "*", "settings of the data set, and data_dir"),
        ),
        examples=(
            ("mixexp data digits", "the sizes of a data set that scikit-learn brings"),
            ("mixexp data mnist cifar10 data_dir=~/data", "two data sets in a folder of yours"),
        ),
        more=("docs/data.md",),
        overrides=True,
        own_options=True,
        run=_data,
    ),
)

"""The commands that connect own code and other programs: new and log."""

from __future__ import annotations

import argparse
from pathlib import Path

from mixexp.command.tree import Command, names_and_overrides
from mixexp.command.weights import check_settable
from mixexp.errors import UserError, closest, show
from mixexp.plan.options import config_dirs, options
from mixexp.settings import CONF


def _log(arguments: argparse.Namespace) -> None:
    from mixexp.plan.compose import compose

    folders = arguments.folders
    names, overrides = names_and_overrides(arguments.words, "log: name a folder of runs, such as outputs/quickstart")
    if not any(word.startswith("logger=") for word in overrides):
        raise UserError(
            "log: say where, logger=NAME; there are"
            f" {', '.join(options([CONF, *config_dirs(folders)]).get('logger', ()))}"
        )

    from mixexp.sweeping import relog

    check_settable(overrides, "logger", relog.SETTABLE)
    config = compose(overrides, folders)
    for line in relog.log([Path(name) for name in names], config["logger"], config["trusted_modules"]):
        show(line)


KINDS = ("mix", "loss", "model", "dataset", "experiment")
"""The kinds of extensions that `mixexp new` writes."""


def _new_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--dir",
        metavar="FOLDER",
        help="a folder of your own options (default: the first of mixexp.yaml, else the checkout)",
    )


def _new(arguments: argparse.Namespace) -> None:
    if arguments.kind not in KINDS:
        raise UserError(
            f"new {arguments.kind}: no such kind.{closest(arguments.kind, KINDS)} There are {', '.join(KINDS)}."
        )
    from mixexp.command.new import new

    new(arguments)


COMMANDS = (
    Command(
        name="new",
        group="Extend",
        summary="the files of a mix, loss, model, dataset or experiment of your own",
        description=(
            "Write the files of an extension, ready to run: a Python class with its contract's methods, a YAML option"
            " and, in a folder of your own, a test. A file that is there already stays."
        ),
        positionals=(
            ("KIND", None, "mix, loss, model, dataset or experiment"),
            ("NAME", None, "the option's name: small letters, digits and _"),
        ),
        options=_new_options,
        examples=(
            ("mixexp new mix neighbour --dir my_conf", "my_conf/mix/neighbour.yaml, its class and a test"),
            ("mixexp new experiment few_images", "one YAML, in mixexp.yaml's folder or the checkout"),
        ),
        more=("docs/own_code.md", "docs/experiments.md"),
        own_options=True,
        run=_new,
    ),
    Command(
        name="log",
        group="Extend",
        summary="finished runs sent to TensorBoard, MLflow or W&B",
        description="Send finished runs to a logger: TensorBoard, MLflow, W&B or your own; again changes nothing.",
        positionals=(
            ("DIR", "+", "folders of runs"),
            ("KEY=VALUE", "*", "logger=NAME, which is needed, and settings of the logger"),
        ),
        examples=(
            ("mixexp log outputs/quickstart logger=tensorboard", "event files beside the runs"),
            ("mixexp log outputs/quickstart logger=mlflow logger.tracking_uri=http://host:5000", "a server of MLflow"),
        ),
        more=("docs/loggers.md",),
        overrides=True,
        own_options=True,
        run=_log,
    ),
)

"""The commands that connect own code and other programs: new and log."""

from __future__ import annotations

import argparse
from pathlib import Path

from mixexp.command.tree import Command, names_and_overrides
from mixexp.command.weights import check_settable
from mixexp.errors import UserError, show
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


COMMANDS = (
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
        more=("README.md",),
        overrides=True,
        own_options=True,
        run=_log,
    ),
)

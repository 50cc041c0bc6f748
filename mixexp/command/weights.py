"""The commands that use trained weights: predict, export and probe."""

from __future__ import annotations

import argparse
import re
from collections.abc import Collection
from pathlib import Path

from mixexp.command.tree import Command, names_and_overrides
from mixexp.errors import UserError, closest, show
from mixexp.plan.options import config_dirs, options
from mixexp.settings import CONF

FORMATS = ("safetensors", "onnx", "torchscript")
"""The keys of `mixexp.inference.export.FORMATS`, whose module needs torch."""


def _predict_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the predictions to this CSV file too")


def _predict(arguments: argparse.Namespace) -> None:
    from mixexp.inference.commands import predict_command
    from mixexp.plan.compose import own_options

    with own_options(arguments.folders):  # a network of the user's own lies there
        predict_command(Path(arguments.run), [Path(name) for name in arguments.file], arguments.out)


def _export_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--to", required=True, choices=FORMATS, help="the format")
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="the file (default: model.onnx and the like in the run's folder)"
    )


def _export(arguments: argparse.Namespace) -> None:
    from mixexp.inference.commands import export_command
    from mixexp.plan.compose import own_options

    with own_options(arguments.folders):  # a network of the user's own lies there
        export_command(Path(arguments.run), arguments.to, arguments.out)


def _probe_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--again", action="store_true", help="replace what other settings of the probe gave")


def _probe(arguments: argparse.Namespace) -> None:
    from mixexp.plan.compose import compose

    folders = arguments.folders
    needed = "probe: name the folder of a finished run, such as outputs/quickstart/0123456789ab, or a folder of such"
    names, overrides = names_and_overrides(arguments.words, needed)
    if not any(word.startswith("probe=") and word != "probe=null" for word in overrides):
        raise UserError(
            "probe: say which one, probe=NAME; there are"
            f" {', '.join(options([CONF, *config_dirs(folders)]).get('probe', ()))}"
        )

    import torch

    from mixexp.sweeping import reprobe
    from mixexp.training.device import execution, make_deterministic

    check_settable(overrides, "probe", reprobe.SETTABLE)
    chosen = compose(overrides, folders)
    data_dir = chosen["data_dir"] if any(word.startswith("data_dir=") for word in overrides) else None
    for measurement in reprobe.plan([Path(name) for name in names], chosen, data_dir, arguments.again):
        make_deterministic(execution(measurement.config).device)
        torch.set_num_threads(measurement.config.threads)
        written = reprobe.measure(measurement)
        show("\n".join(map(str, written)) or f"{measurement.folder}: measured before with the same settings")


def check_settable(overrides: list[str], group: str, settable: Collection[str]) -> None:
    """Raise UserError for an override of a finished run's own settings."""
    for word in overrides:
        # an option of another group goes to the place behind its @, as in dataset@probe.mnist=mnist
        place = re.sub(r"^[\w/]+@", "", word.lstrip("+~"))
        if (key := re.split(r"[.=]", place, maxsplit=1)[0]) not in settable:
            raise UserError(
                f"{word}: a {group} leaves the run as it is.{closest(key, settable)} There are {', '.join(settable)}."
            )


COMMANDS = (
    Command(
        name="predict",
        group="Use weights",
        summary="the classes that a run's network gives to files",
        description="The classes that a run's network gives to pictures or sounds; the run kept its weights.",
        positionals=(("RUN", None, "the folder of a run"), ("FILE", "+", "files, or folders of them")),
        options=_predict_options,
        examples=(
            ("mixexp predict outputs/runs/0123456789ab picture.png", "the most likely classes of a picture"),
            ("mixexp predict outputs/runs/0123456789ab pictures --out classes.csv", "those of a folder, as CSV too"),
        ),
        more=("docs/weights.md",),
        own_options=True,
        run=_predict,
    ),
    Command(
        name="export",
        group="Use weights",
        summary="a run's network as safetensors, onnx or torchscript",
        description=(
            "A run's network in the format of other programs, whose outputs are compared with its own; the run kept its"
            " weights (keep=last)."
        ),
        positionals=(("RUN", None, "the folder of a run"),),
        options=_export_options,
        examples=(
            ("mixexp export outputs/runs/0123456789ab --to onnx", "model.onnx in the run's folder"),
            ("mixexp export outputs/runs/0123456789ab --to torchscript --out net.pt", "a file of another name"),
        ),
        more=("docs/weights.md",),
        own_options=True,
        run=_export,
    ),
    Command(
        name="probe",
        group="Use weights",
        summary="measurements of finished runs that kept their weights",
        description="Measure finished runs that kept their weights (keep=last), as a probe would have in training.",
        positionals=(
            ("RUN", "+", "folders of runs, or folders of such folders"),
            ("KEY=VALUE", "*", "probe=NAME, which is needed, and settings of the probe"),
        ),
        options=_probe_options,
        examples=(
            ("mixexp probe outputs/quickstart probe=training_error", "every run of a folder"),
            ("mixexp probe outputs/quickstart probe=fgsm --again", "the same anew, with other settings than before"),
        ),
        more=("docs/probes.md",),
        overrides=True,
        own_options=True,
        run=_probe,
    ),
)

"""The commands that use a run's trained network: mixexp predict and mixexp export."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from mixexp.errors import UserError, show
from mixexp.files import write_atomically
from mixexp.inference.export import FORMATS, export, inputs_to_compare
from mixexp.inference.predict import COLUMNS, as_text, files_of, predict, records
from mixexp.inference.trained import load_trained
from mixexp.training.data import load
from mixexp.training.folder import FILES
from mixexp.training.reader import trained_config

COMPARED = 64
"""Test images on which an export's outputs are compared with the network's."""


def predict_command(run: Path, files: Sequence[Path], out: Path | None) -> None:
    """Print what a run's network says of files; out: a CSV file for the predictions too."""
    if out:
        _check_out("predict", out, ".csv")
    trained = load_trained(run)
    if not trained.preprocess.suffixes:
        raise UserError(
            f"predict {run}: its network takes data of the kind {trained.preprocess.inputs.kind}, which are"
            " not read from files; mixexp.load in Python takes tensors"
        )
    predictions = list(predict(trained, files_of(files, trained.preprocess.suffixes)))
    show(as_text(predictions))
    if out:
        text = io.StringIO()
        writer: csv.DictWriter[str] = csv.DictWriter(text, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(records(predictions))
        write_atomically(out, text.getvalue())
        show(str(out))


def export_command(run: Path, to: str, out: Path | None) -> None:
    """Write a run's network in another format, a key of FORMATS."""
    path = out or run / f"model{FORMATS[to].suffix}"
    _check_out("export", path, FORMATS[to].suffix)
    trained = load_trained(run)
    config = trained_config(run)
    try:
        images = load(config["dataset"], tuple(config["trusted_modules"]))[1].test_images[:COMPARED]
    except UserError:
        images = None
    difference = export(trained, to, path, inputs_to_compare(trained, images))
    on = "random inputs, as the data set is not here" if images is None else f"{len(images)} test images"
    show(f"{path}: on {on} its scores differ from the network's by {difference:.1g} at most, relative to the largest")
    inputs = trained.preprocess.inputs
    show(
        f"inputs: float32 [N, {', '.join(map(str, inputs.shape))}], (x / {inputs.unit} - mean) / std, mean"
        f" {inputs.mean}, std {inputs.std}"
    )


def _check_out(command: str, path: Path, suffix: str) -> None:
    """Raise UserError where a file cannot be written, or would replace another kind of file or a run's own."""
    if path.is_dir() or not path.parent.is_dir():
        raise UserError(f"{command} --out {path}: needs the name of a file in an existing folder")
    if path.exists() and (path.suffix != suffix or path.name in FILES):
        raise UserError(
            f"{command} --out {path}: a file of another kind has this name; choose another, such as"
            f" {path.stem}_new{suffix}"
        )

"""Predictions of a trained network on files, and their display: the work of `mixexp predict`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from mixexp.dataset.files import visible
from mixexp.errors import UserError, closest_path
from mixexp.inference.trained import Trained
from mixexp.text import one_line, sanitize

BATCH = 256
COLUMNS = ("file", "class", "probability", "second_class", "second_probability")


@dataclass(frozen=True)
class Prediction:
    """The two most likely classes of a file, with their probabilities, the softmax of the network's scores."""

    path: Path
    classes: tuple[str, str]
    probabilities: tuple[float, float]


def files_of(paths: Sequence[Path], suffixes: frozenset[str]) -> list[Path]:
    """The named files, and those with the suffixes at any depth in the named folders, in the order of their names.

    Raises UserError for a missing path, and for a folder without such files.
    """
    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = sorted(_below(path, suffixes, set()))
            if not inside:
                raise UserError(f"predict {path}: the folder has no file that ends with {', '.join(sorted(suffixes))}")
            files += inside
        elif path.is_file():
            if path.suffix.lower() not in suffixes:
                raise UserError(f"predict {path}: its network takes files that end with {', '.join(sorted(suffixes))}")
            files.append(path)
        else:
            there = [other.name for other in visible(path.parent)] if path.parent.is_dir() else []
            raise UserError(f"predict {path}: there is no such file or folder.{closest_path(path, there)}")
    return files


def _below(folder: Path, suffixes: frozenset[str], seen: set[Path]) -> Iterator[Path]:
    """The files at any depth below a folder; a folder reached again through links counts once."""
    if folder.resolve() in seen:
        return
    seen.add(folder.resolve())
    for path in visible(folder):
        if path.is_dir():
            yield from _below(path, suffixes, seen)
        elif path.suffix.lower() in suffixes:
            yield path


@torch.inference_mode()
def predict(trained: Trained, files: Sequence[Path]) -> Iterator[Prediction]:
    """A prediction for each file, in order; raises UserError that names unreadable files."""
    for start in range(0, len(files), BATCH):
        part = files[start : start + BATCH]
        probabilities, classes = trained.model(trained.preprocess.files(part)).softmax(1).topk(2)
        for path, likely, names in zip(part, probabilities.tolist(), classes.tolist(), strict=True):
            yield Prediction(path, tuple(trained.classes[name] for name in names), tuple(likely))


def records(predictions: Sequence[Prediction]) -> list[dict[str, str]]:
    """Predictions as rows of a table, by COLUMNS."""
    rows = []
    for each in predictions:
        (first, second), (likely, less) = each.classes, each.probabilities
        rows.append(dict(zip(COLUMNS, (str(each.path), first, f"{likely:.4f}", second, f"{less:.4f}"), strict=True)))
    return rows


def as_text(predictions: Sequence[Prediction]) -> str:
    """Predictions as a table for a terminal."""
    rows = [
        [name.replace("_", " ") for name in COLUMNS],
        *([sanitize(one_line(value)) for value in row.values()] for row in records(predictions)),
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(value.ljust(width) for value, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )

"""A finished run's folder read back: what it was, and the weights it kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from mixexp.checkpoint import State, read
from mixexp.errors import UserError


YOUNGER = ("probe", "gan", "logger")
"""Settings that older records lack, which then were null."""


def configuration(folder: Path) -> dict[str, Any]:
    """The configuration of a finished run that has kept its weights; raises UserError for any other folder."""
    if not (folder / "config.yaml").is_file():
        raise UserError(f"{folder}: no folder of a run, in which there is a config.yaml")
    try:
        config = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
        ended = (folder / "result.json").exists()
        outcome = json.loads((folder / "result.json").read_text(encoding="utf-8"))["outcome"] if ended else None
        if not isinstance(config, dict) or not {"trusted_modules", "choices", "alpha"} <= config.keys():
            raise ValueError("config.yaml is no configuration of a run")
    except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError) as error:
        raise UserError(f"{folder}: cannot be read ({' '.join(str(error).split())[:200]})") from error
    if outcome != "finished":
        state = f"has the outcome {outcome}" if ended else "failed" if (folder / "error.txt").exists() else "is not finished"
        raise UserError(f"{folder}: its run {state}, and only a finished one has weights to look at")
    if not (folder / "checkpoint.pt").is_file():
        raise UserError(
            f"{folder}: its run kept no weights; train it with keep_checkpoint=true, in another output_dir or after removing this folder"
        )
    # a record says null where nothing refers to alpha, and lacks the settings that are younger than it
    return {**dict.fromkeys(YOUNGER), **config, "alpha": 1.0 if config["alpha"] is None else config["alpha"]}


def environment(folder: Path) -> dict[str, Any]:
    """What its environment.json says; empty where that cannot be read."""
    try:
        found = json.loads((folder / "environment.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def weights(folder: Path) -> State:
    """What its checkpoint.pt holds, on the CPU, whatever version made it; raises UserError where it is damaged."""
    try:
        return read(folder / "checkpoint.pt")[1]
    except Exception as error:  # whatever a cut or damaged file makes the reader raise
        reason = next(iter(str(error).splitlines()), "") or type(error).__name__
        raise UserError(f"{folder / 'checkpoint.pt'}: cannot be read ({reason[:200]})") from error

"""A finished run's folder read back: what it was, and the weights it kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mixexp.errors import UserError
from mixexp.files import read_json, read_json_or_nothing, read_yaml
from mixexp.run.checkpoint import State, read, reason_of
from mixexp.text import one_line

YOUNGER = ("probe", "gan", "logger", "claims", "editions", "edition", "checks")
"""Settings that older records lack, which then were null."""


def configuration(folder: Path) -> dict[str, Any]:
    """The configuration of a finished run that has kept its weights; raises UserError for any other folder."""
    if not (folder / "config.yaml").is_file():
        raise UserError(f"{folder}: no folder of a run, in which there is a config.yaml")
    try:
        config = read_yaml(folder / "config.yaml")
        ended = (folder / "result.json").exists()
        outcome = read_json(folder / "result.json")["outcome"] if ended else None
        if not {"trusted_modules", "choices", "alpha"} <= config.keys() or not isinstance(config["choices"], dict):
            raise ValueError("config.yaml is no configuration of a run")
        if not _is_list_of_text(config["trusted_modules"]):
            raise ValueError("config.yaml has trusted_modules that are no list of names")
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{folder}: cannot be read ({one_line(str(error))[:200]})") from error
    if outcome != "finished":
        failed = (folder / "error.txt").exists()
        state = f"has the outcome {one_line(str(outcome))[:40]}" if ended else "failed" if failed else "is not finished"
        raise UserError(f"{folder}: its run {state}, and only a finished one has weights to look at")
    if not (folder / "checkpoint.pt").is_file():
        raise UserError(
            f"{folder}: its run kept no weights; train it with keep_checkpoint=true, in another output_dir or after removing this folder"
        )
    # a record says null where nothing refers to alpha, and lacks the settings that are younger than it
    return {**dict.fromkeys(YOUNGER), **config, "alpha": 1.0 if config["alpha"] is None else config["alpha"]}


def environment(folder: Path) -> dict[str, Any]:
    """What its environment.json says; empty where that cannot be read."""
    return read_json_or_nothing(folder / "environment.json")


def weights(folder: Path) -> State:
    """What its checkpoint.pt holds, on the CPU, whatever version made it; raises UserError where it is damaged."""
    try:
        return read(folder / "checkpoint.pt")[1]
    except Exception as error:  # whatever a cut or damaged file makes the reader raise
        raise UserError(f"{folder / 'checkpoint.pt'}: cannot be read ({reason_of(error)})") from error


def _is_list_of_text(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)

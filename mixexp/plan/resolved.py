"""A composed cell's configuration as plain values."""

from __future__ import annotations

import copy
import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from mixexp.plan.coerce import set_texts, settled
from mixexp.plan.composer import Composed
from mixexp.plan.identity import ALIAS
from mixexp.training.data import placed


def resolve(cell: Composed, words: Sequence[str] = ()) -> tuple[dict[str, Any], bool]:
    """A cell's configuration as a plain resolved dict with the groups' choices, and whether it refers to alpha.

    words: the overrides, as typed, that the cell is composed of: a text is what was typed, though Hydra has read a
    number.
    """
    config = cell.config
    set_texts(cell, words)
    if (
        isinstance(config.get("data_dir"), str) and config.data_dir
    ):  # wherever it was started from, a run means the same folder
        config.data_dir = str(Path(os.path.expanduser(config.data_dir)).absolute())
    uses_alpha = _refers(config, ALIAS)
    whole: Any = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    settings = settled(whole)
    if "dataset" in settings:  # it can be taken away on the command line, which the check says
        settings["dataset"] = placed(settings["dataset"], settings.get("trusted_modules"))
    return {**settings, "choices": dict(cell.choices)}, uses_alpha


def _refers(config: DictConfig, name: str) -> bool:
    """True if the value of any other setting depends on a root setting, however the reference is written."""
    raw = json.dumps(OmegaConf.to_container(config, resolve=False))
    if f"${{{name}}}" in raw or not re.search(rf"\$\{{[^}}]*{name}", raw):  # the usual spelling, or no reference at all
        return f"${{{name}}}" in raw
    resolved = []
    for value in (0.25, 0.75):  # two that are never both what is set
        tried = copy.deepcopy(config)
        tried[name] = value
        whole: Any = OmegaConf.to_container(tried, resolve=True)
        resolved.append({key: held for key, held in whole.items() if key != name})
    return resolved[0] != resolved[1]

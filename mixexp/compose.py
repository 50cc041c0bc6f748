"""Hydra's part: composing configurations, the application it runs, and its errors in our words."""

from __future__ import annotations

import contextlib
import difflib
import os
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from mixexp.conf_dir import CONF
from mixexp.errors import UserError, closest, say
from mixexp.options import options


def compose(overrides: Sequence[str], folders: Sequence[Path] = ()) -> dict[str, Any]:
    """A resolved configuration outside a Hydra application, with options from further folders too; raises UserError."""
    from mixexp.sweep.plan import resolve

    search = [f"hydra.searchpath=[{','.join(f'file://{folder.absolute()}' for folder in folders)}]"] if folders else []
    with explained(overrides), hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        return resolve(hydra.compose("config", overrides=[*overrides, *search], return_hydra_config=True))[0]


def application(words: Sequence[str]) -> None:
    """Hand a command line to Hydra, which runs one job or a sweep; raises UserError."""
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # Hydra raises its errors, so that they can be said in our words
    sys.argv[1:] = words
    with explained(words):
        hydra.main(version_base="1.3", config_path=str(CONF), config_name="config")(_job)()


def _job(composed: DictConfig) -> None:
    """One run in this process: what Hydra calls for a single run, and for each job of launchers other than pool."""
    from tqdm import tqdm

    from mixexp.record import RunFolder
    from mixexp.sweep.execute import execute
    from mixexp.sweep.plan import plan

    job = HydraConfig.get()
    try:
        (run,) = plan([OmegaConf.merge({"hydra": job}, composed)], [list(job.overrides.task)])
    except UserError as error:
        if job.mode == RunMode.RUN:  # out past Hydra, which would put a line of its own before the message
            sys.exit(say(str(error)))
        raise
    result = RunFolder(run.folder).result()
    if result is None:
        with tqdm(desc=run.label, unit="step", disable=None) as bar:

            def show(progress: Any) -> None:
                bar.total = progress.steps
                bar.update(progress.step - bar.n)
                if progress.accuracy is not None:
                    bar.set_postfix_str(f"accuracy {progress.accuracy:.4f}", refresh=False)

            result = execute(run, show)
        print(f"{run.label}: {result['outcome']}, ", end="")
    else:
        print(f"{run.label}: already {result['outcome']}, ", end="")
    accuracy, macro_f1 = result["last"]["accuracy"], result["last"]["macro_f1"]
    print(f"accuracy {accuracy:.4f}, macro F1 {macro_f1:.4f} at the last of {result['steps']} steps, {result['seconds']:.1f} s")
    print(run.folder)


@contextlib.contextmanager
def explained(words: Sequence[str]) -> Iterator[None]:
    """Turns Hydra's and OmegaConf's errors into one UserError that names the value, the choices and the closest match."""
    groups = options([CONF])
    for word in words:
        group, _, value = word.lstrip("+~").partition("=")
        if group == "experiment" and value == "null":
            raise UserError(f"{word}: leave it out for a run without an experiment")
        if group in groups and value == "null":
            raise UserError(f"{word}: an option is needed; there are {', '.join(groups[group])}")
    try:
        yield
    except (HydraException, OmegaConfBaseException) as error:
        chosen = [word for word in words if word.partition("=")[0] in groups and "," not in word]
        raise UserError(_explain(error, chosen)) from error


def _explain(error: Exception, chosen: Sequence[str]) -> str:
    text = str(error)
    if missing := re.search(r"Could not find '(?:.*/)?([^/']+)/([^/']+)'", text):
        group, option = missing.groups()
        choices = re.findall(r"^\t(\S+)$", text, flags=re.MULTILINE) or list(options([CONF]).get(group, ()))
        return f"{group} = {option}: no such option; there are {', '.join(choices)}.{closest(option, choices)}"
    if unknown := re.search(r"Could not override '([^']+)'", text):
        return _unknown_key(unknown[1], chosen)
    lines = [line.strip() for line in f"{text}\n{error.__cause__ or ''}".splitlines() if line.strip()]
    return "\n".join(dict.fromkeys(lines))


def _unknown_key(key: str, chosen: Sequence[str]) -> str:
    """What to say about a key that the configuration does not have; its siblings are those of the chosen options."""
    from mixexp.sweep.identity import flatten

    GlobalHydra.instance().clear()
    parent, _, _ = key.rpartition(".")
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        default = OmegaConf.to_container(hydra.compose("config", overrides=list(chosen)), resolve=False)
    known = [*default, *options([CONF]), *(name for name, _ in flatten(default))]
    siblings = [name for name in dict.fromkeys(known) if name.rpartition(".")[0] == parent and not name.endswith("_target_")]
    there = f"; there are {', '.join(siblings)}" if siblings else ""
    # a shared beginning would make every sibling look alike, so only the last part is compared among them
    last = {name.rpartition(".")[2]: name for name in siblings}
    near = difflib.get_close_matches(key.rpartition(".")[2], last, n=1)
    match = f" Did you mean '{last[near[0]]}'?" if near else closest(key, dict.fromkeys(known))
    return f"{key}: no such setting{there}.{match}"

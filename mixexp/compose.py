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
import yaml
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException, OverrideParseException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from mixexp.conf_dir import CONF
from mixexp.errors import RunsFailed, UserError, closest, say
from mixexp.options import options, own_folders

PLUGINS = {
    "joblib": "hydra-joblib-launcher",
    "submitit_local": "hydra-submitit-launcher",
    "submitit_slurm": "hydra-submitit-launcher",
    "ray": "hydra-ray-launcher",
}
"""Launchers that are not always there, and where each comes from."""


def compose(overrides: Sequence[str], folders: Sequence[Path] = ()) -> dict[str, Any]:
    """A resolved configuration outside a Hydra application, with options from further folders too; raises UserError."""
    from mixexp.sweep.cells import composed
    from mixexp.sweep.plan import resolve

    search = _search_path(folders)
    with explained(overrides, folders), hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        return resolve(composed(hydra.compose("config", overrides=[*overrides, *search], return_hydra_config=True)), overrides)[0]


def _search_path(folders: Sequence[Path]) -> list[str]:
    """The override that lets Hydra find options in a user's folders, where there are any."""
    paths = ",".join(f"'file://{folder.absolute()}'" for folder in folders)
    return [f"hydra.searchpath=[{paths}]"] if folders else []


def application(words: Sequence[str]) -> None:
    """Hand a command line to Hydra, which runs one job or a sweep; raises UserError."""
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # Hydra raises its errors, so that they can be said in our words
    folders, words = own_folders(words)
    flags = [word for word in words if word in ("-m", "--multirun")]
    others = [word for word in words if word not in flags]
    # options first: Hydra's parser wants the overrides in one piece
    sys.argv[1:] = [*flags, *(f"--config-dir={folder}" for folder in folders), *others]
    command = list(sys.argv)

    def job(found: DictConfig) -> dict[str, Any] | None:
        sys.argv[:] = command  # a launcher's process has another one, and a run's record shows the user's
        return _job(found)

    with explained(words, folders):
        hydra.main(version_base="1.3", config_path=str(CONF), config_name="config")(job)()


def _job(found: DictConfig) -> dict[str, Any] | None:
    """One run in this process, and its result, None where another process has the run.

    Hydra calls it for a single run, and for each job of launchers other than ours.
    """
    from mixexp.sweep.cells import composed
    from mixexp.sweep.single import single

    job = HydraConfig.get()
    alone = job.mode == RunMode.RUN
    os.chdir(job.runtime.cwd)  # where relative paths start, wherever a launcher has started this process
    try:
        return single(composed(OmegaConf.merge({"hydra": job}, found)), list(job.overrides.task), alone)
    except UserError as error:
        if alone:  # out past Hydra, which would put a line of its own before the message
            sys.exit(say(str(error), error.exit_code))
        raise
    except Exception as error:
        if alone:
            raise
        # an exception of the user's own may not survive the way back to the sweep's process; error.txt has all of it
        raise RunsFailed(f"{type(error).__name__}: {error}") from None


@contextlib.contextmanager
def explained(words: Sequence[str], folders: Sequence[Path]) -> Iterator[None]:
    """Turns Hydra's and OmegaConf's errors into one UserError that names the value, the choices and the closest match."""
    from mixexp.sweep.identity import OPTIONAL

    groups = options([CONF, *folders])
    for word in words:
        group, _, value = word.lstrip("+~").partition("=")
        if group == "experiment" and value == "null":
            raise UserError(f"{word}: leave it out for a run without an experiment")
        if group in OPTIONAL and word.endswith("=null"):
            raise UserError(f"{word}: leave it out for a run without; ~{group} takes away what an experiment has chosen")
        if group in groups and word.endswith(("=null", "=")):
            raise UserError(f"{word}: an option is needed; there are {', '.join(groups[group])}")
    try:
        yield
    except yaml.YAMLError as error:
        raise UserError(f"a YAML file cannot be read: {' '.join(str(error).split())}") from error
    except (HydraException, OmegaConfBaseException) as error:
        chosen = [word for word in words if word.partition("=")[0] in groups and "," not in word]
        raise UserError(_explain(error, chosen, folders)) from error


def _explain(error: Exception, chosen: Sequence[str], folders: Sequence[Path]) -> str:
    text = str(error)
    if isinstance(error, OverrideParseException):
        return f"{error.override}: cannot be read; a value with special characters needs quotes, as in 'key=\"value\"'"
    if isinstance(error, MissingMandatoryValue):
        return f"{error.full_key or text}: needs a value, {error.full_key or 'key'}=..."
    if missing := re.search(r"Could not find '(?:.*/)?([^/']+)/([^/']+)'", text):
        group, option = missing.groups()
        if group == "launcher" and option in PLUGINS:
            return f"hydra/launcher = {option}: not installed; pip install {PLUGINS[option]}"
        choices = re.findall(r"^\t(\S+)$", text, flags=re.MULTILINE) or list(options([CONF, *folders]).get(group, ()))
        return f"{group} = {option}: no such option; there are {', '.join(choices)}.{closest(option, choices)}"
    if unknown := re.search(r"Could not override '([^']+)'", text):
        return _unknown_key(unknown[1], chosen, folders)
    lines = [line.strip() for line in f"{text}\n{error.__cause__ or ''}".splitlines() if line.strip()]
    return "\n".join(dict.fromkeys(lines))


def _unknown_key(key: str, chosen: Sequence[str], folders: Sequence[Path]) -> str:
    """What to say about a key that the configuration does not have; its siblings are those of the chosen options."""
    from mixexp.sweep.identity import flatten

    GlobalHydra.instance().clear()
    parent, _, _ = key.rpartition(".")
    found = None
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        search = _search_path(folders)
        with contextlib.suppress(HydraException, OmegaConfBaseException):  # an option may be what is wrong
            found = hydra.compose("config", overrides=[*chosen, *search])
        default = OmegaConf.to_container(found if found is not None else hydra.compose("config"), resolve=False)
    known = [*default, *options([CONF, *folders]), *(name for name, _ in flatten(default))]
    siblings = [name for name in dict.fromkeys(known) if name.rpartition(".")[0] == parent and not name.endswith("_target_")]
    there = f"; there are {', '.join(siblings)}" if siblings else ""
    # a shared beginning would make every sibling look alike, so only the last part is compared among them
    last = {name.rpartition(".")[2]: name for name in siblings}
    near = difflib.get_close_matches(key.rpartition(".")[2], last, n=1)
    match = f" Did you mean '{last[near[0]]}'?" if near else closest(key, dict.fromkeys(known))
    return f"{key}: no such setting{there}.{match}"


def is_sweep(word: str) -> bool:
    """Whether an override gives an axis of several values, which a single configuration cannot take; raises UserError."""
    with explained([word], ()):
        return OverridesParser.create().parse_override(word).is_sweep_override()

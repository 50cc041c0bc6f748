"""A configuration composed by Hydra outside its application, and Hydra's errors in mixexp's words."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import hydra
import yaml
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from mixexp.build.own_code import look_in
from mixexp.errors import UserError
from mixexp.plan.composer import Composed, composed
from mixexp.plan.hydra_errors import explain, leaked, setting_missing
from mixexp.plan.options import SEARCHED, config_dirs, options
from mixexp.plan.overrides import parse, refuse, refuse_several, spelled_out
from mixexp.plan.resolved import resolve
from mixexp.plan.unknown import NoSuchSetting, NoSuchSettings, missing_key, options_apart
from mixexp.project import project
from mixexp.settings import CONF


def compose(overrides: Sequence[str], folders: Sequence[Path] = ()) -> dict[str, Any]:
    """A resolved configuration outside a Hydra application, with options from further folders too; raises UserError."""
    with composing(overrides, folders) as cell:
        config = resolve(cell, overrides)[0]
    if config.get("edition") is not None and not any(re.match(r"\+*name=", word) for word in overrides):
        # not in the folder of the experiment's own runs
        config["name"] = f"{config['name']}_{config['edition']}"
    return config


@contextlib.contextmanager
def composing(overrides: Sequence[str], folders: Sequence[Path] = ()) -> Iterator[Composed]:
    """The cell of some overrides outside a Hydra application.

    Within the context, Hydra can compose others, and its errors become UserErrors.
    """
    with own_options(folders) as own_folders:
        groups = options([CONF, *own_folders])
        parsed = parse(overrides, groups)
        refuse(parsed, groups)
        refuse_several(parsed, groups, ())
        with explained(overrides, own_folders), hydra.initialize_config_dir(str(CONF), version_base="1.3"):
            yield composed(hydra.compose("config", overrides=list(overrides), return_hydra_config=True))


@contextlib.contextmanager
def own_options(typed: Sequence[Path]) -> Iterator[list[Path]]:
    """Context in which Hydra finds the options in all of the user's folders; yields these, typed or of mixexp.yaml.

    Within it, the settings of mixexp.yaml are read anew. Modules of the user's own are found next to the folders from
    now on in this process. Raises UserError where a folder or mixexp.yaml is wrong.
    """
    folders, here, before = config_dirs(typed), project(), list(SEARCHED)
    look_in(folders, *([] if here.path is None else [here.path.parent]))
    Plugins.instance()  # now: Hydra imports its plugins once, and mixexp's plugin stores the settings without a file
    ConfigStore.instance().store("mixexp_project", here.settings, package="_global_", provider="mixexp")
    SEARCHED[:] = folders
    try:
        yield folders
    finally:
        SEARCHED[:] = before


@contextlib.contextmanager
def explained(words: Sequence[str], folders: Sequence[Path], typed: Sequence[str] = ()) -> Iterator[None]:
    """Turns Hydra's and OmegaConf's errors into one UserError that names the value, the choices and the closest match.

    words: the overrides. typed: the words of the whole command line, for the commands that messages suggest.
    """
    try:
        yield
    except NoSuchSettings as error:
        raise UserError(options_apart(error, typed)) from error
    except NoSuchSetting as error:
        raise UserError(setting_missing(error, folders, typed)) from error
    except yaml.YAMLError as error:
        raise UserError(f"a YAML file cannot be read: {' '.join(str(error).split())}") from error
    except (HydraException, OmegaConfBaseException) as error:
        key = missing_key(error)
        if key is None:
            raise UserError(explain(error, words, [CONF, *folders])) from error
        GlobalHydra.instance().clear()
        with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
            raise UserError(setting_missing(NoSuchSetting(key, _chosen(words, folders), []), folders, typed)) from error
    except UserError:
        raise
    except UserWarning as warning:
        place = re.search(r"path=(.*) is not available", str(warning))
        raise UserError(
            f"hydra.searchpath: no such folder, {place[1]}" if place else " ".join(str(warning).split())
        ) from warning
    except Exception as error:
        if not leaked(error):
            raise
        raise UserError(explain(error, words, [CONF, *folders])) from error


def _chosen(words: Sequence[str], folders: Sequence[Path]) -> list[Any]:
    """The configuration with the options that overrides choose, without their values.

    With a wrong option, it is the default configuration.
    """
    groups = options([CONF, *folders])
    chosen = [word for word in words if word.partition("=")[0] in groups and not re.search(r"[,({\[]", word)]
    for tried in (chosen, []):
        with contextlib.suppress(HydraException, OmegaConfBaseException, UserError):
            return [composed(hydra.compose("config", overrides=tried, return_hydra_config=True))]
    return []


def is_sweep(word: str) -> bool:
    """True for an override with several values, which one configuration cannot hold.

    Raises UserError for an empty one.
    """
    groups = options([CONF])
    (override,) = parse([word], groups)
    return override.is_sweep_override() and bool(spelled_out(override, groups))

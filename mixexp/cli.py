"""The `mixexp` command: a handful of words of its own, and Hydra for everything else. Heavy imports wait until they are
needed."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from mixexp.errors import RunsFailed, UserError, closest, say, show, warnings_as_notes
from mixexp.plan.options import code_now, config_dirs, describe, expand_home, options, user_folders
from mixexp.project import project
from mixexp.settings import CONF

USAGE = """\
mixexp [OVERRIDES]                 one run, e.g. mixexp dataset=mnist model=mnist_cnn mix=mixup alpha=0.2
mixexp -m [OVERRIDES]              a sweep, e.g. mixexp -m mix=none,mixup seed=0,1,2
mixexp -m experiment=NAME          an experiment's whole grid; overrides narrow or change it
mixexp reproduce NAME [OVERRIDES]  data check, sweep and report in one: an article's table
mixexp plan [NAME] [OVERRIDES]     the runs of a sweep, done, failed and missing, and the time they will take; starts none
mixexp status DIR... [--watch [S]] the same for a folder, at any moment; --watch: every S seconds (2) until all is over
mixexp report DIR... [--rule R]    tables and plots of the runs in a folder; R: last, median_last_10, best, best_validation; --help:
                                   --table, --metric, --rows, --columns, --swap, --order, --where, --figure, ... change what they show
mixexp compare A B                 what changed between two folders of runs or two git commits, and whether it is more than noise
mixexp leaderboard [DIR...]        methods ranked under each protocol, over everything in outputs/
mixexp claims [NAME...] [--runs D] what the articles claim, and what runs say of it: supported, contradicted, undecided, not run; --json
mixexp runs DIR... [KEY=VALUE...]  the runs in folders, those with some settings or outcome=failed; --remove: for good; --links: by-label/...
mixexp probe RUN... probe=NAME     measure finished runs that kept their weights; --again replaces what other settings gave
mixexp predict RUN FILE...         what a run's network says of pictures or sounds, files or folders; the run kept its weights (keep=last)
mixexp export RUN --to FORMAT      the network as safetensors, onnx or torchscript, compared with its own outputs
mixexp log DIR... logger=NAME      runs that are over told to TensorBoard, MLflow, W&B, ... afterwards; again changes nothing
mixexp list [GROUP]                every option of every group with its description; list table, list figures: what a report can show
mixexp list settings               a run's own settings: default, meaning, what is allowed; mixexp list GROUP=OPTION: an option's
mixexp data NAME...                fetch and check data sets
mixexp --help-hydra                Hydra's own options: --config-dir, --cfg job, shell completion, ...
mixexp.yaml, here or above         config_dirs, trusted_modules, data_dir and output_dir for all commands: docs/own_code.md
"""  # noqa: E501


def main() -> None:
    """Entry point: prints one clear message for what the user can mend and exits with 2, or 1 for runs that failed."""
    warnings_as_notes()
    words = [expand_home(word) for word in sys.argv[1:]]
    functions = (
        _reproduce,
        _plan,
        _status,
        _report,
        _compare,
        _leaderboard,
        _claims,
        _runs,
        _probe,
        _predict,
        _export,
        _log,
        _list,
        _data,
    )
    commands = {function.__name__.removeprefix("_"): function for function in functions}
    try:
        words = _command_first(words, commands)
        if words and words[0] in commands:
            commands[words[0]](words[1:])
        elif words and words[0] in ("-h", "--help"):
            print(USAGE, end="")
        elif words and re.fullmatch(r"[a-z_]+", words[0]):
            if words[1:] and words[1].startswith("="):
                raise UserError(f"{' '.join(words[:3])}: an override is KEY=VALUE, without blanks around the =")
            chosen = [f"{group}={words[0]}" for group, members in options([CONF]).items() if words[0] in members]
            near = f" Did you mean {' or '.join(map(repr, chosen))}?" if chosen else closest(words[0], commands)
            raise UserError(f"{words[0]}: no such command; there are {', '.join(commands)}.{near}")
        else:
            from mixexp.sweeping.application import application

            application(["--help" if word == "--help-hydra" else word for word in words])
    except UserError as error:
        sys.exit(say(str(error), error.exit_code))
    except KeyboardInterrupt:
        sys.exit(say("stopped; finished runs are kept, the same command goes on with the rest", code=130))
    except BrokenPipeError:  # the reader of our output, such as head, has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:  # a full disk, a folder without permission
        sys.exit(say(f"{error.filename or 'file'}: {error.strerror or error}"))


def _command_first(words: list[str], commands: Collection[str]) -> list[str]:
    """The words with a command at their beginning where only folders of options stand before it."""
    if not words or words[0] in commands or not words[0].startswith(("--config-dir", "-cd")):
        return words
    folders, rest = user_folders(words)
    return [*rest, *(f"--config-dir={folder}" for folder in folders)] if rest and rest[0] in commands else words


def _list(words: list[str]) -> None:
    folders, words = user_folders(words)
    own = [word for word in words if word.startswith("trusted_modules=")]
    asked = [word for word in words if word not in own]
    if len(asked) > 1:
        raise UserError(f"list takes one group or GROUP=OPTION at most, not {' '.join(asked)}")
    if asked and (asked[0] == "settings" or "=" in asked[0]):
        show(_reference(folders, asked[0], own))
    else:
        print(describe([CONF, *config_dirs(folders)], asked[0] if asked else None))
    if asked in ([], ["settings"]) and (path := project().path) is not None:
        print(f"{path} holds here.")


def _reference(folders: list[Path], word: str, own: list[str]) -> str:
    """What `list settings` and `list GROUP=OPTION` print; own: the override that names modules of the user's own, if
    any."""
    from mixexp.plan.reference import option_reference, settings_reference

    places = [CONF, *config_dirs(folders)]
    if word == "settings":
        return settings_reference(places)
    from mixexp.plan.compose import compose

    group, _, option = word.partition("=")
    return option_reference(places, group, option, compose(own, folders)["trusted_modules"])


def _report(words: list[str]) -> None:
    from mixexp.reporting.commands import report

    folders, words = user_folders(words)
    folders = config_dirs(folders)
    report(words, [CONF, *folders], code_now(folders))


def _compare(words: list[str]) -> None:
    from mixexp.reporting.commands import compare

    compare(words)


def _leaderboard(words: list[str]) -> None:
    from mixexp.reporting.commands import leaderboard

    leaderboard(words)


def _claims(words: list[str]) -> None:
    from mixexp.plan.options import known
    from mixexp.reporting.commands import claims

    folders, words = user_folders(words)
    folders = [CONF, *config_dirs(folders)]
    claims(words, folders, lambda groups: known(folders, groups))


def _runs(words: list[str]) -> None:
    from mixexp.api.commands import runs_command

    runs_command(words)


def _probe(words: list[str]) -> None:
    from mixexp.plan.compose import compose

    folders, words = user_folders(words)
    needed = "probe: name the folder of a finished run, such as outputs/quickstart/0123456789ab, or a folder of such"
    names, overrides = _split([word for word in words if word != "--again"], needed)
    if not any(word.startswith("probe=") and word != "probe=null" for word in overrides):
        raise UserError(
            "probe: say which one, probe=NAME; there are"
            f" {', '.join(options([CONF, *config_dirs(folders)]).get('probe', ()))}"
        )

    import torch

    from mixexp.sweeping import reprobe
    from mixexp.training.device import execution, make_deterministic

    _check_settable(overrides, "probe", reprobe.SETTABLE)
    chosen = compose(overrides, folders)
    data_dir = chosen["data_dir"] if any(word.startswith("data_dir=") for word in overrides) else None
    for measurement in reprobe.plan([Path(name) for name in names], chosen, data_dir, "--again" in words):
        make_deterministic(execution(measurement.config).device)
        torch.set_num_threads(measurement.config.threads)
        written = reprobe.measure(measurement)
        show("\n".join(map(str, written)) or f"{measurement.folder}: measured before with the same settings")


def _predict(words: list[str]) -> None:
    from mixexp.inference.commands import predict_command
    from mixexp.plan.compose import own_options

    folders, words = user_folders(words)
    with own_options(folders):  # a network of the user's own lies there
        predict_command(words)


def _export(words: list[str]) -> None:
    from mixexp.inference.commands import export_command
    from mixexp.plan.compose import own_options

    folders, words = user_folders(words)
    with own_options(folders):  # a network of the user's own lies there
        export_command(words)


def _log(words: list[str]) -> None:
    from mixexp.plan.compose import compose

    folders, words = user_folders(words)
    names, overrides = _split(words, "log: name a folder of runs, such as outputs/quickstart")
    if not any(word.startswith("logger=") for word in overrides):
        raise UserError(
            "log: say where, logger=NAME; there are"
            f" {', '.join(options([CONF, *config_dirs(folders)]).get('logger', ()))}"
        )

    from mixexp.sweeping import relog

    _check_settable(overrides, "logger", relog.SETTABLE)
    config = compose(overrides, folders)
    for line in relog.log([Path(name) for name in names], config["logger"], config["trusted_modules"]):
        show(line)


def _check_settable(overrides: list[str], group: str, settable: Collection[str]) -> None:
    """Raise UserError for an override of a finished run's own settings."""
    for word in overrides:
        if (key := re.split(r"[.=]", word.lstrip("+~"), maxsplit=1)[0]) not in settable:
            raise UserError(
                f"{word}: a {group} leaves the run as it is; there are {', '.join(settable)}.{closest(key, settable)}"
            )


def _split(words: list[str], needed: str) -> tuple[list[str], list[str]]:
    """The names a command is given and the overrides beside them; raises UserError that says what is needed when there
    is no name."""
    names = [word for word in words if "=" not in word and not word.startswith(("-", "+", "~"))]
    if not names:
        raise UserError(needed)
    return names, [word for word in words if word not in names]


def _data(words: list[str]) -> None:
    from mixexp.plan.compose import compose

    folders, words = user_folders(words)
    names, overrides = _split(words, f"data: name one of {', '.join(options([CONF])['dataset'])}")
    for name in names:
        _check_data(compose([f"dataset={name}", *overrides], folders), name)


def _check_data(config: Mapping[str, Any], name: str) -> None:
    from mixexp.build import check, schema_errors
    from mixexp.dataset import Dataset
    from mixexp.training.data import load
    from mixexp.training.spec import Settings

    trusted = {"trusted_modules": config["trusted_modules"]}
    if errors := [error for error in schema_errors(Settings, trusted, "") if error.startswith("trusted_modules")]:
        raise UserError("\n".join(errors))
    if errors := check(config["dataset"], "dataset", Dataset, tuple(config["trusted_modules"])):
        raise UserError("\n".join(errors))
    _, splits = load(config["dataset"], tuple(config["trusted_modules"]))
    shape = "x".join(map(str, splits.train_images.shape[1:]))
    print(
        f"{name}: {len(splits.train_labels)} training and {len(splits.test_labels)} test images, {shape} (channels"
        " first)"
    )


def _plan(words: list[str]) -> None:
    from mixexp.sweeping.application import application

    folders, words = user_folders(words)
    names = [word for word in words if re.fullmatch(r"\w+", word)]
    if len(names) > 1:
        raise UserError(f"plan {' '.join(names)}: one experiment at a time, each has its own grid")
    launchers = ("hydra/launcher", "hydra.launcher")  # a plan starts nothing, whoever would
    rest = [
        word
        for word in words
        if word not in (*names, "-m", "--multirun") and not word.lstrip("+~").startswith(launchers)
    ]
    config_dirs = [f"--config-dir={folder}" for folder in folders]
    application(["-m", *config_dirs, *(f"experiment={name}" for name in names), *rest, "hydra/launcher=plan"])


def _status(words: list[str]) -> None:
    from mixexp.sweeping.status import status
    from mixexp.sweeping.watch import seconds_between, watch

    seconds, words = seconds_between(words)
    if not words:
        raise UserError("status: name the folder of a sweep, such as outputs/quickstart")
    if seconds is not None:
        watch([Path(word) for word in words], seconds)
        return
    for word in words:
        show(status(Path(word)))


def _reproduce(words: list[str]) -> None:
    from mixexp.plan.compose import compose, is_sweep
    from mixexp.reporting.changes import typed
    from mixexp.reporting.commands import show_table
    from mixexp.reporting.write import write_report
    from mixexp.sweeping.application import application
    from mixexp.sweeping.launch import report_follows

    folders, words = user_folders(words)
    names, overrides = _split(words, f"reproduce: name one of {', '.join(options([CONF])['experiment'])}")
    overrides = [word for word in overrides if word not in ("-m", "--multirun")]
    single = [word for word in overrides if not is_sweep(word)]
    configs = {name: compose([f"experiment={name}", *single], folders) for name in names}
    for config in configs.values():
        _check_data(config, config["choices"]["dataset"])
    failures = []
    for name, config in configs.items():
        failure = None
        try:
            with report_follows():
                application(["-m", *(f"--config-dir={folder}" for folder in folders), f"experiment={name}", *overrides])
        except RunsFailed as error:  # the report shows what there is and lists what failed
            failure = error
        folder = Path(config["output_dir"]) / config["name"]
        if failure is None or any(folder.glob("*/config.yaml")):
            changes = typed(config["table"], overrides)
            show(
                "\n".join(
                    map(
                        str,
                        write_report(
                            [folder],
                            wrote=show_table(),
                            options=[CONF, *config_dirs(folders)],
                            changes=changes,
                            code_now=code_now(config_dirs(folders)),
                        ),
                    )
                )
            )
        if failure is not None:
            failures.append(str(failure))
    if failures:
        raise RunsFailed("\n".join(failures))

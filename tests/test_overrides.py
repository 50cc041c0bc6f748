"""Overrides: the values of an axis, what no run can mean, settings that are not there, and Hydra's errors in our
words."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import hydra
import pytest
import yaml
from commands import mixexp
from hydra.core.global_hydra import GlobalHydra
from hypothesis import given, settings
from hypothesis import strategies as st

from mixexp.cli import main
from mixexp.plan.options import options
from mixexp.settings import CONF, NOT_SCIENTIFIC

PLAN = "hydra/launcher=plan"
GROUPS = {group: sorted(members) for group, members in options([CONF]).items()}
CONFIG = yaml.safe_load((CONF / "config.yaml").read_text())
DEFAULTS = {
    group: option
    for entry in CONFIG["defaults"]
    if isinstance(entry, dict)
    for group, option in entry.items()
    if " " not in group
}
SETTINGS = [key for key in CONFIG if key not in ("defaults", "hydra", *DEFAULTS)]
DESCRIBED = ("table", "claims", "editions", "edition", "checks")
ROOTS = ", ".join(
    dict.fromkeys(
        [
            *(group for group, option in DEFAULTS.items() if option),
            *SETTINGS[: SETTINGS.index("table")],
            "gan",
            "second_stage",
            "probe",
            "logger",
            *DESCRIBED,
        ]
    )
)

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Command:
    """The `mixexp` command in this process: its exit code, and what it prints to both streams."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")

    def run(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["mixexp", *words])
        capsys.readouterr()
        code = 0
        try:
            main()
        except SystemExit as end:
            code = end.code or 0
        finally:
            GlobalHydra.instance().clear()
        return (code, *capsys.readouterr())

    return run


@pytest.fixture
def refusal(command: Command, tmp_path: Path) -> Callable[..., str]:
    """The one message that a command line gets; nothing else is printed and no run left."""

    def message(*words: str) -> str:
        code, output, errors = command(*words)
        assert (code, output) == (2, "") and errors.startswith("mixexp: ") and errors.count("mixexp: ") == 1, (
            code,
            output,
            errors,
        )
        assert not (tmp_path / "outputs").exists()
        return errors.removeprefix("mixexp: ").removesuffix("\n")

    return message


def suggested(message: str) -> list[list[str]]:
    """The commands that a message suggests, as a shell reads them."""
    return [shlex.split(found)[1:] for found in re.findall(r"(?:^|: )(mixexp .*)$", message, re.MULTILINE)]


def own(folder: Path, **files: str) -> tuple[str, str]:
    """The words for a folder of one's own options; files: group__option=text."""
    for name, text in files.items():
        path = folder / "own" / f"{name.replace('__', '/')}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return "--config-dir", "own"


# --- the values of an axis ---


def cells(*words: str, params: dict[str, str] | None = None) -> list[str]:
    """The cells of a sweep, as they go to the launcher."""
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        # Hydra loads plugins when it starts, and a class imported before would be another one
        from hydra_plugins.mixexp_plugins import GridSweeper, PoolLauncher

        class Recorder(PoolLauncher):
            def launch(self, job_overrides: Any, initial_job_idx: int) -> list[Any]:
                self.jobs = [" ".join(words) for words in job_overrides]
                return []

        sweeper = GridSweeper(params, [])
        sweeper.hydra_context = SimpleNamespace(config_loader=GlobalHydra.instance().config_loader())
        sweeper.config, sweeper.launcher = {}, Recorder()
        sweeper.sweep(list(words))
        return sweeper.launcher.jobs


@pytest.mark.parametrize(
    "text, values",
    [
        ("range(0.1,0.5,0.1)", "0.1 0.2 0.3 0.4"),
        ("range(0.5,0.1,-0.1)", "0.5 0.4 0.3 0.2"),
        ("range(0.1,0.8,0.1)", "0.1 0.2 0.3 0.4 0.5 0.6 0.7"),  # Hydra adds 0.8
        ("range(1,2,0.25)", "1.0 1.25 1.5 1.75"),
        ("range(1e-3,4e-3,1e-3)", "0.001 0.002 0.003"),
        ("range(-0.3,0.3,0.1)", "-0.3 -0.2 -0.1 0.0 0.1 0.2"),
        ("sort(range(0.7,0.1,-0.1))", "0.2 0.3 0.4 0.5 0.6 0.7"),
        ("float(range(1,4))", "1.0 2.0 3.0"),
        ("range(3)", "0 1 2"),
        ("range(7,0,-3)", "7 4 1"),
        ("0.30000000000000004,1", "0.30000000000000004 1"),  # typed, not made
    ],
)
def test_a_range_has_the_decimals_of_its_start_and_step(text: str, values: str) -> None:
    assert cells(f"alpha={text}") == [f"alpha={value}" for value in values.split()]


def test_so_has_a_range_in_an_experiments_params() -> None:
    assert cells(params={"alpha": "range(0.5,0.1,-0.1)"}) == ["alpha=0.5", "alpha=0.4", "alpha=0.3", "alpha=0.2"]


@settings(max_examples=100, deadline=None)
@given(
    start=st.integers(-999, 999),
    step=st.integers(1, 99),
    count=st.integers(1, 12),
    places=st.integers(1, 4),
    down=st.booleans(),
)
def test_every_range_is_what_decimal_arithmetic_gives(
    start: int, step: int, count: int, places: int, down: bool
) -> None:
    from mixexp.plan.overrides import parse, values

    unit, sign = Decimal(1).scaleb(-places), -1 if down else 1
    numbers = [unit * (start + sign * step * index) for index in range(count + 1)]
    words = ",".join(f"{number:f}" for number in (numbers[0], numbers[-1], sign * step * unit))
    assert values(parse([f"alpha=range({words})"], {})[0], {}) == [str(float(number)) for number in numbers[:-1]]


@pytest.mark.parametrize("sweeper", ["grid", "basic"])
def test_a_range_makes_the_runs_of_its_numbers_typed_one_by_one(command: Command, sweeper: str) -> None:
    words = ("-m", "mix=mixup", f"hydra/sweeper={sweeper}", PLAN)
    ranged, typed = (command(*words, f"alpha={values}")[1] for values in ("range(0.1,0.5,0.1)", "0.1,0.2,0.3,0.4"))
    assert ranged == typed and len(re.findall("missing  alpha=", typed)) == 4


SAMPLINGS = "balanced, deferred, natural, oversample, square_root, undersample"
EMPTY = "it is empty, so a sweep has no cells"


@pytest.mark.parametrize(
    "word, reason",
    [
        (
            "seed=range(3,0)",
            f"{EMPTY}; 3 is not below 0, and a range leaves its end out. Did you mean 'seed=range(3,0,-1)'?",
        ),
        ("seed=range(2,2)", f"{EMPTY}; 2 is not below 2, and a range leaves its end out."),
        (
            "alpha=range(0.1,0.5,-0.1)",
            f"{EMPTY}; 0.1 is not above 0.5, and a range leaves its end out. Did you mean 'alpha=range(0.1,0.5,0.1)'?",
        ),
        ("seed=choice()", EMPTY),
        ("seed=range(0,5,0)", "a step of 0 never ends"),
        ("alpha=range(0.1,inf,0.1)", "a range is from a number to a number by a number"),
        ("seed=range(1000000000)", "1,000,000,000 values; 100,000 is the most"),
        ("sampling=glob(x*)", f"it matches no option, so a sweep has no cells; there are {SAMPLINGS}."),
        (
            "sampling=glob(ntural)",
            (f"it matches no option, so a sweep has no cells; there are {SAMPLINGS}. Did you mean 'natural'?"),
        ),
        (
            "seed=glob(x*)",
            f"glob chooses among a group's options, and seed is not a group; there are {', '.join(GROUPS)}",
        ),
        (
            "alpha=interval(0.1,1)",
            "an interval is for a search (hydra/sweeper=search); a sweep takes values, alpha=VALUE,VALUE,...",
        ),
    ],
)
def test_an_axis_without_values_is_named(refusal: Callable[..., str], word: str, reason: str) -> None:
    assert refusal("-m", word, "epochs=1") == f"{word}: {reason}"


@pytest.mark.parametrize(
    "words",
    [("hydra/launcher=basic",), ("hydra/sweeper=basic",), ("hydra/sweeper=search",), ("experiment=quickstart",)],
)
def test_an_empty_axis_is_named_on_every_way_to_a_sweep(refusal: Callable[..., str], words: tuple[str, ...]) -> None:
    assert refusal("-m", *words, "seed=range(3,0)").startswith(f"seed=range(3,0): {EMPTY}; ")
    assert refusal("plan", "quickstart", "seed=range(3,0)").startswith(f"seed=range(3,0): {EMPTY}; ")


@pytest.mark.parametrize(
    "sweeper, reason",
    [
        (
            "grid: [{seed: []}]",
            "hydra.sweeper.grid: seed: [] is empty, so its block has no cells; give it values or take it out",
        ),
        (
            "grid: [{seed: [0, 1]}, {mix: []}]",
            "hydra.sweeper.grid: mix: [] is empty, so its block has no cells; give it values or take it out",
        ),
        (
            "params: {seed: 'range(3,0)'}",
            (
                f"seed=range(3,0): {EMPTY}; 3 is not below 0, and a range leaves its end out. Did you mean"
                " 'seed=range(3,0,-1)'?"
            ),
        ),
        (
            "grid: [seed]",
            "hydra.sweeper.grid = ['seed']: a grid is a list of blocks, such as [{mix: [none, mixup], seed: 0}]",
        ),
        (
            "grid: {mix: [none, mixup]}",
            (
                "experiment/e.yaml: hydra.sweeper.grid: {mix: [none,mixup]} is a mapping; it is a list of blocks of"
                " axes, as in hydra: {sweeper: {grid: [{mix: [none, mixup]}]}}"
            ),
        ),
        (
            "params: [mix]",
            (
                "experiment/e.yaml: hydra.sweeper.params: [mix] is a list; it has the values of each axis, as in {mix:"
                " 'none,mixup', seed: range(3)}"
            ),
        ),
        (
            "grid: [{alpha: 'range(0.1,0.5,0.1)'}]",
            (
                "alpha=range(0.1,0.5,0.1): a cell has one value; in a grid, alpha: [A, B] is an axis, and a text with"
                " commas has quotes in it"
            ),
        ),
    ],
)
def test_a_grid_of_ones_own_without_cells_is_named(
    refusal: Callable[..., str], tmp_path: Path, sweeper: str, reason: str
) -> None:
    words = own(tmp_path, experiment__e=f"# @package _global_\n# Mine.\nhydra:\n  sweeper:\n    {sweeper}\n")
    assert refusal("-m", *words, "experiment=e") == reason


def test_one_value_of_an_experiment_has_its_grid_however_it_is_written(command: Command) -> None:
    plans = {
        command("-m", word, PLAN)[1]
        for word in ("experiment=quickstart", "experiment=glob(quickst*)", "experiment=choice(quickstart)")
    }
    assert len(plans) == 1 and "27 runs" in plans.pop()


# --- options that are not names ---


@pytest.mark.parametrize("group", GROUPS)
def test_a_list_for_a_group_is_refused_with_what_it_can_mean(refusal: Callable[..., str], group: str) -> None:
    first, second = (*GROUPS[group], *GROUPS[group])[:2] if len(GROUPS[group]) > 1 else GROUPS[group] * 2
    listed = f"[{first},{second}]"
    counts = group not in NOT_SCIENTIFIC  # runs that differ in another group alone are one run
    each = f"\n    a run of each: mixexp -m {group}={first},{second} epochs=1" if counts else ""
    for word, start in (
        (f"{group}={listed}", ()),
        (f"+{group}={listed}", ("-m",)),
        (f"{group}={first},{listed}", ("-m",)),
    ):
        message = refusal(*start, word, "epochs=1")
        assert (
            message.startswith(f"{word}: a run has one option of {group}{each}")
            and ("a run of each" in message) == counts
        )
    assert (f"\n    this one: mixexp {group}={first}" in refusal(f"{group}=[{first}]")) == counts
    assert (
        refusal(f"{group}=[{first},nne]").splitlines()[0] == f"{group}=[{first},nne]: a run has one option of {group}"
    )
    names = ", ".join(options([CONF])[group])
    assert refusal(f"{group}=[]") == f"{group}=[]: an option is needed; there are {names}"
    for value in ("1", "true"):
        assert refusal(f"{group}={value}") == f"{group}={value}: an option of {group} is a name; there are {names}"
        assert refusal("-m", f"{group}={first},{value}").startswith(
            f"{group}={first},{value}: an option of {group} is a name; "
        )
    assert refusal("-m", f"{group}=range(2)") == f"{group}=range(2): an option of {group} is a name; there are {names}"


def test_both_meanings_of_a_list_of_layers_work_as_they_are_printed(
    refusal: Callable[..., str], tmp_path: Path
) -> None:
    message = refusal("mix_layer=[input,final]", "mix=mixup", "epochs=1", "model.width=4")
    assert (
        message == "mix_layer=[input,final]: a run has one option of mix_layer\n"
        "    a run of each: mixexp -m mix_layer=input,final mix=mixup epochs=1 model.width=4\n"
        "    one of these, drawn for every batch: "
        "mixexp mix_layer=random mix=mixup epochs=1 model.width=4 'mix_layer.layers=[input,final]'"
    )
    found = []
    for name, words in zip(("each", "drawn"), suggested(message), strict=True):
        done = mixexp(*words, f"name={name}", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        configs = [yaml.safe_load(path.read_text()) for path in (tmp_path / "outputs" / name).glob("*/config.yaml")]
        found.append(sorted((config["choices"]["mix_layer"], config["mix_layer"]["layers"]) for config in configs))
    assert found == [[("final", ["final"]), ("input", ["input"])], [("random", ["input", "final"])]]


def test_layers_that_are_no_options_can_only_be_drawn_from(refusal: Callable[..., str]) -> None:
    assert (
        refusal("-m", "mix_layer=[fc4,input]", "seed=0,1")
        == "mix_layer=[fc4,input]: a run has one option of mix_layer\n"
        "    one of these, drawn for every batch: mixexp -m mix_layer=random seed=0,1 'mix_layer.layers=[fc4,input]'"
    )


@pytest.mark.parametrize(
    "defaults, body, message",
    [
        (
            "override /mix: [none, mixup]",
            "",
            (
                "mix: the defaults list of experiment=e has a list, [none, mixup], and a run has one option\n"
                "    a run of each: mix: [none, mixup] in a block of hydra.sweeper.grid"
            ),
        ),
        (
            "override /mix_layer: [input, final]",
            "",
            (
                "mix_layer: the defaults list of experiment=e has a list, [input, final], and a run has one option\n   "
                " a run of each: mix_layer: [input, final] in a block of hydra.sweeper.grid\n    one of these, drawn"
                " for every batch: override /mix_layer: random there, and mix_layer: {layers: [input, final]}"
            ),
        ),
        (
            "override /probe: [fgsm, tsne]",
            "",
            (
                "probe: the defaults list of experiment=e has a list, [fgsm, tsne], and a run has one option\n"
                "    a run of each: probe: [fgsm, tsne] in a block of hydra.sweeper.grid"
            ),
        ),
        (
            "override /mix: mixup",
            "hydra: {sweeper: {grid: [{mix_layer: [[input, final], input]}]}}",
            (
                "mix_layer=[input,final]: a run has one option of mix_layer\n"
                "    a run of each: mix_layer=input,final\n"
                "    in the grid of a file: mix_layer: [input, final]\n"
                "    one of these, drawn for every batch: mix_layer=random 'mix_layer.layers=[input,final]'"
            ),
        ),
        (
            "override /mix: mixup",
            "hydra: {sweeper: {grid: [{loss: [kl, 1]}]}}",
            f"loss=1: an option of loss is a name; there are {', '.join(GROUPS['loss'])}",
        ),
        (
            "override /mix: mixup\n  - override /mix: none",
            "",
            "experiment=e: its defaults list has 'override /mix' twice, and a run has one option",
        ),
        (
            "mix: mixup",
            "",
            "experiment/e.yaml: a defaults list chooses another group's option with 'override /mix: mixup'",
        ),
        (
            "override /mxi: mixup",
            "",
            f"experiment/e.yaml: override mxi: no such group. Did you mean 'mix'? There are {', '.join(GROUPS)}.",
        ),
    ],
)
def test_a_file_of_ones_own_has_one_option_a_run(
    refusal: Callable[..., str], tmp_path: Path, defaults: str, body: str, message: str
) -> None:
    words = own(tmp_path, experiment__e=f"# @package _global_\n# Mine.\ndefaults:\n  - {defaults}\n{body}\n")
    assert refusal("-m", *words, "experiment=e") == message
    if not body:
        assert refusal(*words, "experiment=e") == message


@pytest.mark.parametrize(
    "word, message",
    [
        (
            "+mix=mixup",
            (
                "mix: every run has an option of it already; on the command line mix=NAME without +, in a defaults list"
                " 'override /mix: NAME'"
            ),
        ),
        ("++mix=mixup", "++mix=mixup: leave the ++ out, mix=mixup"),
        ("+loss@loss=focal", "+loss@loss=focal: an option of loss has its place at loss; loss=focal"),
        ("+mix@loss=none", "+mix@loss=none: an option of mix has its place at mix; mix=none"),
        ("mix@_global_=mixup", "mix@_global_=mixup: an option of mix has its place at mix; mix=mixup"),
        (
            "experiment={name:x}",
            (
                "experiment={name:x}: an option of experiment is a name; there are"
                f" {', '.join(options([CONF])['experiment'])}"
            ),
        ),
    ],
)
def test_an_option_has_one_way_to_its_place(refusal: Callable[..., str], word: str, message: str) -> None:
    assert refusal(word) == message


def test_an_option_whose_name_is_a_number_is_chosen_in_quotes(
    refusal: Callable[..., str], command: Command, tmp_path: Path
) -> None:
    words = own(tmp_path, **{"augment__2024": "# Mine.\n_target_: mixexp.augment.NoAugment\n"})
    (suggestion,) = re.findall(r"; as a name: (.*)$", refusal(*words, "augment=2024"))
    code, output, errors = command(*words, *shlex.split(suggestion), "--cfg", "job", "--package", "augment")
    assert (code, errors) == (0, "") and "NoAugment" in output


def test_a_mapping_sets_values_and_is_recorded_as_what_was_typed(command: Command) -> None:
    for words in (["model={width:4}"], ["-m", "model={width:4}"]):
        assert command(*words, "epochs=1")[0] == 0
    (config,) = (yaml.safe_load(path.read_text()) for path in Path("outputs").glob("runs/*/config.yaml"))
    assert config["model"]["width"] == 4 and config["choices"]["model"] == "small_cnn"


# --- taking away ---


@pytest.mark.parametrize("key", [*SETTINGS, *DEFAULTS])
def test_what_every_run_has_cannot_be_taken_away(refusal: Callable[..., str], command: Command, key: str) -> None:
    if DEFAULTS.get(key, "") is None:
        without, plain = command("-m", f"~{key}", "seed=3", PLAN), command("-m", "seed=3", PLAN)
        assert without[::2] == (0, "") and without[1].split()[0] == plain[1].split()[0], "it is the run without"
        return
    for words in ((f"~{key}",), ("-m", f"~{key}", "seed=0,1")):
        message = refusal(*words)
        if key in DEFAULTS:
            default = f"{key}={DEFAULTS[key]} is the default, 'mixexp list {key}' names the others"
            assert message == f"~{key}: every run has an option of {key}; {default}"
        elif key == "data_dir":
            assert message == "~data_dir: every run has this setting; leave it out"
        else:
            (word,) = shlex.split(message.removeprefix(f"~{key}: every run has this setting; its default is "))
            assert word.partition("=")[0] == key and yaml.safe_load(word.partition("=")[2]) == CONFIG[key]


@pytest.mark.parametrize(
    "word, message",
    [
        ("~name=runs", "~name=runs: every run has this setting; its default is name=runs"),
        (
            "~mix=mixup",
            "~mix=mixup: every run has an option of mix; mix=none is the default, 'mixexp list mix' names the others",
        ),
        ("~dataset._target_", "~dataset._target_: it says what dataset is, and cannot be removed"),
        (
            "~optimizer.momentum=5",
            "~optimizer.momentum=5: the value is 0.9; ~optimizer.momentum removes it whatever it is",
        ),
        ("~dataset.mean", "~dataset.mean: it is null, so there is nothing to remove; dataset.mean=VALUE changes it"),
        ("~probe=fgsm", "~probe=fgsm: this run has no probe=fgsm to take away"),
        (
            "~hydra.sweeper",
            "~hydra.sweeper: a part of Hydra's own configuration, which every run has; only its value can be changed",
        ),
        (
            "~hydra/launcher",
            "~hydra/launcher: a part of Hydra's own configuration, which every run has; only its value can be changed",
        ),
        (
            "~loss.smoothing",
            (
                "loss.smoothing: no such setting. Did you mean 'loss.label_smoothing'? There are"
                " loss.label_smoothing, loss.class_weights, loss.beta."
            ),
        ),
    ],
)
def test_what_else_cannot_be_taken_away(refusal: Callable[..., str], word: str, message: str) -> None:
    assert refusal(word) == message


# --- one run, several values ---


@pytest.mark.parametrize(
    "words, message",
    [
        (
            ["seed=0,1"],
            "seed=0,1: several values, and this is one run\n    a run of each is a sweep: mixexp -m seed=0,1",
        ),
        (
            ["mix=none,mixup", "epochs=1"],
            (
                "mix=none,mixup: several values, and this is one run\n    a run of each is a sweep: mixexp -m"
                " mix=none,mixup epochs=1"
            ),
        ),
        (
            ["--run", "seed=range(3)"],
            (
                "seed=range(3): several values, and this is one run\n    a run of each is a sweep: mixexp -m"
                " 'seed=range(3)'"
            ),
        ),
        (
            ["mix_layer=random", "mix_layer.layers=input,final"],
            (
                "mix_layer.layers=input,final: several values, and this is one run\n"
                "    a run of each is a sweep: mixexp -m mix_layer=random mix_layer.layers=input,final\n"
                "    one list: mixexp mix_layer=random 'mix_layer.layers=[input,final]'"
            ),
        ),
        (["data", "digits", "seed=0,1"], "seed=0,1: one value is needed here"),
        (
            ["hydra.sweeper.trials=3"],
            "hydra.sweeper.trials=3: of a sweep or search, and this is one run: mixexp -m hydra.sweeper.trials=3",
        ),
    ],
)
def test_several_values_without_m(refusal: Callable[..., str], words: list[str], message: str) -> None:
    assert refusal(*words) == message


# --- settings that are not there ---


@pytest.mark.parametrize(
    "words, message",
    [
        (["lr=0.1"], f"lr: no such setting. Did you mean 'optimizer.lr=0.1'? There are {ROOTS}, experiment."),
        (["-m", "mix.alpha=0.1,0.2"], "mix.alpha: no such setting. Did you mean 'alpha=0.1,0.2'?"),
        (
            ["mix=mixup", "mix.alpha=0.3"],
            "mix.alpha: no such setting. Did you mean 'alpha=0.3'? There are mix.step_size.",
        ),
        (["width=4"], f"width: no such setting. Did you mean 'model.width=4'? There are {ROOTS}, experiment."),
        (
            ["gamma=2"],
            (
                "gamma: no such setting. loss.gamma is a setting of loss=class_balanced_focal or"
                " loss=class_dependent_temperatures or loss=focal: mixexp loss=class_balanced_focal loss.gamma=2"
            ),
        ),
        (
            ["loss.gama=2"],
            (
                "loss.gama: no such setting; there are loss.label_smoothing, loss.class_weights, loss.beta. Did you mean"
                " 'loss.gamma'? loss.gamma is a setting of loss=class_balanced_focal or"
                " loss=class_dependent_temperatures or loss=focal: mixexp loss=class_balanced_focal loss.gamma=2"
            ),
        ),
        (
            ["loss=kl", "loss.gamma=2", "name=my runs"],
            (
                "loss.gamma: no such setting. loss.gamma is a setting of loss=class_balanced_focal or"
                " loss=class_dependent_temperatures or loss=focal: mixexp loss=class_balanced_focal loss.gamma=2"
                " 'name=my runs'"
            ),
        ),
        (
            ["loss.lambda=0.4"],
            (
                "loss.lambda: no such setting; there are loss.label_smoothing, loss.class_weights, loss.beta. lambda is"
                " loss.margin here: loss.margin is a setting of loss=affinity: mixexp loss=affinity loss.margin=0.4"
            ),
        ),
        (
            ["-m", "subset.n=100,200"],
            (
                "subset.n: no such setting. subset.n is a setting of subset=balanced or subset=head: mixexp -m"
                " subset.n=100,200 subset=balanced"
            ),
        ),
        (
            ["optimizer={lr:0.1,momentm:0.5}"],
            (
                "optimizer.momentm: no such setting. Did you mean 'optimizer.momentum'? There are optimizer.lr,"
                " optimizer.momentum, optimizer.nesterov, optimizer.weight_decay."
            ),
        ),
        (
            ["-m", "loss=focal,kl", "loss.gama=2"],
            "loss.gama: no such setting. Did you mean 'loss.gamma=2'? There are loss.gamma, loss.class_weights, loss.beta.",
        ),
    ],
)
def test_a_setting_that_is_not_there(refusal: Callable[..., str], words: list[str], message: str) -> None:
    assert refusal(*words) == message


@pytest.mark.parametrize(
    "words, head, cells_apart",
    [
        (
            ["optimizer=sgd,adam", "optimizer.momentum=0.5"],
            (
                "optimizer.momentum: no such setting in 1 of 2 cells, those with optimizer=adam, which has"
                " optimizer.lr, optimizer.beta1, optimizer.beta2, optimizer.eps, optimizer.weight_decay; sweep them"
                " apart:"
            ),
            ["optimizer=sgd optimizer.momentum=0.5", "optimizer=adam"],
        ),
        (
            ["loss=focal,cross_entropy", "loss.gamma=1,2", "seed=3"],
            (
                "loss.gamma: no such setting in 2 of 4 cells, those with loss=cross_entropy, which has"
                " loss.label_smoothing, loss.class_weights, loss.beta; sweep them apart:"
            ),
            ["loss=focal loss.gamma=1,2 seed=3", "loss=cross_entropy seed=3"],
        ),
        (
            ["schedule=constant,steps,cosine", "schedule={drop:0.5}"],
            "schedule.drop: no such setting in 2 of 3 cells, those with schedule=constant schedule=cosine, ",
            [],
        ),
        (
            ["mix=none,mixup", "mix.ratio.per=epoch,batch"],
            (
                "mix.ratio.per: no such setting in 2 of 4 cells, those with mix=none, which has no settings; sweep them"
                " apart:"
            ),
            ["mix=mixup mix.ratio.per=epoch,batch", "mix=none"],
        ),
        (
            ["experiment=quickstart", "mix.step_size=64"],
            (
                "mix.step_size: no such setting in 3 of 27 cells, those with mix=none, which has no settings; sweep"
                " them apart:"
            ),
            ["experiment=quickstart mix.step_size=64 mix=mixup", "experiment=quickstart mix=none"],
        ),
    ],
)
def test_a_setting_that_some_cells_have(
    refusal: Callable[..., str], command: Command, words: list[str], head: str, cells_apart: list[str]
) -> None:
    message = refusal("-m", *words)
    assert message.startswith(head)
    assert message.splitlines()[1:] == [f"    mixexp -m {line}" for line in cells_apart]
    for line in suggested(message):
        code, output, errors = command(*line, PLAN)
        assert (code, errors) == (0, "") and "missing" in output
    assert refusal("-m", *words, "hydra/launcher=basic").startswith(head.split(";")[0])


# --- a search's space ---

SEARCH = ("-m", "hydra/sweeper=search", "hydra.sweeper.metric=accuracy", PLAN)


@pytest.mark.parametrize(
    "words, line",
    [
        (
            ["hydra.sweeper.space.optimizer.lr.low=0.01", "hydra.sweeper.space.optimizer.lr.high=0.5"],
            "optimizer.lr  0.01 ... 0.5",
        ),
        (
            ["hydra.sweeper.space.optimizer.lr={low:0.01,high:0.5,log:true}"],
            "optimizer.lr  0.01 ... 0.5, even in its logarithm",
        ),
        (["hydra.sweeper.space={optimizer.lr:{low:0.01,high:0.5}}"], "optimizer.lr  0.01 ... 0.5"),
        (["++hydra.sweeper.space={optimizer.lr: {low: 0.01, high: 0.5}}"], "optimizer.lr  0.01 ... 0.5"),
        (["hydra.sweeper.space.optimizer.choices=[sgd,adam]"], "optimizer  sgd or adam"),
        (["optimizer.lr=interval(0.01,0.5)"], "optimizer.lr  0.01 ... 0.5"),
        (["optimizer.lr=tag(log,interval(0.01,0.5))"], "optimizer.lr  0.01 ... 0.5, even in its logarithm"),
        (["batch_size=int(interval(32,64))"], "batch_size  32 ... 64, whole numbers"),
        (["hydra.sweeper.space.batch_size={low:32,high:64,step:16}"], "batch_size  32 ... 64, whole numbers, every 16"),
    ],
)
def test_a_space_by_dotted_overrides(command: Command, words: list[str], line: str) -> None:
    code, output, errors = command(*SEARCH, *words)
    assert (code, errors) == (0, "") and output.splitlines()[1] == f"  {line}"


def test_a_space_of_a_file_is_changed_by_dotted_overrides(
    command: Command, refusal: Callable[..., str], tmp_path: Path
) -> None:
    space = "loss.gamma: {low: 1.0, high: 3.0}, optimizer.lr: {choices: [0.1, 0.2]}"
    text = (
        "defaults:\n  - override /hydra/sweeper: search\n  - override /loss: focal\nhydra:\n  sweeper: {metric:"
        f" accuracy, space: {{{space}}}}}\n"
    )
    words = ("-m", *own(tmp_path, experiment__e=f"# @package _global_\n# Mine.\n{text}"), "experiment=e", PLAN)

    def shown(*more: str) -> list[str]:
        code, output, errors = command(*words, *more)
        assert (code, errors) == (0, "")
        return [line.strip() for line in output.splitlines() if line.startswith("  ") and "every trial" not in line]

    prefix = "hydra.sweeper.space"
    assert shown() == ["loss.gamma    1 ... 3", "optimizer.lr  0.1 or 0.2"]
    assert shown(f"{prefix}.loss.gamma.low=2") == ["loss.gamma    2 ... 3", "optimizer.lr  0.1 or 0.2"]
    assert shown(f"{prefix}.loss.gamma.choices=[1,2]") == ["loss.gamma    1 or 2", "optimizer.lr  0.1 or 0.2"]
    assert shown(f"{prefix}.optimizer.lr=interval(0.1,1)") == ["loss.gamma    1 ... 3", "optimizer.lr  0.1 ... 1"]
    assert shown("loss.gamma=2") == ["optimizer.lr  0.1 or 0.2"]
    word = f"~{prefix}.loss.gamma"
    assert (
        refusal(*words, word) == f"{word}: a setting that is given is not searched for; type loss.gamma=VALUE instead"
    )
    word = "seed=0,1"
    form = f"'{prefix}.seed.choices=[0,1]'"
    assert (
        refusal(*words, word)
        == f"{word}: a search has one value for all that is not in its space; to search among these: {form}"
    )


@pytest.mark.parametrize(
    "words, message",
    [
        (
            [*SEARCH],
            (
                "hydra.sweeper.space: it is empty, so there is nothing to search for; such as "
                "'hydra.sweeper.space.optimizer.lr={low:0.001,high:0.1,log:true}'"
            ),
        ),
        (
            [*SEARCH, "hydra.sweeper.space.optimizer.lr.lwo=0.1"],
            (
                "hydra.sweeper.space.optimizer.lr.lwo=0.1: a setting's space has low, high, log, step, choices. Did you"
                " mean 'low'?"
            ),
        ),
        (
            [*SEARCH, "hydra.sweeper.space.optimizer.lr=[0.1,1]"],
            (
                "hydra.sweeper.space.optimizer.lr=[0.1,1]: a setting's space has low, high, log, step, choices, such as"
                " 'hydra.sweeper.space.optimizer.lr={low:...,high:...}'"
            ),
        ),
        (
            [*SEARCH, "hydra.sweeper.space.mix.choices=none,mixup"],
            (
                "hydra.sweeper.space.mix.choices=none,mixup: choices are a list,"
                " 'hydra.sweeper.space.mix.choices=[none,mixup]'"
            ),
        ),
        (
            ["-m", "hydra.sweeper.trials=5"],
            (
                "hydra.sweeper.trials: a setting of hydra/sweeper=search, which is not chosen: mixexp -m"
                " hydra.sweeper.trials=5 hydra/sweeper=search"
            ),
        ),
        (
            ["-m", "hydra.sweeper.space.optimizer.lr.low=0.1"],
            "hydra.sweeper.space: a setting of hydra/sweeper=search, which is not chosen: hydra/sweeper=search",
        ),
        (
            [
                *SEARCH,
                "hydra.sweeper.space.optimizer.choices=[sgd,adam]",
                "hydra.sweeper.space.optimizer.momentum.choices=[0.1,0.2]",
            ],
            (
                "optimizer.momentum: no such setting in 1 of 2 cells, those with optimizer=adam, which has"
                " optimizer.lr, optimizer.beta1, optimizer.beta2, optimizer.eps, optimizer.weight_decay"
            ),
        ),
    ],
)
def test_a_space_that_cannot_be_is_refused_with_the_form_that_works(
    refusal: Callable[..., str], words: list[str], message: str
) -> None:
    pytest.importorskip("optuna")
    assert refusal(*words) == message


# --- options of the command line, and Hydra's own configuration ---

OPTIONS = (
    "There are -m, --cfg, --config-dir, --config-name, --config-path, --experimental-rerun, --help, --hydra-help,"
    " --info, --multirun, --package, --resolve, --run, --shell-completion, --version."
)


@pytest.mark.parametrize(
    "words, message",
    [
        (["--mulitrun", "seed=0,1"], f"--mulitrun: no such option. Did you mean '--multirun'? {OPTIONS}"),
        (["--mix", "mixup"], f"--mix: no such option. Did you mean 'mix=mixup'? {OPTIONS}"),
        (["mix=mixup", "--step=2"], "--step=2: settings have no dashes. Did you mean 'steps=2'?"),
        (["mix=mixup", "--step", "2"], f"--step: no such option. Did you mean 'steps=2'? {OPTIONS}"),
        (["--optimiser.lr=2"], "--optimiser.lr=2: settings have no dashes. Did you mean 'optimizer.lr=2'?"),
        (["--runs=2"], f"--runs=2: no such option. Did you mean '--run'? {OPTIONS}"),
        (
            ["report", "outputs/x", "--row", "mix"],
            "report: unrecognized arguments: --row mix; mixexp report --help says more. Did you mean '--rows'?",
        ),
        (["-m", "--seed", "0,1"], f"--seed: no such option. Did you mean 'seed=0,1'? {OPTIONS}"),
        (["plan", "--mix", "mixup"], f"--mix: no such option. Did you mean 'mix=mixup'? {OPTIONS}"),
        (["plan", "quickstart", "--jsn"], "plan: --jsn: no such option. Did you mean '--json'?"),
        (["--Multirun", "seed=0,1"], f"--Multirun: no such option. Did you mean '--multirun'? {OPTIONS}"),
        (["-multirun", "seed=0,1"], f"-multirun: no such option. Did you mean '--multirun'? {OPTIONS}"),
        (["seed=0", "--config-dri=x"], f"--config-dri=x: no such option. Did you mean '--config-dir'? {OPTIONS}"),
        (["--cfg", "job", "-m"], "--cfg shows one configuration and runs nothing; leave -m out: mixexp --cfg job"),
        (
            ["-m", "seed=4,5", "mix=glob(mixup)", "--cfg", "all"],
            "--cfg shows one configuration and runs nothing; leave -m out: mixexp --cfg all seed=4 mix=mixup",
        ),
        (
            ["--info", "defaults", "--multirun"],
            "--info shows one configuration and runs nothing; leave -m out: mixexp --info defaults",
        ),
        (["--run", "-m"], "--run -m: one of --run, --multirun, --cfg, --info and --shell-completion at a time"),
        (["--resolve", "seed=1"], "--resolve goes with --cfg: mixexp --cfg job --resolve seed=1"),
        (["--package", "mix"], "--package goes with --cfg: mixexp --cfg job --package mix"),
        (
            ["--cfg", "job", "--package", "mxi"],
            "--package mxi: the configuration has no such part. Did you mean 'mix'?",
        ),
        (["--cfg", "jbo"], "--cfg/-c: invalid choice: 'jbo' (choose from 'job', 'hydra', 'all')"),
        (
            ["--experimental-rerun", "x"],
            "--experimental-rerun: not for mixexp; the same command again continues with what is missing",
        ),
        (["--config-dir", "nowhere"], "--config-dir nowhere: no such folder in {here}."),
        (["--config-dir"], "--config-dir: needs the folder with your options, such as --config-dir my_conf"),
        (
            ["--config-dir", "file"],
            "--config-dir file: is a file, and a folder of options is needed. Did you mean 'folder'?",
        ),
        (["-cd", "fodler/"], "--config-dir fodler/: no such folder in {here}. Did you mean 'folder'?"),
        (
            ["--config-dir", "folder", "--config-name", "mine"],
            "--config-name mine: there is no mine.yaml in the folder of --config-dir or in mixexp's own",
        ),
        (["-m", "hydra.mode=RUN"], "hydra.mode=RUN: -m makes it a sweep; leave one of them out"),
        (
            ["hydra.run.dir=x"],
            (
                "hydra.run.dir=x: a run's folder is RUN_ID in OUTPUT_DIR/NAME; output_dir=... and name=... say where"
                " that is"
            ),
        ),
        (["hydra.mode=[RUN]"], "hydra.mode=[RUN]: needs RUN or MULTIRUN, which -m stands for"),
        (["hydra.mode={a:1}"], "hydra.mode={a:1}: needs RUN or MULTIRUN, which -m stands for"),
        (["hydra.mode=RUN,MULTIRUN"], "hydra.mode=RUN,MULTIRUN: needs RUN or MULTIRUN, which -m stands for"),
        (
            ["-m", "hydra/launcher=pool,plan"],
            "hydra/launcher=pool,plan: one value is needed, as a sweep has one launcher and one sweeper",
        ),
        (["hydra/launcher=pol"], "hydra/launcher = pol: no such option. Did you mean 'pool'? There are {launchers}."),
        (
            ["hydra.job.nmae=x"],
            "hydra.job.nmae: no such setting of Hydra's. Did you mean 'hydra.job.name'? hydra.job has {job}.",
        ),
        (["hydra.searchpath=[nowhere]"], "hydra.searchpath: no such folder, nowhere"),
        (["hydra.job.env_copy=[NOT_SET_HERE]"], "hydra.job.env_copy: no environment variable NOT_SET_HERE is set"),
        (["--cfg", "hydra", "hydra.sweeper.grid=1"], "hydra.sweeper.grid=1: Invalid value assigned: a list is needed."),
        (["--cfg", "hydra", "hydra.callbacks={a:1}"], "hydra.callbacks.a: no such setting of Hydra's."),
        (
            ["hydra.sweeper=1"],
            "hydra.sweeper = 1: it holds the settings of a sweeper; to choose one, type hydra/sweeper=NAME",
        ),
        (
            ["-m", "+hydra.sweeper.params.seed=1"],
            "+hydra.sweeper.params.seed=1: Hydra cannot take this (Unexpected type for root: NoneType)",
        ),
    ],
)
def test_options_and_hydras_own_settings(
    refusal: Callable[..., str], tmp_path: Path, words: list[str], message: str
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    found = refusal(*words)
    job = "chdir, config, config_name, env_copy, env_set, id, name, num, override_dirname"
    launchers = re.search(r"There are (.*)\.", found)
    assert found == message.replace("{here}", str(tmp_path)).replace("{job}", job).replace(
        "{launchers}", launchers[1] if launchers else ""
    )


def test_a_command_that_is_suggested_for_one_configuration_shows_it(
    refusal: Callable[..., str], command: Command
) -> None:
    (words,) = suggested(refusal("-m", "seed=4,5", "--cfg", "job"))
    code, output, errors = command(*words)
    assert (code, errors) == (0, "") and yaml.safe_load(output)["seed"] == 4
    assert command("--multi", "seed=0,1", PLAN)[:2] == command("-m", "seed=0,1", PLAN)[:2]
    assert command("seed=3", "--cfg", "job", "mix=mixup")[0] == 0, "options may come last and between"


@pytest.mark.parametrize(
    "words, message",
    [
        (
            ["mnist"],
            "mnist: no such command. Did you mean 'dataset=mnist'? There are {commands}; mixexp --help says more.",
        ),
        *(
            (words, f"{' '.join(words)}: an override is KEY=VALUE, without blanks around the =. Did you mean 'seed=0'?")
            for words in (["seed", "=", "0"], ["seed", "=0"], ["seed=", "0"])
        ),
        (
            ["-m", "--m"],
            "-m: no settings to sweep, e.g. mixexp -m mix=none,mixup seed=0,1,2 or mixexp -m experiment=quickstart",
        ),
        (["lr=", "1e-3"], "lr= 1e-3: an override is KEY=VALUE, without blanks around the =. Did you mean 'lr=1e-3'?"),
        (
            ["-m"],
            "-m: no settings to sweep, e.g. mixexp -m mix=none,mixup seed=0,1,2 or mixexp -m experiment=quickstart",
        ),
        (
            ["epochs=1", "mnist"],
            "mnist: an override is KEY=VALUE, without blanks around the =. Did you mean dataset=mnist?",
        ),
        (["=1"], "=1: an override is KEY=VALUE, without blanks around the =."),
        (["seed=["], "seed=[: cannot be read; its [ is not closed by a ]"),
        (["seed=range(3"], "seed=range(3: cannot be read; its ( is not closed by a )"),
        (["mix={a:[1]"], "mix={a:[1]: cannot be read; its { is not closed by a }"),
        (
            ["name='(' x"],
            "name='(' x: cannot be read; a value with special characters needs quotes, as in 'key=\"value\"'",
        ),
        (["seed=int(x)"], "seed=int(x): int(x) is not a number"),
        (["seed=${foo}"], "seed=${foo}: there is no setting foo to refer to"),
        (["seed=???"], "seed: needs a value, seed=..."),
        (["+seed=1"], "seed: it is there already; leave the + out"),
    ],
)
def test_what_is_no_override(refusal: Callable[..., str], words: list[str], message: str) -> None:
    commands = "reproduce, data, list, plan, status, runs, report, compare, leaderboard, claims, predict, export, probe, new, log"
    assert refusal(*words) == message.replace("{commands}", commands)


# --- files of one's own ---


@pytest.mark.parametrize(
    "text, message",
    [
        (
            "_target_: a\n_target_: b\n",
            (
                "a YAML file cannot be read: while constructing a mapping in .*own/mix/mine.yaml.* found duplicate key"
                " _target_ .*"
            ),
        ),
        ("a: [\n", "a YAML file cannot be read: .*own/mix/mine.yaml.*"),
        (
            "defaults: [mixpu]\n",
            "mix = mixpu, which mix/mine.yaml names: no such option\\. Did you mean 'mixup'\\? There are .*",
        ),
        (
            "defaults:\n  - /los: kl\n",
            "los = kl, which mix/mine.yaml names: no such group\\. Did you mean 'loss'\\? There are .*",
        ),
        ("_target_: ${nowhere}\n", "mix._target_: there is no setting nowhere to refer to"),
        ("_target_: ${oc.env:NOT_SET_HERE}\n", "mix._target_: there is no environment variable NOT_SET_HERE"),
        ("_target_: ${a.b\n", "a YAML file has a reference \\$\\{...\\} that cannot be read: .*"),
        ("_target_: ???\n", "mix._target_: needs a value, mix._target_=..."),
        ("\udcff", "own/mix/mine.yaml is not text in UTF-8: invalid start byte at byte 0"),
        ("- a\n", "mix = \\[a\\]: needs a Mix: a mapping with the _target_ of a class and its settings"),
        ("", "mix = \\{\\}: needs a Mix: a mapping with the _target_ of a class and its settings"),
    ],
)
def test_an_option_of_ones_own_that_cannot_be_read(
    refusal: Callable[..., str], tmp_path: Path, text: str, message: str
) -> None:
    words = own(tmp_path, mix__mine="")
    (tmp_path / "own" / "mix" / "mine.yaml").write_bytes(text.encode(errors="surrogateescape"))
    assert re.fullmatch(message, refusal(*words, "mix=mine"))


def test_a_broken_file_is_no_hindrance_to_others_nor_to_the_list(command: Command, tmp_path: Path) -> None:
    words = own(tmp_path, mix__mine="# Mine.\ndefaults: [mixup]\n", mix__broken="a: [")
    (tmp_path / "own" / "mix" / "binary.yaml").write_bytes(b"\xff\xfe")
    assert command(*words, "mix=mine", "--cfg", "job")[0] == 0
    assert re.search("^mine\n  Mine.$", command("list", "mix", *words)[1], re.MULTILINE)


def test_an_option_of_ones_own_with_the_programs_name_is_not_silently_the_programs(
    refusal: Callable[..., str], command: Command, tmp_path: Path
) -> None:
    words = own(tmp_path, mix__mixup="# Mine.\ndefaults: [none]\n")
    expected = "own/mix/mixup.yaml: the program has an option mix=mixup and would use that one; give yours another name"
    assert refusal(*words, "mix=mixup") == refusal("list", *words) == expected
    (tmp_path / "own" / "mix" / "mixup.yaml").write_bytes((CONF / "mix" / "mixup.yaml").read_bytes())
    assert command(*words, "mix=mixup", "--cfg", "job")[0] == 0, "a copy changes nothing"


@pytest.mark.parametrize(
    "text, message",
    [
        ("name: e\n", "experiment=e: its file has to open with the line '# @package _global_', or it sets nothing"),
        (
            "# @package _global_\nhydra:\n  swepeer: {grid: []}\n",
            (
                "experiment/e.yaml: hydra.swepeer: no such setting of Hydra's\\. Did you mean"
                " 'hydra.sweeper'\\? hydra has .*"
            ),
        ),
    ],
)
def test_an_experiment_of_ones_own_that_sets_nothing(
    refusal: Callable[..., str], tmp_path: Path, text: str, message: str
) -> None:
    assert re.fullmatch(message, refusal(*own(tmp_path, experiment__e=text), "experiment=e"))


@pytest.mark.parametrize(
    "text, message",
    [
        (
            "mix: [none, mixup]",
            (
                "experiment/e.yaml: mix: [none,mixup] is a list; a run has one option of mix. A sweep's axes belong in"
                " hydra.sweeper.grid, hydra: {sweeper: {grid: [{mix: [none, mixup]}]}}; an option is chosen in"
                " defaults: [override /mix: NAME]"
            ),
        ),
        ("test: [1000]", "experiment/e.yaml: test: [1000] is a list; it needs a mapping, as in test: {n: null}"),
        (
            "trusted_modules: {mine: 1}",
            "experiment/e.yaml: trusted_modules: {mine: 1} is a mapping; it needs a list, as in trusted_modules: [...]",
        ),
        ("test.n: 1000", "test.n: keys with dots are for commands and grids; in a file write `test: {n: 1000}`."),
        (
            "mix.ratio.alpha: 0.2",
            "mix.ratio.alpha: keys with dots are for commands and grids; in a file write `mix: {ratio: {alpha: 0.2}}`.",
        ),
        (
            "modle.width: 4",
            (
                "modle.width: keys with dots are for commands and grids; in a file write `modle: {width: 4}`. Did you"
                " mean 'model'?"
            ),
        ),
        (
            "name: 'a: b'\ntable.title: 'a: b'",
            "table.title: keys with dots are for commands and grids; in a file write `table: {title: 'a: b'}`.",
        ),
        (
            "dataset: mnist",
            (
                "dataset = mnist: needs a Dataset: a mapping with the _target_ of a class and its settings; an option"
                ' is chosen by dataset=NAME in a command, by "- override /dataset: NAME" among the defaults of a file'
            ),
        ),
    ],
)
def test_what_stands_in_the_wrong_form_at_the_root_of_an_experiment_is_named(
    refusal: Callable[..., str], tmp_path: Path, text: str, message: str
) -> None:
    words = own(tmp_path, experiment__e=f"# @package _global_\n# Mine.\n{text}\n")
    assert refusal("-m", *words, "experiment=e") == message
    assert refusal("plan", "e", *words) == message


def test_a_class_in_place_of_an_options_own_is_said(command: Command, tmp_path: Path) -> None:
    code, output, _ = command("augment={_target_:mixexp.augment.NoAugment}", "epochs=1", "model.width=4")
    assert code == 0
    assert output.startswith(
        "note: augment: its class is another than that of its option; the run's choices and the tables name the"
        " option\n"
    )


# --- what a tester met ---


TRUSTED = (
    "trusted_modules = {}: needs a list of values, each the name of a module as an import has it, such as own.nets"
)


@pytest.mark.parametrize(
    "words, message",
    [
        (
            ["optimizer={lr:0.1,momentum:0.3}", "optimizer=adam"],
            (
                "optimizer.momentum: no such setting; there are optimizer.lr, optimizer.beta1, optimizer.beta2,"
                " optimizer.eps, optimizer.weight_decay. optimizer.momentum is a setting of optimizer=sgd: mixexp"
                " 'optimizer={lr:0.1,momentum:0.3}' optimizer=sgd"
            ),
        ),
        (
            ["-m", "model=mlp,small_cnn", "model.width=2", "model.hidden=[3]"],
            (
                "model.width, model.hidden: no such settings in all cells; model=mlp has no model.width;"
                " model=small_cnn has no model.hidden; sweep them apart:\n    mixexp -m model=mlp 'model.hidden=[3]'\n "
                "   mixexp -m model=small_cnn model.width=2"
            ),
        ),
        (
            ["-m", "optimizer=sgd,adam", "optimizer.momentum=0.5", "optimizer.beta1=0.5"],
            (
                "optimizer.beta1, optimizer.momentum: no such settings in all cells; optimizer=sgd has no"
                " optimizer.beta1; optimizer=adam has no optimizer.momentum; sweep them apart:\n    mixexp -m"
                " optimizer=sgd optimizer.momentum=0.5\n    mixexp -m optimizer=adam optimizer.beta1=0.5"
            ),
        ),
        (
            ["hydra.mode=MULTIRUN", "seed=0,1", "--cfg", "job"],
            "hydra.mode=MULTIRUN: --cfg and --info show one configuration; leave it out",
        ),
        (
            ["--cfg", "job", "seed=0,1"],
            "seed: several values, and --cfg and --info show one configuration: mixexp --cfg job seed=0",
        ),
        (
            ["logger=[tensorboard,mlflow]"],
            (
                "logger=[tensorboard,mlflow]: a run has one option of logger\n    all at once in one run: an option"
                " that is made of them, as logger=several is (conf/logger/several.yaml)"
            ),
        ),
        (
            ["-m", "seed=0,", "1"],
            "seed=0,: a value is missing beside a comma; values have commas and no blanks between them",
        ),
        (
            ["-m", "mix=,bc"],
            "mix=,bc: a value is missing beside a comma; values have commas and no blanks between them",
        ),
        (
            ["-m", "alpha=1,,2"],
            "alpha=1,,2: a value is missing beside a comma; values have commas and no blanks between them",
        ),
        (["mix={a:1}"], "mix.a: no such setting."),
        (["data", "two_moons", "trusted_modules=5"], TRUSTED.format("5")),
        (["trusted_modules=true"], TRUSTED.format("true")),
        (
            ["-m", "trusted_modules=1e3", "seed=0,1"],
            TRUSTED.format("1000.0") + "\n    in 2 of 2 cells, first: trusted_modules=1e3 seed=0",
        ),
        (["trusted_modules={a:1}"], "trusted_modules={a:1}: a mapping stands where a list is needed"),
        (["--seed=1"], "--seed=1: settings have no dashes. Did you mean 'seed=1'?"),
        (
            ["plan", "quickstart", "--model.width=2"],
            "--model.width=2: settings have no dashes. Did you mean 'model.width=2'?",
        ),
        (["seed=${oc.env:NOT_SET_HERE}"], "seed=${oc.env:NOT_SET_HERE}: there is no environment variable NOT_SET_HERE"),
    ],
)
def test_advice_keeps_what_was_typed_and_leads_somewhere(
    refusal: Callable[..., str], words: list[str], message: str
) -> None:
    assert refusal(*words) == message


@pytest.mark.parametrize(
    "words", [("dataset.mean=null",), ("dataset={mean:null}",), ("dataset.mean=null", "dataset.std=null")]
)
def test_null_is_one_value_of_a_sweep(command: Command, words: tuple[str, ...]) -> None:
    code, output, errors = command("-m", *words, "seed=0,1", "steps=3", PLAN)
    assert (code, errors) == (0, "") and "2 runs: 2 missing" in output


def test_an_option_may_stand_before_the_command(command: Command, tmp_path: Path) -> None:
    own(tmp_path, mix__mine="# Mine.\ndefaults: [mixup]\n")
    assert command("--config-dir", "own", "list", "mix") == command("list", "mix", "--config-dir", "own")
    assert "mine" in command("--config-dir=own", "list", "mix")[1]

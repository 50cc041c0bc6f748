"""Every bad configuration is refused before anything starts, in a line that names the value and what is allowed."""

from __future__ import annotations

import copy
import functools
import re
import sys
from pathlib import Path
from typing import Any

import hydra
import pytest
from running import errors_of, resolved

from mixexp.errors import UserError
from mixexp.plan import composer
from mixexp.plan.compose import compose
from mixexp.plan.groups import GROUPS, OPTIONAL_GROUPS
from mixexp.plan.plan import plan
from mixexp.settings import CONF
from mixexp.text import in_hydra
from mixexp.training.spec import Settings

pytestmark = pytest.mark.fast

FOLDER = "the name of a folder: a text of 1 to 100 letters without / and \\ that does not begin with a point"
OWN_LOSS = '''
from mixexp.loss.cross_entropy import CrossEntropy


class Picky(CrossEntropy):
    """Has no meaning for two labels."""

    accepts_mixed = False
'''


@functools.cache
def _composed(words: tuple[str, ...]) -> dict[str, Any]:
    return resolved(*words)


def config(*words: str, **changed: Any) -> dict[str, Any]:
    """A composed configuration with whole root settings or groups changed; its output folder is never made."""
    return {**copy.deepcopy(_composed(words)), "output_dir": ".", **changed}


def refusals(*words: str, **changed: Any) -> list[str]:
    return errors_of(config(*words, **changed))


def refused(*words: str, **changed: Any) -> str:
    """The one line that a configuration is refused with."""
    lines = refusals(*words, **changed)
    assert len(lines) == 1, lines
    assert "\n" not in lines[0]
    return lines[0]


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path])


# --- what is well ---


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("mix=mixup", "mix_layer=final"),
        ("mix=bc_plus", "loss=kl"),
        ("mix=bc", "mix.step_size=32", "loss=affinity"),
        ("imbalance=minority", "imbalance.n=10", "sampling=oversample", "loss=focal"),
        ("subset=balanced", "subset.n=100", "label_noise=uniform", "validation=0.2"),
        ("epochs=null", "steps=5"),
        ("mix=none", "mix_layer=layer4"),
    ],
    ids=" ".join,
)
def test_a_good_configuration_has_nothing_said_about_it(words: tuple[str, ...]) -> None:
    assert refusals(*words) == []


def test_every_root_setting_has_a_schema_and_every_group_is_checked() -> None:
    known = {*Settings.model_fields, *GROUPS, *OPTIONAL_GROUPS}
    assert set(config()) == known


# --- in the words of the command line ---


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("batchsize=3",), ["batchsize: no such setting", "Did you mean 'batch_size'?"]),
        (
            ("optimizer.lrr=3",),
            ["optimizer.lrr: no such setting", "optimizer.nesterov", "Did you mean 'optimizer.lr'?"],
        ),
        (
            ("optimizer=adam", "optimizer.momentum=0"),
            ["optimizer.momentum: no such setting", "optimizer.beta1, optimizer.beta2"],
        ),
        (("mix=mixpu",), ["mix = mixpu: no such option", "bc, bc_any_class, bc_plus, ", "Did you mean 'mixup'?"]),
        (("mix=null",), ["mix=null: an option is needed", "mixup"]),
        (("mix=",), ["mix=: an option is needed", "mixup"]),
        (("probe=null",), ["probe=null: leave it out", "~probe removes"]),
        (("experiment=small_dat",), ["experiment = small_dat: no such option", "Did you mean 'small_data'?"]),
    ],
    ids=str,
)
def test_what_is_not_there_is_named_with_what_is(words: tuple[str, ...], says: list[str]) -> None:
    with pytest.raises(UserError) as raised:
        compose(words)
    for part in says:
        assert part in str(raised.value)
    assert "\n" not in str(raised.value)


# --- settings of the run ---


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("alpha", 0, "0: needs a number above 0"),
        ("alpha", float("inf"), "inf: needs a number above 0, and a finite one"),
        ("alpha", float("nan"), "nan: needs a number above 0, and a finite one"),
        ("alpha", "big", "big: needs a number above 0"),
        ("alpha", [0.2], "[0.2]: needs a number above 0. Did you mean 'alpha=0.2'?"),
        ("seed", -1, "-1: needs a whole number from 0 to 2**63-1"),
        ("seed", 1.5, "1.5: needs a whole number from 0 to 2**63-1"),
        ("seed", True, "true: needs a whole number from 0 to 2**63-1"),
        ("data_seed", 2**63, "9223372036854775808: needs a whole number from 0 to 2**63-1"),
        ("epochs", 0, "0: needs a whole number from 1 to 2**63-1, or null"),
        ("steps", -1, "-1: needs a whole number from 1 to 2**63-1, or null"),
        ("steps", "", "the value is left empty; it needs a whole number from 1 to 2**63-1, or null"),
        ("steps", "None", "None: needs a whole number from 1 to 2**63-1, or null. Did you mean 'steps=null'?"),
        ("batch_size", "128", "\"128\": needs a whole number from 1 to 2**63-1. Did you mean 'batch_size=128'?"),
        ("batch_size", {}, "{}: needs a whole number from 1 to 2**63-1"),
        ("drop_last", "yes", "yes: needs true or false. Did you mean 'drop_last=true'?"),
        ("drop_last", None, "null: needs true or false"),
        ("validation", 1.0, "1.0: needs a number of 0 or more and below 1"),
        ("precision", "float23", "float23: needs auto, float32 or bfloat16. Did you mean 'precision=float32'?"),
        ("precision", "BFloat16", "BFloat16: needs auto, float32 or bfloat16. Did you mean 'precision=bfloat16'?"),
        ("channels_last", "maybe", "maybe: needs auto, true or false"),
        ("runs_per_device", 0, "0: needs auto, or a whole number from 1 to 2**63-1"),
        ("retry", "fail", "fail: needs failed, changed or null. Did you mean 'retry=failed'?"),
        ("name", "a/b", f"a/b: needs {FOLDER}"),
        ("name", "..", f'"..": needs {FOLDER}'),
        ("name", "", f"the value is left empty; it needs {FOLDER}"),
        ("data_dir", None, "null: needs a text that is not empty"),
        ("output_dir", "", "the value is left empty; it needs a text that is not empty"),
        (
            "trusted_modules",
            "mine",
            (
                "mine: needs a list of values, each the name of a module as an import has it, such as own.nets. Did you"
                " mean 'trusted_modules=[mine]'?"
            ),
        ),
        ("table", "small", "small: needs a mapping, as in {name: value}, or null"),
        ("claims", "small", "small: needs a mapping, as in {name: value}, or null"),
        ("edition", 1, "1: needs a text that is not empty, or null. Did you mean 'edition=\"1\"'?"),
    ],
)
def test_a_wrong_setting_is_named_with_its_value_and_what_is_allowed(key: str, value: Any, says: str) -> None:
    assert refused(**{key: value}) == f"{key}{' = ' if value != '' else '=: '}{says}"


@pytest.mark.parametrize("name", ["", "own nets", "own.", ".own", "own-nets", "own/nets.py", "3d"])
def test_a_trusted_module_is_the_name_of_one(name: str) -> None:
    says = f"; item 2 is {in_hydra(name)}"
    line = refused(trusted_modules=["json", name])
    assert (
        line == f"trusted_modules = {in_hydra(['json', name])}: needs a list of values, each the name of a module as an"
        f" import has it, such as own.nets{says}"
    )


@pytest.mark.parametrize(
    ("device", "machine", "hint"),
    [
        ("gpu", ["cuda", "cuda:0", "cpu"], " Did you mean 'device=cuda'?"),
        ("GPU:0", ["cuda", "cuda:0", "cpu"], " Did you mean 'device=cuda:0'?"),
        ("cuda0", ["cuda", "cuda:0", "cpu"], " Did you mean 'device=cuda:0'?"),
        ("cuda:9", ["cuda", "cuda:0", "cpu"], " Did you mean 'device=cuda'?"),
        ("0", ["cuda", "cuda:0", "cpu"], " Did you mean 'device=cuda:0'?"),
        ("gpu", ["mps", "cpu"], " Did you mean 'device=mps'?"),
        ("metal", ["mps", "cpu"], " Did you mean 'device=mps'?"),
        ("CPU", ["cpu"], " Did you mean 'device=cpu'?"),
        ("gpu", ["cpu"], " 'device=auto' takes the fastest there is."),
        ("cuda", ["cpu"], " 'device=auto' takes the fastest there is."),
        ("mps", ["cpu"], " 'device=auto' takes the fastest there is."),
        ("quantum", ["cpu"], ""),
    ],
)
def test_a_device_is_one_that_this_machine_has(
    device: str, machine: list[str], hint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mixexp.training.device.available", lambda: machine)
    gpu = " (a GPU is cuda)" if device.lower().startswith("gpu") else ""
    says = f"needs auto, cpu, cuda{gpu}, cuda:N or mps; this machine has {', '.join(machine)}.{hint}"
    assert refused(device=device) == f"device = {in_hydra(device)}: {says}"


def test_an_unknown_root_setting_is_answered_with_the_closest() -> None:
    line = refused(batchsize=3)
    assert line.startswith("batchsize: no such setting; there are batch_size, name, alpha, ")
    assert "Did you mean 'batch_size=3'?" in line


def test_a_missing_root_setting_is_needed() -> None:
    given = config()
    del given["batch_size"]
    assert errors_of(given) == ["batch_size: needs a value, a whole number from 1 to 2**63-1"]


@pytest.mark.parametrize("group", GROUPS)
def test_a_missing_group_is_needed(group: str) -> None:
    assert refused(**{group: None}) == f"{group}: an option of this group is needed; mixexp list {group} names them"


def test_a_budget_is_needed() -> None:
    assert refused(epochs=None, steps=None) == "epochs, steps: one of them must be given"


# --- what the data cannot give ---


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("subset=head", "subset.n=1439"), "subset.n = 1439: the training set has 1438 images"),
        (("subset=balanced", "subset.n=1400"), "subset.n = 1400: needs 140 images of every class, but class 8 has 139"),
        (("subset=balanced", "subset.n=15"), "a balanced subset of 10 classes needs a multiple of 10"),
        (
            ("imbalance=minority", "imbalance.n=50"),
            "imbalance.n = 50: class 8 would need 200 training images and has 139",
        ),
        (
            ("imbalance=minority", "imbalance.classes=[10]"),
            "imbalance.classes = [10]: distinct class numbers from 0 to 9",
        ),
        (("imbalance=exponential", "imbalance.ratio=200"), "imbalance.ratio = 200: the smallest class has 139 images"),
        (("subset=head", "subset.n=10", "validation=0.01"), "validation = 0.01: holds out 0 of 10 training images"),
        (("dataset.mean=[0.1,0.2]",), "dataset.mean has 2 numbers, but the images have 1 channels"),
    ],
    ids=str,
)
def test_what_the_data_cannot_give_is_refused_with_the_numbers(words: tuple[str, ...], says: str) -> None:
    assert says in refused(*words)


def test_missing_data_is_refused_with_the_folder_it_was_looked_for_in() -> None:
    (message,) = refusals("dataset=mnist", "data_dir=nowhere", "dataset.download=false")
    assert "MNIST" in message and "nowhere" in message


# --- what does not go together ---


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("mix=mixup", "mix_layer=layer4"), ["model has no layer 'layer4'", "it has input, ", "final"]),
        (("mix=mixup", "mix_layer.layers=[fnal]"), ["model has no layer 'fnal'", "Did you mean 'mix_layer=final'?"]),
        (
            ("mix=mixup", "mix_layer.layers=[input,input]"),
            ["mix_layer.layers = ['input', 'input']: a layer is named twice"],
        ),
        (("mix=bc", "mix.step_size=100"), ["mix.step_size = 100 does not divide batch_size = 128"]),
        (("mix=mixup_late", "mix.from_epoch=30"), ["mix.from_epoch = 30: the run has 30 epochs, and would never mix"]),
        (("mix=smote",), ["it blends only images that an epoch repeats", "add sampling=oversample"]),
        (
            ("mix=smote", "sampling=oversample", "imbalance=minority", "imbalance.n=1"),
            ["mix.pairing.k = 5: the smallest class has 4 images, so k can be 3 at most"],
        ),
        (("mix=bc_sound",), ["mix: it needs data of the kind sound, and this data set's is image"]),
        (
            ("dataset=iris", "model=mlp", "probe=fgsm"),
            ["an attack on pixels needs images, and this data set's kind is table"],
        ),
        (
            ("dataset=iris", "model=mlp", "augment=standard"),
            ["augment: it needs data of the kind image, and this data set's is table"],
        ),
        (("probe=tsne", "probe.samples=2"), ["t-SNE of 2 points is meaningless; it needs three"]),
        (("mix=bc_plus", "mix_layer=final"), ["mix_layer = final: mix at the input instead, with mix_layer=input;"]),
        (
            ("sampling=oversample", "loss.class_weights=balanced"),
            ["sampling, loss.class_weights: both correct for class sizes"],
        ),
        (("sampling=undersample", "loss=focal", "loss.class_weights=balanced"), ["sampling, loss.class_weights: both"]),
        (("sampling=oversample", "loss=balanced_softmax"), ["sampling, loss: both correct for class sizes"]),
        (
            ("sampling=oversample", "loss=class_dependent_temperatures"),
            ["sampling, loss: both correct for class sizes"],
        ),
        (("subset=head", "subset.n=5", "loss=ldam"), ["loss: its margins need every class: class"]),
        (("loss.class_weights=[1,2]",), ["loss.class_weights: 2 weights for 10 classes"]),
        (("drop_last=true", "batch_size=2000"), ["batch_size = 2000", "an epoch has 1438 images", "drop_last"]),
        (
            ("optimizer.nesterov=true", "optimizer.momentum=0"),
            ["optimizer.nesterov = true needs optimizer.momentum > 0"],
        ),
        (("schedule=steps", "schedule.milestones=[0.8,0.5]"), ["schedule.milestones = [0.8, 0.5]: must rise"]),
        (("device=cuda:99",), ["device = cuda:99: needs auto, cpu, cuda, cuda:N or mps; this machine has ", "cpu"]),
    ],
    ids=str,
)
def test_what_does_not_go_together_is_refused(words: tuple[str, ...], says: list[str]) -> None:
    line = refused(*words)
    for part in says:
        assert part in line


def test_a_loss_may_refuse_mixed_labels_and_then_takes_those_that_keep_one(tmp_path: Path) -> None:
    (tmp_path / "own_picky.py").write_text(OWN_LOSS, encoding="utf-8")
    picky = {"loss": {"_target_": "own_picky.Picky"}, "trusted_modules": ["own_picky"]}
    assert "mix=data_mix" in refused("mix=mixup", **picky)
    assert refused("mix=mixup", **picky).startswith("loss: it cannot take mixed labels")
    for mix in ("none", "data_mix"):
        assert refusals(f"mix={mix}", **picky) == []
    assert "trusted_modules=[own_picky]" in refused(loss=picky["loss"])


# --- where it would go ---


@pytest.mark.parametrize("place", ["below a file", "in /proc"])
def test_an_output_folder_that_cannot_be_written_is_refused(place: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    folder = {"below a file": tmp_path / "file" / "outputs", "in /proc": Path("/proc/outputs")}[place]
    line = refused(output_dir=str(folder))
    assert line.startswith(f"output_dir/name = {folder}/runs: cannot write there (")


def test_a_refused_configuration_leaves_no_file(tmp_path: Path) -> None:
    words = ["mix=mixup", "mix_layer=layer4", f"output_dir={tmp_path}/outputs"]
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        composed = hydra.compose("config", overrides=words, return_hydra_config=True)
        with pytest.raises(UserError, match="no layer 'layer4'"):
            plan([composer.composed(composed)], [words]).check()
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


# --- all at once ---


def test_everything_that_the_configuration_alone_shows_is_said_at_once() -> None:
    optimizer = {**config()["optimizer"], "lr": 0, "lrr": 1}
    lines = refusals(
        batch_size=0, alpha=-1, epochs=None, optimizer=optimizer, subset=None, mix={"_target_": "os.system"}
    )
    named = [re.split(r"[ :]", line)[0] for line in lines]
    assert named == ["alpha", "batch_size", "subset", "mix", "optimizer.lr", "optimizer.lrr"]


def test_what_only_the_machine_the_data_and_the_shapes_show_is_said_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    given = config("mix=bc_plus", "mix_layer.layers=[final,layer4]", "sampling=oversample", device="cuda:99")
    given["loss"] = {**given["loss"], "class_weights": "balanced"}
    lines = errors_of({**given, "output_dir": str(tmp_path / "file" / "x")})
    for part in ("device = ", "output_dir/name = ", "mix_layer = final", "no layer 'layer4'", "sampling, loss"):
        assert sum(part in line for line in lines) == 1, part
    assert len(lines) == 5


def test_objects_that_their_constructors_refuse_are_named_together() -> None:
    words = (
        "mix_layer.layers=[input,input]",
        "loss.class_weights=[1]",
        "optimizer.nesterov=true",
        "optimizer.momentum=0",
    )
    assert len(refusals(*words, "schedule=steps", "schedule.milestones=[0.8,0.5]")) == 4


def test_a_sweep_is_refused_whole_with_the_first_cell_of_each_fault() -> None:
    words = [
        ["mix=mixup"],
        ["mix=mixup", "alpha=-1"],
        ["mix=mixup", "mix_layer=layer4"],
        ["mix=bc", "mix_layer=layer4"],
    ]
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        composed = [
            composer.composed(hydra.compose("config", overrides=cell, return_hydra_config=True)) for cell in words
        ]
        with pytest.raises(UserError) as raised:
            plan(composed, words).check()
    text = str(raised.value)
    assert "in 1 of 4 cells, first: mix=mixup alpha=-1" in text
    assert "in 2 of 4 cells, first: mix=mixup mix_layer=layer4" in text
    assert text.count("no layer 'layer4'") == 1


def test_validating_leaves_the_configuration_alone() -> None:
    given = config("mix=mixup")
    before = copy.deepcopy(given)
    errors_of(given)
    assert given == before

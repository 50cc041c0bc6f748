"""What `mixexp list settings` and `mixexp list GROUP=OPTION` say is what validates and refuses a run's values."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from mixexp import cli
from mixexp.build import check, schema_errors
from mixexp.errors import UserError
from mixexp.plan.groups import CONTRACTS
from mixexp.plan.options import describe, options, settings
from mixexp.plan.reference import option_reference, root_settings, settings_reference
from mixexp.settings import CONF, OPTIONAL
from mixexp.training.spec import Settings, hints_of_settings

ROOT = root_settings()
LINE = re.compile(r"^ *([\w.]+)=(.*?)(?:  .*)?$", re.MULTILINE)


def test_every_setting_of_a_run_is_listed_and_has_a_meaning():
    assert set(ROOT) == {*hints_of_settings(), *OPTIONAL} - {"choices"}
    assert {key.partition(".")[0] for key in hints_of_settings()} == {*Settings.model_fields}
    listed = settings_reference([CONF])
    for key, setting in ROOT.items():
        (line,) = [line for line in listed.splitlines() if line.startswith(f"{key}=")]
        assert len(setting.meaning) > 8 and setting.meaning in line and f"[{setting.allowed}]" in line


@pytest.mark.parametrize("key", sorted(set(ROOT) - OPTIONAL))
def test_a_default_is_allowed_and_what_is_allowed_is_what_a_refusal_says(key):
    default = yaml.safe_load(ROOT[key].value)
    outer, _, inner = key.partition(".")

    def refusals(value: object) -> list[str]:
        return [
            line
            for line in schema_errors(Settings, {outer: {inner: value} if inner else value}, "")
            if line.startswith(f"{key} = ")
        ]

    assert not refusals(default)
    (refusal,) = refusals([[1]])
    assert f"needs {ROOT[key].allowed}" in refusal


def test_the_options_by_default_are_named():
    (line,) = [line for line in settings_reference([CONF]).splitlines() if line.startswith("Options by default: ")]
    assert "dataset=digits" in line and "speed=auto" in line and "sweeps" not in line and "hydra" not in line


def test_settings_are_listed_without_what_takes_seconds_to_load():
    code = (
        "import sys; from mixexp.settings import CONF; from mixexp.plan.reference import settings_reference; "
        "settings_reference([CONF]); sys.exit(bool({'torch', 'numpy', 'hydra'} & sys.modules.keys()))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("group", sorted(options([CONF])))
def test_every_setting_of_every_option_is_listed_once(group):
    for option, names in settings([CONF], group).items():
        text = option_reference([CONF], group, option)
        listed = [key for key, _ in LINE.findall(text.partition("\n\n")[2])]
        assert len(listed) == len(set(listed))
        if group != "experiment":
            assert {f"{group}.{name}" for name in names} <= {*listed}, option
        for line in options([CONF])[group][option]:
            assert line in text


def test_an_options_setting_has_its_default_its_meaning_and_what_a_refusal_says():
    text = option_reference([CONF], "mix", "mixup")
    assert (
        "\n  mix.ratio.per=batch       sample, batch (the paper's code) or epoch (akira_final_layer)  [sample, batch or"
        " epoch]\n" in text
    )
    node = yaml.safe_load((CONF / "mix" / "mixup.yaml").read_text())
    node["ratio"] |= {"per": 3, "alpha": 1.0}
    (refusal,) = check(node, "mix", CONTRACTS["mix"])
    assert "needs sample, batch or epoch" in refusal
    # of the signature alone, in the docstring's words; and a reference, in those of what it refers to
    assert re.search(
        r"mix\.from_epoch=0 +first epoch, counted from 0, that mixes .*\[a whole number of 0 or more\]", text
    )
    assert re.search(r"mix\.ratio\.alpha=\$\{alpha\} +the Beta parameter.*\[a number above 0\]", text)
    assert "mix.ratio: mixexp.mix.ratio.Beta\n  lam ~ Beta" in text
    assert "in_channels=" not in option_reference([CONF], "model", "small_cnn"), (
        "what the program gives is nobody's to set"
    )


def test_a_class_is_described_by_all_that_its_docstring_says_of_it():
    text = option_reference([CONF], "model", "lenet")
    lines = text.splitlines()
    assert (
        "  LeNet: two 5×5 convolutions, each with ReLU and a 2×2 max-pool, and a dense layer; the head is the second one."
        in lines
    )
    assert "  Differs from the paper: its sizes are not stated there, so all of them are ours." in lines
    (layers,) = [line for line in lines if "Input [B, in_channels, H, W]; stages layer1 [B, channels" in line]
    assert layers.endswith("fc [B, hidden]; features [B, hidden].") and "Raises" not in text
    assert "Differs" not in option_reference([CONF], "model", "mlp"), "nothing is said where nothing differs"
    assert "x = Σ_k p_k·x_k / √(Σ_k p_k²) with p_k ∝ w_k/σ_k" in option_reference([CONF], "mix", "bc_plus")


@pytest.mark.parametrize("group", sorted(set(options([CONF])) - {"experiment"}))
def test_what_is_listed_of_a_class_ends_as_sentences_do(group):
    for option in options([CONF])[group]:
        for block in option_reference([CONF], group, option).split("\n\n")[1:]:
            _, *said = [line for line in block.splitlines() if not LINE.match(line)]
            assert all(line.rstrip().endswith((".", ":", ")")) for line in said), said


def test_settings_of_options_that_are_put_together_are_listed_under_their_names():
    text = option_reference([CONF], "probe", "attacks_and_fit")
    assert re.search(r"probe\.fgsm\.steps=10 +of I-FGSM", text) and "probe.training_error.while_training=false" in text


def test_an_experiment_shows_its_options_and_settings():
    text = option_reference([CONF], "experiment", "quickstart")
    assert "Options: dataset=digits model=small_cnn mix=mixup" in text and "optimizer.lr=0.05" in text
    assert "table." not in text and "hydra." not in text


def test_an_option_of_the_users_own_over_one_of_the_programs(tmp_path: Path, monkeypatch, capsys):
    (tmp_path / "conf" / "loss").mkdir(parents=True)
    (tmp_path / "conf" / "loss" / "sharp.yaml").write_text(
        "# Focal loss, sharper.\ndefaults: [focal]\ngamma: 5    # sharper\n"
    )
    (tmp_path / "conf" / "loss" / "mine.yaml").write_text("# Mine.\n_target_: my_own_loss.Mine\nweight: 2\n")
    (tmp_path / "my_own_loss.py").write_text(
        "from mixexp.loss.cross_entropy import CrossEntropy\n\nclass Mine(CrossEntropy):\n"
        "    '''Mine.\n\n    weight: how much.\n    '''\n    def __init__(self, class_counts, weight: float):\n"
        "        super().__init__(class_counts)\n"
    )
    monkeypatch.chdir(tmp_path)

    def listed(*words: str) -> str:
        monkeypatch.setattr(sys, "argv", ["mixexp", "--config-dir=conf", "list", *words])
        cli.main()
        return capsys.readouterr().out

    sharp = listed("loss=sharp")
    assert re.search(r"loss\.gamma=5 +sharper +\[a number", sharp) and "loss.class_weights=none" in sharp
    untrusted = listed("loss=mine")
    assert "loss.weight=2\n" in untrusted and "name it: 'trusted_modules=[my_own_loss]'" in untrusted
    assert re.search(r"loss\.weight=2 +how much +\[a number\]", listed("loss=mine", "trusted_modules=[my_own_loss]"))


@pytest.mark.parametrize(
    ("group", "option", "message"),
    [
        ("mix", "mixp", r"list mix=mixp: no such option\. Did you mean 'mix=mixup'\? There are .*"),
        ("mx", "mixup", r"list mx=mixup: no such group\. Did you mean 'mix=mixup'\? There are .*"),
    ],
)
def test_what_is_not_there_gets_the_nearest_match(group, option, message):
    with pytest.raises(UserError, match=message) as error:
        option_reference([CONF], group, option)
    assert "\n" not in str(error.value)


def test_settings_mistyped_are_meant(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["mixexp", "list", "setings"])
    with pytest.raises(SystemExit):
        cli.main()
    assert "Did you mean 'settings'?" in capsys.readouterr().err


@pytest.mark.parametrize("group", ["metric", "metrics"])
def test_a_key_of_a_table_is_no_group_and_its_list_is_named(group):
    advice = rf"list {group}: no such group\. Did you mean 'table'\? metric is a key of a table\. There are augment, .*"
    with pytest.raises(UserError, match=advice):
        describe([CONF], group)

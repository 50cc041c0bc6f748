"""What the program tells its user to type is what Hydra reads back: advice can be pasted into a shell as it is
printed."""

from __future__ import annotations

import math
import re
import shlex
from typing import Any

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given
from hypothesis import settings as effort
from hypothesis import strategies as st
from omegaconf import OmegaConf

from mixexp.errors import closest
from mixexp.text import LISTED, in_hydra, listed, override, shown

PARSER = OverridesParser.create()
HARD = (
    "4",
    "007",
    "1e3",
    "1_000",
    "true",
    "null",
    "nan",
    "-inf",
    "+5",
    ".5",
    "5.",
    "${seed}",
    "\\${seed}",
    "\\",
    "a\\",
    '\\"',
    "'",
    " ",
    "",
)
texts = st.one_of(
    st.sampled_from(HARD),
    st.text(
        st.one_of(
            st.sampled_from(" \\'\"$[]{}(),:=#\n\t.+-~0e?*!`|&;<>%^"),
            st.characters(exclude_characters="\0", exclude_categories=["Cs"]),
        ),
        max_size=12,
    ),
).filter(lambda text: text != "???")  # OmegaConf's mark of a missing value, which no quotes turn into a text
leaves = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), texts)
names = st.from_regex(r"[A-Za-z_][ A-Za-z0-9_:=,()\[\]{}]{0,4}[A-Za-z_]", fullmatch=True).filter(
    lambda name: name.lower() not in ("null", "true", "false", "nan", "inf")
)
values = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=3), max_leaves=6
)


def read_back(typed: str) -> Any:
    """What a setting holds after a shell, Hydra's parser and OmegaConf have read an override."""
    (word,) = shlex.split(typed)
    parsed = PARSER.parse_override(word)
    assert not parsed.is_sweep_override()
    config = OmegaConf.create({"seed": 0, "dataset": {"drop": None}})
    OmegaConf.update(config, parsed.key_or_group, parsed.value(), merge=True)
    return OmegaConf.to_container(config, resolve=True)["dataset"]["drop"]


@effort(max_examples=200, deadline=None)
@given(values)
def test_an_override_means_the_value_that_it_was_made_of(value: Any) -> None:
    found = read_back(override("dataset.drop", value))
    assert found == value and repr(found) == repr(value), "1 is not 1.0, and neither is true"


def test_what_is_no_number_is_an_override_too() -> None:
    assert math.isnan(read_back(override("dataset.drop", math.nan)))


@pytest.mark.parametrize(
    ("value", "typed"),
    [
        (["Sample ID (lab)"], """'dataset.drop=["Sample ID (lab)"]'"""),
        (" species", """'dataset.drop=" species"'"""),
        ("it's $5, isn't it?", """'dataset.drop="it'"'"'s $5, isn'"'"'t it?"'"""),
        ("a=b", """'dataset.drop="a=b"'"""),
        ("Länge", """'dataset.drop="Länge"'"""),
        ("4", """'dataset.drop="4"'"""),
        ("null", """'dataset.drop="null"'"""),
        ("sepal_length", "dataset.drop=sepal_length"),
        ("data/iris.csv", "dataset.drop=data/iris.csv"),
        (["a", "b"], "'dataset.drop=[a,b]'"),
        (1e-3, "dataset.drop=0.001"),
        (None, "dataset.drop=null"),
        (True, "dataset.drop=true"),
    ],
)
def test_quotes_are_there_where_they_are_needed(value: Any, typed: str) -> None:
    assert override("dataset.drop", value) == typed
    assert read_back(typed) == value


@pytest.mark.parametrize(
    ("value", "choices", "key", "says"),
    [
        ("specie", ["species", "width"], "", " Did you mean 'species'?"),
        ("specie", [" species", "width"], "dataset.label", """ Did you mean 'dataset.label=" species"'?"""),
        (
            "sample id (lab",
            ["Sample ID (lab)"],
            "dataset.drop[]",
            """ Did you mean 'dataset.drop=["Sample ID (lab)"]'?""",
        ),
        ("SPECIES", ["species", "SPACES"], "", " Did you mean 'species'?"),
        ("anns", ["ann's"], "", """ Did you mean 'ann'"'"'s'?"""),
        ("f1", ["accuracy", "macro_f1", "micro_f1"], "", " Did you mean 'macro_f1'?"),
        ("smal", ["affinity_mnist", "small_data_doubts"], "", " Did you mean 'small_data_doubts'?"),
        ("mixup", ["none, n = 500", "mixup, n = 500"], "", " Did you mean 'mixup, n = 500'?"),
        ("a", ["the a of b"], "", ""),
        ("zzz", ["species"], "dataset.label", ""),
    ],
)
def test_the_nearest_match_can_be_pasted(value: str, choices: list[str], key: str, says: str) -> None:
    assert closest(value, choices, key) == says


def test_a_match_of_control_characters_does_not_reach_the_terminal() -> None:
    assert "\x1b" not in closest("label", ["label\x1b[2J"])


def test_many_names_are_cut_with_the_nearest_first() -> None:
    names = [f"folder_{n:03d}" for n in range(150)]
    assert listed(names[:LISTED]) == ", ".join(names[:LISTED])
    assert re.fullmatch(r"folder_000, (folder_\d{3}, ){8}folder_009 and 140 more", listed(names))
    assert listed(names, "folder_14").startswith("folder_14"), "one of 140 to 149, which begin alike"
    assert listed([*names, "odd"], "od").startswith("odd, folder_000, ")


def test_a_value_in_a_message_is_as_it_is_typed_and_short() -> None:
    assert [shown(value) for value in (None, True, "a b", [1, "x"], {"a": None})] == [
        "null",
        "true",
        '"a b"',
        "[1,x]",
        "{a:null}",
    ]
    assert len(shown("x" * 500)) < 80 and shown("a\nb\x07") == '"a b\\u0007"'
    assert in_hydra("cuda:1") == "cuda:1"

"""Every wrong value of every setting of every option is one line in plain words, whatever the setting's type."""

from __future__ import annotations

import inspect
import math
import re
import shlex
from collections.abc import Iterator
from typing import Annotated, Any, Literal

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from pydantic import Field
from running import raw_option

from mixexp.build import GIVEN, check, hints_of, locate, schema_errors
from mixexp.build.wording import allowed
from mixexp.plan.groups import GROUPS, OPTIONAL_GROUPS
from mixexp.plan.options import options
from mixexp.settings import CONF
from mixexp.text import shown
from mixexp.training.spec import Settings

ALL = {**GROUPS, **OPTIONAL_GROUPS}
OPTIONS = [(group, name) for group, names in options([CONF]).items() if group in ALL for name in names]
WRONG = (None, [], {}, "", "x", -1, 0, math.inf, math.nan, [[1]], True, 1.5, [None], {"a": [1]}, "1e400")
"""A handful of values, each of which is wrong for most settings."""
NOT_PLAIN = re.compile(
    r"Input should|valid"
    r" \w+|_type|pattern|\^|\\[dw]|NoneType|typing|Annotated|<class|float\b|\bint\b|\bstr\b|\bbool\b|dict\b"
)
"""What is of pydantic or Python, and nobody who types a setting need know."""
PARSER = OverridesParser.create()


def places(node: dict[str, Any], path: str) -> Iterator[tuple[list[str], str]]:
    """Every argument of a node and of the nodes in it: the way to it, and its name on the command line."""
    given = GIVEN.get(path.partition(".")[0], ())  # to the parts of an option too
    for name, parameter in inspect.signature(locate(node["_target_"])).parameters.items():
        if (
            name not in given
            and parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
            and name in hints_of(locate(node["_target_"]))
        ):
            yield [name], f"{path}.{name}"
    for name, inner in node.items():
        if isinstance(inner, dict) and "_target_" in inner:
            yield from (([name, *way], key) for way, key in places(inner, f"{path}.{name}"))


def replaced(node: dict[str, Any], way: list[str], value: Any) -> dict[str, Any]:
    first, *rest = way
    return {**node, first: replaced(node[first], rest, value) if rest else value}


def assert_plain(line: str, key: str, value: Any) -> None:
    assert line.startswith(
        f"{key} = {shown(value)}: needs " if value != "" else f"{key}=: the value is left empty; it needs "
    ), line
    assert "\n" not in line and not NOT_PLAIN.search(line.replace("_target_", "").replace(key, "")), line
    for meant in re.findall(r"Did you mean (.*)\?$", line):
        (word,) = shlex.split(meant)
        parsed = PARSER.parse_override(word)
        assert parsed.key_or_group == key and repr(parsed.value()) != repr(value), line


@pytest.mark.parametrize(("group", "name"), OPTIONS, ids=str)
def test_a_wrong_value_of_any_setting_is_one_plain_line(group: str, name: str) -> None:
    node = raw_option(group, name)
    before, refused = set(check(node, group, ALL[group])), 0  # of references, which are texts here
    for way, key in places(node, group):
        for value in WRONG:
            lines = [line for line in check(replaced(node, way, value), group, ALL[group]) if line not in before]
            for line in lines:
                assert_plain(line, key, value)
            assert len(lines) <= 1
            refused += len(lines)
    assert refused or not list(places(node, group)), "some of these values are wrong for any type"


@pytest.mark.parametrize("key", [key for key in Settings.model_fields if key != "device"])  # of which device.py speaks
def test_a_wrong_value_of_any_setting_of_the_run_is_one_plain_line(key: str) -> None:
    lines = [schema_errors(Settings, {key: value}, "") for value in WRONG]
    inner = rf"{key}\.\w+: no such setting"  # in a mapping, where the setting is one
    for value, found in zip(WRONG, lines, strict=True):
        own = [line for line in found if not re.match(rf"[\w.]+: needs a value, |{inner}", line)]
        assert len(own) <= 1
        for line in own:
            assert_plain(line, key, value)
    assert any(len(found) == len(Settings.model_fields) for found in lines), (
        "some of these values are wrong for any type"
    )


@pytest.mark.parametrize("value", [value for value in WRONG if value is not None], ids=repr)
def test_a_wrong_number_of_test_examples_is_one_plain_line(value: Any) -> None:
    lines = [line for line in schema_errors(Settings, {"test": {"n": value}}, "") if line.startswith("test")]
    assert len(lines) == 1
    assert_plain(lines[0], "test.n", value)


def test_all_settings_that_are_wrong_are_said_at_once_each_in_a_line() -> None:
    node = {
        **raw_option("optimizer", "adam"),
        "lr": [],
        "beta1": 1,
        "beta2": None,
        "eps": "x",
        "weight_decay": -1,
        "momentum": 0.9,
    }
    lines = check(node, "optimizer", GROUPS["optimizer"])
    assert [re.match(r"optimizer\.(\w+)", line)[1] for line in lines] == [
        "lr",
        "beta1",
        "beta2",
        "eps",
        "weight_decay",
        "momentum",
    ]


@pytest.mark.parametrize(
    ("hint", "words"),
    [
        (int, "a whole number"),
        (Annotated[int, Field(gt=0)], "a whole number of 1 or more"),
        (Annotated[int, Field(ge=2, lt=9)], "a whole number from 2 to 8"),
        (Annotated[int, Field(le=-1)], "a whole number of at most -1"),
        (Annotated[int, Field(gt=0, multiple_of=6)], "a whole number of 1 or more that can be divided by 6"),
        (float, "a number"),
        (Annotated[float, Field(gt=0, lt=1)], "a number above 0 and below 1"),
        (Annotated[float, Field(ge=0, le=255)], "a number from 0 to 255"),
        (bool, "true or false"),
        (str, "a text"),
        (Annotated[str, Field(min_length=1, max_length=1)], "a text of exactly 1 letter"),
        (Annotated[str, Field(min_length=1, max_length=9)], "a text that is not empty and of at most 9 letters"),
        (Literal["a", "b c", 3], 'a, "b c", or 3'),
        (Literal["auto"] | bool, "auto, true or false"),
        (Annotated[int, Field(gt=0)] | None, "a whole number of 1 or more, or null"),
        (None | Literal["auto"] | float, "auto, a number, or null"),
        (list[str], "a list of texts"),
        (
            Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=2, max_length=2)],
            "a list of exactly 2 whole numbers of 0 or more",
        ),
        (
            Annotated[list[Literal["a", "b"]], Field(min_length=3)],
            "a list, of at least 3 items, of values, each a or b",
        ),
        (list[list[float]], "a list of lists of numbers"),
        (list[bool] | None, "a list of values, each true or false, or null"),
        (dict[str, Any], "a mapping, as in {name: value}"),
        (tuple[int, int], "a tuple, which no configuration can give: its class has to ask for a list"),
        (Annotated[str, Field(pattern="^x+$", description="one x or more")], "one x or more"),
        (Any, "any value"),
    ],
    ids=str,
)
def test_what_a_type_allows_is_said_in_words(hint: Any, words: str) -> None:
    assert allowed(hint) == words

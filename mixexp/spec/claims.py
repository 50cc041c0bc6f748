"""The `claims:` block of a configuration: its form, its errors, and each test as cells and weights."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mixexp.errors import closest
from mixexp.settings import comparable
from mixexp.spec.articles import REFERENCES, key_of
from mixexp.spec.table import measure_problem, number, table_problems
from mixexp.text import listed, shown

LIKE_THE_TABLE = ("metric", "rule", "scale", "decimals", "better")
"""Keys of a claim that default to the table's."""
FORMS: dict[str, dict[str, str]] = {
    "higher": {"higher": "cell", "lower": "cell", "step": "margin?"},
    "larger": {"larger": "pair", "than": "pair", "step": "margin?"},
    "rises": {"rises": "cell", "with": "key", "over": "numbers", "scale": "scale?", "minus": "cell?"},
    "falls": {"falls": "cell", "with": "key", "over": "numbers", "scale": "scale?", "minus": "cell?"},
    "above": {"above": "number", "of": "cell", "step": "margin?"},
    "below": {"below": "number", "of": "cell", "step": "margin?"},
    "same": {"same": "pair", "within": "margin", "step": "margin?"},
    "not_lower": {"not_lower": "cell", "than": "cell", "within": "margin", "step": "margin?"},
    "not_higher": {"not_higher": "cell", "than": "cell", "within": "margin", "step": "margin?"},
    "increasing": {"increasing": "row"},
    "decreasing": {"decreasing": "row"},
    "highest": {"highest": "cell", "among": "cells"},
    "lowest": {"lowest": "cell", "among": "cells"},
}
"""The forms of a test by the key that names each: every key of the form and its kind of value.

A kind with a question mark is optional.
"""
SCALES = ("linear", "log")
RESERVED = ("full", "source", "says", "test", "cannot", *LIKE_THE_TABLE)
"""The names that an edition cannot have.

`full` is the experiment as it is; the others are keys of a claim, next to which an edition's name stands.
"""
_NAME = re.compile(r"\w[\w-]*")
_FEWEST = {"pair": 2, "row": 3, "cells": 1}
_NO_AXES = ("name", "experiment", "edition", "output_dir")


@dataclass(frozen=True)
class Cell:
    """Runs by their settings, dotted key → value, and their measure where it is not the claim's.

    measure: metric, rule, where, scale.
    """

    conditions: Mapping[str, Any]
    measure: Mapping[str, Any] | None = None

    def __str__(self) -> str:
        parts = [f"{key}={shown(value)}" for key, value in self.conditions.items()]
        if self.measure is not None:
            where = [f"{key} {shown(value)}" for key, value in (self.measure.get("where") or {}).items()]
            parts.append(" ".join([self.measure["metric"], *where]))
        return ", ".join(parts) or "all runs"


@dataclass(frozen=True)
class Test:
    """A claim's test: cells in which each seed gives a number, and the claim about these numbers.

    kind: contrast (sign × (Σ weights × numbers − boundary) > 0), equivalence (|Σ weights × numbers| < boundary), order
    (sign × the numbers rise from cell to cell) or best (sign × the first number is above sign × each other). level: a
    contrast of one cell with a number. per: for a slope, the unit of the setting. step: the change of a cell's number
    by one more image or mode, 0 where it is not given.
    """

    kind: str
    cells: tuple[Cell, ...]
    words: str
    sign: int = 1
    weights: tuple[float, ...] = ()
    boundary: float = 0.0
    level: bool = False
    per: str = ""
    step: float = 0.0


# --- errors of a block ---


def edition_problems(editions: Any) -> dict[str, str]:
    """The errors of the names and the form of an ``editions:`` block, a sentence for each edition with one."""
    if editions is None or isinstance(editions, Mapping):
        problems = {str(name): _of_edition(str(name), block) for name, block in (editions or {}).items()}
        return {name: problem for name, problem in problems.items() if problem}
    return {
        "": (
            f"editions is {shown(editions)}; it needs a mapping of names and what each has instead of the experiment,"
            " or null."
        )
    }


def _of_edition(name: str, block: Any) -> str:
    if name in RESERVED:
        return f"editions.{name}: a claim has the key {name!r} for something else; the edition needs another name."
    if not isinstance(block, Mapping):
        return f"editions.{name} is {shown(block)}; it needs a mapping with why and params."
    params: Any = block.get("params")
    sweeps = [key for key in (params if isinstance(params, Mapping) else {}) if str(key).lstrip("+") in _NO_AXES]
    return (
        f"editions.{name}.params has {sweeps[0]}, which says where a sweep lies or what it is of; an edition cannot"
        " change it."
        if sweeps
        else ""
    )


def check_problems(checks: Any, known: Mapping[str, Collection[str] | None] | None = None) -> dict[str, str]:
    """The errors of the ``checks:`` of an edition, which are claims without a source."""
    return claim_problems(checks, None, known)


def claim_problems(
    claims: Any, editions: Collection[str] | None = (), known: Mapping[str, Collection[str] | None] | None = None
) -> dict[str, str]:
    """The errors of a ``claims:`` block, a sentence for each claim with one.

    editions: those of the experiment; None for an edition's checks. known: every setting that a cell may name, with the
    options where it is a group; None to skip this check.
    """
    if claims is None:
        return {}
    block = "checks" if editions is None else "claims"
    if not isinstance(claims, Mapping):
        return {"": f"{block} is {shown(claims)}; it needs a mapping of names and what is said under each, or null."}
    problems = {
        str(name): next(_of_claim(f"{block}.{name}", name, claim, editions, known), "")
        for name, claim in claims.items()
    }
    return {name: problem for name, problem in problems.items() if problem}


def _of_claim(
    place: str, name: Any, claim: Any, editions: Collection[str] | None, known: Mapping[str, Any] | None
) -> Iterator[str]:
    """The errors of a claim, or of a check where editions are None; only the first is reported."""
    if not (isinstance(name, str) and _NAME.fullmatch(name)):
        yield f"{place}: the name of a claim is a text of letters, digits and underscores."
    if not isinstance(claim, Mapping):
        yield (
            f"{place} is {shown(claim)}; it needs {'source, ' if editions is not None else ''}says, and test or cannot."
        )
        return
    allowed_keys = ("says", *LIKE_THE_TABLE, "test", *(("source", "cannot", *editions) if editions is not None else ()))
    for key in claim:
        if key not in allowed_keys:
            of = (
                f" ({key!r} is not an edition of the experiment)"
                if isinstance(claim[key], Mapping | None) and editions is not None
                else ""
            )
            yield (
                f"{place} has no key {key!r}{of}.{closest(key, allowed_keys)} There are"
                f" {listed(dict.fromkeys(allowed_keys))}."
            )
    for key in ("source", "says", "cannot"):
        if (key in claim or (key in allowed_keys and key != "cannot")) and not (
            isinstance(claim.get(key), str) and claim[key].strip()
        ):
            yield f"{place}.{key} is {shown(claim.get(key))}; it needs a text."
    if editions is not None:
        cited = key_of(claim["source"])
        if cited not in REFERENCES:
            yield (
                f"{place}.source: {cited!r} is not a citation key.{closest(cited, REFERENCES)} There are"
                f" {listed(REFERENCES, cited)}."
            )
    like = {key: claim[key] for key in LIKE_THE_TABLE if key in claim}
    yield from (f"{place}: {problem.replace('table.', '', 1)}" for problem in table_problems(like).values())
    if editions is not None and ("test" in claim) == ("cannot" in claim):
        yield (
            f"{place} needs either test or cannot, the reason why no run here can decide"
            f" it{', and has both' if 'test' in claim else ''}."
        )
    elif "test" not in claim and "cannot" not in claim:
        yield f"{place} needs a test."
    for key in ("test", *(editions or ())):
        if key in claim and not (key != "test" and claim[key] is None):
            yield from _of_test(f"{place}.{key}", claim[key], known)


def _of_test(place: str, test: Any, known: Mapping[str, Any] | None) -> Iterator[str]:
    forms = [key for key in FORMS if isinstance(test, Mapping) and key in test]
    if not isinstance(test, Mapping) or not forms:
        near = closest(next(iter(test), ""), FORMS) if isinstance(test, Mapping) else ""
        yield f"{place} is {shown(test)}; it needs one of {listed(FORMS)}.{near}"
        return
    if len(forms) > 1:
        yield f"{place} has {' and '.join(forms)}, and a test has one form."
    form = FORMS[forms[0]]
    for key in test:
        if key not in form:
            yield f"{place} has no key {key!r} beside {forms[0]}.{closest(key, form)} There are {listed(form)}."
    for key, kind in form.items():
        if key in test:
            yield from _of_value(f"{place}.{key}", kind.removesuffix("?"), test[key], known)
        elif not kind.endswith("?"):
            yield f"{place} needs {key} beside {forms[0]}."
    if "over" in form:
        if any(value <= 0 for value in test["over"]) and test.get("scale") == "log":
            yield f"{place}.over is {shown(test['over'])}; a logarithmic scale needs numbers above 0."
        if not math.fsum(x**2 for x in _centred(test["over"], test.get("scale") == "log")) > 0:
            yield f"{place}.over is {shown(test['over'])}; these numbers lie too close together for a slope."
        for key in ("rises", "falls", "minus"):
            if test["with"] in test.get(key, {}):
                yield f"{place}.{key} has {test['with']}, whose values are those of over."
    if "among" in form and _spelled(test[forms[0]]) in map(_spelled, test["among"]):
        yield f"{place}.among has the cell that is to be the {forms[0]}; it needs the others."
    yield from _twice(place, form, test)


def _of_value(place: str, kind: str, value: Any, known: Mapping[str, Any] | None) -> Iterator[str]:
    if kind == "cell":
        yield from _of_cell(place, value, known)
    elif kind in _FEWEST:
        few = _FEWEST[kind]
        if not isinstance(value, list) or len(value) < few or (kind == "pair" and len(value) > few):
            yield (
                f"{place} is {shown(value)}; it needs a list of {'two' if kind == 'pair' else f'{few} or more'} cells."
            )
            return
        for count, cell in enumerate(value, start=1):
            yield from _of_cell(f"{place}, its cell {count},", cell, known)
    elif kind == "key":
        if not isinstance(value, str) or not value:
            yield f"{place} is {shown(value)}; it needs a dotted key."
        else:
            yield from _of_condition(place, value, None, known)
    elif kind == "numbers":
        if not isinstance(value, list) or not all(map(number, value)) or len(set(value)) < max(2, len(value)):
            yield f"{place} is {shown(value)}; it needs a list of two or more different numbers."
    elif kind == "scale":
        if value not in SCALES:
            yield f"{place} is {shown(value)}; {', '.join(SCALES)} are known.{closest(value, SCALES)}"
    elif not number(value) or (kind == "margin" and value <= 0):
        yield f"{place} is {shown(value)}; it needs a number{' above 0' if kind == 'margin' else ''}."


def _of_cell(place: str, cell: Any, known: Mapping[str, Any] | None) -> Iterator[str]:
    if not isinstance(cell, Mapping):
        yield f"{place} is {shown(cell)}; a cell is a mapping of settings and their values, such as {{mix: mixup}}."
        return
    for key, value in cell.items():
        if key == "measure":
            if not isinstance(value, Mapping):
                yield f"{place}.measure is {shown(value)}; it needs a mapping with a metric."
            elif not isinstance(value.get("where", {}), Mapping):
                yield (
                    f"{place}.measure.where is {shown(value['where'])}; it needs a mapping of a probe's columns and"
                    " their values."
                )
            elif problem := measure_problem(value):
                yield f"{place}.measure: {problem}"
        elif not isinstance(key, str) or not key:
            yield f"{place} has the key {key!r}; a cell has dotted keys."
        elif isinstance(value, Mapping):
            yield (
                f"{place}: {key} is {shown(value)}; a condition has one value, and a setting below another one a dotted"
                " key."
            )
        else:
            yield from _of_condition(place, key, value, known)


def _of_condition(place: str, key: str, value: Any, known: Mapping[str, Any] | None) -> Iterator[str]:
    if known is None:
        return
    if key not in known:
        yield f"{place}: there is no setting {key!r}.{closest(key, known)}"
    elif known[key] is not None and value is not None and str(value) not in known[key]:
        yield (
            f"{place}: {key} has no option {str(value)!r}.{closest(value, known[key])} There are"
            f" {listed(known[key], value)}."
        )


def _twice(place: str, form: Mapping[str, str], test: Mapping[str, Any]) -> Iterator[str]:
    """The error of a cell compared with itself, or of a difference with the same one.

    It checks the cells of each list, and all single cells.
    """
    single = [test[key] for key, kind in form.items() if kind.removesuffix("?") == "cell" and key in test]
    compared = [single, *(test[key] for key, kind in form.items() if kind in _FEWEST)]
    spelled = [[_spelled(cell) for cell in cells] for cells in compared]
    for cells, texts in zip(compared, spelled, strict=True):
        for cell in (cell for count, cell in enumerate(cells) if texts[count] in texts[:count]):
            yield f"{place} compares {shown(cell)} with itself; each cell has to be another one."
    pairs = [texts for texts in spelled if len(texts) == 2]
    if len(pairs) == 2 and pairs[0] == pairs[1]:
        yield f"{place} compares a difference with itself."


def _centred(over: Sequence[float], log: bool) -> list[float]:
    """The numbers, or their logarithms, minus their mean: x − mean x."""
    places = [math.log10(value) if log else float(value) for value in over]
    middle = math.fsum(places) / len(places)
    return [x - middle for x in places]


def _spelled(cell: Mapping[str, Any]) -> dict[str, Any]:
    """A cell in the form in which it is compared with another."""
    return {key: comparable(value) for key, value in cell.items()}


def groups_in(block: Any) -> set[str]:
    """The first parts of all dotted keys in a block: the groups whose own settings it names."""
    if isinstance(block, Mapping):
        keys = [*block, *(value for key, value in block.items() if key == "with")]
        return {key.partition(".")[0] for key in keys if isinstance(key, str) and "." in key}.union(
            *map(groups_in, block.values())
        )
    return set().union(*map(groups_in, block)) if isinstance(block, list) else set()


def measures_in(test: Any) -> list[Mapping[str, Any]]:
    """The measures that the cells of a valid test have of their own."""
    if isinstance(test, Mapping):
        return [
            *([test["measure"]] if "measure" in test else []),
            *(measure for value in test.values() for measure in measures_in(value)),
        ]
    return [measure for value in test for measure in measures_in(value)] if isinstance(test, list) else []


# --- a valid test, as cells and weights ---


def read_test(test: Mapping[str, Any]) -> Test:
    """The test of a valid block."""
    form = next(key for key in FORMS if key in test)
    sign = -1 if form in ("falls", "below", "not_higher", "decreasing", "lowest") else 1
    more, step = ">" if sign > 0 else "<", float(test.get("step", 0))
    cell: Any = _cell(test[form]) if FORMS[form][form] == "cell" else None
    if form == "higher":
        lower = _cell(test["lower"])
        return Test("contrast", (cell, lower), f"{cell} > {lower}", sign, (1, -1), step=step)
    if form == "larger":
        first, second, third, fourth = map(_cell, (*test["larger"], *test["than"]))
        words = f"({first}) − ({second}) > ({third}) − ({fourth})"
        return Test("contrast", (first, second, third, fourth), words, sign, (1, -1, -1, 1), step=step)
    if form in ("rises", "falls"):
        return _slope(form, cell, test, sign)
    if form in ("above", "below"):
        of = _cell(test["of"])
        return Test("contrast", (of,), f"{of} {more} {test[form]:g}", sign, (1,), test[form], level=True, step=step)
    if form == "same":
        first, second = map(_cell, test["same"])
        words = f"{first} = {second} within ±{test['within']:g}"
        return Test("equivalence", (first, second), words, sign, (1, -1), test["within"], step=step)
    if form in ("not_lower", "not_higher"):
        than = _cell(test["than"])
        words = f"{cell} {more} {than} {'−' if sign > 0 else '+'} {test['within']:g}"
        return Test("contrast", (cell, than), words, sign, (1, -1), -sign * test["within"], step=step)
    if form in ("increasing", "decreasing"):
        cells = tuple(map(_cell, test[form]))
        return Test("order", cells, f" {'<' if sign > 0 else '>'} ".join(f"({item})" for item in cells), sign)
    others = tuple(map(_cell, test["among"]))
    return Test("best", (cell, *others), f"{cell} {more} each of {'; '.join(f'({item})' for item in others)}", sign)


def _slope(form: str, cell: Cell, test: Mapping[str, Any], sign: int) -> Test:
    """The least-squares slope as weights of the cells: (x − mean x) / Σ (x − mean x)²."""
    key, log = test["with"], test.get("scale") == "log"
    centred = _centred(test["over"], log)
    weights = [x / math.fsum(other**2 for other in centred) for x in centred]
    cells = [Cell({**cell.conditions, key: value}, cell.measure) for value in test["over"]]
    words = f"{cell} {form} with {'the logarithm of ' if log else ''}{key} over {shown(test['over'])}"
    if "minus" in test:
        beside = _cell(test["minus"])
        cells += [Cell({**beside.conditions, key: value}, beside.measure) for value in test["over"]]
        weights += [-weight for weight in weights]
        words = f"({cell}) − ({beside}){words.removeprefix(str(cell))}"
    return Test(
        "contrast", tuple(cells), words, sign, tuple(weights), per=f"per {'tenfold' if log else 'unit of'} {key}"
    )


def _cell(cell: Mapping[str, Any]) -> Cell:
    return Cell({key: value for key, value in cell.items() if key != "measure"}, cell.get("measure"))

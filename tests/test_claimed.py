"""What a claims block may hold, and what is said of one that holds something else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from claim_runs import claim
from hypothesis import given, settings
from hypothesis import strategies as st

from mixexp.plan.options import known
from mixexp.settings import CONF
from mixexp.spec.articles import ARTICLES, REFERENCES
from mixexp.spec.claims import FORMS, check_problems, claim_problems, edition_problems, groups_in, read_test

A, B, C, D = ({"mix": "mixup", "subset.n": n} for n in (100, 200, 500, 1000))
SOUND: dict[str, dict[str, Any]] = {
    "higher": {"higher": A, "lower": B},
    "larger": {"larger": [A, B], "than": [C, D]},
    "rises": {
        "rises": {"mix": "mixup"},
        "with": "subset.n",
        "over": [100, 200, 500],
        "scale": "log",
        "minus": {"mix": "none"},
    },
    "falls": {"falls": {"mix": "mixup"}, "with": "alpha", "over": [0.2, 1]},
    "above": {
        "above": 90,
        "of": {**A, "measure": {"metric": "probe.fgsm.accuracy", "where": {"epsilon": 0.1}, "scale": 100}},
    },
    "below": {"below": 1.5, "of": {**A, "measure": {"metric": "error"}}},
    "same": {"same": [A, B], "within": 0.5},
    "not_lower": {"not_lower": A, "than": B, "within": 0.5},
    "not_higher": {"not_higher": A, "than": B, "within": 0.5},
    "increasing": {"increasing": [A, B, C]},
    "decreasing": {"decreasing": [A, B, C, D]},
    "highest": {"highest": A, "among": [B, C]},
    "lowest": {"lowest": A, "among": [B]},
}


def problem(test: Any, **more: Any) -> str:
    """What is said of the only claim of a block."""
    return claim_problems({"one": claim(test, **more)}, known=SETTINGS).get("one", "")


SETTINGS = known([CONF], {"subset", "mix"})


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_sound_and_has_a_test(form):
    assert problem(SOUND[form]) == ""
    assert check_problems({"one": {"says": "It is so.", "test": SOUND[form]}}) == {}
    found = read_test(SOUND[form])
    assert found.words and len(found.cells) >= 1
    assert len(found.weights) in (0, len(found.cells))


@pytest.mark.parametrize("form", FORMS)
def test_no_form_goes_without_one_of_its_keys_or_with_another_one(form):
    for key, kind in FORMS[form].items():
        without = {name: value for name, value in SOUND[form].items() if name != key}
        assert bool(problem(without)) != kind.endswith("?")
    assert problem({**SOUND[form], "wihtin": 1}).startswith(f"claims.one.test has no key 'wihtin' beside {form}.")
    for wrong in (None, 3, "mixup", [], {}, [A]):
        assert problem(wrong).startswith("claims.one.test is ")


@pytest.mark.parametrize(
    "change, says",
    [
        (
            {"test": {"hgher": A, "lower": B}},
            (
                "it needs one of higher, larger, rises, falls, above, below, same, not_lower, not_higher, increasing,"
                " decreasing, highest, lowest. Did you mean 'higher'?"
            ),
        ),
        (
            {"test": {"hgher": A}},
            "claims.one.test is {hgher:{mix:mixup,subset.n:100}}; it needs one of higher, larger, ",
        ),
        (
            {"test": {"higher": A, "lower": B, "above": 3}},
            "claims.one.test has higher and above, and a test has one form.",
        ),
        (
            {"test": {"higher": A, "lower": "none"}},
            "claims.one.test.lower is none; a cell is a mapping of settings and their values, such as {mix: mixup}.",
        ),
        (
            {"test": {"higher": A, "lower": {"subset.m": 3}}},
            "claims.one.test.lower: there is no setting 'subset.m'. Did you mean 'subset.n'?",
        ),
        (
            {"test": {"higher": A, "lower": {"mix": "mixp"}}},
            "claims.one.test.lower: mix has no option 'mixp'. Did you mean 'mixup'? There are mixup, ",
        ),
        (
            {"test": {"higher": A, "lower": {"subset": {"n": 3}}}},
            "subset is {n:3}; a condition has one value, and a setting below another one a dotted key.",
        ),
        (
            {"test": {"higher": A, "lower": {**B, "measure": {"metrc": "error"}}}},
            "a measure has no key 'metrc'. Did you mean 'metric'?",
        ),
        (
            {"test": {"higher": A, "lower": {**B, "measure": "error"}}},
            "claims.one.test.lower.measure is error; it needs a mapping with a metric.",
        ),
        (
            {"test": {"higher": A, "lower": {**B, "measure": {"metric": "probe.fgsm.x", "where": "epsilon"}}}},
            "measure.where is epsilon; it needs a mapping",
        ),
        (
            {"test": {"higher": A, "lower": {**B, "measure": {"metric": "probe.fgsm"}}}},
            "metric is 'probe.fgsm'; a probe's measure is probe.<file>.<column>.",
        ),
        ({"test": {"same": [A, B], "within": 0}}, "claims.one.test.within is 0; it needs a number above 0."),
        ({"test": {"same": [A, B, C], "within": 1}}, "it needs a list of two cells."),
        ({"test": {"same": [A, B], "within": True}}, "claims.one.test.within is true; it needs a number above 0."),
        ({"test": {"above": float("nan"), "of": A}}, "claims.one.test.above is nan; it needs a number."),
        ({"test": {"increasing": [A, B]}}, "it needs a list of 3 or more cells."),
        ({"test": {"increasing": [A, B, 3]}}, "claims.one.test.increasing, its cell 3, is 3; a cell is a mapping"),
        (
            {"test": {"highest": A, "among": [B, dict(reversed(A.items()))]}},
            "claims.one.test.among has the cell that is to be the highest; it needs the others.",
        ),
        (
            {"test": {**SOUND["rises"], "over": [0, 100]}},
            "claims.one.test.over is [0,100]; a logarithmic scale needs numbers above 0.",
        ),
        ({"test": {**SOUND["rises"], "over": [100, 100.0]}}, "it needs a list of two or more different numbers."),
        ({"test": {**SOUND["rises"], "over": [100, "all"]}}, "it needs a list of two or more different numbers."),
        (
            {"test": {**SOUND["rises"], "scale": "logarithmic"}},
            "claims.one.test.scale is logarithmic; linear, log are known.",
        ),
        (
            {"test": {**SOUND["rises"], "with": "subset.size"}},
            "claims.one.test.with: there is no setting 'subset.size'.",
        ),
        (
            {"test": {**SOUND["rises"], "rises": A}},
            "claims.one.test.rises has subset.n, whose values are those of over.",
        ),
        (
            {"source": "smal_data_mixup, table"},
            (
                "claims.one.source: 'smal_data_mixup' is not a citation key. Did you mean 'small_data_mixup'? There are"
                " akira_final_layer, "
            ),
        ),
        ({"source": None}, "claims.one.source is null; it needs a text."),
        ({"says": ""}, 'claims.one.says is ""; it needs a text.'),
        ({"sayz": "x"}, "claims.one has no key 'sayz'. Did you mean 'says'? There are says, "),
        (
            {"rule": "lst"},
            "claims.one: rule is 'lst'; last, median_last_10, best, best_validation are known. Did you mean 'last'?",
        ),
        ({"decimals": 1.5}, "claims.one: decimals is 1.5; a whole number from 0 to 12 was expected."),
        ({"metric": "probe.x"}, "claims.one: metric is 'probe.x'; a probe's measure is probe.<file>.<column>."),
        (
            {"cannot": "No GPU."},
            "claims.one needs either test or cannot, the reason why no run here can decide it, and has both.",
        ),
        ({"laptop": {"higher": A}}, "claims.one.laptop needs lower beside higher."),
        (
            {"desktop": {"higher": A}},
            "claims.one has no key 'desktop' ('desktop' is not an edition of the experiment).",
        ),
    ],
)
def test_what_is_wrong_is_said_with_its_place_and_the_nearest_choice(change, says):
    found = claim_problems({"one": {**claim(SOUND["higher"]), **change}}, ["laptop"], SETTINGS)
    assert list(found) == ["one"]
    assert says in found["one"]


def test_a_claim_that_no_run_decides_says_why_and_may_have_a_test_in_an_edition():
    stated = {"source": "zhang2018_mixup, Table 1", "says": "It is so.", "cannot": "Needs ImageNet."}
    assert claim_problems({"one": stated}) == {}
    assert claim_problems({"one": {**stated, "laptop": SOUND["higher"]}}, ["laptop"]) == {}
    assert claim_problems({"one": claim(SOUND["higher"], laptop=None)}, ["laptop"]) == {}
    assert claim_problems({"one": claim(SOUND["higher"], laptop=None)})["one"].startswith(
        "claims.one has no key 'laptop' ('laptop' is not an edition of the experiment)."
    )
    assert claim_problems({"one": claim(SOUND["higher"], desktop=None)}, editions=["desktop"]) == {}
    del stated["cannot"]
    assert (
        claim_problems({"one": stated})["one"]
        == "claims.one needs either test or cannot, the reason why no run here can decide it."
    )


@pytest.mark.parametrize(
    "test, said",
    [
        (
            {"higher": A, "lower": A},
            "claims.one.test compares {mix:mixup,subset.n:100} with itself; each cell has to be another one.",
        ),
        ({"same": [A, A], "within": 1}, "compares {mix:mixup,subset.n:100} with itself"),
        ({"not_lower": A, "than": A, "within": 1}, "compares {mix:mixup,subset.n:100} with itself"),
        ({"increasing": [A, B, A]}, "compares {mix:mixup,subset.n:100} with itself"),
        ({"highest": B, "among": [A, A]}, "compares {mix:mixup,subset.n:100} with itself"),
        ({"larger": [A, A], "than": [A, B]}, "compares {mix:mixup,subset.n:100} with itself"),
        ({"larger": [A, B], "than": [A, B]}, "claims.one.test compares a difference with itself."),
        ({"rises": A, "with": "alpha", "over": [1, 2], "minus": A}, "compares {mix:mixup,subset.n:100} with itself"),
        ({"rises": A, "with": "alpha", "over": [1e-300, 2e-300]}, "these numbers lie too close together for a slope."),
        (
            {"above": 1, "of": {"measure": {"metric": "accuracy", "where": {"labels": "all"}}}},
            "a measure's where chooses among a probe's rows, and accuracy is a column of metrics.csv",
        ),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_what_says_nothing_is_refused(test, said):
    assert said in problem(test)


def test_two_gains_over_the_same_cell_are_a_claim():
    assert problem({"larger": [A, B], "than": [{"mix": "bc"}, B]}) == ""


@pytest.mark.parametrize(
    "block, problem",
    [
        ([1], "editions is [1]; it needs a mapping of names"),
        ({"full": {}}, "editions.full: a claim has the key 'full' for something else; the edition needs another name."),
        ({"says": {}}, "editions.says: a claim has the key 'says'"),
        ({"laptop": 3}, "editions.laptop is 3; it needs a mapping with why and params."),
        ({"laptop": {"params": {"name": "other"}}}, "editions.laptop.params has name, which says where a sweep lies"),
    ],
)
def test_editions_that_cannot_be_are_said(block, problem):
    assert problem in next(iter(edition_problems(block).values()))
    assert edition_problems(None) == edition_problems({"laptop": {"params": {"seed": 1}}}) == {}


def test_a_check_has_no_source():
    assert check_problems({"fits": {"says": "It fits.", "test": SOUND["below"], "source": "small_data_mixup"}})[
        "fits"
    ].startswith("checks.fits has no key 'source'.")
    assert check_problems({"fits": {"says": "It fits."}})["fits"] == "checks.fits needs a test."


@pytest.mark.parametrize("block", [[], "small", 3, True])
def test_a_block_that_is_none(block):
    for problems in (claim_problems, check_problems):
        assert "needs a mapping" in problems(block)[""]


@pytest.mark.parametrize("name", [3, "a b", "", None, "a.b", True])
def test_a_claim_has_a_plain_name(name):
    (found,) = claim_problems({name: claim(SOUND["higher"])}).values()
    assert "the name of a claim is a text of letters, digits and underscores" in found


def test_every_wrong_claim_is_told():
    found = claim_problems({"one": claim({"hgher": A}), "two": claim(SOUND["higher"]), "three": 3})
    assert list(found) == ["one", "three"]


anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["mix", "subset.n", "log", "measure", *FORMS]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                [*FORMS, "lower", "than", "with", "over", "of", "within", "among", "measure", "mix", "minus", "scale"]
            )
            | st.text(max_size=3)
            | st.integers(),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@settings(max_examples=300, deadline=None)
@given(anything, anything, st.sampled_from([claim_problems, check_problems]))
def test_whatever_a_block_holds_it_is_sound_or_told(test, other, problems: Callable):
    for block in (test, {"one": other}, {"one": {"source": "small_data_mixup", "says": "It is so.", "test": test}}):
        found = problems(block)
        assert all(isinstance(text, str) and text for text in found.values())
        groups_in(block)
        if isinstance(block, dict) and isinstance(block.get("one"), dict) and block["one"].get("test") and not found:
            assert read_test(block["one"]["test"]).cells


def test_the_settings_that_a_cell_may_name_are_those_of_the_mentioned_groups():
    assert groups_in({"one": claim(SOUND["rises"])}) == {"subset"}
    assert groups_in({"one": claim({"rises": {"mix": "mixup"}, "with": "loss.margin", "over": [1, 2]})}) == {"loss"}
    assert {"mix", "alpha", "subset.n", "mix.ratio.per"} <= set(known([CONF], {"subset", "mix"}))
    assert "mixup" in SETTINGS["mix"] and SETTINGS["subset.n"] is None


def test_every_citation_is_of_an_article():
    assert {article for key, (article, _) in REFERENCES.items() if key != "ours"} == set(ARTICLES)
    assert claim_problems({"one": claim(SOUND["higher"], source="ours, seen in the first runs")}) == {}

"""The articles and papers that claims cite, by their citation keys."""

from __future__ import annotations

ARTICLES = {
    "a": "Mixing at the last layer; manifold mixup",
    "b": "Affinity loss",
    "c": "Between-class learning",
    "d": "mixup with little data",
    "e": "The mixup paper",
}
"""What each of the five articles is about; with the papers behind it, it is the family that Holm's correction is over."""

CITED = {
    "akira_final_layer": "a",
    "verma2019_manifold": "a",
    "frosst2019_snnl": "a",
    "koshian2_affinity": "b",
    "hayat2019_affinity": "b",
    "koshian2_bc": "c",
    "tokozume2018_bc": "c",
    "tokozume2018_bc_sounds": "c",
    "small_data_mixup": "d",
    "suool_mixup_notes": "e",
    "zhang2018_mixup": "e",
    "ours": "",
}
"""Citation key → article; a claim of the experiment itself belongs to none."""


def article_of(source: str) -> str:
    """The letter of the article that a source belongs to, which is a citation key and perhaps a comma and the place in it."""
    return CITED.get(key_of(source), "")


def key_of(source: str) -> str:
    """The citation key that a source begins with."""
    return source.partition(",")[0].strip()

"""The articles and papers that experiments and claims cite: the one list of references."""

from __future__ import annotations

ARTICLES = {
    "akira_final_layer": "Mixing at the last layer; manifold mixup",
    "koshian2_affinity": "Affinity loss",
    "koshian2_bc": "Between-class learning",
    "small_data_mixup": "mixup with little data",
    "suool_mixup_notes": "The mixup paper",
}
"""The topic of each of the five articles; an article with its papers is one family of Holm's correction."""

REFERENCES = {
    "akira_final_layer": ("akira_final_layer", "AkiraTOSEI, an article on mixup before the last layer."),
    "verma2019_manifold": (
        "akira_final_layer",
        (
            "Verma, Lamb, Beckham, Najafi, Mitliagkas, Lopez-Paz, Bengio: Manifold Mixup: Better Representations by"
            " Interpolating Hidden States. ICML 2019, arXiv:1806.05236."
        ),
    ),
    "frosst2019_snnl": (
        "akira_final_layer",
        (
            "Frosst, Papernot, Hinton: Analyzing and Improving Representations with the Soft Nearest Neighbor Loss."
            " ICML 2019, arXiv:1902.01889."
        ),
    ),
    "koshian2_affinity": (
        "koshian2_affinity",
        "koshian2, an article on the affinity loss; code: koshian2/affinity-loss at c678c3c.",
    ),
    "hayat2019_affinity": (
        "koshian2_affinity",
        (
            "Hayat, Khan, Zamir, Shen, Shao: Gaussian Affinity for Max-margin Class Imbalanced Learning. ICCV 2019,"
            " arXiv:1901.07711."
        ),
    ),
    "koshian2_bc": ("koshian2_bc", "koshian2, an article on between-class learning."),
    "tokozume2018_bc": (
        "koshian2_bc",
        "Tokozume, Ushiku, Harada: Between-class Learning for Image Classification. CVPR 2018, arXiv:1711.10284.",
    ),
    "tokozume2018_bc_sounds": (
        "koshian2_bc",
        (
            "Tokozume, Ushiku, Harada: Learning from Between-class Examples for Deep Sound Recognition. ICLR 2018,"
            " arXiv:1711.10282."
        ),
    ),
    "small_data_mixup": ("small_data_mixup", "An article on mixup with 100 to 50,000 images of CIFAR-10."),
    "suool_mixup_notes": ("suool_mixup_notes", "suool, an article of notes on the mixup paper."),
    "zhang2018_mixup": (
        "suool_mixup_notes",
        "Zhang, Cisse, Dauphin, Lopez-Paz: mixup: Beyond Empirical Risk Minimization. ICLR 2018, arXiv:1710.09412.",
    ),
    "ours": ("", "This project's own question."),
}
"""Citation key → the article of its family, and the reference; this project's own questions belong to no article."""


def article_of(source: str) -> str:
    """The article of a source, empty for none; source: a citation key, perhaps with a comma and the place in it."""
    return REFERENCES.get(key_of(source), ("",))[0]


def key_of(source: str) -> str:
    """The citation key at the beginning of a source."""
    return source.partition(",")[0].strip()

"""The articles and papers that experiments and claims cite: the one list of references."""

from __future__ import annotations

ARTICLES = {
    "akira_final_layer": "Mixing at the last layer; manifold mixup",
    "koshian2_affinity": "Affinity loss",
    "koshian2_bc": "Between-class learning",
    "small_data_mixup": "mixup with little data",
    "suool_mixup_notes": "The mixup paper",
    "zhang2021_bag_of_tricks": "Long tails",
    "li2022_openmixup": "OpenMixup's benchmark",
    "thulasidasan2019_calibration": "Calibration of mixup",
    "zhang2023_openood": "Detection of other images",
}
"""The topic of each article; an article with its papers is one family of Holm's correction."""

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
    "zhang2021_bag_of_tricks": (
        "zhang2021_bag_of_tricks",
        (
            "Zhang, Wei, Zhou, Wu: Bag of Tricks for Long-Tailed Visual Recognition with Deep Convolutional Neural"
            " Networks. AAAI 2021; code: zhangyongshun/BagofTricks-LT at ce7859a."
        ),
    ),
    "cao2019_ldam": (
        "zhang2021_bag_of_tricks",
        (
            "Cao, Wei, Gaidon, Arechiga, Ma: Learning Imbalanced Datasets with Label-Distribution-Aware Margin Loss."
            " NeurIPS 2019, arXiv:1906.07413."
        ),
    ),
    "ren2020_balanced_softmax": (
        "zhang2021_bag_of_tricks",
        (
            "Ren, Yu, Sheng, Ma, Zhao, Yi, Li: Balanced Meta-Softmax for Long-Tailed Visual Recognition. NeurIPS 2020,"
            " arXiv:2007.10740."
        ),
    ),
    "zhong2021_mislas": (
        "zhang2021_bag_of_tricks",
        "Zhong, Cui, Liu, Jia: Improving Calibration for Long-Tailed Recognition. CVPR 2021, arXiv:2104.00466.",
    ),
    "li2022_openmixup": (
        "li2022_openmixup",
        (
            "Li, Wang, Liu, Wu, Tan, Li: OpenMixup: A Comprehensive Mixup Benchmark for Visual Classification. 2022,"
            " arXiv:2209.04851; code: Westlake-AI/openmixup at 37e1372."
        ),
    ),
    "thulasidasan2019_calibration": (
        "thulasidasan2019_calibration",
        (
            "Thulasidasan, Chennupati, Bilmes, Bhattacharya, Michalak: On Mixup Training: Improved Calibration and"
            " Predictive Uncertainty for Deep Neural Networks. NeurIPS 2019, arXiv:1905.11001."
        ),
    ),
    "wang2023_pitfall": (
        "thulasidasan2019_calibration",
        "Wang, Li, Zhao, Heng, Zhang: On the Pitfall of Mixup for Uncertainty Calibration. CVPR 2023.",
    ),
    "zhang2023_openood": (
        "zhang2023_openood",
        (
            "Zhang, Yang, Wang, Wang, Lin, Zhang, Sun, Du, Li, Liu, Chen, Li: OpenOOD v1.5: Enhanced Benchmark for"
            " Out-of-Distribution Detection. 2023, arXiv:2306.09301; code: Jingkang50/OpenOOD at 3c35632."
        ),
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

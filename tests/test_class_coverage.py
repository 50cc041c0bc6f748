"""Settings that leave training or test data without a class, networks on data that they are not made for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from running import errors_of, sounds

from mixexp.dataset import Splits
from mixexp.dataset.images import ImageFolder
from mixexp.errors import note
from mixexp.imbalance import LongTail, MinorityClasses, NoImbalance
from mixexp.label_noise import LabelNoise, NoNoise
from mixexp.plan.compose import compose
from mixexp.sampling import BalancedSampling
from mixexp.subset import Full, Head
from mixexp.training import data


@pytest.fixture(autouse=True)
def notes_are_said_again() -> None:
    note.cache_clear()


def splits(train: list[int], test: list[int], classes: tuple[str, ...] = ("cat", "dog", "ox")) -> Splits:
    parts = [(torch.zeros(len(labels), 1, 2, 2, dtype=torch.uint8), torch.tensor(labels)) for labels in (train, test)]
    return Splits(*parts[0], *parts[1], classes)


class Constant(LabelNoise):
    def corrupt(self, labels: np.ndarray, num_classes: int, rng: np.random.Generator) -> np.ndarray:
        return np.full_like(labels, 1)


class Emptied(NoImbalance):
    """An imbalance of a user's own that cuts all classes but one."""

    def __init__(self, part: str) -> None:
        self.part = part

    def keep_counts(
        self, train_counts: np.ndarray, test_counts: np.ndarray, train_per_test: float
    ) -> tuple[np.ndarray, np.ndarray]:
        counts = {"training": train_counts.copy(), "test": test_counts.copy()}
        counts[self.part][1:] = 0
        return counts["training"], counts["test"]


def chosen(train: list[int], test: list[int], **changed: Any) -> data.SelectedData:
    options = {"subset": Full(), "imbalance": NoImbalance(), "label_noise": NoNoise(), "validation": 0.0, **changed}
    return data.select_data(splits(train, test), data_seed=0, **options)


SORTED = [0] * 6 + [1] * 6 + [2] * 6


@pytest.mark.parametrize(
    ("train", "test", "changed", "words"),
    [
        (SORTED, [0, 1], {"subset": Head(6)}, "subset: it leaves 6 training images, all of the class cat; two classes are needed; take more images, "
         "or as many of every class with subset=balanced"),
        (SORTED, [0, 1], {"subset": Head(1)}, "subset: it leaves 1 training images, all of the class cat; two classes are needed; take more images, "
         "or as many of every class with subset=balanced"),
        ([1] * 4, [0, 1], {}, "dataset: it has 4 training images, all of the class dog; two classes are needed"),
        (SORTED, [2, 2], {}, "dataset: it has 2 test images, all of the class ox; two classes are needed"),
        (SORTED, [0, 1, 2], {"imbalance": Emptied("training")}, "imbalance: it leaves 6 training images, all of the class cat; two classes are needed"),
        (SORTED, [0, 1, 2], {"imbalance": Emptied("test")}, "imbalance: it leaves 1 test images, all of the class cat; two classes are needed"),
        ([0, 1, 0], [0, 1], {"validation": 0.6}, "validation: it leaves 1 training images, all of the class cat; two classes are needed; "
         "hold out fewer images"),
        (SORTED, [0, 1], {"label_noise": Constant()}, "label_noise: it leaves 18 training images, all of the class dog; two classes are needed; "
         "lower its rate, or take more images"),
    ],
    ids=["subset", "one image", "training data", "test data", "imbalance", "imbalance of the test", "validation", "label noise"],
)  # fmt: skip
def test_what_leaves_one_class_is_refused_with_its_name(
    train: list[int], test: list[int], changed: dict[str, Any], words: str
) -> None:
    with pytest.raises(ValueError) as caught:
        chosen(train, test, **changed)
    assert str(caught.value) == words


def test_few_images_of_a_class_are_an_experiment() -> None:
    choice = chosen(SORTED * 2, [0, 1, 2] * 4, imbalance=MinorityClasses(n=1, classes=[0, 1]))
    assert np.bincount(choice.train_labels).tolist() == [3, 3, 12]
    choice = chosen(SORTED, [0, 1, 2], subset=Head(7))
    assert np.bincount(choice.train_labels).tolist() == [6, 1]
    assert BalancedSampling("smallest").epoch_size(np.array([6, 1, 0])) == 2, (
        "undersampling leaves an empty class out, and one image of the others"
    )


def test_a_profile_over_an_empty_class_says_which() -> None:
    with pytest.raises(ValueError) as caught:
        chosen(SORTED, [0, 1, 2], subset=Head(7), imbalance=LongTail("step", 2.0))
    assert (
        str(caught.value)
        == "imbalance.shape = step: class 2 has no training image, and the profile gives every class some; take more"
        " images"
    )


def test_classes_that_a_part_lacks_are_told() -> None:
    choice = chosen(SORTED, [1, 2], subset=Head(7), validation=0.2)
    lines = data.missing_classes(splits(SORTED, [1, 2]), choice)
    held_out = set(np.array(SORTED)[choice.validation])
    assert [line for line in lines if "validation" not in line] == [
        "1 of 3 classes have no training image: ox",
        "1 of 3 classes have no test image: cat",
    ]
    assert len(held_out) < 3 and any("validation" in line for line in lines)
    assert data.missing_classes(splits(SORTED, [0, 1, 2]), chosen(SORTED, [0, 1, 2])) == []
    many = tuple(f"c{k}" for k in range(30))
    whole = splits([0, 1], list(range(30)), many)
    choice = data.select_data(whole, Full(), NoImbalance(), NoNoise(), 0.0, 0)
    assert data.missing_classes(whole, choice) == [
        "28 of 30 classes have no training image: c2, c3, c4, c5, c6, c7, c8, c9, c10, c11 and 18 more"
    ]


def test_a_run_on_the_head_of_a_sorted_folder_is_refused_or_noted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for part in ("train", "test"):
        for name in ("cat", "dog", "ox"):
            (tmp_path / part / name).mkdir(parents=True)
            for k in range(5):
                Image.new("L", (8, 8), 40 * k).save(tmp_path / part / name / f"{k}.png")
    words = ("dataset=image_folder", f"dataset.folder={tmp_path}", "dataset.grey=true", "model.width=4", "subset=head")
    (refusal,) = errors_of(compose([*words, "subset.n=1"]))
    assert refusal.startswith("subset: it leaves 1 training images, all of the class ")
    assert capsys.readouterr().err == ""
    labels = ImageFolder("", str(tmp_path)).load().train_labels.tolist()
    two = next(n for n in range(2, 16) if len(set(labels[:n])) == 2)
    (missing,) = {0, 1, 2} - set(labels[:two])
    assert errors_of(compose([*words, f"subset.n={two}"])) == []
    name = ("cat", "dog", "ox")[missing]
    assert capsys.readouterr().err == f"note: dataset=image_folder: 1 of 3 classes have no training image: {name}\n"


# --- networks on data that they are not made for ---

NOTE = (
    "note: model={} is made for data of the kind {}, and dataset={} is of the kind {}; a network for such data is"
    " model={}\n"
)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("dataset=iris", "optimizer.lr=0.1"), ("small_cnn", "image or spectrogram", "iris", "table", "mlp")),
        (("dataset=two_moons", "model=resnet18"), ("resnet18", "image or spectrogram", "two_moons", "table", "mlp")),
        (("sounds",), ("small_cnn", "image or spectrogram", "sound_folder", "sound", "sound_cnn")),
        (("model=sound_cnn",), ("sound_cnn", "sound", "digits", "image", "small_cnn")),
        (
            ("sounds", "model=sound_cnn", "dataset.representation=spectrogram"),
            ("sound_cnn", "sound", "sound_folder", "spectrogram", "small_cnn"),
        ),
        (("dataset=iris", "model=mlp"), None),
        (("model=mlp",), None),
        (("sounds", "model=sound_cnn"), None),
        (("sounds", "dataset.representation=spectrogram"), None),
        ((), None),
    ],
    ids=lambda value: " ".join(value or ["nothing"]),
)
def test_a_network_for_other_data_is_noted_with_one_that_fits(
    words: tuple[str, ...], said: tuple[str, ...] | None, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [word for name in words for word in (sounds() if name == "sounds" else [name])]
    for _ in range(2):
        assert errors_of(compose(words)) == []
    assert capsys.readouterr().err == (NOTE.format(*said) if said else "")

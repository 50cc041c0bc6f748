"""What subset, imbalance and normalisation make of the real CIFAR-10 and MNIST."""

from __future__ import annotations

import functools
import hashlib
import os
from pathlib import Path

import numpy as np
import pytest
from test_selection import choose, counts, rng

from mixexp.dataset import Splits
from mixexp.dataset.torchvision import FromTorchvision
from mixexp.imbalance import LongTail, MinorityClasses, cao2019
from mixexp.subset import Head
from mixexp.training import data

REAL = {"MNIST": "MNIST/raw/t10k-images-idx3-ubyte", "CIFAR10": "cifar-10-batches-py/test_batch"}


@functools.cache
def real(name: str) -> Splits:
    """A real data set from the folder in MIXEXP_DATA, or the test is skipped."""
    folder = Path(os.environ.get("MIXEXP_DATA") or "/nonexistent")
    if not (folder / REAL[name]).is_file():
        pytest.skip(f"no {name}: the environment variable MIXEXP_DATA names no folder that has {REAL[name]}")
    return FromTorchvision(name=name, data_dir=str(folder), download=False).load()


def test_head_of_cifar10_has_the_known_uneven_classes() -> None:
    labels = real("CIFAR10").train_labels.numpy()
    assert labels[Head(10).select(labels, 10, rng())].tolist() == [6, 9, 9, 4, 1, 1, 2, 7, 8, 3]


@pytest.mark.parametrize("n", [500, 200, 100, 50, 20, 10])
@pytest.mark.parametrize(("name", "per_test"), [("MNIST", 6), ("CIFAR10", 5)])
def test_minority_cuts_the_even_classes_as_article_b_does(name: str, per_test: int, n: int) -> None:
    source = real(name)
    choice = choose(source, imbalance=MinorityClasses(n))
    train, test = counts(source.train_labels.numpy()), counts(source.test_labels.numpy())
    assert counts(choice.train_labels) == [per_test * n if c % 2 == 0 else train[c] for c in range(10)]
    assert counts(source.test_labels.numpy()[choice.test]) == [n if c % 2 == 0 else test[c] for c in range(10)]


@pytest.mark.parametrize(
    ("shape", "ratio", "images", "golden"),
    [
        ("exponential", 100, 12_406, "4bf45bff8878d278"),
        ("exponential", 50, 13_996, "d7edcfaf02772bee"),
        ("exponential", 10, 20_431, "a17d69f192b1cf6d"),
        ("step", 100, 25_250, "7dde7b6c248f7ba6"),
    ],
)
def test_cifar10_lt_is_the_subset_of_published_results(shape: str, ratio: float, images: int, golden: str) -> None:
    """SHA-256 of the code's indices, class by class in shuffled order, as little-endian int64; a run has them sorted."""
    source, long_tail = real("CIFAR10"), LongTail(shape, ratio, "cao2019")
    labels = source.train_labels.numpy()
    keep, _ = long_tail.keep_counts(np.bincount(labels), np.full(10, 1000), 5.0)
    shuffled = cao2019([np.flatnonzero(labels == c) for c in range(10)], keep, rng())
    if ratio == 100:
        assert shuffled[0][:6].tolist() == [4030, 38518, 48266, 45556, 6312, 25460]
    indices = np.concatenate(shuffled)
    assert hashlib.sha256(indices.astype("<i8").tobytes()).hexdigest()[:16] == golden
    assert choose(source, imbalance=long_tail).train.tolist() == sorted(indices.tolist()) and len(indices) == images


def test_the_centred_statistics_of_cifar10_are_those_published_for_bc_plus() -> None:
    """mean [4.60, 2.24, −6.84] and std [55.9, 53.7, 56.5] of 255 (mil-tokyo/bc_learning_image, after centring each
    image)."""
    source = real("CIFAR10")
    normalize = data.Normalize.of(source.train_images, [0.5] * 3, [0.5] * 3, zero_mean=True)
    assert np.abs(normalize.mean.flatten().numpy() * 255 - [4.60, 2.24, -6.84]).max() < 0.02
    assert np.abs(normalize.std.flatten().numpy() * 255 - [55.9, 53.7, 56.5]).max() < 0.05


def test_the_computed_statistics_of_mnist_are_the_known_ones() -> None:
    normalize = data.Normalize.of(real("MNIST").train_images, None, None, zero_mean=False)
    assert round(normalize.mean.item(), 4) == 0.1307
    assert round(normalize.std.item(), 4) == 0.3081

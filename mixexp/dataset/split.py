"""A held-out part drawn once and for all."""

from __future__ import annotations

import numpy as np


def shuffled(count: int, bits: np.random.Philox) -> np.ndarray:
    """A random order of 0..count-1, int64 [count].

    Raw bits are sorted because numpy keeps a bit generator's output the same for ever, but not ``Generator.permutation``'s.
    """
    return np.argsort(bits.random_raw(count), kind="stable")


def stratified_split(labels: np.ndarray, test_fraction: float, split_seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Ascending train and test indices, int64, that share out each class of labels [N] alike.

    Each class gives round(test_fraction · n) of its n samples to the test part, at least one and at most n - 1; raises
    ValueError for a class of one sample, which cannot be in both. The draw depends on the arguments only.
    """
    bits = np.random.Philox(key=split_seed)
    held_out = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        if len(members) < 2:
            raise ValueError(f"class {label} has {len(members)} sample, a split needs 2")
        size = min(max(round(test_fraction * len(members)), 1), len(members) - 1)
        held_out[members[shuffled(len(members), bits)[:size]]] = True
    return np.flatnonzero(~held_out), np.flatnonzero(held_out)

"""Parts of a data set, drawn once for all runs."""

from __future__ import annotations

import numpy as np


def shuffled(count: int, bits: np.random.BitGenerator) -> np.ndarray:
    """A random order of 0..count-1, int64 [count].

    Raw bits are sorted, because numpy guarantees a bit generator's output for ever, but not
    ``Generator.permutation``'s.
    """
    return np.argsort(bits.random_raw(count), kind="stable")


def stratified_split(labels: np.ndarray, test_fraction: float, split_seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Ascending train and test indices, int64, with the same proportion of each class of labels [N].

    Each class gives round(test_fraction · n) of its n samples to the test part, at least one and at most n - 1. The
    draw depends only on the arguments. Raises ValueError for a class of one sample, which cannot be in both.
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


def stratified_part(labels: np.ndarray, size: int, order: np.ndarray) -> np.ndarray:
    """Ascending places, int64 [size], in labels [N]: each class in proportion, by the largest remainder.

    order: distinct numbers, int64 [N]; each class gives the places that are first in this order. Of equal remainders,
    the first class wins.
    """
    classes, counts = np.unique(labels, return_counts=True)
    whole, remainders = np.divmod(counts * size, len(labels))
    whole[np.argsort(-remainders, kind="stable")[: size - whole.sum()]] += 1
    members = [np.flatnonzero(labels == label) for label in classes]
    return np.sort(
        np.concatenate([rows[np.argsort(order[rows])][:count] for rows, count in zip(members, whole, strict=True)])
    )

"""Scores of confusion matrices against scikit-learn."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixexp.metrics import NAMES, scores

pytestmark = pytest.mark.fast

PAIRS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=40)


def confusion(true: list[int], predicted: list[int], classes: int = 5) -> np.ndarray:
    matrix = np.zeros((classes, classes), dtype=np.int64)
    np.add.at(matrix, (true, predicted), 1)
    return matrix


def scikit_learn(true: list[int], predicted: list[int]) -> dict[str, float]:
    from sklearn import metrics as sklearn_metrics  # a second, which collecting need not take

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns of predicted classes that do not occur, which is a case of ours
        return {
            "accuracy": sklearn_metrics.accuracy_score(true, predicted),
            "macro_f1": sklearn_metrics.f1_score(true, predicted, average="macro", zero_division=0),
            "micro_f1": sklearn_metrics.f1_score(true, predicted, average="micro", zero_division=0),
            "balanced_accuracy": sklearn_metrics.balanced_accuracy_score(true, predicted),
        }


@settings(max_examples=100, deadline=None)
@given(pairs=PAIRS)
def test_scores_are_scikit_learns(pairs: list[tuple[int, int]]) -> None:
    true, predicted = map(list, zip(*pairs, strict=True))
    assert scores(confusion(true, predicted)) == pytest.approx(scikit_learn(true, predicted))


@pytest.mark.parametrize(
    ("true", "predicted"),
    [
        ([0, 0, 1, 1], [0, 1, 1, 1]),  # classes 2, 3, 4 nowhere
        ([0, 0, 1, 1], [0, 2, 1, 3]),  # classes 2 and 3 predicted only
        ([0, 1, 2, 3], [0, 0, 0, 0]),  # classes 1, 2 and 3 never predicted
        ([4], [4]),
        ([4], [0]),
    ],
)
def test_absent_classes_count_as_in_scikit_learn(true: list[int], predicted: list[int]) -> None:
    assert scores(confusion(true, predicted)) == pytest.approx(scikit_learn(true, predicted))


def test_a_worked_example() -> None:
    """Class 0: 8 of 10 right, class 1: 1 of 2 right, and 2 zeros taken for ones."""
    expected = {
        "accuracy": 9 / 12,
        "macro_f1": (2 * 8 / 19 + 2 * 1 / 5) / 2,
        "micro_f1": 9 / 12,
        "balanced_accuracy": (0.8 + 0.5) / 2,
    }
    assert scores(np.array([[8, 2], [1, 1]])) == pytest.approx(expected)


def test_rows_are_the_true_classes() -> None:
    assert scores(np.array([[3, 1], [0, 0]]))["balanced_accuracy"] == 0.75


def test_the_scores_are_plain_floats_under_the_known_names() -> None:
    found = scores(np.eye(3, dtype=np.int32))
    assert tuple(found) == NAMES
    assert {type(value) for value in found.values()} == {float}
    assert set(found.values()) == {1.0}


@pytest.mark.parametrize("classes", [0, 1, 3])
def test_an_empty_matrix_is_refused(classes: int) -> None:
    with pytest.raises(ValueError, match="empty confusion matrix"):
        scores(np.zeros((classes, classes), dtype=np.int64))

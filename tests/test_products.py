"""Some of the random products of tests/chaos/products.py, which has hundreds."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent / "chaos"))
import products


@pytest.mark.parametrize("number", range(40))
def test_a_product_is_trained_and_goes_on_after_a_stop_or_is_refused_with_a_reason(number: int, tmp_path: Path):
    words = products.product(17, number)
    outcome, reason = products.outcome_of(words, tmp_path)
    assert outcome != "FAULT", f"{' '.join(words)}: {reason}"


def test_most_products_are_trained(tmp_path: Path):
    """The test above would also pass if all were refused."""
    words = [products.product(17, number) for number in range(12)]
    found = [products.outcome_of(one, tmp_path / str(number))[0] for number, one in enumerate(words)]
    assert found.count("trained") >= 4

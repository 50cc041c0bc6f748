from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from mixexp.dataset.table import Rows, Table


class SklearnTable(Table):
    """One of scikit-learn's bundled tables: iris 150 × 4, wine 178 × 13 (three classes each), breast_cancer 569 × 30 (two).

    Source: scikit-learn's ``load_iris``, ``load_wine`` and ``load_breast_cancer``, copies of UCI's.
    """

    def __init__(
        self,
        name: Literal["iris", "wine", "breast_cancer"],
        test_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.2,
        split_seed: Annotated[int, Field(ge=0, lt=2**63)] = 0,
        standardise: bool = True,
    ) -> None:
        super().__init__(test_fraction, split_seed, standardise)
        self.name = name

    def read(self) -> Rows:
        from sklearn import datasets  # over a second to import, which only its own data should cost

        bundle = getattr(datasets, f"load_{self.name}")()
        return Rows(bundle.data.astype(np.float64), bundle.target.astype(np.int64), tuple(map(str, bundle.target_names)))

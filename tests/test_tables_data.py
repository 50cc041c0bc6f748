"""Tables of numbers: scikit-learn's and any CSV file, against what pandas and scikit-learn say of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from running import config_of, errors_of, option, rows_of, trained
from sklearn import datasets

from mixexp.build import build
from mixexp.dataset.csv_table import CsvTable
from mixexp.dataset.tables import SklearnTable
from mixexp.errors import UserError
from mixexp.plan.compose import compose
from mixexp.training.data import Normalize, load

SIZES = {"iris": (150, 4, 3), "wine": (178, 13, 3), "breast_cancer": (569, 30, 2)}


def csv(folder: Path, text: str, **changed: Any) -> CsvTable:
    (folder / "table.csv").write_text(text, encoding="utf-8")
    return CsvTable(str(folder), "table.csv", **{"label": "kind", **changed})


def refused(table: CsvTable) -> str:
    with pytest.raises(UserError) as caught:
        table.load()
    return str(caught.value)


@pytest.mark.parametrize("name", SIZES)
def test_scikit_learns_tables_are_split_once_and_whole(name: str) -> None:
    rows, columns, classes = SIZES[name]
    bundle = getattr(datasets, f"load_{name}")()
    found = SklearnTable(name, standardise=False).load()
    assert found.train_images.shape[1:] == (columns, 1, 1) and found.train_images.dtype == torch.float32
    assert len(found.test_images) == pytest.approx(rows / 5, abs=1) and len(found.classes) == classes
    together = torch.cat([found.train_images, found.test_images]).flatten(1).numpy()
    labels = torch.cat([found.train_labels, found.test_labels]).numpy()
    ours = sorted(zip(map(tuple, together), labels, strict=True))
    assert ours == sorted(zip(map(tuple, bundle.data.astype(np.float32)), bundle.target, strict=True))
    again, other = (SklearnTable(name, standardise=False, split_seed=seed).load() for seed in (0, 1))
    assert torch.equal(found.train_images, again.train_images) and not torch.equal(found.test_images, other.test_images)
    assert len(found.train_labels[:20].unique()) == classes, "the head is of all classes"


def test_columns_are_standardised_over_the_training_rows_alone() -> None:
    raw, found = (SklearnTable("wine", standardise=standardise).load() for standardise in (False, True))
    mean, std = raw.train_images.double().mean(0), raw.train_images.double().std(0, correction=0)
    for part in ("train_images", "test_images"):
        expected = ((getattr(raw, part).double() - mean) / std).float()
        torch.testing.assert_close(getattr(found, part), expected, rtol=1e-5, atol=1e-5)
    assert torch.equal(raw.train_labels, found.train_labels)


def test_a_network_sees_the_table_as_it_was_loaded() -> None:
    for standardise in ("true", "false"):
        table, splits = load(compose(["dataset=iris", f"dataset.standardise={standardise}"])["dataset"])
        seen = Normalize.of(splits.train_images, table.mean, table.std, zero_mean=False)(splits.train_images)
        torch.testing.assert_close(seen, splits.train_images)


def test_a_csv_file_is_read_as_it_says(tmp_path: Path) -> None:
    lines = ["id,size,colour,kind,wild"] + [
        f"{i},{i / 4},{'green' if i % 3 else 'blue'},{'b' if i % 2 else 'a'},{i % 4 == 0}" for i in range(12)
    ]
    table = csv(tmp_path, "\n".join(lines), drop=["id"], standardise=False, test_fraction=0.5)
    found = table.load()
    assert found.classes == ("a", "b") and found.train_images.shape == (6, 4, 1, 1)
    everything = torch.cat([found.train_images, found.test_images]).flatten(1)
    labels = torch.cat([found.train_labels, found.test_labels])
    for size, blue, green, wild in everything.tolist():
        i = round(size * 4)
        assert (blue, green, wild) == (i % 3 == 0, i % 3 != 0, i % 4 == 0)
    assert torch.equal(labels, (everything[:, 0] * 4).round().long() % 2)
    assert table.mean == [0.0] * 4 and table.std == [1.0] * 4


def test_a_csv_file_without_header_and_with_another_separator(tmp_path: Path) -> None:
    table = csv(
        tmp_path, "10;2.5;x\n9;3.5;y\n10;4.5;x\n9;5.5;y\n", separator=";", header=False, label="0", standardise=False
    )
    found = table.load()
    assert found.classes == ("9", "10"), "numbers in their own order"
    assert found.train_images.shape[1] == 3 and sorted(found.train_images[:, 0].flatten().tolist() + found.test_images[:, 0].flatten().tolist()) == [
        2.5, 3.5, 4.5, 5.5,
    ]  # fmt: skip


def test_a_constant_column_stays_finite(tmp_path: Path) -> None:
    found = csv(tmp_path, "x,same,kind\n" + "".join(f"{i},7,{'ab'[i % 2]}\n" for i in range(8))).load()
    assert found.train_images[:, 1].eq(0).all() and found.test_images[:, 1].eq(0).all()


@pytest.mark.parametrize(
    ("text", "changed", "words"),
    [
        ("x,kind\n1,a\n,b\n3,a\n4,b\n", {}, "column 'x' has no value in row 2"),
        ("x,kind\n1,a\n2,\n3,a\n4,b\n", {}, "column 'kind' has no value in row 2"),
        ("x,kind\n1,a\n2,b\ninf,a\n4,b\n", {}, "column 'x' has no finite number in row 3: inf"),
        ("x,kind\n1,a\n2,b\n?,a\n?,b\n", {}, r"column 'x' has no number, as others are in row 3 \(and 1 more\): \?"),
        ("x,kind\n1,a\n2,a\n", {}, "column 'kind' has 1 distinct values; a label needs 2"),
        ("x,kind\n1,a\n2,b\n3,a\n", {}, "a class needs 2 rows, one for the test; these have one: b"),
        (
            "x,kind\n1,a\n2,b\n",
            {"label": "kinds"},
            "dataset.label: .* has no column 'kinds'; it has x, kind. Did you mean 'kind'",
        ),
        ("x,kind\n1,a\n2,b\n", {"drop": ["y"]}, "dataset.drop: .* has no column 'y'"),
        ("x,kind\n1,a\n2,b\n", {"drop": ["kind"]}, "'kind' is the label"),
        ("x;kind\n1;a\n2;b\n", {}, "has no column 'kind'; .* separated by ';': 'dataset.separator=\";\"'"),
        (
            "x;kind\n" + "".join(f"{i},5;{'ab'[i % 2]}\n" for i in range(30)),
            {"separator": ";"},
            "column 'x' holds texts, 30 different ones in 30 rows, such as '0,5'; numbers need a decimal point",
        ),
        ("kind\na\nb\na\nb\n", {}, "no column beside 'kind'"),
        ("", {}, "cannot be read as a CSV file"),
        ("x,kind\n1,a\n2,b,c,d\n", {}, "cannot be read as a CSV file"),
    ],
)
def test_what_cannot_be_used_is_refused_by_name(tmp_path: Path, text: str, changed: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        csv(tmp_path, text, **changed).load()


def test_a_file_that_is_not_there_is_named_before_anything_starts(tmp_path: Path) -> None:
    config = compose(["dataset=csv", f"dataset.file={tmp_path}/no.csv", "dataset.label=kind", "model=mlp"])
    assert errors_of(config) == [
        f"There is no file {tmp_path}/no.csv: set dataset.file, absolute or relative to data_dir."
    ]


@pytest.mark.parametrize("name", SIZES)
def test_what_is_for_images_is_refused_on_tables(name: str) -> None:
    base = (f"dataset={name}", "model=mlp")
    assert errors_of(compose([*base, "mix=mixup"])) == []
    assert errors_of(compose([*base, "mix=bc_plus", "loss=kl"])) == [
        "mix: it needs data of the kind image, and this data set's is table"
    ]
    assert errors_of(compose([*base, "augment=standard"])) == [
        "augment: it needs data of the kind image, and this data set's is table"
    ]


def test_the_mlp_is_the_papers() -> None:
    torch.manual_seed(0)
    body = build(option("model", "mlp"), in_channels=4, image_size=(1, 1)).double()
    x = torch.randn(5, 4, 1, 1, dtype=torch.float64)
    first, second = (getattr(body, stage)[1] for stage in ("layer1", "layer2"))
    by_hand = (x.flatten(1) @ first.weight.T + first.bias).clamp(min=0) @ second.weight.T + second.bias
    torch.testing.assert_close(body(x), by_hand.clamp(min=0))
    assert [tuple(p.shape) for p in body.parameters()] == [(128, 4), (128,), (128, 128), (128,)]


def test_mixup_tables_learns_where_its_paper_does(tmp_path: Path) -> None:
    words = ("experiment=mixup_tables", "alpha=0.2", "dataset.standardise=true", "seed=3", "epochs=10")
    accuracies = {}
    for mix in ("none", "mixup"):
        record = trained(tmp_path / mix, *words, f"mix={mix}", "model=mlp", "batch_size=16")
        accuracies[mix] = [float(row["accuracy"]) for row in rows_of(record)]
    assert all(found[-1] >= 0.8 and len(found) == 10 for found in accuracies.values())
    assert accuracies["none"] != accuracies["mixup"]
    config = config_of(*words, "mix=mixup", "model=mlp")
    assert config["dataset"]["test_fraction"] == 0.5
    assert (config["optimizer"]["lr"], config["optimizer"]["beta2"]) == (1e-3, 0.999)

"""The experiments that measure more than accuracy, shrunk to seconds: what the articles say of the method, seen in
their records."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from probes import csv_rows
from running import errors_of, resolved, rows_of

from mixexp import cli
from mixexp.plan.identity import canonical
from mixexp.settings import CONF
from mixexp.spec.grid import block_cells
from mixexp.train import train
from mixexp.training.folder import RunFolder
from mixexp.training.spec import RunConfig

SMALL = ("dataset=digits", "model=small_cnn", "model.width=8", "augment=none", "batch_size=64", "optimizer.lr=0.05")


def run(folder: Path, name: str, *words: str) -> RunFolder:
    """A run of an experiment, trained to its end."""
    config = resolved(f"experiment={name}", *words)
    assert errors_of(config) == []
    record = RunFolder(folder)
    for _ in train(RunConfig.of(canonical(config, True)), record, {}):
        pass
    return record


def last_rows(record: RunFolder, file: str) -> list[dict[str, Any]]:
    rows = csv_rows(record.path / f"probe_{file}.csv")
    return [row for row in rows if row["step"] == rows[-1]["step"]]


def test_entanglement_the_last_layer_separates_the_classes_and_the_first_do_not(tmp_path):
    record = run(tmp_path, "entanglement", *SMALL, "epochs=8", "evaluations=4", "probe.samples=200")
    rows = csv_rows(record.path / "probe_entanglement.csv")
    loss = {(row["step"], row["layer"]): row["loss"] for row in rows}
    first, last = min(step for step, _ in loss), max(step for step, _ in loss)
    assert loss[last, "final"] < loss[first, "final"]
    assert loss[last, "final"] < loss[last, "layer1"] and loss[last, "final"] < loss[last, "input"]
    assert loss[first, "input"] == loss[last, "input"]


def test_final_features_are_mapped_with_classes_together(tmp_path):
    record = run(tmp_path, "final_features", *SMALL, "epochs=8", "mix=mixup", "mix_layer=final", "mix.ratio.per=epoch")
    rows = last_rows(record, "tsne")
    places, labels = np.array([(row["x"], row["y"]) for row in rows]), np.array([row["label"] for row in rows])
    distances = np.linalg.norm(places[:, None] - places, axis=2) + 1e9 * np.eye(len(places))
    assert len(rows) == 359 and (labels == labels[distances.argmin(1)]).mean() > 0.85


@pytest.mark.parametrize("alpha", [0.2, 5.0])
def test_toy_mixup_the_clouds_follow_alpha(alpha, tmp_path):
    record = run(tmp_path, "toy_mixup", f"alpha={alpha}", "mix.ratio.per=sample", "epochs=2")
    rows = last_rows(record, "mixed_samples")
    assert len(rows) == 500, "the whole set at once"
    between = np.mean([0.2 < row["lam"] < 0.8 for row in rows])
    assert between < 0.35 if alpha < 1 else between > 0.9
    assert {row["curve"] for row in last_rows(record, "ratio")} == {"drawn", "formula"}


def test_toy_pairs_a_sandwich_has_bad_pairs_which_cost_accuracy(tmp_path):
    found = {}
    for name in ("sandwich", "two_blobs"):
        for mix in ("bc", "mixup_same_class"):
            words = (f"dataset={name}", f"mix={mix}", "mix.ratio.per=sample", "probe=mixing", "epochs=40")
            record = run(tmp_path / name / mix, "toy_pairs", *words)
            pairs = {row["pair"]: row["intrusion"] for row in last_rows(record, "intrusion")}
            found[name, mix] = pairs, float(rows_of(record)[-1]["accuracy"])
    assert found["two_blobs", "mixup_same_class"][0] == {"one class": 0}
    assert found["sandwich", "mixup_same_class"][0]["one class"] > 0.1
    assert found["sandwich", "bc"][0] == {"several classes": 0}, (
        "of two classes in all, a blend of both is at home everywhere"
    )
    assert found["two_blobs", "mixup_same_class"][1] > 0.98 and found["sandwich", "bc"][1] > 0.95
    assert found["sandwich", "mixup_same_class"][1] < found["sandwich", "bc"][1]


def test_toy_entanglement_rises_from_apart_to_on_each_other(tmp_path):
    losses = {}
    for temperature in (0.1, 1, 10):
        for noise in (0.1, 0.3, 0.6, 1.2, 5):
            words = (f"dataset.noise={noise}", f"probe.entanglement.temperature={temperature}")
            record = run(tmp_path / f"{temperature} {noise}", "toy_entanglement", *words)
            (row,) = last_rows(record, "entanglement")
            assert row["layer"] == "input" and len(last_rows(record, "mixed_samples")) == 500
            losses.setdefault(temperature, []).append(row["loss"])
    assert all(found == sorted(found) for found in losses.values())
    assert losses[0.1][0] < losses[1][0] < 0.05 < 0.4 < losses[10][0], "a large T has all points as neighbours"
    assert losses[10][-1] == pytest.approx(math.log(2), rel=0.05) and losses[0.1][-1] > 2, (
        "a small one the nearest alone"
    )


def test_toy_boundary_mixup_is_unsure_over_more_of_the_plane(tmp_path):
    for name in ("two_blobs", "two_moons"):
        unsure = {}
        for mix in ("none", "mixup"):
            record = run(tmp_path / name / mix, "toy_boundary", f"dataset={name}", f"mix={mix}", "epochs=40")
            (row,) = last_rows(record, "unsure")
            unsure[mix] = row["unsure"]
            assert float(rows_of(record)[-1]["accuracy"]) > 0.8
        assert unsure["mixup"] > 1.5 * unsure["none"]


def test_bc_pictures_show_one_image_or_two_of_other_classes_with_their_label(tmp_path):
    words = (*SMALL[:-1], "optimizer.lr=1e-3", "probe.samples=30")
    cells = {"none": ("mix=none",), "bc": ("mix=bc", "mix.ratio.fold=true"), "bc_plus": ("mix=bc_plus",)}
    rows = {
        name: last_rows(run(tmp_path / name, "bc_pictures", *words, *cell), "mixed_images")
        for name, cell in cells.items()
    }
    classes = {
        name: {len(row["labels"].split(", ")) for row in found if isinstance(row["labels"], str)}
        for name, found in rows.items()
    }
    assert {row["lam"] for row in rows["none"]} == {1} and classes["none"] == {1}
    assert min(row["lam"] for row in rows["bc"]) >= 0.5 and classes["bc"] == {2}
    assert min(row["lam"] for row in rows["bc_plus"]) < 0.5 and classes["bc_plus"] == {2}
    assert len({row["image"] for found in rows.values() for row in found}) == 90


def test_bc_features_training_drives_the_classes_apart_where_the_classifier_sees_them(tmp_path):
    words = (*SMALL[:3], "batch_size=64", "optimizer.lr=0.02", "dataset.mean=null", "dataset.std=null", "epochs=8")
    words = (*words, "augment=standard", "augment.flip=false", "augment.shift=0", "probe.samples=500")
    for mix, loss in (("none", "cross_entropy"), ("bc", "kl")):
        record = run(tmp_path / mix, "bc_features", *words, f"mix={mix}", f"loss={loss}")
        rows = {row["layer"]: row for row in last_rows(record, "fisher")}
        assert rows["final"]["criterion"] > 2 * rows["input"]["criterion"]
        assert all(row["criterion"] == pytest.approx(row["between"] / row["within"], rel=1e-4) for row in rows.values())


def test_mixup_between_training_images_mixup_misses_less_and_its_gradient_is_smaller(tmp_path):
    half = {}
    for mix in ("none", "mixup"):
        record = run(tmp_path / mix, "mixup_between", *SMALL, "epochs=12", f"mix={mix}", "probe.pairs=300")
        rows = {row["lam"]: row for row in last_rows(record, "between")}
        assert len(rows) == 11 and rows[1]["miss"] < rows[0.5]["miss"], (
            "half way is further from what it was trained on"
        )
        half[mix] = rows[0.5]
    assert half["mixup"]["miss"] < half["none"]["miss"]
    assert half["mixup"]["gradient_norm"] < half["none"]["gradient_norm"]


def test_manifold_fgsm_attacks_hurt_and_more_reach_hurts_more(tmp_path):
    record = run(
        tmp_path, "manifold_fgsm", *SMALL, "epochs=6", "mix_layer.layers=[input,layer1,layer2]", "probe.epsilon=[4,16]"
    )
    error = {(row["attack"], row["epsilon"]): row["error"] for row in last_rows(record, "fgsm")}
    assert error["none", 0] < error["fgsm", 4] < error["fgsm", 16]
    assert error["none", 0] == pytest.approx(1 - float(rows_of(record)[-1]["accuracy"]))


def test_mixup_adversarial_examples_made_on_one_network_hurt_another_less_than_its_own(tmp_path, monkeypatch, capsys):
    words = (*SMALL, "epochs=6", "probe.epsilon=[16]")
    first, second = (
        run(tmp_path / str(seed), "mixup_adversarial", *words, "mix=none", f"seed={seed}").path for seed in (0, 1)
    )
    white = {row["attack"]: row["error"] for row in csv_rows(second / "probe_fgsm.csv")}
    command = ["mixexp", "probe", str(second), "probe=fgsm", f"probe.source={first}", "probe.epsilon=[16]"]
    monkeypatch.setattr("sys.argv", command)
    cli.main()
    black = {row["attack"]: row["error"] for row in csv_rows(second / "probe_fgsm_black_box.csv")}
    assert black["none"] == white["none"] < black["fgsm"] < white["fgsm"]
    assert "probe_fgsm_black_box.csv" in capsys.readouterr().out


def test_manifold_deformations_cost_accuracy_in_the_published_order(tmp_path):
    record = run(tmp_path, "manifold_deformations", *SMALL, "epochs=6", "mix=none")
    found = {(row["deformation"], row["level"]): row["accuracy"] for row in last_rows(record, "deformation")}
    assert len(found) == 18
    assert found["none", 0] > found["rotation", 20] > found["rotation", 40] > found["rotation", 80]
    assert found["zoom", 20] < found["zoom", 80] < found["none", 0] > found["zoom", 120] > found["zoom", 180]
    assert found["shearing", 171.9] > found["shearing", 143.2], "half a turn is not a shear"


def test_mixup_alpha_a_large_alpha_keeps_the_network_from_fitting(tmp_path):
    loss = {}
    for name, words in {"none": ["mix=none"], "32": ["mix=mixup", "alpha=32"]}.items():
        record = run(tmp_path / name, "mixup_alpha", *SMALL, "epochs=8", "subset=balanced", "subset.n=300", *words)
        (row,) = last_rows(record, "generalisation")
        assert row["gap"] == pytest.approx(row["test_error"] - row["train_error"]) and math.isfinite(row["loss_gap"])
        loss[name] = row
    assert loss["none"]["train_loss"] < loss["32"]["train_loss"]
    assert loss["none"]["train_error"] <= loss["32"]["train_error"]


@pytest.mark.parametrize(
    "name",
    [
        *("entanglement", "final_features", "toy_mixup", "toy_pairs"),
        *("manifold_fgsm", "mixup_adversarial", "mixup_alpha", "manifold_deformations"),
        *("mixup_between", "bc_pictures", "toy_boundary"),
    ],
)
def test_every_cell_stands_and_every_measure_is_of_a_column_that_its_probe_writes(name, tmp_path):
    whole = resolved(f"experiment={name}")
    cells = block_cells(yaml.safe_load((CONF / "experiment" / f"{name}.yaml").read_text())["hydra"]["sweeper"]["grid"])
    own = "dataset" not in {key for cell in cells for key in cell} and not name.startswith("toy")
    small = ("dataset=digits", "model=small_cnn") if own else ()
    for cell in cells:
        fixed = [f"{key}={value}" for key, value in cell.items()]
        config = resolved(f"experiment={name}", *small, *fixed)
        assert [line for line in errors_of(config) if "no layer" not in line] == []
    measures = next(
        whole["table"][axis]["measures"] for axis in ("rows", "columns") if "measures" in whole["table"][axis]
    )
    few = (*SMALL[1:], *small, "epochs=1") if own else ("epochs=1",)
    few = (*few, "mix=mixup", "mix_layer=input", *(["probe=mixing"] if name == "toy_pairs" else []))
    record = run(tmp_path, name, *few)
    for measure in measures.values():
        if measure["metric"].startswith("probe."):
            _, file, column = measure["metric"].split(".")
            rows = last_rows(record, file.removesuffix("_black_box"))  # whose columns are the same
            wanted = measure.get("where", {})
            assert column in rows[0] and wanted.keys() <= rows[0].keys()
            if wanted.get("layer") not in ("stem", "layer4"):  # which the small network lacks
                assert [row for row in rows if all(row[key] == value for key, value in wanted.items())], measure

"""The experiments that are grids of accuracies, shrunken to seconds on the digits: each shows something that is true of
its method."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from running import errors_of, resolved, rows_of
from torch import Tensor
from torchvision.utils import save_image

from mixexp import train as loop
from mixexp.build import build
from mixexp.mix import Plan
from mixexp.plan.identity import canonical, run_id
from mixexp.train import train
from mixexp.training.folder import RunFolder
from mixexp.training.spec import RunConfig

DIGITS = (
    "dataset=digits",
    "dataset.mean=null",
    "dataset.std=null",
    "batch_size=64",
    "evaluations=1",
    "seed=0",
    "precision=float32",
)
SMALL = (*DIGITS, "model=small_cnn", "model.width=8")
QUICK = ("model.layer_defaults=torch",)
"""A few dozen steps are too few for Keras's running averages, which forget a hundredth a step."""
STILL = ("augment=standard", "augment.flip=false", "augment.shift=0")
"""No augmentation, for experiments whose settings of augment=standard no other option has."""


def config_of(name: str, *words: str) -> dict[str, Any]:
    """A cell of an experiment, shrunken by words."""
    config = resolved(f"experiment={name}", *words)
    assert errors_of(config) == []
    return canonical(config, True)


def trained(folder: Path, name: str, *words: str) -> RunFolder:
    """The folder of such a cell, trained to its end."""
    number = len(list(folder.iterdir()))
    record = RunFolder(folder / str(number))
    for _ in train(RunConfig.of(config_of(name, *words)), record, {}):
        pass
    return record


def last(record: RunFolder, column: str) -> float:
    return float(rows_of(record)[-1][column])


def recall(record: RunFolder, classes: list[int]) -> float:
    """The mean part of these classes' test images that is recognised."""
    with (record.path / "confusion.csv").open() as file:
        counts = np.array([[int(value) for value in row[1:]] for row in list(csv.reader(file))[1:]])
    return float(np.mean([counts[c, c] / counts[c].sum() for c in classes]))


def probed(record: RunFolder, name: str) -> list[dict[str, str]]:
    with (record.path / f"probe_{name}.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.fixture
def blends(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Plan, torch.Size]]:
    """Every plan that the loop makes from now on, and the shape of the representation that it blends."""
    seen: list[tuple[Plan, torch.Size]] = []
    real = loop.forward_blended

    def watch(network: Any, images: Tensor, layer: str, blend: Callable[[Tensor], Tensor]) -> Tensor:
        def noted(x: Tensor) -> Tensor:
            seen.append((blend.__self__, x.shape))
            return blend(x)

        return real(network, images, layer, noted)

    monkeypatch.setattr(loop, "forward_blended", watch)
    return seen


# --- akira_final_layer ---


def test_manifold_layers_mixing_costs_training_loss_at_every_layer(tmp_path):
    words = (*SMALL, "augment=none", "epochs=6", "optimizer.lr=0.05")
    none = last(trained(tmp_path, "manifold_layers", *words, "mix=none"), "train_loss")
    for layer in ("input", "layer1", "layer3", "final", "random"):
        mixed = trained(tmp_path, "manifold_layers", *words, "mix=mixup", f"mix_layer={layer}", "alpha=2")
        assert last(mixed, "train_loss") > 1.5 * none, layer
        assert last(mixed, "accuracy") > 0.5, layer


def test_manifold_layer_sets_a_set_of_one_is_its_layer_and_the_empty_set_is_no_mixing(tmp_path):
    words = (*SMALL, *STILL, "epochs=1")
    sets = [("mix_layer=random", "mix_layer.layers=[layer2]"), ("mix_layer=layer2",)]
    first, second = (trained(tmp_path, "manifold_layer_sets", *words, *layers) for layers in sets)
    assert rows_of(first) == rows_of(second)
    assert len({run_id(config_of("manifold_layer_sets", *words, "mix=none", *layers)) for layers in sets}) == 1


def test_manifold_alpha_training_loss_rises_with_alpha(tmp_path):
    words = (*SMALL, *STILL, "epochs=6")
    runs = [
        trained(tmp_path, "manifold_alpha", *words, "mix_layer=random", f"alpha={alpha}") for alpha in (0.01, 0.5, 2)
    ]
    losses = [last(record, "train_loss") for record in runs]
    assert losses == sorted(losses) and losses[2] > 1.3 * losses[0]


def test_manifold_cifar_mixes_wide_networks_at_the_input_and_the_first_stage_alone(tmp_path, monkeypatch):
    drawn = []
    real = loop.forward_blended
    monkeypatch.setattr(loop, "forward_blended", lambda *arguments: (drawn.append(arguments[2]), real(*arguments))[1])
    wide = (
        "model=wide_resnet28_10",
        "model.depth=10",
        "model.widen=1",
        "mix_layer=random",
        "mix_layer.layers=[input,layer1]",
    )
    trained(tmp_path, "manifold_cifar", *DIGITS, *wide, "augment=none", "subset=head", "subset.n=500", "epochs=2")
    assert set(drawn) == {"input", "layer1"}
    drawn.clear()
    deep = (
        "model=preact_resnet34_plain",
        "mix_layer=random",
        "subset=head",
        "subset.n=60",
        "batch_size=10",
        "epochs=1",
    )
    trained(tmp_path, "manifold_cifar", *DIGITS, *deep, "augment=none")
    assert set(drawn) <= {"input", "layer1", "layer2"} and len(set(drawn)) > 1


def test_manifold_cifar_repository_starts_from_the_binary_cross_entropy_of_a_tenth(tmp_path):
    """An untrained network gives every class about 1/10: −0.1·log 0.1 − 0.9·log 0.9 a class, far from cross-entropy's
    log 10."""
    words = (*SMALL, *STILL, "steps=1")
    repository, paper = (trained(tmp_path, name, *words) for name in ("manifold_cifar_repository", "manifold_cifar"))
    assert last(repository, "train_loss") == pytest.approx(-0.1 * math.log(0.1) - 0.9 * math.log(0.9), rel=0.1)
    assert last(paper, "train_loss") == pytest.approx(math.log(10), rel=0.1)


def test_manifold_svhn_shifts_and_never_mirrors(tmp_path):
    words = (*SMALL, "augment=standard", "epochs=1")
    draws = build(config_of("manifold_svhn", *words)["augment"]).draw(np.random.default_rng(0), 1000)
    assert not draws["flip"].any() and set(draws["offset"].flatten()) == {0, 1, 2, 3, 4}
    assert last(trained(tmp_path, "manifold_svhn", *words, "mix=none", "epochs=10"), "accuracy") > 0.5


# --- koshian2_affinity ---

EVEN = [0, 2, 4, 6, 8]
KERAS = ("loss.batchnorm=true", "loss.init=keras_he")
"""How the grids start the affinity loss."""


def test_affinity_baselines_find_more_of_the_small_classes_than_softmax(tmp_path):
    words = (*SMALL, "imbalance.n=2", "imbalance.reduce_test=false", "epochs=8")
    softmax = recall(trained(tmp_path, "affinity_baselines", *words), EVEN)
    means = {
        "oversampling": ("sampling=oversample",),
        "SMOTE": ("sampling=oversample", "mix=smote"),
        "class weights": ("loss.class_weights=balanced",),
    }
    for name, means_words in means.items():
        assert recall(trained(tmp_path, "affinity_baselines", *words, *means_words), EVEN) > softmax + 0.05, name


def test_affinity_joint_trains_one_network_with_two_opinions(tmp_path):
    words = (*SMALL, *QUICK, "imbalance.n=20", "epochs=12")
    both = [trained(tmp_path, "affinity_joint", *words, f"loss.predicts={head}") for head in ("softmax", "affinity")]
    assert last(both[0], "train_loss") == last(both[1], "train_loss") and last(both[0], "test_loss") == last(
        both[1], "test_loss"
    )
    assert all(last(record, "accuracy") > 0.8 for record in both)
    assert (both[0].path / "confusion.csv").read_text() != (both[1].path / "confusion.csv").read_text()


def test_affinity_cifar10_augmented_makes_training_harder(tmp_path):
    words = (*SMALL, "loss.batchnorm=true", "imbalance.n=20", "epochs=8", "loss.sigma=90", "loss.margin=0.43")
    augmented, plain = (
        trained(tmp_path, "affinity_cifar10_augmented", *words, f"augment={name}") for name in ("standard", "none")
    )
    assert last(augmented, "train_loss") > 1.2 * last(plain, "train_loss")


def spread(points: np.ndarray, labels: np.ndarray) -> float:
    """The mean distance of a class's points from their centre, over the mean distance of two centres."""
    classes = np.unique(labels)
    centres = np.array([points[labels == c].mean(0) for c in classes])
    within = np.mean([np.linalg.norm(points[labels == c] - centres[i], axis=1).mean() for i, c in enumerate(classes)])
    between = np.mean([np.linalg.norm(a - b) for i, a in enumerate(centres) for b in centres[:i]])
    return within / between


def test_affinity_embedding_large_lambda_gives_compact_clouds(tmp_path):
    words = (*DIGITS, "imbalance.n=10", "epochs=30", "evaluations=2")
    spreads = {}
    for margin in (0.01, 0.75):
        rows = probed(
            trained(tmp_path, "affinity_embedding", *words, "loss.sigma=5", f"loss.margin={margin}", *KERAS), "features"
        )
        assert len({row["step"] for row in rows}) == 2 and {row["part"] for row in rows} == {"train", "test"}
        final = [row for row in rows if row["step"] == rows[-1]["step"] and row["part"] == "train"]
        points = np.array([[float(row["x"]), float(row["y"])] for row in final])
        spreads[margin] = spread(points, np.array([row["label"] for row in final]))
    assert spreads[0.75] < 0.8 * spreads[0.01]


def test_affinity_saddle_centres_of_one_place_part_under_adam(tmp_path):
    words = (*DIGITS, *QUICK, "loss.init=colliding", "imbalance.n=10", "optimizer.lr=1e-2", "keep_checkpoint=true")
    apart = {}
    for steps in (1, 200):
        record = trained(tmp_path, "affinity_saddle", *words, f"steps={steps}")
        centres = torch.load(record.path / "checkpoint.pt", weights_only=True)["network"]["head.1.centres"][:, 0]
        apart[steps] = ((centres[0] - centres[1]).norm() / torch.pdist(centres).mean()).item()
    assert apart[1] < 0.01 and apart[200] > 0.1


# --- koshian2_bc ---


def test_bc_paper_training_on_blends_is_harder_than_the_test(tmp_path):
    words = (*SMALL, "augment=none", "epochs=10", "evaluations=10", "optimizer.lr=0.02")
    none = trained(tmp_path, "bc_paper", *words, "mix=none", "loss=cross_entropy")
    assert last(none, "train_loss") < last(none, "test_loss") + 0.05
    for mix in ("bc", "bc_plus"):
        record = trained(tmp_path, "bc_paper", *words, f"mix={mix}", "loss=kl")
        assert last(record, "train_loss") > last(record, "test_loss") and last(record, "accuracy") > 0.8


def test_bc_mixing_methods_without_any_part_is_bc(tmp_path):
    words = (*SMALL, *STILL, "epochs=1")
    off = [f"mix.blend.{part}=false" for part in ("zero_mean", "normalise", "by_energy")]
    mixes = (("mix=bc",), ("mix=bc_plus", *off), ("mix=bc_plus",))
    bc, bare, plus = (trained(tmp_path, "bc_mixing_methods", *words, *mix) for mix in mixes)
    assert last(bare, "train_loss") == pytest.approx(last(bc, "train_loss"), rel=1e-4)
    assert abs(last(plus, "train_loss") - last(bc, "train_loss")) > 1e-3 * last(bc, "train_loss")


def test_bc_labels_one_label_is_the_larger_part_of_the_ratio(tmp_path, blends):
    words = (*SMALL, *STILL, "epochs=10", "optimizer.lr=0.02")
    multi = (
        "mix=bc_plus",
        "loss=binary_cross_entropy",
        "loss.of=sigmoid",
        "loss.target=present",
        "loss.over_classes=sum",
    )
    targets = []
    for mix in (("mix=bc_single", "loss=kl"), ("mix=bc_plus", "loss=kl"), multi):
        blends.clear()
        assert last(trained(tmp_path, "bc_labels", *words, *mix), "accuracy") > 0.8
        targets.append(torch.cat([plan.labels.to_one_hot(10) for plan, _ in blends]))
    single, ratio, both = targets
    assert torch.equal(ratio, both) and ((ratio > 0).sum(1) == 2).all()
    assert torch.equal(single.max(1).values, torch.ones(len(single))) and torch.equal(single.argmax(1), ratio.argmax(1))


@pytest.mark.parametrize(
    ("words", "numbers"),
    [
        (("mix=bc_same_class",), {1}),
        (("mix=bc_any_class",), {1, 2}),
        (("mix=bc_plus",), {2}),
        (("mix=bc_three", "mix.classes=[2,3]"), {2, 3}),
        (("mix=bc_three", "mix.classes=[3]"), {3}),
    ],
    ids=str,
)
def test_bc_classes_blends_have_as_many_classes_as_they_say(words, numbers, tmp_path, blends):
    trained(tmp_path, "bc_classes", *SMALL, *STILL, "epochs=1", "subset=head", "subset.n=640", *words)
    assert {n for plan, _ in blends for n in (plan.labels.to_one_hot(10) > 0).sum(1).tolist()} == numbers


def test_bc_where_blends_what_the_named_layer_makes(tmp_path, blends):
    words = (*DIGITS, *STILL, "steps=2", "subset=head", "subset.n=40", "batch_size=20")
    shapes = {
        "input": (1, 8, 8),
        "pool1": (64, 4, 4),
        "pool2": (128, 2, 2),
        "pool3": (256, 1, 1),
        "fc4": (1024,),
        "fc5": (1024,),
    }
    losses = set()
    for layer, shape in shapes.items():
        blends.clear()
        losses.add(
            last(trained(tmp_path, "bc_where", *words, "mix_layer=stage", f"mix_layer.layers=[{layer}]"), "test_loss")
        )
        assert [tuple(found) for _, found in blends] == [(20, *shape)] * 2
    assert len(losses) == len(shapes)


def test_bc_proposals_a_small_beta_leaves_images_nearly_alone_and_a_large_one_blends_them_half_and_half(
    tmp_path, blends
):
    words = (*SMALL, "epochs=6", "drop_last=false", "optimizer.lr=3e-3", "mix.ratio.fold=true")
    lam, loss = {}, {}
    for alpha in (0.2, 1, 20):
        blends.clear()
        loss[alpha] = last(trained(tmp_path, "bc_proposals", *words, f"mix.ratio.alpha={alpha}"), "train_loss")
        lam[alpha] = float(torch.cat([plan.weights[0] for plan, _ in blends]).mean())
    assert lam[0.2] > 0.85 > lam[1] > 0.7 > 0.65 > lam[20] > 0.5 and lam[1] == pytest.approx(0.75, abs=0.02)
    rates = rows_of(trained(tmp_path, "bc_proposals", *words, "schedule=cosine"))
    assert float(rates[-1]["lr"]) < 1e-5


# --- small_data_mixup ---


def test_small_data_doubts_classes_of_one_size_and_each_seed_its_own(tmp_path):
    words = (
        *(word for word in SMALL if word != "seed=0"),
        "augment=none",
        "subset.n=100",
        "steps=60",
        "optimizer.lr=0.05",
    )
    facts, loss = {}, {}
    for name, seed, mix in (
        ("balanced", 0, "none"),
        ("balanced", 1, "mixup"),
        ("head", 0, "none"),
        ("head", 1, "mixup"),
    ):
        record = trained(tmp_path, "small_data_doubts", *words, f"subset={name}", f"seed={seed}", f"mix={mix}")
        facts[name, seed] = json.loads((record.path / "environment.json").read_text())
        loss[name, mix] = last(record, "train_loss")
    assert all(loss[name, "none"] < loss[name, "mixup"] for name in ("balanced", "head"))
    counts, hashes = ({key: found[name] for key, found in facts.items()} for name in ("train_counts", "data_hash"))
    assert set(counts["balanced", 0]) == {10} and len(set(counts["head", 0])) > 1
    assert hashes["balanced", 0] != hashes["balanced", 1] and hashes["head", 0] == hashes["head", 1]


# --- suool_mixup_notes ---


@pytest.mark.parametrize("mix", ["mixup", "mixup_two_loaders"])
def test_mixup_formulations_both_losses_train_alike(mix, tmp_path):
    words = (*SMALL, "augment=none", "epochs=2", "optimizer.lr=0.02", "evaluations=2", f"mix={mix}")
    average, soft = (
        trained(tmp_path, "mixup_formulations", *words, f"loss={name}")
        for name in ("cross_entropy", "soft_cross_entropy")
    )
    for one, other in zip(rows_of(average), rows_of(soft), strict=True):
        assert float(one["train_loss"]) == pytest.approx(float(other["train_loss"]), rel=1e-3)
        assert float(one["test_loss"]) == pytest.approx(float(other["test_loss"]), rel=1e-2)


def test_mixup_formulations_a_second_loader_is_as_good_as_the_batch_shuffled(tmp_path, blends):
    """Its partners come from outside the batch, and the network learns as much from them."""
    words = (*SMALL, "augment=none", "epochs=12", "optimizer.lr=0.05")
    accuracy, outside = {}, {}
    for mix in ("mixup", "mixup_two_loaders"):
        blends.clear()
        accuracy[mix] = last(trained(tmp_path, "mixup_formulations", *words, f"mix={mix}"), "accuracy")
        outside[mix] = [bool((plan.rows[1] >= len(plan.rows[0])).all()) for plan, _ in blends]
    assert not any(outside["mixup"]) and all(outside["mixup_two_loaders"])
    assert min(accuracy.values()) > 0.9 and abs(accuracy["mixup"] - accuracy["mixup_two_loaders"]) < 0.05


@pytest.mark.parametrize(
    "model",
    [
        ("model=densenet_bc190", "model.depth=10", "model.growth=4"),
        ("model=wide_resnet28_10", "model.depth=10", "model.widen=1"),
    ],
    ids=" ".join,
)
def test_mixup_cifar_alpha_near_zero_is_erm(model, tmp_path):
    words = (*DIGITS, *model, "augment=none", "subset=head", "subset.n=300", "steps=4", "optimizer.lr=0.01")
    erm, nearly = (
        trained(tmp_path, "mixup_cifar", *words, *mix) for mix in (("mix=none",), ("mix=mixup", "alpha=0.001"))
    )
    mixed = trained(tmp_path, "mixup_cifar", *words, "mix=mixup", "alpha=100")
    gaps = [abs(last(record, "train_loss") - last(erm, "train_loss")) for record in (nearly, mixed)]
    assert gaps[0] < gaps[1]


def test_mixup_corrupted_labels_erm_learns_wrong_labels_and_mixup_does_not(tmp_path):
    words = (
        *DIGITS,
        "model=small_cnn",
        "model.width=16",
        "augment=none",
        "label_noise.rate=0.5",
        "subset=head",
        "subset.n=300",
    )
    words += ("epochs=60",)
    errors = {}
    for name, mix in (("erm", ("mix=none",)), ("mixup", ("mix=mixup", "alpha=32"))):
        rows = probed(trained(tmp_path, "mixup_corrupted_labels", *words, *mix), "training_error")
        errors[name] = {row["labels"]: float(row["error"]) for row in rows}
    assert errors["erm"]["corrupted"] < errors["mixup"]["corrupted"] - 0.3
    assert errors["mixup"]["corrupted"] > errors["mixup"]["real"] + 0.3


def test_mixup_ablation_what_each_row_does_to_the_training_loss(tmp_path):
    words = (*SMALL, "augment=none", "epochs=6", "optimizer.lr=0.05")
    cells = {
        "ERM": ("mix=none",),
        "smoothing": ("mix=none", "loss.label_smoothing=0.2"),
        "RP": ("mix=mixup",),
        "KNN": ("mix=mixup_knn", "mix.pairing.k=20"),
        "SC + RP": ("mix=mixup_same_class",),
        "SC + KNN": ("mix=mixup_knn_same_class", "mix.pairing.k=20"),
        "inputs": ("mix=input_only",),
        "inputs, KNN": ("mix=input_only_knn", "mix.pairing.k=20"),
        "noise": ("mix=none", "augment=noise", "augment.sigma=0.2", "augment.base.flip=false", "augment.base.shift=0"),
    }
    loss = {
        name: last(trained(tmp_path, "mixup_ablation", *words, *cell), "train_loss") for name, cell in cells.items()
    }
    assert min(loss[name] for name in ("smoothing", "RP", "inputs", "noise")) > 1.1 * loss["ERM"]
    assert loss["KNN"] < loss["RP"] and loss["inputs, KNN"] < loss["inputs"], "neighbours are mostly of one class"
    assert loss["SC + RP"] < loss["inputs"] and loss["SC + KNN"] < loss["inputs"], (
        "one class has no boundary to get wrong"
    )


def test_mixup_imagenet_runs_on_a_folder_of_images(tmp_path):
    """Three classes, a colour each, which a ResNet of torchvision's tells apart after a few steps of mixup."""
    rng = np.random.default_rng(0)
    for part, count in (("train", 16), ("test", 6)):
        for channel, name in enumerate(("blue", "green", "red")):
            folder = tmp_path / "data" / "pictures" / part / name
            folder.mkdir(parents=True)
            for k in range(count):
                image = torch.from_numpy(rng.random((3, 40, 48))).float() * 0.5
                image[2 - channel] += 0.5
                save_image(image, folder / f"{k}.png")
    words = (
        f"data_dir={tmp_path / 'data'}",
        "dataset.folder=pictures",
        "dataset.height=32",
        "dataset.width=32",
        "augment.shift=4",
    )
    words += (
        "batch_size=16",
        "epochs=6",
        "schedule.warmup_epochs=1",
        "optimizer.lr=0.01",
        "evaluations=1",
        "model.name=resnet18",
    )
    (tmp_path / "out").mkdir()
    record = trained(tmp_path / "out", "mixup_imagenet", *words, "mix=mixup")
    assert last(record, "accuracy") > 0.8 and last(record, "lr") == pytest.approx(0.01 * 0.1**3)
    with torch.device("meta"):
        body = build(
            config_of("mixup_imagenet", *words, "model.name=resnet50")["model"], in_channels=3, image_size=(224, 224)
        )
    assert sum(p.numel() for p in body.parameters()) + 2048 * 1000 + 1000 == 25_557_032, "torchvision's ResNet-50"

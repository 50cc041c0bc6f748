"""The images that a network is shown, against what the loop gave it and against the data set's own pixels."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
import torch
from PIL import Image
from probes import measured, refusals, subject_of
from running import config_of

from mixexp import train as loop
from mixexp.augment import Standard
from mixexp.probe.blends import LARGEST, MixedImages, _png, ratio_rows
from mixexp.training.folder import RunFolder
from mixexp.training.spec import RunConfig


def pixels_of(row):
    with Image.open(io.BytesIO(base64.b64decode(row["image"]))) as image:
        return np.asarray(image)


def given(monkeypatch, folder, words):
    """What the loop gives to its network in the first epoch: images after augmentation, and what each blend makes of
    them."""
    found, augmented = [], Standard.__call__

    def augment(self, images, draws, normalize):
        found.append([augmented(self, images, draws, normalize)])
        return found[-1][0]

    def forward(network, images, layer, apply):
        found[-1] += [apply(images).clone(), layer]
        return real(network, images, layer, apply)

    real = loop.forward_blended
    with monkeypatch.context() as patch:
        patch.setattr(Standard, "__call__", augment)
        patch.setattr(loop, "forward_blended", forward)
        for _ in loop.train(RunConfig.of(config_of(*words, "speed=eager", "epochs=1")), RunFolder(folder), {}):
            pass
    return found


@pytest.mark.parametrize("mix", ["mixup", "mixup_two_loaders", "bc", "none"])
def test_images_are_what_the_loop_trains_on(mix, monkeypatch, tmp_path):
    words = (
        "augment=standard",
        f"mix={mix}",
        "batch_size=20",
        "subset=balanced",
        "subset.n=50",
        *(["loss=kl"] if mix == "bc" else []),
    )
    subject = subject_of(*words)
    rows = measured(MixedImages(samples=50), subject)["mixed_images"]
    batches = given(monkeypatch, tmp_path, words)
    seen = torch.cat([blended for _, blended, _ in batches])
    expected = 255 * (seen * subject.normalize.std + subject.normalize.mean) + 127.5 * subject.normalize.zero_mean
    assert len(rows) == len(seen) == 50 and [row["sample"] for row in rows] == list(range(50))
    for row, image in zip(rows, expected, strict=True):
        np.testing.assert_array_equal(pixels_of(row), image[0].clamp(0, 255).round().numpy().astype(np.uint8))


def test_at_a_hidden_layer_they_are_the_first_parts_as_they_enter(monkeypatch, tmp_path):
    words = (
        "augment=standard",
        "mix=mixup",
        "mix_layer=random",
        "mix_layer.layers=[input,stage1,final]",
        "batch_size=10",
        "subset=balanced",
        "subset.n=60",
    )
    words = tuple(word.replace("stage1", next(iter(subject_of().network.body.stages))) for word in words)
    subject = subject_of(*words)
    rows = measured(MixedImages(samples=60), subject)["mixed_images"]
    batches = given(monkeypatch, tmp_path, words)
    assert [row["layer"] for row in rows[::10]] == [layer for *_, layer in batches] and len(
        {row["layer"] for row in rows}
    ) == 3
    for k, (entered, blended, layer) in enumerate(batches):
        image = (blended if layer == "input" else entered)[0]
        expected = (255 * (image * subject.normalize.std[0] + subject.normalize.mean[0])).clamp(0, 255).round()
        np.testing.assert_array_equal(pixels_of(rows[10 * k]), expected[0].numpy().astype(np.uint8))


def test_without_mixing_they_are_the_data_sets_own_pixels_and_labels():
    subject = subject_of("batch_size=10")
    chosen = next(iter(subject.mixed(0))).chosen
    rows = measured(MixedImages(samples=10), subject)["mixed_images"]
    for row, index in zip(rows, chosen.tolist(), strict=True):
        np.testing.assert_array_equal(pixels_of(row), subject.train.images[index, 0].numpy())
        assert row["labels"] == f"{subject.classes[subject.train.labels[index]]} 1"
        assert (row["clipped"], row["lam"], row["layer"]) == (0, 1.0, "")


def test_labels_tell_both_classes_with_their_weights_the_larger_first():
    subject = subject_of("mix=mixup", "mix.ratio.per=sample", "batch_size=64")
    rows = measured(MixedImages(samples=64), subject)["mixed_images"]
    plan = next(iter(subject.mixed(0))).plan
    for k, row in enumerate(rows):
        own, other = (subject.classes[int(labels[k])] for labels in plan.labels.labels)
        weights = {own: 0.0, other: 0.0}
        weights[own] += row["lam"]
        weights[other] += 1 - row["lam"]
        told = dict(zip(*[iter(row["labels"].replace(",", "").split())] * 2, strict=True))
        assert {name: float(weight) for name, weight in told.items()} == pytest.approx(
            {n: w for n, w in weights.items() if w > 0}, abs=0.006
        )
        assert list(map(float, told.values())) == sorted(map(float, told.values()), reverse=True)


def test_lam_are_those_of_the_whole_epoch():
    subject = subject_of("mix=mixup", "alpha=0.4", "mix.ratio.per=sample", "batch_size=100")
    found = measured(MixedImages(samples=3), subject)
    lam = [value for batch in subject.mixed(0) for value in batch.plan.weights[0].tolist()]
    assert found["ratio"] == ratio_rows(subject.mix, lam) and len(lam) == len(subject.train)
    drawn = [row["density"] for row in found["ratio"] if row["curve"] == "drawn"]
    assert np.mean(drawn) == pytest.approx(1) and drawn[0] > 2 * drawn[20], "near 0 and 1 for a small alpha"


def test_what_lies_outside_is_cut_off_and_told():
    subject = subject_of("augment=noise", "augment.sigma=0.5", "batch_size=10")
    rows = measured(MixedImages(samples=10), subject)["mixed_images"]
    assert all(0.2 < row["clipped"] < 0.8 for row in rows)


def test_large_images_are_made_smaller_so_that_any_reader_of_csv_takes_them():
    noise = torch.from_numpy(np.random.default_rng(0).uniform(0, 255, (3, 300, 200))).float()
    word = _png(noise)
    assert len(word) < 131_072
    assert pixels_of({"image": word}).shape == (LARGEST, round(200 * LARGEST / 300), 3)
    assert pixels_of({"image": _png(noise[:1, :20, :30])}).shape == (20, 30)


def test_only_images_are_shown():
    assert "kind is table" in refusals("probe=mixed_images", "dataset=iris", "model=mlp")[0]
    assert refusals("probe=mixed_images") == []

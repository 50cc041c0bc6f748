"""Accuracy on corrupted images: of a folder as CIFAR-10-C has it, image by image, and of torchvision's corruptions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from probes import measured, refusals, subject_of, trained_subject

from mixexp import calibration
from mixexp.corruptions import SEVERITIES, STRENGTHS, corrupted
from mixexp.probe.corruptions import BENCHMARK, Corruptions

SMALL = ("subset=balanced", "subset.n=100", "batch_size=50")
PER_SEVERITY = 6


@pytest.fixture(scope="module")
def subject(tmp_path_factory):
    return trained_subject(tmp_path_factory.mktemp("run"), "epochs=4", "model.width=8")[1]


@pytest.fixture
def folder(tmp_path) -> Path:
    """A folder in the format of CIFAR-10-C, of grey 8×8 images."""
    rng = np.random.default_rng(0)
    count = PER_SEVERITY * len(SEVERITIES)
    for name in ("fog", "snow"):
        np.save(tmp_path / f"{name}.npy", rng.integers(0, 256, (count, 8, 8, 1), dtype=np.uint8))
    np.save(tmp_path / "labels.npy", np.tile(rng.integers(0, 10, PER_SEVERITY), len(SEVERITIES)))
    return tmp_path


def test_a_folder_is_measured_severity_after_severity(folder, subject):
    found = measured(Corruptions(str(folder), ["snow", "fog"], [5, 2]), subject)
    rows = found["corruptions"]
    assert [(row["source"], row["corruption"], row["severity"]) for row in rows] == [
        ("folder", "none", 0),
        *(("folder", name, severity) for name in ("snow", "fog") for severity in (2, 5)),
    ]
    labels = np.load(folder / "labels.npy")
    subject.network.eval()
    for row in rows[1:]:
        images = np.load(folder / f"{row['corruption']}.npy")
        rights = []
        for k in range(PER_SEVERITY):
            place = (row["severity"] - 1) * PER_SEVERITY + k
            image = torch.from_numpy(images[place]).permute(2, 0, 1)[None]
            rights.append(subject.scores(image).argmax() == labels[place])
        assert row["images"] == PER_SEVERITY and row["accuracy"] == pytest.approx(np.mean(rights))
        assert row["error"] == pytest.approx(1 - row["accuracy"])
    (mean,) = found["corruptions_mean"]
    assert mean["corruptions"] == 2
    for name in ("accuracy", "error", "ece"):
        assert mean[name] == pytest.approx(np.mean([row[name] for row in rows[1:]]))


def test_a_sample_of_a_folder_is_of_the_same_images_at_every_severity(folder, subject, monkeypatch):
    taken = []
    real = type(subject).scores
    monkeypatch.setattr(type(subject), "scores", lambda self, images: taken.append(len(images)) or real(self, images))
    whole = np.load(folder / "fog.npy")
    np.save(folder / "snow.npy", np.tile(whole[:PER_SEVERITY], (len(SEVERITIES), 1, 1, 1)))
    rows = measured(Corruptions(str(folder), ["snow"], samples=4), subject)["corruptions"]
    assert taken == [4] * 6 and {row["images"] for row in rows} == {4}
    assert len({row["accuracy"] for row in rows[1:]}) == len({row["ece"] for row in rows[1:]}) == 1


def test_torchvisions_are_made_of_the_test_images(subject):
    found = measured(Corruptions(corruptions=["contrast", "gaussian_noise"], severities=[1, 5]), subject)
    rows = {(row["corruption"], row["severity"]): row for row in found["corruptions"]}
    images, labels = subject.test.images, subject.test.labels.numpy()
    subject.network.eval()
    for severity in (1, 5):
        made = corrupted(images, "contrast", severity, np.random.default_rng(0))
        p = calibration.probabilities_of(subject.scores(made))
        assert rows["contrast", severity]["accuracy"] == calibration.accuracy(p, labels)
        assert rows["contrast", severity]["ece"] == pytest.approx(calibration.ece(p, labels))
    plain = rows["none", 0]
    assert plain["accuracy"] == calibration.accuracy(calibration.probabilities_of(subject.scores(images)), labels)
    assert plain["accuracy"] >= rows["gaussian_noise", 1]["accuracy"] > rows["gaussian_noise", 5]["accuracy"]
    assert {row["source"] for row in found["corruptions"]} == {"torchvision"}


def test_all_are_measured_where_none_is_named_and_the_noise_is_that_of_every_run():
    probe = Corruptions(samples=20)
    first, second = (measured(probe, subject_of(*SMALL, f"seed={seed}")) for seed in (0, 0))
    assert first == second
    assert len(first["corruptions"]) == 1 + len(STRENGTHS) * len(SEVERITIES)
    assert Corruptions("x").names == list(BENCHMARK) and len(BENCHMARK) == 15


def test_float_images_are_corrupted_in_their_own_range():
    images = torch.rand(3, 1, 8, 8)
    (made,) = Corruptions()._corrupted(images, "brightness", 1)
    grey = (255 * images).round().to(torch.uint8)
    assert torch.equal(made, corrupted(grey, "brightness", 1, np.random.default_rng(0)))


WRONG = {
    "no folder": (lambda folder: folder.rename(folder.parent / "moved"), "there is no such folder; CIFAR-10-C is at"),
    "no labels": (lambda folder: (folder / "labels.npy").unlink(), r"it has no labels\.npy; there are fog, snow"),
    "another name": (lambda folder: (folder / "fog.npy").rename(folder / "fogg.npy"), "has no fog.npy.*mean 'fogg'"),
    "broken": (lambda folder: (folder / "fog.npy").write_bytes(b"no array"), "fog.npy cannot be read"),
    "objects": (lambda folder: np.save(folder / "fog.npy", np.array([{}]), allow_pickle=True), "cannot be read"),
    "floats": (lambda folder: np.save(folder / "fog.npy", np.zeros((30, 8, 8, 1))), r"float64 \[30, 8, 8, 1\]"),
    "another size": (
        lambda folder: np.save(folder / "fog.npy", np.zeros((30, 32, 32, 3), np.uint8)),
        r"fog.npy is uint8 \[30, 32, 32, 3\]; the run's data set and labels.npy need uint8 \[30, 8, 8, 1\]",
    ),
    "labels of fewer": (
        lambda folder: np.save(folder / "labels.npy", np.zeros(25, int)),
        r"need uint8 \[25, 8, 8, 1\]",
    ),
    "no fifths": (lambda folder: np.save(folder / "labels.npy", np.zeros(31, int)), "a fifth for each severity"),
    "labels in floats": (lambda folder: np.save(folder / "labels.npy", np.zeros(30)), "whole numbers"),
    "other classes": (lambda folder: np.save(folder / "labels.npy", np.full(30, 10)), r"10\.\.10, expected 0\.\.9"),
}


@pytest.mark.parametrize("harm", WRONG)
def test_a_folder_that_does_not_fit_is_refused_before_the_run(harm, folder):
    do, said = WRONG[harm]
    do(folder)
    (line,) = refusals("probe=corruptions", f"probe.folder={folder}", "probe.corruptions=[fog,snow]")
    assert line.startswith(f"probe.folder = {folder}: ")
    with pytest.raises(AssertionError, match=said):
        raise AssertionError(line)


def test_a_folder_that_fits_is_not_refused(folder):
    assert refusals("probe=corruptions", f"probe.folder={folder}", "probe.corruptions=[fog,snow]") == []


def test_other_wrong_settings_are_refused():
    assert (
        "'fog' is none; those of CIFAR-10-C need probe.folder"
        in refusals("probe=corruptions", "probe.corruptions=[fog]")[0]
    )
    assert "Did you mean 'contrast'" in refusals("probe=corruptions", "probe.corruptions=[contrst]")[0]
    assert "kind is table" in refusals("probe=corruptions", "dataset=iris")[0]
    assert "probe.severities" in refusals("probe=corruptions", "probe.severities=[6]")[0]

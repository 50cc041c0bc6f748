"""Detection of other images: the two numbers against pairs and thresholds one by one and scikit-learn's curve, the
images as the network is given them, and what is refused."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from probes import measured, probe_of, refusals, subject_of, trained_subject
from sklearn.metrics import roc_auc_score, roc_curve

from mixexp.dataset import Dataset, Splits
from mixexp.probe.out_of_distribution import OutOfDistribution, auroc, converted, energy, fpr95, max_softmax, noise_of

SMALL = ("subset=balanced", "subset.n=100", "batch_size=50")


class Pictures(Dataset):
    """A few pictures of any shape; the value of each is its number."""

    def __init__(self, channels: int = 3, side: int = 12, count: int = 7, kind: str = "image") -> None:
        self.channels, self.side, self.count, self.kind = channels, side, count, kind

    def load(self) -> Splits:
        images = torch.arange(self.count, dtype=torch.uint8)[:, None, None, None]
        images = images.expand(-1, self.channels, self.side, self.side).contiguous()
        labels = torch.arange(self.count) % 2
        return Splits(images, labels, images, labels, ("even", "odd"))


def naive_auroc(inside, outside):
    won = sum(1.0 if a > b else 0.5 if a == b else 0.0 for a in inside for b in outside)
    return won / (len(inside) * len(outside))


def naive_fpr95(inside, outside):
    for threshold in sorted(set(inside), reverse=True):
        if 100 * sum(a >= threshold for a in inside) >= 95 * len(inside):
            return sum(b >= threshold for b in outside) / len(outside)
    raise AssertionError


SIDES = {
    "apart": (np.arange(40.0) + 100, np.arange(30.0)),
    "mixed": (np.random.default_rng(0).normal(1, 1, 200), np.random.default_rng(1).normal(0, 1, 77)),
    "tied": (
        np.random.default_rng(2).integers(0, 4, 60).astype(float),
        np.random.default_rng(3).integers(0, 4, 50) * 1.0,
    ),
    "equal": (np.ones(20), np.ones(9)),
    "one": (np.array([0.5]), np.array([0.5, 0.4, 0.6])),
    "worst": (np.zeros(5), np.ones(8)),
}


@pytest.mark.parametrize("sides", SIDES)
def test_both_numbers_are_those_of_loops_and_of_scikit_learn(sides):
    inside, outside = SIDES[sides]
    assert auroc(inside, outside) == pytest.approx(naive_auroc(inside, outside))
    assert fpr95(inside, outside) == naive_fpr95(inside.tolist(), outside.tolist())
    labels, scores = np.r_[np.ones(len(inside)), np.zeros(len(outside))], np.r_[inside, outside]
    assert auroc(inside, outside) == pytest.approx(roc_auc_score(labels, scores))
    false, true, _ = roc_curve(labels, scores, drop_intermediate=False)
    assert fpr95(inside, outside) == pytest.approx(false[true >= 0.95 - 1e-12][0])


def test_their_limits():
    assert (auroc(*SIDES["apart"]), fpr95(*SIDES["apart"])) == (1, 0)
    assert (auroc(*SIDES["equal"]), fpr95(*SIDES["equal"])) == (0.5, 1)
    assert (auroc(*SIDES["worst"]), fpr95(*SIDES["worst"])) == (0, 1)
    twenty = np.arange(20.0)
    assert fpr95(twenty, np.array([1.0])) == 1, "19 of 20 are 95 % exactly"
    assert fpr95(twenty, np.array([0.5])) == 0


def test_the_detectors_are_loops_over_classes():
    scores = np.random.default_rng(4).normal(size=(30, 5)) * 3
    for row, sure, free in zip(scores.tolist(), max_softmax(scores), energy(scores), strict=True):
        total = sum(math.exp(z) for z in row)
        assert sure == pytest.approx(math.exp(max(row)) / total) and free == pytest.approx(math.log(total))


def test_noise_is_what_it_is_called_and_the_same_again():
    drawn = {kind: torch.cat(list(noise_of(kind, 1200, (1, 8, 8)))) for kind in ("gaussian", "uniform")}
    assert drawn["gaussian"].shape == (1200, 1, 8, 8) and drawn["gaussian"].dtype == torch.float32
    # a normal value of mean 0.5 and deviation 1 is below 0 with probability 0.3085, and as often above 1
    assert (drawn["gaussian"] == 0).float().mean().item() == pytest.approx(0.3085, abs=0.01)
    assert (drawn["gaussian"] == 1).float().mean().item() == pytest.approx(0.3085, abs=0.01)
    assert drawn["uniform"].std().item() == pytest.approx(1 / math.sqrt(12), abs=0.005)
    again = torch.cat(list(noise_of("uniform", 700, (1, 8, 8))))
    assert torch.equal(again, drawn["uniform"][:700]), "the batches do not change the numbers"


@pytest.mark.parametrize("size", [(20, 30), (8, 8), (5, 7)])
def test_pictures_are_sized_and_coloured_as_pillow_does(size):
    rng = np.random.default_rng(5)
    smooth = np.kron(rng.integers(40, 215, (2, 2, 3)), np.ones((16, 16, 1)))[: size[0], : size[1]].astype(np.uint8)
    image = Image.fromarray(smooth)
    theirs = ImageOps.fit(image, (8, 8), Image.Resampling.BILINEAR)
    ours = converted(torch.from_numpy(smooth).permute(2, 0, 1)[None], (3, 8, 8))[0]
    assert ours.shape == (3, 8, 8) and ours.dtype == torch.float32
    assert np.abs(255 * ours.permute(1, 2, 0).numpy() - np.asarray(theirs, dtype=float)).mean() < 6
    grey = converted(torch.from_numpy(smooth).permute(2, 0, 1)[None], (1, *size))[0, 0]
    for y, x in ((0, 0), (3, 4)):
        red, green, blue = smooth[y, x].tolist()
        assert 255 * grey[y, x].item() == pytest.approx(0.299 * red + 0.587 * green + 0.114 * blue, abs=0.1)


def test_grey_pictures_get_three_equal_channels_and_what_fits_stays():
    images = torch.randint(0, 256, (3, 1, 8, 8), dtype=torch.uint8)
    three = converted(images, (3, 8, 8))
    assert torch.equal(three[:, 0], three[:, 2]) and torch.equal(three[:, :1], images / 255)
    assert torch.equal(converted(images / 255, (1, 8, 8)), images / 255)


def test_a_trained_network_is_surer_of_its_own_images_than_of_noise(tmp_path):
    _, subject = trained_subject(tmp_path, "epochs=6", "model.width=8")
    rows = measured(OutOfDistribution(["gaussian", "uniform"], self_=Pictures()), subject)["out_of_distribution"]
    assert [(row["other"], row["score"]) for row in rows] == [
        (other, score) for other in ("gaussian_noise", "uniform_noise", "self_") for score in ("max_softmax", "energy")
    ]
    assert all(row["in_images"] == len(subject.test) for row in rows)
    assert [row["out_images"] for row in rows[::2]] == [len(subject.test)] * 2 + [7]
    subject.network.eval()
    by_hand = subject.scores(255 * torch.cat(list(noise_of("uniform", len(subject.test), (1, 8, 8)))))
    own = subject.scores(subject.test.images)
    assert rows[2]["auroc"] == pytest.approx(naive_auroc(max_softmax(own), max_softmax(by_hand)))
    assert rows[2]["auroc"] > 0.8


def test_a_sample_is_fixed_and_of_both_sides():
    subject = subject_of(*SMALL)
    probe = OutOfDistribution(["uniform"], 5, more=Pictures(1, 8))
    rows = measured(probe, subject)["out_of_distribution"]
    assert {(row["in_images"], row["out_images"]) for row in rows} == {(5, 5)}
    assert measured(probe, subject)["out_of_distribution"] == rows


def test_a_data_set_is_an_option_of_its_group_under_a_name():
    words = ("probe=out_of_distribution", "probe.noise=[]", "+dataset@probe.again=digits")
    assert refusals(*words) == []
    subject = subject_of(*SMALL)
    rows = measured(probe_of(*words), subject)["out_of_distribution"]
    assert {row["other"] for row in rows} == {"again"}
    assert all(row["auroc"] == pytest.approx(0.5) for row in rows), "the same images"


def test_what_cannot_be_detected_is_refused_before_the_run():
    assert "+dataset@probe.NAME=OPTION" in refusals("probe=out_of_distribution", "probe.noise=[]")[0]
    assert "kind is table" in refusals("probe=out_of_distribution", "dataset=iris")[0]
    iris = refusals("probe=out_of_distribution", "+dataset@probe.flowers=iris")
    assert iris == ["probe.flowers: it needs a data set of images, and this one's kind is table"]
    absent = ("+dataset@probe.mnist=mnist", "probe.mnist.data_dir=/nowhere", "probe.mnist.download=false")
    (missing,) = refusals("probe=out_of_distribution", *absent)
    assert missing.startswith("probe.mnist: MNIST: these files are missing in /nowhere")
    assert "probe.noise" in refusals("probe=out_of_distribution", "probe.noise=[pink]")[0]
    with pytest.raises(ValueError, match="is that of noise"):
        OutOfDistribution(["uniform"], uniform_noise=Pictures())
    facts = type("Facts", (), {"require_image": lambda *_: None, "shape": (3, 8, 8)})()
    with pytest.raises(ValueError, match=r"probe\.two: its images have 2 channels and the run's 3"):
        OutOfDistribution(two=Pictures(2)).check(facts)

"""Attacks: against autograd by hand, bounded and clipped, and stronger than noise."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from probes import csv_rows, measured, refusals, trained_subject
from running import trained

from mixexp.probe.fgsm import Fgsm


@pytest.fixture(scope="module")
def victim(tmp_path_factory):
    """A trained network and its run's folder."""
    return trained_subject(tmp_path_factory.mktemp("victim"), "epochs=6", "model.width=8")


def by_hand(subject, images, labels, epsilon, steps):
    """The attack written out with backward() in units of 0..1, image after image."""
    mean, std = subject.normalize.mean, subject.normalize.std
    found = []
    for image, label in zip(images, labels, strict=True):
        plain = image[None].double() / 255
        x = plain.clone()
        for _ in range(steps):
            x = x.clone().requires_grad_()
            F.cross_entropy(subject.network(((x.float()) - mean) / std), label[None]).backward()
            x = (x + epsilon / 255 / steps * x.grad.sign()).detach()
            x = torch.minimum(torch.maximum(x, plain - epsilon / 255), plain + epsilon / 255).clamp(0, 1)
        found.append(x)
    subject.network.zero_grad()
    return torch.cat(found) * 255


@pytest.mark.parametrize("steps", [1, 4])
def test_examples_are_those_of_autograd_by_hand(victim, steps):
    subject = victim[1]
    images, labels = subject.test.images[:12], subject.test.labels[:12]
    ours = Fgsm([8]).examples(subject, images, labels, 8, steps)
    theirs = by_hand(subject, images, labels, 8, steps)
    alike = ((ours - theirs).abs() < 1e-2).float().mean()
    assert alike > 0.99, "but for gradients so near 0 that rounding decides their sign"


def test_they_stay_in_the_range_of_images_and_near_the_image(victim):
    subject = victim[1]
    images = subject.test.images[:100]
    for steps in (1, 10):
        found = Fgsm([4]).examples(subject, images, subject.test.labels[:100], 4, steps)
        assert found.min() >= 0 and found.max() <= 255
        assert (found - images.float()).abs().max() <= 4 + 1e-4
        moved = (found - images.float()).abs() > 3.99
        inner = (images >= 4) & (images <= 251)
        assert moved[inner].float().mean() > 0.9 if steps == 1 else moved.any()


def test_every_gradient_of_the_weights_stays_unset(victim):
    subject = victim[1]
    subject.network.zero_grad(set_to_none=True)
    measured(Fgsm([4], samples=50), subject)
    assert all(p.grad is None for p in subject.network.parameters())


def test_no_reach_is_the_clean_error_and_more_reach_hurts_more(victim):
    subject = victim[1]
    (rows,) = measured(Fgsm([0, 4, 16]), subject).values()
    found = {(row["attack"], row["epsilon"]): row["error"] for row in rows}
    with torch.no_grad():
        outputs = subject.network.eval()(subject.inputs(subject.test.images))
    clean = (outputs.argmax(1) != subject.test.labels).float().mean().item()
    assert found["none", 0] == found["fgsm", 0] == found["i_fgsm", 0] == pytest.approx(clean)
    assert clean < found["fgsm", 4] < found["fgsm", 16]
    assert found["i_fgsm", 16] >= found["fgsm", 16] - 0.02
    top5 = (outputs.topk(5).indices != subject.test.labels[:, None]).all(1).float().mean().item()
    assert rows[0]["error_top5"] == pytest.approx(top5)


def test_noise_of_the_same_size_hurts_less(victim):
    subject = victim[1]
    (rows,) = measured(Fgsm([16]), subject).values()
    signs = torch.from_numpy(np.random.default_rng(0).choice([-16.0, 16.0], subject.test.images.shape)).float()
    noisy = (subject.test.images + signs).clamp(0, 255)
    with torch.no_grad():
        error = (subject.network.eval()(subject.inputs(noisy)).argmax(1) != subject.test.labels).float().mean().item()
    assert error < rows[1]["error"] / 2


def test_images_in_their_own_units_are_attacked_alike(victim):
    subject = victim[1]

    class Float:
        """The same network behind images in 0..1."""

        outputs, loss = staticmethod(subject.outputs), subject.loss

        @staticmethod
        def inputs(images):
            return subject.inputs(images * 255)

    images, labels = subject.test.images[:20], subject.test.labels[:20]
    ours = Fgsm([4]).examples(Float, images.float() / 255, labels, 4, 1) * 255
    theirs = Fgsm([4]).examples(subject, images, labels, 4, 1)
    assert ((ours - theirs).abs() < 1e-2).float().mean() > 0.99


def test_a_black_box_attack_uses_the_other_networks_gradient(victim, tmp_path):
    folder, source = victim
    words = ("epochs=6", "model.width=8", "seed=1")
    record = trained(
        tmp_path, *words, "probe=fgsm", f"probe.source={folder}", "probe.epsilon=[16]", "keep_checkpoint=true"
    )
    rows = {row["attack"]: row for row in csv_rows(record.path / "probe_fgsm_black_box.csv")}
    other = source.other(str(tmp_path))
    images, labels = other.test.images, other.test.labels
    made = Fgsm([16]).examples(source, images, labels, 16, 1)
    with torch.no_grad():
        expected = (other.network(other.inputs(made)).argmax(1) != labels).float().mean().item()
    assert rows["fgsm"]["error"] == pytest.approx(expected, abs=1e-6)
    (white,) = measured(Fgsm([16]), other).values()
    assert rows["fgsm"]["error"] < white[1]["error"], "examples made on another network hurt less"
    assert not torch.equal(other.test.images, made)


def test_a_source_has_to_be_a_finished_run_on_the_same_data_with_weights(victim, tmp_path):
    folder, _ = victim
    plain = trained(tmp_path / "plain", "epochs=1")
    other = trained(tmp_path / "other", "epochs=1", "dataset.test_fraction=0.3", "keep_checkpoint=true")

    def said(source) -> str:
        return " ".join(refusals("probe=fgsm", f"probe.source='{source}'"))

    assert said(folder) == ""
    assert "no folder of a run" in said(tmp_path / "nowhere")
    assert "keep=last" in said(plain.path)
    assert "another data set" in said(other.path)


def test_only_images_can_be_attacked():
    assert "kind is table" in refusals("probe=fgsm", "dataset=iris")[0]

"""Every option of the loss group: values against per-sample loops, the articles' tables, limits and gradients."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf
from running import about, composed, names, option, raw_option
from torch import Tensor, nn

from mixexp.build import build, locate
from mixexp.labels import MixedLabels
from mixexp.loss import Loss
from mixexp.loss.affinity import Affinity, AffinityHead, Joint
from mixexp.loss.binary_cross_entropy import BinaryCrossEntropy, log_rest
from mixexp.loss.class_dependent_temperatures import ClassDependentTemperatures
from mixexp.loss.cross_entropy import KL, CrossEntropy, SoftCrossEntropy, make_class_weights
from mixexp.loss.focal import Focal
from mixexp.loss.label_aware_smoothing import LabelAwareSmoothing
from mixexp.loss.ldam import LDAM, CosineHead
from mixexp.loss.logit_adjustment import LogitAdjustment

pytestmark = pytest.mark.fast
NAMES, MIXES = names("loss"), names("mix")
COUNTS = np.array([50, 10, 30, 10, 20])
CLASSES = len(COUNTS)


def loss_of(name: str, counts: np.ndarray = COUNTS, **changes: Any) -> Loss:
    node = option("loss", name)
    assert changes.keys() <= node.keys()
    return build(node | changes, class_counts=counts)


def mix_of(name: str) -> Any:
    config = composed("mix", name)
    config.alpha = 0.7
    return build(OmegaConf.to_container(config.mix, resolve=True))


@functools.cache
def mixed_by(name: str, count: int) -> MixedLabels | None:
    """Labels as a mix makes them of so many images; None where validate refuses it of so few."""
    labels = torch.from_numpy(np.random.default_rng(count).integers(CLASSES, size=count))
    mix = mix_of(name)
    try:
        mix.check(labels.bincount().numpy())
    except ValueError:
        return None
    mix.prepare(torch.arange(count).view(-1, 1, 1, 1), labels)
    samples = count * (2 // mix.source_images(2))
    draws = {
        key: torch.from_numpy(values)
        for key, values in mix.draw(0, 0, np.arange(count), mix.source_images(samples), samples).items()
    }
    return mix.plan(torch.cat([labels, labels[draws["external"]]]) if mix.external else labels, draws).labels


def outputs_of(loss: Loss, count: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    """What the loss's own head makes of random features."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        head = loss.head(6, CLASSES).eval()
        return head(2 * torch.randn(count, 6)).detach().to(dtype)


def labels_of(count: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> MixedLabels:
    rng = np.random.default_rng(seed)
    first, second = (torch.from_numpy(rng.integers(CLASSES, size=count)) for _ in range(2))
    weight = torch.from_numpy(rng.random(count)).to(dtype)
    weight[:2] = torch.tensor([0.0, 1.0])[:count]
    return MixedLabels((first, second), (weight, 1 - weight))


def log_softmax(row: list[float]) -> list[float]:
    top = max(row)
    return [z - top - math.log(sum(math.exp(other - top) for other in row)) for z in row]


def naive_weight(loss: Any, label: int) -> float:
    return 1.0 if loss.weights is None else loss.weights[label].item()


def naive_cross_entropy(loss: CrossEntropy, row: list[float], target: list[float]) -> float:
    epsilon = loss.label_smoothing
    smooth = [(1 - epsilon) * t + epsilon / len(target) for t in target]
    return -sum(
        naive_weight(loss, c) * t * log_p for c, (t, log_p) in enumerate(zip(smooth, log_softmax(row), strict=True))
    )


def naive_kl(loss: KL, row: list[float], target: list[float]) -> float:
    return sum(t * (math.log(t) - log_p) for t, log_p in zip(target, log_softmax(row), strict=True) if t > 0)


def average_of(one: Callable[[Any, list[float], int], float]) -> Callable[[Any, list[float], list[float]], float]:
    """The loss that takes the average over the labels of a mixed target."""
    return lambda loss, row, target: sum(t * one(loss, row, y) for y, t in enumerate(target) if t > 0)


def naive_focal(loss: Focal, row: list[float], label: int) -> float:
    log_p = log_softmax(row)[label]
    return -naive_weight(loss, label) * (1 - math.exp(log_p)) ** loss.gamma * log_p


def naive_affinity(loss: Affinity, row: list[float], label: int) -> float:
    return sum(max(0.0, loss.margin + other - row[label]) for j, other in enumerate(row) if j != label)


def naive_soft_cross_entropy(loss: SoftCrossEntropy, row: list[float], target: list[float]) -> float:
    return -sum(t * log_p for t, log_p in zip(target, log_softmax(row), strict=True))


def naive_binary_cross_entropy(loss: BinaryCrossEntropy, row: list[float], target: list[float]) -> float:
    p = [math.exp(z) for z in log_softmax(row)] if loss.of == "softmax" else [1 / (1 + math.exp(-z)) for z in row]
    wanted = target if loss.target == "mixed" else [float(t > 0) for t in target]
    values = [-t * math.log(q) - (1 - t) * math.log(1 - q) for t, q in zip(wanted, p, strict=True)]
    return sum(values) / (len(values) if loss.over_classes == "mean" else 1)


def naive_joint(loss: Joint, row: list[float], target: list[float]) -> float:
    half = len(row) // 2
    affinity = average_of(naive_affinity)(loss.affinity, row[half:], target)
    return naive_soft_cross_entropy(loss, row[:half], target) + loss.weight * affinity


def naive_ldam(loss: LDAM, row: list[float], label: int) -> float:
    counts = COUNTS.tolist()
    margin = 0.5 * min(counts) ** 0.25 / counts[label] ** 0.25
    scaled = [30 * (cosine - margin * (c == label)) for c, cosine in enumerate(row)]
    return -naive_weight(loss, label) * log_softmax(scaled)[label]


def naive_logit_adjustment(loss: LogitAdjustment, row: list[float], label: int) -> float:
    """The softmax in which class c counts n_c times (Ren et al. 2020)."""
    top = max(row)
    shares = [count * math.exp(z - top) for count, z in zip(COUNTS.tolist(), row, strict=True)]
    return -math.log(shares[label] / sum(shares))


def naive_temperatures(loss: ClassDependentTemperatures, row: list[float], label: int) -> float:
    counts = COUNTS.tolist()
    return -log_softmax([z / (max(counts) / count) ** 0.2 for z, count in zip(row, counts, strict=True)])[label]


def naive_label_aware(loss: LabelAwareSmoothing, row: list[float], label: int) -> float:
    counts = COUNTS.tolist()
    rank = (counts[label] - min(counts)) / (max(counts) - min(counts))
    epsilon = 0.3 * math.sin(math.pi / 2 * rank)
    log_p = log_softmax(row)
    target = [epsilon / CLASSES + (1 - epsilon) * (c == label) for c in range(CLASSES)]
    return -sum(t * log for t, log in zip(target, log_p, strict=True))


NAIVE = {
    CrossEntropy: naive_cross_entropy,
    SoftCrossEntropy: naive_soft_cross_entropy,
    BinaryCrossEntropy: naive_binary_cross_entropy,
    Joint: naive_joint,
    KL: naive_kl,
    Focal: average_of(naive_focal),
    Affinity: average_of(naive_affinity),
    LDAM: average_of(naive_ldam),
    LogitAdjustment: average_of(naive_logit_adjustment),
    ClassDependentTemperatures: average_of(naive_temperatures),
    LabelAwareSmoothing: average_of(naive_label_aware),
}
VARIANTS: list[tuple[str, dict[str, Any]]] = [
    *((name, {}) for name in NAMES),
    ("cross_entropy", {"label_smoothing": 0.3}),
    ("cross_entropy", {"class_weights": "balanced"}),
    ("cross_entropy", {"class_weights": [1, 2, 0, 0.5, 3], "label_smoothing": 0.1}),
    ("focal", {"gamma": 0.5, "class_weights": "balanced"}),
    ("focal", {"gamma": 0}),
    ("affinity", {"margin": 0.01, "sigma": 90}),
    ("affinity", {"centres": 3, "sigma": 2, "batchnorm": True}),
    *(
        ("binary_cross_entropy", {"of": of, "target": target, "over_classes": over})
        for of in ("softmax", "sigmoid")
        for target in ("mixed", "present")
        for over in ("mean", "sum")
    ),
    ("joint", {"weight": 0.3, "predicts": "softmax"}),
    ("ldam", {"class_weights": "effective_number", "beta": 0.99}),
]


@pytest.mark.parametrize(
    ("name", "changes"), [v for v in VARIANTS if locate(raw_option("loss", v[0])["_target_"]) in NAIVE], ids=str
)
def test_against_a_loop(name: str, changes: dict[str, Any]) -> None:
    loss = loss_of(name, **changes)
    outputs, labels = outputs_of(loss, 40), labels_of(40)
    plain = MixedLabels(labels.labels[:1])
    for record in (labels, plain):
        expected = []
        for i, row in enumerate(outputs.double().tolist()):
            target = [0.0] * CLASSES
            for y, weight in zip(record.labels, record.weights or [torch.ones(40)], strict=True):
                target[y[i]] += weight[i].item()
            expected.append(NAIVE[type(loss)](loss, row, target))
        torch.testing.assert_close(loss(outputs, record), torch.tensor(expected), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("mix", MIXES)
def test_what_a_mix_makes_is_accepted_by_every_loss(mix: str) -> None:
    for name, changes in VARIANTS:
        loss = loss_of(name, **changes)
        for count in (1, 2, 7):
            with about(name, changes, count):
                accepts(loss, mixed_by(mix, count))


@pytest.mark.parametrize(("name", "changes"), VARIANTS, ids=str)
def test_a_loss_accepts_what_mixes_make(name: str, changes: dict[str, Any]) -> None:
    """One mix a way of labelling; the test above has all of them."""
    for mix in ("none", "mixup", "bc_three", "bc_single"):
        with about(mix):
            labels = mixed_by(mix, 7)
            assert labels is not None
            accepts(loss_of(name, **changes), labels)


def accepts(loss: Loss, labels: MixedLabels | None) -> None:
    """See that a loss and its gradients are finite, and each sample's its own, unless validate refuses the pair."""
    if labels is None or (labels.weights and not loss.accepts_mixed):
        return
    outputs = outputs_of(loss, len(labels.labels[0])).requires_grad_()
    losses = loss(outputs, labels)
    assert losses.shape == (len(outputs),) and losses.dtype == torch.float32 and losses.isfinite().all()
    (losses.mean() + loss.penalty(loss.head(6, CLASSES))).backward()
    assert outputs.grad.isfinite().all() and outputs.grad.any()
    one_by_one = [loss(outputs[i : i + 1], row(labels, i)) for i in range(len(outputs))]
    torch.testing.assert_close(torch.cat(one_by_one), losses)


def row(labels: MixedLabels, i: int) -> MixedLabels:
    return MixedLabels(*(tuple(values[i : i + 1] for values in part) for part in (labels.labels, labels.weights)))


@pytest.mark.parametrize(("name", "changes"), VARIANTS, ids=str)
def test_the_two_labels_can_change_places(name: str, changes: dict[str, Any]) -> None:
    loss, labels = loss_of(name, **changes), labels_of(20)
    outputs = outputs_of(loss, 20)
    swapped = MixedLabels(labels.labels[::-1], labels.weights[::-1])
    torch.testing.assert_close(loss(outputs, labels), loss(outputs, swapped))
    same = MixedLabels((labels.labels[0],) * 2, labels.weights)
    torch.testing.assert_close(loss(outputs, same), loss(outputs, MixedLabels(labels.labels[:1])))


def gap_to_average(loss: Loss) -> Tensor:
    """Loss of the mixed labels less the average of the two labels' losses."""
    outputs, labels = outputs_of(loss, 50), labels_of(50)
    first, second = loss(outputs, MixedLabels(labels.labels[:1])), loss(outputs, MixedLabels(labels.labels[1:]))
    return loss(outputs, labels) - (labels.weights[0] * first + labels.weights[1] * second)


@pytest.mark.parametrize(("name", "changes"), VARIANTS, ids=str)
def test_a_loss_declared_linear_equals_the_average_form(name: str, changes: dict[str, Any]) -> None:
    loss = loss_of(name, **changes)
    assert isinstance(loss.linear_in_target, bool)
    if loss.linear_in_target or not isinstance(loss, KL | BinaryCrossEntropy):
        torch.testing.assert_close(gap_to_average(loss), torch.zeros(50), rtol=0, atol=1e-5)


def test_the_losses_declared_not_linear_are_not() -> None:
    """KL lacks the label's entropy; focal loss of the soft label's probability is not the average that it takes."""
    kl, focal, labels = loss_of("kl"), loss_of("focal"), labels_of(50)
    assert not kl.linear_in_target and gap_to_average(kl).abs().max() > 0.1
    outputs = outputs_of(focal, 50)
    q = (labels.to_one_hot(CLASSES) * outputs.softmax(1)).sum(1)
    assert not focal.linear_in_target and (focal(outputs, labels) + (1 - q) ** 2 * q.log()).abs().max() > 0.1
    assert not loss_of("affinity").linear_in_target


def test_both_formulations_of_mixups_loss_are_equal() -> None:
    """The blend of two losses and the loss of the blended label: same values, same gradients."""
    average, soft, labels = loss_of("cross_entropy"), loss_of("soft_cross_entropy"), labels_of(30)
    outputs = outputs_of(average, 30).requires_grad_()
    torch.testing.assert_close(average(outputs, labels), -(labels.to_one_hot(CLASSES) * outputs.log_softmax(1)).sum(1))
    torch.testing.assert_close(average(outputs, labels), soft(outputs, labels))
    gradients = [torch.autograd.grad(loss(outputs, labels).sum(), outputs)[0] for loss in (average, soft)]
    torch.testing.assert_close(*gradients)
    assert average.linear_in_target and soft.linear_in_target


@pytest.mark.parametrize("target", ["mixed", "present"])
def test_binary_cross_entropy_of_softmax_is_torchs(target: str) -> None:
    """Manifold mixup's repository: nn.BCELoss()(nn.Softmax(dim=1)(output), target), the mean over batch and classes."""
    loss, labels = loss_of("binary_cross_entropy", target=target), labels_of(40)
    outputs = outputs_of(loss, 40, dtype=torch.float64)
    wanted = labels.to_one_hot(CLASSES).double()
    wanted = wanted if target == "mixed" else (wanted > 0).double()
    theirs = nn.BCELoss()(nn.Softmax(dim=1)(outputs), wanted)
    torch.testing.assert_close(loss(outputs, labels).mean(), theirs)
    sums = loss_of("binary_cross_entropy", target=target, over_classes="sum")(outputs, labels)
    torch.testing.assert_close(sums, CLASSES * loss(outputs, labels))


def test_a_class_of_no_weight_is_not_present() -> None:
    loss = loss_of("binary_cross_entropy", of="sigmoid", target="present", over_classes="sum")
    first, second = torch.tensor([1, 1, 1, 1]), torch.tensor([3, 3, 3, 1])
    weight = torch.tensor([1.0, 0.0, 1e-6, 0.4])
    outputs = torch.tensor([[0.0, 2.0, 0.0, -1.0, 0.0]]).expand(4, -1)
    found = loss(outputs, MixedLabels((first, second), (weight, 1 - weight)))
    for value, present in zip(found, [{1}, {3}, {1, 3}, {1}], strict=True):
        expected = sum(math.log1p(math.exp(-z if c in present else z)) for c, z in enumerate(outputs[0].tolist()))
        assert value.item() == pytest.approx(expected, rel=1e-5)


def test_the_rest_of_a_probability_near_one_keeps_its_digits() -> None:
    rows = [[0.0, 40.0, 1.0], [0.0, 500.0, 0.0], [0.0, 0.0, 0.0], [-3e4, 3e4, 0.0], [1.0, 0.999, -1.0]]
    outputs = torch.tensor(rows, requires_grad=True)
    found = log_rest(outputs)
    for values, row in zip(found.tolist(), rows, strict=True):
        for c, value in enumerate(values):
            others = [z for j, z in enumerate(row) if j != c]
            top, highest = max(others), max(row)
            rest = top + math.log(sum(math.exp(z - top) for z in others))
            every = highest + math.log(sum(math.exp(z - highest) for z in row))
            assert value == pytest.approx(rest - every, rel=1e-5, abs=1e-6)
    found.sum().backward()
    assert found.isfinite().all() and outputs.grad.isfinite().all()
    assert outputs.grad[1].tolist() == pytest.approx([0.5, -1.0, 0.5], abs=1e-6), "as d(0 + log 2 - 500)"


def test_joint_head_and_its_two_predictions() -> None:
    loss = loss_of("joint", weight=0.5)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        head, features = loss.head(6, CLASSES), torch.randn(50, 6)
    outputs = head(features)
    logits, affinities = outputs[:, :CLASSES], outputs[:, CLASSES:]
    torch.testing.assert_close(logits, features @ head.softmax.weight.T + head.softmax.bias)
    torch.testing.assert_close(affinities, head.affinity(features))
    labels = labels_of(50)
    alone = loss_of("affinity")
    torch.testing.assert_close(
        loss(outputs, labels), loss_of("cross_entropy")(logits, labels) + 0.5 * alone(affinities, labels)
    )
    torch.testing.assert_close(loss.penalty(head), 0.5 * alone.penalty(head.affinity))
    assert torch.equal(loss.predict(outputs), affinities.argmax(1))
    assert torch.equal(loss_of("joint", predicts="softmax").predict(outputs), logits.argmax(1))
    assert not torch.equal(affinities.argmax(1), logits.argmax(1))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(head(features)[:, CLASSES:], affinities), "affinities keep float32 beside logits that do not"


def test_kl_is_cross_entropy_less_the_labels_entropy() -> None:
    kl, labels = loss_of("kl"), labels_of(30)
    outputs = outputs_of(kl, 30).requires_grad_()
    soft = labels.to_one_hot(CLASSES)
    entropy = -torch.xlogy(soft, soft).sum(1)
    cross_entropy = loss_of("cross_entropy")(outputs, labels)
    torch.testing.assert_close(kl(outputs, labels), cross_entropy - entropy)
    gradients = [torch.autograd.grad(values.sum(), outputs)[0] for values in (kl(outputs, labels), cross_entropy)]
    torch.testing.assert_close(*gradients)


def test_kl_vanishes_for_a_perfect_prediction_only() -> None:
    labels = labels_of(30)
    perfect = labels.to_one_hot(CLASSES).clamp(min=1e-30).log()
    torch.testing.assert_close(loss_of("kl")(perfect, labels), torch.zeros(30))
    assert (loss_of("kl")(outputs_of(loss_of("kl"), 30), labels) > 0.01).all()


def test_focal_without_focus_is_cross_entropy() -> None:
    labels = labels_of(30)
    outputs = outputs_of(loss_of("focal"), 30)
    for weights in ("none", "balanced"):
        focal, cross_entropy = (
            loss_of("focal", gamma=0, class_weights=weights),
            loss_of("cross_entropy", class_weights=weights),
        )
        torch.testing.assert_close(focal(outputs, labels), cross_entropy(outputs, labels))


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0, 5.0])
def test_focal_at_certainty(gamma: float) -> None:
    """p → 1 and p → 0: everything finite; a sure sample counts less than in cross-entropy, a lost one as much."""
    outputs = torch.tensor(
        [[z, 0.0] for z in (1e3, 100.0, 30.0, 17.0, 16.0, 10.0, -10.0, -100.0, -1e3)], requires_grad=True
    )
    losses = loss_of("focal", gamma=gamma)(outputs, MixedLabels((torch.zeros(9, dtype=torch.int64),)))
    losses.sum().backward()
    assert losses.isfinite().all() and outputs.grad.isfinite().all() and (losses >= 0).all()
    p = 1 / (1 + math.exp(-10))
    assert losses[5].item() == pytest.approx(-((1 - p) ** gamma) * math.log(p), rel=1e-3)
    torch.testing.assert_close(losses[7:], torch.tensor([100.0, 1000.0]))


def test_label_smoothing() -> None:
    outputs = torch.tensor([[2.0, 0.0, -1.0, 0.5, 0.0]])
    log_p = log_softmax(outputs[0].tolist())
    found = loss_of("cross_entropy", label_smoothing=0.1)(outputs, MixedLabels((torch.tensor([2]),))).item()
    assert found == pytest.approx(-(0.9 * log_p[2] + 0.02 * sum(log_p)), rel=1e-5)


def test_class_weights() -> None:
    balanced = make_class_weights("balanced", COUNTS)
    assert balanced.tolist() == pytest.approx([120 / (5 * count) for count in COUNTS])
    assert (balanced * torch.from_numpy(COUNTS)).sum().item() == pytest.approx(COUNTS.sum())
    assert make_class_weights("none", COUNTS) is None
    assert make_class_weights([1, 2, 3, 4, 5.5], COUNTS).tolist() == [1, 2, 3, 4, 5.5]
    with pytest.raises(ValueError, match="2 weights for 5 classes"):
        make_class_weights([1, 2], COUNTS)
    with pytest.raises(ValueError, match="class 1 has no training image"):
        make_class_weights("balanced", np.array([3, 0, 2]))
    for name in ("cross_entropy", "focal"):
        assert [loss_of(name, class_weights=w).weighs_classes for w in ("none", "balanced", [1] * 5)] == [
            False,
            True,
            True,
        ]


CIFAR10_LT_100 = np.array([5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50])
"""Training images of CIFAR-10-LT with ratio 100."""


def test_effective_number_weights_against_the_sum_that_they_stand_for() -> None:
    """E_n = 1 + β + … + β^(n−1): the sum itself, not its closed form."""
    for beta in (0.0, 0.5, 0.9, 0.999, 0.9999):
        inverse = [1 / sum(beta**k for k in range(count)) for count in CIFAR10_LT_100]
        expected = [len(inverse) * weight / sum(inverse) for weight in inverse]
        assert make_class_weights("effective_number", CIFAR10_LT_100, beta).tolist() == pytest.approx(expected)


def test_effective_number_weights_of_cifar10_lt_100() -> None:
    expected = [0.0506, 0.0769, 0.1211, 0.195, 0.3188, 0.5246, 0.8683, 1.4426, 2.4092, 3.9927]
    weights = make_class_weights("effective_number", CIFAR10_LT_100, 0.9999)
    assert weights.tolist() == pytest.approx(expected, abs=1e-4) and weights.sum().item() == pytest.approx(10)


def test_limits_of_the_effective_number() -> None:
    assert make_class_weights("effective_number", COUNTS, 0.0).tolist() == [1] * CLASSES
    assert make_class_weights("effective_number", np.full(5, 37), 0.999).tolist() == pytest.approx([1] * 5)
    near = make_class_weights("effective_number", COUNTS, 1 - 1e-12)
    balanced = make_class_weights("balanced", COUNTS)
    torch.testing.assert_close(near / near.sum(), balanced / balanced.sum())
    with pytest.raises(ValueError, match=r"loss\.class_weights = effective_number: class 1 has no training image"):
        make_class_weights("effective_number", np.array([3, 0, 2]), 0.9)


@pytest.mark.parametrize(
    ("plain", "balanced"), [("cross_entropy", "class_balanced"), ("focal", "class_balanced_focal")]
)
def test_a_class_balanced_loss_is_the_plain_one_times_the_weight_of_its_class(plain: str, balanced: str) -> None:
    labels = labels_of(30)
    found = loss_of(balanced, beta=0.99)
    changes = {"gamma": found.gamma} if plain == "focal" else {}
    outputs = outputs_of(found, 30)
    effective = [(1 - 0.99**count) / (1 - 0.99) for count in COUNTS]
    weights = torch.tensor([CLASSES / one / sum(1 / other for other in effective) for one in effective]).float()
    for part in (0, 1):
        label = MixedLabels(labels.labels[part : part + 1])
        expected = weights[label.labels[0]] * loss_of(plain, **changes)(outputs, label)
        torch.testing.assert_close(found(outputs, label), expected)
    assert found.weighs_classes


EQUAL = np.full(CLASSES, 40)


@pytest.mark.parametrize(
    ("name", "changes", "counts"),
    [
        ("class_balanced", {}, EQUAL),
        ("balanced_softmax", {}, EQUAL),
        ("logit_adjustment", {"tau": 2}, EQUAL),
        ("class_dependent_temperatures", {"gamma": 0.7}, EQUAL),
        ("logit_adjustment", {"tau": 0}, COUNTS),
        ("class_dependent_temperatures", {"gamma": 0}, COUNTS),
        ("label_aware_smoothing", {"smooth_head": 0, "smooth_tail": 0}, COUNTS),
        ("class_balanced", {"beta": 0}, COUNTS),
    ],
)
def test_where_a_long_tail_loss_is_cross_entropy(name: str, changes: dict[str, Any], counts: np.ndarray) -> None:
    loss, plain, labels = loss_of(name, counts, **changes), loss_of("cross_entropy"), labels_of(30)
    outputs = outputs_of(plain, 30).requires_grad_()
    for record in (labels, MixedLabels(labels.labels[:1])):
        torch.testing.assert_close(loss(outputs, record), plain(outputs, record))
    gradients = [torch.autograd.grad(one(outputs, labels).sum(), outputs)[0] for one in (loss, plain)]
    torch.testing.assert_close(*gradients)


def test_logit_adjustment_weighs_a_class_by_a_power_of_its_size() -> None:
    """exp(−loss) ∝ n_c^τ·exp(output_c); equal outputs leave the power of the prior alone."""
    loss = loss_of("logit_adjustment", tau=0.5)
    for label, count in enumerate(COUNTS):
        found = loss(torch.zeros(1, CLASSES), MixedLabels((torch.tensor([label]),))).item()
        assert math.exp(-found) == pytest.approx(count**0.5 / sum(other**0.5 for other in COUNTS), rel=1e-5)
    torch.testing.assert_close(loss.scores(torch.eye(CLASSES)), torch.eye(CLASSES), msg="predictions are not adjusted")
    assert [loss_of("logit_adjustment", tau=tau).weighs_classes for tau in (0, 0.5)] == [False, True]


def test_temperatures_of_given_counts() -> None:
    loss = loss_of("class_dependent_temperatures", CIFAR10_LT_100)
    assert loss.temperatures[[0, -1]].tolist() == pytest.approx([1, 100**0.2])
    assert loss.temperatures.tolist() == pytest.approx([(5000 / count) ** 0.2 for count in CIFAR10_LT_100])
    assert [loss_of("class_dependent_temperatures", gamma=g).weighs_classes for g in (0, 0.2)] == [False, True]


def test_ldams_margins_of_given_counts() -> None:
    """0.5 for 50 images and 0.5·(1/100)^¼ for 5,000."""
    expected = [0.1581, 0.1797, 0.2042, 0.2321, 0.2638, 0.2998, 0.3407, 0.3872, 0.4405, 0.5]
    margins = loss_of("ldam", CIFAR10_LT_100).margins
    assert margins.tolist() == pytest.approx(expected, abs=1e-4)
    assert margins.tolist() == pytest.approx([0.5 * (50 / count) ** 0.25 for count in CIFAR10_LT_100])


def test_ldam_drw_is_ldam_and_then_ldam_with_the_weights_of_effective_numbers() -> None:
    loss, labels = loss_of("ldam_drw"), labels_of(30)
    outputs = outputs_of(loss, 30)
    for phase, weights in ((0, "none"), (1, "effective_number")):
        loss.enter(phase)
        alone = loss_of("ldam", class_weights=weights, beta=0.9999)
        assert torch.equal(loss(outputs, labels), alone(outputs, labels))
        torch.testing.assert_close(loss.scores(outputs), 30 * outputs)
    assert [loss.phase(epoch, 200) for epoch in (159, 160)] == [0, 1], "as in kaidic/LDAM-DRW"


def test_ldam_without_margins_is_cross_entropy_of_scaled_cosines() -> None:
    labels, plain = labels_of(30), loss_of("cross_entropy")
    for scale in (1, 30):
        loss = loss_of("ldam", margin=0, scale=scale)
        outputs = outputs_of(loss, 30)
        torch.testing.assert_close(loss(outputs, labels), plain(scale * outputs, labels))
        torch.testing.assert_close(loss.scores(outputs), scale * outputs)
    wide = loss_of("ldam", EQUAL, margin=0.2)
    assert wide.margins.tolist() == pytest.approx([0.2] * CLASSES), "equal classes have equal margins"


def test_the_cosine_heads_outputs_against_a_loop() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        head, x = loss_of("ldam").head(4, CLASSES), 7 * torch.randn(6, 4)
    expected = [
        [
            sum(f * w for f, w in zip(features, weight, strict=True)) / (math.hypot(*features) * math.hypot(*weight))
            for weight in head.weight.tolist()
        ]
        for features in x.tolist()
    ]
    torch.testing.assert_close(head(x), torch.tensor(expected))
    torch.testing.assert_close(head(3 * x), head(x), msg="the length of the features counts for nothing")
    torch.testing.assert_close(head.weight.norm(dim=1), torch.ones(CLASSES))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert head(x).dtype == torch.float32 and torch.equal(head(x), head(x.float()))
    with torch.device("meta"):
        assert loss_of("ldam").head(4, 3)(torch.zeros(2, 4)).shape == (2, 3)


def test_the_smoothing_of_given_counts() -> None:
    for shape, middle in (("concave", math.sin(math.pi / 4)), ("linear", 0.5), ("convex", 1 - math.cos(math.pi / 4))):
        loss = loss_of("label_aware_smoothing", np.array([10, 30, 50]), shape=shape, smooth_head=0.4, smooth_tail=0.1)
        assert loss.smoothing.tolist() == pytest.approx([0.1, 0.1 + 0.3 * middle, 0.4])
    labels, smoothed = labels_of(30), loss_of("cross_entropy", label_smoothing=0.3)
    outputs = outputs_of(smoothed, 30)
    equal = loss_of("label_aware_smoothing", EQUAL)
    torch.testing.assert_close(equal(outputs, labels), smoothed(outputs, labels))
    with pytest.raises(ValueError, match=r"loss\.smooth_tail = 0\.4: at most loss\.smooth_head = 0\.3"):
        loss_of("label_aware_smoothing", smooth_tail=0.4)


@pytest.mark.parametrize("name", ["ldam", "balanced_softmax", "logit_adjustment", "class_dependent_temperatures"])
def test_a_loss_that_needs_every_class_refuses_one_without_images(name: str) -> None:
    with pytest.raises(ValueError, match=r"^loss: .*: class 2 has no training image"):
        loss_of(name, np.array([3, 4, 0, 2, 1]))


AFFINITIES = [1, 0.75, 0.5, 0.25, 0]
# The article's: affinity to a wrong class in rows, to the right one in columns, both from 1 down to 0.
MARGIN_TABLES = {
    0.01: [
        [0.01, 0.26, 0.51, 0.76, 1.01],
        [0, 0.01, 0.26, 0.51, 0.76],
        [0, 0, 0.01, 0.26, 0.51],
        [0, 0, 0, 0.01, 0.26],
        [0, 0, 0, 0, 0.01],
    ],
    0.75: [
        [0.75, 1.00, 1.25, 1.50, 1.75],
        [0.50, 0.75, 1.00, 1.25, 1.50],
        [0.25, 0.50, 0.75, 1.00, 1.25],
        [0, 0.25, 0.50, 0.75, 1.00],
        [0, 0, 0.25, 0.50, 0.75],
    ],
}


@pytest.mark.parametrize("margin", MARGIN_TABLES)
def test_affinity_margin_tables(margin: float) -> None:
    pairs = torch.tensor([[right, wrong] for wrong in AFFINITIES for right in AFFINITIES])
    found = loss_of("affinity", margin=margin)(pairs, MixedLabels((torch.zeros(25, dtype=torch.int64),))).view(5, 5)
    torch.testing.assert_close(found, torch.tensor(MARGIN_TABLES[margin]), rtol=0, atol=1e-6)


@settings(max_examples=20, deadline=None)
@given(
    centres=st.integers(1, 4),
    features=st.integers(1, 6),
    sigma=st.floats(0.5, 90),
    count=st.integers(1, 5),
    seed=st.integers(0, 1000),
)
def test_affinity_head_against_a_loop(centres: int, features: int, sigma: float, count: int, seed: int) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        head = loss_of("affinity", sigma=sigma, centres=centres).head(features, CLASSES)
        x = torch.randn(count, features)
    w = head[1].centres.tolist()
    expected = [
        [
            max(math.exp(-sum((f - c) ** 2 for f, c in zip(row, centre, strict=True)) / sigma) for centre in w[j])
            for j in range(CLASSES)
        ]
        for row in x.tolist()
    ]
    torch.testing.assert_close(head(x), torch.tensor(expected), rtol=1e-4, atol=1e-6)


def test_affinity_head_at_its_centres_and_its_start() -> None:
    torch_state = torch.get_rng_state()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        head = AffinityHead(64, 20, 10.0, 5)
    assert torch.equal(torch_state, torch.get_rng_state())
    assert head.centres.shape == (20, 5, 64)
    assert head.centres.std().item() == pytest.approx(math.sqrt(2 / 64), rel=0.05)
    own = head(head.centres.detach()[:, 3])
    torch.testing.assert_close(own.diag(), torch.ones(20), rtol=0, atol=1e-5)
    assert own.max() <= 1 and torch.equal(own.argmax(1), torch.arange(20))


@pytest.mark.parametrize(("centres", "deviation"), [(1, 0.4472), (5, 0.2)])
def test_centres_start_as_wide_as_keras_makes_them(centres: int, deviation: float) -> None:
    """sqrt(2 / (C m)) for any number of features: a normal distribution cut at two of its own deviations, 2.2737 of
    those left."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        w = loss_of("affinity", centres=centres, init="keras_he").head(4000, 10)[1].centres.detach().double()
    assert w.shape == (10, centres, 4000)
    assert w.std().item() == pytest.approx(deviation, rel=0.02) and abs(w.mean().item()) < 0.01
    assert 0.98 * 2.2737 * deviation < w.abs().max().item() < 2.2738 * deviation
    # a normal distribution cut there has P(|w| < s) = (2 Φ(1) − 1) / (2 Φ(2) − 1) = 0.7152 for its uncut deviation s
    assert (w.abs() < deviation / 0.8796).double().mean().item() == pytest.approx(0.7152, abs=0.01)


def test_colliding_centres_start_in_one_place_where_the_penalty_cannot_part_them() -> None:
    loss = loss_of("affinity", init="colliding", centres=2)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        head = loss.head(8, 5)
    w = head[1].centres
    assert torch.equal(w[1], w[0]) and len(w.flatten(0, 1).unique(dim=0)) == 8
    loss.penalty(head).backward()
    torch.testing.assert_close(w.grad[1], w.grad[0])


def test_affinity_heads_gradient() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        head, x = AffinityHead(3, 4, 5.0, 2), torch.randn(6, 3, requires_grad=True)
    head(x).square().sum().backward()

    def exact(x: Tensor, w: Tensor) -> Tensor:
        return torch.exp(-(x[:, None, None] - w).square().sum(3) / 5.0).amax(2).square().sum()

    expected = torch.autograd.functional.jacobian(exact, (x.detach().double(), head.centres.detach().double()))
    torch.testing.assert_close(x.grad, expected[0].float(), rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(head.centres.grad, expected[1].float(), rtol=1e-3, atol=1e-5)


def head_with(centres: Tensor) -> nn.Module:
    """An affinity head whose centres, [C, m, h], are these."""
    head = loss_of("affinity", centres=centres.shape[1]).head(centres.shape[2], centres.shape[0])
    head[1].centres = nn.Parameter(centres)
    return head


@pytest.mark.parametrize("shape", [(2, 1, 3), (5, 1, 2), (4, 3, 6)])
def test_diversity_term_against_a_loop(shape: tuple[int, int, int]) -> None:
    w = torch.from_numpy(np.random.default_rng(0).normal(size=shape))
    points = w.flatten(0, 1).tolist()
    squared = [
        sum((a - b) ** 2 for a, b in zip(points[j], points[k], strict=True))
        for j in range(len(points))
        for k in range(j + 1, len(points))
    ]
    mu = sum(squared) / len(squared)
    expected = sum((d - mu) ** 2 for d in squared) / len(squared)
    assert loss_of("affinity").penalty(head_with(w)).item() == pytest.approx(expected, abs=1e-12)
    assert loss_of("affinity", diversity=0.3).penalty(head_with(w)).item() == pytest.approx(0.3 * expected, abs=1e-12)
    assert loss_of("affinity", diversity=0).penalty(head_with(w)).item() == 0


def test_diversity_term_vanishes_for_a_regular_simplex() -> None:
    simplex = 3.0 * torch.eye(6).view(3, 2, 6) + 1.0
    assert loss_of("affinity").penalty(head_with(simplex)).item() == pytest.approx(0, abs=1e-8)
    assert loss_of("affinity").penalty(head_with(simplex * torch.linspace(1, 2, 6).view(3, 2, 1))).item() > 0.1


def test_who_has_a_penalty_and_a_head_of_its_own() -> None:
    for name in NAMES:
        loss = loss_of(name)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            head = loss.head(4, CLASSES)
        penalty = loss.penalty(head)
        assert penalty.shape == ()
        if isinstance(loss, Affinity | Joint):
            assert penalty.item() > 0
            penalty.backward()
            assert (head if isinstance(loss, Affinity) else head.affinity)[1].centres.grad.any()
        else:
            assert isinstance(head, CosineHead if "ldam" in name else nn.Linear) and penalty.item() == 0


@pytest.mark.parametrize("batchnorm", [False, True])
def test_batchnorm_before_the_affinity_head(batchnorm: bool) -> None:
    head = loss_of("affinity", batchnorm=batchnorm).head(4, CLASSES)
    features = torch.from_numpy(np.random.default_rng(0).normal(3, 2, size=(16, 4))).float()
    standard = (features - features.mean(0)) / (features.var(0, correction=0) + 1e-5).sqrt()
    torch.testing.assert_close(head(features), head[1](standard if batchnorm else features))


@pytest.mark.parametrize(("name", "changes"), VARIANTS, ids=str)
def test_gradcheck(name: str, changes: dict[str, Any]) -> None:
    loss = loss_of(name, **changes).double()
    outputs = outputs_of(loss, 6, dtype=torch.float64).requires_grad_()
    for labels in (labels_of(6, dtype=torch.float64), MixedLabels(labels_of(6).labels[:1])):
        assert torch.autograd.gradcheck(lambda z, labels=labels: loss(z, labels), outputs)


def test_gradcheck_of_the_penalty() -> None:
    loss, head = loss_of("affinity", centres=2), head_with(torch.zeros(3, 2, 4))

    def penalty(w: Tensor) -> Tensor:
        del head[1].centres
        head[1].centres = w
        return loss.penalty(head)

    w = torch.from_numpy(np.random.default_rng(0).normal(size=(3, 2, 4))).requires_grad_()
    assert torch.autograd.gradcheck(penalty, w)


def test_affinities_are_computed_in_float32_under_autocast() -> None:
    head = loss_of("affinity", sigma=90, centres=2).head(256, CLASSES)
    features = (10 * torch.from_numpy(np.random.default_rng(0).normal(size=(8, 256)))).bfloat16()
    near = head[1].centres.detach()[0, 0] + 0.5 * features / 10
    for x in (features, near.bfloat16()):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            found = head(x)
        assert found.dtype == torch.float32
        assert torch.equal(found, head(x.float()))
    assert found.max() > 0.1


def test_scores_are_of_the_classes_whatever_the_outputs_are() -> None:
    for name in NAMES:
        loss = loss_of(name)
        outputs = outputs_of(loss, 30)
        scores = loss.scores(outputs)
        assert scores.shape == (30, CLASSES) and scores.isfinite().all()
        assert torch.equal(scores.argmax(1), loss.predict(outputs))
    far = torch.tensor([[1e-30, 1e-20, 0.0, 1e-35, 1e-10]], requires_grad=True)
    F.cross_entropy(loss_of("affinity").scores(far), torch.tensor([1])).backward()
    assert far.grad[0, 4] > 0 > far.grad[0, 1], "affinities that are nearly 0 still say where to go"

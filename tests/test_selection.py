"""Which images a run uses, with which labels, in which order and scale: subset, imbalance, label noise, sampling,
data.select_data."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from running import option

from mixexp import streams
from mixexp.build import build
from mixexp.dataset import Splits
from mixexp.imbalance import LongTail, MinorityClasses, NoImbalance, cao2019, cut
from mixexp.label_noise import NoNoise, Uniform
from mixexp.phases import change
from mixexp.sampling import BalancedSampling, Deferred, Natural, WeightedSampling
from mixexp.subset import Balanced, Full, Head
from mixexp.training import data

pytestmark = pytest.mark.fast

CONF = Path(__file__).resolve().parents[1] / "conf"
CIFAR10_LT_100 = [5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50]
"""Training images per class of CIFAR-10-LT with imbalance 100, as Cao et al. 2019 and Cui et al. 2019 have them."""
FEW = settings(max_examples=40, deadline=None)
LABELS = st.lists(st.integers(0, 3), min_size=1, max_size=60).map(lambda labels: np.array(labels, dtype=np.int64))


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def even_labels(per_class: int, classes: int = 10) -> np.ndarray:
    """Labels 0, 1, … in turn, per_class of each."""
    return np.tile(np.arange(classes), per_class)


def counts(labels: np.ndarray, classes: int = 10) -> list[int]:
    return np.bincount(labels, minlength=classes).tolist()


def splits(train: np.ndarray, test: np.ndarray, classes: int = 10) -> Splits:
    """A data set whose images carry their own number, so that a mix-up of rows would show."""
    parts = []
    for labels in (train, test):
        numbers = torch.arange(len(labels))
        pixels = torch.stack([numbers // 256, numbers % 256], 1).to(torch.uint8).view(-1, 2, 1, 1)
        parts += [pixels, torch.from_numpy(labels)]
    return Splits(*parts, tuple(map(str, range(classes))))


def options(group: str) -> list[Path]:
    return sorted((CONF / group).glob("*.yaml"))


def from_yaml(path: Path, **changed: object) -> object:
    node = option(path.parent.name, path.stem)
    return build({**node, **{key: value for key, value in changed.items() if key in node}})


def choose(
    source: Splits,
    subset=None,
    imbalance=None,
    label_noise=None,
    validation: float = 0.0,
    data_seed: int = 0,
    test_n: int | None = None,
) -> data.SelectedData:
    parts = (subset or Full(), imbalance or NoImbalance(), label_noise or NoNoise())
    return data.select_data(source, *parts, validation, data_seed, test_n)


# --- every option of the groups, whatever their names ---


@pytest.mark.parametrize("path", options("subset"), ids=lambda path: path.stem)
def test_every_subset_gives_distinct_ascending_rows_and_repeats_itself(path: Path) -> None:
    labels = even_labels(150)
    rows = [from_yaml(path).select(labels, 10, rng(5)) for _ in range(2)]
    assert rows[0].dtype == np.int64
    assert (np.diff(rows[0]) > 0).all()
    assert rows[0][0] >= 0 and rows[0][-1] < len(labels)
    assert (rows[0] == rows[1]).all()


@pytest.mark.parametrize("path", options("imbalance"), ids=lambda path: path.stem)
def test_every_imbalance_keeps_some_of_every_class_and_no_more_than_there_are(path: Path) -> None:
    train, test = np.full(10, 600), np.full(10, 100)
    given = train.copy(), test.copy()
    for keep, have in zip(from_yaml(path).keep_counts(train, test, 6.0), given, strict=True):
        assert keep.shape == (10,)
        assert (keep > 0).all() and (keep <= have).all()
    assert (train == given[0]).all() and (test == given[1]).all(), "the counts handed in are the caller's"


@pytest.mark.parametrize("path", options("label_noise"), ids=lambda path: path.stem)
def test_every_label_noise_gives_valid_labels_and_leaves_the_true_ones_alone(path: Path) -> None:
    labels = even_labels(200)
    noisy = from_yaml(path).corrupt(labels, 10, rng())
    assert noisy.dtype == np.int64 and noisy.shape == labels.shape
    assert noisy.min() >= 0 and noisy.max() < 10
    assert (labels == even_labels(200)).all()


@pytest.mark.parametrize("path", options("sampling"), ids=lambda path: path.stem)
@FEW
@given(labels=LABELS, seed=st.integers(0, 2**32))
def test_every_sampling_keeps_its_promises(path: Path, labels: np.ndarray, seed: int) -> None:
    sampling = from_yaml(path)
    order = sampling.order(labels, rng(seed))
    assert len(order) == sampling.epoch_size(np.bincount(labels, minlength=4))
    assert order.min() >= 0 and order.max() < len(labels)
    visited, there = np.bincount(labels[order], minlength=4), np.bincount(labels, minlength=4)
    assert not visited[there == 0].any()
    if not isinstance(sampling, WeightedSampling):  # which draws at random
        assert visited[there > 0].all()
        assert len(set(visited[visited > 0])) == 1 or not sampling.equalises_classes or sampling.at(0, 5) != sampling


@pytest.mark.parametrize("path", options("sampling"), ids=lambda path: path.stem)
def test_every_sampling_is_fresh_each_epoch(path: Path) -> None:
    labels = np.repeat([0, 1], [30, 10])
    first, second = (from_yaml(path).order(labels, streams.generator(0, "order", epoch)) for epoch in (0, 1))
    assert first.tolist() != second.tolist()
    assert sorted(first[:20].tolist()) != sorted(second[:20].tolist())


# --- subset ---


def test_full_is_everything_in_order() -> None:
    assert Full().select(even_labels(3), 10, rng()).tolist() == list(range(30))


def test_head_is_the_first_n_whatever_the_seed() -> None:
    labels = rng().integers(10, size=200)
    for seed in range(3):
        assert Head(17).select(labels, 10, rng(seed)).tolist() == list(range(17))
    assert len(Head(200).select(labels, 10, rng())) == 200


def test_head_refuses_more_than_there_are_with_both_numbers() -> None:
    with pytest.raises(ValueError, match=r"subset\.n = 201: the training set has 200 images"):
        Head(201).select(even_labels(20), 10, rng())


def test_balanced_has_as_many_of_every_class_drawn_by_the_seed() -> None:
    labels = rng().integers(10, size=2000)
    first, again, other = (Balanced(200).select(labels, 10, rng(seed)) for seed in (1, 1, 2))
    assert counts(labels[first]) == counts(labels[other]) == [20] * 10
    assert first.tolist() == again.tolist() != other.tolist()


@pytest.mark.parametrize(
    ("n", "numbers"),
    [
        (105, "subset.n = 105: a balanced subset of 10 classes needs a multiple of 10"),
        (210, "subset.n = 210: needs 21 images of every class, but class 3 has 19"),
    ],
)
def test_balanced_refuses_what_cannot_be_with_the_numbers(n: int, numbers: str) -> None:
    labels = np.delete(even_labels(20), 3)
    with pytest.raises(ValueError) as refused:
        Balanced(n).select(labels, 10, rng())
    assert str(refused.value) == numbers


# --- imbalance ---


@given(LABELS, LABELS, st.integers(0, 3), st.integers(0, 9))
@FEW
def test_minority_keeps_the_first_images_of_a_class_whatever_the_seed(train, test, c: int, seed: int) -> None:
    """Against a walk through the images that counts those of the class."""
    train, test = (np.append(labels, range(4)) for labels in (np.tile(train, 2), test))
    n = int((test == c).sum() + 1) // 2
    per_test = len(train) / len(test)
    assume(0 < round(n * per_test) <= (train == c).sum())
    choice = choose(splits(train, test, 4), imbalance=MinorityClasses(n, [c], which="first"), data_seed=seed)
    for labels, most, found in ((train, round(n * per_test), choice.train), (test, n, choice.test)):
        kept, met = [], 0
        for row, label in enumerate(labels):
            met += label == c
            if label != c or met <= most:
                kept.append(row)
        assert found.tolist() == kept


def test_the_first_minority_images_are_the_subsets_first() -> None:
    source = splits(even_labels(60), even_labels(10))
    choice = choose(source, subset=Balanced(300), imbalance=MinorityClasses(2, which="first"), data_seed=3)
    rows = Balanced(300).select(source.train_labels.numpy(), 10, streams.generator(3, "subset"))
    assert choice.train[choice.train % 10 == 4].tolist() == rows[rows % 10 == 4][:12].tolist()


def test_minority_leaves_the_test_set_whole_when_told_to() -> None:
    train, test = MinorityClasses(5, reduce_test=False).keep_counts(np.full(10, 60), np.full(10, 10), 6.0)
    assert train.tolist() == [30, 60] * 5
    assert test.tolist() == [10] * 10


def test_minority_of_chosen_classes() -> None:
    train, test = MinorityClasses(2, classes=[1, 7]).keep_counts(np.full(10, 60), np.full(10, 10), 6.0)
    assert train.tolist() == [60, 12, 60, 60, 60, 60, 60, 12, 60, 60]
    assert test.tolist() == [10, 2, 10, 10, 10, 10, 10, 2, 10, 10]


@pytest.mark.parametrize("classes", [[10], [1, 1], []])
def test_minority_refuses_classes_that_are_not_there(classes: list[int]) -> None:
    with pytest.raises(ValueError, match=r"imbalance\.classes = .*: distinct class numbers from 0 to 9"):
        MinorityClasses(2, classes=classes).keep_counts(np.full(10, 60), np.full(10, 10), 6.0)


@pytest.mark.parametrize(
    ("train", "test", "refusal"),
    [
        ([60, 60, 29, 60], [10, 10, 10, 10], "imbalance.n = 5: class 2 would need 30 training images and has 29"),
        ([60, 60, 60, 60], [10, 10, 4, 10], "imbalance.n = 5: class 2 would need 5 test images and has 4"),
    ],
)
def test_minority_refuses_more_than_there_are_with_the_numbers(train: list[int], test: list[int], refusal: str) -> None:
    with pytest.raises(ValueError) as refused:
        MinorityClasses(5).keep_counts(np.array(train), np.array(test), 6.0)
    assert str(refused.value) == refusal


@pytest.mark.parametrize(
    ("shape", "ratio", "expected"),
    [
        ("exponential", 100, CIFAR10_LT_100),
        ("exponential", 1, [5000] * 10),
        ("step", 100, [5000] * 5 + [50] * 5),
        ("step", 10, [5000] * 5 + [500] * 5),
        ("step", 3, [5000] * 5 + [1666] * 5),
    ],
)
def test_profiles_have_the_published_counts(shape: str, ratio: float, expected: list[int]) -> None:
    train, test = LongTail(shape, ratio).keep_counts(np.full(10, 5000), np.full(10, 1000), 5.0)
    assert train.tolist() == expected
    assert test.tolist() == [1000] * 10


SUMS = {
    (10, 200): 11_203, (10, 100): 12_406, (10, 50): 13_996, (10, 20): 17_023, (10, 10): 20_431,
    (100, 200): 9_502, (100, 100): 10_847, (100, 50): 12_608, (100, 20): 15_907, (100, 10): 19_573,
}  # fmt: skip
"""Training images of CIFAR-LT, by the number of classes and the ratio."""


@pytest.mark.parametrize(("classes", "ratio"), SUMS, ids=str)
@pytest.mark.parametrize("shape", ["exponential", "step"])
def test_counts_of_cifar_lt_are_those_of_the_papers_code(classes: int, ratio: int, shape: str) -> None:
    """Cao et al.'s code truncates n_max·factor^(c/(C−1)), without guarding against rounding."""
    largest, factor = 50_000 // classes, 1 / ratio
    if shape == "exponential":
        expected = [int(largest * factor ** (c / (classes - 1.0))) for c in range(classes)]
        assert sum(expected) == SUMS[classes, ratio]
    else:
        expected = [int(largest)] * (classes // 2) + [int(largest * factor)] * (classes // 2)
    train, test = LongTail(shape, ratio).keep_counts(np.full(classes, largest), np.full(classes, 100), 5.0)
    assert train.tolist() == expected and test.tolist() == [100] * classes


def test_the_images_of_the_papers_code_are_those_of_numpys_global_generator() -> None:
    """np.random.seed(0) once, then np.random.shuffle of each class's rows, as the code writes it."""
    labels, keep = rng().integers(4, size=300), np.array([40, 20, 7, 1])
    state = np.random.get_state()
    try:
        np.random.seed(0)
        expected = []
        for c, count in enumerate(keep):
            rows = np.where(labels == c)[0]
            np.random.shuffle(rows)
            expected.append(rows[:count].tolist())
    finally:
        np.random.set_state(state)
    members = [np.flatnonzero(labels == c) for c in range(4)]
    assert [rows.tolist() for rows in cao2019(members, keep, rng())] == expected
    assert [rows.tolist() for rows in members] == [np.flatnonzero(labels == c).tolist() for c in range(4)]
    assert cut(labels, keep, rng(), "cao2019").tolist() == sorted(row for rows in expected for row in rows)


def test_the_images_of_the_papers_code_stay_whatever_the_data_seed() -> None:
    source = splits(even_labels(60), even_labels(10))
    published, own = ([choose(source, imbalance=LongTail("exponential", 6.0, which), data_seed=seed) for seed in (0, 7)]
                      for which in ("cao2019", "drawn"))  # fmt: skip
    assert published[0].digest() == published[1].digest() and own[0].digest() != own[1].digest()
    assert counts(published[0].train_labels) == counts(own[0].train_labels)
    assert published[0].test.tolist() == list(range(100)), "the test set stays whole"


def test_exact_quotients_are_not_lost_to_rounding() -> None:
    train, _ = LongTail("exponential", 512).keep_counts(np.full(10, 1024), np.full(10, 10), 5.0)
    assert train.tolist() == [1024, 512, 256, 128, 64, 32, 16, 8, 4, 2]


@FEW
@given(classes=st.integers(2, 20), largest=st.integers(50, 6000), ratio=st.floats(1, 50), extra=st.integers(0, 100))
def test_the_exponential_profile_follows_its_formula(classes: int, largest: int, ratio: float, extra: int) -> None:
    have = np.full(classes, largest)
    have[0] += extra
    keep, _ = LongTail("exponential", ratio).keep_counts(have, np.full(classes, 10), 5.0)
    exact = largest * ratio ** (-np.arange(classes) / (classes - 1))
    assert (keep <= exact + 1e-6).all() and (keep > exact - 1 - 1e-6).all()
    assert keep[0] == largest and (np.diff(keep) <= 0).all() and keep.min() >= 1


def test_a_profile_refuses_a_ratio_that_leaves_nothing() -> None:
    with pytest.raises(ValueError, match=r"imbalance\.ratio = 100: the smallest class has 99 images.* at most 99"):
        LongTail("step", 100).keep_counts(np.array([500, 99]), np.array([1, 1]), 5.0)


def test_cut_draws_the_asked_counts_in_order_without_repeats() -> None:
    labels = rng().integers(4, size=200)
    keep = np.array([3, 0, 10, 1])
    first, other = (cut(labels, keep, rng(seed)) for seed in (0, 1))
    assert counts(labels[first], 4) == counts(labels[other], 4) == keep.tolist()
    assert (np.diff(first) > 0).all()
    assert first.tolist() != other.tolist()


# --- label noise ---


@pytest.mark.parametrize("rate", [0.2, 0.5, 0.8, 1.0])
@pytest.mark.parametrize(("among", "wrong"), [("all", 0.9), ("others", 1.0)])
def test_the_share_of_wrong_labels_is_what_each_convention_says(rate: float, among: str, wrong: float) -> None:
    labels = even_labels(10000)
    noisy = Uniform(rate, among).corrupt(labels, 10, rng())
    changed = noisy != labels
    tolerance = 5 * np.sqrt(0.25 / len(labels))
    assert abs(changed.mean() - wrong * rate) < tolerance
    shift = np.bincount((noisy - labels)[changed] % 10, minlength=10)[1:] / changed.sum()
    assert np.abs(shift - 1 / 9).max() < 0.01, "wrong labels are uniform over the wrong classes"
    assert np.abs(np.bincount(noisy, minlength=10) / len(labels) - 0.1).max() < 0.01, "no class gains or loses"


def test_no_noise_is_no_noise() -> None:
    assert (NoNoise().corrupt(even_labels(5), 10, rng()) == even_labels(5)).all()


# --- sampling ---


@FEW
@given(labels=LABELS, seed=st.integers(0, 2**32))
def test_natural_sampling_visits_every_image_once(labels: np.ndarray, seed: int) -> None:
    assert sorted(Natural().order(labels, rng(seed))) == list(range(len(labels)))


@FEW
@given(labels=LABELS, seed=st.integers(0, 2**32))
def test_oversampling_visits_everything_and_repeats_as_evenly_as_can_be(labels: np.ndarray, seed: int) -> None:
    visits = np.bincount(BalancedSampling("largest").order(labels, rng(seed)), minlength=len(labels))
    size = np.bincount(labels)
    for c in np.flatnonzero(size):
        of_class = visits[labels == c]
        assert of_class.sum() == size.max()
        assert of_class.min() >= 1 and of_class.max() - of_class.min() <= 1


@FEW
@given(labels=LABELS, seed=st.integers(0, 2**32))
def test_undersampling_repeats_nothing_and_uses_the_smallest_class_whole(labels: np.ndarray, seed: int) -> None:
    order = BalancedSampling("smallest").order(labels, rng(seed))
    size = np.bincount(labels)
    smallest = size[size > 0].min()
    assert len(set(order)) == len(order)
    assert set(np.bincount(labels[order])) <= {0, smallest}
    for c in np.flatnonzero(size == smallest):
        assert set(np.flatnonzero(labels == c)) <= set(order)


@pytest.mark.parametrize("q", [0.0, 0.5, 1.0])
def test_weighted_sampling_draws_classes_by_a_power_of_their_size_and_their_images_alike(q: float) -> None:
    counts = np.array([600, 0, 60, 6])
    labels = rng(1).permutation(np.repeat(np.arange(4), counts))
    sampling = WeightedSampling(q)
    orders = np.concatenate([sampling.order(labels, rng(seed)) for seed in range(60)])
    n = len(orders)
    assert n == 60 * sampling.epoch_size(counts) == 60 * 666
    weights = [count**q if count else 0 for count in counts.tolist()]
    for c, weight in enumerate(weights):
        share = weight / sum(weights)
        assert abs(np.count_nonzero(labels[orders] == c) - n * share) <= 5 * math.sqrt(n * share * (1 - share))
    for c in (2, 3):
        visits = np.bincount(orders, minlength=len(labels))[labels == c]
        mean = visits.mean()
        assert abs(visits - mean).max() <= 5 * math.sqrt(mean)


def test_weighted_sampling_is_torchs_weighted_sampler_in_distribution() -> None:
    """LDAM-DRW's balanced sampler is torch's, with 1 / n_c as weights."""
    from scipy import stats  # a second, which only this test needs

    labels = np.repeat([0, 1, 2], [300, 30, 3])
    weights = 1 / np.bincount(labels)[labels]
    torchs = torch.utils.data.WeightedRandomSampler(weights, 33300, generator=torch.Generator().manual_seed(0))
    ours = np.concatenate([WeightedSampling(0).order(labels, rng(seed)) for seed in range(100)])
    table = [np.bincount(labels[list(order)], minlength=3) for order in (torchs, ours)]
    assert stats.chi2_contingency(table).pvalue > 0.001


def test_a_deferred_sampling_changes_at_its_epoch() -> None:
    labels = np.repeat([0, 1], [90, 10])
    first, then = Natural(), WeightedSampling(0)
    sampling = Deferred(first, then, after=0.6)
    assert [sampling.at(epoch, 5) is first for epoch in range(5)] == [True, True, True, False, False]
    assert sampling.at(4, 5) is then and sampling.epoch_size(np.bincount(labels)) == 100
    assert sampling.equalises_classes and sampling.repeats
    nested = Deferred(first, Deferred(BalancedSampling("largest"), then, after=0.9), after=0.5)
    assert isinstance(nested.at(17, 20), BalancedSampling) and nested.at(18, 20) is then
    assert [change(0.8, epochs) for epochs in (200, 30, 5, 2, 1.2, 1)] == [160, 24, 4, 1, 0, 0]
    with pytest.raises(ValueError, match=r"after = 0\.6: none of the run's epochs, 1, is before the change"):
        sampling.check_budget(1)
    sampling.check_budget(2)
    with pytest.raises(ValueError, match="epochs of 100 images first and of 180 then"):
        Deferred(first, BalancedSampling("largest"), after=0.6).epoch_size(np.bincount(labels))


@pytest.mark.parametrize(
    "sampling",
    [Natural(), BalancedSampling("largest"), BalancedSampling("smallest"), WeightedSampling(0.5)],
    ids=["natural", "largest", "smallest", "square root"],
)
def test_an_order_is_not_sorted_by_class(sampling: object) -> None:
    labels = np.repeat([0, 1], [200, 100])
    classes = labels[sampling.order(labels, rng())]
    assert np.count_nonzero(np.diff(classes)) > 50


# --- data.select_data ---


def test_choose_takes_the_subset_first_then_the_imbalance() -> None:
    source = splits(even_labels(60), even_labels(10))
    choice = choose(source, subset=Head(300), imbalance=MinorityClasses(2))
    assert choice.train.max() < 300
    assert counts(source.train_labels.numpy()[choice.train]) == [12, 30] * 5
    with pytest.raises(ValueError, match=r"class 0 would need 36 training images and has 30"):
        choose(source, subset=Head(300), imbalance=MinorityClasses(6))


def test_the_validation_part_is_taken_after_the_imbalance() -> None:
    source = splits(even_labels(60), even_labels(10))
    choice = choose(source, imbalance=MinorityClasses(1), validation=0.5)
    both = np.concatenate([choice.train, choice.validation])
    assert counts(source.train_labels.numpy()[both]) == [6, 60] * 5


def test_noise_is_put_on_the_remaining_training_labels_only() -> None:
    source = splits(even_labels(100), even_labels(20))
    choice = choose(source, label_noise=Uniform(1.0, "others"), validation=0.3)
    true = source.train_labels.numpy()
    assert len(choice.train) == len(choice.train_labels) == 700 and len(choice.validation) == 300
    assert (choice.train_labels != true[choice.train]).all()
    assert (true == even_labels(100)).all(), "held-out labels are read from here, so they are the true ones"
    assert (source.test_labels.numpy() == even_labels(20)).all()


@FEW
@given(seed=st.integers(0, 2**40), validation=st.sampled_from([0.0, 0.1, 0.25, 0.5]), n=st.integers(1, 8))
def test_training_and_validation_part_the_chosen_images(seed: int, validation: float, n: int) -> None:
    source = splits(even_labels(60), even_labels(10))
    choice = choose(source, Balanced(500), MinorityClasses(n), validation=validation, data_seed=seed)
    whole = choose(source, Balanced(500), MinorityClasses(n), data_seed=seed)
    assert sorted([*choice.train, *choice.validation]) == whole.train.tolist()
    assert len(choice.validation) == round(validation * len(whole.train))
    assert counts(source.train_labels.numpy()[whole.train]) == [6 * n, 50] * 5
    assert counts(source.test_labels.numpy()[choice.test]) == [n, 10] * 5
    assert (choice.test == whole.test).all()
    assert (np.diff(choice.train) > 0).all()


@pytest.mark.parametrize(("validation", "held"), [(0.01, 0), (0.99, 10)])
def test_a_validation_part_that_leaves_nothing_is_refused_with_the_numbers(validation: float, held: int) -> None:
    with pytest.raises(ValueError, match=rf"validation = {validation}: holds out {held} of 10 training images"):
        choose(splits(even_labels(1), even_labels(1)), validation=validation)


def test_the_data_seed_decides_every_draw() -> None:
    source = splits(even_labels(60), even_labels(10))
    whole = {
        "subset": {"subset": Balanced(100)},
        "imbalance": {"imbalance": MinorityClasses(5)},
        "validation": {"validation": 0.5},
        "noise": {"label_noise": Uniform(0.5)},
    }
    for parts in whole.values():
        digests = [choose(source, **parts, data_seed=seed).digest() for seed in (0, 0, 1)]
        assert digests[0] == digests[1] != digests[2]


def test_the_draws_are_independent_of_each_other() -> None:
    source = splits(even_labels(60), even_labels(10))
    plain = choose(source, imbalance=MinorityClasses(5), validation=0.5)
    noisy = choose(source, imbalance=MinorityClasses(5), validation=0.5, label_noise=Uniform(0.5))
    assert plain.train.tolist() == noisy.train.tolist()
    assert plain.test.tolist() == noisy.test.tolist() == choose(source, Head(500), MinorityClasses(5)).test.tolist()


def test_global_generators_change_nothing() -> None:
    source, digests = splits(even_labels(60), even_labels(10)), set()
    for seed in (1, 2):
        np.random.seed(seed)
        torch.manual_seed(seed)
        digests.add(choose(source, Balanced(100), MinorityClasses(1), Uniform(0.5), 0.5).digest())
    assert len(digests) == 1


def test_a_digest_sees_every_index_and_label() -> None:
    arrays = [np.arange(4), np.arange(4, 6), np.arange(3), np.array([0, 1, 0, 1])]
    digest = data.SelectedData(*arrays, test_of=0).digest()
    assert digest == data.SelectedData(*(array.copy() for array in arrays), test_of=0).digest() == "b43e9a6e1aca080a"
    for i in range(4):
        changed = [array.copy() for array in arrays]
        changed[i][-1] += 1
        assert data.SelectedData(*changed, test_of=0).digest() != digest
    moved = [arrays[0][:3], np.array([3, 4, 5]), *arrays[2:]]
    assert data.SelectedData(*moved, test_of=0).digest() != digest, "the same numbers, shared out otherwise"


def test_a_part_has_the_chosen_images_with_their_labels() -> None:
    source = splits(even_labels(60), even_labels(10))
    for subset in (Full(), Head(7), Balanced(100)):
        choice = choose(source, subset)
        part = data.part(source.train_images, choice.train_labels, choice.train, torch.device("cpu"))
        numbers = part.images[:, 0, 0, 0].int() * 256 + part.images[:, 1, 0, 0].int()
        assert numbers.tolist() == choice.train.tolist()
        assert part.labels.tolist() == (choice.train % 10).tolist()
        assert part.labels.dtype == torch.int64 and part.images.dtype == torch.uint8 and len(part) == len(choice.train)


# --- normalisation ---


def pixels(count: int = 50, channels: int = 3) -> torch.Tensor:
    generator = torch.Generator().manual_seed(3)
    return torch.randint(0, 256, (count, channels, 5, 4), dtype=torch.uint8, generator=generator)


def naive(images: torch.Tensor, mean: list[float] | None, std: list[float] | None, zero_mean: bool) -> np.ndarray:
    """The normalised images, in plain float64 NumPy."""
    x = images.numpy().astype(np.float64) / 255
    if zero_mean:
        x -= x.mean(axis=(1, 2, 3), keepdims=True)
        mean = std = None
    over = (0, 2, 3)
    mean = x.mean(axis=over) if mean is None else np.array(mean)
    std = x.std(axis=over) if std is None else np.array(std)
    return (x - mean.reshape(1, -1, 1, 1)) / std.reshape(1, -1, 1, 1)


@pytest.mark.parametrize("zero_mean", [False, True])
@pytest.mark.parametrize("mean", [None, [0.1, 0.5, 0.9]])
@pytest.mark.parametrize("std", [None, [0.2, 0.3, 0.4]])
def test_normalisation_is_the_naive_one(mean: list[float] | None, std: list[float] | None, zero_mean: bool) -> None:
    images = pixels()
    got = data.Normalize.of(images, mean, std, zero_mean).to(torch.device("cpu"))(images)
    assert got.dtype == torch.float32
    np.testing.assert_allclose(got.numpy(), naive(images, mean, std, zero_mean), atol=1e-5)


def test_statistics_do_not_depend_on_the_chunks() -> None:
    images = pixels(12001, 1)
    got = data.Normalize.of(images, None, None, False)
    np.testing.assert_allclose(float(got.std), (images.double() / 255).std(correction=0).item(), atol=1e-6)
    np.testing.assert_allclose(float(got.mean), (images.double() / 255).mean().item(), atol=1e-6)


def test_statistics_are_of_the_training_images_and_are_used_on_others() -> None:
    train, test = pixels(), pixels()[:7] // 2
    expected = (test.numpy() / 255 - (train.numpy() / 255).mean((0, 2, 3)).reshape(1, 3, 1, 1)) / (
        (train.numpy() / 255).std((0, 2, 3)).reshape(1, 3, 1, 1)
    )
    np.testing.assert_allclose(data.Normalize.of(train, None, None, False)(test).numpy(), expected, atol=1e-5)


def test_a_constant_channel_becomes_zero_and_not_nan() -> None:
    images = pixels()
    images[:, 1] = 0
    normalised = data.Normalize.of(images, None, None, False)(images)
    assert torch.isfinite(normalised).all()
    assert normalised[:, 1].abs().max() < 1e-6


def test_normalising_leaves_the_images_alone() -> None:
    images = pixels()
    data.Normalize.of(images, None, None, True)(images)
    assert torch.equal(images, pixels())


# --- loading ---


def test_a_data_set_stays_in_memory_until_another_is_asked_for() -> None:
    node = {"_target_": "mixexp.dataset.digits.Digits", "test_fraction": 0.2}
    first = data.load(node)[1]
    assert data.load(dict(reversed(node.items())))[1] is first
    other = data.load({**node, "test_fraction": 0.5})[1]
    assert len(other.test_labels) > len(first.test_labels)

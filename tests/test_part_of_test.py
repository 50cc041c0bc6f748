"""test.n: evaluations on a part of the test set that is the same in every run, which every table names."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from commands import mixexp
from hypothesis import given
from hypothesis import strategies as st
from running import command, config_of, errors_of, sounds, trained
from test_selection import choose, even_labels, splits

from mixexp.dataset.split import stratified_part
from mixexp.imbalance import MinorityClasses
from mixexp.plan.compose import compose
from mixexp.plan.dry_run import data_summary
from mixexp.plan.identity import differences, run_id
from mixexp.reporting.compare import compare
from mixexp.reporting.compare import document as compared
from mixexp.reporting.leaderboard import document, leaderboard
from mixexp.reporting.runs import parts_of_test
from mixexp.reporting.tables import build_table
from mixexp.settings import ADDED
from mixexp.spec.table import of_metric
from mixexp.subset import Balanced
from mixexp.sweeping import reprobe
from mixexp.training.reader import load_run, trained_config
from mixexp.training.spec import RunConfig

TINY = ("model=mlp", "model.hidden=[4]", "epochs=1")


# --- which images ---


@given(labels=st.lists(st.integers(0, 4), min_size=1, max_size=60), share=st.floats(0, 1), seed=st.integers(0, 9))
def test_a_part_has_every_class_in_proportion(labels, share, seed):
    labels = np.array(labels)
    size = round(share * len(labels))
    rows = stratified_part(labels, size, np.random.default_rng(seed).permutation(len(labels)))
    assert len(rows) == size and (np.diff(rows) > 0).all()
    for label in np.unique(labels):
        quota = size * (labels == label).sum() / len(labels)
        assert abs((labels[rows] == label).sum() - quota) < 1


def test_the_largest_remainders_get_what_is_left_and_the_first_in_the_order_are_taken():
    labels, order = np.array([0] * 5 + [1] * 3 + [2] * 2), np.arange(10)[::-1]
    assert stratified_part(labels, 4, order).tolist() == [3, 4, 7, 9], "quotas of 2, 1.2 and 0.8"


def test_the_part_is_the_same_whatever_the_seeds_and_the_training_images():
    source = splits(even_labels(60), even_labels(40))
    parts = [
        choose(source, subset, data_seed=seed, test_n=100).test for subset in (None, Balanced(10)) for seed in (0, 1)
    ]
    assert all(np.array_equal(part, parts[0]) for part in parts) and len(parts[0]) == 100
    assert np.bincount(source.test_labels.numpy()[parts[0]]).tolist() == [10] * 10
    # these images are what "test.n" has named in every record: another order would make other numbers under the same
    # run_id
    assert parts[0][:12].tolist() == [6, 13, 17, 19, 31, 33, 38, 40, 42, 46, 52, 57]


def test_a_larger_part_has_the_images_of_a_smaller_one():
    source = splits(even_labels(60), even_labels(40))
    small, large = (set(choose(source, test_n=size).test.tolist()) for size in (50, 200))
    assert small < large


def test_without_it_nothing_changes():
    source = splits(even_labels(60), even_labels(40))
    assert choose(source, test_n=None).digest() == choose(source, test_n=400).digest()
    assert choose(source, test_n=None).digest() != choose(source, test_n=399).digest()


def test_of_a_test_set_that_the_imbalance_has_cut_it_is_a_part():
    source, minority = splits(even_labels(60), even_labels(40)), MinorityClasses(n=4)
    whole, part = choose(source, imbalance=minority), choose(source, imbalance=minority, test_n=110)
    assert set(part.test.tolist()) < set(whole.test.tolist()) and part.test_of == len(whole.test) == 220
    assert np.bincount(source.test_labels.numpy()[part.test]).tolist() == [2, 20] * 5


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("test.n=360", "test.n = 360: the test set has 359 images; give 359 at most, or null for all of them"),
        ("test.n=0", "test.n = 0: needs a whole number from 1 to 2**63-1, or null"),
        ("test.n=-5", "test.n = -5: needs a whole number from 1 to 2**63-1, or null"),
        ("test.n=all", "test.n = all: needs a whole number from 1 to 2**63-1, or null"),
        ("test.n=0.5", "test.n = 0.5: needs a whole number from 1 to 2**63-1, or null"),
        ("test.n=1", "test.n: it leaves 1 test images, all of the class 3; two classes are needed; take more images"),
        (
            "test=100",
            "test = 100: needs a mapping with the number of test images, as in {n: 1000}. Did you mean 'test.n=100'?",
        ),
        ("test=some", "test = some: needs a mapping with the number of test images, as in {n: 1000}"),
        (
            "++test.m=5",
            "test.m: no such setting; there are n. ('~test.m' removes it where a file or its defaults set it)",
        ),
    ],
)
def test_a_part_that_cannot_be_is_refused_with_one_message(word, said):
    assert errors_of(compose([*TINY, word])) == [said]


def test_a_number_may_be_written_in_any_way_and_a_class_without_a_test_image_is_named():
    assert config_of(*TINY, "test.n=1e2")["test"] == {"n": 100}
    assert (
        data_summary(RunConfig.of(config_of(*TINY, "test.n=5")))
        .missing[0]
        .startswith("5 of 10 classes have no test image: ")
    )


def test_a_game_has_no_use_for_it():
    (line,) = errors_of(compose(["dataset=ring", "gan=plain", "steps=2", "test.n=10"]))
    assert line == "test.n = 10: has no effect on a run of the group gan; leave it as config.yaml has it"


def test_its_default_cannot_be_taken_away(capsys):
    code, said = command(capsys, "~test")
    assert code == 2 and said == "mixexp: ~test: every run has this setting; its default is 'test={n: null}'\n"


def test_the_settings_name_it(capsys):
    _, said = command(capsys, "list", "settings")
    assert "\ntest.n=null  " in said and "with classes in proportion" in said


# --- which run ---


def test_a_run_without_it_is_the_run_it_was_and_one_with_it_another():
    plain, part = config_of(*TINY), config_of(*TINY, "test.n=50")
    before = {key: value for key, value in plain.items() if key != "test"}
    assert run_id(plain) == run_id({**before, **ADDED}) != run_id(part)
    assert differences(part, plain) == {"test.n": [50, None]} and differences(plain, plain) == {}


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> dict[int | None, Path]:
    """The folders of a run on the whole test set and of one on a part, with their networks and a probe of the test
    images."""
    root = tmp_path_factory.mktemp("runs")
    words = (*TINY, "keep=last", "probe=by_class")
    return {n: trained(root / str(n), *words, *([] if n is None else [f"test.n={n}"])).path for n in (None, 100)}


def test_all_that_a_run_says_of_test_images_is_of_the_part(records):
    part, whole = load_run(records[100]), load_run(records[None])
    assert part.environment["test_counts"] == [10] * 10 and part.environment["test_of"] == 359
    assert sum(whole.environment["test_counts"]) == 359 and "test_of" not in whole.environment
    confusion = np.loadtxt(records[100] / "confusion.csv", delimiter=",", skiprows=1, usecols=range(1, 11))
    assert confusion.sum(axis=1).tolist() == [10] * 10 and confusion.trace() / 100 == pytest.approx(
        part.last["accuracy"]
    )
    assert {row["test_images"] for row in part.probe("by_class", ["test_images"])} == {"10"}
    assert (
        part.metrics["train_loss"] == whole.metrics["train_loss"]
        and part.environment["data_hash"] != whole.environment["data_hash"]
    )


def test_a_probe_of_a_finished_run_sees_the_same_images(records, tmp_path):
    folder = shutil.copytree(records[100], tmp_path / "run")
    (measurement,) = reprobe.plan([folder], compose(["probe=by_class", "probe.while_training=true"]), None, again=True)
    reprobe.measure(measurement)
    assert {row["test_images"] for row in load_run(folder).probe("by_class", ["test_images"])} == {"10"}


def test_a_record_that_is_older_than_the_setting_was_evaluated_on_the_whole(records, tmp_path):
    folder = shutil.copytree(records[None], tmp_path / "run")
    text = (folder / "config.yaml").read_text(encoding="utf-8")
    (folder / "config.yaml").write_text(text.replace("test:\n  n: null\n", ""), encoding="utf-8")
    assert "test" not in load_run(folder).config and trained_config(folder)["test"] == {"n": None}


def test_sounds_are_evaluated_on_a_part_too():
    summary = data_summary(
        RunConfig.of(config_of("model=sound_cnn", "model.width=2", "loss=kl", *sounds(), "test.n=20"))
    )
    assert summary.tested == summary.evaluated == 20 and summary.missing == ()


# --- what reports say ---


def test_every_table_names_the_part_and_no_cell_has_both(records):
    part, whole = (load_run(records[n]) for n in (100, None))
    assert "Test images: a class-balanced 100 of 359." in build_table([part]).remarks
    assert not [remark for remark in build_table([whole]).remarks if "Test images" in remark]
    told = {"title": "t", "rows": {"key": "loss"}, "columns": {"key": "mix"}}
    for run in (part, whole):
        run.config["table"] = told
    both = build_table([part, whole])
    assert list(both.unlike.values()) == [["test.n"]]
    assert "Test images: a class-balanced 100 of 359 (in 1 of 2 runs)." in both.remarks
    assert "Unlike runs share a cell: they differ in test.n (cross_entropy / none)." in both.remarks


def test_unequal_classes_are_said_to_be_in_proportion(records, tmp_path):
    folder = shutil.copytree(records[100], tmp_path / "run")
    about = json.loads((folder / "environment.json").read_text(encoding="utf-8"))
    for counts, of, expected in (
        ([30, 10, 0], 4000, ["Test images: 40 of 4,000, with classes in proportion."]),
        ([10, 11, 0], 300, ["Test images: a class-balanced 21 of 300."]),
        ([10, "x"], 300, []),
        (None, 300, []),
        ([10], "many", []),
    ):
        (folder / "environment.json").write_text(
            json.dumps({**about, "test_counts": counts, "test_of": of}), encoding="utf-8"
        )
        assert parts_of_test([load_run(folder)]) == expected


def test_a_leaderboard_and_a_comparison_name_it(records):
    part, whole = (load_run(records[n]) for n in (100, None))
    rows = leaderboard([part, whole], "accuracy", "last")
    assert sorted(row.words for row in rows) == [
        "digits, mlp, epochs 1, batch_size 64",
        "digits, mlp, epochs 1, batch_size 64, test.n=100",
    ]
    assert ", test.n=100 (protocol" in document(leaderboard([part], "accuracy", "last"), "accuracy", "last", [])
    spec = of_metric("accuracy")
    assert "Test images: a class-balanced 100 of 359.\n" in compared(
        compare(("a", "b"), ([part], [part]), spec, "last"), spec, "last"
    )


def test_an_articles_table_on_a_part_is_reduced(tmp_path):
    done = mixexp("reproduce", "quickstart", *TINY, "test.n=50", "seed=0", "alpha=0.2", "mix_layer=input", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (
        "**Reduced: " in done.stdout
        and "tested on 50 examples instead of all" in done.stdout
        and "- Test images: a class-balanced 50 of 359." in done.stdout
    )

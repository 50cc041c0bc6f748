"""Two folders or two commits set side by side, and the leaderboard, on run folders written by hand."""

from __future__ import annotations

import csv
import itertools
import json
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import yaml
from filelock import FileLock
from scipy import stats
from test_report import leave

from mixexp.errors import UserError
from mixexp.reporting.compare import compare, document, metric_of, sides
from mixexp.reporting.figures import probes
from mixexp.reporting.figures.lines import score_of
from mixexp.reporting.figures.probes import cells_with_images
from mixexp.reporting.leaderboard import document as leaderboard_document
from mixexp.reporting.leaderboard import leaderboard
from mixexp.reporting.markdown import markdown
from mixexp.reporting.page.runlist import facts
from mixexp.reporting.stats import holm
from mixexp.reporting.summary import contrasts
from mixexp.reporting.tables import build_table, build_tables
from mixexp.reporting.write import write_report
from mixexp.spec.figures import complete
from mixexp.spec.table import of_metric
from mixexp.training.reader import everywhere, load_runs

A, B = (0.50, 0.53, 0.56, 0.51), (0.56, 0.59, 0.60, 0.57)
SPEC = of_metric("accuracy")


def made_by(folder, commit, **facts):
    path = folder / "environment.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"git": {"commit": commit, "dirty": False}} | facts))


def runs(folder, accuracies, prefix="r", **settings):
    for seed, accuracy in enumerate(accuracies):
        leave(folder / f"{prefix}{seed}", (0.1, accuracy), seed=seed, **settings)


def compared(tmp_path, first="a", second="b"):
    names = str(tmp_path / first), str(tmp_path / second)
    return compare(names, sides(names, [tmp_path]), SPEC, "last")


def test_what_changed_is_found_and_the_rest_compared_by_seed(tmp_path):
    runs(tmp_path / "a", A, lr=0.1)
    runs(tmp_path / "b", B, lr=0.05)
    runs(tmp_path / "a", A[:3], prefix="m", lr=0.1, mix="mixup")
    runs(tmp_path / "b", (0.50, 0.54, 0.55), prefix="m", lr=0.05, mix="mixup")
    found = compared(tmp_path)
    assert found.changed == {"lr": ("0.1", "0.05")}
    plain, mixed = sorted(found.changes, key=lambda one: -len(one.first))
    expected = [stats.ttest_rel(B, A).pvalue, stats.ttest_rel((0.50, 0.54, 0.55), A[:3]).pvalue]
    assert [plain.result.p, mixed.result.p] == pytest.approx(expected) and plain.pairs == 4
    assert [plain.adjusted, mixed.adjusted] == pytest.approx(holm(expected))
    assert (plain.result.difference, plain.verdict("higher"), plain.verdict("lower")) == (
        pytest.approx(5.5),
        "better",
        "worse",
    )
    assert mixed.verdict("higher") == "within noise"
    text = document(found, SPEC, "last")
    assert (
        "| lr | 0.1 | 0.05 |" in text
        and "2 settings in common: 1 better, 1 within noise" in text
        and "paired t-test on the seeds in common" in text
    )


def test_without_common_seeds_means_are_compared(tmp_path):
    runs(tmp_path / "a", A)
    for seed, accuracy in enumerate(B, start=10):
        leave(tmp_path / "b" / f"r{seed}", (0.1, accuracy), seed=seed)
    (one,) = compared(tmp_path).changes
    assert not one.pairs and one.result.p == pytest.approx(stats.ttest_ind(B, A, equal_var=False).pvalue)
    assert "Welch" in document(compared(tmp_path), SPEC, "last")


def test_a_missing_run_costs_its_pair_and_no_other(tmp_path):
    first = (0.50, 0.60, 0.70, 0.55, 0.65)
    runs(tmp_path / "a", first)
    runs(tmp_path / "b", [accuracy + 0.01 + seed / 1000 for seed, accuracy in enumerate(first[:4])])
    (one,) = compared(tmp_path).changes
    assert (one.pairs, one.verdict("higher")) == (4, "better")
    assert one.result.difference == pytest.approx(1.15)


def test_copies_are_no_further_seeds(tmp_path):
    for side, accuracies in (("a", A[:3]), ("b", B[:3])):
        for copy in range(4):
            runs(tmp_path / side / f"copy{copy}", accuracies)
    (one,) = compared(tmp_path).changes
    assert one.result.n == 3 and one.result.p == pytest.approx(stats.ttest_rel(B[:3], A[:3]).pvalue)


def test_unlike_settings_are_not_pooled(tmp_path):
    runs(tmp_path / "a", A, alpha=0.1)
    for alpha in (0.2, 0.4):
        runs(tmp_path / "b", B, prefix=f"{alpha}", alpha=alpha)
    found = compared(tmp_path)
    assert found.changes == [] and found.alone == (["alpha=0.1"], ["alpha=0.2", "alpha=0.4"])


def test_settings_of_another_option_are_not_pooled(tmp_path):
    runs(tmp_path / "a", A, imbalance={"_target_": "x.None"})
    for n in (5, 20):
        runs(tmp_path / "b", B, prefix=f"{n}-", imbalance={"_target_": "x.Minority", "n": n})
    found = compared(tmp_path)
    assert found.changes == [] and found.alone == (["imbalance.n=–"], ["imbalance.n=20", "imbalance.n=5"])
    runs(tmp_path / "c", B, imbalance={"_target_": "x.Minority", "n": 5})
    found = compared(tmp_path, "a", "c")
    assert [one.pairs for one in found.changes] == [4] and found.changed["imbalance.n"] == ("–", "5")


def test_equal_numbers_of_other_runs_are_equal(tmp_path):
    runs(tmp_path / "a", A)
    for seed, accuracy in enumerate(A):
        leave(tmp_path / "b" / f"r{seed}", (0.2, accuracy), seed=seed)
    assert [one.verdict("higher") for one in compared(tmp_path).changes] == ["equal"]


def test_changed_data_are_shown_and_a_short_name_of_two_commits_refused(tmp_path):
    for name, commit, contents in (("old", "abcd1" + "0" * 35, "x1"), ("new", "abcd2" + "0" * 35, "x2")):
        runs(tmp_path / name, A)
        for folder in (tmp_path / name).iterdir():
            made_by(folder, commit, data_contents=contents)
    names = "abcd1", "abcd2"
    assert compare(names, sides(names, [tmp_path]), SPEC, "last").circumstances["contents of the data set's files"] == (
        "x1",
        "x2",
    )
    with pytest.raises(UserError, match="abcd could be any of the commits abcd10000000, abcd20000000"):
        sides(("abcd", "abcd1"), [tmp_path])


def test_equal_runs_are_identical_and_few_are_open(tmp_path):
    runs(tmp_path / "a", A)
    runs(tmp_path / "b", A)
    assert [one.verdict("higher") for one in compared(tmp_path).changes] == ["identical"]
    runs(tmp_path / "c", (0.4, 0.5))
    assert [one.verdict("higher") for one in compared(tmp_path, "a", "c").changes] == [
        "open: 2 seeds in common, 3 are needed"
    ]
    runs(tmp_path / "d", [value + 0.25 for value in A])
    assert [one.verdict("higher") for one in compared(tmp_path, "a", "d").changes] == ["no spread to judge by"]


def test_what_is_on_one_side_only_or_has_no_number_is_listed(tmp_path):
    runs(tmp_path / "a", A)
    runs(tmp_path / "a", A, prefix="m", mix="mixup")
    runs(tmp_path / "b", A)
    leave(tmp_path / "b" / "x", outcome=None, seed=9)
    found = compared(tmp_path)
    assert found.alone == (["mix=mixup"], [])
    text = document(found, SPEC, "last")
    assert "## Only in" in text and "- x: unfinished, no result.json" in text


def test_a_side_that_has_nothing_in_common_says_so(tmp_path):
    runs(tmp_path / "a", A, mix="mixup", lr=0.1)
    runs(tmp_path / "a", A, prefix="s", mix="none", lr=0.2)
    runs(tmp_path / "b", A, mix="mixup", lr=0.2)
    found = compared(tmp_path)
    assert found.changes == [] and "no setting in common" in document(found, SPEC, "last")


def test_commits_are_told_by_their_beginning_and_circumstances_are_shown(tmp_path):
    for name, commit, torch in (("old", "a" * 40, "2.11"), ("new", "b" * 40, "2.15")):
        runs(tmp_path / name, A)
        for folder in (tmp_path / name).iterdir():
            made_by(folder, commit, versions={"torch": torch})
    names = "aaaaaa", "bbbb"
    found = compare(names, sides(names, [tmp_path]), SPEC, "last")
    assert [one.verdict("higher") for one in found.changes] == ["identical"]
    assert found.circumstances == {"commit": ("a" * 10, "b" * 10), "torch": ("2.11", "2.15")}
    with pytest.raises(
        UserError,
        match=(
            r"cccc is not a folder, and no run in .* was made by that git commit\. Commits of the runs there: aaaaaaaaaa,"
            " bbbbbbbbbb"
        ),
    ):
        sides(("aaaa", "cccc"), [tmp_path])
    with pytest.raises(UserError, match="neither a folder nor"):
        sides(("aaaa", "--output=x"), [tmp_path])


def test_a_name_of_git_is_resolved_in_the_checkout(tmp_path, monkeypatch):
    git = ["git", "-c", "user.name=n", "-c", "user.email=e@example.org"]
    subprocess.run([*git, "init", "-q", tmp_path], check=True)
    subprocess.run([*git, "-C", tmp_path, "commit", "-q", "--allow-empty", "-m", "one"], check=True)
    head = subprocess.run(
        ["git", "-C", tmp_path, "rev-parse", "HEAD"], check=True, capture_output=True, text=True
    ).stdout.strip()
    runs(tmp_path / "runs", A)
    for folder in (tmp_path / "runs").iterdir():
        made_by(folder, head)
    monkeypatch.chdir(tmp_path)
    first, second = sides(("HEAD", "master" if (tmp_path / ".git/refs/heads/master").exists() else "main"), [tmp_path])
    assert len(first) == len(second) == 4


def test_the_metric_is_that_of_the_tables(tmp_path):
    leave(tmp_path / "a")
    assert metric_of(everywhere([tmp_path])) == "accuracy"
    leave(tmp_path / "b", table={"metric": "test_loss"})
    assert metric_of([everywhere([tmp_path])[1]]) == "test_loss"
    assert metric_of(everywhere([tmp_path])) == "accuracy", "two metrics: the usual one"


def rows_of(tmp_path, metric="accuracy", rule="last"):
    return leaderboard(everywhere([tmp_path]), metric, rule)


def test_methods_are_ranked_only_under_one_protocol(tmp_path):
    runs(tmp_path / "deep" / "down" / "s", A)
    runs(tmp_path / "s2", B, prefix="m", mix="mixup")
    runs(tmp_path / "s2", (0.99,), prefix="more", mix="mixup", n=5000)  # other data: never above the others
    runs(tmp_path / "s3", (0.98,), prefix="longer", mix="mixup", epochs=31)
    rows = rows_of(tmp_path)
    assert [(row.rank, row.method.split(",")[0], len(row.values)) for row in rows] == [
        (1, "mixup", 4),
        (2, "none", 4),
        (1, "mixup", 1),
        (1, "mixup", 1),
    ]
    assert len({row.protocol for row in rows}) == 3 and rows[0].protocol == rows[1].protocol
    assert rows[1].behind == pytest.approx(stats.ttest_rel(A, B).pvalue) and rows[0].behind is None
    assert len({row.words for row in rows}) == 3, "two protocols have different names"
    text = leaderboard_document(rows, "accuracy", "last", [])
    assert all(f"| {row.protocol} |" in text for row in rows)


@pytest.mark.parametrize("key", ["dataset", "model", "optimizer", "batch_size", "validation", "something.new"])
def test_whatever_is_no_method_is_protocol(tmp_path, key):
    other = {"something": {"new": 3}} if "." in key else {key: 7}
    runs(tmp_path / "a", A[:1])
    runs(tmp_path / "b", A[:1], prefix="o", **other)
    assert len({row.protocol for row in rows_of(tmp_path)}) == 2


def test_seeds_places_and_measurements_are_no_protocol(tmp_path):
    for number, more in enumerate(
        ({"data_seed": 3}, {"name": "x"}, {"device": "cuda"}, {"probe": {"_target_": "x.P"}}, {"threads": 4})
    ):
        leave(tmp_path / f"r{number}", (0.5,), seed=number, **more)
    (row,) = rows_of(tmp_path)
    assert len(row.values) == 5


def test_a_loss_is_ranked_from_the_smallest_on(tmp_path):
    leave(tmp_path / "a", (0.5, 0.5))
    leave(tmp_path / "b", (0.5, 0.5, 0.5), mix="mixup")
    assert [row.method.split(",")[0] for row in rows_of(tmp_path, "test_loss")] == ["mixup", "none"]
    with pytest.raises(UserError, match=r"no finished run has a number for 'acuracy'.*Did you mean 'accuracy'"):
        rows_of(tmp_path, "acuracy")


def test_data_that_were_edited_are_another_protocol_and_records_without_contents_are_of_those_there_are(tmp_path):
    for number, contents in enumerate(("x1", "x1", None)):
        made_by(
            leave(tmp_path / f"r{number}", (0.5,), seed=number),
            "a" * 40,
            **({"data_contents": contents} if contents else {}),
        )
    assert [len(row.values) for row in rows_of(tmp_path)] == [3]
    made_by(leave(tmp_path / "edited", (0.9,), seed=0, mix="mixup"), "a" * 40, data_contents="x2")
    rows = rows_of(tmp_path)
    assert all(row.rank == 1 for row in rows) and len({row.words for row in rows}) == len(rows) == 3


def test_a_setting_without_a_value_is_as_good_as_none(tmp_path):
    leave(tmp_path / "old", (0.5,))
    leave(tmp_path / "new", (0.6,), seed=1, younger=None)
    assert [len(row.values) for row in rows_of(tmp_path)] == [2]


def test_methods_with_the_same_mean_share_a_rank(tmp_path):
    for mix in ("none", "mixup", "bc"):
        runs(tmp_path / mix, A if mix != "bc" else B, mix=mix)
    assert [row.rank for row in rows_of(tmp_path)] == [1, 2, 2]


def test_a_first_place_among_equals_is_no_finding(tmp_path):
    rng = np.random.default_rng(4)
    found = 0
    for round_ in range(60):
        for method, values in enumerate(rng.normal(0.5, 0.05, size=(6, 4))):
            runs(tmp_path / str(round_), values, prefix=f"{method}-", mix=f"m{method}")
        found += any(
            row.behind is not None and row.behind < 0.05
            for row in leaderboard(everywhere([tmp_path / str(round_)]), "accuracy", "last")
        )
    assert found <= 6  # of 60 leaderboards without any difference


def test_a_newer_try_that_failed_hides_no_finished_run(tmp_path):
    made_by(leave(tmp_path / "a" / "r", (0.5,)), "a" * 40, started="2026-01-01T00:00:00+0000")
    made_by(leave(tmp_path / "b" / "r", (0.5,), outcome=None), "a" * 40, started="2026-02-01T00:00:00+0000")
    assert len(rows_of(tmp_path)) == 1
    made_by(leave(tmp_path / "c" / "r", (0.7,)), "a" * 40, started="2026-03-01T00:00:00+0000")
    assert rows_of(tmp_path)[0].values == [70.0], "of two finished ones, that which started last"
    leave(tmp_path / "d" / "r", (0.8,))
    assert rows_of(tmp_path)[0].values == [70.0], "nobody knows when this one started"


def test_links_are_followed_once(tmp_path):
    leave(tmp_path / "real" / "r", (0.5,))
    (tmp_path / "linked").symlink_to(tmp_path / "real")
    (tmp_path / "real" / "loop").symlink_to(tmp_path)
    assert [run.folder.name for run in everywhere([tmp_path])] == ["r"]


def test_a_kept_copy_of_a_run_counts_once(tmp_path):
    runs(tmp_path / "a", A)
    runs(tmp_path / "published" / "a" / "runs", A)
    assert [len(row.values) for row in rows_of(tmp_path)] == [4]


def command(*words, cwd):
    return subprocess.run([sys.executable, "-m", "mixexp", *map(str, words)], cwd=cwd, capture_output=True, text=True)


def test_the_commands_print_and_write(tmp_path):
    for name, mix in itertools.product(("a", "b"), ("none", "mixup")):
        runs(
            tmp_path / "outputs" / name, A if mix == "none" else B, prefix=mix, mix=mix, lr=0.1 if name == "a" else 0.2
        )
    done = command("compare", "outputs/a", "outputs/b", "--out", "there", cwd=tmp_path)
    assert done.returncode == 0 and "| lr | 0.1 | 0.2 |" in done.stdout, done.stderr
    assert (tmp_path / "there" / "compare.md").read_text() in done.stdout
    assert len(list(csv.DictReader((tmp_path / "there" / "compare.csv").open()))) == 2
    done = command("leaderboard", "--out", "there", cwd=tmp_path)
    assert done.returncode == 0 and "2 protocols" in done.stdout, done.stderr
    assert [row["rank"] for row in csv.DictReader((tmp_path / "there" / "leaderboard.csv").open())] == [
        "1",
        "2",
        "1",
        "2",
    ]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("compare", "outputs/a", "outputs/c"), "outputs/c"),
        (("compare", "outputs/a", "outputs/baseline_ol"), "Did you mean 'outputs/baseline_old'"),
        (("compare", "outputs/a"), "required: SECOND"),
        (("compare", "outputs/a", "outputs/a", "--metric", "acuracy"), "acuracy"),
        (("leaderboard", "nowhere"), "nowhere is not a folder"),
        (("leaderboard", "empty"), "there is no run in empty"),
        (("leaderboard", "--rule", "lst"), "median_last_10"),
    ],
)
def test_bad_words_get_one_message(tmp_path, words, said):
    runs(tmp_path / "outputs" / "a", A[:1])
    (tmp_path / "empty").mkdir()
    (tmp_path / "outputs" / "baseline_old").mkdir()
    done = command(*words, cwd=tmp_path)
    assert done.returncode == 2 and said in done.stderr and "Traceback" not in done.stderr


# --- what no setting says ---


def edited(folder, contents, **facts):
    """Runs with four seeds, made on these contents of the data set's files, one a seed."""
    runs(folder, A if folder.name == "a" else B)
    for seed, content in enumerate(contents):
        made_by(folder / f"r{seed}", "a" * 40, **({} if content is None else {"data_contents": content}), **facts)


def verdict(tmp_path):
    (one,) = compared(tmp_path).changes
    return one.verdict("higher")


def test_runs_on_other_contents_of_a_file_have_no_difference(tmp_path):
    edited(tmp_path / "a", ["old"] * 4)
    edited(tmp_path / "b", ["new"] * 4)
    found = compared(tmp_path)
    words = "unlike runs: they differ in the contents of the data set's files"
    assert verdict(tmp_path) == words
    text = document(found, SPEC, "last")
    assert "1 setting in common: 1 unlike runs" in text
    assert f"| all runs | 52.50 ± 2.65 (4) | 58.00 ± 1.83 (4) | 4 |  |  |  | {words} |" in text, (
        "each side has a mean, and the two no difference"
    )
    from mixexp.reporting.compare import records

    (record,) = records(found, SPEC, "last")
    assert (record["difference"], record["p"], record["interval_low"], record["first"]) == (
        None,
        None,
        None,
        pytest.approx(52.5),
    )


def test_a_side_of_several_contents_or_precisions_has_no_mean(tmp_path):
    edited(tmp_path / "a", ["old", "old", "new", "new"])
    edited(tmp_path / "b", ["new"] * 4)
    words = "unlike runs: they differ in the contents of the data set's files"
    assert f"| all runs | unlike runs (4) | 58.00 ± 1.83 (4) | 4 |  |  |  | {words} |" in document(
        compared(tmp_path), SPEC, "last"
    )
    for seed in range(4):
        made_by(tmp_path / "a" / f"r{seed}", "a" * 40, data_contents="new", bfloat16=seed > 1)
    assert verdict(tmp_path) == "unlike runs: they differ in precision"


def test_a_record_that_does_not_say_its_contents_and_another_data_set_are_compared(tmp_path):
    edited(tmp_path / "a", [None] * 4)
    edited(tmp_path / "b", ["new"] * 4)
    assert verdict(tmp_path) == "better"
    for side, name in (("a", "digits"), ("b", "letters")):
        for run in (tmp_path / side).iterdir():
            config = yaml.safe_load((run / "config.yaml").read_text())
            config["choices"]["dataset"] = name
            (run / "config.yaml").write_text(yaml.safe_dump(config))
            made_by(run, "a" * 40, data_contents=name)
    assert verdict(tmp_path) == "better", "the data set was changed on purpose, and is listed as changed"


def test_a_reports_differences_are_of_runs_on_the_same_data(tmp_path):
    for mix, contents, accuracies in (("none", "old", A), ("mixup", "new", B)):
        runs(tmp_path, accuracies, prefix=mix, mix=mix)
        for seed in range(4):
            made_by(tmp_path / f"{mix}{seed}", "a" * 40, data_contents=contents if seed else "old")
    (table,) = build_tables(load_runs(tmp_path), baseline="none")
    assert contrasts(table) == [], "a cell of both has no number"
    made_by(tmp_path / "mixup0", "a" * 40, data_contents="new")
    (table,) = build_tables(load_runs(tmp_path), baseline="none")
    assert contrasts(table) == [], "no seed has two runs on the same data"
    for seed in range(4):
        made_by(tmp_path / f"mixup{seed}", "a" * 40, data_contents="old")
    (table,) = build_tables(load_runs(tmp_path), baseline="none")
    (one,) = contrasts(table)
    assert one.result.n == 4 and one.result.difference == pytest.approx(5.5)


def test_a_figure_of_unlike_runs_says_so_and_that_of_the_scores_leaves_them_out(tmp_path):
    runs(tmp_path / "runs", A)
    for seed in range(4):
        made_by(tmp_path / "runs" / f"r{seed}", "a" * 40, bfloat16=seed == 3)
    runs(tmp_path / "runs", B, prefix="mixup", mix="mixup")
    write_report([tmp_path / "runs"], out=tmp_path / "report")
    page = (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    captions = re.findall(r"<figcaption>(.*?)</figcaption>", page, re.DOTALL)
    together = [caption for caption in captions if "Unlike runs are together in 500 / none: see the notes." in caption]
    assert len(captions) > len(together) >= 2 and captions[0] not in together


def test_runs_of_one_cell_in_two_precisions_have_no_mean_and_it_is_said(tmp_path):
    runs(tmp_path, A)
    for seed in range(4):
        made_by(tmp_path / f"r{seed}", "a" * 40, bfloat16=seed == 3)
    (table,) = build_tables(load_runs(tmp_path))
    text = markdown(table)
    assert "unlike runs (4)" in text and "Unlike runs share a cell: they differ in precision (500 / none)." in text
    made_by(tmp_path / "r3", "a" * 40, bfloat16=False)
    assert "52.50 ± 2.65 (4)" in markdown(build_tables(load_runs(tmp_path))[0])


# --- folders without a finished run, and records without a seed ---


def failed(folder, reason):
    folder.mkdir(parents=True)
    (folder / "error.txt").write_text(f"Traceback\n{reason}\n")
    return folder


def test_folders_without_a_finished_run_say_how_their_runs_ended(tmp_path):
    failed(tmp_path / "a" / "r0", "RuntimeError: it broke")
    failed(tmp_path / "a" / "r1", "RuntimeError: it broke too")
    (leave(tmp_path / "b" / "only") / "config.yaml").write_text("")
    leave(tmp_path / "c" / "r0", outcome=None)
    runs(tmp_path / "d", A)
    why = {
        "a": "none of the 2 runs is finished: 2 failed; r0: RuntimeError: it broke",
        "b": "the run is damaged; only: config.yaml cannot be read: a mapping was expected, found NoneType",
        "c": "the run is unfinished; r0: no result.json; last evaluation at step 10",
    }
    for name, words in why.items():
        for first, second in ((name, "d"), ("d", name)):
            with pytest.raises(UserError) as raised:
                compared(tmp_path, first, second)
            assert str(raised.value) == f"{tmp_path / name}: {words}"
        with pytest.raises(UserError) as raised:
            leaderboard(everywhere([tmp_path / name]), "accuracy", "last")
        assert str(raised.value) == f"leaderboard: {words}"


def test_a_metric_that_no_run_has_is_named_with_the_reason(tmp_path):
    runs(tmp_path, (0.5, float("inf")))
    found = everywhere([tmp_path])

    def why(metric, rule="last", of=found):
        with pytest.raises(UserError) as raised:
            leaderboard(of, metric, rule)
        return str(raised.value)

    assert (
        why("acuracy")
        == "leaderboard: no finished run has a number for 'acuracy' by last evaluation. Did you mean 'accuracy'? "
        "There are train_loss, test_loss, accuracy, macro_f1."
    )
    assert (
        why("accuracy", of=found[1:])
        == "leaderboard: no finished run has a number for 'accuracy' by last evaluation; r1: accuracy is not a finite"
        " number in 1 evaluations"
    )
    assert why("accuracy", "best_validation").endswith(
        "since none held a part of its training set out (validation=0.1)"
    )


@pytest.mark.parametrize("way", ["all failed", "emptied", "cut", "cut where it is YAML", "without a seed"])
def test_a_report_without_any_seed_lists_the_runs(way, tmp_path):
    if way == "all failed":
        failed(tmp_path / "runs" / "r0", "RuntimeError: it broke")
    else:
        config = leave(tmp_path / "runs" / "r0") / "config.yaml"
        cut = config.read_text()[:13]  # its name alone
        text = {
            "emptied": "",
            "cut": cut + "\n  a: [",
            "cut where it is YAML": cut,
            "without a seed": "choices: {mix: none}\n",
        }[way]
        config.write_text(text)
    written = write_report([tmp_path / "runs"])
    page = next(path for path in written if path.suffix == ".html").read_text()
    table = next(path for path in written if path.name == "table.md").read_text()
    reason = {
        "all failed": "failed | r0 |  | RuntimeError: it broke |",
        "emptied": "damaged | r0 |  | config.yaml cannot be read: a mapping was expected, found NoneType |",
        "cut where it is YAML": (
            "| damaged | r0 | all runs / accuracy, seed – | config.yaml is not a configuration of a run |"
        ),
    }
    assert "r0" in page and reason.get(way, "r0" if way == "cut" else "50.00") in table


# --- the smallest seed, the last evaluation, times and two reports at once ---


def test_the_smallest_seed_is_the_smallest_number(tmp_path):
    for seed in (10, 2, 100):
        leave(tmp_path / f"r{seed}", seed=seed)
        (tmp_path / f"r{seed}" / "probe_points.csv").write_text(f"step,x,y\n1,{seed},{seed}\n")
        (tmp_path / f"r{seed}" / "probe_mixed_images.csv").write_text(
            f"step,sample,image,labels,lam,layer\n1,0,AA,cat {seed},1,input\n"
        )
    table = build_table(load_runs(tmp_path))
    spec = complete({"kind": "scatter", "probe": "points", "x": "x", "y": "y"})
    assert [run.folder.name for _, run, _ in probes._clouds(table, spec)] == ["r2"]
    assert [rows[0]["labels"] for *_, rows in cells_with_images(table, complete({"kind": "images"}))] == ["cat 2"]
    for name, seed in (("r10", "a"), ("r2", None), ("r100", "10.0")):
        config = yaml.safe_load((tmp_path / name / "config.yaml").read_text()) | {"seed": seed}
        (tmp_path / name / "config.yaml").write_text(yaml.safe_dump(config))
    assert [run.folder.name for _, run, _ in probes._clouds(build_table(load_runs(tmp_path)), spec)] == ["r100"], (
        "numbers before words before nothing"
    )


def test_an_earlier_evaluation_is_never_the_last(tmp_path):
    whole = leave(tmp_path / "whole", (0.5, 0.6), n=500)
    for name, last in (("infinite", "inf"), ("nothing", ""), ("burst", "1e200")):
        run = leave(tmp_path / name, (0.5, 0.6), n=500, seed=len(name))
        path = run / "metrics.csv"
        path.write_text(
            path.read_text().replace(
                "20,2.0,0.1,0.5,1.0,0.6,0.6,2", f"20,2.0,0.1,0.5,{last},{last if name == 'nothing' else 0.6},0.6,2"
            )
        )
    table = build_table(load_runs(tmp_path))
    shown = {
        run.folder.name: (score_of(table, run, "accuracy"), score_of(table, run, "test_loss")) for run in table.runs
    }
    assert shown == {"whole": (60.0, 1.0), "infinite": (60.0, None), "nothing": (None, None), "burst": (60.0, None)}
    assert [(run.folder.name, why) for run, _, why in table.without_result] == [
        ("nothing", "accuracy has no value at the last evaluation")
    ]
    assert score_of(table, next(run for run in table.runs if run.folder == whole), "macro_f1") == 60.0


def test_times_of_several_zones_are_in_the_order_of_the_clock(tmp_path):
    for name, started in (
        ("a", "2026-01-01T23:30:00-0800"),
        ("b", "2026-01-02T01:00:00+0900"),
        ("c", "2026-01-02T00:00:00+0000"),
        ("d", "nonsense"),
    ):
        made_by(leave(tmp_path / name), "a" * 40, started=started)
    assert facts(load_runs(tmp_path))["Started"] == ["2026-01-02 01:00:00+0900 to 2026-01-01 23:30:00-0800"]


def test_two_reports_of_one_folder_wait_for_each_other(tmp_path, capsys):
    runs(tmp_path / "runs", A)
    whole = {path.name: path.read_bytes() for path in write_report([tmp_path / "runs"])}
    home = tmp_path / "runs" / "report"
    # what another report is just writing, under any name that is not its own
    for name in (".table.md.tmp", ".report.html.tmp", ".curves.tmp.svg"):
        (home / name).mkdir()
    with ThreadPoolExecutor(1) as other:
        with FileLock(home / ".lock"):
            waiting, said, deadline = other.submit(write_report, [tmp_path / "runs"]), "", time.monotonic() + 60
            while not said and time.monotonic() < deadline:
                time.sleep(0.05)
                said = capsys.readouterr().err
            assert said == f"note: {home}: another process writes a report there, and this one waits for it\n"
            assert not waiting.done() and (home / "curves.png").exists()
        assert {path.name: path.read_bytes() for path in waiting.result(60)} == whole
    assert not (home / ".lock").exists() and not list(home.glob("*.part*"))

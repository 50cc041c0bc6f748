"""What is bold in a table, what it says in words, and every metric of metrics.csv, against naive calculations."""

from __future__ import annotations

import csv
import itertools
import json
import statistics
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from test_report import TABLE, leave, read

from mixexp.api.runs import Runs
from mixexp.reporting import sheets
from mixexp.reporting.best import best
from mixexp.reporting.csv_files import as_csv, contrast_records, run_records
from mixexp.reporting.findings import findings
from mixexp.reporting.latex import latex
from mixexp.reporting.markdown import headline, markdown
from mixexp.reporting.summary import cell_summary, contrasts
from mixexp.reporting.tables import Table, build_table
from mixexp.reporting.write import write_table
from mixexp.training.reader import load_runs

LEVELS = {
    "none": (0.40, 0.42, 0.41, 0.43), "mixup": (0.47, 0.48, 0.475, 0.485), "bc": (0.46, 0.49, 0.47, 0.48), "bc_plus": (0.44, 0.45, 0.46, 0.445),
}  # fmt: skip
PLAIN = {
    **TABLE,
    "rows": {"label": "mixing", "key": "mix"},
    "columns": {"values": {"accuracy": {}}},
    "published": {},
    "notes": [],
}


def table_of(
    folder: Path, levels: dict[str, tuple[float, ...]] = LEVELS, sizes: tuple[int, ...] = (500,), **changes: object
) -> Table:
    """Runs of some mixes at some sizes, each with its accuracies by seed, which sizes shift."""
    for (mix, accuracies), n in itertools.product(levels.items(), sizes):
        for seed, accuracy in enumerate(accuracies):
            leave(
                folder / f"{mix}{n}-{seed}",
                (0.1, accuracy + n / 10_000),
                n=n,
                mix=mix,
                seed=seed,
                table={**PLAIN, **changes},
            )
    return build_table(load_runs(folder))


def holm_of(ps: dict) -> dict:
    """Holm's correction of p by their names, written another way than the report's."""
    adjusted, worst = {}, 0.0
    for place, (name, p) in enumerate(sorted(ps.items(), key=lambda pair: pair[1])):
        worst = max(worst, min(1.0, (len(ps) - place) * p))
        adjusted[name] = worst
    return adjusted


def naive(levels: dict[str, tuple[float, ...]], lower: bool = False, groups: int = 1) -> set[str]:
    """Those of which no other is shown to be better, in each of some groups alike: by the table's own comparisons, those
    with none, where none is the best, else by all pairs."""
    return set(levels) - told_apart([levels] * groups, lower)


def told_apart(groups: list[dict[str, tuple[float, ...]]], lower: bool = False) -> set[str]:
    """The settings that are not bold in some group."""
    pairs = {
        (place, pair): stats.ttest_rel(*(levels[name] for name in pair)).pvalue
        for place, levels in enumerate(groups)
        for pair in combinations(levels, 2)
    }
    means = [
        {name: statistics.fmean(values) * (-1 if lower else 1) for name, values in levels.items()} for levels in groups
    ]
    own = all(max(each, key=each.get) == "none" for each in means) or len(groups[0]) == 2
    told = holm_of({key: p for key, p in pairs.items() if not own or "none" in key[1]})
    return {min(pair, key=means[place].get) for (place, pair), p in told.items() if p < 0.05}


def bold(table: Table) -> set[str]:
    return {row for row, _ in best(table).places}


def test_the_best_and_what_is_not_told_apart_from_it_are_bold(tmp_path):
    table = table_of(tmp_path)
    assert naive(LEVELS) == {"mixup", "bc"} == bold(table)
    lines = {line.split(" | ")[0].strip("| "): line for line in headline(table)[0].splitlines()}
    assert lines["mixup"].startswith("| mixup | **52.75** ± 0.65 (4) | ") and "**" not in lines["none"]
    assert "mixup & \\textbf{52.75} $\\pm$ 0.65 (4)" in latex(table, "x") and "textbf{47" not in latex(table, "x")
    assert (
        "Bold: the highest of each column" in sheets.headline(table).legend
        and "paired t-test" in sheets.headline(table).legend
    )


def test_lower_is_better_turns_the_best_round(tmp_path):
    table = table_of(tmp_path, metric="error", better="lower")
    assert bold(table) == naive(
        {mix: tuple(1 - value for value in values) for mix, values in LEVELS.items()}, lower=True
    )
    assert bold(build_table(table.runs, "best")) == bold(table)
    turned = table_of(tmp_path / "turned", better="lower")
    assert bold(turned) == {"none"} == naive(LEVELS, lower=True)


def test_each_row_has_its_best_where_columns_are_compared_and_nothing_published_is_bold(tmp_path):
    columns = {"label": "mixing", "values": {mix: {"mix": mix} for mix in LEVELS}}
    published = {"none": {500: 99.0, 100: 99.0}}
    table = table_of(
        tmp_path, sizes=(100, 500), rows={"label": "images", "key": "subset.n"}, columns=columns, published=published
    )
    assert best(table).places == {(size, mix) for size in ("100", "500") for mix in naive(LEVELS, groups=2)}
    text = "\n".join(headline(table))
    assert "**99" not in text and "the highest of each row" in text and text.count("**") == 2 * len(best(table).places)


def test_measures_are_compared_down_each_and_by_their_own_direction(tmp_path):
    columns = {"label": "", "measures": {"accuracy": {"metric": "accuracy"}, "error": {"metric": "error"}}}
    table = table_of(tmp_path, columns=columns)
    assert best(table).places == {
        (mix, measure) for mix in naive(LEVELS, groups=2) for measure in ("accuracy", "error")
    }
    shown = {"accuracy": {"metric": "accuracy"}, "error": {"metric": "error", "compared": False}}
    alone = table_of(tmp_path / "shown", columns={"label": "", "measures": shown})
    assert best(alone).places == {(mix, "accuracy") for mix in naive(LEVELS)} and {
        one.place for one in contrasts(alone)
    } == {"accuracy"}


def test_bold_and_words_agree_on_two_settings(tmp_path):
    columns = {"label": "mixing", "values": {mix: {"mix": mix} for mix in ("none", "mixup")}}
    levels = {"none": (0.40, 0.42, 0.41), "mixup": (0.45, 0.49, 0.445)}
    table = table_of(
        tmp_path, levels, (100, 500), rows={"label": "images", "key": "subset.n"}, columns=columns, baseline="none"
    )
    p = stats.ttest_rel(levels["none"], levels["mixup"]).pvalue
    assert 0.025 < p < 0.05, "by itself each row shows a difference, and neither does after the correction for two"
    assert len(best(table).places) == 4 and findings(table).startswith("Nothing is shown to differ from none: ")
    one = build_table([run for run in table.runs if run.setting("subset.n") == 100])
    assert best(one).places == {("100", "mixup")} and findings(one).startswith(
        "The difference from none is more than the seeds' noise"
    )


def test_too_few_seeds_leave_nothing_bold_and_a_cell_with_fewer_out(tmp_path):
    table = table_of(tmp_path / "two", {mix: values[:2] for mix, values in LEVELS.items()})
    assert (
        not bold(table)
        and sheets.headline(table).legend == "Nothing is bold: to tell the best of a column takes 3 seeds."
    )
    table = table_of(tmp_path / "some", {**LEVELS, "lucky": (0.9, 0.95)})
    assert bold(table) == {"mixup", "bc"}, "two seeds are not a candidate"
    assert best(table).legend.endswith(
        "). Left out: lucky / accuracy, which shares fewer than 3 seeds with any other cell."
    )
    assert "Left out" not in best(table_of(tmp_path / "all")).legend
    table = table_of(tmp_path / "apart", {"none": LEVELS["none"]})
    for seed in range(10, 14):
        leave(tmp_path / "apart" / f"other{seed}", (0.9 + seed / 1000,), mix="mixup", seed=seed, table=PLAIN)
    table = build_table(load_runs(tmp_path / "apart"))
    assert best(table).legend == "Nothing is bold: no two cells of a column share 3 seeds."
    for seed in range(4):  # in every cell, runs that no mean may join
        leave(tmp_path / "apart" / f"mixup{seed}", (0.5,), mix="mixup", seed=seed, table=PLAIN, batch_size=7 + seed)
        leave(tmp_path / "apart" / f"none{seed + 9}", (0.5,), seed=seed + 9, table=PLAIN)
    table = build_table(load_runs(tmp_path / "apart"))
    assert best(table).legend == "Nothing is bold: no two cells of a column share 3 seeds of runs that are alike."


def test_a_number_has_the_name_of_its_setting(tmp_path):
    axes = {"rows": {"label": "mixing", "key": "mix"}, "columns": {"label": "images", "key": "subset.n"}}
    for n, levels in ((100, (0.300, 0.311, 0.322)), (500, (0.400, 0.412, 0.423)), (900, (0.501, 0.512, 0.521))):
        for seed, level in enumerate(levels):
            leave(tmp_path / f"{n}{seed}", (level,), n=n, seed=seed, table={**PLAIN, **axes, "baseline": "500"})
    words = findings(build_table(load_runs(tmp_path)))
    assert words.startswith("Of 2 comparisons with images 500, 2 are more than the seeds' noise")
    assert "images 100 is 10.07 points worse" in words and "images 900 is 9.97 points better" in words


@pytest.mark.parametrize("baseline", ["all", None, "none", "500"])
def test_to_swap_rows_and_columns_changes_no_test(baseline, tmp_path):
    axes = {"rows": {"label": "images", "key": "subset.n"}, "columns": {"label": "mixing", "key": "mix"}}
    found = []
    for swap in (False, True):
        table = table_of(tmp_path / str(swap), sizes=(100, 500), baseline=baseline, swap=swap, **axes)
        tests = [(one.place, one.ours, one.theirs, one.adjusted) for one in contrasts(table)]
        found.append((tests, {frozenset(place) for place in best(table).places}, findings(table)))
    assert found[0] == found[1] and len(found[0][0]) >= 3


def test_a_cell_that_takes_part_in_every_row_is_said_to(tmp_path):
    table = {**PLAIN, "rows": {"label": "alpha", "key": "alpha"}, "columns": {"label": "mixing", "key": "mix"}}
    for seed in range(3):
        leave(tmp_path / f"none{seed}", (0.9 + seed / 100,), seed=seed, table=table, alpha=None)
        for alpha in (0.2, 1.0):
            leave(tmp_path / f"{alpha}{seed}", (0.5 + seed / 70,), mix="mixup", seed=seed, table=table, alpha=alpha)
    made = build_table(load_runs(tmp_path))
    assert best(made).places == {("–", "none")}
    assert best(made).legend.startswith("Bold: the highest of each row, – / none included, and every cell not shown")


def test_of_very_many_settings_none_is_the_best(tmp_path, monkeypatch):
    table = table_of(tmp_path)
    monkeypatch.setattr("mixexp.reporting.best.MOST_COMPARED", 4)
    assert bold(build_table(table.runs)) == naive(LEVELS), "as many as are compared"
    monkeypatch.setattr("mixexp.reporting.best.MOST_COMPARED", 3)
    assert (
        not bold(table) and best(table).legend == "Nothing is bold: more than 3 rows are not compared with one another."
    )


def test_what_is_computed_by_one_rule_is_not_taken_for_another(tmp_path):
    """By the last evaluation none is the best, and by the best one mixup is."""
    for seed, accuracy in enumerate((0.40, 0.42, 0.41, 0.43)):
        leave(tmp_path / f"none{seed}", (accuracy, accuracy), seed=seed, table=PLAIN)
        late = (accuracy + 0.1 + seed / 1000, accuracy - 0.1 - seed / 1000)
        leave(tmp_path / f"mixup{seed}", late, mix="mixup", seed=seed, table=PLAIN)
    table = build_table(load_runs(tmp_path))
    for rule, winner, gain in (("best", "mixup", 10.15), ("last", "none", -10.15), (None, "none", -10.15)):
        assert {row for row, _ in best(table, rule).places} == {winner}
        assert [one.result.difference for one in contrasts(table, rule)] == [pytest.approx(gain)]
        means = [cell_summary(table, mix, "accuracy", rule).ours for mix in ("none", "mixup")]
        assert means == [pytest.approx(41.5), pytest.approx(41.5 + gain)]


def test_what_a_seed_alone_has_does_not_make_the_best(tmp_path):
    """On the seeds that both have none is better, and by its mean mixup is."""
    spec = {**PLAIN, "baseline": "none"}
    for seed in range(10):
        leave(tmp_path / f"none{seed}", (0.3 + (0.3 if seed < 3 else 0) + seed / 1000,), seed=seed, table=spec)
    for seed in range(3):
        leave(tmp_path / f"mixup{seed}", (0.58 + seed / 1000 + seed**2 / 10000,), mix="mixup", seed=seed, table=spec)
    table = build_table(load_runs(tmp_path))
    assert bold(table) == {"none"} and "mixup is 1.9" in findings(table) and "worse" in findings(table)
    assert "7 runs of seeds that one alone has left out" in findings(table)


def test_survivors_are_not_the_best_and_are_counted(tmp_path):
    table = table_of(tmp_path, {"none": LEVELS["none"], "mixup": LEVELS["mixup"]}, baseline="none")
    leave(tmp_path / "lost", (0.1,), mix="mixup", seed=9, outcome="diverged", table=table.spec)
    table = build_table(load_runs(tmp_path))
    assert "52.75 ± 0.65 (4; 1 diverged)" in "\n".join(headline(table)) or "(4; 1 diverged)" in "\n".join(
        headline(table)
    )
    assert not bold(table) and findings(table).endswith(", 1 diverged of mixup left out.")


def test_seeds_that_are_not_shared_are_not_called_one(tmp_path):
    for seed in range(3):
        leave(tmp_path / f"none{seed}", (0.4 + seed / 100,), seed=seed, table=PLAIN)
        leave(tmp_path / f"mixup{seed}", (0.4 + seed / 99,), mix="mixup", seed=seed, table=PLAIN)
        leave(tmp_path / f"bc{seed}", (0.9 + seed / 100,), mix="bc", seed=seed + 10, table=PLAIN)
    runs = load_runs(tmp_path)
    assert "1 more could not be tested." in findings(build_table(runs))
    apart = build_table([run for run in runs if run.setting("mix") != "mixup"])
    assert findings(apart).startswith("No seeds in common: nothing can be compared.")
    one = build_table(
        [
            run
            for run in runs
            if run.setting("mix") != "bc" and not (run.setting("mix") == "mixup" and run.setting("seed"))
        ]
    )
    assert findings(one).startswith("1 seed in common at most: nothing can be compared.")


def test_differences_too_small_for_the_decimals_are_shown(tmp_path):
    levels = {
        "none": (0.4, 0.41, 0.42),
        "mixup": tuple(value + 1e-6 + seed * 1e-8 for seed, value in enumerate((0.4, 0.41, 0.42))),
    }
    assert "mixup is 0.0001 points better" in findings(table_of(tmp_path, levels, baseline="none"))


@pytest.mark.parametrize(("settings", "seeds", "rows"), [(2, 5, 1), (3, 3, 1), (9, 5, 1), (4, 5, 3)])
def test_without_an_effect_one_table_in_twenty_has_anything_that_is_not_bold(settings, seeds, rows):
    """By the naive rule, which the tests above compare with; of 300 tables, 15 are expected at 5 % and 24 would be two
    standard errors more."""
    rng, names = np.random.default_rng(0), ["none", *"abcdefgh"][:settings]
    wrong = 0
    for _ in range(300):
        of_seeds = rng.normal(size=seeds)
        groups = [{name: tuple(of_seeds + rng.normal(size=seeds)) for name in names} for _ in range(rows)]
        wrong += bool(told_apart(groups))
    assert wrong <= 23


def test_bold_and_stars_are_of_one_family_where_the_baseline_is_the_best(tmp_path):
    levels = {"none": LEVELS["mixup"], "mixup": (0.459, 0.46, 0.468, 0.473), "bc": (0.454, 0.475, 0.458, 0.473)}
    for worse in ("mixup", "bc"):
        p = stats.ttest_rel(levels["none"], levels[worse]).pvalue
        assert 2 * p < 0.05 < 3 * p, "it differs by two comparisons with none, and not by three pairs"
    table = table_of(tmp_path, levels, baseline="none")
    assert bold(table) == {"none"} and all(one.significant for one in contrasts(table))
    assert "Holm's correction over the table's comparisons)" in best(table).legend
    turned = table_of(tmp_path / "turned", levels, baseline="mixup")
    assert bold(turned) == set(levels), "the best has no comparison with bc"
    assert "Holm's correction over all pairs within columns)" in best(turned).legend


def test_the_same_numbers_are_as_good_as_one_another(tmp_path):
    assert bold(table_of(tmp_path, {"none": LEVELS["none"], "mixup": LEVELS["none"]})) == {"none", "mixup"}


def test_a_baseline_without_the_setting_of_the_rows_takes_part_in_each(tmp_path):
    columns = {"label": "mixing", "values": {"none": {"mix": "none"}, "mixup": {"mix": "mixup"}}}
    spec = {**PLAIN, "rows": {"label": "alpha", "key": "alpha"}, "columns": columns, "baseline": "none"}
    for seed, accuracy in enumerate(LEVELS["mixup"]):
        leave(tmp_path / f"none{seed}", (accuracy,), seed=seed, table=spec)
        for alpha, loss in ((0.2, 0.3), (8.0, -0.2)):
            leave(
                tmp_path / f"mixup{alpha}{seed}",
                (accuracy - loss + seed**2 / 1000,),
                mix="mixup",
                alpha=alpha,
                seed=seed,
                table=spec,
            )
    assert best(build_table(load_runs(tmp_path))).places == {("8", "mixup")}, (
        "none is worse than it there, and better than the other one"
    )


# --- in words ---


def test_what_differs_from_a_baseline_is_said_with_its_interval(tmp_path):
    table = table_of(tmp_path, baseline="none")
    gains = [ours - theirs for ours, theirs in zip(LEVELS["mixup"], LEVELS["none"], strict=True)]
    low, high = stats.t.interval(0.95, 3, statistics.fmean(gains), stats.sem(gains))
    words = findings(table)
    assert words.startswith(
        "Of 3 comparisons with none, 3 are more than the seeds' noise (p < 0.05 after Holm): bc is "
    )
    assert f"mixup is {100 * statistics.fmean(gains):.2f} points better ({100 * low:.2f} to {100 * high:.2f})" in words
    assert words.count("95 % interval") == 1, "what the first brackets are, the others are"
    assert words.replace("<", "&lt;") in markdown(table)


def test_a_worse_one_has_its_interval_the_same_way_round(tmp_path):
    table = table_of(tmp_path, {"none": LEVELS["mixup"], "mixup": LEVELS["none"]}, baseline="none")
    gain = findings(table_of(tmp_path / "turned", {"none": LEVELS["none"], "mixup": LEVELS["mixup"]}, baseline="none"))
    assert findings(table) == gain.replace("better", "worse")
    assert gain.startswith(
        "The difference from none is more than the seeds' noise (p < 0.05): mixup is 6.25 points better (95 % interval "
    )
    error = table_of(
        tmp_path / "error",
        {"none": LEVELS["none"], "mixup": LEVELS["mixup"]},
        baseline="none",
        metric="error",
        better="lower",
    )
    assert findings(error) == gain, "a lower error is better"
    loss = table_of(
        tmp_path / "loss", {"none": LEVELS["none"], "mixup": LEVELS["mixup"]}, baseline="none", scale=1, better="lower"
    )
    assert "mixup is 0.06 worse (95 % interval 0.0" in findings(loss)


def test_nothing_that_differs_is_said_with_what_would_have_been_seen(tmp_path):
    table = table_of(
        tmp_path,
        {"none": (0.4, 0.5, 0.45), "mixup": (0.46, 0.44, 0.5), "bc": (0.43, 0.52, 0.4)},
        baseline="none",
        decimals=1,
    )
    records = [float(row["detectable"]) for row in csv.DictReader(as_csv(sheets_records(table)).splitlines())]
    assert (
        findings(table)
        == f"Nothing is shown to differ from none: with these seeds, only a difference above {min(records):.1f} to"
        f" {max(records):.1f} points, depending on the comparison, would be shown with probability 0.8."
    )
    assert findings(build_table([run for run in table.runs if run.setting("mix") != "bc"])).endswith(
        " points would be shown with probability 0.8."
    )


def sheets_records(table: Table) -> list[dict]:
    return [record for record in contrast_records(table) if record["rule"] == table.rule]


def test_all_pairs_and_places_are_named_and_of_many_five(tmp_path):
    columns = {"label": "mixing", "values": {mix: {"mix": mix} for mix in LEVELS}}
    table = table_of(
        tmp_path,
        sizes=(100, 300, 500),
        rows={"label": "images", "key": "subset.n"},
        columns=columns,
        published={},
        baseline="none",
    )
    words = findings(table)
    assert (
        words.startswith("Of 9 comparisons with none, 6 are more")
        and words.count(" better ") == 5
        and words.endswith("; and 1 more.")
    )
    assert "mixup (images 100) is " in words
    pairs = findings(
        table_of(tmp_path / "pairs", {mix: LEVELS[mix] for mix in ("bc_plus", "mixup", "bc")}, baseline=None)
    )
    assert pairs.startswith("Of 3 comparisons, 1 is more") and "mixup is 2.87 points better than bc_plus" in pairs


def test_of_many_differences_those_with_the_smallest_p_are_named(tmp_path):
    levels = {"none": LEVELS["none"], "weak": (0.46, 0.49, 0.47, 0.48), "strong": (0.500, 0.521, 0.511, 0.530)}
    weak, strong = (stats.ttest_rel(levels[name], levels["none"]).pvalue for name in ("weak", "strong"))
    assert 6 * strong < weak < 0.05 / 3
    columns = {"label": "mixing", "values": {mix: {"mix": mix} for mix in levels}}
    sizes = {"rows": {"label": "images", "key": "subset.n"}, "columns": columns, "baseline": "none"}
    words = findings(table_of(tmp_path, levels, (100, 300, 500), **sizes))
    assert words.count("strong (images ") == 3 and words.count("weak (images ") == 2 and words.endswith("; and 1 more.")


@pytest.mark.parametrize(
    ("seeds", "changes", "words"),
    [
        (1, {}, "One seed each: nothing can be compared. 3 or more seeds allow it (seed=0,1,2)."),
        (2, {}, "2 seeds in common at most: nothing can be compared. 3 or more seeds allow it (seed=0,1,2)."),
        (
            4,
            {"statistic": "median"},
            "4 seeds in common at most: nothing can be compared. 6 or more seeds allow it (seed=0,1,2,3,4,5).",
        ),
    ],
)
def test_too_few_seeds_are_said_with_how_many_it_takes(seeds, changes, words, tmp_path):
    assert (
        findings(
            table_of(tmp_path, {mix: values[:seeds] for mix, values in LEVELS.items()}, baseline="none", **changes)
        )
        == words
    )


def test_medians_have_words_and_a_single_run_a_warning(tmp_path):
    many = {
        "none": tuple(0.4 + seed / 1000 for seed in range(6)),
        "mixup": tuple(0.5 + seed**2 / 1000 for seed in range(6)),
    }
    words = findings(table_of(tmp_path / "many", many, baseline="none", statistic="median"))
    assert words.startswith("The difference from none is more than the seeds' noise (p < 0.05): mixup is 10.")
    single = table_of(tmp_path / "one", {"none": (0.5,)}, rows={"key": "mix"})
    assert (
        findings(single)
        == "One seed: nothing says what another one would give. 3 or more seeds allow an interval (seed=0,1,2)."
    )


# --- intervals and other metrics ---


def test_intervals_are_a_column_of_one_column_and_a_table_of_several(tmp_path):
    one = headline(table_of(tmp_path / "one"))[0].splitlines()
    low, high = stats.t.interval(0.95, 3, statistics.fmean(LEVELS["none"]) + 0.05, stats.sem(LEVELS["none"]))
    assert one[0] == "| mixing | accuracy | 95 % interval |" and f"| [{100 * low:.2f}–{100 * high:.2f}] |" in "".join(
        one
    )
    columns = {"label": "mixing", "values": {mix: {"mix": mix} for mix in LEVELS}}
    table = table_of(tmp_path / "more", sizes=(100, 500), rows={"label": "images", "key": "subset.n"}, columns=columns)
    parts = headline(table)
    assert parts[0].splitlines()[0] == "| images | none | mixup | bc | bc_plus |"
    assert (
        parts[-2] == "95 % intervals of the means over seeds (Student's t):"
        and parts[-1].splitlines()[0] == parts[0].splitlines()[0]
    )
    assert f"| 500 | [{100 * low:.2f}–{100 * high:.2f}] | " in parts[-1]
    assert not sheets.intervals(sheets.headline(table_of(tmp_path / "few", {"none": (0.4, 0.5)})))


def test_every_metric_is_in_runs_csv_as_in_a_frame(tmp_path):
    folder = leave(tmp_path / "runs" / "a", (0.1, 0.5))
    result = json.loads((folder / "result.json").read_text())
    result["last"] = {"train_loss": 0.123456789, "accuracy": 0.5, "macro_f1": 0.25}
    (folder / "result.json").write_text(json.dumps(result))
    leave(tmp_path / "runs" / "b", outcome=None, seed=1)
    runs = load_runs(tmp_path / "runs")
    records = {row["folder"]: row for row in csv.DictReader(as_csv(run_records(build_table(runs))).splitlines())}
    frame = Runs(runs).to_pandas()
    for name in result["last"]:
        assert float(records["a"][name]) == frame.loc["a", name] == result["last"][name] and records["b"][name] == ""
    assert records["a"]["accuracy_last"] == "50.0"
    measures = {"values": None, "measures": {"accuracy": {"metric": "accuracy"}, "loss": {"metric": "test_loss"}}}
    row, _ = run_records(
        build_table([replace(run, config={**run.config, "table": {**PLAIN, "columns": measures}}) for run in runs])
    )
    assert (row["accuracy"], row["metrics.accuracy"]) == (50.0, 0.5), "a column that was there keeps its name"


def test_the_other_metrics_of_each_cell_are_by_the_tables_rule(tmp_path):
    table = table_of(tmp_path)
    sheet = sheets.other_metrics(table)
    assert sheet.head == ["mixing", "train loss", "test loss", "macro F1 (%)"] and [row[0] for row in sheet.rows] == [
        row.label for row in table.rows
    ]
    values = [100 * (value + 0.05) for value in LEVELS["none"]]
    (row,) = (row for row in sheet.rows if row[0] == "none")
    assert row[1:] == [
        "0.5000 ± 0.0000 (4)",
        "1.0000 ± 0.0000 (4)",
        f"{statistics.fmean(values):.2f} ± {statistics.stdev(values):.2f} (4)",
    ]
    by_best = sheets.other_metrics(build_table(table.runs, "best"))
    assert by_best.rows[0][1].startswith("0.5000") and by_best.rows[0][3] == sheet.rows[0][3]
    assert sheet.legend == "Columns of metrics.csv, last evaluation, mean ± sd over seeds (number of runs)"
    assert (
        by_best.legend
        == "Columns of metrics.csv, at the evaluation with the best test accuracy, mean ± sd over seeds (number of"
        " runs)"
    )
    leave(tmp_path / "gap", (0.3, 0.5), mix="gap", table=PLAIN)
    (tmp_path / "gap" / "metrics.csv").write_text("step,accuracy,macro_f1,val_accuracy\n1,0.3,0.2,0.1\n2,0.5,,0.2\n")
    (row,) = (row for row in sheets.other_metrics(build_table(load_runs(tmp_path))).rows if row[0] == "gap")
    assert row[1:] == ["", "", "", "20.00 (1)"], "an earlier evaluation is not the last"


@pytest.mark.parametrize(
    ("rule", "loss", "f1"), [("best", "0.6000", "20.00"), ("best_validation", "0.9000", "30.00"), ("last", "0.1000", "60.00"), ("median_last_10", "0.6000", "30.00")]
)  # fmt: skip
def test_all_other_metrics_are_of_the_evaluation_that_the_tables_metric_chose(rule, loss, f1, tmp_path):
    leave(tmp_path / "a", table=PLAIN)
    (tmp_path / "a" / "metrics.csv").write_text(
        "step,accuracy,macro_f1,test_loss,val_accuracy\n1,0.3,0.3,0.9,0.8\n2,0.7,0.2,0.6,0.2\n3,0.5,0.6,0.1,0.3\n"
    )
    (row,) = sheets.other_metrics(build_table(load_runs(tmp_path), rule)).rows
    assert row[1:3] == [f"{f1} (1)", f"{loss} (1)"]


@pytest.mark.parametrize("value", ["1e200", "inf"])
def test_other_metrics_have_the_limit_of_the_tables_own(value, tmp_path):
    leave(tmp_path / "a", table=PLAIN)
    (tmp_path / "a" / "metrics.csv").write_text(f"step,accuracy,test_loss,macro_f1\n1,0.3,{value},0.2\n")
    (row,) = sheets.other_metrics(build_table(load_runs(tmp_path))).rows
    assert row[1:] == ["", "20.00 (1)"]


def test_other_metrics_beside_a_probe_that_measured_less_often_have_no_best(tmp_path):
    leave(tmp_path / "a", (0.3, 0.5, 0.4), table={**PLAIN, "metric": "probe.points.density"})
    (tmp_path / "a" / "probe_points.csv").write_text("step,density\n10,1\n30,2\n")
    (row,) = sheets.other_metrics(build_table(load_runs(tmp_path), "best")).rows
    assert not any(row[1:])
    (row,) = sheets.other_metrics(build_table(load_runs(tmp_path))).rows
    assert all(row[1:])


def test_the_written_files_have_them(tmp_path):
    table_of(tmp_path / "runs")
    write_table(build_table(load_runs(tmp_path / "runs")), tmp_path / "report")
    assert {"accuracy", "macro_f1", "accuracy_last"} <= set(read(tmp_path / "report" / "runs.csv")[0])

"""A table that its runs cannot fill is refused before they are trained."""

from __future__ import annotations

from pathlib import Path

import hydra
import pytest
import yaml
from commands import mixexp
from running import composer, config_of, rows_of, trained

from mixexp.plan.identity import canonical
from mixexp.plan.loops import loop_of
from mixexp.plan.options import options
from mixexp.plan.plan import _claims, _table, plan
from mixexp.plan.references import References
from mixexp.plan.resolved import resolve
from mixexp.settings import CONF
from mixexp.training.spec import RunConfig

COLUMNS = "There are train_loss, test_loss, accuracy, macro_f1, micro_f1, balanced_accuracy, error"
PROBE = (
    "probe_by_class.csv has no column 'recal'; there are class, train_images, test_images, size, recall, precision, f1."
    " Did you mean 'recall'?"
)


TABLE_OF_TOY_PAIRS = (
    "{rows: {key: mix}, columns: {measures: {a: {metric: probe.intrusion.intrusion}}}, figures: [{file: f, kind:"
    " scatter, probe: mixed_samples, x: x, y: y}]}"
)


def refusals(*cells: tuple[str, ...]) -> list[str]:
    """What is wrong with a sweep of cells on the digits."""
    words = [
        (
            *(
                ()
                if any(word.startswith(("model=", "experiment=")) for word in cell)
                else ("model.width=4", "epochs=1")
            ),
            *cell,
        )
        for cell in cells
    ]
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        return [refusal.reason for refusal in plan([composer()(list(cell)) for cell in words], words).refusals]


def of(more: str) -> str:
    return "++table={title: t, rows: {key: mix}, columns: {values: {all: {}}}, " + more + "}"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([of("metric: acuracy")], f"table.metric = acuracy: no run has it. Did you mean 'accuracy'? {COLUMNS}."),
        ([of("metric: val_accuracy")], "validation=0.1 gives val_loss, val_accuracy, val_macro_f1."),
        ([of("metric: probe.by_class.recall")], "table.metric = probe.by_class.recall: no run has the file probe_by_class.csv; no run has a probe. A probe writes it: probe=NAME"),
        (["probe=by_class", of("metric: probe.by_class.recal")], f"table.metric = probe.by_class.recal: {PROBE}"),
        (["probe=by_class", of("metric: probe.byclass.recall")], "no run has the file probe_byclass.csv; there are by_class. Did you mean 'by_class'?"),
        (["++table={rows: {key: mix}, columns: {measures: {a: {metric: eror}}}}"], "table.columns, a: eror: no run has it. Did you mean 'error'?"),
        (
            ["probe=by_class", "++table={rows: {key: mix}, columns: {measures: {a: {metric: probe.by_class.recall, where: {sice: 1}}}}}"],
            "table.columns, a: probe.by_class.recall: probe_by_class.csv has no column 'sice'",
        ),
        ([of("figures: [{file: f, kind: curves, y: [val_loss]}]")], "figure f: val_loss: no run has it."),
        ([of("figures: [{file: f, kind: against, x: alhpa}]")], "figure f: x = alhpa: no run has such a setting. Did you mean 'alpha'?"),
        ([of("figures: [{kind: against, x: alhpa}, {kind: against, x: mix}]")], "figure against: x = alhpa: no run has such a"),
        ([of("figures: [{file: f, kind: against, x: mix, y: acuracy}]")], "figure f: acuracy: no run has it."),
        (["probe=by_class", of("figures: [{file: f, kind: probe, probe: by_class, y: recal}]")], f"figure f: {PROBE}"),
        (["probe=by_class", of("figures: [{file: f, kind: probe, probe: by_class, y: recall, where: {sice: 1}}]")], "has no column 'sice'"),
        ([of("figures: [{file: f, kind: images}]")], "figure f: no run has the file probe_mixed_images.csv; no run has a probe."),
        ([of("figures: [{file: f, kind: curvs}]")], "figure f: kind is 'curvs'; scores, against, curves, "),
        ([of("figures: [{file: f, kind: curves, yy: a}]")], "figure f: there is no key 'yy' for kind curves."),
        ([of("rows: {kye: mix}")], "table.rows has no key 'kye'."),
        ([of("metric: lr")], "table.metric = lr: it says when or how a row of metrics.csv was made, and is not a metric. There are train_loss"),
        ([of("figures: [{file: ../f, kind: curves}]")], "table.figures has the file ../f; a name without a folder, / and : is needed"),
        ([of("figures: [{file: runs, kind: curves}]")], "table.figures has the file runs, which a report has for something else"),
    ],
    ids=str,
)  # fmt: skip
def test_what_no_run_will_have_is_refused(words, said):
    (reason,) = refusals(tuple(words))
    assert said in reason


def test_what_a_cell_of_the_sweep_will_have_is_let_be():
    table = of("metric: val_accuracy, figures: [{file: f, kind: probe, probe: by_class, y: recall}]")
    assert len(refusals((table,))) == 2
    assert refusals((table,), (table, "validation=0.2"), (table, "probe=by_class")) == []


def test_weights_that_are_kept_can_be_measured_by_any_probe_later():
    table = of("metric: probe.by_class.recall, figures: [{file: f, kind: images}]")
    assert len(refusals((table,))) == 2 and refusals((table, "keep_checkpoint=true")) == []


def test_what_is_wrong_with_a_run_is_said_without_guesses_of_what_it_would_measure():
    assert refusals(("probe=by_class", "probe.while_training=7", of("metric: probe.by_class.recal"))) == [
        reason for reason in refusals(("probe=by_class", "probe.while_training=7")) if reason
    ]


@pytest.mark.parametrize("words", [(), ("validation=0.2",), ("probe=by_class",)], ids=str)
def test_a_run_leaves_the_columns_that_are_foretold(words, tmp_path):
    record = trained(tmp_path, *words)
    foretold = loop_of(RunConfig.of(config_of(*words))).writes(RunConfig.of(config_of(*words)))
    assert tuple(rows_of(record, without=())[0]) == foretold.metrics
    assert {f"probe_{name}.csv" for name in foretold.probes} == {path.name for path in tmp_path.glob("probe_*")}


def test_a_game_leaves_what_is_foretold_and_nothing_else_is_shown_of_it(tmp_path):
    path = tmp_path / "conf" / "experiment" / "game.yaml"
    path.parent.mkdir(parents=True)
    settings = yaml.safe_load((CONF / "experiment" / "mixup_gan.yaml").read_text(encoding="utf-8"))
    small = ("seed=0", "gan=plain", "gan.width=4", "steps=4", "gan.samples=20", "gan.frame_points=20")
    wrong = {
        "metric": "accuracy",
        "figures": [
            {"file": "f", "kind": "confusion"},
            {"file": "g", "kind": "scatter", "probe": "frames", "x": "x", "y": "z"},
        ],
    }
    path.write_text(
        "# @package _global_\n# A game.\n"
        + yaml.safe_dump(
            {**settings, "table": {**settings["table"], **wrong}, "name": "game", "claims": None}, sort_keys=False
        )
    )
    done = mixexp("-m", "--config-dir", "conf", "experiment=game", *small, cwd=tmp_path)
    assert done.returncode == 2 and not list(tmp_path.glob("outputs/game/*/config.yaml"))
    assert (
        "table.metric = accuracy: no run has it. There are d_loss, g_loss, modes, high_quality, probe.frames.x"
        in done.stderr
    )
    assert "figure f: kind confusion shows confusion matrices, and no run has one." in done.stderr
    assert "figure g: probe_frames.csv has no column 'z'; there are x, y, kind." in done.stderr


@pytest.mark.parametrize("name", sorted(options([CONF])["experiment"]))
def test_a_single_run_of_any_experiment_may_have_its_table(name):
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        cell = composer()([f"experiment={name}"])
        config = canonical(*resolve(cell, [f"experiment={name}"]))
        assert _table([config], [RunConfig.of(config)], References(cell).measuring) == []


def test_a_narrowed_experiment_keeps_the_table_that_its_other_runs_fill():
    narrowed = ("experiment=toy_pairs", "mix=none")
    assert refusals(narrowed) == []
    assert len(refusals(("++table=" + TABLE_OF_TOY_PAIRS, "dataset=two_moons", "model=mlp"))) == 2


def test_nothing_is_trained_for_a_table_that_is_refused(mixexp_here, tmp_path: Path):
    words = ("-m", "mix=none,mixup", "model.width=4", "epochs=1", of("metric: acuracy"))
    for command in (words, ("plan", *words[1:])):
        done = mixexp_here(*command, cwd=tmp_path)
        assert done.returncode == 2 and "table.metric = acuracy: no run has it. Did you mean 'accuracy'?" in done.stderr
        assert "in 2 of 2 cells" in done.stderr
    assert not list(tmp_path.rglob("config.yaml"))


def claims(more: str) -> str:
    return (
        "++claims={a: {source: zhang2018_mixup, says: It is so., test: {higher: {mix: mixup}, lower: {mix: none}}, "
        + more
        + "}}"
    )


MEASURED = (
    "++claims={a: {source: zhang2018_mixup, says: So., test: {above: 9, of: {mix: none, measure: {metric:"
    " probe.by_class.recall, where: {size: minority}}}}}}"
)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([claims("metric: acuracy")], f"claims.a: acuracy: no run has it. Did you mean 'accuracy'? {COLUMNS}."),
        (
            [claims("metric: seconds")],
            "claims.a: seconds: it says when or how a row of metrics.csv was made, and is not a metric.",
        ),
        ([claims("metric: val_accuracy")], "validation=0.1 gives val_loss, val_accuracy, val_macro_f1."),
        (
            [MEASURED],
            (
                "claims.a.test: probe.by_class.recall: no run has the file probe_by_class.csv; no run has a probe. A"
                " probe writes it"
            ),
        ),
        (["probe=by_class", MEASURED.replace("recall", "recal")], f"claims.a.test: probe.by_class.recal: {PROBE}"),
        (
            ["++checks={b: {says: So., metric: acuracy, test: {above: 9, of: {mix: none}}}}"],
            "checks.b: acuracy: no run has it.",
        ),
    ],
    ids=str,
)
def test_a_claim_of_what_no_run_will_have_is_refused(words, said):
    (reason,) = refusals(tuple(words))
    assert said in reason


@pytest.mark.parametrize(
    "table",
    ["{title: t}", "{rows: {key: mix}}", "{columns: {key: mix}, metric: error}", "{rows: {}, columns: {key: mix}}"],
)
def test_a_table_without_rows_or_columns_is_let_be(table):
    assert refusals((f"++table={table}",)) == []


def test_a_claim_of_what_some_run_will_have_is_let_be():
    assert refusals(("probe=by_class", MEASURED), (MEASURED,)) == []
    assert (
        refusals((claims("metric: val_accuracy"), "validation=0.2"))
        == refusals((MEASURED, "keep_checkpoint=true"))
        == []
    )


def test_the_claims_of_every_experiment_are_of_what_its_runs_measure():
    for name in sorted(options([CONF])["experiment"]):
        with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
            cell = composer()([f"experiment={name}"])
            config = canonical(*resolve(cell, [f"experiment={name}"]))
            assert _claims(cell, config, [RunConfig.of(config)], References(cell).measuring) == [], name


def test_a_key_of_a_table_that_is_not_there_is_given_to_the_report(mixexp_here, tmp_path: Path):
    for word, said in (
        ("table.metric=macro_f1", "mixexp report outputs/runs --metric macro_f1"),
        ("table.rows.key=mix", "mixexp report outputs/runs --rows mix"),
        (
            "table.decimals=1",
            "mixexp report outputs/runs --table FILE, which has decimals as docs/tables.md describes it",
        ),
    ):
        done = mixexp_here("plan", word, cwd=tmp_path)
        key = word.partition("=")[0]
        assert done.stderr == f"mixexp: {key}: only an experiment has a table; without one, tell the report: {said}\n"

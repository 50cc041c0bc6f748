"""The table is the reader's: the experiment's file of today, a file, and words of the command line change it, and no
run is made again."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from commands import mixexp
from test_report import TABLE, cells_of, leave

from mixexp.cli import COMMANDS
from mixexp.errors import UserError
from mixexp.reporting import write as write_module
from mixexp.spec.figures import COMMON
from mixexp.spec.swap import swapped
from mixexp.spec.table import AXIS, DEFAULTS, FORMAT, KEYS, MEASURE, completed

MIXES = {"none": (0.40, 0.41, 0.42), "mixup": (0.47, 0.46, 0.48), "bc": (0.46, 0.44, 0.45)}
"""Mix → its accuracy by seed, to which a number for the size is added."""
Report = Callable[..., str]


def leave_probe(run: Path, seed: int) -> None:
    rows = [
        f"20,{name},{size},{recall + seed / 100}"
        for name, size, recall in (("cat", "minority", 0.2), ("dog", "majority", 0.8))
    ]
    (run / "probe_by_class.csv").write_text("\n".join(["step,class,size,recall", *rows]) + "\n")


def leave_all(folder: Path, experiment: str | None, table: Mapping[str, Any] | None, **settings: Any) -> Path:
    """Runs of three mixes, two sizes and three seeds, whose accuracy rises to a best one before the last; macro F1 is
    as it."""
    for mix, levels in MIXES.items():
        for n in (100, 500):
            for seed, level in enumerate(levels):
                last = level + n / 5000
                choices = {"experiment": experiment, "dataset": "digits", "mix": mix}
                run = leave(
                    folder / f"{mix}{n}{seed}",
                    (last + 0.2, last),
                    n=n,
                    seed=seed,
                    mix=mix,
                    table=table,
                    choices=choices,
                    **settings,
                )
                leave_probe(run, seed)
    return folder


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    """A user's folder of options with the experiment that the runs are of."""
    write(tmp_path / "conf", {})
    return tmp_path / "conf"


def write(conf: Path, changes: Mapping[str, Any], **more: Any) -> None:
    (conf / "experiment").mkdir(parents=True, exist_ok=True)
    body = {"name": "mine", "table": {**TABLE, **changes}, **more}
    (conf / "experiment" / "mine.yaml").write_text(
        "# @package _global_\n# Mine.\n" + yaml.safe_dump(body, sort_keys=False)
    )


@pytest.fixture
def made(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Report:
    """A function that makes the report of folders with words of the command line, and gives its Markdown with the
    remarks on figures."""

    def make(*words: str | Path, conf: Path | None = None, out: Path = tmp_path / "report", drawn: bool = False) -> str:
        with monkeypatch.context() as patch:
            if not drawn:  # which takes most of a report's time
                patch.setattr(write_module, "_figures", lambda table, folder: ([], []))
            COMMANDS["report"]([*map(str, words), "--out", str(out), *([f"--config-dir={conf}"] if conf else [])])
        capsys.readouterr()
        return "\n".join(path.read_text(encoding="utf-8") for path in sorted(out.rglob("table.md")))

    return make


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def rows_of(text: str, heading: str) -> list[list[str]]:
    """The body of the table under a heading, empty where there is none."""
    return cells_of(text, heading) if f"\n## {heading}" in text else []


def first_of(text: str, heading: str) -> list[str]:
    """Its first row."""
    return next(iter(rows_of(text, heading)), [])


def head_of(text: str) -> list[str]:
    """The headings of the columns of the headline table."""
    lines = text[text.index("\n## ") :].splitlines()
    return [cell.strip() for cell in next(line for line in lines if line.startswith("|")).strip("|").split("|")]


# --- the experiment's file of today ---

COLUMNS = TABLE["columns"]["values"]
BY_FILE = {
    "columns reordered": {"columns": {"label": "mixing", "values": dict(reversed(COLUMNS.items()))}},
    "another metric": {"metric": "test_loss", "scale": 1, "decimals": 4, "better": "lower", "published": {}},
    "another rule": {"rule": "best"},
    "a label renamed": {
        "columns": {"label": "mixing", "values": {"nothing": COLUMNS["none"], "label-mix": COLUMNS["label-mix"]}}
    },
    "a figure added": {"figures": [{"file": "mine", "kind": "curves", "y": "macro_f1"}]},
}
BY_WORDS = {
    "columns reordered": ["--order", "mixing=label-mix,none"],
    "another metric": ["--metric", "test_loss"],
    "another rule": ["--rule", "best"],
    "a label renamed": ["--table", "renamed.yaml"],
    "a figure added": ["--figure", "curves:file=mine,y=macro_f1"],
}
SEEN = {
    "columns reordered": (
        lambda text: head_of(text) == ["images", "label-mix", "label-mix, published", "none", "none, published"]
    ),
    "another metric": (
        lambda text: (
            "## Test loss at the last evaluation" in text
            and rows_of(text, "Test loss at")[0] == ["100", "1.0000 ± 0.0000 (3)", "1.0000 ± 0.0000 (3)"]
        )
    ),
    "another rule": (
        lambda text: (
            "## Test accuracy (%), best on test" in text
            and rows_of(text, "Test accuracy (%), best")[0][1] == "63.00 ± 1.00 (3)"
        )
    ),
    "a label renamed": lambda text: head_of(text)[1] == "nothing",
    "a figure added": lambda text: "![mine](mine.png)" in text,
}


@pytest.mark.parametrize(
    ("metric", "cell", "gain"),
    [
        ("accuracy", "43.00 ± 1.00 (3)", "better"),
        ("error", "57.00 ± 1.00 (3)", "better"),
        ("macro_f1", "43.00", "better"),
    ],
)
def test_a_metric_alone_has_its_usual_format_and_direction(metric, cell, gain, tmp_path, conf, made):
    runs = leave_all(tmp_path / "runs", "mine", TABLE)
    plain = {key: value for key, value in TABLE.items() if key not in (*FORMAT, "published")}
    (conf / "experiment" / "mine.yaml").write_text(
        "# @package _global_\n" + yaml.safe_dump({"table": {**plain, "metric": metric}}, sort_keys=False)
    )
    text = made(runs, conf=conf)
    heading = f"Test {metric.replace('_', ' ').replace('f1', 'F1')} (%)"
    assert rows_of(text, heading)[0][1].startswith(cell)
    assert f"points {gain}" in text and f"points {'worse' if gain == 'better' else 'better'}" not in text


def test_the_format_of_another_metric_that_a_file_keeps_is_said(tmp_path, conf, made):
    runs = leave_all(tmp_path / "runs", "mine", TABLE)
    write(conf, {"metric": "test_loss", "published": {}})
    assert (
        "- table.scale is 100 and table.better is higher, and for test_loss it is scale: 1, better: lower as a rule;"
        " without these keys the rule holds." in made(runs, conf=conf)
    )
    write(conf, {"metric": "macro_f1"})
    assert "as a rule" not in made(runs, conf=conf)


def test_a_loss_alone_is_no_fraction_and_better_lower() -> None:
    assert {key: completed({"metric": "test_loss", "scale": None})[key] for key in FORMAT} == {
        "scale": 1, "decimals": 4, "better": "lower",
    }  # fmt: skip
    assert completed({"metric": "test_loss", "better": "higher", "scale": 10})["better"] == "higher"
    assert {key: completed({})[key] for key in FORMAT} == {"scale": 100, "decimals": 2, "better": "higher"}
    assert {key: completed({"metric": "probe.a.b"})[key] for key in FORMAT} == {
        "scale": 1, "decimals": 4, "better": "higher",
    }  # fmt: skip


@pytest.mark.parametrize("by", ["file", "words"])
@pytest.mark.parametrize("edit", SEEN)
def test_the_table_is_edited_without_training(edit, by, tmp_path, conf, made, monkeypatch):
    runs = leave_all(tmp_path / "runs", "mine", TABLE)
    monkeypatch.chdir(tmp_path)
    drawn = edit == "a figure added"
    before, unedited = contents(runs), made(runs, conf=conf, drawn=drawn)
    assert not SEEN[edit](unedited) and head_of(unedited)[:2] == ["images", "none"]
    assert cells_of(unedited, "Test accuracy (%) at")[0] == [
        "100",
        "43.00 ± 1.00 (3)",
        "26.79 (+16.21) †",
        "49.00 ± 1.00 (3)",
        "",
    ]
    if by == "file":
        write(conf, BY_FILE[edit])
    (tmp_path / "renamed.yaml").write_text(
        yaml.safe_dump({"columns": BY_FILE["a label renamed"]["columns"]}, sort_keys=False)
    )
    assert SEEN[edit](made(runs, *(BY_WORDS[edit] if by == "words" else ()), conf=conf, drawn=drawn))
    assert contents(runs) == before, "runs are only read"


def test_runs_of_an_experiment_that_is_gone_keep_their_own_table(tmp_path, conf, made):
    runs = leave_all(tmp_path / "runs", "mine", TABLE)
    write(conf, {"title": "of today"})
    assert made(runs, conf=conf).startswith("# of today\n") and made(runs).startswith("# little data\n")
    (conf / "experiment" / "mine.yaml").unlink()
    assert made(runs, conf=conf).startswith("# little data\n")


def test_an_experiment_file_that_cannot_be_read_is_said(tmp_path, conf, made):
    runs = leave_all(tmp_path / "runs", "mine", TABLE)
    (conf / "experiment" / "mine.yaml").write_text("table: [")
    with pytest.raises(UserError, match=r"mine\.yaml: cannot be read"):
        made(runs, conf=conf)


def test_an_error_in_the_table_of_a_file_is_said_before_anything_is_written(tmp_path, conf, made):
    runs = leave_all(tmp_path / "runs", "mine", TABLE)
    wrong = {
        "metrik": "error",
        "rows": {"label": "images", "keey": "subset.n"},
        "figures": [{"file": "a"}, {"kind": "curvs"}],
    }
    write(conf, wrong)
    with pytest.raises(UserError) as refused:
        made(runs, conf=conf)
    metric, rows, figure, kind = str(refused.value).splitlines()
    assert metric.startswith("experiment mine: table has no key 'metrik'. Did you mean 'metric'?")
    assert rows.startswith("experiment mine: table.rows has no key 'keey'. Did you mean 'key'?")
    assert figure.startswith(
        "experiment mine: table.figures has {'file': 'a'}; each figure needs a kind: scores, against,"
    )
    assert (
        kind.startswith("experiment mine: figure curvs: kind is 'curvs'; scores,") and "Did you mean 'curves'?" in kind
    )
    assert not (tmp_path / "report").exists()


def test_a_figure_of_a_setting_that_no_run_has_is_not_drawn_and_said(tmp_path, conf, made):
    runs = leave_all(tmp_path / "runs", "mine", TABLE)
    write(
        conf, {"figures": [{"kind": "against", "x": "subset.m"}, {"kind": "against", "x": "subset.n", "file": "good"}]}
    )
    text = made(runs, conf=conf, drawn=True)
    assert "Not drawn: figure against: no run has a value of x = subset.m. Did you mean 'subset.n'?" in text
    assert "![good](good.png)" in text and not (tmp_path / "report" / "against.png").exists()


def test_a_metric_of_a_file_is_refused_and_a_label_of_its_order_is_a_note_where_no_run_has_it(tmp_path, conf, made):
    runs = leave_all(tmp_path / "runs", "mine", TABLE)
    write(conf, {"metric": "f1"})
    with pytest.raises(UserError, match=r"experiment mine: table.metric: no run has it. Did you mean 'macro_f1'\?"):
        made(runs, conf=conf)
    assert not (tmp_path / "report").exists()
    write(conf, {"order": {"rows": [5000, 100]}})
    text = made(runs, conf=conf)
    assert "- experiment mine: table.order: rows: there is no '5000'. Did you mean '500'? There are" in text
    assert "table.order" not in made(runs, "--rows", "mix", conf=conf), "the reader has other rows"


@pytest.mark.parametrize(
    ("metric", "outcome"), [("val_accuracy", "finished"), ("probe.fgsm.error", "finished"), ("f1", "diverged")]
)
def test_runs_that_may_lack_a_metric_of_the_file_have_a_report(metric, outcome, tmp_path, conf, made):
    """As after validation=0, without the probe, or before the end of any run."""
    runs = leave_all(tmp_path / "runs", "mine", TABLE)
    for result in runs.glob("*/result.json"):
        result.write_text(json.dumps({**json.loads(result.read_text()), "outcome": outcome}))
    write(conf, {"metric": metric})
    text = made(runs, conf=conf)
    assert text.startswith("# little data\n") and "43.00" not in text


@pytest.mark.parametrize("name", [["a"], "x" * 5000, "../mine", 3])
def test_a_record_with_an_experiment_that_is_no_name_has_a_report(name, tmp_path, conf, made):
    runs = leave_all(tmp_path / "runs", None, TABLE)
    for file in runs.glob("*/config.yaml"):
        config = yaml.safe_load(file.read_text())
        file.write_text(
            yaml.safe_dump({**config, "choices": {**config["choices"], "experiment": name}, "experiment": name})
        )
    assert "18 of 18 runs have a result" in made(runs, conf=conf)


def test_a_label_of_a_columns_axis_stands_before_its_numbers(tmp_path, conf, made):
    runs = leave_all(tmp_path / "runs", "mine", TABLE)
    for given, heading in ((None, "n = 100"), ("training images", "n = 100"), ("pictures", "pictures 100")):
        axis = {"key": "subset.n"} | ({} if given is None else {"label": given})
        write(conf, {"columns": axis, "rows": {"key": "mix"}, "published": {}})
        assert head_of(made(runs, conf=conf))[1] == heading


def test_what_was_typed_for_the_table_stays(tmp_path, conf, made):
    runs = leave_all(tmp_path / "runs", "mine", TABLE | {"title": "typed"})
    for path in runs.glob("*/environment.json"):
        path.write_text(
            json.dumps({**json.loads(path.read_text()), "command": "mixexp -m experiment=mine 'table.title=typed'"})
        )
    assert made(runs, conf=conf).startswith("# typed\n")


def test_an_edition_can_have_a_table_of_its_own(tmp_path, conf, made):
    params = {"seed": "0,1,2", "table.title": "'little, at home'", "table.rows.label": "few images"}
    write(conf, {}, editions={"home": {"why": "It is small.", "params": params}})
    full, home = (
        leave_all(tmp_path / "full", "mine", TABLE),
        leave_all(tmp_path / "home", "mine", TABLE, edition="home"),
    )
    for path in home.glob("*/environment.json"):
        path.write_text(json.dumps({"differs_from_experiment": {}, "differs_from_edition": {}}))
    assert made(full, conf=conf).startswith("# little data\n") and head_of(made(full, conf=conf))[0] == "images"
    text = made(home, conf=conf)
    assert text.startswith("# little, at home\n") and head_of(text)[0] == "few images"


def test_a_reference_is_to_the_runs_own_setting(tmp_path, conf, made):
    runs = leave_all(tmp_path / "runs", "mine", TABLE)
    write(conf, {"title": "after ${epochs} epochs"})
    assert made(runs, conf=conf).startswith("# after 30 epochs\n")
    write(conf, {"title": "${oc.env:HOME}"})
    assert made(runs, conf=conf).startswith("# little data\n"), (
        "a reference that only Hydra follows leaves the runs their own table"
    )


def test_a_row_of_today_that_no_run_has_is_empty_and_runs_in_none_are_named(tmp_path, conf, made):
    runs = leave_all(tmp_path / "runs", "mine", TABLE)
    write(
        conf,
        {"rows": {"label": "images", "values": {"few": {"subset.n": 100}, "none": {"subset.n": 50}}}, "published": {}},
    )
    text = made(runs, conf=conf)
    assert rows_of(text, "Test accuracy (%) at") == [["few", "43.00 ± 1.00 (3)", "49.00 ± 1.00 (3)"], ["none", "", ""]]
    assert "## In no row or column: 12 of 18 runs" in text


def test_without_its_table_an_experiment_is_shown_by_the_settings_that_differ(tmp_path, conf, made):
    runs = leave_all(tmp_path / "runs", "mine", TABLE)
    (conf / "experiment" / "mine.yaml").write_text("name: mine\n")
    assert head_of(made(runs, conf=conf)) == ["training images", "none", "bc", "mixup"]


def test_reproduce_takes_the_file_of_today_and_what_is_typed(tmp_path):
    body = {"defaults": [{"override /model": "small_cnn"}], "name": "mine", "epochs": 1, "model": {"width": 4}}
    body["hydra"] = {"sweeper": {"params": {"mix": "none,mixup"}}}
    body["table"] = {"title": "first", "rows": {"key": "mix"}, "columns": {"values": {"all": {}}}}
    path = tmp_path / "conf" / "experiment" / "mine.yaml"
    path.parent.mkdir(parents=True)
    for title, word in (("first", ()), ("second", ()), ("second", ("table.title=typed",))):
        path.write_text(
            "# @package _global_\n# Mine.\n"
            + yaml.safe_dump({**body, "table": {**body["table"], "title": title}}, sort_keys=False)
        )
        done = mixexp("reproduce", "--config-dir", "conf", "mine", *word, cwd=tmp_path)
        assert done.returncode == 0 and f"# {'typed' if word else title}\n" in done.stdout, done.stderr
    (folder,) = {path.parent.parent for path in tmp_path.glob("outputs/mine/*/result.json")}
    assert {yaml.safe_load(path.read_text())["table"]["title"] for path in folder.glob("*/config.yaml")} == {"first"}


# --- words of the command line, over runs of no experiment ---


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    return leave_all(tmp_path / "runs", None, None)


@pytest.mark.parametrize(
    ("words", "head", "rows"),
    [
        (["--rows", "mix", "--columns", "subset.n"], ["mixing", "n = 100", "n = 500"], ["none", "bc", "mixup"]),
        (["--columns", "mix"], ["training images", "none", "bc", "mixup"], ["100", "500"]),
        (["--rows", "subset.n"], ["training images", "none", "bc", "mixup"], ["100", "500"]),
        (["--rows", "mix", "--where", "subset.n=100"], ["mixing", "accuracy", "95 % interval"], ["none", "bc", "mixup"]),
        (["--rows", "mix", "--order", "mix=none,mixup"], ["mixing", "n = 100", "n = 500"], ["none", "mixup", "bc"]),
        (["--columns", "mix", "--order", "columns=none", "--order", "rows=500"], ["training images", "none", "bc", "mixup"], ["500", "100"]),
        (["--where", "mix=none,bc", "--where", "subset.n=500.0"], ["mixing", "accuracy", "95 % interval"], ["none", "bc"]),
        (["--rows", "seed", "--where", "mix=none", "--where", "subset.n=100"], ["seed", "accuracy"], ["0", "1", "2"]),
        (["--swap"], ["mixing", "n = 100", "n = 500"], ["none", "bc", "mixup"]),
        (["--rows", "mix", "--swap", "--order", "rows=none", "--order", "subset.n=500"], ["training images", "none", "bc", "mixup"], ["500", "100"]),
        (["--rows", "mix", "--columns", "subset.n", "--metric", "error"], ["mixing", "n = 100", "n = 500"], ["none", "bc", "mixup"]),
    ],
    ids=" ".join,
)  # fmt: skip
def test_rows_columns_order_and_choice_of_runs(words, head, rows, sweep, made):
    text = made(sweep, *words)
    assert head_of(text) == head
    assert [
        row[0] for row in rows_of(text, "Test error (%) at" if "error" in words else "Test accuracy (%) at")
    ] == rows
    assert "Unlike runs" not in text
    conditions = words.count("--where")
    assert text.count("Only runs with ") == bool(conditions) and ("Of this table's description" in text) == (
        len(words) > 2 * conditions
    )


def test_metric_rule_baseline_title_note_and_figure(sweep, made, tmp_path):
    words = [
        "--metric",
        "error",
        "--rule",
        "best",
        "--baseline",
        "none",
        "--title",
        "My title",
        "--note",
        "Mine, too.",
        "--note",
        "And more.",
    ]
    text = made(
        sweep,
        *words,
        "--rows",
        "subset.n",
        "--columns",
        "mix",
        "--figure",
        "against:x=subset.n,by=columns,x_scale=log",
        drawn=True,
    )
    assert text.startswith("# My title\n") and "- Mine, too.\n- And more.\n" in text
    assert rows_of(text, "Test error (%), best on test")[0] == [
        "100",
        "37.00 ± 1.00 (3)",
        "33.00 ± 1.00 (3)",
        "31.00 ± 1.00 (3)",
    ], "the baseline first"
    assert {row[1] for row in rows_of(text, "Differences")} == {"bc − none", "mixup − none"}
    assert "![against](against.png)" in text and (tmp_path / "report" / "against.pdf").exists()
    assert "from the command line (--metric, --title, --rows, --columns, --figure, --note, --baseline, --rule)" in text


def test_words_beat_the_file_and_the_file_beats_the_runs(tmp_path, made):
    runs, file = leave_all(tmp_path / "runs", None, TABLE), tmp_path / "my.yaml"
    file.write_text(
        yaml.safe_dump(
            {"table": {"title": "of the file", "metric": "macro_f1", "decimals": 1, "notes": ["of the file"]}},
            sort_keys=False,
        )
    )
    text = made(runs, "--table", file)
    assert text.startswith("# of the file\n") and rows_of(text, "Test macro F1 (%) at")[0] == [
        "100",
        "43.0 ± 1.0 (3)",
        "49.0 ± 1.0 (3)",
    ]
    assert (
        "- of the file\n" in text and "one note" not in text and f"{file.name} (title, metric, decimals, notes)" in text
    )
    assert "Compared with" not in text, "numbers of another metric are not compared with"
    text = made(runs, "--table", file, "--title", "typed", "--metric", "error", "--note", "typed")
    assert text.startswith("# typed\n") and "## Test error (%) at" in text and "- of the file\n- typed\n" in text


def test_several_experiments_are_one_table_where_the_reader_gives_its_title(tmp_path, made):
    folders = [
        leave_all(tmp_path / name, None, TABLE | {"title": name}, batch_size=size)
        for name, size in (("a", 10), ("b", 20))
    ]
    assert made(*folders).count("\n# ") == 1
    text = made(*folders, "--title", "both", "--rows", "batch_size", "--where", "subset.n=100", out=tmp_path / "one")
    assert text.startswith("# both\n") and [row[0] for row in rows_of(text, "Test accuracy (%) at")] == ["10", "20"]


def test_another_metric_replaces_an_axis_of_measures(tmp_path, made):
    columns = {
        "label": "of the test images",
        "measures": {"error": {"metric": "error"}, "loss": {"metric": "test_loss"}},
    }
    runs = leave_all(tmp_path / "runs", None, TABLE | {"rows": {"key": "mix"}, "columns": columns, "published": {}})
    assert head_of(made(runs, "--where", "subset.n=100"))[1:] == ["error", "loss"]
    assert head_of(made(runs, "--where", "subset.n=100", "--metric", "macro_f1"))[1:] == ["macro_f1", "95 % interval"]


def test_claims_are_decided_by_all_runs(tmp_path, conf, made):
    test = {"higher": {"mix": "mixup", "subset.n": 500}, "lower": {"mix": "none", "subset.n": 500}}
    write(conf, {}, claims={"helps": {"source": "small_data_mixup, table", "says": "It helps.", "test": test}})
    runs = leave_all(tmp_path / "runs", "mine", TABLE)
    assert " | full | undecided | " in made(runs, "--where", "subset.n=100", conf=conf), "not: no run"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--metric", "acuracy"], "--metric acuracy: no run has it. Did you mean 'accuracy'? There are train_loss, test_loss, accuracy, macro_f1, error, probe.by_class."),
        (["--metric", "val_loss"], "--metric val_loss: no run has it."),
        (["--metric", "probe.by_class.recal"], "probe_by_class.csv has no column 'recal'; there are step, class, size, recall. Did you mean 'recall'?"),
        (["--metric", "probe.by_clas.recall"], "no run has the file probe_by_clas.csv; there are by_class. Did you mean 'by_class'?"),
        (["--metric", "probe.by_class"], "--metric is 'probe.by_class'; a probe's measure is probe.<file>.<column>."),
        *((["--metric", name], f"--metric {name}: it says when or how a row of metrics.csv was made, and is not a metric. There are train_loss,") for name in ("step", "epoch", "lr", "seconds")),
        (["--figure", "against:x=mix,y=lr"], "--figure against: lr: it says when or how a row"),
        *((["--figure", f"curves:file={name}"], f"--figure curves:file={name}: table.figures has the file {name}; a name without a folder,") for name in ("../x", "a/b", ".x")),
        *((["--figure", f"curves:file={name}"], f"the file {name}, which a report has for something else; another name is needed.") for name in ("table", "runs", "report")),
        (["--rule", "lst"], "invalid choice: 'lst'"),
        (["--rows", "mxi"], "--rows mxi: no run has a value of 'mxi'. Did you mean 'mix'? The runs differ in mix, alpha, subset.n."),
        (["--columns", "subset.m"], "--columns subset.m: no run has a value of 'subset.m'. Did you mean 'subset.n'?"),
        (["--order", "mix"], "--order mix: it needs a name and values, as in mix=none,mixup"),
        (["--order", "mxi=none", "--rows", "mix"], "--order mxi=none: mxi: it is neither rows nor columns. There are rows, mix, mixing, columns, subset.n, training images. Did you mean 'mixing'?"),
        (["--order", "mix=non", "--rows", "mix"], "--order mix=non: mix: there is no 'non'. Did you mean 'none'? There are none, bc, mixup."),
        (["--rows", "alpha", "--order", "setting=x"], "setting: there is no 'x'. There are 'none, n = 100', 'none, n = 500', "),
        (["--where", "mix"], "--where mix: it needs a name and values"),
        (["--where", "mxi=none"], "--where mxi: no run has a value of 'mxi'. Did you mean 'mix'?"),
        (["--where", "mix=non"], "--where mix=non: no run has this value. There are bc, mixup, none. Did you mean 'none'?"),
        (["--where", "mix=none", "--where", "mix=bc"], "--where mix=bc: no run has two values of mix, and all conditions have to hold. Runs with one or the other are --where mix=none,bc."),
        (["--where", "mix=none", "--where", "alpha=1"], "--where alpha=1: no run has it together with mix=none. The runs with mix=none have alpha null."),
        (["--title", ""], "--title '': it is empty; a text was expected"),
        (["--rows", " "], "--rows ' ': it is empty; a setting such as mix was expected"),
        (["--columns", ""], "--columns '': it is empty; a setting such as mix was expected"),
        (["--note", "Mine.", "--note", ""], "--note '': it is empty; a sentence was expected"),
        (["--rows", "mix", "--columns", "mix"], "--rows mix --columns mix: the rows and the columns would both be mix, and each run in one of them has no other place."),
        (["--baseline", "non", "--rows", "mix"], "The baseline non is not a row or column of this table, so nothing is compared with it. Did you mean 'none'?"),
        (["--figure", "curve"], "--figure curve: kind is 'curve'; scores, against, curves, "),
        (["--figure", "curves:yy=a"], "--figure curves:yy=a: there is no key 'yy' for kind curves. Did you mean 'y'? There are y, by, each, only, y_scale."),
        (["--figure", "curves:y_scale=logg"], "y_scale is 'logg'; linear or log was expected. Did you mean 'log'?"),
        (["--figure", "curves:y=[a,b"], "its commas, brackets or quotes do not go together"),
        (["--figure", "curves:y"], "'y' is not an option; options are NAME=VALUE"),
        (["--figure", "curves:y=[accuracy,val_loss]"], "--figure curves: val_loss: no run has it."),
        (["--figure", "against:x=mxi"], "--figure against: no run has a value of 'mxi'. Did you mean 'mix'?"),
        (["--figure", "probe:probe=by_class,y=recal"], "--figure probe: probe_by_class.csv has no column 'recal'"),
        (["--figure", "confusion"], "--figure confusion: kind confusion shows confusion matrices, and no run has one."),
        (["--table", "mi.yaml"], "--table mi.yaml: cannot be read (No such file or directory). Did you mean 'my.yaml'?"),
        (["--metrc", "error"], "unrecognized arguments: --metrc error; mixexp report --help says more. Did you mean '--metric'?"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)  # fmt: skip
def test_a_word_that_no_run_allows_is_one_error(words, said, sweep, made, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my.yaml").write_text("{}")
    with pytest.raises(UserError) as refused:
        made(sweep, *words)
    assert said in str(refused.value)
    assert not (tmp_path / "report").exists(), "nothing is written"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"metrc": "error"}, "my.yaml: table has no key 'metrc'. Did you mean 'metric'? There are title, source, metric,"),
        ({"metric": "acuracy"}, "my.yaml: table.metric: no run has it. Did you mean 'accuracy'?"),
        ({"rows": {"kye": "mix"}}, "my.yaml: table.rows has no key 'kye'. Did you mean 'key'? There are label, key, values, measures."),
        ({"rows": {"key": "mxi"}}, "my.yaml: table.rows: no run has a value of 'mxi'. Did you mean 'mix'?"),
        ({"columns": {"values": {"a": {"mxi": "none"}}}}, "my.yaml: table.columns: no run has a value of 'mxi'."),
        ({"columns": {"measures": {"a": {"metric": "eror"}}}}, "my.yaml: table.columns: a: eror: no run has it. Did you mean 'error'?"),
        ({"columns": {"measures": {"a": {"metric": "probe.by_class.recall", "where": {"sice": 1}}}}}, "has no column 'sice'; there are step, class, size, recall. Did you mean 'size'?"),
        ({"statistic": "men"}, "my.yaml: table.statistic is 'men'; mean or median was expected. Did you mean 'mean'?"),
        ({"rule": "best_validation"}, "rule best_validation: no run has a number"),
        ({"baseline": "nobody"}, "The baseline nobody is not a row or column"),
        ({"order": {"rows": ["no such row"]}}, "my.yaml: table.order: rows: there is no 'no such row'."),
        ({"figures": [{"file": "f", "kind": "curvs"}]}, "my.yaml: figure f: kind is 'curvs'"),
        ({"figures": [{"file": "f", "kind": "curves", "y": "lr_"}]}, "my.yaml: table.figures, f: lr_: no run has it."),
        (["metric"], "my.yaml: it holds [metric]; a mapping with the keys of a table was expected: title, source,"),
        ("table: [", "my.yaml: cannot be read ("),
        ("metric: accuracy\nrule: last\nmetric: error\n", "my.yaml: line 3: the key metric is there already, in line 1"),
        ("table:\n  rows: {key: mix}\n  columns:\n    key: alpha\n    key: mix\n", "my.yaml: line 5: the key key is there already, in line 4"),
        ("tabel: {metric: accuracy}\n", "my.yaml: it has no key 'tabel'. Did you mean 'table'?"),
        ({"figures": [{"file": "../x", "kind": "curves"}]}, "my.yaml: table.figures has the file ../x; a name without a folder"),
    ],
    ids=str,
)  # fmt: skip
def test_what_is_wrong_with_a_file_is_said(content, said, sweep, made, tmp_path):
    (tmp_path / "my.yaml").write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    with pytest.raises(UserError) as refused:
        made(sweep, "--table", tmp_path / "my.yaml")
    assert said in str(refused.value)


def test_all_that_is_wrong_is_said_at_once(sweep, made):
    with pytest.raises(UserError) as refused:
        made(sweep, "--rows", "mxi", "--metric", "acuracy", "--figure", "curves:y=eror")
    assert len(str(refused.value).splitlines()) == 3


def test_runs_without_any_evaluation_tell_nothing_of_a_metric(tmp_path, made):
    leave(tmp_path / "runs" / "a", outcome=None, table=None)
    (tmp_path / "runs" / "a" / "metrics.csv").unlink()
    assert "0 of 1 run has a result" in made(tmp_path / "runs", "--metric", "whatever")


# --- every key ---

SHOWN: dict[str, tuple[Mapping[str, Any], Callable[[str], bool]]] = {
    "title": ({"title": "Another"}, lambda text: text.startswith("# Another\n")),
    "source": ({"source": "an article"}, lambda text: "Compared with: an article" in text),
    "metric": ({"metric": "macro_f1"}, lambda text: "## Test macro F1 (%) at" in text),
    "scale": ({"scale": 1000}, lambda text: "430.00 ± 10.00 (3)" in text),
    "decimals": ({"decimals": 0}, lambda text: "| 43 ± 1 (3) |" in text),
    "better": (
        {"better": "lower", "rule": "best"},
        lambda text: first_of(text, "Test accuracy (%), best")[1:2] == ["43.00 ± 1.00 (3)"],
    ),
    "rule": ({"rule": "best"}, lambda text: first_of(text, "Test accuracy (%), best")[1:2] == ["63.00 ± 1.00 (3)"]),
    "statistic": ({"statistic": "median"}, lambda text: "43.00 [42.00–44.00] (3)" in text),
    "rows": (
        {"rows": {"key": "seed"}, "columns": {"key": "mix"}},
        lambda text: [row[0] for row in rows_of(text, "Test accuracy")] == ["0", "1", "2"],
    ),
    "columns": (
        {"columns": {"key": "mix"}, "published": {}},
        lambda text: head_of(text)[1:] == ["none", "bc", "mixup"],
    ),
    "order": (
        {"order": {"images": [500, 100]}},
        lambda text: [row[0] for row in rows_of(text, "Test accuracy")] == ["500", "100"],
    ),
    "swap": (
        {"swap": True},
        lambda text: (
            head_of(text)[:2] == ["mixing", "images 100"]
            and rows_of(text, "Test accuracy")[0][:3] == ["none", "43.00 ± 1.00 (3)", "26.79 (+16.21) †"]
        ),
    ),
    "published": ({"published": {"none": {100: 40}}}, lambda text: "40.00 (+3.00)" in text),
    "baseline": (
        {"columns": {"key": "mix"}, "baseline": "bc"},
        lambda text: {row[1] for row in rows_of(text, "Differences")} == {"mixup − bc", "none − bc"},
    ),
    "notes": ({"notes": ["A note."]}, lambda text: "- A note." in text),
    "figures": (
        {"figures": [{"file": "mine", "kind": "cost"}, {"kind": "cost"}, {"kind": "cost", "by": "rows"}]},
        lambda text: all(f"![{name}]({name}.png)" in text for name in ("mine", "cost", "cost_2")),
    ),
    "rows.label": ({"rows": {"label": "so many", "key": "subset.n"}}, lambda text: head_of(text)[0] == "so many"),
    "rows.key": (
        {"rows": {"key": "mix"}, "columns": {"key": "subset.n"}},
        lambda text: head_of(text)[1:] == ["n = 100", "n = 500"],
    ),
    "rows.values": (
        {"rows": {"values": {"few": {"subset.n": 100}}}},
        lambda text: rows_of(text, "Test accuracy")[0][:2] == ["few", "43.00 ± 1.00 (3)"],
    ),
    "rows.measures": (
        {"rows": {"measures": {"wrong": {"metric": "error"}}}, "columns": {"key": "seed"}},
        lambda text: first_of(text, "Metrics as labelled")[:1] == ["wrong"],
    ),
}
MEASURED = {
    "metric": ({"metric": "error"}, "57.00 ± 1.00 (3)"),
    "rule": ({"metric": "error", "rule": "best"}, "37.00 ± 1.00 (3)"),
    "where": ({"metric": "probe.by_class.recall", "where": {"size": "minority"}}, "21.00 ± 1.00 (3)"),
    "better": ({"metric": "error", "rule": "best", "better": "higher"}, "57.00 ± 1.00 (3)"),
    "scale": ({"metric": "error", "scale": 1000}, "570.00 ± 10.00 (3)"),
}


@pytest.mark.parametrize("key", SHOWN)
def test_a_key_of_the_table_changes_the_report(key, tmp_path, made):
    changes, seen = SHOWN[key]
    runs = leave_all(tmp_path / "runs", None, TABLE)
    (tmp_path / "my.yaml").write_text(yaml.safe_dump(changes, sort_keys=False))
    words = ["--where", "mix=none", "--where", "subset.n=100"] if key == "rows.measures" else []
    assert not seen(made(runs)) and seen(made(runs, *words, "--table", tmp_path / "my.yaml", drawn=key == "figures"))


@pytest.mark.parametrize("key", MEASURED)
def test_a_key_of_a_measure_changes_its_numbers(key, tmp_path, made):
    measure, number = MEASURED[key]
    runs = leave_all(tmp_path / "runs", None, TABLE)
    content = {"rows": {"key": "mix"}, "columns": {"measures": {"it": measure}}}
    (tmp_path / "my.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    rows = cells_of(made(runs, "--table", tmp_path / "my.yaml", "--where", "subset.n=100"), "Metrics as labelled")
    assert ["none", number] in [row[:2] for row in rows]


def test_every_key_is_among_these():
    assert set(SHOWN) == {*KEYS, *(f"rows.{key}" for key in AXIS)} and {*MEASURED, "compared"} == set(
        MEASURE
    )  # which test_findings.py tests
    assert set(COMMON) == {"file", "kind"}, "which the figures above have"


def test_figures_of_a_swapped_table_show_what_they_showed():
    figures = [
        {"file": "a", "kind": "curves"},
        {"file": "b", "kind": "scores", "by": "rows"},
        {"file": "c", "kind": "scores"},
        {"file": "d", "kind": "cost", "by": "rows"},
        {"file": "e", "kind": "nothing of the sort", "by": "rows"},
    ]
    table = {**DEFAULTS, "rows": {"key": "mix"}, "columns": {"key": "seed"}, "figures": figures}
    table |= {"order": {"rows": [1], "mix": [2]}, "published": {"0": {"none": 1.0, "mixup": 2.0}, "1": {"none": 3.0}}}
    turned = swapped(table)
    assert turned["rows"] == {"key": "seed"} and turned["columns"] == {"key": "mix"}
    assert turned["order"] == {"columns": [1], "mix": [2]}
    assert turned["published"] == {"none": {"0": 1.0, "1": 3.0}, "mixup": {"0": 2.0}}
    assert turned["figures"] == [
        {**figures[0], "by": "rows", "each": "columns"},
        {**figures[1], "by": "columns"},
        figures[2],
        {**figures[3], "by": "columns"},
        figures[4],
    ]
    assert swapped(turned) == {**table, "figures": [{**figures[0], "by": "columns", "each": "rows"}, *figures[1:]]}


def test_the_csv_files_have_the_order_of_the_table(sweep, made, tmp_path):
    made(sweep, "--rows", "subset.n", "--columns", "mix", "--order", "mix=none,mixup,bc")
    with (tmp_path / "report" / "table.csv").open(encoding="utf-8") as file:
        columns = list(dict.fromkeys(row["column"] for row in csv.DictReader(file)))
    assert columns == ["none", "mixup", "bc"]


def test_any_column_can_be_drawn_over_the_steps(sweep, made):
    assert "![curves](curves.png)" in made(sweep, "--figure", "curves:y=[lr,seconds]", drawn=True)

"""What is kept of a sweep, and the page that shows it: nothing of this machine, no weights, no number that is not the
report's."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path

import pytest
from claim_runs import claim, leave
from running import trained

from mixexp.errors import UserError
from mixexp.spec.experiments import Experiment
from mixexp.training.reader import load_runs

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def script(tmp_path, monkeypatch):
    spec = importlib.util.spec_from_file_location("publish", ROOT / "scripts" / "publish.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "PUBLISHED", tmp_path / "published")
    return module


def sweep(folder: Path, *words: str) -> Path:
    for seed in (0, 1):
        trained(
            folder / f"run{seed}",
            f"seed={seed}",
            "experiment=quickstart",
            "epochs=1",
            "keep_checkpoint=true",
            f"output_dir={folder}",
            *words,
        )
        about = folder / f"run{seed}" / "environment.json"
        facts = json.loads(about.read_text()) | {"differs_from_experiment": {"epochs": [1, 30]}}
        facts["command"] = f"mixexp -m experiment=quickstart epochs=1 'output_dir={folder}'"
        about.write_text(json.dumps(facts))
    return folder


def test_finished_runs_are_kept_without_weights_and_without_this_machine(script, tmp_path):
    home = script.publish(sweep(tmp_path / "sweep here"))
    assert home == tmp_path / "published" / "reduced" / "quickstart"
    runs = load_runs(home / "runs")
    assert [run.outcome for run in runs] == ["finished", "finished"]
    assert not list(home.rglob("*.pt"))
    kept = {path: path.read_text() for path in home.rglob("*") if path.is_file() and path.suffix != ".png"}
    assert not [path for path, text in kept.items() if str(tmp_path) in text]
    assert all("host" not in run.environment for run in runs)
    page = script.page()
    assert "mixexp -m experiment=quickstart epochs=1\n" in page, "the command without this machine's folders"
    assert "**Reduced: epochs 1 instead of 30**" in page
    assert all((tmp_path / "published" / name).is_file() for name in re.findall(r"!\[[^]]*\]\(([^)]+)\)", page))


def test_what_is_kept_again_replaces_what_was_and_the_reading_stays(script, tmp_path):
    home = script.publish(sweep(tmp_path / "first"))
    (home / "reading.md").write_text("As expected.\n")
    (tmp_path / "first" / "run0").rename(tmp_path / "first" / "other")
    script.publish(tmp_path / "first")
    assert sorted(path.name for path in (home / "runs").iterdir()) == ["other", "run1"]
    assert "As expected." in script.page()


def test_nothing_finished_is_an_error_and_leaves_what_was_kept(script, tmp_path):
    home = script.publish(sweep(tmp_path / "first"))
    for run in ("run0", "run1"):
        (tmp_path / "first" / run / "result.json").unlink()
    with pytest.raises(UserError, match="none of its 2 runs is finished"):
        script.publish(tmp_path / "first")
    assert len(load_runs(home / "runs")) == 2


def test_an_edition_is_kept_apart_and_decides_claims(script, tmp_path, monkeypatch):
    for mix, values in {"none": (50, 51, 52), "mixup": (60, 61, 63)}.items():
        for seed, value in enumerate(values):
            leave(
                tmp_path / "sweep" / f"{mix}{seed}",
                value / 100,
                seed=seed,
                mix=mix,
                edition="laptop",
                experiment="quickstart",
                model={"width": 8},
                output_dir=str(tmp_path),
            )
    test = {"higher": {"mix": "mixup"}, "lower": {"mix": "none"}}
    stated = Experiment(
        "quickstart", "quickstart", "", {}, {"helps": claim(test)}, {"laptop": {"params": {"seed": "0,1,2"}}}
    )
    monkeypatch.setattr(script, "experiments", lambda folders: {"quickstart": stated})
    monkeypatch.setattr(script, "experiment", lambda path: stated)
    home = script.publish(tmp_path / "sweep")
    assert home == tmp_path / "published" / "laptop" / "quickstart"
    assert "## Others: laptop edition" in script.page()
    page = script.claims_page(script.decided())
    assert (
        page.startswith("# What the articles claim")
        and "| quickstart.helps | It is so. (small_data_mixup, table) | laptop | supported |" in page
    )


def test_runs_that_depart_by_hand_are_kept_as_reduced(script, tmp_path):
    for seed in range(2):
        leave(
            tmp_path / "sweep" / f"run{seed}",
            0.5,
            seed=seed,
            edition="laptop",
            experiment="quickstart",
            differs={"epochs": [1, 2]} if seed else None,
        )
    assert script.publish(tmp_path / "sweep") == tmp_path / "published" / "reduced" / "quickstart"


def test_every_kept_experiment_is_on_the_page_as_its_runs_say():
    """The page that is committed is the one that the script writes from the runs beside it."""
    spec = importlib.util.spec_from_file_location("publish", ROOT / "scripts" / "publish.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert (module.PUBLISHED / "README.md").read_text(encoding="utf-8") == module.page()
    found = module.decided()
    assert (module.DOCS / "claims.md").read_text(encoding="utf-8") == module.claims_page(found)
    results = module.RESULTS.read_text(encoding="utf-8")
    assert results == module.with_counts(results, found) and results.count("| full size |") == len(module.ARTICLES)
    references = module.CITED.read_text(encoding="utf-8")
    assert references == module.with_references(references) and '<a id="zhang2018_mixup"></a>' in references


def test_a_page_without_its_marks_is_left_alone(script):
    found = script.decided()
    for page in ("", script.MARKS[0], script.MARKS[1] + script.MARKS[0], script.MARKS[0] * 2 + script.MARKS[1]):
        with pytest.raises(UserError, match="once each; the table of verdicts comes between"):
            script.with_counts(page, found)
    with pytest.raises(UserError, match="once each; the list of references comes between"):
        script.with_references("")
    assert script.with_counts(f"a{script.MARKS[0]}x{script.MARKS[1]}b", found).startswith(
        f"a{script.MARKS[0]}\n\n| article |"
    )

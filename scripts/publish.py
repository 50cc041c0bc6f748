"""Keep sweeps' finished runs under outputs/published, and write the pages with their results and the claims' verdicts.

    python scripts/publish.py outputs/small_data
        keeps it as outputs/published/reduced/small_data, or full/ where nothing is reduced
    python scripts/publish.py outputs/small_data_laptop
        keeps an edition as outputs/published/laptop/small_data_laptop
    python scripts/publish.py
        draws all reports again, and writes the pages

The configuration, the environment, the CSVs and the result of a run are kept, without names of this machine; weights
never are. An interpretation of a table is written by hand into reading.md next to it; the page quotes it.
"""

from __future__ import annotations

import argparse
import functools
import json
import shlex
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from mixexp.errors import UserError
from mixexp.files import write_atomically
from mixexp.reporting.claims import (
    CONTRADICTED,
    FULL,
    NOT_RUN,
    SUPPORTED,
    UNCLEAR,
    UNDECIDED,
    Decided,
    counts,
    decide,
    evidence,
)
from mixexp.reporting.markdown import claims_document, markdown
from mixexp.reporting.tables import build_tables
from mixexp.reporting.write import claims_of, write_table
from mixexp.settings import CONF, lookup
from mixexp.spec.articles import ARTICLES, REFERENCES
from mixexp.spec.experiments import experiment, experiments
from mixexp.training.reader import Run, everywhere, load_run, load_runs, run_folders

ROOT = Path(__file__).resolve().parent.parent
PUBLISHED, DOCS = ROOT / "outputs" / "published", ROOT / "docs"
RESULTS, CITED = DOCS / "results.md", DOCS / "references.md"
MARKS = "<!-- verdicts: written by scripts/publish.py -->", "<!-- end of verdicts -->"
CITED_MARKS = "<!-- references of claims: written by scripts/publish.py -->", "<!-- end of references of claims -->"
REDUCED = "reduced"
KEPT = ("config.yaml", "environment.json", "metrics.csv", "confusion.csv", "result.json")
PLACES = {"data_dir": "data", "output_dir": "outputs", "root": "data"}
"""Settings that name folders of a machine, and their replacements."""
BESIDE, SEARCH = ("reading.md", "trials.csv"), "search_"
"""Files that no table of runs produces: a search leaves its trials and its figures in its report."""
HERE = ("host", "process", "platform")


def without_machine(value: Any) -> Any:
    """A configuration with the defaults in place of this machine's folders."""
    if isinstance(value, dict):
        # a probe's source is another run's folder
        source = {"source": Path(str(value["source"])).name} if value.get("source") else {}
        return {key: PLACES[key] if key in PLACES else without_machine(inner) for key, inner in value.items()} | source
    return [without_machine(inner) for inner in value] if isinstance(value, list) else value


def anywhere(words: str) -> str:
    """Words of a command line without those that name folders of a machine."""
    local = tuple(f"{key}=" for key in PLACES)
    return " ".join(
        shlex.quote(word) if " " in word else word for word in shlex.split(words) if not word.startswith(local)
    )


def command_of(run: Run) -> str:
    """The command that made a run, without the folders of its machine; python -m mixexp becomes mixexp."""
    return anywhere(str(run.environment.get("command", "")).replace("__main__.py", "mixexp", 1))


def keep(source: Path, target: Path) -> None:
    """Copy the files of a finished run that are kept."""
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    for name in (*KEPT, *(path.name for path in sorted(source.glob("probe_*")))):
        if not (source / name).exists():
            continue
        text = (source / name).read_text(encoding="utf-8")
        if name.endswith(".yaml"):
            text = yaml.safe_dump(without_machine(yaml.safe_load(text)), sort_keys=False, allow_unicode=True)
        if name == "environment.json":
            run = load_run(source)
            about = {key: value for key, value in run.environment.items() if key not in HERE}
            about |= {"label": anywhere(str(about.get("label", ""))), "command": command_of(run)}
            text = json.dumps(about, indent=1)
        write_atomically(target / name, text)


def publish(folder: Path) -> Path:
    """Keep a sweep's finished runs with their report, in place of the runs kept of the same experiment before."""
    runs = load_runs(folder)
    finished = [run for run in runs if run.over]
    if not finished:
        raise UserError(f"{folder}: none of its {len(runs)} runs is finished")
    name = str(finished[0].config["name"])
    home = PUBLISHED / kind_of(finished) / name
    shutil.rmtree(home / "runs", ignore_errors=True)
    for run in finished:
        keep(run.folder, home / "runs" / run.folder.name)
    for extra in (*folder.glob("report/trials.csv"), *folder.glob(f"report/{SEARCH}*.png")):
        shutil.copy(extra, home)
    draw(home)
    return home


def kind_of(runs: Sequence[Run]) -> str:
    """Full size, an edition, or reduced by hand; runs that are not evidence for a claim are reduced."""
    path = CONF / "experiment" / f"{lookup(runs[0].config, 'experiment')}.yaml"
    if not path.is_file():
        return REDUCED
    editions, others = evidence(experiment(path), runs)
    return next(iter(editions)) if len(editions) == 1 and not others else REDUCED


def draw(home: Path) -> None:
    """Make a kept sweep's report again from its runs."""
    for old in home.iterdir():
        if old.name.startswith("protocol"):
            shutil.rmtree(old)
        elif old.is_file() and old.name not in BESIDE and not old.name.startswith(SEARCH):
            old.unlink()
    tables = build_tables(load_runs(home / "runs"))
    for number, (table, claims) in enumerate(zip(tables, claims_of(tables), strict=True)):
        for path in write_table(table, home if number == 0 else home / f"protocol{number + 1}", claims):
            # with many points, these are as large as all CSVs together; a report has them
            if path.suffix in (".svg", ".pdf"):
                path.unlink()


def kinds() -> list[str]:
    """The kinds in order: full size, editions, reduced."""
    editions = sorted(path.name for path in PUBLISHED.iterdir() if path.is_dir() and path.name not in (FULL, REDUCED))
    return [FULL, *editions, REDUCED]


def homes(kind: str) -> list[Path]:
    """The kept sweeps of a kind."""
    return sorted(path for path in (PUBLISHED / kind).glob("*") if (path / "runs").is_dir())


def section(home: Path) -> str:
    """The page's section on one kept sweep: command, hardware, reductions, the main table, figures, the reading."""
    tables = build_tables(load_runs(home / "runs"))
    parts = []
    for folder in (home, *sorted(home.glob("protocol*"))):
        table = next(
            t
            for t in tables
            if (folder / "table.md").read_text(encoding="utf-8").startswith(markdown(t).split("\n")[0])
        )
        environment = table.runs[0].environment
        blocks = markdown(table).split("\n\n")
        heading = next(
            i
            for i, block in enumerate(blocks)
            if block.startswith("## ") and not block.startswith(("## Without", "## In no"))
        )
        threads = f"{environment.get('threads')} thread{'s' if environment.get('threads') != 1 else ''} a run"
        facts = [
            str(environment.get("device_name")),
            threads,
            f"torch {environment['versions']['torch']}",
            environment["started"][:10],
        ]
        parts.append(f"### {blocks[0].removeprefix('# ')}")
        parts.append(
            "\n\n".join(f"```bash\n{command}\n```" for command in dict.fromkeys(command_of(run) for run in table.runs))
        )
        parts.append(f"{len(table.scores)} of {len(table.runs)} runs have a result; {', '.join(facts)}.")
        parts += [block for block in blocks if block.startswith("**Reduced")]
        parts += [blocks[heading].removeprefix("## ") + ":", blocks[heading + 1]]
        parts += [
            block
            for block in blocks[heading + 2 : heading + 3]
            if block.startswith(("In brackets", "Bold: ", "Nothing is bold: "))
        ]
        pictures = sorted(path for path in folder.iterdir() if path.suffix in (".png", ".gif"))
        parts += [f"![{path.stem}]({path.relative_to(PUBLISHED).as_posix()})" for path in pictures]
    reading = home / "reading.md"
    return "\n\n".join(parts + ([reading.read_text(encoding="utf-8").strip()] if reading.exists() else []))


@functools.cache
def article_of(home: Path) -> str:
    """The topic of the article behind a kept sweep's experiment."""
    name = lookup(load_run(run_folders(home / "runs")[0]).config, "experiment")
    return ARTICLES.get(experiment(CONF / "experiment" / f"{name}.yaml").article, "Others")


def page() -> str:
    """The page: full-size sweeps first, then those of editions and the reduced ones, by article."""
    parts = [
        "# Results that are kept",
        "Written by `python scripts/publish.py` from the runs in this folder; the readings are by hand.",
    ]
    for kind in kinds():
        words = {FULL: "full size", REDUCED: "reduced"}.get(kind, f"{kind} edition")
        if kind == FULL:
            parts.append("At full size there are those that need no GPU; no other has been run so yet.")
        for article in (*ARTICLES.values(), "Others"):
            of_article = [home for home in homes(kind) if article_of(home) == article]
            parts += [f"## {article}: {words}"] * bool(of_article)
            parts += [section(home) for home in of_article]
    earlier = PUBLISHED / "earlier.md"
    parts += [earlier.read_text(encoding="utf-8").strip()] if earlier.exists() else []
    return "\n\n".join(parts) + "\n"


def decided() -> Decided:
    """All claims, as the kept runs decide them."""
    stated = [each for each in experiments([CONF]).values() if each.claims is not None]
    return decide(stated, everywhere([PUBLISHED]))


def claims_page(answers: Decided) -> str:
    """The page of all claims."""
    text = claims_document(answers, "What the articles claim, and what the runs that are kept say of it")
    heading, _, rest = text.partition("\n\n")
    made = (
        "Written by `python scripts/publish.py` from the claims in `conf/experiment` and the runs in"
        " `outputs/published`."
    )
    return f"{heading}\n\n{made} [References](references.md) explains the citation keys.\n\n{rest}"


def between(path: Path, text: str, marks: tuple[str, str], lines: Sequence[str], what: str) -> str:
    """The text of a page with these lines between its two marks; what: the lines, in words."""
    first, last = marks
    if [text.count(mark) for mark in marks] != [1, 1] or text.index(first) > text.index(last):
        raise UserError(f"{path}: it needs {first} and, behind it, {last}, once each; {what} comes between")
    before, _, rest = text.partition(first)
    inside = "\n".join(lines)
    return f"{before}{first}\n{inside}\n{last}{rest.partition(last)[2]}"


def with_references(text: str) -> str:
    """The page of references with those that claims cite."""
    lines = [f'- <a id="{key}"></a>`{key}`: {reference}' for key, (_, reference) in REFERENCES.items()]
    return between(CITED, text, CITED_MARKS, ["", *lines, ""], "the list of references")


def with_counts(text: str, answers: Decided) -> str:
    """The page of results with its table of verdicts as these claims have it."""
    shown = (SUPPORTED, CONTRADICTED, UNDECIDED, UNCLEAR, NOT_RUN)
    lines = [f"| article | at | {' | '.join(shown)} |", f"|---|---|{'---:|' * len(shown)}"]
    for article, about in ARTICLES.items():
        for edition, verdicts in counts(
            answer for answer in answers.answers if answer.article == article and answer.edition
        ).items():
            size = "full size" if edition == FULL else f"{edition} edition"
            lines.append(f"| {article}: {about} | {size} | {' | '.join(str(verdicts[verdict]) for verdict in shown)} |")
    return between(RESULTS, text, MARKS, ["", *lines, ""], "the table of verdicts")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="*", type=Path, help="folders of sweeps, such as outputs/small_data")
    try:
        folders = parser.parse_args().folder
        for each in folders:
            print(publish(each))
        for each in () if folders else [home for kind in kinds() for home in homes(kind)]:
            draw(each)
        DOCS.mkdir(exist_ok=True)
        write_atomically(PUBLISHED / "README.md", page())
        answers = decided()
        write_atomically(DOCS / "claims.md", claims_page(answers))
        write_atomically(RESULTS, with_counts(RESULTS.read_text(encoding="utf-8"), answers))
        write_atomically(CITED, with_references(CITED.read_text(encoding="utf-8")))
    except UserError as error:
        parser.exit(2, f"{error}\n")
    print(*(PUBLISHED / "README.md", DOCS / "claims.md", RESULTS, CITED), sep="\n")

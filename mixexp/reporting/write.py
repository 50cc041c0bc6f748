"""The report of folders of runs, as files."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from itertools import count
from pathlib import Path

from filelock import FileLock, Timeout

from mixexp.errors import UserError, note
from mixexp.files import put_aside, read_text, write_atomically
from mixexp.metrics import RULES
from mixexp.reporting import shots
from mixexp.reporting.cells import in_words
from mixexp.reporting.changes import NOTHING, Changes, check_files
from mixexp.reporting.claim_sheets import records as claim_records
from mixexp.reporting.claims import Decided, decide, family, only
from mixexp.reporting.csv_files import as_csv, contrast_records, run_records, tidy
from mixexp.reporting.latex import latex, latex_differences
from mixexp.reporting.markdown import markdown
from mixexp.reporting.page import Part, Picture, page
from mixexp.reporting.runs import gather, outdated
from mixexp.reporting.summary import baseline_problem
from mixexp.reporting.tables import Table, build_tables
from mixexp.settings import CONF, lookup
from mixexp.spec.experiments import experiments, of_runs
from mixexp.spec.figures import figure_file, figure_problem
from mixexp.training.reader import Run, run_folders

TABLE_FILES = (
    "table.md",
    "table.tex",
    "table.csv",
    "by_group.csv",
    "runs.csv",
    "differences.csv",
    "differences.tex",
    "claims.csv",
)
PAGE = "report.html"
POOLING = ("against", "curves", "confusion", "per_class", "cost", "probe")
"""The kinds of figures that show all runs of a cell together, also unlike ones."""
LOCK, WAIT_SECONDS = ".lock", 600


def write_report(
    directories: Sequence[Path],
    rule: str | None = None,
    baseline: str | None = None,
    out: Path | None = None,
    wrote: Callable[[Path], None] = lambda path: None,
    options: Sequence[Path] | None = None,
    changes: Changes = NOTHING,
    only: Collection[Path] | None = None,
    code_now: Callable[[str], str | None] = lambda module: None,
    made: Callable[[Table, Path], None] = lambda table, folder: None,
) -> list[Path]:
    """Write the tables, CSV files, figures and page of all the runs in some folders; returns the paths, the page last.

    Into ``out``, or ``report`` in the folder; for several folders, ``report`` in their common parent. ``rule`` (last,
    median_last_10, best or best_validation) replaces the table's selection rule, ``baseline`` its baseline. ``wrote``
    receives each file once it is complete: all tables come before the first figure, which takes longer. ``options``:
    the folders with the files of experiments, which describe their tables and state their claims; None for the
    program's. ``changes``: the reader's changes to the tables. ``only``: the folders, resolved, of the runs to take;
    None for all. ``code_now``: the present hash of a module of the user's own, by its name, None where it is not known.
    ``made`` gets each table and its folder.

    Raises UserError for a folder without runs, for an unknown rule, for a baseline that no table has, for changes that
    no run allows, and for folders in different places without ``out``.
    """
    # an earlier report is next to the folders in `mixexp report outputs/*`
    directories = [
        path for path in directories if run_folders(path) or not ((path / PAGE).exists() or path.name == "report")
    ] or directories
    parents = {path.resolve().parent for path in directories}
    if out is None and len(parents) > 1:
        raise UserError(
            f"the folders lie in {len(parents)} different places; say where their report goes, --out FOLDER"
        )
    options = options or [CONF]
    all_runs, remarks = gather(directories, options)
    if only is not None:
        all_runs = [run for run in all_runs if run.folder.resolve() in only]
    runs, selection = changes.selected(all_runs)
    runs = [changes.over(run) for run in runs]
    home, name_of_all = (
        out or common(directories) / "report",
        changes.table.get("title") or common(directories).resolve().name,
    )
    tables = build_tables(runs, rule, name_of_all, baseline)
    changes.check(tables)
    check_files(tables, options, changes.table)
    rule, baseline = rule or changes.table.get("rule"), baseline or changes.table.get("baseline")
    scores = [numbers for table in tables for numbers in table.scores.values()]
    if rule is not None and scores and not any(rule in numbers for numbers in scores):
        raise UserError(
            f"rule {rule}: no run has a number {RULES[rule]}, since none held a part of its training set out"
            " (validation=0.1)"
        )
    problems = [baseline_problem(table) for table in tables]
    if baseline is not None and all(problems):
        raise UserError(problems[0])
    for table in tables:
        table.remarks.extend(outdated(table.runs, code_now))
        table.remarks.extend([*remarks, *selection, *filter(None, [changes.remark, baseline_problem(table)])])
    names = distinct_names([PAGE, *TABLE_FILES, *(table.spec["title"] for table in tables)])[1 + len(TABLE_FILES) :]
    folders = [home / name if len(tables) > 1 else home for name in names]
    claims = claims_of(tables, options, all_runs)
    written: dict[Path, None] = {}

    def tell(paths: Iterable[Path]) -> None:
        for path in paths:
            written[path] = None
            wrote(path)

    with _alone(home):
        if len(tables) > 1:  # an earlier report of a single table would be taken for the newest
            for name in TABLE_FILES:
                (home / name).unlink(missing_ok=True)
        texts = []
        for table, decided, folder in zip(tables, claims, folders, strict=True):
            texts.append(write_texts(table, folder, decided))
            tell(texts[-1])
        parts = []
        for table, decided, folder, files in zip(tables, claims, folders, texts, strict=True):
            pictures, problems = _figures(table, folder)
            tell(_with_figures(table, folder, decided, pictures, problems))
            parts.append(Part(table, _name(table), files, pictures, problems, decided))
            made(table, folder)
        tell([_write(home / PAGE, page(home, name_of_all, directories, parts, changes.notes))])
    return list(written)


def claims_of(
    tables: Sequence[Table], options: Sequence[Path] = (CONF,), runs: Sequence[Run] | None = None
) -> list[Decided]:
    """The claims of each table's experiments, decided by the runs of all tables.

    An experiment with several tables has its claims at the first. options: the folders with experiments' files. runs:
    those that decide, where the tables hold only a part of them. Errors of claims become remarks of their table.
    """
    if runs is None:
        runs = list({run.folder: run for table in tables for run in table.runs}.values())
    stated = {experiment.name: experiment for experiment in of_runs(runs, options)}
    claiming = any(experiment.claims for experiment in stated.values())
    all_decided = decide(family(stated.values(), experiments(options).values()), runs) if claiming else Decided([], [])
    decided, waiting = [], set(stated)
    for table in tables:
        names = {str(lookup(run.config, "experiment")) for run in table.runs} & waiting
        waiting -= names
        decided.append(only(all_decided, names))
        table.remarks.extend(f"Left out: {problem}" for problem in decided[-1].problems)
    return decided


@contextlib.contextmanager
def _alone(home: Path) -> Iterator[None]:
    """Context in which no other process writes a report into the folder, which would remove its figures.

    It waits for a process that already does.
    """
    home.mkdir(parents=True, exist_ok=True)
    put_aside(home / LOCK, note, links=False)
    lock = FileLock(home / LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        note(f"{home}: another process writes a report there, and this one waits for it")
        try:
            lock.acquire(timeout=WAIT_SECONDS)
        except Timeout:
            waited = f"{WAIT_SECONDS / 60:.0f} min"
            raise UserError(
                f"{home}: another process has been writing a report there for {waited}; --out FOLDER writes elsewhere"
            ) from None
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            (home / LOCK).unlink()
        lock.release()


def common(directories: Sequence[Path]) -> Path:
    """The folder itself, or the common parent of several."""
    return (
        directories[0]
        if len(directories) == 1
        else Path(os.path.commonpath([directory.resolve() for directory in directories]))
    )


def write_table(table: Table, folder: Path, claims: Decided | None = None) -> list[Path]:
    """Write one table into ``folder``, with the figure of its result and the figures that it lists."""
    texts = write_texts(table, folder, claims)
    return list(
        dict.fromkeys([*texts, *_with_figures(table, folder, claims, *_figures(table, folder, others=("scores",)))])
    )


def write_texts(table: Table, folder: Path, claims: Decided | None = None) -> list[Path]:
    """Write one table as Markdown, LaTeX and CSV into ``folder``, with its claims; remove outdated files."""
    _clear_figures(folder)
    name = _name(table)
    texts = {
        "table.md": markdown(table, claims),
        "table.tex": latex(table, name),
        "table.csv": as_csv(tidy(table)),
        "by_group.csv": as_csv(shots.records(table)),
        "runs.csv": as_csv(run_records(table)),
        "differences.csv": as_csv(contrast_records(table)),
        "claims.csv": as_csv(claim_records(claims)) if claims is not None else "",
        "differences.tex": latex_differences(table, name),
    }
    for stale in (name for name, text in texts.items() if not text):
        (folder / stale).unlink(missing_ok=True)
    return write_files(folder, {name: text for name, text in texts.items() if text})


def _clear_figures(folder: Path) -> None:
    """Remove the figures of an earlier report's Markdown: the present table may have fewer, or be another one."""
    try:
        text = read_text(folder / "table.md")
    except (OSError, ValueError):
        return
    for stem in re.findall(r"^!\[[^]\n]*\]\(([^/\n]+)\.(?:png|gif)\)$", text, re.MULTILINE):
        for ending in (".svg", ".pdf", ".png", ".gif"):
            (folder / f"{stem}{ending}").unlink(missing_ok=True)


def _name(table: Table) -> str:
    r"""The end of a table's \label: its title, and a digest of it where the title has characters unfit for a label."""
    title = str(table.spec["title"])
    lossy = not re.fullmatch(r"[A-Za-z0-9. ]{,60}", title)
    return (
        distinct_names([title])[0]
        + f"-{hashlib.sha256(title.encode('utf-8', 'backslashreplace')).hexdigest()[:6]}" * lossy
    )


def _with_figures(
    table: Table, folder: Path, claims: Decided | None, pictures: Sequence[Picture], remarks: Sequence[str]
) -> list[Path]:
    """Append the figures, and the reasons for missing ones, to the table's Markdown; returns the paths."""
    paths = [path for picture in pictures for path in picture.paths]
    shown = [f"![{path.stem}]({path.name})" for path in paths if path.suffix in (".png", ".gif")]
    text = "\n\n".join([markdown(table, claims).rstrip("\n"), *remarks, *shown]) + "\n"
    return [*paths, *([_write(folder / "table.md", text)] if remarks or shown else [])]


def distinct_names(titles: list[str]) -> list[str]:
    """A file name for each title, all different: letters of any script, digits, dots and hyphens stay."""
    names: list[str] = []
    for title in titles:
        # Some file systems count bytes (255 of them), so that a long Japanese title needs cutting too.
        stem = re.sub(r"[^\w.-]+", "_", title).strip("._")[:60] or "table"
        numbered = (f"{stem}_{number}" for number in count(2))
        names.append(stem if stem not in names else next(name for name in numbered if name not in names))
    return names


def _figures(table: Table, folder: Path, others: Collection[str] | None = None) -> tuple[list[Picture], list[str]]:
    """Draw the table's figures and a report's standard ones; a figure of the table that fails becomes a remark.

    others: the kinds of standard figures; None for all.
    """
    if not table.spec["figures"] and not table.cells:
        return [], []
    # matplotlib takes half a second to import, which tables alone do not need
    from mixexp.reporting import figures

    problems = [figure_problem(spec) for spec in table.spec["figures"]]
    asked = [spec for spec, problem in zip(table.spec["figures"], problems, strict=True) if not problem]
    remarks = [f"Not drawn: {problem}" for problem in problems if problem]
    if not table.cells:
        return [], [*remarks, "There is nothing to draw yet."]
    specs = [*asked, *(spec for spec in figures.standard(table) if others is None or spec["kind"] in others)]
    named = enumerate(zip(specs, distinct_names([figure_file(spec) for spec in specs]), strict=True))
    pictures: list[Picture] = []
    # the result comes first, unless the table lists it, which fixes its place
    for place, (spec, name) in sorted(
        named, key=lambda entry: entry[0] < len(asked) or entry[1][0]["kind"] != "scores"
    ):
        try:
            figure, words = figures.draw(table, spec)
            words += " Reduced runs: see the table." if table.reduced else ""
            words += _together(table) if spec["kind"] in POOLING else ""
            pictures.append(Picture(figures.save(figure, folder / name, words), words))
        except UserError as error:
            remarks += [f"Not drawn: figure {figure_file(spec)}: {error}"] if place < len(asked) else []
    return pictures, remarks


def _together(table: Table) -> str:
    """A caption's sentence on the cells of unlike runs, of which the table has no mean; empty without one."""
    return f" Unlike runs are together in {in_words(list(table.unlike))}: see the notes." if table.unlike else ""


def write_files(folder: Path, texts: dict[str, str]) -> list[Path]:
    """Write texts by their files' names into a folder, which is made."""
    folder.mkdir(parents=True, exist_ok=True)
    return [_write(folder / name, text) for name, text in texts.items()]


def _write(path: Path, text: str) -> Path:
    # a folder's name can hold bytes that are not text, and a JSON file half a letter
    write_atomically(path, text, errors="backslashreplace")
    return path

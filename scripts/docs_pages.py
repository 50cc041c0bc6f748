"""Pages of the documentation that are made from the program itself: a card for every option of every group, and a page
for every experiment.

mkdocs-gen-files runs it in `mkdocs build`. Titles, equations, settings and refusals come from docstrings, YAML files
and signatures, numbers from experiments' `table.published` and from the kept tables in outputs/published, verdicts
from the kept runs.
"""

from __future__ import annotations

import ast
import csv
import functools
import inspect
import re
import textwrap
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from html import escape
from pathlib import Path
from typing import Any

from mixexp.plan.editions import Edition
from mixexp.plan.groups import CONTRACTS
from mixexp.plan.options import options
from mixexp.plan.overrides import axes_of
from mixexp.plan.reference import Part, Setting, chosen_options, experiment_settings, option_parts, root_settings
from mixexp.probe import Facts
from mixexp.reporting import claim_sheets
from mixexp.reporting.claims import FULL, Decided, decide, only
from mixexp.reporting.entries import label, written
from mixexp.reporting.sheets import number
from mixexp.reporting.tables import spec_of
from mixexp.settings import CONF, comparable
from mixexp.spec.articles import ARTICLES, REFERENCES
from mixexp.spec.experiments import Experiment, experiments, places
from mixexp.spec.grid import combined
from mixexp.spec.table import AXES, DEFAULTS, unit
from mixexp.text import in_hydra
from mixexp.training.reader import Run, everywhere

ROOT = Path(__file__).resolve().parent.parent
PUBLISHED = ROOT / "outputs" / "published"
METHODS, EXPERIMENTS, REFERENCE_PAGE = "methods", "experiment", "references.md"
"""Folders of the pages, and the page with the one list of references, below docs/."""
NAV = "SUMMARY.md"
REDUCED = "reduced"
"""The kind of kept sweeps that somebody changed by hand."""
SHOWN = 12
"""Numbers of a card that are shown at once; more are folded."""
LABELLED = re.compile(r"^([A-Z][\w ]{2,24}?): (.*)")
"""A line of a YAML header that says of what it speaks, such as "Source: ..."."""
ADVICE, TRIAL = "Use it ", "Try it: "
"""How the lines of an option's header begin that say when to use it, and with which command to try it."""
PIECES = re.compile(r"(?<=[.:)])\s(?=(?:Source|Rows(?: of \w+)?): )")
"""Where a docstring goes over to its source or to the columns that a probe writes."""
DIFFERS = "Differs from the paper: "
EQUATION = re.compile(r"[Σ√∝‖∇]|\w(?:\([^)]*\)|'|[₁₂])? (?:=|~|∝) [^.;]*[·√(^/]|^−\(|^[½−]")
"""What marks a sentence of a docstring that holds an equation."""


# --- what pages are made of ---


@dataclass(frozen=True)
class Kept:
    """A kept sweep: its folder and kind (full, an edition, or reduced), the rows of its table.csv, the blocks of its
    table.md, and the commands that made it."""

    home: Path
    kind: str
    rows: list[dict[str, str]]
    blocks: list[str]
    commands: list[str]

    @property
    def place(self) -> str:
        """Its folder below outputs/published."""
        return self.home.relative_to(PUBLISHED).as_posix()

    @property
    def size(self) -> str:
        """What it is in words."""
        return {FULL: "full size", REDUCED: REDUCED}.get(self.kind, f"{self.kind} edition")

    @property
    def reduced(self) -> str:
        """What is not as the experiment has it, in a sentence; empty at full size."""
        return next((of_markdown(block).strip("*") for block in self.blocks if block.startswith("**Reduced")), "")

    @property
    def pictures(self) -> list[Path]:
        """Its figures."""
        return sorted(path for path in self.home.rglob("*") if path.suffix in (".png", ".gif"))


@dataclass
class Number:
    """A cell of an experiment's table for one metric: its labels, the settings that they stand for, and its numbers,
    formatted: the published one, and those of the kept sweeps with the number of runs."""

    experiment: str
    row: str
    column: str
    conditions: Mapping[str, Any]
    quantity: str
    published: str = ""
    own: list[tuple[Kept, str, str]] = field(default_factory=list)


@dataclass(frozen=True)
class Site:
    """All that pages are made of, read once."""

    groups: Mapping[str, Mapping[str, list[str]]]
    experiments: Mapping[str, Experiment]
    kept: Mapping[str, list[Kept]]
    claims: Decided
    numbers: Mapping[str, list[Number]]
    used: Mapping[str, Mapping[str, set[str]]]
    parts: Mapping[str, Mapping[str, list[Part]]]
    """Group → option → its classes with their settings."""
    anchors: Collection[str]
    """The citation keys that the page of references has an anchor for."""

    def link(self, group: str, option: str, depth: int = 1) -> str:
        """A link to a card from a page that lies `depth` folders deep, or its name alone where there is no card."""
        there = group != "experiment" and option in self.groups.get(group, ())
        return f"[{code(option)}]({'../' * depth}{METHODS}/{group}/{option}.md)" if there else code(option)

    def cite(self, key: str, depth: int = 1) -> str:
        """A citation key with its place in the list of references."""
        return f"[{text(key)}]({'../' * depth}{REFERENCE_PAGE}{f'#{key}' if key in self.anchors else ''})"


def read() -> Site:
    """Everything that the pages show, from the program's folders and the kept results."""
    stated = experiments([CONF])
    runs = everywhere([PUBLISHED])
    kept = {name: list(_kept(one, runs)) for name, one in stated.items()}
    claims = decide([one for one in stated.values() if one.claims is not None], runs)
    numbers = {name: _numbers(one, kept[name]) for name, one in stated.items()}
    page = ROOT / "docs" / REFERENCE_PAGE
    listed = page.read_text(encoding="utf-8") if page.is_file() else ""
    anchors = set(re.findall(r'id="(\w+)"', listed))
    groups = options([CONF])
    chosen = {name: used(one, groups) for name, one in stated.items()}
    return Site(groups, stated, kept, claims, numbers, chosen, _parts(groups), anchors)


def _parts(groups: Mapping[str, Iterable[str]]) -> dict[str, dict[str, list[Part]]]:
    """The classes of all options; what an option's file does not say of a setting, that of another one with the same
    class does."""
    found = {
        group: {option: option_parts([CONF], group, option)[1] for option in members}
        for group, members in groups.items()
        if group != "experiment"
    }
    meanings: dict[tuple[str, str], str] = {}
    every = [part for members in found.values() for made_of in members.values() for part in made_of]
    for part in every:
        for setting in part.settings:
            if setting.meaning:
                meanings.setdefault((part.target, setting.key.removeprefix(part.place)), setting.meaning)
    for part in every:
        part.settings[:] = [
            replace(
                setting,
                meaning=setting.meaning or meanings.get((part.target, setting.key.removeprefix(part.place)), ""),
            )
            for setting in part.settings
        ]
    return found


def _kept(one: Experiment, runs: Sequence[Run]) -> Iterator[Kept]:
    for home in places([one], ROOT / "outputs"):
        if PUBLISHED not in home.parents or not (home / "table.csv").is_file():
            continue
        with (home / "table.csv").open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        blocks = (home / "table.md").read_text(encoding="utf-8").split("\n\n")
        own = [run for run in runs if home in run.folder.parents]
        commands = dict.fromkeys(str(run.environment.get("command", "")) for run in own)
        yield Kept(home, home.parent.name, rows, blocks, [command for command in commands if command])


def _numbers(one: Experiment, kept: Sequence[Kept]) -> list[Number]:
    """The cells of an experiment's table that have a number, published or ours."""
    cells: dict[tuple[str, str, str], Number] = {}
    spec = {**DEFAULTS, **one.table}

    def cell(row: str, column: str, spec: Mapping[str, Any]) -> Number:
        conditions = {**_conditions(spec, "rows", row), **_conditions(spec, "columns", column)}
        key = (_same(row), _same(column), spec["metric"])
        return cells.setdefault(key, Number(one.name, row, column, conditions, unit(spec, spec["metric"])))

    for column, by_row in (spec["published"] or {}).items():
        for row, value in by_row.items():
            if value is not None:
                measured = _measured(spec, label(row), label(column))
                cell(label(row), label(column), measured).published = number(value, measured)
    for sweep in kept:
        table = {**DEFAULTS, **one.description(sweep.kind)}
        for record in sweep.rows:
            measured = _measured(table, record["row"], record["column"])
            if record["rule"] == measured["rule"] and record["metric"] == measured["metric"] and record["ours"]:
                spread = f" ± {number(float(record['spread']), measured)}" if record["spread"] else ""
                if record["n"] == "1":
                    spread = ""
                elif record["statistic"] == "median":
                    spread = f" [{number(float(record['min']), measured)}–{number(float(record['max']), measured)}]"
                value = number(float(record["ours"]), measured) + spread
                cell(record["row"], record["column"], measured).own.append((sweep, value, record["n"]))
    return list(cells.values())


def _measured(spec: Mapping[str, Any], row: str, column: str) -> dict[str, Any]:
    """How a cell's number is chosen and shown: by the measure that its row or column is, else by the table."""
    for axis, name in zip(AXES, (row, column), strict=True):
        measures = spec[axis].get("measures") or {}
        for labelled, measure in measures.items():
            if _same(written(labelled)) == _same(name):
                return spec_of(spec, measure)
    return dict(spec)


def _conditions(spec: Mapping[str, Any], axis: str, name: str) -> Mapping[str, Any]:
    """The settings of the runs in a row or a column."""
    if (key := spec[axis].get("key")) is not None:
        return {key: name}
    values = spec[axis].get("values") or {}
    return next((given for labelled, given in values.items() if _same(written(labelled)) == _same(name)), {})


def _same(name: str) -> Any:
    return str(comparable(name))


def used(one: Experiment, names: Mapping[str, Collection[str]]) -> dict[str, set[str]]:
    """Group → the options that an experiment's runs have in it, those of its editions among them, as far as its file
    says; names: every group's options."""
    chosen: dict[str, set[str]] = {}
    for entry in one.settings.get("defaults") or ():
        for words, option in entry.items() if isinstance(entry, Mapping) else ():
            chosen[str(words).split()[-1].lstrip("/")] = {str(option)}
    for blocks, params in _sweeps(one):
        for group in names:
            given = [_listed(block[group]) for block in blocks if group in block]
            swept = _listed(params.get(group))
            if swept:
                chosen[group] = chosen.get(group, set()) | set(swept)
            elif given:
                kept_default = chosen.get(group, set()) if len(given) < len(blocks) else set()
                chosen[group] = kept_default | {option for values in given for option in values}
    return {group: found & {*names[group]} for group, found in chosen.items() if group in names}


def _sweeps(one: Experiment) -> Iterator[tuple[Sequence[Mapping[str, Any]], Mapping[str, Any]]]:
    """The blocks and the params of an experiment's own sweep and of each edition's."""
    sweeper = _sweeper(one)
    yield sweeper.get("grid") or (), sweeper.get("params") or {}
    for block in one.editions.values():
        yield block.get("grid") or (), block.get("params") or {}


def _sweeper(one: Experiment) -> Mapping[str, Any]:
    return (one.settings.get("hydra") or {}).get("sweeper") or {}


def _listed(value: Any) -> list[str]:
    return (
        []
        if value is None
        else [str(each).strip() for each in (value if isinstance(value, list) else str(value).split(","))]
    )


# --- Markdown ---


def text(words: Any) -> str:
    """Text as Markdown that shows it as it is, but for what stands between backticks, which is code."""
    pieces = re.split(r"``(.+?)``|`([^`]+)`", " ".join(str(words).split()))
    shown = []
    for place, piece in enumerate(pieces):
        if place % 3 == 0:
            safe = re.sub(r"([\\*_\[\]#])", r"\\\1", escape(piece or "", quote=False))
            shown.append(safe.replace("|", "&#124;").replace("{", "&#123;").replace("}", "&#125;"))
        elif piece is not None:
            shown.append(code(piece))
    return "".join(shown)


def code(words: Any) -> str:
    """Text as code within a line."""
    words = " ".join(str(words).split())
    if "`" in words or "|" in words:
        return f"<code>{text(words.replace('`', chr(39)))}</code>"
    return f"`{words}`" if words else ""


def of_markdown(block: str) -> str:
    """Markdown that a report has, for this site's reader of it, which knows fewer escapes."""
    return re.sub(r"\\([|~$])", lambda found: "&#124;" if found[1] == "|" else found[1], block)


def table(head: Sequence[str], rows: Iterable[Sequence[str]], right: Collection[int] = ()) -> str:
    """A Markdown table; right: the columns of numbers."""
    rule = ["---:" if column in right else "---" for column in range(len(head))]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (head, rule, *rows))


def broad(words: Any) -> str:
    """Text of a table's cell that stays broad enough to be read where the table has many columns."""
    return f'<span class="broad">{text(words)}</span>' if words else ""


def bullets(items: Iterable[str]) -> str:
    """A list."""
    return "\n".join(f"- {item}" for item in items)


def shell(*commands: str) -> str:
    """Commands to copy."""
    return "```bash\n" + "\n".join(commands) + "\n```"


def folded(title: str, body: str) -> str:
    """A part of a page that is opened by a click."""
    return f'<details markdown="1">\n<summary>{escape(title)}</summary>\n\n{body}\n\n</details>'


def page(*blocks: str) -> str:
    """A page of the blocks that say anything."""
    return "\n\n".join(block for block in blocks if block) + "\n"


def section(heading: str, *blocks: str) -> str:
    """A heading with what stands below it, nothing where nothing does."""
    body = [block for block in blocks if block]
    return "\n\n".join([f"## {heading}", *body]) if body else ""


# --- cards ---


def card(site: Site, group: str, option: str) -> str:
    """The card of an option."""
    lines = _sentences(site.groups[group][option])
    advice = [line for line in lines if line.startswith(ADVICE)]
    trial = [line.removeprefix(TRIAL) for line in lines if line.startswith(TRIAL)]
    made_of = site.parts[group][option]
    about = [line for line in lines[1:] if line not in advice and not line.startswith(TRIAL)]
    using = [name for name, chosen in site.used.items() if option in chosen.get(group, ())]
    return page(
        f"# {text(option)}",
        text(lines[0]),
        text(" ".join(advice)),
        shell(*(trial or [f"mixexp {group}={option}"]), f"mixexp list {group}={option}"),
        *(_labelled(site, line) for line in about),
        section("Settings", *_settings([setting for part in made_of for setting in part.settings])),
        section("How it works", *(block for part in made_of for block in _part(part, len(made_of) > 1))),
        section("What it goes with", *_goes_with(made_of)),
        section(
            "What it refuses", bullets(map(text, dict.fromkeys(line for part in made_of for line in refusals(part))))
        ),
        section("Where it differs from the paper", bullets(_deviations(made_of))),
        section("Numbers", *_own_numbers(site, group, option)),
        section(
            "Experiments with it",
            bullets(f"[{text(name)}](../../{EXPERIMENTS}/{name}.md): {text(_first(site, name))}" for name in using),
        ),
        section("Source", bullets(_sources(group, option, made_of))),
    )


def _sentences(lines: Sequence[str]) -> list[str]:
    """The lines of a YAML header with those that go on joined to the ones they continue: a line begins where the one
    before ends with a full stop, or with a label."""
    joined: list[str] = []
    for line in lines:
        starts = not joined or LABELLED.match(line) or line.startswith(ADVICE)
        if starts or (joined[-1].endswith((".", "....")) and not line.startswith(" ")):
            joined.append(line.strip())
        else:
            joined[-1] += f" {line.strip()}"
    return joined


def _labelled(site: Site, line: str, depth: int = 2) -> str:
    """A line of a header, its label bold, and a link where it cites a reference."""
    found = LABELLED.match(line)
    shown = cited(site, found[2] if found else line, depth)
    return f"**{text(found[1])}:** {shown}" if found else shown


def cited(site: Site, words: str, depth: int = 2) -> str:
    """Text in which citation keys are links."""
    known = "|".join(re.escape(text(key)) for key in REFERENCES if "_" in key)
    return re.sub(rf"\b({known})\b", lambda found: site.cite(found[1].replace("\\", ""), depth), text(words))


def _settings(settings: Sequence[Setting], value: str = "default") -> list[str]:
    if not settings:
        return ["It has none."]
    rows = [
        [code(setting.key), code(setting.value), text(setting.allowed), broad(setting.meaning)] for setting in settings
    ]
    return [table(["setting", value, "allowed", "meaning"], rows)]


def _part(part: Part, several: bool) -> Iterator[str]:
    """What a class is, from its docstring: sentences with an equation stand apart, and what it says of its arguments is
    a list."""
    if several:
        yield f"### {code(part.place)}: {text(part.target.rpartition('.')[2])}"
    meanings = {setting.key.rpartition(".")[2]: setting.meaning for setting in part.settings}
    for paragraph in part.docstring.split("\n\n"):
        for piece in PIECES.split(paragraph.partition(DIFFERS)[0]):
            found = LABELLED.match(" ".join(piece.split()))
            yield from [f"**{text(found[1])}:** {text(found[2])}"] if found else _prose(piece, meanings)


def _prose(paragraph: str, meanings: Mapping[str, str]) -> Iterator[str]:
    """A paragraph of a docstring; meanings: of the settings, which the table has and no list repeats."""
    known = "|".join(map(re.escape, meanings)) or "(?!)"
    argument = re.compile(rf"(?:^|(?<=[.;:,] ))((?:{known})(?:, (?:{known}))*)(?: \([a-z]\))? ?: ")
    first, *rest = argument.split(" ".join(paragraph.split()))
    yield from _with_equations(first)
    items = [(name, said.strip(" ;")) for name, said in zip(rest[::2], rest[1::2], strict=True)]
    yield bullets(f"{code(name)}: {text(said)}" for name, said in items if said.strip(".") != meanings.get(name))


def _with_equations(words: str) -> Iterator[str]:
    plain: list[str] = []
    for sentence in re.split(r"(?<=\.) (?=[A-Z−Σ½])(?<!al\. )(?<!eq\. )(?<!e\.g\. )", words.strip()):
        if EQUATION.search(sentence):
            if plain:
                yield text(" ".join(plain))
                plain = []
            yield f'!!! abstract "Equation"\n    {text(sentence)}'
        elif sentence:
            plain.append(sentence)
    if plain:
        yield text(" ".join(plain))


def _deviations(made_of: Sequence[Part]) -> Iterator[str]:
    for part in made_of:
        _, found, said = part.docstring.partition(DIFFERS)
        if found:
            said = said.split("\n\n")[0]
            yield f"{f'{code(part.place)}: ' if len(made_of) > 1 else ''}{text(said)}"


def _goes_with(made_of: Sequence[Part]) -> Iterator[str]:
    """What the classes say of themselves to the rest of the program, where it is not the contract's default."""
    rows = []
    for part in made_of:
        for name, (meaning, usual) in _contract(part.made).items():
            value = inspect.getattr_static(part.made, name, usual)
            if value != usual and isinstance(value, str | bool | tuple):
                words = (
                    "yes"
                    if value is True
                    else "no"
                    if value is False
                    else ", ".join(value)
                    if isinstance(value, tuple)
                    else value
                )
                rows.append([code(part.place), text(meaning), text(words)])
    if rows:
        yield table(["part", "what the program asks", "answer"], rows)


def _contract(made: Callable[..., Any] | None) -> dict[str, tuple[str, Any]]:
    """The attributes of a class's contract with a docstring: name → what it means, its usual value."""
    found: dict[str, tuple[str, Any]] = {}
    for base in inspect.getmro(made)[1:] if inspect.isclass(made) else ():
        if base.__module__.startswith("mixexp.") and inspect.isabstract(base):
            found = {**{name: (said, vars(base).get(name)) for name, said in _attributes(base).items()}, **found}
    return found


@functools.cache
def _attributes(kind: type) -> dict[str, str]:
    """The attributes of a class that a text below them explains."""
    (body,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    pairs = zip(body.body, body.body[1:], strict=False)
    return {
        first.target.id: " ".join(second.value.value.split())
        for first, second in pairs
        if isinstance(first, ast.AnnAssign)
        and isinstance(first.target, ast.Name)
        and isinstance(second, ast.Expr)
        and isinstance(second.value, ast.Constant)
    }


def refusals(part: Part) -> list[str]:
    """The messages with which a class refuses settings and data, their variable parts as …, and what it requires of a
    run."""
    made = part.made
    kinds = (
        [kind for kind in inspect.getmro(made) if kind.__module__.startswith("mixexp.")]
        if inspect.isclass(made)
        else [made]
    )
    return [words for kind in kinds if kind is not None for words in _messages(kind)]


@functools.cache
def _messages(made: Callable[..., Any]) -> list[str]:
    found: list[str] = []
    for node in ast.walk(_tree(made)):
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and node.exc.args:
            words = _message(node.exc.args[0])
            if isinstance(node.exc.func, ast.Name) and node.exc.func.id == "ValueError" and ":" in words:
                found.append(words)
        called = node.func.attr if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) else ""
        if called.startswith("require_") and called in vars(Facts):
            found += _messages(vars(Facts)[called])
    return found


@functools.cache
def _tree(made: Callable[..., Any]) -> ast.AST:
    return ast.parse(textwrap.dedent(inspect.getsource(made)))


def _message(node: ast.expr) -> str:
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values)
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def _own_numbers(site: Site, group: str, option: str) -> Iterator[str]:
    """Published and own numbers of the cells whose runs have the option, from tables that compare options of its
    group."""
    chosen = [
        cell
        for cells in site.numbers.values()
        for cell in cells
        if cell.conditions.get(group) == option and len({other.conditions.get(group) for other in cells}) > 1
    ]
    if not chosen:
        return
    rows = []
    for cell in chosen:
        what = f"{f'{cell.row}, {cell.column}'.strip(', ')}: {cell.quantity}"
        rows.append(
            [
                f"[{text(cell.experiment)}](../../{EXPERIMENTS}/{cell.experiment}.md)",
                broad(what),
                text(cell.published),
                "<br>".join(text(value) for _, value, _ in cell.own),
                "<br>".join(f"n = {n}, {_where(sweep)}".replace(" ", "&nbsp;") for sweep, _, n in cell.own),
            ]
        )
    rows.sort(key=lambda row: (not row[3], not row[2]))
    head = ["experiment", "cell", "published", "ours", "runs"]
    if any(row[3] for row in rows):
        yield "Ours: the kept runs, mean ± standard deviation over n of them, or median [smallest–largest]."
    yield table(head, rows[:SHOWN], {2, 3})
    if rows[SHOWN:]:
        yield folded(f"{len(rows) - SHOWN} more", table(head, rows[SHOWN:], {2, 3}))


def _where(sweep: Kept) -> str:
    """The size of a kept sweep, marked where it is not the experiment's own."""
    return sweep.size if sweep.kind == FULL else "Reduced" if sweep.kind == REDUCED else f"Reduced: {text(sweep.size)}"


def _sources(group: str, option: str, made_of: Sequence[Part]) -> Iterator[str]:
    yield code(f"conf/{group}/{option}.yaml")
    for path in dict.fromkeys(_file(part.made) for part in made_of if part.made is not None):
        yield code(path)


def _file(made: Callable[..., Any]) -> str:
    return Path(inspect.getsourcefile(made) or "").resolve().relative_to(ROOT).as_posix()


# --- experiments ---


def experiment_page(site: Site, name: str) -> str:
    """The page of an experiment."""
    one = site.experiments[name]
    lines = _sentences(site.groups["experiment"][name])
    spec = {**DEFAULTS, **one.table}
    cites = dict.fromkeys(key for key in REFERENCES if re.search(rf"\b{key}\b", " ".join(lines[:1]) + one.article))
    references = [f"{site.cite(key)}: {text(REFERENCES[key][1])}" for key in cites]
    settings = [
        setting for setting in experiment_settings(CONF / "experiment" / f"{name}.yaml") if setting.key != "name"
    ]
    commands = [f"mixexp plan {name}", f"mixexp reproduce {name}"]
    commands += [f"mixexp reproduce {name} edition={edition}" for edition in one.editions]
    commands += [f"mixexp claims {name}"] * bool(one.claims)
    settings = [_explained(site, name, setting) for setting in settings]
    return page(
        f"# {text(name)}",
        cited(site, lines[0], 1),
        bullets(references),
        shell(*commands),
        *(_labelled(site, line, 1) for line in lines[1:] if line != f"Command: mixexp reproduce {name}"),
        section("Grid", *_grid(site, one)),
        section("Options", _chosen(site, name)),
        section("Settings in place of the defaults", *(_settings(settings, "value") if settings else [])),
        section("Notes on its table", bullets(map(text, spec["notes"]))),
        section("Editions", *(_edition(site, one, edition) for edition in one.editions)),
        section("Claims", *_claims(site, name)),
        section("Published", *_published_table(site, one)) if not site.kept[name] else "",
        *(_kept_results(sweep) for sweep in site.kept[name]),
        section("Source", code(f"conf/experiment/{name}.yaml")),
    )


def _explained(site: Site, name: str, setting: Setting) -> Setting:
    """A setting of an experiment, with what its option says of it where the experiment's file says nothing."""
    group = setting.key.partition(".")[0]
    for option in sorted(site.used[name].get(group, ())):
        for known in (known for part in site.parts.get(group, {}).get(option, ()) for known in part.settings):
            if known.key == setting.key:
                return replace(
                    setting, meaning=setting.meaning or known.meaning, allowed=setting.allowed or known.allowed
                )
    return setting


def cells(site: Site, one: Experiment, edition: str = "") -> int | None:
    """The number of cells of an experiment's sweep, or of an edition's; None for a search."""
    sweeper, root = _sweeper(one), {key.partition(".")[0] for key in root_settings()}
    blocks, params = sweeper.get("grid"), sweeper.get("params") or {}
    if edition:
        block = Edition.model_validate(one.editions[edition])
        return len(block.cells(blocks or (), params, root, site.groups))
    return None if blocks is None else len(combined(blocks, axes_of(params, site.groups), root))


def _grid(site: Site, one: Experiment) -> Iterator[str]:
    sweeper = _sweeper(one)
    if space := sweeper.get("space"):
        yield table(["drawn", "from"], [[code(key), code(in_hydra(held))] for key, held in space.items()])
        yield f"{sweeper.get('trials')} trials, {text(sweeper.get('direction'))} {code(sweeper.get('metric'))}."
        return
    yield _axes(site, sweeper.get("grid") or (), sweeper.get("params") or {})
    number_of_cells = cells(site, one)
    yield f"{number_of_cells} cell{'s' * (number_of_cells != 1)}."


def _axes(site: Site, blocks: Sequence[Mapping[str, Any]], params: Mapping[str, Any]) -> str:
    """A table of the axes of a sweep, a column for each block of its grid."""
    keys = dict.fromkeys([*(key for block in blocks for key in block), *params])
    if not keys:
        return ""

    def values(key: str, value: Any) -> str:
        each = (
            value
            if isinstance(value, list)
            else _listed(value)
            if key in params and isinstance(value, str)
            else [value]
        )
        return ", ".join(
            site.link(key, str(item)) if key in site.groups else code("null" if item is None else label(item))
            for item in each
        )

    columns = list(blocks) or [{}]
    rows = [
        [
            code(key),
            *(
                values(key, block[key]) if key in block else values(key, params[key]) if key in params else ""
                for block in columns
            ),
        ]
        for key in keys
    ]
    head = ["setting", *(f"block {place}" if len(columns) > 1 else "values" for place in range(1, len(columns) + 1))]
    return table(head, rows)


def _chosen(site: Site, name: str) -> str:
    pairs = [
        (group, option)
        for group, option in chosen_options(CONF / "experiment" / f"{name}.yaml")
        if group in site.groups
    ]
    return ", ".join(f"{text(group)} {site.link(group, option)}" for group, option in pairs)


def _edition(site: Site, one: Experiment, name: str) -> str:
    block = one.editions[name]
    return "\n\n".join(
        part
        for part in (
            f"### {text(name)}",
            text(block.get("why", "")),
            _axes(site, block.get("grid") or (), block.get("params") or {}),
            f"{cells(site, one, name)} cells.",
            shell(f"mixexp reproduce {one.name} edition={name}"),
        )
        if part
    )


def _claims(site: Site, name: str) -> Iterator[str]:
    own = only(site.claims, [name])
    if not own.answers:
        return
    for _, premises, _ in claim_sheets.sections(own):
        yield bullets(map(text, premises))
    sheet = claim_sheets.sheet(own.answers)
    shown = [
        place
        for place, column in enumerate(sheet.head)
        if place > 1 and column != "compared" and any(row[place] for row in sheet.rows)
    ]
    rows = [
        [
            broad(f"{row[0].partition('.')[2]}: {row[1]}"),
            *(broad(row[place]) if place < sheet.left and " " in row[place] else text(row[place]) for place in shown),
        ]
        for row in sheet.rows
    ]
    right = {place for place, column in enumerate(shown, start=1) if column >= sheet.left}
    yield table(["claim", *(text(sheet.head[place]) for place in shown)], rows, right)
    yield "[All claims](../claims.md) has what is compared, and how it is tested."


def _published_table(site: Site, one: Experiment) -> Iterator[str]:
    cells = [cell for cell in site.numbers[one.name] if cell.published]
    if not cells:
        return
    spec = {**DEFAULTS, **one.table}
    yield text(spec["source"])
    columns, rows = (dict.fromkeys(getattr(cell, axis) for cell in cells) for axis in ("column", "row"))
    numbers = {(cell.row, cell.column): cell.published for cell in cells}
    head = [text(spec["rows"].get("label") or ""), *map(text, columns)]
    yield table(
        head,
        [[text(row), *(text(numbers.get((row, column), "")) for column in columns)] for row in rows],
        {*range(1, len(head))},
    )
    yield "No run of this experiment is kept."


def _kept_results(sweep: Kept) -> str:
    """A kept sweep's table as its report has it, its figures and its reading."""
    start = next(
        place
        for place, block in enumerate(sweep.blocks)
        if block.startswith("## ") and not block.startswith(("## Without", "## In no"))
    )
    census = [block for block in sweep.blocks[:start] if " have a result" in block]
    behind = sweep.blocks[start + 2 : start + 3]
    legend = [block for block in behind if not block.startswith(("## ", "|", "!"))]
    reading = sweep.home / "reading.md"
    return section(
        f"Results that are kept: {sweep.size}",
        f"**{sweep.reduced}**" if sweep.reduced else "",
        *map(of_markdown, census),
        shell(*sweep.commands) if sweep.commands else "",
        of_markdown(sweep.blocks[start].removeprefix("## ")) + ":",
        of_markdown(sweep.blocks[start + 1]),
        *map(of_markdown, legend),
        of_markdown(reading.read_text(encoding="utf-8").strip()) if reading.is_file() else "",
        "\n\n".join(f"![{path.stem.replace('_', ' ')}]({picture(path)}){{ loading=lazy }}" for path in sweep.pictures),
        f"All its tables: {code(f'outputs/published/{sweep.place}')}",
    )


def picture(path: Path) -> str:
    """Where a kept figure lies in the site, from the folder of experiments' pages."""
    return f"kept/{path.relative_to(PUBLISHED).as_posix()}"


# --- indexes ---


def _first(site: Site, name: str) -> str:
    return _sentences(site.groups["experiment"][name])[0]


def methods_index(site: Site) -> str:
    """The index of all cards, a table for each group."""
    blocks = []
    for group, members in site.groups.items():
        if group != "experiment":
            rows = [
                [f"[{text(option)}]({group}/{option}.md)", text(_sentences(lines)[0])]
                for option, lines in members.items()
            ]
            said = inspect.getdoc(inspect.getmodule(CONTRACTS[group])) if group in CONTRACTS else ""
            blocks.append(section(group, text((said or "").split("\n\n")[0]), table(["option", "what it is"], rows)))
    return page(
        "# Methods", "Every option of every group, each with its card; the command `mixexp list` has the same.", *blocks
    )


def by_article(site: Site) -> dict[str, list[str]]:
    """What each article is about → its experiments, those of none first."""
    found: dict[str, list[str]] = {}
    for name, one in sorted(site.experiments.items(), key=lambda pair: list(("", *ARTICLES)).index(pair[1].article)):
        found.setdefault(ARTICLES.get(one.article, "First steps"), []).append(name)
    return found


def experiments_index(site: Site) -> str:
    """The index of all experiments, by article."""
    blocks = []
    for about, names in by_article(site).items():
        rows = [
            [
                f"[{text(name)}]({name}.md)",
                cited(site, _first(site, name), 1),
                ", ".join(sweep.size for sweep in site.kept[name]),
            ]
            for name in names
        ]
        blocks.append(section(text(about), table(["experiment", "what it asks", "kept"], rows)))
    return page(
        "# Experiments",
        "Every experiment of the program, by article. Kept: the sizes at which the repository has runs of it.",
        *blocks,
    )


def methods_nav(site: Site) -> str:
    """The part of the navigation on methods."""
    lines = ["- [All methods](index.md)"]
    for group, members in site.groups.items():
        if group != "experiment":
            lines += [f"- {group}", *(f"    - [{option}]({group}/{option}.md)" for option in members)]
    return "\n".join(lines) + "\n"


def experiments_nav(site: Site) -> str:
    """The part of the navigation on experiments."""
    lines = ["- [All experiments](index.md)"]
    for about, names in by_article(site).items():
        lines += [f"- {about}", *(f"    - [{name}]({name}.md)" for name in names)]
    return "\n".join(lines) + "\n"


def pages(site: Site) -> dict[str, str]:
    """Every generated page by its path below docs/."""
    made = {
        f"{METHODS}/{group}/{option}.md": card(site, group, option)
        for group, members in site.groups.items()
        if group != "experiment"
        for option in members
    }
    made |= {f"{EXPERIMENTS}/{name}.md": experiment_page(site, name) for name in site.experiments}
    made |= {f"{METHODS}/index.md": methods_index(site), f"{EXPERIMENTS}/index.md": experiments_index(site)}
    return made | {f"{METHODS}/{NAV}": methods_nav(site), f"{EXPERIMENTS}/{NAV}": experiments_nav(site)}


def figures(site: Site) -> dict[str, Path]:
    """Every kept figure that pages show, by its path below docs/."""
    return {
        f"{EXPERIMENTS}/{picture(path)}": path
        for sweeps in site.kept.values()
        for sweep in sweeps
        for path in sweep.pictures
    }


if __name__ == "<run_path>":  # as mkdocs-gen-files runs it
    import mkdocs_gen_files

    found = read()
    for place, words in pages(found).items():
        with mkdocs_gen_files.open(place, "w") as file:
            file.write(words)
    for place, source in figures(found).items():
        with mkdocs_gen_files.open(place, "wb") as file:
            file.write(source.read_bytes())

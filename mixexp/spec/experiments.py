"""Experiments as their YAML files describe them, without composition: table, claims, editions, and requested runs."""

from __future__ import annotations

import contextlib
import functools
import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

from mixexp.errors import UserError
from mixexp.files import parse_yaml, plain_name, read_text
from mixexp.settings import DESCRIPTIONS, MIN_SEEDS, REPEATS, SAME_RESULT, comparable, flatten, lookup, under
from mixexp.spec.articles import article_of
from mixexp.spec.figures import description_problems
from mixexp.training.reader import Run

ANYTHING = None
"""The values of a setting that are not read here: a reference, or a sweep that only Hydra expands."""
SETTLED = ("alpha", "mix_layer")
"""Settings that are null in a run where they would have no effect."""
_RANGE = re.compile(r"range\((-?\d+)(?:,\s*(-?\d+))?(?:,\s*(\d+))?\)")
_AROUND = re.compile(r"(?:choice|shuffle|sort)\((.*)\)")
_TYPED = re.compile(r"(?:^|\s)['\"]?[+~]*table[.=]")
_REFERENCE = re.compile(r"\$\{([\w.]+)\}")
_GROUP = re.compile(r"(?:override )?/?([a-z_]+)")

Block = Mapping[str, frozenset | None]
"""Dotted key → its possible values in comparable form; ANYTHING for those that are not read here."""
Repeats = frozenset[tuple]
"""Seeds with data_seeds; ANYTHING in place of a data_seed that the file does not state."""


@dataclass(frozen=True)
class Experiment:
    """The parts of an experiment's file besides the runs' settings.

    sweep: the folder of its runs. article: its citation key, empty for none. editions: name → its block. settings: the
    whole file, empty where there is none.
    """

    name: str
    sweep: str
    article: str = ""
    table: Mapping[str, Any] = field(default_factory=dict)
    claims: Any = None
    editions: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)

    def description(self, name: str) -> dict[str, Any]:
        """The table of an edition's runs, with its params applied.

        It is the experiment's own table where no edition has the name.
        """
        sweeper = _inner(_inner(self.settings, "hydra"), "sweeper")
        params = {**_inner(sweeper, "params"), **_inner(self.editions.get(name, {}), "params")}
        table = dict(self.table)
        for key, value in params.items():
            root, *below = str(key).lstrip("+").split(".")
            if root == "table" and below:
                with contextlib.suppress(ValueError):  # a text in Hydra's quotes has YAML's as well
                    value = parse_yaml(value) if isinstance(value, str) else value
                for part in reversed(below):
                    value = {part: value}
                table = _over(table, cast("Any", value))  # a mapping: there are names below
        return table

    def stated(self, name: str) -> Stated:
        """The settings required of an edition's runs, or of the experiment's where no edition has the name.

        Where both the grid and the params set a key, the params narrow the grid if it has their values, and else
        replace them, as in a sweep.
        """
        edition, sweeper = self.editions.get(name, {}), _inner(_inner(self.settings, "hydra"), "sweeper")
        params = {**_inner(sweeper, "params"), **_inner(edition, "params")}
        own_grid = edition.get("grid")
        grid = sweeper.get("grid") if own_grid is None else own_grid
        given = [block for block in grid or () if isinstance(block, Mapping)]
        blocks: list[Block] = [
            {str(key).lstrip("+"): _listed(value) for key, value in block.items()} for block in given
        ] or [{}]
        for key, values in {str(key).lstrip("+"): _typed(value) for key, value in params.items()}.items():
            there = [block[key] for block in blocks if key in block]
            read = [held for held in there if held is not None]  # not ANYTHING, which is None
            if not there:
                blocks = [{key: values, **block} for block in blocks]
            elif values is not None and len(read) == len(there) and values <= frozenset().union(*read):
                blocks = [
                    {**block, key: both} for block in blocks if (both := (block.get(key) or frozenset()) & values)
                ]
            else:  # a setting of a group's option belongs to the blocks that have it; any other one to all
                blocks = [{**block, key: values} if key in block or "." not in key else block for block in blocks]
        common = dict(_settings(self.settings))
        return Stated(tuple(_whole({**common, **block}) for block in blocks))


def experiments(folders: Sequence[Path]) -> dict[str, Experiment]:
    """Every experiment of some folders of options, by name; raises UserError for a file that cannot be read."""
    return {
        path.stem: experiment(path, folders) for folder in folders for path in sorted(folder.glob("experiment/*.yaml"))
    }


def of_runs(runs: Iterable[Run], folders: Sequence[Path]) -> list[Experiment]:
    """The experiments of runs: as a file in one of the folders of options has them, else as the newest run does."""
    members: dict[str, list[Run]] = {}
    for run in runs:
        name = lookup(run.config, "experiment")
        if plain_name(name):
            members.setdefault(name, []).append(run)
    chosen = []
    for name, runs_of_it in members.items():
        chosen.append(found(name, folders) or _as_run(name, runs_of_it))
    return chosen


def found(name: str, folders: Sequence[Path]) -> Experiment | None:
    """The experiment of a name in one of the folders of options; None where none has it."""
    path = experiment_file(name, folders)
    return None if path is None else experiment(path, folders)


def experiment_file(name: str, folders: Sequence[Path]) -> Path | None:
    """The file of an experiment in the first of the folders of options that has one."""
    files = (folder / "experiment" / f"{name}.yaml" for folder in folders)
    return next((path for path in files if path.is_file()), None)


def described(runs: Iterable[Run], folders: Sequence[Path]) -> list[Run]:
    """The runs with the current table of their experiment's file; with their own without a file, or if one was typed.

    A reference such as ${epochs} refers to the run's own setting; where one cannot be resolved, the run keeps its
    table. Raises UserError for a file whose table has errors.
    """
    of_today = functools.cache(lambda name, edition: _description(found(name, folders), edition))
    changed, checked = [], set()
    for run in runs:
        name = lookup(run.config, "experiment")
        known = plain_name(name) and not types_table(str(run.environment.get("command", "")))
        table, refers = of_today(name, str(run.config.get("edition"))) if known else (None, False)
        if refers:
            table = _followed(table, run)
        if table is None or (refers and "${" in str(table)):
            changed.append(run)
            continue
        if (place := (name, str(run.config.get("edition")))) not in checked:
            checked.add(place)
            _check(table, name)
        changed.append(replace(run, config={**run.config, "table": table}))
    return changed


def _description(its_experiment: Experiment | None, edition: str) -> tuple[dict[str, Any] | None, bool]:
    """The table of an experiment's edition, None without the experiment, and whether it has references."""
    table = None if its_experiment is None else its_experiment.description(edition)
    return table, "${" in str(table)


def _check(table: Mapping[str, Any], name: str) -> None:
    """Raise UserError for the errors of an experiment's table, as the plan of its sweep does."""
    if problems := description_problems(table):
        raise UserError("\n".join(f"experiment {name}: {problem}" for problem in problems))


def types_table(command: str) -> bool:
    """True if a word of a command line sets something in the table."""
    return _TYPED.search(command) is not None


def _followed(value: Any, run: Run) -> Any:
    """A value with its references replaced by the run's settings."""
    if isinstance(value, Mapping):
        return {key: _followed(inner, run) for key, inner in value.items()}
    if isinstance(value, list):
        return [_followed(inner, run) for inner in value]
    if not isinstance(value, str):
        return value
    whole = _REFERENCE.fullmatch(value)
    if whole and lookup(run.config, whole[1]) is not None:
        return lookup(run.config, whole[1])
    return _REFERENCE.sub(
        lambda match: match[0] if lookup(run.config, match[1]) is None else str(lookup(run.config, match[1])), value
    )


def _as_run(name: str, runs: Sequence[Run]) -> Experiment:
    """An experiment without a file, as far as its runs' configurations describe it; the claims are the newest run's."""
    runs = sorted(runs, key=lambda run: str(run.environment.get("started")))
    editions = {
        str(run.config["edition"]): {"checks": run.config.get("checks")}
        for run in runs
        if run.config.get("edition") is not None
    }
    return Experiment(
        name, str(runs[-1].config.get("name")), "", runs[-1].table, runs[-1].config.get("claims"), editions
    )


def places(chosen: Iterable[Experiment], outputs: Path) -> list[Path]:
    """The existing folders of the sweeps of some experiments and their editions, including published ones."""
    names = [
        name for item in chosen for name in (item.sweep, *(f"{item.sweep}_{edition}" for edition in item.editions))
    ]
    candidates = [
        path for name in names for path in (outputs / name, *sorted((outputs / "published").glob(f"*/{name}")))
    ]
    return [path for path in candidates if path.is_dir()]


def experiment(path: Path, folders: Sequence[Path] = ()) -> Experiment:
    """The experiment in a file, with the settings that it takes from experiments in `folders`, which its defaults name.

    Raises UserError for a file that cannot be read.
    """
    settings, letter = _read(path, folders, ())
    editions = {str(name): block for name, block in _inner(settings, "editions").items() if isinstance(block, Mapping)}
    name, table = str(settings.get("name") or path.stem), _inner(settings, "table")
    return Experiment(path.stem, name, letter, table, settings.get("claims"), editions, settings)


def _read(path: Path, folders: Sequence[Path], above: tuple[Path, ...]) -> tuple[Mapping[str, Any], str]:
    """The settings of a file over those of the experiments that it builds on, and its article's citation key.

    above: the files that led here.
    """
    try:
        text = read_text(path)
        parsed = parse_yaml(text)
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read ({error})") from error
    if not isinstance(parsed, Mapping):
        raise UserError(f"{path}: an experiment's file holds a mapping of settings")
    first = re.search(r"^# (\w+)\b", text.removeprefix("# @package _global_"), re.MULTILINE)
    article = article_of(first[1]) if first else ""
    for entry in reversed(parsed.get("defaults") or () if isinstance(parsed.get("defaults"), list) else ()):
        name = entry.removeprefix("/experiment/") if isinstance(entry, str) else ""
        base = next(
            (
                place
                for folder in (path.parent.parent, *folders)
                if (place := folder / "experiment" / f"{name}.yaml").is_file()
            ),
            None,
        )
        if name and base is not None and base not in (*above, path):
            below, its_article = _read(base, folders, (*above, path))
            parsed, article = _over(below, parsed), article or its_article
    return parsed, article


def _over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Settings over others, as Hydra merges them: mappings are merged, and all defaults count."""
    merged = dict(below)
    for key, value in above.items():
        if isinstance(value, Mapping) and isinstance(below.get(key), Mapping):
            merged[key] = _over(below[key], value)
        elif key == "defaults" and isinstance(value, list) and isinstance(below.get(key), list):
            merged[key] = [*below[key], *value]
        else:
            merged[key] = value
    return merged


# --- the runs that a file requests ---


@dataclass(frozen=True)
class Stated:
    """The runs that a file states for an experiment or edition: blocks of settings; every run fits one block."""

    blocks: tuple[Block, ...]

    def has(self, run: Run) -> bool:
        """True for a run with the settings of one of the blocks.

        Seeds count where the file states enough of them for a test.
        """
        return any(all(self._agrees(run, key, values) for key, values in block.items()) for block in self.blocks)

    def repeats(self, conditions: Mapping[str, Any]) -> Repeats | None:
        """The seeds of the blocks that contain a cell with these conditions; None where any seed counts."""
        if not self._counts_seeds:
            return None
        lain_in = [
            block for block in self.blocks if all(_admits(block, key, value) for key, value in conditions.items())
        ]
        return frozenset().union(*map(_repeats, lain_in))

    @property
    def _counts_seeds(self) -> bool:
        """True where all blocks state seeds, enough for a test.

        An article's own single seed is not required of runs.
        """
        if any(block.get("seed") is ANYTHING for block in self.blocks):
            return False
        return len(frozenset().union(*map(_repeats, self.blocks))) >= MIN_SEEDS

    def _agrees(self, run: Run, key: str, values: frozenset | None) -> bool:
        if values is ANYTHING or (key in REPEATS and not self._counts_seeds):
            return True
        value = run.setting(key)
        return (
            value in values
            or (value is None and key in SETTLED)
            or (key.startswith("mix_layer.") and run.setting("mix_layer") is None)
        )


def states(repeats: Repeats, repeat: tuple) -> bool:
    """True if a run's seed and data_seed are among the stated ones."""
    return any(repeat[0] == seed and data in (ANYTHING, repeat[1]) for seed, data in repeats)


def missing(repeats: Repeats, there: frozenset[tuple]) -> int:
    """The number of stated repeats without a run; there: the seeds of the runs with their data_seeds."""
    return sum(not any(states(frozenset({stated_repeat}), repeat) for repeat in there) for stated_repeat in repeats)


def _whole(block: Block) -> Block:
    """A block without settings that leave results unchanged, and with one budget: steps take precedence over epochs."""
    unread = [f"{key}." for key, values in block.items() if values is ANYTHING]
    settings = {
        key: values
        for key, values in block.items()
        if not under(key, SAME_RESULT) and not key.startswith(tuple(unread))
    }
    if settings.get("steps", frozenset({None})) != {None}:
        settings.pop("epochs", None)
    elif "epochs" in settings:
        settings.setdefault("steps", frozenset({None}))
    return settings


def _repeats(block: Block) -> Repeats:
    """The seeds of a block with its data_seeds."""
    return frozenset(itertools.product(block.get("seed") or (), block.get("data_seed") or (ANYTHING,)))


def _admits(block: Block, key: str, value: Any) -> bool:
    values = block.get(key, ANYTHING)
    return values is ANYTHING or comparable(value) in values or (value is None and key in SETTLED)


def _settings(settings: Mapping[str, Any]) -> Iterator[tuple[str, frozenset | None]]:
    """The settings at the root of a file, and the options that it chooses."""
    for entry in settings.get("defaults") or ():
        for words, option in entry.items() if isinstance(entry, Mapping) else ():
            if (group := _GROUP.fullmatch(str(words).strip())) is not None:
                yield group[1], _listed(option)
    run_settings = {key: value for key, value in settings.items() if key not in ("defaults", "hydra", *DESCRIPTIONS)}
    yield from ((key, _listed(value, whole=True)) for key, value in flatten(run_settings).items())


def _listed(value: Any, whole: bool = False) -> frozenset | None:
    """The values of a grid's axis; whole: a list is one value."""
    values = value if isinstance(value, list) and not whole else [value]
    if any("${" in str(item) for item in values):
        return ANYTHING
    # in a grid, a text such as "[2,3]" stands for a list, since a list would be an axis
    return frozenset(
        comparable(parse_yaml(item) if isinstance(item, str) and item.startswith("[") else item) for item in values
    )


def _typed(value: Any) -> frozenset | None:
    """The values of a sweep's parameter as Hydra reads it: with commas, in choice, shuffle or sort, or a range."""
    if not isinstance(value, str):
        return _listed(value, whole=True)
    text = value.strip()
    while (inside := _AROUND.fullmatch(text)) is not None:
        text = inside[1].strip()
    if (counted := _RANGE.fullmatch(text)) is not None:
        first, last, step = counted.groups()
        return frozenset(
            map(
                comparable,
                range(0 if last is None else int(first), int(first if last is None else last), int(step or 1)),
            )
        )
    if re.search(r"[(\[{'\"$\\=]", text):
        return ANYTHING
    words = [
        word.lower() if word.lower() in ("null", "true", "false") else word for word in map(str.strip, text.split(","))
    ]
    return frozenset(comparable(None if word == "null" else word) for word in words)


def _inner(settings: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    inner = settings.get(key)
    return inner if isinstance(inner, Mapping) else {}

"""From composed cells to runs: resolved, validated all together, canonical, each with its folder and its cost."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mixexp.eager import spare_compiler
from mixexp.errors import UserError, closest
from mixexp.plan.checks import Refused, validate
from mixexp.plan.composer import Composed
from mixexp.plan.identity import ALIAS, canonical, run_id
from mixexp.plan.loops import loop_of, task
from mixexp.plan.options import known
from mixexp.plan.references import References
from mixexp.plan.resolved import resolve
from mixexp.plan.second_stage import first_cell, first_words, weightless
from mixexp.settings import NOT_SCIENTIFIC, flatten, lookup, under
from mixexp.spec.claims import check_problems, claim_problems, groups_in, measures_in
from mixexp.spec.experiments import experiment
from mixexp.spec.figures import KINDS, figure_file, figure_problem
from mixexp.spec.keys import SETTING
from mixexp.spec.measured import Measured, measures_of, together
from mixexp.spec.table import AXES, DEFAULTS, table_problems
from mixexp.training.folder import VALIDATION_COLUMNS
from mixexp.training.sizes import TooLargeLine
from mixexp.training.spec import RunConfig, RunSpec


@dataclass(frozen=True)
class Refusal:
    """An error, and the cells that have it."""

    reason: str
    cells: list[str]


@dataclass(frozen=True)
class Plan:
    """A sweep before it starts: its folder, its number of cells, their distinct runs, and its errors.

    too_large: cells that this machine cannot hold; the other cells run without them. first_stages: how many of the runs
    are none of the cells, but first stages that these need.
    """

    folder: Path
    cells: int
    runs: list[RunSpec]
    refusals: list[Refusal]
    too_large: list[Refusal] = field(default_factory=list)
    first_stages: int = 0

    def check(self) -> None:
        """Raise one UserError with all errors of all cells, if there are any, or where no cell is left to run."""
        if self.refusals or not self.runs:
            raise UserError("\n".join(_words(refusal, self.cells) for refusal in [*self.refusals, *self.too_large]))

    @property
    def remaining(self) -> int:
        """The number of cells that are not left out."""
        return self.cells - len({cell for refusal in self.too_large for cell in refusal.cells})

    @property
    def refused(self) -> int:
        """How many cells have settings that cannot run."""
        return len({cell for refusal in self.refusals for cell in refusal.cells})

    @property
    def counted(self) -> list[str]:
        """A line for cells that are fewer runs, and one for first stages that are no cells."""
        own, first = len(self.runs) - self.first_stages, self.first_stages
        fewer = f"{self.remaining} cells are {own} different runs: cells that act alike run once"
        more = f"{first} run{'s' * (first != 1)} beside the cells, as the first stage of others"
        return [*[fewer] * (own < self.remaining), *[more] * bool(first)]

    def left_out(self) -> list[str]:
        """A line for every reason why cells are left out of the sweep."""
        return [_words(refusal, self.cells) for refusal in self.too_large]


def plan(cells: Sequence[Composed], words: Sequence[Sequence[str]], here: bool = True) -> Plan:
    """The runs of a sweep's cells, equal ones collapsed, and all errors of any of them.

    words: each cell's overrides. here: whether this machine is to train them, and has to be large enough.
    """
    spare_compiler()
    resolved = [resolve(cell, overrides) for cell, overrides in zip(cells, words, strict=True)]
    reasons: dict[str, list[str]] = {}
    sizes: dict[str, list[str]] = {}
    good = []
    for (config, uses_alpha), cell, overrides in zip(resolved, cells, words, strict=True):
        errors = _budgets(config, overrides)
        try:
            validate(config, here)
        except Refused as refused:
            errors = [*(line for line in refused.lines if not _follows(line, refused.lines, overrides)), *errors]
        only_large = all(isinstance(error, TooLargeLine) for error in errors)
        for error in errors:
            (sizes if only_large else reasons).setdefault(error, []).append(" ".join(overrides) or "this run")
        if not errors:
            good.append((canonical(config, uses_alpha), cell, overrides))
    references = References(cells[0])
    trainable = [RunConfig.of(config) for config, _ in resolved] if not reasons else []
    of_all = _table([config for config, _ in resolved], trainable, references.measuring)
    of_all += _claims(cells[0], resolved[0][0], trainable, references.measuring)
    folders = list(dict.fromkeys(str(_folder(config)) for config, _ in resolved))
    if len(folders) > 1:
        of_all.append(
            f"name, output_dir: a sweep has one folder, and these cells have {len(folders)}, {folders[0]},"
            f" {folders[1]}, ..."
        )
    reasons |= {problem: [" ".join(overrides) for overrides in words] for problem in of_all}
    common = set.intersection(*map(set, words)) if len(words) > 1 else set()
    runs: dict[str, RunSpec] = {}

    def add(config: dict[str, Any], cell: Composed, overrides: Sequence[str], first: RunSpec | None = None) -> RunSpec:
        name = run_id(config)
        if name not in runs:
            typed = RunConfig.of(config)
            idle = _idle(typed, overrides)
            telling = [
                word
                for word in overrides
                if word not in common
                and (key := word.lstrip("+").partition("=")[0]) not in idle
                and not under(key, NOT_SCIENTIFIC)
            ]
            label = " ".join(telling) or config["name"]
            differs = references.differences(cell, config)
            beside = references.differences(cell, config, edition=True) if cell.edition else None
            family = run_id({**config, "epochs": None, "steps": None})
            runs[name] = RunSpec(
                typed, _folder(config) / name, differs, beside, label, task(typed), family, tuple(overrides), first
            )
        return runs[name]

    def add_first(cell: Composed, overrides: Sequence[str]) -> RunSpec:
        alone, words_alone = first_cell(cell), first_words(overrides)
        first = add(canonical(*resolve(alone, words_alone)), alone, words_alone)
        if first.config.keep != "last":  # it is a cell of the sweep too
            kept = first.config.replace(keep="last")
            first = runs[first.folder.name] = replace(first, config=kept, words=tuple(words_alone))
        return first

    for config, cell, overrides in good:
        first = None if config["second_stage"] is None else add_first(cell, overrides)
        for line in weightless(add(config, cell, overrides, first)):
            reasons.setdefault(line, []).append(" ".join(overrides) or "this run")
    first_stages = len(runs) - len({run_id(config) for config, *_ in good})
    refusals, too_large = (
        [Refusal(reason, cells) for reason, cells in by_reason.items()] for by_reason in (reasons, sizes)
    )
    return Plan(_folder(resolved[0][0]), len(cells), list(runs.values()), refusals, too_large, first_stages)


def _folder(config: Mapping[str, Any]) -> Path:
    return Path(str(config["output_dir"])).absolute() / str(config["name"])


def _follows(line: str, lines: Sequence[str], words: Sequence[str]) -> bool:
    """True for an error of a setting that nobody typed, where the alpha to which it refers has an error itself."""
    key, _, value = line.partition(":")[0].partition(" = ")
    typed = any(word.lstrip("+").startswith(f"{key}=") for word in words)
    return key.endswith(f".{ALIAS}") and not typed and any(other.startswith(f"{ALIAS} = {value}:") for other in lines)


def _budgets(config: Mapping[str, Any], cell: Sequence[str]) -> list[str]:
    """The message about an epochs override where steps decides, so that it would have no effect."""
    given = [word for word in cell if word.lstrip("+").startswith("epochs=") and word.partition("=")[2] != "null"]
    if not given or not isinstance(config["steps"], int):
        return []
    return [
        f"{given[0]}: the budget here is steps = {config['steps']}, beside which epochs does nothing; give steps, or"
        " steps=null"
    ]


def _table(
    configs: Sequence[Mapping[str, Any]], trainable: Sequence[RunConfig], others: Callable[[], list[RunConfig]]
) -> list[str]:
    """The errors of the table that a report will make of the runs, before they are trained.

    trainable: the same runs if they have no other errors; only then are their measures known. others: the experiment's
    own runs, which are in the same table. A setting that these runs lack, narrowed or changed on the command line,
    those may have.
    """
    table = configs[0].get("table")
    if not isinstance(table, dict):
        return []
    problems = table_problems(table)
    sound = {key: value for key, value in table.items() if key not in problems}
    of_figures = {str(spec): figure_problem(spec) for spec in sound.get("figures") or ()}
    sound["figures"] = [spec for spec in sound.get("figures") or () if not of_figures[str(spec)]]
    lacking = _lacking(sound, configs, trainable)
    if lacking:
        beside = others() if trainable else []
        lacking = _lacking(sound, [*configs, *(config.values for config in beside)], [*trainable, *beside])
    return [*problems.values(), *filter(None, of_figures.values()), *lacking]


def _lacking(
    table: Mapping[str, Any], configs: Sequence[Mapping[str, Any]], trainable: Sequence[RunConfig]
) -> list[str]:
    """The errors about settings, metrics or probes that a table without other errors names and no run will have."""
    problems = []
    keys = [(f"table.{axis}.key", (table.get(axis) or {}).get("key")) for axis in AXES]
    for spec in table["figures"]:
        settings = [name for name, option in KINDS[spec["kind"]].options.items() if option.values is SETTING]
        keys += [(f"figure {figure_file(spec)}: {name}", spec.get(name)) for name in settings]
    for place, key in keys:
        if key and all(lookup(config, key) is None for config in configs) and key != ALIAS:
            problems.append(f"{place} = {key}: no run has such a setting.{closest(key, flatten(configs[0]))}")
    return [*problems, *_not_measured(table, trainable)] if trainable else problems


def _not_measured(table: Mapping[str, Any], configs: Sequence[RunConfig]) -> list[str]:
    """The errors about metrics and figures that no run will have."""
    there = together(loop_of(config).writes(config) for config in configs)
    metric, measures = table.get("metric") or DEFAULTS["metric"], list(measures_of(table))
    problems = [f"table.metric = {metric}: {problem}" for problem in [there.metric_problem(metric)] if problem]
    for place, label, measure in measures:
        if problem := there.metric_problem(measure["metric"], measure.get("where") or ()):
            problems.append(f"{place}, {label}: {measure['metric']}: {problem}")
    for spec in table["figures"]:
        if problem := there.figure_problem(spec, [label for _, label, _ in measures]):
            problems.append(f"figure {figure_file(spec)}: {problem}")
    return [problem + _how(problem, there) for problem in dict.fromkeys(problems)]


def _how(problem: str, there: Measured) -> str:
    """The setting that would give runs the missing measure, in a sentence; empty where none is known."""
    if re.search(r"\bval_", problem) and not any(name.startswith("val_") for name in there.metrics):
        return f" validation=0.1 gives {', '.join(VALIDATION_COLUMNS)}."
    return (
        " A probe writes it: probe=NAME, which mixexp list probe names."
        if " probe_" in problem and "no run has" in problem
        else ""
    )


def _claims(
    cell: Composed, config: Mapping[str, Any], trainable: Sequence[RunConfig], others: Callable[[], list[RunConfig]]
) -> list[str]:
    """The errors of the runs' claims and of their edition's checks; trainable, others: as for the table."""
    claims, checks = (block if isinstance(block := config.get(key), dict) else None for key in ("claims", "checks"))
    if not claims and not checks:
        return []
    folders = [Path(folder) for folder in cell.folders if Path(folder).is_absolute()]
    settings = known(folders, groups_in([claims, checks]))
    files = [folder / "experiment" / f"{cell.choices.get('experiment')}.yaml" for folder in folders]
    editions = next((experiment(path, folders).editions for path in files if path.is_file()), {})
    problems = [*claim_problems(claims, editions, settings).values(), *check_problems(checks, settings).values()]
    if problems or not trainable:
        return problems
    blocks = {"claims": claims or {}, "checks": checks or {}}
    lacking = _claims_not_measured(blocks, config.get("edition"), trainable)
    return _claims_not_measured(blocks, config.get("edition"), [*trainable, *others()]) if lacking else []


def _claims_not_measured(
    blocks: Mapping[str, Mapping[str, Any]], edition: str | None, configs: Sequence[RunConfig]
) -> list[str]:
    """The errors about metrics, in valid claims and checks, that no run will have.

    Of a claim's editions, only the chosen one is checked.
    """
    there = together(loop_of(config).writes(config) for config in configs)
    asked: dict[str, Mapping[str, Any]] = {}
    for block, claims in blocks.items():
        for name, claim in claims.items():
            place = f"{block}.{name}"
            asked |= {place: claim} if claim.get("metric") else {}
            for key in dict.fromkeys(("test", edition)):
                asked |= {f"{place}.{key}": measure for measure in measures_in(claim.get(key))}
    found = {
        place: there.metric_problem(measure["metric"], measure.get("where") or ()) for place, measure in asked.items()
    }
    lines = [f"{place}: {asked[place]['metric']}: {problem}" for place, problem in found.items() if problem]
    return [line + _how(line, there) for line in lines]


def other_classes(runs: Sequence[RunSpec]) -> list[str]:
    """A note for each group whose class an override has changed, while the run's choices still name the option."""
    words = dict.fromkeys(word.lstrip("+") for run in runs for word in run.words if "_target_" in word)
    settings = [(word.partition("=")[0], word.partition("=")[2]) for word in words]
    groups = [
        key.removesuffix("._target_") for key, value in settings if key.endswith("._target_") or value.startswith("{")
    ]
    return [
        f"note: {group}: its class is another than that of its option; the run's choices and the tables name the option"
        for group in dict.fromkeys(groups)
        if "." not in group
    ]


def idle_words(run: RunSpec) -> list[str]:
    """A note for each override of the user that changes nothing in a run."""
    return [
        f"note: {key} has no effect here, mix={run.config.choices['mix']} does not use it"
        for key in _idle(run.config, run.words)
    ]


def idle_axes(runs: Sequence[RunSpec]) -> list[str]:
    """A note for each key of a sweep that has no effect with some mixes, whose cells collapse; mix=none is left out."""
    mixes: dict[str, list[str]] = {}
    for run in runs:
        for key in _idle(run.config, run.words) if (mix := run.config.choices["mix"]) != "none" else ():
            mixes.setdefault(key, []).append(mix)
    cells = {key: f"the cells with mix={','.join(dict.fromkeys(names))}" for key, names in mixes.items()}
    return [f"note: {key} has no effect in {where}: no use is made of it there" for key, where in cells.items()]


def _idle(config: RunConfig, words: Iterable[str]) -> list[str]:
    """The keys among some overrides that change nothing in a run."""
    given = {word.partition("=")[0] for word in words}
    idle = {"alpha": config.alpha is None, "mix_layer": config.choices["mix_layer"] is None}
    return [key for key in sorted(given) if idle.get(key)]


def _words(refusal: Refusal, total: int) -> str:
    if total == 1:
        return refusal.reason
    return f"{refusal.reason}\n    in {len(refusal.cells)} of {total} cells, first: {refusal.cells[0]}"

"""From composed cells to runs: resolved, validated all together, canonical, each with its folder and its cost."""

from __future__ import annotations

import contextlib
import copy
import functools
import itertools
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import hydra
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from mixexp.errors import UserError, closest
from mixexp.plan.checks import Refused, validate
from mixexp.plan.coerce import set_texts, settled
from mixexp.plan.composer import Composed, Composer
from mixexp.plan.identity import ALIAS, UNCOUNTED, canonical, differences, run_id
from mixexp.plan.loops import loop_of, task
from mixexp.plan.options import known
from mixexp.plan.overrides import axes_of, loaded_groups
from mixexp.plan.space import space_of
from mixexp.settings import flatten, lookup, under
from mixexp.spec.claims import check_problems, claim_problems, groups_in, measures_in
from mixexp.spec.experiments import experiment
from mixexp.spec.figures import KINDS, figure_problem
from mixexp.spec.grid import as_override, combined, override_of, value_of
from mixexp.spec.keys import SETTING
from mixexp.spec.measured import Measured, measures_of, together
from mixexp.spec.table import AXES, DEFAULTS, table_problems
from mixexp.training.data import placed
from mixexp.training.folder import VALIDATION_COLUMNS
from mixexp.training.sizes import TooLargeLine
from mixexp.training.spec import RunConfig, RunSpec

MEASURING = ("probe", "gan", "validation", "keep_checkpoint")
"""Settings that decide what a run measures."""


@dataclass(frozen=True)
class Refusal:
    """Something wrong, and the cells it is wrong with."""

    reason: str
    cells: list[str]


@dataclass(frozen=True)
class Plan:
    """A sweep before it starts: its folder, how many cells it has, their different runs, and why it may not start.

    too_large: cells that this machine cannot hold, which the others do not wait for.
    """

    folder: Path
    cells: int
    runs: list[RunSpec]
    refusals: list[Refusal]
    too_large: list[Refusal] = field(default_factory=list)

    def check(self) -> None:
        """Raise one UserError with all that is wrong with any cell, if anything is, or where no cell is left to run."""
        if self.refusals or not self.runs:
            raise UserError("\n".join(_words(refusal, self.cells) for refusal in [*self.refusals, *self.too_large]))

    @property
    def remaining(self) -> int:
        """The number of cells that are not left out."""
        return self.cells - len({cell for refusal in self.too_large for cell in refusal.cells})

    def left_out(self) -> list[str]:
        """A line for every reason why cells are left out of the sweep."""
        return [_words(refusal, self.cells) for refusal in self.too_large]


def resolve(cell: Composed, words: Sequence[str] = ()) -> tuple[dict[str, Any], bool]:
    """A cell's configuration as a plain resolved dict with the groups' choices, and whether it refers to alpha.

    words: the overrides, as typed, that the cell is composed of: a text is what was typed, though Hydra has read a
    number.
    """
    config = cell.config
    set_texts(cell, words)
    if (
        isinstance(config.get("data_dir"), str) and config.data_dir
    ):  # wherever it was started from, a run means the same folder
        config.data_dir = str(Path(os.path.expanduser(config.data_dir)).absolute())
    uses_alpha = _refers(config, ALIAS)
    whole: Any = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    settings = settled(whole)
    if "dataset" in settings:  # it can be taken away on the command line, which the check says
        settings["dataset"] = placed(settings["dataset"], settings.get("trusted_modules"))
    return {**settings, "choices": dict(cell.choices)}, uses_alpha


def _refers(config: DictConfig, name: str) -> bool:
    """True if the value of any other setting depends on a root setting, however the reference is written."""
    raw = json.dumps(OmegaConf.to_container(config, resolve=False))
    if f"${{{name}}}" in raw or not re.search(rf"\$\{{[^}}]*{name}", raw):  # the usual spelling, or no reference at all
        return f"${{{name}}}" in raw
    resolved = []
    for value in (0.25, 0.75):  # two that are never both what is set
        tried = copy.deepcopy(config)
        tried[name] = value
        whole: Any = OmegaConf.to_container(tried, resolve=True)
        resolved.append({key: held for key, held in whole.items() if key != name})
    return resolved[0] != resolved[1]


def plan(cells: Sequence[Composed], words: Sequence[Sequence[str]], here: bool = True) -> Plan:
    """The runs of a sweep's cells, equal ones collapsed, and everything wrong with any of them.

    words: each cell's overrides. here: whether this machine is to train them, and has to be large enough.
    """
    resolved = [resolve(cell, overrides) for cell, overrides in zip(cells, words, strict=True)]
    reasons: dict[str, list[str]] = {}
    sizes: dict[str, list[str]] = {}
    good = []
    for (config, uses_alpha), cell, overrides in zip(resolved, cells, words, strict=True):
        errors = _budgets(config, overrides)
        try:
            validate(config, here)
        except Refused as refused:
            errors = [*refused.lines, *errors]
        only_large = all(isinstance(error, TooLargeLine) for error in errors)
        for error in errors:
            (sizes if only_large else reasons).setdefault(error, []).append(" ".join(overrides) or "this run")
        if not errors:
            good.append((canonical(config, uses_alpha), cell, overrides))
    references = _References(cells[0])
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
    for config, cell, overrides in good:
        name = run_id(config)
        if name not in runs:
            label = " ".join(word for word in overrides if word not in common) or config["name"]
            differs = references.differences(cell, config)
            beside = references.differences(cell, config, edition=True) if cell.edition else None
            family = run_id({**config, "epochs": None, "steps": None})
            typed = RunConfig.of(config)
            runs[name] = RunSpec(
                typed, _folder(config) / name, differs, beside, label, task(typed), family, tuple(overrides)
            )
    refusals, too_large = (
        [Refusal(reason, cells) for reason, cells in by_reason.items()] for by_reason in (reasons, sizes)
    )
    return Plan(_folder(resolved[0][0]), len(cells), list(runs.values()), refusals, too_large)


def _folder(config: Mapping[str, Any]) -> Path:
    return Path(str(config["output_dir"])).absolute() / str(config["name"])


def _budgets(config: Mapping[str, Any], cell: Sequence[str]) -> list[str]:
    """epochs asked for where steps rules: it would do nothing."""
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
    """The errors of the table that a report is to make of the runs, before they are trained.

    trainable: the same runs where nothing else is wrong with them; what they will measure is known only then. others:
    the experiment's own runs, which are in the same table: what these runs lack, narrowed or changed on the command
    line, those may have.
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
    """The errors of what is sound of a table and names settings, metrics or probes that no run will have."""
    problems = []
    keys = {f"table.{axis}.key": (table.get(axis) or {}).get("key") for axis in AXES}
    for spec in table["figures"]:
        settings = [name for name, option in KINDS[spec["kind"]].options.items() if option.values is SETTING]
        keys |= {f"figure {spec['file']}: {name}": spec.get(name) for name in settings}
    for place, key in keys.items():
        if key and all(lookup(config, key) is None for config in configs) and key != ALIAS:
            problems.append(f"{place} = {key}: no run has such a setting.{closest(key, flatten(configs[0]))}")
    return [*problems, *_not_measured(table, trainable)] if trainable else problems


def _not_measured(table: Mapping[str, Any], configs: Sequence[RunConfig]) -> list[str]:
    """The errors of metrics and figures that no run will have."""
    there = together(loop_of(config).writes(config) for config in configs)
    metric, measures = table.get("metric") or DEFAULTS["metric"], list(measures_of(table))
    problems = [f"table.metric = {metric}: {problem}" for problem in [there.metric_problem(metric)] if problem]
    for place, label, measure in measures:
        if problem := there.metric_problem(measure["metric"], measure.get("where") or ()):
            problems.append(f"{place}, {label}: {measure['metric']}: {problem}")
    for spec in table["figures"]:
        if problem := there.figure_problem(spec, [label for _, label, _ in measures]):
            problems.append(f"figure {spec['file']}: {problem}")
    return [problem + _how(problem, there) for problem in dict.fromkeys(problems)]


def _how(problem: str, there: Measured) -> str:
    """The setting with which runs would have what they lack, in a sentence; empty where none is known."""
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
    """The errors of the claims that the runs are to decide, and of their edition's checks; trainable, others: as for
    the table."""
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
    """The errors of metrics of sound claims and checks that no run will have.

    Of a claim's editions, the chosen one alone is to be decided.
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
    return [f"note: {key} has no effect here, mix={run.config.choices['mix']} does not use it" for key in _idle(run)]


def idle_axes(runs: Sequence[RunSpec]) -> list[str]:
    """A note for each key of a sweep that changes nothing with some of its mixes, whose cells collapse; of mix=none
    nobody expects more."""
    mixes: dict[str, list[str]] = {}
    for run in runs:
        for key in _idle(run) if (mix := run.config.choices["mix"]) != "none" else ():
            mixes.setdefault(key, []).append(mix)
    cells = {key: f"the cells with mix={','.join(dict.fromkeys(names))}" for key, names in mixes.items()}
    return [f"note: {key} has no effect in {where}: no use is made of it there" for key, where in cells.items()]


def _idle(run: RunSpec) -> list[str]:
    given = {word.partition("=")[0] for word in run.words}
    idle = {"alpha": run.config.alpha is None, "mix_layer": run.config.choices["mix_layer"] is None}
    return [key for key in sorted(given) if idle.get(key)]


def _words(refusal: Refusal, total: int) -> str:
    if total == 1:
        return refusal.reason
    return f"{refusal.reason}\n    in {len(refusal.cells)} of {total} cells, first: {refusal.cells[0]}"


class _References:
    """A sweep's experiment as its file has it, and its edition, composed once for every cell of their grids.

    cell: one of the sweep's, all of which have the same experiment and edition.
    """

    def __init__(self, cell: Composed) -> None:
        compose = Composer(
            lambda words: hydra.compose("config", overrides=words, return_hydra_config=True), loaded_groups()
        )
        self._reference = functools.cache(lambda *words: canonical(*resolve(compose(words), words)))

        axes = {key: texts for key, texts in axes_of(cell.params, loaded_groups()).items() if key not in UNCOUNTED}
        inner = {
            key: texts
            for key, texts in axes.items()
            if any(isinstance(block, Mapping) and key.lstrip("+") in block for block in cell.grid)
        }
        self._axes = {key: texts for key, texts in axes.items() if key not in inner}

        def grid(edition: bool) -> list[dict[str, tuple[str, Any]]]:
            cells = cell.edition if edition else combined(cell.grid, inner, set(cell.config))
            return [{key: (text, value_of(text)) for key, text in values.items()} for values in cells]

        self._grid = functools.cache(grid)
        self._cell = cell

    def measuring(self) -> list[RunConfig]:
        """Runs of the experiment and of its edition, one for each choice of options and of what is measured; none
        without an experiment."""
        experiment = self._cell.choices.get("experiment")
        if experiment is None:
            return []
        counts = {key: key in self._cell.choices or under(key.lstrip("+"), MEASURING) for key in self._axes}
        axes = [[(key, text) for text in texts[: None if counts[key] else 1]] for key, texts in self._axes.items()]
        own = [[*common, *_texts(cell)] for cell in self._grid(False) for common in itertools.product(*axes)]
        chosen: dict[tuple[str, ...], list[str]] = {}
        for cell in [*own, *(map(_texts, self._grid(True)) if self._cell.edition else ())]:
            words = [override_of(key, text) for key, text in cell]
            choice = (
                word
                for word, (key, _) in zip(words, cell, strict=True)
                if key in self._cell.choices or under(key, MEASURING)
            )
            chosen.setdefault(tuple(choice), words)
        return [RunConfig.of(self._reference(f"experiment={experiment}", *words)) for words in chosen.values()]

    def differences(self, cell: Composed, config: Mapping[str, Any], edition: bool = False) -> dict[str, list[Any]]:
        """The departures of a run from its cell of its experiment's grid, or the nearest one; empty without an
        experiment.

        edition: from a cell of the chosen edition. A setting that the experiment searches for departs where it is
        outside the space.
        """
        experiment = cell.choices.get("experiment")
        if experiment is None:
            return {}
        grid = self._grid(edition)
        has = {key: lookup(config, key) for values in grid for key in values}
        nearest = max(
            grid, default={}, key=lambda values: sum(1 if has[key] in pair else -1 for key, pair in values.items())
        )
        texts = [*(() if edition else self._near(config)), *_texts(nearest)]
        words = [f"experiment={experiment}", *(override_of(key, text) for key, text in texts)]
        drawn = {key: lookup(config, key) for key in cell.space}
        words += [
            f"{key}={as_override(drawn[key])}" for key, held in space_of(cell.space).items() if held.holds(drawn[key])
        ]
        departures = differences(config, self._reference(*words))
        changed = {group for group in departures if group in config["choices"]}
        if changed:
            # inside a group with another option, what departs from that option's own values counts too
            with contextlib.suppress(
                HydraException, OmegaConfBaseException
            ):  # an option may lack what the experiment sets
                beside = differences(
                    config, self._reference(*words, *(f"{g}={config['choices'][g]}" for g in sorted(changed)))
                )
                departures |= {key: pair for key, pair in beside.items() if key.split(".")[0] in changed}
        return departures

    def _near(self, config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        """A run's value of every axis beside the grid, the axis's first where it is none of the axis's."""
        for key, texts in self._axes.items():
            has = lookup(config, key.lstrip("+"))
            yield key, next((text for text in texts if has in (text, value_of(text))), texts[0])


def _texts(cell: Mapping[str, tuple[str, Any]]) -> list[tuple[str, str]]:
    """A cell's keys and the texts of their values."""
    return [(key, text) for key, (text, _) in cell.items()]

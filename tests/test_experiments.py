from __future__ import annotations

import functools
import json
import math
import re
from pathlib import Path
from typing import Any

import hydra
import pytest
import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from running import composer, names

from mixexp.build import build
from mixexp.plan.identity import canonical, run_id
from mixexp.plan.options import editions, options
from mixexp.plan.resolved import resolve
from mixexp.reporting.claims import FULL
from mixexp.settings import CONF
from mixexp.spec.grid import cells

EXPERIMENTS = names("experiment")


def grid_of(name: str, *words: str) -> list[list[str]]:
    """The overrides of every cell of an experiment, as `mixexp -m experiment=name` makes them."""
    spec = yaml.safe_load((CONF / "experiment" / f"{name}.yaml").read_text())
    sweeper = spec["hydra"]["sweeper"]
    if "space" in sweeper:  # a search, whose trials differ from its own settings by what it draws
        return [[f"experiment={name}", *words]]
    axes = {}
    for override in OverridesParser.create().parse_overrides(
        [*(f"{key}={value}" for key, value in sweeper["params"].items()), f"experiment={name}", *words]
    ):
        swept = override.is_sweep_override()
        axes[override.get_key_element()] = (
            list(override.sweep_string_iterator()) if swept else [override.get_value_element_as_str()]
        )
    root = yaml.safe_load((CONF / "config.yaml").read_text())
    return cells(sweeper["grid"], axes, {key for key, value in root.items() if not isinstance(value, dict)})


def configs_of_cells(cells: list[list[str]]) -> list[dict]:
    """The canonical configuration of every run of some cells.

    Of cells that differ in their seed alone, the first and the last are composed: what differs between these follows
    the seed, in those between them too.
    """
    alike: dict[tuple[str, ...], dict[int, list[str]]] = {}
    for cell in cells:
        seeds = [int(word.removeprefix("seed=")) for word in cell if word.startswith("seed=")]
        rest = tuple(word for word in cell if not word.startswith("seed="))
        alike.setdefault(rest, {})[seeds[-1] if seeds else 0] = cell
    found = {}
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        for by_seed in alike.values():
            first, last = next(iter(by_seed)), next(reversed(by_seed))
            ends = {seed: canonical(*resolve(composer()(by_seed[seed]), by_seed[seed])) for seed in {first, last}}
            for seed, cell in by_seed.items():
                found[tuple(cell)] = ends.get(seed) or followed(ends[first], ends[last], (first, last), seed)
    configs = [found[tuple(cell)] for cell in cells]
    return list({run_id(config): config for config in configs}.values())


def followed(first: Any, last: Any, ends: tuple[int, int], seed: int) -> Any:
    """A value that is the seed wherever two that are alike otherwise have theirs."""
    if first == last:
        return first
    if isinstance(first, dict):
        assert first.keys() == last.keys()
        return {key: followed(value, last[key], ends, seed) for key, value in first.items()}
    assert (first, last) == ends
    return seed


@functools.cache
def configs_of(name: str, *words: str) -> list[dict]:
    """The canonical configuration of every run of an experiment."""
    return configs_of_cells(grid_of(name, *words))


@functools.cache
def configs_of_edition(name: str, edition: str) -> list[dict]:
    """The configuration of every run of an edition of an experiment; of FULL, of the experiment itself."""
    if edition == FULL:
        return configs_of(name)
    words = [f"experiment={name}", f"edition={edition}"]
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        cells = composer()(words).edition
    return configs_of_cells([[*words, *(f"{key}={value}" for key, value in cell.items())] for cell in cells])


def configs_of_one_seed(name: str) -> list[dict]:
    """The same of every run of the first seed."""
    configs = configs_of(name)
    return [config for config in configs if config["seed"] == configs[0]["seed"]]


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_an_experiment_composes_and_its_file_opens_with_claim_and_command(name):
    lines = options([CONF])["experiment"][name]
    assert any(line.startswith("Claim:") for line in lines)
    assert any(f"mixexp reproduce {name}" in line for line in lines)
    (cost,) = [line for line in lines if line.startswith("Cost:")]
    configs = configs_of(name)
    assert all(config["name"] == name for config in configs)
    runs = re.match(r"Cost: ([\d,]+) (?:run|trial)s?\b", cost)
    expected = yaml.safe_load((CONF / "experiment" / f"{name}.yaml").read_text())["hydra"]["sweeper"].get(
        "trials", len(configs)
    )
    assert runs and int(runs[1].replace(",", "")) == expected, f"{cost!r}, and there are {expected}"


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_cell_of_the_published_table_has_its_runs(name):
    configs = configs_of_one_seed(name)
    table = configs[0]["table"]
    published = {(str(row), column) for column, rows in table["published"].items() for row in rows}

    def lookup(config: dict, key: str) -> object:
        if key in config["choices"]:
            return config["choices"][key]
        value = config
        for part in key.split("."):
            value = value.get(part, {})
        return value

    def labels(config: dict, axis: dict) -> list[str]:
        if "measures" in axis:
            return list(axis["measures"])
        if "key" in axis:
            return [str(lookup(config, axis["key"]))]
        return [
            label for label, wanted in axis["values"].items() if all(lookup(config, k) == v for k, v in wanted.items())
        ]

    placed = [
        (row, column) for c in configs for row in labels(c, table["rows"]) for column in labels(c, table["columns"])
    ]
    measures = [len(axis["measures"]) for axis in (table["rows"], table["columns"]) if "measures" in axis]
    assert len(placed) == len(set(placed)) == len(configs) * math.prod(measures), (
        "every run has one cell of its own, or one a measure"
    )
    assert published <= set(placed)
    baseline = table.get("baseline")
    assert baseline is None or baseline in {label for place in placed for label in place}, (
        "what others are compared with is a row or a column"
    )


@pytest.mark.parametrize(
    ("name", "edition"), [(name, edition) for name, named in editions([CONF]).items() for edition in named]
)
def test_an_edition_has_five_seeds_or_more_that_no_pilot_has_and_as_many_runs_as_its_table_says(name, edition):
    runs = configs_of_edition(name, edition)
    seeds = {config["seed"] for config in runs}
    assert len(seeds) >= 5 and max(seeds) < 1000, "pilots have the seeds from 1000 on"
    assert all(
        len({config["seed"] for config in runs if config["choices"]["mix"] == mix}) >= 5
        for mix in {c["choices"]["mix"] for c in runs}
    )
    assert all(config["checks"] for config in runs), "what the network fits without the method is shown"
    (row,) = [
        line
        for line in (CONF.parent / "docs" / "editions.md").read_text().splitlines()
        if line.startswith(f"| `{name}` |")
    ]
    assert row.split("|")[4].strip() == str(len(runs)) and float(row.split("|")[5]) <= 40


def test_small_data_has_the_articles_budgets():
    budgets = {(c["subset"]["n"], c["steps"], c["epochs"]) for c in configs_of("small_data")}
    assert budgets == {(n, None, 100) for n in (50000, 20000, 10000, 5000, 1000)} | {
        (500, 117000, None),
        (250, 117000, None),
    } | {(100, 40000, None)}
    assert {c["choices"]["augment"] for c in configs_of("small_data")} == {"standard"}, "our inference"
    ratios = {c["choices"]["mix"]: build(c["mix"]) for c in configs_of("small_data")}
    assert (ratios["data_mix"].ratio.alpha, ratios["data_mix"].ratio.beta_a_offset) == (1, 1), "Beta(2, 1)"
    assert (ratios["mixup"].ratio.alpha, ratios["mixup"].ratio.beta_a_offset) == (1, 0), "Beta(1, 1)"


def test_bc_learning_has_the_articles_six_cases():
    found = [
        (
            c["choices"]["mix"],
            c["batch_size"],
            c["mix"].get("step_size"),
            c["choices"]["schedule"],
            c["choices"]["augment"],
        )
        for c in configs_of("bc_learning")
    ]
    assert found == [
        ("none", 128, None, "constant", "none"),
        ("bc", 128, None, "constant", "none"),
        ("bc", 1024, 128, "constant", "none"),
        ("bc", 1024, 1024, "constant", "none"),
        ("bc", 128, None, "steps", "none"),
        ("bc", 128, None, "steps", "continuous"),
    ]
    assert all(c["mix"]["ratio"]["fold"] for c in configs_of("bc_learning")[1:])
    assert [c["mix"]["pairing"]["replace"] for c in configs_of("bc_learning")[1:]] == [False, True, False, False, False]


def test_final_layer_mixup_draws_one_ratio_an_epoch():
    configs = configs_of("final_layer_mixup")
    assert {c["mix"]["ratio"]["per"] for c in configs} == {"epoch"}
    assert {(c["choices"]["mix_layer"], c["alpha"]) for c in configs} == {
        (layer, alpha) for layer in ("input", "final") for alpha in (0.04, 0.2, 1.0, 5.0)
    }


@pytest.mark.parametrize(
    "name, sigma, margin, batch", [("affinity_mnist", 10, 0.75, 128), ("affinity_cifar10", 90, 0.43, 640)]
)
def test_affinity_grids_have_the_articles_constants(name, sigma, margin, batch):
    configs = configs_of(name)
    affinity = [c["loss"] for c in configs if c["choices"]["loss"] == "affinity"]
    mnists = {(10, 0.75, 1)}
    assert {(loss["sigma"], loss["margin"], loss["centres"]) for loss in affinity} == {
        (sigma, margin, 1),
        (sigma, margin, 5),
    } | mnists
    assert {c["batch_size"] for c in configs} == {batch}
    assert {c["imbalance"]["n"] for c in configs} == {500, 200, 100, 50, 20, 10}


KERAS = [name for name in EXPERIMENTS if name.startswith("affinity_") or name == "bc_learning"]
"""Experiments whose source is code in Keras."""


@pytest.mark.parametrize("name", KERAS)
def test_what_comes_from_keras_is_as_it_was_there(name):
    for config in configs_of(name):
        assert config["model"]["layer_defaults"] == "keras"
        assert set(config["dataset"]["mean"]) == {0} and set(config["dataset"]["std"]) == {1}, (
            "pixels divided by 255 alone"
        )
        assert config["choices"]["optimizer"] != "adam" or config["optimizer"]["eps"] == 1e-7
        assert not config["model"]["final_batchnorm"], "the affinity loss brings its own"
        loss = config["loss"].get("affinity", config["loss"])
        if "sigma" in loss:
            assert loss["init"] in ("keras_he", "colliding")
        if "n" in config["imbalance"]:
            assert config["imbalance"]["which"] == "first" and config["data_seed"] == 0


def test_affinity_batchnorm_compares_networks_that_differ_in_it_alone():
    seen = {}
    for config in configs_of_one_seed("affinity_batchnorm"):
        loss = {key: value for key, value in config["loss"].items() if key != "batchnorm"}
        rest = json.dumps({**config, "loss": loss, "choices": None}, sort_keys=True)
        seen.setdefault((config["choices"]["model"], rest), []).append(config["loss"]["batchnorm"])
    assert [model for model, _ in seen] == ["mnist_cnn_2d", "mnist_cnn", "cnn10"]
    assert list(seen.values()) == [[True, False]] * 3


def test_the_command_line_narrows_and_changes_a_grid():
    assert len(grid_of("small_data", "mix=none", "subset.n=500,100")) == 2
    assert len(grid_of("small_data", "steps=10")) == 24, "a root setting goes to every cell"
    assert {c["steps"] for c in configs_of("small_data", "steps=10")} == {10}
    assert len(grid_of("affinity_mnist", "loss=cross_entropy", "seed=7")) == 6
    assert len(grid_of("quickstart", "alpha=0.5", "seed=0")) == 3


TELLING = (
    *(
        "optimizer.lr",
        "optimizer.weight_decay",
        "optimizer.momentum",
        "optimizer.nesterov",
        "optimizer.eps",
        "batch_size",
        "epochs",
        "steps",
    ),
    *(
        "alpha",
        "schedule.milestones",
        "schedule.drop",
        "schedule.warmup_epochs",
        "augment.shift",
        "augment.pad",
        "model.dropout",
    ),
    *(
        "label_noise.rate",
        "label_noise.among",
        "imbalance.n",
        "subset.n",
        "mix.pairing.k",
        "mix.ratio.per",
        "mix.ratio.fold",
        "mix.from_epoch",
    ),
    *("mix.pairing.replace", "augment.height", "augment.width"),
    *(
        "mix_layer.layers",
        "loss.sigma",
        "loss.margin",
        "loss.centres",
        "loss.label_smoothing",
        "loss.of",
        "probe.epsilon",
        "probe.steps",
    ),
    *("loss.batchnorm", "loss.init", "imbalance.which", "model.layer_defaults", "model.final_batchnorm"),
)


def facts_of(name: str) -> dict[str, object]:
    """What of an experiment comes from its article: the published numbers, and every value that a telling setting has
    in its grid."""

    def value(config: dict, key: str) -> object:
        for part in key.split("."):
            config = config.get(part) if isinstance(config, dict) else None
        return config

    configs = configs_of(name)
    found = {key: sorted({json.dumps(value(config, key)) for config in configs}) for key in TELLING}
    settings = {key: values for key, values in found.items() if values != ["null"]}
    return json.loads(json.dumps({"published": configs[0]["table"]["published"], "settings": settings}))


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_what_comes_from_an_article_is_as_it_was_checked_against_it(name):
    """A slip of a digit in a YAML is seen here; a change on purpose is made in experiments.json too."""
    checked, facts = json.loads((Path(__file__).parent / "experiments.json").read_text()), facts_of(name)
    if facts["published"] or name in checked:  # one of ours has no article that it could depart from
        assert facts == checked[name]

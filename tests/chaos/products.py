"""Random products of options, each trained for some steps or refused with a reason.

Groups: mix, mix layer, loss, imbalance, sampling, augmentation, schedule, optimizer. A product is resumed in the middle
too, and has to be the run that was not stopped, bit for bit. An exception that is no refusal, a result that is not
finite, a refusal without a reason and a difference after the stop are faults.

    python tests/chaos/products.py                     500 products, two minutes on one core
    python tests/chaos/products.py --seed 7 --count 50
    python tests/chaos/products.py --only 123          one product of a seed again, with its traceback
"""

from __future__ import annotations

import argparse
import collections
import math
import random
import sys
import tempfile
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hydra

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from running import composer, errors_of, names, needs, result_of, rows_of

from mixexp.errors import UserError
from mixexp.plan.checks import validate
from mixexp.plan.identity import canonical
from mixexp.plan.resolved import resolve
from mixexp.settings import CONF
from mixexp.train import train
from mixexp.training.folder import RunFolder
from mixexp.training.spec import RunConfig

GROUPS = ("mix", "mix_layer", "loss", "imbalance", "sampling", "augment", "schedule", "optimizer")
SMALL = ("model.width=4", "subset=balanced", "subset.n=200", "batch_size=40", "epochs=2", "checkpoint_seconds=0")
SIZES = {
    "imbalance": {
        "minority": ("imbalance.n=2",),
        **dict.fromkeys(("exponential", "step", "long_tail"), ("imbalance.ratio=5",)),
    }
}
"""Settings of options whose own are for larger data sets than the digits."""


def product(seed: int, number: int) -> list[str]:
    """The words of a product: for most groups the default, for two to four of them any option."""
    rng = random.Random(f"{seed} {number}")
    chosen = {"mix": rng.choice(names("mix")), "loss": rng.choice(names("loss"))}
    for group in rng.sample(GROUPS, rng.randint(2, 4)):
        chosen.setdefault(group, rng.choice(names(group)))
    words = [f"{group}={option}" for group, option in chosen.items()]
    settings = [word for group, option in chosen.items() for word in SIZES.get(group, {}).get(option, ())]
    return [*words, *settings, *needs(*words)]


def steps_of(config: RunConfig, folder: Path, stops: int | None = None) -> dict[str, Any] | None:
    """The result of a run, which is closed after some steps where `stops` says so."""
    training = train(config, RunFolder(folder, note=lambda _: None), {})
    for step, _ in enumerate(training, 1):
        if step == stops:
            training.close()
            return None
    return result_of(folder)


def outcome_of(words: list[str], folder: Path) -> tuple[str, str]:
    """The outcome of a product: "trained", "diverged", "refused" or "FAULT", and the reason."""
    try:
        with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
            values = resolve(composer()([*SMALL, *words]))[0]
        if lines := errors_of(values):
            return ("refused", lines[0]) if all(": " in line for line in lines) else ("FAULT", f"refused by {lines}")
        config = RunConfig.of(canonical(validate(values).values, True))
        whole = steps_of(config, folder / "whole")
        steps_of(config, folder / "parts", stops=2)
        parts = steps_of(config, folder / "parts")
    except UserError as error:
        return "FAULT", f"refused after the checks: {error}"
    except Exception:
        return "FAULT", traceback.format_exc()
    if whole is None or parts is None:
        return "FAULT", "no result"
    figures = [float(value) for row in rows_of(RunFolder(folder / "whole")) for value in row.values()]
    if whole["outcome"] == "finished" and not all(map(math.isfinite, figures)):
        return "FAULT", "finished with a figure that is not finite"
    if rows_of(RunFolder(folder / "whole")) != rows_of(RunFolder(folder / "parts")):
        return "FAULT", "another run after a stop"
    return ("trained" if whole["outcome"] == "finished" else "diverged"), ""


def outcomes(seed: int, count: int) -> Iterator[tuple[int, list[str], str, str]]:
    """The number, words, outcome and reason of each product."""
    for number in range(count):
        words = product(seed, number)
        with tempfile.TemporaryDirectory() as folder:
            yield (number, words, *outcome_of(words, Path(folder)))


def main() -> None:
    parser = argparse.ArgumentParser(description="Random products of options, trained or refused.")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--only", type=int)
    arguments = parser.parse_args()
    if arguments.only is not None:
        words = product(arguments.seed, arguments.only)
        with tempfile.TemporaryDirectory() as folder:
            print(" ".join(words), *outcome_of(words, Path(folder)), sep="\n")
        return
    ends: collections.Counter[str] = collections.Counter()
    reasons: collections.Counter[str] = collections.Counter()
    for number, words, outcome, reason in outcomes(arguments.seed, arguments.count):
        ends[outcome] += 1
        if outcome == "refused":
            reasons[reason] += 1
        elif outcome != "trained":
            print(f"{number}: {outcome}: {' '.join(words)}\n{reason}", flush=True)
    print(", ".join(f"{count} {outcome}" for outcome, count in ends.most_common()))
    for reason, count in reasons.most_common():
        print(f"  {count:4} refused: {reason}")
    sys.exit(bool(ends["FAULT"]))


if __name__ == "__main__":
    main()

"""Faults that the tests have to notice: one change of a line each, with the tests that fail for it.

    python tests/chaos/mutants.py            tries all of them in a copy of the project: some minutes
    python tests/chaos/mutants.py loss/      those whose file has this in its name

A script, which pytest does not collect. Prints a line for each, caught or SURVIVED; exit code 1 where one survives, where
its line is not there any more, or where its tests fail without it. A change of the tests that makes them fewer or faster
is safe where all are still caught.
"""

from __future__ import annotations

import importlib
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LINKED = {"outputs", "docs", "benchmarks", "findings", "scripts", "shared", "data"}
"""Folders that no mutant is in and some tests read."""
IMPORTED = ("torch", "torchvision", "scipy.stats", "pandas", "hydra", "hypothesis", "pytest")


@dataclass(frozen=True)
class Mutant:
    """A line of a file of mixexp/, what stands in its place, and the tests for it: files, then words as for -k."""

    file: str
    line: str
    fault: str
    files: str
    words: str


MUTANTS = [
    # --- mixing ---
    Mutant("mix/ratio.py", "np.repeat(lam, batch, axis=0)[:rows]", "np.tile(lam, (batch, 1))[:rows]", "mix", "drawn_once and mixup and not knn"),
    Mutant("mix/ratio.py", "rng.beta(self.alpha + self.beta_a_offset, self.alpha", "rng.beta(self.alpha, self.alpha", "mix", "beta_moments and data_mix"),
    Mutant("mix/ratio.py", "lam = np.maximum(lam, 1 - lam)", "lam = np.minimum(lam, 1 - lam)", "mix", "folding"),
    Mutant("mix/ratio.py", 'else drawn.pdf(lam)', 'else 2 * drawn.pdf(lam)', "probe_mixed", "density"),
    Mutant("mix/pairing.py", "permutation.roll(k)", "permutation.roll(0 * k)", "mix", "naive_loop and mixup"),
    Mutant("mix/pairing.py", "labels[order].unsqueeze(0) != labels.unsqueeze(1)", "labels[order].unsqueeze(0) == labels.unsqueeze(1)", "mix", "naive_loop and bc"),
    Mutant("mix/pairing.py", '(draws["start"].unsqueeze(1) * available).long()', '(draws["start"].unsqueeze(1) * (available - 1)).long()', "mix", "naive_loop and bc"),
    Mutant("mix/pairing.py", '(draws["place"] * available).long() + 1', '(draws["place"] * available).long()', "mix", "with_replacement"),
    Mutant("mix/pairing.py", '{"external": rng.permutation(order)}', '{"external": order}', "mix_parts", "second_pass"),
    Mutant("mix/label.py", ".argmax(0, keepdim=True)", ".argmin(0, keepdim=True)", "mix", "naive_loop and input_only"),
    Mutant("mix/mixes.py", "lam = torch.where(first == second, 1.0, lam)", "lam = lam.clone()", "mix", "bc_partners"),
    Mutant("mix/mixes.py", "if epoch < self.from_epoch:", "if epoch <= self.from_epoch:", "sounds", "before_its_epoch"),
    Mutant("mix/mixes.py", 'streams.generator(seed, "ratio", epoch), len(order)', 'streams.generator(seed, "pairing", epoch), len(order)', "mix", "stream_of_its_own and mixup"),
    Mutant("mix/mixes.py", "np.unique(order, return_index=True)[1]", "np.unique(order)", "mix_parts", "smote_adds"),
    Mutant("mix/mixes.py", "rng.standard_gamma(self.alpha, ", "rng.standard_gamma(2 * self.alpha, ", "mix_parts", "dirichlet"),
    Mutant("mix/label.py", "second / first >= self.kappa", "second / first > self.kappa", "mix_classes", "remix_against"),
    Mutant("mix/ratio.py", "other / (own + other)", "own / (own + other)", "mix_classes", "unimix_against"),
    Mutant("mix/pairing.py", "ends, place, right=True", "ends, place", "mix_classes", "no_share"),
    Mutant("mix/choice.py", "torch.where(which == number, new, old)", "torch.where(which != number, new, old)", "mix_choice", "against_a_loop"),
    Mutant("mix/choice.py", "return self if epoch in", "return self._off if epoch in", "mix_choice", "fractions"),
    Mutant("mix/regmixup.py", "zip((one, 1 - one), ", "zip((1 - one, one), ", "mix_parts", "regmixup_is"),
    Mutant("training/batches.py", "mix.at(epoch, epochs).draw", "mix.draw", "probe_mixed", "window"),
    Mutant("mix/blend.py", "_total([w**2 for w in weights]).sqrt()", "_total([w**2 for w in weights])", "mix", "energies"),
    Mutant("mix/blend.py", "weight * deviation if j != k else weight", "weight * deviation if j == k else weight", "mix", "energies"),
    Mutant("mix/blend.py", "torch.lerp(parts[1].to(dtype), parts[0].to(dtype)", "torch.lerp(parts[0].to(dtype), parts[1].to(dtype)", "mix", "torchvision"),
    Mutant("mix/masked.py", ".random(len(lam)) < self.p", ".random(len(lam)) <= self.p / 2", "mix_masks", "probability"),
    Mutant("mix/masked.py", "pixels = torch.where((first == second).view(-1, 1, 1, 1), 1.0, pixels)", "pass", "mix_masks", "own_partner"),
    Mutant("mix/masked.py", "weight = pixels.sum((1, 2, 3)) / (self.size[0] * self.size[1])", 'weight = pixels[:, 0, 0, 0]', "mix_masks", "mean_of_the_pixels"),
    Mutant("mix/masked.py", "np.repeat(values, unit, axis=0)[:rows]", "np.tile(values.T, unit).T[:rows]", "mix_masks", "shares_a_mask"),
    Mutant("mix/masked.py", "draws[name].index_select(0, second)", "draws[name]", "mix_masks", "saliencymix"),
    Mutant("mix/masked.py", "whole=not self.external", "whole=True", "mix_masks", "saliencymix"),
    Mutant("mix/mask.py", "half = sides // 2", "half = (sides + 1) // 2", "mix_masks", "papers_code"),
    Mutant("mix/mask.py", "rng.random((len(lam), 2)) * (size - sides + 1)", "rng.random((len(lam), 2)) * (size - sides)", "mix_masks", "inside"),
    Mutant("mix/mask.py", "np.maximum(frequency, 1 / max(size))", "np.maximum(frequency, 1 / min(size))", "mix_masks", "fourier"),
    Mutant("mix/mask.py", "(real + 1j * imaginary)", "real", "mix_masks", "fourier"),
    Mutant("mix/mask.py", "% patch.unsqueeze(1)", "", "mix_masks", "grids"),
    Mutant("mix/mask.py", "return 1 - (lines[0]", "return 0 + (lines[0]", "mix_masks", "gaussians"),
    Mutant("mix/mask.py", "source = place * length // (end", "source = place * length // (1 + end", "mix_masks", "resiz"),
    Mutant("mix/saliency.py", "logarithm - smooth", "logarithm", "mix_masks", "residual"),
    Mutant("mix/ricap.py", "size - crops + 1", "size - crops", "mix_ricap", "crops_are_inside or loop"),
    Mutant("mix/ricap.py", "part = 2 * lower + right.long()", "part = lower + 2 * right.long()", "mix_ricap", "loop"),
    Mutant("plan/classification.py", "if not wrong_kind:\n        errors += _planes", "if wrong_kind:\n        errors += _planes", "mix_masks", "refused"),
    Mutant("augment.py", "return images.masked_fill(hidden, 0)", "return images.masked_fill(hidden, 1)", "augment", "cutout"),
    Mutant("augment.py", "(distance >= -half) & (distance < half)", "(distance >= -half) & (distance <= half)", "augment", "cutout"),
    Mutant("mix_layer.py", "rng.integers(len(self.layers)", "rng.integers(max(1, len(self.layers) - 1)", "mix_layer", "drawn_equally"),
    Mutant("training/network.py", "if self.layer == layer and self.blend is not None else None", "if self.blend is not None else None", "mix_layer", "by_hand"),
    Mutant("training/network.py", "blending.layer = blending.blend = None", "blending.layer = layer", "mix_layer", "after_an_exception and small_cnn"),
    Mutant("labels.py", "total = total + weight * loss_of(labels)", "total = total + loss_of(labels)", "loss", "against_a_loop"),
    # --- losses ---
    Mutant("loss/affinity.py", "F.relu(self.margin + outputs - label_affinity)", "F.relu(self.margin - outputs + label_affinity)", "loss", "margin_tables"),
    Mutant("loss/affinity.py", "return hinge.scatter(1, y.unsqueeze(1), 0.0).sum(1)", "return hinge.sum(1)", "loss", "margin_tables"),
    Mutant("loss/affinity.py", "(squared - squared.mean()).square().mean()", "squared.var()", "loss", "diversity"),
    Mutant("loss/affinity.py", ".amin(2) / self.sigma", ".amax(2) / self.sigma", "loss", "head_against_a_loop"),
    Mutant("loss/affinity.py", "return self.weight * self.affinity.penalty(head.affinity)", "return self.affinity.penalty(head.affinity)", "loss", "joint_head"),
    Mutant("loss/focal.py", "else -self.weights[y] * focus * log_p_y", "else -focus * log_p_y", "loss", "against_a_loop"),
    Mutant("loss/cross_entropy.py", "counts.sum() / (len(counts) * counts)", "counts.max() / counts", "loss", "class_weights"),
    Mutant("loss/cross_entropy.py", "unequal * len(counts) / unequal.sum()", "unequal", "loss", "effective_number"),
    Mutant("loss/ldam.py", "(class_counts.min() / class_counts) ** 0.25", "(class_counts.min() / class_counts) ** 0.5", "loss", "ldams_margins"),
    Mutant("loss/ldam.py", "y.unsqueeze(1), -margin)", "y.unsqueeze(1), margin)", "loss", "against_a_loop and ldam"),
    Mutant("loss/logit_adjustment.py", "adjusted = outputs + self.offsets", "adjusted = outputs - self.offsets", "loss", "against_a_loop and logit"),
    Mutant("loss/class_dependent_temperatures.py", "outputs / self.temperatures", "outputs * self.temperatures", "loss", "against_a_loop and temperatures"),
    Mutant("loss/label_aware_smoothing.py", '"convex": 1 - np.cos(angle)', '"convex": 1 - np.sin(angle)', "loss", "smoothing_of_given"),
    Mutant("loss/cross_entropy.py", "F.kl_div(outputs.log_softmax(1), target,", "F.kl_div(outputs.log_softmax(1), target.clamp(min=0.01),", "loss", "kl_"),
    # --- data, sampling, augmentation ---
    Mutant("subset.py", "return np.sort(np.concatenate(chosen))", "return np.concatenate(chosen)", "selection", "every_subset"),
    Mutant("imbalance.py", "round(self.n * train_per_test)", "round(self.n)", "selection", "minority"),
    Mutant("imbalance.py", "self.ratio**-exponent + 1e-9", "self.ratio**-exponent", "selection", "exact_quotients"),
    Mutant("imbalance.py", "shuffler, shuffled = np.random.RandomState(0)", "shuffler, shuffled = np.random.RandomState(1)", "selection", "global_generator"),
    Mutant("model/cifar_resnet.py", "0, new // 2, new - new // 2)", "0, 0, new)", "model", "cifar_resnet"),
    Mutant("probe/tau_normalisation.py", "products / lengths**tau", "products * lengths**tau", "probe_long_tail", "tau"),
    Mutant("probe/logit_adjusted.py", "outputs - tau * log_share", "outputs + tau * log_share", "probe_long_tail", "logit"),
    Mutant("probe/nearest_class_mean.py", "distances.argmin(1)", "distances.argmax(1)", "probe_long_tail", "nearest"),
    Mutant("imbalance.py", "ranks / max(1, num_classes - 1)", "ranks / num_classes", "selection", "published"),
    Mutant("sampling.py", "rng.choice(members, rest, replace=False)", "members[:rest]", "selection", "sampling"),
    Mutant("label_noise.py", "rng.integers(1, num_classes", "rng.integers(0, num_classes", "selection", "noise or wrong_labels"),
    Mutant("augment.py", 'left = torch.where(draws["flip"], 2 * s - left, left)', "left = left + 0", "augment", "standard_against"),
    Mutant("training/data.py", "x = (x - x.mean(1, keepdim=True))", "x = (x - x.mean())", "selection", "naive_one"),
    # --- streams, budget, schedule ---
    Mutant("streams.py", "counter=np.array([0, 0, 0, index]", "counter=np.array([index, 0, 0, 0]", "streams", "overlap or golden"),
    Mutant("streams.py", "restore.callback(torch_generator.set_state, torch_generator.get_state())", "torch_generator.get_state()", "streams", "global_generators or exception"),
    Mutant("training/budget.py", " and not (rest == 1 and whole > 0)", "", "budget", "images"),
    Mutant("training/budget.py", "return step % self.interval == 0 or step == self.steps", "return step % self.interval == 0", "budget", "images"),
    Mutant("training/budget.py", "return epochs * self.used + min(", "return epochs * self.rows + min(", "budget", "images"),
    Mutant("schedule.py", "math.ceil(round(milestone * unit, 6))", "math.ceil(milestone * unit)", "schedule", "binary_fractions"),
    Mutant("schedule.py", "reached = step + 1 if", "reached = step if", "schedule", "warm_up"),
    Mutant("schedule.py", "(step // steps_per_epoch + 1) * steps_per_epoch", "step // steps_per_epoch * steps_per_epoch", "schedule", "ldams_code"),
    Mutant("schedule.py", "max(1.0, total_steps - start)", "max(1.0, total_steps)", "schedule", "curve or cosine or warm"),
    # --- the loop, a stop and going on ---
    Mutant("train.py", "losses.mean() + loss.penalty(network.head)", "losses.mean()", "minute", "has_the_numbers and affinity"),
    Mutant("train.py", "loss_sum.zero_()", "loss_sum.mul_(1)", "minute", "has_the_numbers and none"),
    Mutant("train.py", "optimizer.zero_grad(set_to_none=True)", "optimizer.defaults", "minute", "has_the_numbers and none"),
    Mutant("training/course.py", "set_rate(optimizer, settings.rate)", "set_rate(optimizer, self.rate)", "minute", "has_the_numbers and layer"),
    Mutant("training/batches.py", 'streams.generator(seed, "order", epoch)', 'streams.generator(seed, "order", 0)', "minute", "has_the_numbers and none"),
    Mutant("training/batches.py", 'streams.generator(seed, "mix_layer", epoch)', 'streams.generator(seed, "mix_layer", 0)', "minute", "has_the_numbers and layer"),
    Mutant("training/session.py", 'saved["step"], saved["seconds"], saved["rows"]', 'saved["step"], saved["seconds"], saved["rows"][:0]', "minute", "stopped"),
    Mutant("training/session.py", "load_state(part, saved[name])", "part.state_dict()", "minute", "stopped"),
    Mutant("training/checkpoint.py", "if hashlib.sha256(content[:-32]).digest() != content[-32:]:", "if not content:", "checkpoint", "flipped_byte"),
    Mutant("training/checkpoint.py", "if made_by.get(name) != self._made_by[name]]", "if name not in made_by]", "checkpoint", "made_by_something_else"),
    Mutant("evaluate.py", "total.item() / len(part)", "total.item()", "minute", "has_the_numbers and none"),
    Mutant("metrics.py", "true, predicted = confusion.sum(axis=1), confusion.sum(axis=0)\n    total", "true, predicted = confusion.sum(axis=0), confusion.sum(axis=1)\n    total", "metrics", "scikit or worked"),
    Mutant("metrics.py", "values[-10:]", "values[-9:]", "report", "selection_rules"),
    # --- identity, grids, what is refused, outcomes ---
    Mutant("plan/identity.py", 'if config["steps"] is not None:\n        config["epochs"] = None', 'if config["steps"] is None:\n        config["epochs"] = None', "identity", "steps_rules"),
    Mutant("plan/identity.py", "if not uses_alpha:", "if uses_alpha:", "identity", "alpha_counts"),
    Mutant("plan/identity.py", "int(value) if isinstance(value, float) and value.is_integer() else value", "value", "experiments_run_ids", "keeps_the_run_id"),
    Mutant("spec/grid.py", "everywhere=key in root)", "everywhere=True)", "grid", "new_value or known_ones"),
    Mutant("spec/grid.py", "[{**common, **cell} for cell in grid", "[{**cell, **common} for cell in grid", "grid", "settings_come_before"),
    Mutant("build/__init__.py", "if not within(module_name, admitted):", "if not module_name:", "build", "nobody_named"),
    Mutant("plan/coerce.py", "if base is int and isinstance(value, float) and value.is_integer():", "if base is None:", "typed", "whole_number"),
    Mutant("sweeping/one.py", "if (state.over or left) and", "if state.over and", "minute", "sweeps"),
    Mutant("training/reader.py", 'return self.outcome in ("finished", "diverged")', 'return self.outcome == "finished"', "train", "diverging"),
    # --- statistics, verdicts, reports ---
    Mutant("reporting/stats.py", "min(1.0, (len(ps) - rank) * ps[index])", "min(1.0, len(ps) * ps[index])", "report_stats", "holm"),
    Mutant("reporting/stats.py", "largest = max(largest, min(", "largest = max(0.0, min(", "report_stats", "holm"),
    Mutant("reporting/stats.py", "for value in values) / (len(values) - 1))", "for value in values) / len(values))", "report_stats", "students"),
    Mutant("reporting/stats.py", "stdtrit(len(values) - 1, (1 + LEVEL) / 2)", "stdtrit(len(values) - 1, LEVEL)", "report_stats", "students"),
    Mutant("reporting/stats.py", "special.bdtr(k - 1, n, 0.5)", "special.bdtr(k - 2, n, 0.5)", "report_stats", "order_statistics"),
    Mutant("reporting/stats.py", "(1 - LEVEL) / (2 * tests)", "(1 - LEVEL) / 2", "report_stats", "power_stated"),
    Mutant("reporting/verdicts.py", "return SUPPORTED if self.supporting < self.opposing else CONTRADICTED", "return SUPPORTED", "verdicts", "sign_test"),
    Mutant("reporting/verdicts.py", "inside, outside = max(above_low, below_high)", "inside, outside = min(above_low, below_high)", "verdicts", "equivalence"),
    Mutant("reporting/verdicts.py", "supporting = max(evidence.supporting for", "supporting = min(evidence.supporting for", "verdicts", "best or rival"),
    Mutant("reporting/verdicts.py", "return 0.5**n if all_of_them", "return 0.5 ** (n - 1) if all_of_them", "verdicts", "same_number"),
    Mutant("reporting/latex.py", "return cut.translate(_COMMANDS)", "return cut", "report_golden", "kept_runs"),
    Mutant("reporting/markdown.py", "escape(sanitize(label(text)), quote=False)", "sanitize(label(text))", "report", "test_hostile_names_stay_text"),
    Mutant("reporting/page/__init__.py", '.replace("<", "\\\\u003c")', "", "page", "no_markup"),
]  # fmt: skip


def copy_project(copy: Path) -> None:
    """The project in a folder, with what is only read as links."""
    for path in ROOT.iterdir():
        if path.name in LINKED:
            (copy / path.name).symlink_to(path)
        elif path.is_dir() and not path.name.startswith("."):
            shutil.copytree(path, copy / path.name, ignore=shutil.ignore_patterns("__pycache__"))
        elif path.is_file():
            shutil.copy(path, copy)
    subprocess.run([sys.executable, "-m", "compileall", "-q", "mixexp", "tests"], cwd=copy, check=False)


def tested(copy: Path, files: list[str], words: str) -> int:
    """pytest's exit code, from a fork that imports the copy's mixexp."""
    if number := os.fork():
        return os.waitstatus_to_exitcode(os.waitpid(number, 0)[1])
    code = 3
    try:
        os.chdir(copy)
        sys.path[0] = os.environ["PYTHONPATH"] = str(copy)
        sys.dont_write_bytecode = True
        silent = os.open(os.devnull, os.O_WRONLY)
        if "-v" not in sys.argv:
            os.dup2(silent, 1)
            os.dup2(silent, 2)
        import pytest

        paths = [f"tests/test_{name}.py" for name in files]
        code = pytest.main(
            ["-p", "no:cacheprovider", "-p", "no:xdist", "-o", "addopts=", "-x", "-q", *paths, "-k", words]
        )
    finally:
        os._exit(int(code))


def tried(copy: Path, mutant: Mutant, count: int) -> str:
    """What becomes of a mutant, in a word."""
    path = copy / "mixexp" / mutant.file
    whole, times = path.read_text(encoding="utf-8"), path.stat()
    if whole.count(mutant.line) != 1:
        return f"GONE: its line is there {whole.count(mutant.line)} times"
    path.write_text(whole.replace(mutant.line, mutant.fault), encoding="utf-8")
    os.utime(path, (times.st_mtime + count, times.st_mtime + count))  # not the time that compiled code is of
    code = tested(copy, [mutant.files], mutant.words)
    path.write_text(whole, encoding="utf-8")
    os.utime(path, (times.st_atime, times.st_mtime))
    return {0: "SURVIVED", 1: "caught"}.get(code, f"BROKEN: pytest ended with {code}")


def main() -> int:
    """Try the mutants whose files have the words of the command line in their names; 1 where any is not caught."""
    asked = [word for word in sys.argv[1:] if not word.startswith("-")]
    chosen = [mutant for mutant in MUTANTS if not asked or any(word in mutant.file for word in asked)]
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    for module in IMPORTED:  # once for all forks
        importlib.import_module(module)
    bad = 0
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        copy_project(copy)
        for files in dict.fromkeys(mutant.files for mutant in chosen) if "-s" not in sys.argv else ():
            words = " or ".join(f"({mutant.words})" for mutant in chosen if mutant.files == files)
            if code := tested(copy, [files], words):
                print(f"tests/test_{files}.py fails without a fault: pytest ended with {code}", flush=True)
                bad += 1
        for count, mutant in enumerate(chosen, start=1):
            word = tried(copy, mutant, count)
            bad += word != "caught"
            print(f"{word:<9} {mutant.file}: {mutant.line.splitlines()[0].strip()[:90]}", flush=True)
    print(f"{len(chosen)} mutants, {bad} not caught")
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())

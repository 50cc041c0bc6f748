"""README.md and docs/: every block of code is run or checked, what it shows comes out, every link leads somewhere, and
the README keeps its order.

A block is run as it stands where that takes a second; where it would train for minutes, its words are composed and
checked against their schemas, which is all that can be wrong with them. A block that neither can be done with fails.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import shlex
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import yaml
from PIL import Image
from running import command, trained
from test_docs_examples import MIX, save

from mixexp.plan.checks import _schema_errors
from mixexp.plan.compose import compose
from mixexp.plan.options import options
from mixexp.plan.overrides import parse, values
from mixexp.plan.space import rewritten
from mixexp.project import project
from mixexp.settings import CONF, OPTIONAL
from mixexp.spec.claims import claim_problems, edition_problems

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
ELSEWHERE = {
    r"python3 -m venv .venv && .venv/bin/pip install -q -e \S+( && .venv/bin/(mixexp|pytest) .*)?": ".ci/run",
    r"source .venv/bin/activate": ".ci/run",
    r"pytest my_conf/test_\w+_mix.py": "tests/test_new.py",
    r"pytest -n0 -k \w+ tests/test_mix.py tests/test_build.py tests/test_structure.py": "tests/test_own_option.py",
    r"mixexp report outputs/long_tail --baseline cross_entropy": "tests/test_docs_examples.py",
}
"""Commands of other programs, and those that need runs of their own, as they stand in blocks, and who runs them."""
RUNS = {"plan", "reproduce", "log", "search", "-m"}
"""Commands whose words are composed: they train, or need data sets that not every machine has."""
FOLDERS = ("small_data", "first", "mine", "a", "b", "old", "new", "try", "long_tail", "edited")
"""Folders of runs that pages name, each a copy of one small sweep."""
RUN = "1a2b3c4d5e6f"
"""The run that pages name."""


class Block(NamedTuple):
    """A block of code; shown: the text block behind it, empty where there is none; before: the sentence before it."""

    page: Path
    line: int
    language: str
    text: str
    shown: str
    before: str

    @property
    def name(self) -> str:
        """Where it is."""
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks_of(page: Path) -> Iterator[Block]:
    """The blocks of a page."""
    text = page.read_text(encoding="utf-8")
    found = list(re.finditer(r"^```(\w*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE))
    assert text.count("\n```") == 2 * len(found), f"{page}: a block without an end"
    for place, match in enumerate(found):
        following = found[place + 1] if place + 1 < len(found) else None
        behind = following is not None and following[1] == "text" and not text[match.end() : following.start()].strip()
        before = text[: match.start()].rstrip().rpartition("\n\n")[2]
        line = text[: match.start()].count("\n") + 1
        yield Block(page, line, match[1], match[2], following[2] if behind else "", before)


BLOCKS = [block for page in PAGES for block in blocks_of(page)]


def of(language: str) -> pytest.MarkDecorator:
    """The blocks in one language."""
    chosen = [block for block in BLOCKS if block.language == language]
    return pytest.mark.parametrize("block", chosen, ids=[block.name for block in chosen])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working directory with what pages name: runs, a run that kept its weights, pictures, tables and own code."""
    root = tmp_path_factory.mktemp("docs")
    small = ("model.width=2", "subset=head", "epochs=1", "evaluations=1", "speed=eager", "device=cpu")
    probed = ("imbalance=minority", "imbalance.n=10", "probe=by_class", "keep=last")
    for number, (mix, seed, n) in enumerate(
        (m, s, n) for m in ("none", "mixup") for s in range(3) for n in (500, 1000)
    ):
        words = (f"mix={mix}", f"seed={seed}", f"subset.n={n}", "name=small_data", "data_seed=0")
        trained(root / "outputs" / "small_data" / f"{number:012x}", *small, *probed, *words)
    for name in FOLDERS[1:]:
        shutil.copytree(root / "outputs" / "small_data", root / "outputs" / name)
    for run in (root / "outputs" / "mine").glob("*/config.yaml"):
        rows = ("step,scaling,ece,nll", "4,none,0.1,0.5", "4,fitted,0.05,0.4")
        (run.parent / "probe_calibration.csv").write_text("\n".join(rows) + "\n")
    for name in ("runs", "kept"):
        shutil.copytree(root / "outputs" / "small_data" / f"{0:012x}", root / "outputs" / name / RUN)
    pixels = Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8))
    for name in ("photos/cat/1.png", "photos/dog/1.png", "more/one.png", "picture.png"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        pixels.save(root / name)
    (root / "my.yaml").write_text("table: {decimals: 3}\n")
    (root / "my_losses.py").write_text("")
    (root / "my_mixes.py").write_text(MIX)
    for name, text in {"mix/neighbour": "defaults: [mixup]\n", "loss/mine": "_target_: my_losses.Mine\n"}.items():
        for conf in ("conf", "my_conf"):
            (root / conf / name).parent.mkdir(parents=True, exist_ok=True)
            (root / conf / f"{name}.yaml").write_text(f"# Mine.\n{text}")
    save("experiments.md", root)
    for name in ("box_mix", "my_balanced_softmax"):  # the whole classes are trained in test_docs_examples.py
        place = root / "my_conf" / ("mix" if name == "box_mix" else "loss") / f"{name}.yaml"
        place.write_text(f"# Mine.\ndefaults: [{'mixup' if name == 'box_mix' else 'cross_entropy'}]\n")
    return root


@pytest.fixture(autouse=True)
def there(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The working directory; figures, which take most of a report's time and have tests of their own, are left out."""
    monkeypatch.chdir(folder)
    monkeypatch.delenv("MIXEXP_DATA", raising=False)
    monkeypatch.setattr("mixexp.reporting.write._figures", lambda *_, **__: ([], []))


def commands_in(block: Block) -> list[list[str]]:
    """The words of each command of a block, without comments."""
    lines = [line for line in block.text.replace("\\\n", " ").splitlines() if line.strip()]
    return [words for line in lines if (words := shlex.split(line, comments=True))]


def composed(words: Sequence[str]) -> None:
    """Compose the first cell of a command and check each of its settings; fails where the command would be refused."""
    words, folders = list(words), [CONF]
    while "--config-dir" in words:
        place = words.index("--config-dir")
        folders.append(Path(words[place + 1]))
        del words[place : place + 2]
    if words and "=" not in words[0] and words[0] != "-m":
        words = words[words[0] in RUNS :]
        names = [word for word in words if "=" not in word]
        words = [
            *(f"experiment={name}" for name in names if name in options(folders)["experiment"]),
            *words[len(names) :],
        ]
    # test_launchers.py and test_json.py run these
    words = [word for word in words if word not in ("-m", "--json") and not re.match(r"\+?hydra[./]launcher", word)]
    groups = options(folders)
    parsed = parse([rewritten(override) for override in parse(words, groups)], groups)
    first = [
        f"{override.key_or_group}={next(text for text in values(override, groups) if text != 'null')}"
        if override.is_sweep_override()
        else override.input_line
        for override in parsed
        if not override.is_interval_sweep()  # a search draws from it: tests/test_search.py
    ]
    known = options([*folders, Path("my_conf")])  # the README's own mix lies in the checkout of who follows it
    for override in parsed:
        if override.key_or_group in groups and override.is_sweep_override():
            none = {"null"} if override.key_or_group in OPTIONAL else set()
            assert set(values(override, groups)) - none <= set(known[override.key_or_group]), override.input_line
    config = compose(first, folders[1:])
    assert not _schema_errors(config), first


def lines_of(shown: str) -> re.Pattern[str]:
    """What a text block shows, in which `...` stands for anything."""
    return re.compile(re.escape(shown.strip()).replace(re.escape("..."), ".*"), re.DOTALL)


@of("bash")
def test_a_command_runs_or_is_composed(block: Block, capsys: pytest.CaptureFixture[str]) -> None:
    said = ""
    for words in commands_in(block):
        if any(re.fullmatch(known, shlex.join(words).replace("'&&'", "&&")) for known in ELSEWHERE):
            continue
        assert words[0] == "mixexp", f"{block.name}: nobody runs {' '.join(words)}"
        words = words[1:]
        if block.shown:
            said += command(capsys, *words)[1]
        elif words[0] == "data":
            assert set(words[1:]) <= set(options([CONF])["dataset"])
        elif words[0] in RUNS or "=" in words[0] or words[0].startswith("--config-dir"):
            composed(words if words[0] != "log" else [word for word in words[1:] if "=" in word])
        elif words[0] == "export":
            assert words[1:] == [f"outputs/kept/{RUN}", "--to", "onnx"] or words[1:] == [
                f"outputs/runs/{RUN}",
                *words[2:],
            ]
        else:
            code, text = command(capsys, *words)
            assert code in (0, None), f"{block.name}: {' '.join(words)}\n{text}"
    if block.shown:
        assert lines_of(block.shown).match(said.strip()), f"{block.name} shows\n{block.shown}and this came out\n{said}"


class Reduced:
    """mixexp for a block of Python: what would train for minutes trains for one epoch, or reads runs that are there."""

    def __init__(self, module: Any) -> None:
        self._module = module

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)

    def run(self, **settings: Any) -> Any:
        """The run, with less of everything."""
        return self._module.run(**settings, epochs=1, **{"model.width": 2})

    def sweep(self, **settings: Any) -> Any:
        """Runs that are there; each axis and setting is composed."""
        axes = {key: value[0] if isinstance(value, list | range) else value for key, value in settings.items()}
        composed([f"{key}={value}" for key, value in axes.items()])
        return self._module.runs("outputs/small_data")


@of("python")
def test_a_block_of_python_runs(block: Block) -> None:
    named = re.findall(r"`([\w/]+\.py)`", block.before)
    if named:  # the file that the sentence before names
        compile(block.text, named[-1], "exec")
        known = {"mixexp/mix/neighbour.py": "tests/test_own_option.py", "my_mixes.py": "", "my_losses.py": ""}
        assert named[-1] in known, f"{block.name}: nobody runs {named[-1]}"
        return
    if "IPython" in block.text:  # tests/test_api.py runs it in a notebook
        return
    import mixexp as module

    text = block.text.replace("import mixexp\n", "")
    exec(compile(text, block.name, "exec"), {"mixexp": Reduced(module)})


@of("yaml")
def test_a_block_of_yaml_is_what_its_place_takes(block: Block, capsys: pytest.CaptureFixture[str]) -> None:
    content = yaml.safe_load(block.text)
    if "config_dirs" in content:
        Path("mixexp.yaml").write_text(block.text)
        with contextlib.ExitStack() as after:
            after.callback(os.unlink, "mixexp.yaml")
            assert len(project().config_dirs) == len(content["config_dirs"])
    elif "_target_" in content or {"defaults", "pairing"} <= content.keys():
        assert block.text.startswith("# ") and "# Source: " in block.text
    elif content.keys() == {"claims"}:
        assert not claim_problems(content["claims"], editions={"laptop"})
    elif content.keys() == {"editions"}:
        assert not edition_problems(content["editions"])
    elif {"table", "claims", "hydra"} <= content.keys():
        assert Path("conf/experiment/few_images.yaml").read_text() == block.text  # test_docs_examples.py runs it
    else:
        assert {"table", "rows", "metric"} & content.keys(), f"{block.name}: nobody reads this"
        Path("shown.yaml").write_text(block.text)
        code, text = command(capsys, "report", "outputs/mine", "--table", "shown.yaml")
        assert code in (0, None), f"{block.name}\n{text}"


def test_blocks_are_in_languages_that_are_checked() -> None:
    assert {block.language for block in BLOCKS} == {"bash", "python", "yaml", "text"}


def test_the_readme_is_short_and_its_first_blocks_are_the_set_up_and_the_tests() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert readme.count("\n") <= 130
    first, second = list(blocks_of(ROOT / "README.md"))[:2]
    assert first.text.strip().endswith(".venv/bin/mixexp reproduce quickstart")
    assert ".venv/bin/pytest" in second.text


def test_the_readme_shows_the_table_that_the_quickstart_prints(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cells = [("mix=none",)] + [
        ("mix=mixup", f"mix_layer={layer}", f"alpha={alpha}")
        for layer in ("input", "final")
        for alpha in (0.04, 0.2, 1, 5)
    ]
    for number, words in enumerate(cells):
        run = trained(tmp_path / f"{number:012x}", "experiment=quickstart", "epochs=1", "speed=eager", *words)
        config = run.path / "config.yaml"
        if number == 0:  # a command records no alpha where nothing uses it
            config.write_text(re.sub(r"^alpha: .*$", "alpha: null", config.read_text(), flags=re.MULTILINE))
    code, printed = command(capsys, "report", tmp_path)
    assert code in (0, None), printed
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    tables = [re.search(r"^\| alpha \|.*?\n\n", text, re.DOTALL | re.MULTILINE)[0] for text in (readme, printed)]
    shown, printed = (
        re.sub(r"\d\.\d{4}(?: ± \d\.\d{4})? \(\d\)", "number", table.replace("*", "")) for table in tables
    )
    assert shown == printed


def test_the_readme_names_every_experiment_once() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    table = readme.partition("## Papers and experiments")[2].partition("\n## ")[0]
    named = [
        name for row in table.splitlines() if row.count("|") == 3 for name in re.findall(r"`(\w+)`", row.split("|")[2])
    ]
    assert sorted(named) == sorted(options([CONF])["experiment"])


@functools.cache
def anchors(page: Path) -> set[str]:
    """The places of a page that a link can name: headings, as sites and GitHub spell them, and ids."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    spelled = {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}
    return spelled | set(re.findall(r'<a id="([^"]+)">', text))


@pytest.mark.parametrize("page", PAGES, ids=[page.name for page in PAGES])
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"^```.*?^```$|`[^`\n]*`", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith("http"):
            continue
        name, _, anchor = target.partition("#")
        place = (page.parent / name).resolve() if name else page
        assert place.exists(), f"{page.name}: {target}"
        assert page.parent == ROOT or place.is_relative_to(ROOT / "docs"), f"{page.name}: {target} is not in the site"
        assert not anchor or anchor in anchors(place), f"{page.name}: {target}"

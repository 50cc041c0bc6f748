"""A repository that reads each file once gives Hydra's own compositions, in other folders too."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hydra
import pytest
from hydra._internal.sources_registry import SourcesRegistry
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import MissingConfigException
from hydra.plugins.config_source import ConfigSource
from omegaconf import OmegaConf

from mixexp.plan.repository import read_once
from mixexp.settings import CONF

WORDS = [
    (),
    ("dataset=cifar10", "loss=affinity", "mix=bc_plus", "optimizer=adam", "probe=fgsm"),
    ("experiment=small_data", "subset.n=500"),
    ("experiment=mixup_gan",),
    ("experiment=affinity_mnist", "edition=laptop", "loss=focal"),
]


def composition(words: tuple[str, ...]) -> tuple[Any, ...]:
    config = hydra.compose("config", overrides=list(words), return_hydra_config=True)
    return OmegaConf.to_container(config, resolve=False), OmegaConf.is_struct(config), OmegaConf.to_yaml(config)


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The files that Hydra reads from our folders, with a loader that reads each once."""
    paths: list[str] = []
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        files = SourcesRegistry.instance().resolve("file")
        load = files.load_config

        def noted(source: ConfigSource, config_path: str) -> Any:
            paths.append(f"{source.path}/{config_path}")
            return load(source, config_path)

        monkeypatch.setattr(files, "load_config", noted)
        read_once(GlobalHydra.instance().config_loader())
        yield paths


def test_each_file_is_read_once_and_the_compositions_are_hydras_own(reads: list[str]) -> None:
    ours = [composition(words) for words in (*WORDS, *reversed(WORDS))]
    assert len(reads) == len(set(reads)) > 30
    GlobalHydra.instance().clear()
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        assert ours == [composition(words) for words in (*WORDS, *reversed(WORDS))]
    assert len(reads) > 2 * len(set(reads)), "Hydra alone reads them each time"


def test_a_search_path_leads_one_composition_to_other_files_and_no_other(reads: list[str], tmp_path: Path) -> None:
    own = ("loss=own", f"hydra.searchpath=[{tmp_path}]")
    (tmp_path / "loss").mkdir()
    (tmp_path / "loss" / "own.yaml").write_text("_target_: mine.First\n")
    plain = composition(("loss=focal",))
    assert composition(own)[0]["loss"] == {"_target_": "mine.First"}
    with pytest.raises(MissingConfigException, match="loss/own"):
        composition(("loss=own",))
    (tmp_path / "loss" / "own.yaml").write_text("_target_: mine.Second\n")
    assert composition(own)[0]["loss"] == {"_target_": "mine.Second"}
    assert composition(("loss=focal",)) == plain


def test_a_changed_composition_changes_no_later_one(reads: list[str]) -> None:
    before = hydra.compose("config", return_hydra_config=True)
    whole = OmegaConf.to_yaml(before)
    OmegaConf.set_struct(before, False)
    before.loss = None
    before.hydra.sweeper = None
    assert OmegaConf.to_yaml(hydra.compose("config", return_hydra_config=True)) == whole

"""Links in class folders: what they lead to counts, once, and what cannot be right is refused or noted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import wavfile

from mixexp.dataset.files import class_files
from mixexp.dataset.images import ImageFolder
from mixexp.dataset.sounds import ClassFolders, ListedTest, NumberedNames
from mixexp.errors import UserError, note


@pytest.fixture(autouse=True)
def notes_are_said_again() -> None:
    note.cache_clear()


def pictures(folder: Path, *names: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for k, name in enumerate(names):
        Image.new("L", (4, 4), k).save(folder / name)


def link(path: Path, target: Path | str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(target)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("a", "b"):
        pictures(tmp_path / "set" / name, "1.png", "2.png")
    return tmp_path / "set"


def names(root: Path) -> dict[str, list[str]]:
    return {
        name: [path.relative_to(root / name).as_posix() for path in paths]
        for name, paths in class_files(root, "image", {".png"}).items()
    }


def refusal(root: Path) -> str:
    with pytest.raises(UserError) as caught:
        class_files(root, "image", {".png"})
    return str(caught.value)


def test_linked_folders_are_followed_at_any_depth(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pictures(tmp_path / "pool" / "deep", "3.png", "4.png")
    pictures(tmp_path / "elsewhere", "5.png")
    link(tmp_path / "pool" / "deep" / "further", tmp_path / "elsewhere")
    link(root / "a" / "more", "../../pool")
    link(root / "c", tmp_path / "elsewhere2")
    pictures(tmp_path / "elsewhere2", "6.png", ".hidden.png")
    found = names(root)
    assert found["a"] == ["1.png", "2.png", "more/deep/3.png", "more/deep/4.png", "more/deep/further/5.png"]
    assert found["b"] == ["1.png", "2.png"] and found["c"] == ["6.png"]
    assert capsys.readouterr().err == ""


def test_a_whole_data_set_of_links_is_as_large_as_what_they_lead_to(root: Path, tmp_path: Path) -> None:
    pictures(tmp_path / "pool", *(f"p{k}.png" for k in range(20)))
    link(root / "a" / "pool", tmp_path / "pool")
    found = ImageFolder("", str(root), grey=True).load()
    assert len(found.train_labels) + len(found.test_labels) == 24, "as the issue had it: 4 of 24 were used"


def test_a_folder_that_several_links_lead_to_counts_once(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pictures(tmp_path / "pool" / "inner", "3.png")
    for name in ("x", "y"):
        link(root / "a" / name, tmp_path / "pool")
    link(root / "a" / "again", tmp_path / "pool" / "inner")
    assert names(root)["a"] == ["1.png", "2.png", "again/3.png"]
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("target", [".", "..", "../..", "../a"])
def test_a_loop_is_noted_and_not_followed(root: Path, target: str, capsys: pytest.CaptureFixture[str]) -> None:
    link(root / "a" / "inner" / "loop", Path("..") / target)
    assert names(root) == {"a": ["1.png", "2.png"], "b": ["1.png", "2.png"]}
    assert (
        capsys.readouterr().err == f"note: {root}: did not follow 1 links to a folder that they lie in: a/inner/loop\n"
    )


def test_two_folders_that_link_to_each_other_end(root: Path, tmp_path: Path) -> None:
    for one, other in (("p", "q"), ("q", "p")):
        pictures(tmp_path / one, f"{one}.png")
        link(tmp_path / one / "other", tmp_path / other)
    link(root / "a" / "p", tmp_path / "p")
    assert names(root)["a"] == ["1.png", "2.png", "p/other/q.png", "p/p.png"]


def test_a_file_counts_once_in_its_class_whatever_links_to_it(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    link(root / "a" / "0 first.png", "1.png")
    link(root / "a" / "own.png", root / "a" / "2.png")
    assert names(root)["a"] == ["1.png", "2.png"]
    assert (
        capsys.readouterr().err
        == f"note: {root}: left out 2 links to images that their class has already: a/0 first.png, a/own.png\n"
    )


def test_links_to_files_elsewhere_are_files(root: Path, tmp_path: Path) -> None:
    pictures(tmp_path / "store", "8f3a.png")
    link(root / "b" / "3.png", tmp_path / "store" / "8f3a.png")
    assert names(root)["b"] == ["1.png", "2.png", "3.png"]


def test_a_file_of_two_classes_is_noted(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    link(root / "b" / "3.png", root / "a" / "1.png")
    assert names(root)["b"] == ["1.png", "2.png", "3.png"]
    assert (
        capsys.readouterr().err
        == f"note: {root}: 1 images are in two classes, by links, and have two labels: b/3.png\n"
    )


@pytest.mark.parametrize("place", ["c", "b/inner/c"])
def test_a_folder_of_two_classes_is_refused(root: Path, place: str) -> None:
    link(root / place, root / "a")
    assert (
        refusal(root) == f"{root}: the classes a and {place[0]} have a folder in common, by links: {root}/a. "
        "What is in it would have two labels; remove one of the links."
    )


@pytest.mark.parametrize("place", ["a/3.png", "a/inner/folder", "c"])
@pytest.mark.parametrize("target", ["gone", "itself"])
def test_a_link_that_leads_nowhere_is_refused(root: Path, tmp_path: Path, place: str, target: str) -> None:
    link(root / place, root / place if target == "itself" else tmp_path / "gone")
    assert refusal(root) == f"{root}: 1 links lead nowhere: {place}. Mend or remove them."


def test_a_hidden_link_is_no_concern(root: Path, tmp_path: Path) -> None:
    link(root / "a" / ".cache", tmp_path / "gone")
    link(root / "a" / ".pool", tmp_path)
    assert names(root)["a"] == ["1.png", "2.png"]


def test_a_folder_that_cannot_be_read_is_named(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(folder: Path) -> None:
        raise PermissionError(13, "Permission denied", str(folder))

    monkeypatch.setattr("mixexp.dataset.files.os.scandir", forbidden)
    assert refusal(root) == f"{root}/a: cannot be read (Permission denied)."


def test_what_is_trained_on_and_tested_on_is_noted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pictures(tmp_path / "train" / "a", "1.png", "2.png")
    pictures(tmp_path / "train" / "b", "1.png", "2.png")
    pictures(tmp_path / "test" / "a", "9.png")
    link(tmp_path / "test" / "b", tmp_path / "train" / "b")
    assert len(ImageFolder("", str(tmp_path)).load().test_labels) == 3
    assert (
        capsys.readouterr().err
        == f"note: {tmp_path}: 2 images are in the training and, by links, in the test part: test/b/1.png,"
        " test/b/2.png\n"
    )


def test_a_test_folder_that_is_a_broken_link_is_said_to_be_one(tmp_path: Path) -> None:
    pictures(tmp_path / "train" / "a", "1.png", "2.png")
    link(tmp_path / "test", tmp_path / "gone")
    with pytest.raises(UserError, match=r"1 links lead nowhere: test\. Mend or remove them"):
        ImageFolder("", str(tmp_path)).load()


# --- sounds share the code ---


def sounds(folder: Path, *names: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        wavfile.write(folder / name, 8000, np.zeros(8, dtype=np.int16))


def test_sounds_behind_links_are_found(tmp_path: Path) -> None:
    sounds(tmp_path / "set" / "a", "1.wav", "2.wav")
    sounds(tmp_path / "pool" / "speaker", "3.wav")
    link(tmp_path / "set" / "a" / "pool", tmp_path / "pool")
    files = ClassFolders().find(tmp_path / "set")
    assert sorted(path.name for path in [*files.train.paths, *files.test.paths]) == ["1.wav", "2.wav", "3.wav"]
    for part in ("testing", "validation"):
        (tmp_path / "set" / f"{part}_list.txt").write_text("a/pool/speaker/3.wav\n" if part == "testing" else "")
    assert [path.name for path in ListedTest("train").find(tmp_path / "set").test.paths] == ["3.wav"]


def test_numbered_sounds_that_lead_nowhere_are_refused(tmp_path: Path) -> None:
    sounds(tmp_path, "0_ann_1.wav", "1_ann_1.wav", "1_ann_2.wav")
    link(tmp_path / "0_ann_2.wav", tmp_path / "gone.wav")
    with pytest.raises(UserError, match=r"1 links lead nowhere: 0_ann_2.wav. Mend or remove them"):
        NumberedNames([2]).find(tmp_path)

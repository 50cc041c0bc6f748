"""What libraries warn of is one line of the program's own, in every process."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
from commands import mixexp

from mixexp.errors import note, warnings_as_notes

LOUD = """
import warnings

from mixexp.augment import NoAugment


class Loud(NoAugment):
    def __init__(self) -> None:
        warnings.warn("this augmentation\\nis loud")
"""


@pytest.mark.parametrize(
    ("category", "place", "text", "line"),
    [
        (UserWarning, "/usr/lib/python3/site-packages/PIL/Image.py", "two\n  lines", "PIL: two lines"),
        (
            RuntimeWarning,
            "/usr/lib/python3/dist-packages/numpy/core/mean.py",
            "Mean of empty slice",
            "numpy: Mean of empty slice",
        ),
        (UserWarning, "/home/me/site-packages/six.py", "old", "six: old"),
        (UserWarning, "/home/me/my_loss.py", "a\x1b[31m colour", "my_loss: a\\u001b[31m colour"),
        (FutureWarning, "<string>", "soon", "<string>: soon"),
    ],
    ids=["PIL", "numpy", "one file", "own module", "no file"],
)
def test_a_warning_is_a_note(
    category: type[Warning],
    place: str,
    text: str,
    line: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    note.cache_clear()
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
    warnings_as_notes()
    warnings.simplefilter("always")
    for number in range(3):
        warnings.warn_explicit(text, category, place, number + 1)
    assert capsys.readouterr().err == f"note: {line}\n"


def test_runs_and_their_check_say_it_on_one_line(tmp_path: Path) -> None:
    (tmp_path / "loud_module.py").write_text(LOUD)
    words = (
        "augment._target_=loud_module.Loud",
        "trusted_modules=[loud_module]",
        "model.width=2",
        "epochs=1",
        "subset=head",
        "subset.n=30",
    )
    done = mixexp("-m", "seed=0", *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert [line for line in done.stderr.splitlines() if "loud" in line and "note" in line] == [
        "note: loud_module: this augmentation is loud"
    ]
    (log,) = tmp_path.glob("outputs/runs/*/log.txt")
    assert log.read_text() == "note: loud_module: this augmentation is loud\n"
    assert "Warning" not in done.stderr + log.read_text()

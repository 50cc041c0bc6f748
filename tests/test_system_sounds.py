"""The experiments on sounds, shrunken: what the loop makes of tones is what the papers say."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from running import config_of, rows_of, sounds, trained, write_tones
from torch import Tensor

from mixexp import train as loop
from mixexp.mix.blend import LoudnessBlend
from mixexp.training import data


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Tensor, Tensor, dict[str, Tensor]]]:
    """Of every training step, the batch before and after mixing, and the plan."""
    found: list = []
    real = loop.forward_blended

    def spy(network, images, layer, blend):
        found.append((images, blend(images), blend.__self__))
        return real(network, images, layer, blend)

    monkeypatch.setattr(loop, "forward_blended", spy)
    return found


def test_bc_sounds_trains_on_blends_in_which_each_sound_is_heard_as_its_label_says(tmp_path: Path, seen: list) -> None:
    words = (
        "experiment=bc_sounds",
        *sounds(),
        "loss=kl",
        "model=sound_cnn",
        "model.width=4",
        "augment=none",
        "epochs=1",
        "subset=head",
    )
    words += ("subset.n=64", "seed=0")
    heard = {}
    for mix in ("bc", "bc_sound"):
        seen.clear()
        trained(tmp_path / mix, *words, f"mix={mix}")
        ((images, blends, plan),) = seen
        first, second = (images[rows].flatten(1) for rows in plan.rows)
        factors = [10 ** (LoudnessBlend(8000).loudness(part) / 20) for part in (first, second)]
        columns = torch.stack([first, second], dim=2).double()
        shares = torch.linalg.lstsq(columns, blends.flatten(1).double()[:, :, None]).solution.squeeze(2)
        parts = [share * factor for share, factor in zip(shares.unbind(1), factors, strict=True)]
        r = plan.weights[0]
        heard[mix] = (parts[0] / sum(parts) - r).abs().mean().item()
        torch.testing.assert_close(plan.labels.to_one_hot(10).max(1).values, torch.maximum(r, 1 - r))
    assert heard["bc_sound"] < 1e-3
    assert heard["bc"] > 0.1, "plain mixing of sounds whose gains differ by up to 40 dB is heard otherwise"


def speech_commands(root: Path) -> list[str]:
    """The overrides for generated tones in the layout of the speech-commands set."""
    write_tones(root, classes=3, count=12, samples=1600, sample_rate=16000)
    for name, which in (("testing", (0, 1, 2)), ("validation", (3,))):
        (root / f"{name}_list.txt").write_text("".join(f"tone{c}/{k:02d}.wav\n" for c in range(3) for k in which))
    return [f"dataset.folder={root}", "dataset.seconds=0.1"]


@pytest.mark.parametrize(
    "small",
    [("model=lenet", "model.channels=[2,3]", "model.hidden=8"), ("model=vgg11", "model.width=2", "model.hidden=8")],
)
def test_mixup_speech_mixes_spectrograms_after_its_plain_epochs(
    tmp_path: Path, seen: list, small: tuple[str, ...]
) -> None:
    words = (
        "experiment=mixup_speech",
        *speech_commands(tmp_path / "commands"),
        *small,
        "alpha=0.2",
        "batch_size=6",
        "epochs=3",
        "seed=0",
    )
    config = config_of(*words, "mix=mixup_late", "mix.from_epoch=1")
    assert config["optimizer"]["lr"] == 3e-3 and config["choices"]["mix"] == "mixup_late"
    record = trained(tmp_path / "run", *words, "mix=mixup_late", "mix.from_epoch=1")
    _, splits = data.load(config["dataset"])
    assert splits.train_images.shape == (24, 1, 160, 11) and len(splits.test_images) == 9, (
        "the validation list is left out"
    )
    assert len(seen) == 12 and len(rows_of(record)) == 3
    for step, (images, blends, _) in enumerate(seen):
        assert torch.equal(images, blends) == (step < 4), "plain in the first epoch of four steps, blends after it"


def test_mixup_spoken_digits_has_the_same_course(tmp_path: Path, seen: list) -> None:
    root = tmp_path / "spoken_digits"
    write_tones(tmp_path / "tones", classes=2, count=12, samples=800)
    root.mkdir()
    for path in sorted((tmp_path / "tones").rglob("*.wav")):
        path.rename(root / f"{path.parent.name[-1]}_ann_{int(path.stem)}.wav")
    own = "dataset._target_=mixexp.dataset.sounds.SoundFolder"
    words = (
        "experiment=mixup_spoken_digits",
        own,
        f"data_dir={tmp_path}",
        "model=vgg11",
        "model.width=2",
        "batch_size=7",
        "epochs=3",
    )
    record = trained(tmp_path / "run", *words, "mix=mixup_late", "mix.from_epoch=2", "alpha=0.1", "seed=0")
    rates = [float(row["lr"]) for row in rows_of(record)]
    assert rates == pytest.approx([3e-3, 3e-4, 3e-5]), "divided by ten after each third"
    assert [torch.equal(images, blends) for images, blends, _ in seen] == [True] * 4 + [False] * 2

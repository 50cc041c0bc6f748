"""Sounds: reading WAV files, spectrograms, blending by loudness, shifts and the networks for them, against plain
numpy."""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from running import errors_of, option, sounds
from scipy import stats
from scipy.io import wavfile
from torch import Tensor

from mixexp.augment import Shift
from mixexp.build import build
from mixexp.dataset.sounds import ClassFolders, ListedTest, NumberedNames, SoundFolder, spectrogram
from mixexp.errors import UserError
from mixexp.mix import Mix
from mixexp.mix.blend import LoudnessBlend, a_weighting
from mixexp.plan.compose import compose
from mixexp.plan.identity import run_id
from mixexp.training.data import load

RATE = 8000


def tone(frequency: float, seconds: float = 0.1, rate: int = RATE, strength: float = 0.5) -> np.ndarray:
    return strength * np.sin(2 * np.pi * frequency * np.arange(round(seconds * rate)) / rate)


def write(path: Path, sound: np.ndarray, rate: int = RATE, dtype: Any = np.int16) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    scale = {np.uint8: 127, np.int16: 32767, np.int32: 2**31 - 1}.get(dtype, 1)
    wavfile.write(
        path,
        rate,
        (np.rint(sound * scale) + 128 * (dtype == np.uint8)).astype(dtype) if scale > 1 else sound.astype(dtype),
    )


def folder(root: Path, **changed: Any) -> SoundFolder:
    options = {
        "layout": ClassFolders(),
        "representation": "waveform",
        "sample_rate": RATE,
        "seconds": 0.1,
        "mean": [0.0],
        "std": [1.0],
    }
    return SoundFolder(str(root), ".", **{**options, **changed})


def refusal(made: SoundFolder) -> str:
    with pytest.raises(UserError) as caught:
        made.load()
    return str(caught.value)


# --- files ---


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int32, np.float32, np.float64])
@pytest.mark.parametrize("channels", [1, 2])
def test_every_sample_format_gives_the_same_sound(tmp_path: Path, dtype: Any, channels: int) -> None:
    wave = tone(440)
    both = wave if channels == 1 else np.stack([1.2 * wave, 0.8 * wave], axis=1)
    for name in ("a", "b"):
        for k in range(2):
            write(tmp_path / name / f"{k}.wav", both, dtype=dtype)
    found = folder(tmp_path).load()
    assert found.train_images.shape == (2, 1, 1, 800) and found.train_images.dtype == torch.float32
    assert found.classes == ("a", "b") and found.test_labels.tolist() == [0, 1]
    np.testing.assert_allclose(found.test_images[0, 0, 0], wave, atol=0.01 if dtype == np.uint8 else 1e-4)


def test_three_bytes_a_sample_are_read(tmp_path: Path) -> None:
    samples = np.array([0, 2**22, -(2**23), 2**23 - 1])
    body = b"".join(int(value).to_bytes(3, "little", signed=True) for value in samples)
    numbers = [(16, 4), (1, 2), (1, 2), (RATE, 4), (3 * RATE, 4), (3, 2), (24, 2)]
    form = b"fmt " + b"".join(value.to_bytes(size, "little") for value, size in numbers)
    chunks = b"WAVE" + form + b"data" + len(body).to_bytes(4, "little") + body
    for name in ("a/0", "a/1"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / f"{name}.wav").write_bytes(b"RIFF" + len(chunks).to_bytes(4, "little") + chunks)
    found = folder(tmp_path, seconds=4 / RATE).load()
    assert found.test_images.flatten().tolist() == pytest.approx([0, 0.5, -1, 1], abs=1e-6)


@pytest.mark.parametrize(("samples", "wanted"), [(3, 8), (4, 7), (8, 3), (7, 4), (5, 5), (9, 1), (1, 2)])
def test_a_sound_is_padded_or_cut_about_its_centre(tmp_path: Path, samples: int, wanted: int) -> None:
    wave = np.arange(1, samples + 1) / 16
    for k in range(2):
        write(tmp_path / "a" / f"{k}.wav", wave, dtype=np.float32)
    found = folder(tmp_path, seconds=wanted / RATE).load().test_images.flatten().tolist()
    kept = min(samples, wanted)
    nonzero = [value for value in found if value]
    assert len(found) == wanted and len(nonzero) == kept
    first = round(nonzero[0] * 16) - 1
    assert nonzero == pytest.approx(wave[first : first + kept]), "a piece as it was"
    left, right = (
        (found.index(nonzero[0]), wanted - found.index(nonzero[0]) - kept)
        if wanted > samples
        else (first, samples - first - kept)
    )
    assert abs(left - right) <= 1


@pytest.mark.parametrize("rate", [4000, 11025, 16000, 44100])
def test_another_rate_becomes_the_wanted_one(tmp_path: Path, rate: int) -> None:
    for k in range(2):
        write(tmp_path / "a" / f"{k}.wav", tone(300, 0.5, rate), rate)
    found = folder(tmp_path, seconds=0.5).load().test_images.flatten().numpy()
    inner = slice(400, 3600)  # the filter sees silence beyond the ends
    np.testing.assert_allclose(found[inner], tone(300, 0.5)[inner], atol=0.02)


def test_every_unreadable_sound_is_named(tmp_path: Path) -> None:
    for k in range(3):
        write(tmp_path / "a" / f"fine{k}.wav", tone(440))
    content = (tmp_path / "a" / "fine0.wav").read_bytes()
    bad = {
        "half": content[: len(content) // 2],
        "nothing": b"",
        "text": b"hello, hello, hello, hello",
        "head": content[:30],
    }
    bad["mp3"] = b"\xff\xfb\x90\x64" + bytes(400)
    for name, data in bad.items():
        (tmp_path / "a" / f"{name}.wav").write_bytes(data)
    write(tmp_path / "a" / "empty.wav", np.zeros(0))
    write(tmp_path / "a" / "loud.wav", 30000 * tone(440), dtype=np.float32)
    write(tmp_path / "a" / "nan.wav", np.full(800, np.nan), dtype=np.float32)
    message = refusal(folder(tmp_path))
    assert message.startswith("8 of 11 sounds cannot be read:") and "fine" not in message
    assert all(f"{tmp_path}/a/{name}.wav: " in message for name in (*bad, "empty", "loud", "nan"))
    assert "empty.wav: it has no samples" in message and "loud.wav: its samples are floats beyond -1 to 1" in message


def test_a_title_in_a_file_is_no_fault(tmp_path: Path) -> None:
    for k in range(2):
        write(tmp_path / "a" / f"{k}.wav", tone(440))
        content = (tmp_path / "a" / f"{k}.wav").read_bytes() + b"abcd" + (4).to_bytes(4, "little") + b"note"
        (tmp_path / "a" / f"{k}.wav").write_bytes(content[:4] + (len(content) - 8).to_bytes(4, "little") + content[8:])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(folder(tmp_path).load().test_images) == 1


# --- layouts ---


def speech_commands(root: Path) -> None:
    for name in ("yes", "no", "_background_noise_"):
        for k in range(4):
            write(root / name / f"{k}.wav", tone(100 * (k + 1)))
    (root / "testing_list.txt").write_text("yes/0.wav\nno/3.wav\n")
    (root / "validation_list.txt").write_text("yes/1.wav\n")
    (root / "README.md").write_text("words")


def test_the_speech_commands_lists_are_the_split(tmp_path: Path) -> None:
    speech_commands(tmp_path)
    counts = {}
    for validation in ("train", "left_out"):
        files = ListedTest(validation).find(tmp_path)
        assert files.classes == ("no", "yes")
        assert {f"{path.parent.name}/{path.name}" for path in files.test.paths} == {"yes/0.wav", "no/3.wav"}
        assert [files.classes[label] for label in files.test.labels] == [path.parent.name for path in files.test.paths]
        assert [files.classes[label] for label in files.train.labels] == [
            path.parent.name for path in files.train.paths
        ]
        assert not set(files.train.paths) & set(files.test.paths)
        counts[validation] = {f"{path.parent.name}/{path.name}" for path in files.train.paths}
    assert counts["train"] - counts["left_out"] == {"yes/1.wav"} and len(counts["train"]) == 6
    found = folder(tmp_path, layout=ListedTest("left_out")).load()
    assert len(found.train_images) == 5 and len(found.test_images) == 2


def test_spoken_digits_are_told_by_their_names(tmp_path: Path) -> None:
    for digit in range(3):
        for speaker in ("ann", "bob_b"):
            for index in (0, 4, 5, 13):
                write(tmp_path / f"{digit}_{speaker}_{index}.wav", tone(440))
    files = NumberedNames([0, 1, 2, 3, 4]).find(tmp_path)
    assert files.classes == ("0", "1", "2") and len(files.train.paths) == len(files.test.paths) == 12
    for (paths, labels), wanted in ((files.train, {"5", "13"}), (files.test, {"0", "4"})):
        assert {path.stem.split("_")[-1] for path in paths} == wanted
        assert labels.tolist() == [int(path.name[0]) for path in paths]


@pytest.mark.parametrize(
    ("files", "layout", "words"),
    [
        ({}, ClassFolders(), "has no class folders; there is nothing"),
        ({"a/1.wav": "", "a/2.wav": "", "b/1.mp3": ""}, ClassFolders(), "with no sound in them: b; sounds end in .wav"),
        ({"a/1.wav": "", "a/2.wav": "", "b/1.wav": ""}, ClassFolders(), "a class needs 2 sounds.*have one: b"),
        ({"a/1.wav": "", "testing_list.txt": ""}, ListedTest("train"), "There is no .*validation_list.txt"),
        (
            {"a/1.wav": "", "testing_list.txt": "a/2.wav", "validation_list.txt": ""},
            ListedTest("train"),
            "names 1 files .*: a/2.wav",
        ),
        (
            {"a/1.wav": "", "testing_list.txt": "a/1.wav", "validation_list.txt": "a/1.wav"},
            ListedTest("train"),
            "in both lists",
        ),
        (
            {"a/1.wav": "", "testing_list.txt": "a/1.wav", "validation_list.txt": ""},
            ListedTest("train"),
            "nothing to train on: a",
        ),
        ({"0_ann_1.wav": "", "ann.wav": ""}, NumberedNames([1]), "not named CLASS_SPEAKER_INDEX.wav: ann.wav"),
        ({"0_ann_1.txt": ""}, NumberedNames([1]), "has no files named CLASS_SPEAKER_INDEX.wav"),
        ({"0_ann_1.wav": "", "1_ann_2.wav": ""}, NumberedNames([1]), "leaves nothing to train on: 0"),
        ({"0_ann_1.wav": ""}, NumberedNames([7]), r"no file has an INDEX among .* \[7\]"),
    ],
)
def test_folders_that_do_not_lie_so_are_refused(tmp_path: Path, files: dict[str, str], layout: Any, words: str) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match=words):
        folder(tmp_path, layout=layout).load()


def test_a_folder_that_is_not_there_and_no_length_are_refused(tmp_path: Path) -> None:
    assert f"There is no folder {tmp_path}/birds" in refusal(
        SoundFolder(str(tmp_path), "birds", ClassFolders(), "waveform", RATE, 1.0)
    )
    assert "not one sample" in refusal(folder(tmp_path, seconds=1e-5))


@pytest.mark.parametrize(
    ("name", "shape"), [("spoken_digits", (1, 1, 8000)), ("spoken_digits_spectrogram", (1, 80, 101))]
)
def test_the_real_spoken_digits(real_data: Path, name: str, shape: tuple[int, ...]) -> None:
    if not (real_data / "spoken_digits").is_dir():
        pytest.skip("no spoken digits in MIXEXP_DATA")
    dataset, found = load(compose([f"dataset={name}", f"data_dir={real_data}"])["dataset"])
    assert found.train_images.shape == (2700, *shape) and found.test_images.shape == (300, *shape)
    assert found.train_labels.bincount().tolist() == [270] * 10 and found.test_labels.bincount().tolist() == [30] * 10
    assert len(found.train_labels[:100].unique()) == 10
    assert dataset.kind == ("sound" if shape[1] == 1 else "spectrogram")
    if shape[1] == 1:
        rate, samples = wavfile.read(real_data / "spoken_digits" / "0_george_0.wav")
        first = found.test_images[found.test_labels == 0][0, 0, 0]
        start = (8000 - len(samples)) // 2
        assert rate == RATE
        assert any(np.array_equal(first[s : s + len(samples)].numpy() * 32768, samples) for s in (start, start + 1))


def test_the_spoken_digits_are_told_by_their_checksum_and_not_by_their_place(real_data: Path, tmp_path: Path) -> None:
    if not (real_data / "spoken_digits").is_dir():
        pytest.skip("no spoken digits in MIXEXP_DATA")
    configs = [compose(["dataset=spoken_digits", f"data_dir={place}"]) for place in (real_data, tmp_path)]
    assert run_id(configs[0]) == run_id(configs[1])
    copies = tmp_path / "spoken_digits"
    shutil.copytree(real_data / "spoken_digits", copies)
    dataset = build(configs[1]["dataset"])
    dataset.load()
    path = copies / "3_jackson_7.wav"
    sound = path.read_bytes()
    changed = sound[:-1] + bytes([sound[-1] ^ 1])
    for spoil in (path.unlink, lambda: path.write_bytes(changed), lambda: path.rename(copies / "4_jackson_70.wav")):
        spoil()
        with pytest.raises(
            UserError, match=r"are not the 3,000 recordings.*dataset\._target_=mixexp\.dataset\.sounds\.SoundFolder"
        ):
            dataset.load()
        (copies / "4_jackson_70.wav").unlink(missing_ok=True)
        path.write_bytes(sound)
    own = compose(
        ["dataset=spoken_digits", "dataset._target_=mixexp.dataset.sounds.SoundFolder", f"data_dir={tmp_path}"]
    )
    assert run_id(own) != run_id(configs[1])
    build(own["dataset"]).load()


# --- spectrograms ---


def test_a_second_at_16_khz_has_the_papers_size() -> None:
    assert spectrogram(torch.zeros(2, 1, 1, 16000), 16000).shape == (2, 1, 160, 101)
    assert spectrogram(torch.zeros(2, 1, 1, 16000), 16000).eq(0).all(), "silence is 0"


def test_a_spectrogram_is_the_magnitudes_logarithm() -> None:
    rng = np.random.default_rng(0)
    wave = rng.normal(size=1000) * 0.1
    found = spectrogram(torch.from_numpy(wave.astype(np.float32))[None, None, None], RATE)[0, 0].numpy()
    padded, window = np.pad(wave, 80), np.hanning(161)[:-1]
    expected = [
        np.log(1 + np.abs(np.fft.rfft(padded[80 * k : 80 * k + 160] * window)))[1:] for k in range(found.shape[1])
    ]
    assert found.shape == (80, 13)
    np.testing.assert_allclose(found, np.array(expected).T, atol=1e-5)


# --- blending by loudness ---


def naive_gain(wave: np.ndarray, rate: int, n_fft: int) -> float:
    """The largest A-weighted power of a frame in dB, frame by frame, with the weighting in its transfer-function
    form."""
    frequencies = np.fft.rfftfreq(n_fft, 1 / rate)
    f2 = frequencies**2
    transfer = 12194**2 * f2**2 / ((f2 + 20.6**2) * np.sqrt((f2 + 107.7**2) * (f2 + 737.9**2)) * (f2 + 12194**2))
    weight = np.maximum(10**0.2 * transfer**2, 1e-8)
    powers = []
    for start in range(0, len(wave) - n_fft + 1, n_fft // 2):
        spectrum = np.abs(np.fft.rfft(np.hanning(n_fft + 1)[:-1] * wave[start : start + n_fft])) ** 2
        powers.append((spectrum * weight).sum())
    return 10 * np.log10(max(*powers, 1e-8))


def as_parts(*waves: np.ndarray) -> list[Tensor]:
    return [torch.from_numpy(np.asarray(wave, dtype=np.float32)).view(1, 1, 1, -1) for wave in waves]


def test_the_a_weighting_is_the_standards() -> None:
    # IEC 61672-1, table of the A-weighting at its nominal frequencies, with the exact ones behind them; rounded to 0.1
    # dB
    table = {
        10: -70.4,
        31.5: -39.4,
        100: -19.1,
        200: -10.9,
        500: -3.2,
        1000: 0.0,
        2000: 1.2,
        4000: 1.0,
        8000: -1.1,
        16000: -6.6,
    }
    exact = [1000 * 10 ** (round(10 * np.log10(f / 1000)) / 10) for f in table]
    np.testing.assert_allclose(a_weighting(torch.tensor(exact)), list(table.values()), atol=0.06)
    assert a_weighting(torch.tensor([1000.0])).item() == pytest.approx(0, abs=0.01)
    assert a_weighting(torch.tensor([0.0])).item() == -80


@pytest.mark.parametrize(("rate", "n_fft"), [(8000, 1024), (16000, 2048), (22050, 2048), (44100, 4096), (48000, 4096)])
def test_the_window_is_the_codes_at_its_two_rates(rate: int, n_fft: int) -> None:
    assert LoudnessBlend(rate).n_fft == n_fft


@pytest.mark.parametrize("rate", [8000, 16000, 44100])
def test_loudness_against_numpy(rate: int) -> None:
    rng, blend = np.random.default_rng(0), LoudnessBlend(rate)
    waves = [rng.normal(size=5 * blend.n_fft // 2 + 17) * scale for scale in (0.3, 0.01, 1e-6)]
    waves += [
        tone(1000, 0.3, rate),
        tone(100, 0.3, rate),
        np.concatenate([np.zeros(3000), tone(500, 0.2, rate)]),
        np.zeros(9000),
    ]
    for wave in waves:
        assert blend.loudness(*as_parts(wave)).item() == pytest.approx(naive_gain(wave, rate, blend.n_fft), abs=0.01)
    low, high = (blend.loudness(*as_parts(tone(f, 0.5, rate))).item() for f in (100, 1000))
    assert low - high == pytest.approx(-19.1, abs=0.3)


@pytest.mark.parametrize("r", [0.05, 0.5, 0.8])
def test_two_sounds_are_blended_by_the_papers_formula(r: float) -> None:
    first, second = tone(440, 0.5, strength=0.9), tone(150, 0.5, strength=0.02)
    gains = [naive_gain(wave, RATE, 1024) for wave in (first, second)]
    p = 1 / (1 + 10 ** ((gains[0] - gains[1]) / 20) * (1 - r) / r)
    expected = (p * first + (1 - p) * second) / np.sqrt(p**2 + (1 - p) ** 2)
    found = LoudnessBlend(RATE)(as_parts(first, second), [torch.tensor([r]), torch.tensor([1 - r])])
    np.testing.assert_allclose(found.flatten(), expected, atol=2e-4)


@settings(max_examples=30, deadline=None)
@given(
    r=st.floats(0.01, 0.99),
    decibels=st.tuples(st.floats(-60, 0), st.floats(-60, 0)),
    frequencies=st.tuples(st.sampled_from([200, 700, 1500]), st.sampled_from([350, 1000, 3000])),
)
def test_a_blends_loudness_ratio_is_the_labels_whatever_the_gains(
    r: float, decibels: tuple, frequencies: tuple
) -> None:
    blend = LoudnessBlend(RATE)
    plain = [tone(f, 0.4) for f in frequencies]
    parts = as_parts(*(10 ** (db / 20) * wave for db, wave in zip(decibels, plain, strict=True)))
    for part, wave, db in zip(parts, as_parts(*plain), decibels, strict=True):
        assert (blend.loudness(part) - blend.loudness(wave)).item() == pytest.approx(db, abs=0.01)
    found = blend(parts, [torch.tensor([r]), torch.tensor([1 - r])]).flatten()
    basis = torch.stack([part.flatten() for part in parts], dim=1)
    shares = torch.linalg.lstsq(basis.double(), found.double()[:, None]).solution.flatten()
    heard = [share.item() * 10 ** (blend.loudness(part).item() / 20) for share, part in zip(shares, parts, strict=True)]
    assert heard[0] / sum(heard) == pytest.approx(r, abs=2e-3)
    assert shares.square().sum().item() == pytest.approx(1, abs=1e-3)


def test_limits_of_a_blend() -> None:
    blend, ones, zeros = LoudnessBlend(RATE), torch.ones(1), torch.zeros(1)
    loud, quiet, silence = as_parts(tone(440, 0.3), tone(440, 0.3, strength=1e-3), np.zeros(2400))
    for first, second in [(loud, quiet), (quiet, loud), (loud, silence), (silence, loud), (silence, silence)]:
        torch.testing.assert_close(blend([first, second], [ones, zeros]), first)
        torch.testing.assert_close(blend([first, second], [zeros, ones]), second)
    third = torch.tensor([1 / 3])
    for count in (2, 3):  # equal loudness: p is w
        weights = [third, 1 - third] if count == 2 else [third] * 3
        norm = sum(w**2 for w in weights).sqrt()
        torch.testing.assert_close(blend([loud] * count, weights), loud / norm)
    mixed = blend([silence, loud], [third, 1 - third])
    assert mixed.abs().max() < 1e-3, "the silent part gets nearly all the weight"


def test_of_three_sounds_each_is_heard_as_its_label_says() -> None:
    blend = LoudnessBlend(RATE)
    parts = as_parts(tone(300, 0.4, strength=1.0), tone(900, 0.4, strength=0.03), tone(2500, 0.4, strength=0.2))
    weights = [torch.tensor([w]) for w in (0.5, 0.2, 0.3)]
    found = blend(parts, weights).flatten().double()
    basis = torch.stack([part.flatten() for part in parts], dim=1).double()
    shares = torch.linalg.lstsq(basis, found[:, None]).solution.flatten()
    heard = torch.tensor(
        [s.item() * 10 ** (blend.loudness(part).item() / 20) for s, part in zip(shares, parts, strict=True)]
    )
    torch.testing.assert_close(heard / heard.sum(), torch.tensor([0.5, 0.2, 0.3]), atol=2e-3, rtol=0)


def test_every_pair_is_blended_on_its_own_and_a_short_sound_too() -> None:
    rng, blend = np.random.default_rng(0), LoudnessBlend(RATE)
    for samples in (5, 1023, 1024, 4000):
        first, second = (torch.from_numpy(rng.normal(size=(4, 1, 1, samples)).astype(np.float32)) for _ in range(2))
        lam = torch.linspace(0.1, 0.9, 4)
        together = blend([first, second], [lam, 1 - lam])
        assert together.isfinite().all()
        for i in range(4):
            torch.testing.assert_close(
                together[i : i + 1], blend([first[i : i + 1], second[i : i + 1]], [lam[i : i + 1], 1 - lam[i : i + 1]])
            )


def test_sound_mixing_is_refused_on_images_hidden_layers_and_spectrograms() -> None:
    of = "mix: it needs data of the kind sound, and this data set's is"
    assert errors_of(compose(["mix=bc_sound", "loss=kl"])) == [f"{of} image"]
    words = [*sounds(), "model=sound_cnn", "mix=bc_sound", "loss=kl"]
    assert errors_of(compose(words)) == []
    assert errors_of(compose([*words, "dataset.representation=spectrogram"])) == [f"{of} spectrogram"]
    (line,) = errors_of(compose([*words, "mix_layer=layer1"]))
    assert line.startswith(
        "mix_layer = layer1: mix at the input instead, with mix_layer=input; a loudness is that of a waveform"
    )
    assert errors_of(compose(["augment=shift"])) == [
        "augment: it needs data of the kind sound, and this data set's is image"
    ]


def test_the_blend_has_the_data_sets_rate() -> None:
    for rate in (8000, 16000):
        config = compose([*sounds(), f"dataset.sample_rate={rate}", "mix=bc_sound", "loss=kl"])
        assert config["mix"]["blend"]["sample_rate"] == rate


# --- mixing from an epoch on ---


def test_before_its_epoch_a_mix_leaves_samples_as_they_are() -> None:
    mix: Mix = build({**option("mix", "mixup_late"), "from_epoch": 2})
    plain: Mix = build(option("mix", "mixup"))
    labels, x = torch.arange(12) % 4, torch.randn(12, 1, 4, 4)
    for epoch in range(4):
        draws = {name: torch.from_numpy(values) for name, values in mix.draw(7, epoch, np.arange(12), 12, 12).items()}
        plan = mix.plan(labels, draws)
        if epoch < 2:
            assert torch.equal(plan.apply(x), x)
            assert torch.equal(plan.labels.to_one_hot(4), torch.nn.functional.one_hot(labels, 4).float())
        else:
            assert not torch.equal(plan.apply(x), x)
            wanted = plain.draw(7, epoch, np.arange(12), 12, 12)
            assert all(torch.equal(draws[name], torch.from_numpy(values)) for name, values in wanted.items()), (
                "as mixup does"
            )


# --- shifts ---


@settings(max_examples=25, deadline=None)
@given(length=st.integers(1, 30), pad=st.sampled_from([0.1, 0.5, 1.0]), seed=st.integers(0, 100))
def test_a_shift_is_a_pad_and_a_crop(length: int, pad: float, seed: int) -> None:
    waves = torch.from_numpy(np.random.default_rng(seed).normal(size=(5, 1, 1, length)).astype(np.float32))
    draws = {name: torch.from_numpy(values) for name, values in Shift(pad).draw(np.random.default_rng(seed), 5).items()}
    found = Shift(pad)(waves, draws, lambda x: 2 * x)
    width = round(pad * length)
    for wave, start, result in zip(waves, draws["start"].tolist(), found, strict=True):
        padded = np.pad(wave.flatten().numpy(), width)
        left = int(start * (2 * width + 1))
        np.testing.assert_array_equal(result.flatten(), 2 * padded[left : left + length])


def test_every_shift_is_equally_likely() -> None:
    waves = torch.zeros(20_000, 1, 1, 9)
    waves[..., 4] = 1  # at most 4 to either side it stays inside
    draws = {
        name: torch.from_numpy(values) for name, values in Shift(0.5).draw(np.random.default_rng(0), 20_000).items()
    }
    places = Shift(0.5)(waves, draws, lambda x: x).flatten(1).argmax(1).bincount()
    assert len(places) == 9 and stats.chisquare(places.numpy()).pvalue > 1e-3
    last = torch.tensor([np.nextafter(np.float32(1), np.float32(0))])
    assert Shift(0.5)(waves[:1], {"start": last}, lambda x: x).flatten().argmax() == 0


# --- networks ---


def test_sound_cnn_takes_a_second_as_its_paper_does() -> None:
    body = build(option("model", "sound_cnn") | {"width": 128}, in_channels=1, image_size=(1, 8000)).eval()
    sizes, x = [], torch.zeros(2, 1, 1, 8000)
    for stage in body.stages:
        x = body.get_submodule(stage)(x)
        sizes.append(tuple(x.shape[1:]))
    assert sizes == [(128, 1, 500), (128, 1, 125), (256, 1, 32), (512, 1, 8)]
    with pytest.raises(ValueError, match="at least 4 samples; these have 3"):
        build(option("model", "sound_cnn"), in_channels=1, image_size=(1, 3))


@pytest.mark.parametrize(("name", "count"), [("lenet", 25_031_080), ("vgg11", 14_470_602)])
def test_networks_of_the_mixup_papers_speech_take_its_spectrograms(name: str, count: int) -> None:
    with torch.device("meta"):
        body = build(option("model", name), in_channels=1, image_size=(160, 101))
        head = torch.nn.Linear(body.num_features, 10)
        assert head(body(torch.zeros(2, 1, 160, 101))).shape == (2, 10)
    assert sum(p.numel() for module in (body, head) for p in module.parameters()) == count


def test_vgg11_has_configuration_a() -> None:
    body = build(option("model", "vgg11"), in_channels=1, image_size=(32, 32))
    channels = [module.out_channels for module in body.modules() if isinstance(module, torch.nn.Conv2d)]
    assert channels == [64, 128, 256, 256, 512, 512, 512, 512]
    assert sum(isinstance(module, torch.nn.MaxPool2d) for module in body.modules()) == 5

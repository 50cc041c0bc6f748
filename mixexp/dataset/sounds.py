"""The user's own sounds: WAV files as waveforms or spectrograms, and folder layouts with their classes and parts."""

from __future__ import annotations

import abc
import hashlib
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from mixexp.dataset import Dataset, Splits, check_statistics, files
from mixexp.dataset.wav import read
from mixexp.errors import UserError, note

SUFFIXES = frozenset({".wav"})
_CHUNK = 1024  # sounds converted to spectrograms at once


class Layout(abc.ABC):
    """A layout of WAV files in a folder."""

    @abc.abstractmethod
    def find(self, root: Path) -> files.Files:
        """Files below an existing folder, in the same order every time; raises UserError for another layout."""


class ClassFolders(Layout):
    """``FOLDER/CLASS/…``, with a part of each class, drawn once by split_seed, held out for the test.

    test_fraction: of each class, held out for the test; split_seed: draws the held-out sounds.
    """

    def __init__(
        self,
        test_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.2,
        split_seed: Annotated[int, Field(ge=0, lt=2**63)] = 0,
    ) -> None:
        self.test_fraction, self.split_seed = test_fraction, split_seed

    def find(self, root: Path) -> files.Files:
        return files.held_out(root, "sound", SUFFIXES, self.test_fraction, self.split_seed)


class ListedTest(Layout):
    """The speech-commands layout: ``FOLDER/CLASS/…`` with testing_list.txt and validation_list.txt.

    The lists name files as CLASS/FILE. The folder ``_background_noise_`` is not a class. validation: the use of files
    in the validation list, train or left_out.
    """

    def __init__(self, validation: Literal["train", "left_out"]) -> None:
        self.validation = validation

    def find(self, root: Path) -> files.Files:
        no_sounds = ("_background_noise_", "testing_list.txt", "validation_list.txt", "README.md", "LICENSE")
        paths_of = files.class_files(root, "sound", SUFFIXES, without=no_sounds)
        classes = tuple(paths_of)
        whole = files.labelled(paths_of, classes)
        places = {path.relative_to(root).as_posix(): place for place, path in enumerate(whole.paths)}
        test, validation = (self._listed(root / f"{name}_list.txt", places) for name in ("testing", "validation"))
        if both := sorted(test & validation):
            raise UserError(f"{root}: {len(both)} files are in both lists, such as {whole.paths[both[0]].name}.")
        train = whole.take(
            sorted(set(range(len(whole.paths))) - test - (validation if self.validation == "left_out" else set()))
        )
        if silent := sorted(set(classes) - {classes[label] for label in train.labels}):
            raise UserError(f"{root}: classes of which the lists leave nothing to train on: {', '.join(silent)}.")
        return files.Files(train, whole.take(sorted(test)), classes)

    @staticmethod
    def _listed(path: Path, places: dict[str, int]) -> set[int]:
        """Places of the files in a list; raises UserError if the list, or a file in it, does not exist."""
        if not path.is_file():
            raise UserError(f"There is no {path}, which names files of this layout, one CLASS/FILE a line.")
        names = path.read_text(encoding="utf-8").split()
        if strangers := [name for name in names if name not in places]:
            raise UserError(
                f"{path} names {len(strangers)} files that are not there: {', '.join(strangers[: files.SHOWN])}."
            )
        return {places[name] for name in names}


class NumberedNames(Layout):
    """``FOLDER/CLASS_SPEAKER_INDEX.wav``, the names of the Free Spoken Digit Dataset; some INDEX are the test.

    test_indices: these INDEX.
    """

    def __init__(self, test_indices: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)]) -> None:
        self.test_indices = list(test_indices)

    def find(self, root: Path) -> files.Files:
        files.refuse_broken_links(root, files.visible(root))
        named = {
            path: re.fullmatch(r"(.+?)_.+_(\d+)", path.stem)
            for path in files.visible(root)
            if path.suffix.lower() in SUFFIXES
        }
        if strangers := [path for path, match in named.items() if match is None]:
            raise UserError(f"{root}: sounds that are not named CLASS_SPEAKER_INDEX.wav: {files.listed(strangers)}.")
        if not named:
            raise UserError(
                f"{root} has no files named CLASS_SPEAKER_INDEX.wav; there is {files.listed(files.visible(root))}."
            )
        files.warn_of_ignored(root, "that are not sounds", [path for path in files.visible(root) if path not in named])
        names = [name for name in named.values() if name is not None]
        classes = tuple(sorted({name[1] for name in names}))
        whole = files.Part(list(named), np.array([classes.index(name[1]) for name in names], dtype=np.int64))
        tested = np.array([int(name[2]) in self.test_indices for name in names])
        train, test = whole.take(np.flatnonzero(~tested)), whole.take(np.flatnonzero(tested))
        if missing := [name for label, name in enumerate(classes) if label not in train.labels]:
            raise UserError(f"{root}: classes of which test_indices leaves nothing to train on: {', '.join(missing)}.")
        if not test.paths:
            raise UserError(f"{root}: no file has an INDEX among dataset.layout.test_indices = {self.test_indices}.")
        return files.Files(train, test, classes)


class SoundFolder(Dataset):
    """WAV files of 8 to 64 bits (integer, float, G.711), any rate and channels, as mono sounds of one length.

    A file's channels are averaged. The sound is resampled to sample_rate by a polyphase filter
    (scipy.signal.resample_poly) if its own rate differs, then padded with zeros about its centre or cut to its central
    part. Floats beyond full scale, −1…1, are kept. The training sounds are shuffled once, always alike, so that the
    first N are of all classes.
    folder: relative to the working directory, otherwise to root (data_dir); seconds: length of a sound;
    representation: "waveform", or "spectrogram", log(1 + |STFT|) over a Hann window of 20 ms every 10 ms, without the
    frequency 0.
    One second at 16 kHz gives 160 frequencies × 101 frames (Zhang et al. 2018, section 3.3, states only this size; the
    rest is ours). Silence is 0.
    """

    path = "folder"

    def __init__(
        self,
        root: str,
        folder: str,
        layout: Layout,
        representation: Literal["waveform", "spectrogram"],
        sample_rate: Annotated[int, Field(ge=1000)],
        seconds: Annotated[float, Field(gt=0)],
        mean: list[float] | None = None,
        std: list[Annotated[float, Field(gt=0)]] | None = None,
    ) -> None:
        self.root, self.folder, self.layout = root, folder, layout
        self.sample_rate, self.seconds = sample_rate, seconds
        self.kind = {"waveform": "sound", "spectrogram": "spectrogram"}[representation]
        self.mean, self.std = mean, std

    def load(self) -> Splits:
        """Sounds float32 [N, 1, 1, samples], or [N, 1, frequencies, frames]; raises UserError with unusable ones."""
        check_statistics(self.mean, self.std, channels=1)
        root = files.find_path("folder", self.folder, self.root)
        samples = round(self.seconds * self.sample_rate)
        if samples < 1:
            raise UserError(f"dataset.seconds = {self.seconds}: at {self.sample_rate} Hz that is not one sample.")
        return self.layout.find(root).splits(0, lambda paths: self._read(paths, samples, root))

    @property
    def suffixes(self) -> frozenset[str]:
        return SUFFIXES

    @property
    def size_rule(self) -> str:
        return (
            f"averaged over its channels, at {self.sample_rate} Hz padded with zeros about its centre or cut to its"
            f" central {self.seconds} s"
        )

    def from_files(self, paths: Sequence[Path], shape: Sequence[int]) -> Tensor:
        return self._read(paths, round(self.seconds * self.sample_rate), Path())

    def _read(self, paths: Sequence[Path], samples: int, root: Path) -> Tensor:
        """All sounds in their representation, by chunks, because waveforms and spectrograms together may not fit."""
        faults: dict[int, str] = {}
        beyond: dict[Path, float] = {}
        sounds: Tensor | None = None
        for start in range(0, len(paths), _CHUNK):
            chunk = paths[start : start + _CHUNK]
            waves = np.zeros((len(chunk), samples), dtype=np.float32)
            for k, (path, wave) in enumerate(zip(chunk, waves, strict=True)):
                try:
                    sound, peak = _sound(path, self.sample_rate)
                    _fit(sound, wave)
                except (OSError, ValueError) as error:
                    faults[start + k] = f"  {path}: {getattr(error, 'strerror', error)}"
                else:
                    beyond |= {path: peak} if peak > 1 else {}
            part = torch.from_numpy(waves)[:, None, None]
            part = spectrogram(part, self.sample_rate) if self.kind == "spectrogram" else part
            if sounds is None:
                sounds = torch.empty(len(paths), *part.shape[1:])
            sounds[start : start + len(part)] = part
        files.refuse_faults("sound", faults, len(paths))
        if beyond:
            loudest = max(beyond, key=beyond.__getitem__)
            note(
                f"{root}: {len(beyond)} sounds go beyond full scale, -1 to 1, and are kept as they are; "
                f"the loudest is {files.within(loudest, root)}, with {beyond[loudest]:.4g}"
            )
        assert sounds is not None, "a set without files is refused before"
        return sounds


class SpokenDigits(SoundFolder):
    """The Free Spoken Digit Dataset (Jackson et al.): 3,000 recordings of six speakers, checked by a checksum."""

    not_scientific = ("root",)  # the checksum shows that the files are the same in any folder

    SHA256 = "6b1a8e30f4df78a933fe25cf1ca0140c8c6f169c0a83649a15b70a5ae7407014"
    """Checksum of each file's name, a zero byte and its content, in the order of names."""

    def load(self) -> Splits:
        """Sounds as SoundFolder's; raises UserError for other recordings."""
        root = files.find_path("folder", self.folder, self.root)
        paths = sorted(
            (path for path in files.visible(root) if path.suffix.lower() in SUFFIXES), key=lambda path: path.name
        )
        digest = hashlib.sha256()
        try:
            for path in paths:
                digest.update(path.name.encode() + b"\0" + path.read_bytes())
        except OSError as error:
            raise UserError(f"{root}: its files cannot be read: {error}") from error
        if digest.hexdigest() != self.SHA256:
            raise UserError(
                f"{root}: its {len(paths)} sounds are not the 3,000 recordings of the Free Spoken Digit Dataset; some"
                " are missing, added or changed. Place sound copies there, or read these as a collection of your own:"
                " dataset._target_=mixexp.dataset.sounds.SoundFolder."
            )
        return super().load()


def spectrogram(waves: Tensor, sample_rate: int) -> Tensor:
    """log(1 + |STFT|), float32 [N, 1, sample_rate/100, frames], of waveforms, float32 [N, 1, 1, samples].

    The window is Hann's, of 20 ms every 10 ms.
    """
    hop = round(sample_rate / 100)
    window = torch.hann_window(2 * hop)
    transform = torch.stft(
        waves.flatten(1), 2 * hop, hop, window=window, center=True, pad_mode="constant", return_complex=True
    )
    return transform[:, None, 1:].abs().log1p()


def _sound(path: Path, sample_rate: int) -> tuple[np.ndarray, float]:
    """Sound of a file in one channel, float [samples], full scale −1…1, and its largest sample of any channel.

    Raises ValueError or OSError if the file has none.
    """
    rate, channels = read(path)
    peak = float(np.abs(channels).max())
    sound = channels.mean(1)
    common = math.gcd(rate, sample_rate)
    if rate != sample_rate:
        from scipy.signal import resample_poly  # two seconds to import, which only sounds of another rate need

        # clipped, because the filter may overshoot
        sound = resample_poly(sound, sample_rate // common, rate // common).clip(-max(peak, 1), max(peak, 1))
    return sound, peak


def _fit(sound: np.ndarray, out: np.ndarray) -> None:
    """Copy a sound into `out`, which is all zeros, with equal centres."""
    surplus = len(sound) - len(out)
    if surplus >= 0:
        out[:] = sound[surplus // 2 :][: len(out)]
    else:
        out[-surplus // 2 :][: len(sound)] = sound

"""A user's own sounds: WAV files as waveforms or as spectrograms."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from mixexp.dataset import Dataset, Splits, check_statistics
from mixexp.dataset.folders import find_path, refuse_faults
from mixexp.dataset.sound_layouts import Layout
from mixexp.dataset.split import shuffled
from mixexp.dataset.wav import read
from mixexp.errors import UserError, note

_CHUNK = 1024  # sounds turned into spectrograms at once


class SoundFolder(Dataset):
    """WAV files of 8 to 64 bits, integer, float or G.711, any rate and number of channels, as mono sounds of one length.

    A file's channels are averaged, it is brought to sample_rate by a polyphase filter (scipy.signal.resample_poly) where its own rate
    differs, padded with zeros about its centre or cut to its central part. Floats beyond full scale, −1…1, are kept. The training
    sounds are shuffled once, always alike, so that the first N are of all classes. A relative folder is where the command is
    typed, else below root (data_dir).
    seconds: of a sound. representation: "waveform"; "spectrogram": log(1 + |STFT|) over a Hann window of 20 ms every 10 ms,
    the frequency 0 left out, which at 16 kHz gives one second 160 frequencies × 101 frames (Zhang et al. 2018, section 3.3, states
    the size alone; the rest is ours), silence being 0.
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
        self.mean = None if mean is None else list(mean)
        self.std = None if std is None else list(std)

    def load(self) -> Splits:
        """Sounds float32 [N, 1, 1, samples], or [N, 1, frequencies, frames]; raises UserError naming each that cannot be used."""
        check_statistics(self.mean, self.std, channels=1)
        root = find_path("folder", self.folder, self.root)
        samples = round(self.seconds * self.sample_rate)
        if samples < 1:
            raise UserError(f"dataset.seconds = {self.seconds}: at {self.sample_rate} Hz that is not one sample.")
        files = self.layout.find(root)
        order = shuffled(len(files.train), np.random.Philox(key=0))
        sounds = self._read([files.train[i] for i in order] + files.test, samples, root)
        train, test = sounds[: len(order)], sounds[len(order) :]
        return Splits(train, torch.from_numpy(files.train_labels[order]), test, torch.from_numpy(files.test_labels), files.classes)

    def _read(self, paths: Sequence[Path], samples: int, root: Path) -> Tensor:
        """All sounds in their representation, a chunk at a time, as a large set's waveforms and spectrograms together fill a memory."""
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
                except OSError as error:
                    faults[start + k] = f"  {path}: {error.strerror}"
                except ValueError as error:
                    faults[start + k] = f"  {path}: {error}"
                else:
                    beyond |= {path: peak} if peak > 1 else {}
            part = torch.from_numpy(waves)[:, None, None]
            part = spectrogram(part, self.sample_rate) if self.kind == "spectrogram" else part
            if sounds is None:
                sounds = torch.empty(len(paths), *part.shape[1:])
            sounds[start : start + len(part)] = part
        refuse_faults("sound", faults, len(paths))
        if beyond:
            loudest = max(beyond, key=beyond.__getitem__)
            note(
                f"{root}: {len(beyond)} sounds go beyond full scale, -1 to 1, and are kept as they are; "
                f"the loudest is {loudest.relative_to(root)}, with {beyond[loudest]:.4g}"
            )
        return sounds


def spectrogram(waves: Tensor, sample_rate: int) -> Tensor:
    """log(1 + |STFT|), float32 [N, 1, sample_rate/100, frames], of waveforms, float32 [N, 1, 1, samples]: Hann, 20 ms every 10 ms."""
    hop = round(sample_rate / 100)
    window = torch.hann_window(2 * hop)
    found = torch.stft(waves.flatten(1), 2 * hop, hop, window=window, center=True, pad_mode="constant", return_complex=True)
    return found[:, None, 1:].abs().log1p()


def _sound(path: Path, sample_rate: int) -> tuple[np.ndarray, float]:
    """A file's sound in one channel, float [samples], full scale being −1…1, and its largest sample of any channel.

    Raises ValueError or OSError where it is none.
    """
    rate, channels = read(path)
    peak = float(np.abs(channels).max())
    sound = channels.mean(1)
    common = math.gcd(rate, sample_rate)
    if rate != sample_rate:
        from scipy.signal import resample_poly  # two seconds, for sounds of another rate alone

        # the filter may overshoot
        sound = resample_poly(sound, sample_rate // common, rate // common).clip(-max(peak, 1), max(peak, 1))
    return sound, peak


def _fit(sound: np.ndarray, out: np.ndarray) -> None:
    """Put a sound's centre on the centre of `out`, which is all zeros."""
    surplus = len(sound) - len(out)
    if surplus >= 0:
        out[:] = sound[surplus // 2 :][: len(out)]
    else:
        out[-surplus // 2 :][: len(sound)] = sound

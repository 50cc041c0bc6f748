"""A user's own sounds: WAV files as waveforms or as spectrograms."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import torch
from pydantic import Field
from scipy.io import wavfile
from scipy.signal import resample_poly
from torch import Tensor

from mixexp.dataset import Dataset, Splits, check_statistics
from mixexp.dataset.folders import find_path, refuse_faults
from mixexp.dataset.sound_layouts import Layout
from mixexp.dataset.split import shuffled
from mixexp.errors import UserError

_CHUNK = 1024  # sounds turned into spectrograms at once


class SoundFolder(Dataset):
    """WAV files of 8 to 64 bits, integer or float, any rate and number of channels, as mono sounds of one length.

    A file's channels are averaged, it is brought to sample_rate by a polyphase filter (scipy.signal.resample_poly) where its own rate
    differs, padded with zeros about its centre or cut to its central part. The training sounds are shuffled once, always alike, so
    that the first N are of all classes. A relative folder is where the command is typed, else below root (data_dir).
    seconds: of a sound. representation: "waveform" in −1…1; "spectrogram": log(1 + |STFT|) over a Hann window of 20 ms every 10 ms,
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
        sounds = self._read([files.train[i] for i in order] + files.test, samples)
        train, test = sounds[: len(order)], sounds[len(order) :]
        return Splits(train, torch.from_numpy(files.train_labels[order]), test, torch.from_numpy(files.test_labels), files.classes)

    def _read(self, paths: Sequence[Path], samples: int) -> Tensor:
        """All sounds in their representation, a chunk at a time, as a large set's waveforms and spectrograms together fill a memory."""
        faults: dict[int, str] = {}
        found: Tensor | None = None
        with warnings.catch_warnings():
            warnings.simplefilter("error", wavfile.WavFileWarning)  # a file that ends too early
            warnings.filterwarnings("ignore", r"Chunk \(non-data\) not understood", wavfile.WavFileWarning)  # titles and the like
            for start in range(0, len(paths), _CHUNK):
                waves = np.zeros((len(paths[start : start + _CHUNK]), samples), dtype=np.float32)
                for k, wave in enumerate(waves):
                    try:
                        _fit(_sound(paths[start + k], self.sample_rate), wave)
                    except Exception as error:  # scipy's parser raises of every kind on a broken file
                        faults[start + k] = f"  {paths[start + k]}: {error}"
                part = torch.from_numpy(waves)[:, None, None]
                part = spectrogram(part, self.sample_rate) if self.kind == "spectrogram" else part
                if found is None:
                    found = torch.empty(len(paths), *part.shape[1:])
                found[start : start + len(part)] = part
        refuse_faults("sound", faults, len(paths))
        return found


def spectrogram(waves: Tensor, sample_rate: int) -> Tensor:
    """log(1 + |STFT|), float32 [N, 1, sample_rate/100, frames], of waveforms, float32 [N, 1, 1, samples]: Hann, 20 ms every 10 ms."""
    hop = round(sample_rate / 100)
    window = torch.hann_window(2 * hop)
    found = torch.stft(waves.flatten(1), 2 * hop, hop, window=window, center=True, pad_mode="constant", return_complex=True)
    return found[:, None, 1:].abs().log1p()


def _sound(path: Path, sample_rate: int) -> np.ndarray:
    """A file's sound in one channel, float [samples] in −1…1; raises ValueError where it is not one."""
    rate, data = wavfile.read(path)
    if data.size == 0:
        raise ValueError("it has no samples")
    if rate == 0:
        raise ValueError("its header says 0 samples a second")
    if data.dtype == np.uint8:
        sound = (data - 128.0) / 128
    elif np.issubdtype(data.dtype, np.integer):  # 24 bits come as the upper ones of 32
        sound = data / -float(np.iinfo(data.dtype).min)
    else:
        sound = data.astype(np.float64)
        if not np.abs(sound).max() <= 1:  # a NaN is not, either
            raise ValueError("its samples are floats beyond -1 to 1")
    sound = sound if sound.ndim == 1 else sound.mean(1)
    common = math.gcd(rate, sample_rate)
    # the filter may overshoot
    return sound if rate == sample_rate else resample_poly(sound, sample_rate // common, rate // common).clip(-1, 1)


def _fit(sound: np.ndarray, out: np.ndarray) -> None:
    """Put a sound's centre on the centre of `out`, which is all zeros."""
    surplus = len(sound) - len(out)
    if surplus >= 0:
        out[:] = sound[surplus // 2 :][: len(out)]
    else:
        out[-surplus // 2 :][: len(sound)] = sound

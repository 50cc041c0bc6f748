"""Blends: linear, between-class learning for images (BC+), and between-class learning for sounds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from mixexp.mix import Blend, broadcast_weights

FLOOR_DB = -80.0


def _total(terms: Sequence[Tensor]) -> Tensor:
    """The sum of one tensor or more."""
    return sum(terms)  # pyright: ignore[reportReturnType]  0, the sum of none, does not occur


class Linear(Blend):
    """Σ_k w_k·x_k (Zhang et al. 2018, eq. 1, for two: λ·x₁ + (1 − λ)·x₂), computed in at least float32."""

    def __call__(self, parts: Sequence[Tensor], weights: Sequence[Tensor]) -> Tensor:
        dtype = torch.promote_types(parts[0].dtype, weights[0].dtype)
        if len(parts) == 2:  # one pass, and exact if both parts are equal
            return torch.lerp(parts[1].to(dtype), parts[0].to(dtype), broadcast_weights(weights[0].to(dtype), parts[0]))
        return _total([broadcast_weights(w.to(dtype), x) * x.to(dtype) for x, w in zip(parts, weights, strict=True)])


class BCPlus(Blend):
    """BC+: images as waveforms, mixed by perceived energy (Tokozume et al. 2018, section 3.2, eq. 2).

    x = Σ_k p_k·x_k / √(Σ_k p_k²) with p_k ∝ w_k/σ_k; for two images p = 1 / (1 + (σ₁/σ₂)·(1−r)/r). σ is the standard
    deviation of an image that is centred on its own mean. Flat images mix with p = w. Each component can be switched
    off, as in the paper's ablation.
    zero_mean: (a) images are centred, at test time too; normalise: (b) the blend is divided by √(Σ_k p_k²); by_energy:
    (c) p comes from σ, otherwise p = w.
    Differs from the paper: nothing; the centring is part of the input normalisation.
    """

    input_only = (
        "BC+ treats an image as a waveform around zero, and a hidden layer's output is none; mix=bc mixes at any layer"
    )
    kinds = ("image",)

    def __init__(self, zero_mean: bool = True, normalise: bool = True, by_energy: bool = True) -> None:
        self.zero_mean, self.normalise, self.by_energy = zero_mean, normalise, by_energy

    def __call__(self, parts: Sequence[Tensor], weights: Sequence[Tensor]) -> Tensor:
        if self.by_energy:
            weights = self._by_energy(parts, weights)
        blend = _total([broadcast_weights(w, x) * x for x, w in zip(parts, weights, strict=True)])
        return blend / broadcast_weights(_total([w**2 for w in weights]).sqrt(), blend) if self.normalise else blend

    @staticmethod
    def _by_energy(parts: Sequence[Tensor], weights: Sequence[Tensor]) -> list[Tensor]:
        """p_k = w_k·Π_{j≠k} σ_j, scaled to sum to 1: equals w_k/σ_k, but is also defined at σ = 0 and w = 0."""
        deviations = [x.flatten(1).std(1, correction=0) for x in parts]
        scaled = []
        for k, weight in enumerate(weights):
            for j, deviation in enumerate(deviations):
                weight = weight * deviation if j != k else weight
            scaled.append(weight)
        total = sum(scaled)
        return [(p / total).where(total > 0, w) for p, w in zip(scaled, weights, strict=True)]


class LoudnessBlend(Blend):
    """Between-class learning's blend of waveforms by perceived loudness (Tokozume et al. 2018, ICLR).

    x = Σ_k p_k·x_k / √(Σ_k p_k²) with p_k ∝ w_k·10^(−G_k/20); for two sounds p = 1 / (1 + 10^((G₁−G₂)/20)·(1−r)/r).
    G, in dB, is the largest A-weighted power over a sound's frames, at least −80. A frame is a Hann window of n_fft
    samples, one every n_fft/2; its power is the sum of its power spectrum. n_fft is the power of two nearest to a ninth
    of a second: 2048 at 16 kHz and 4096 at 44.1 kHz, as in the paper's code, and 1024 at 8 kHz. If all parts are
    silent, p = w.
    sample_rate: of the sounds, in Hz.
    Sounds, float [B, 1, 1, samples], should have the recorded scale, −1…1, to which the floor of −80 dB refers; above
    the floor a common factor changes no p.
    Differs from the paper: a sound shorter than one window is zero-padded to one; the code has no frame for it.
    """

    input_only = "a loudness is that of a waveform, and a hidden layer's output is none; mix=bc mixes at any layer"
    kinds = ("sound",)

    def __init__(self, sample_rate: Annotated[int, Field(ge=1000)]) -> None:
        self.sample_rate = sample_rate
        self.n_fft = 2 ** round(math.log2(sample_rate / 9))

    def __call__(self, parts: Sequence[Tensor], weights: Sequence[Tensor]) -> Tensor:
        loudness = torch.stack([self.loudness(x) for x in parts])
        # relative to the quietest part, so that no factor exceeds 1
        shares = torch.stack(tuple(weights)) * 10 ** ((loudness.amin(0) - loudness) / 20)
        shares = shares / shares.sum(0)
        blend = _total([broadcast_weights(p, x) * x for x, p in zip(parts, shares, strict=True)])
        return blend / broadcast_weights(shares.square().sum(0).sqrt(), blend)

    def loudness(self, x: Tensor) -> Tensor:
        """G in dB, float32 [B], of waveforms, float [B, …]."""
        waves = x.flatten(1).float()
        waves = F.pad(waves, (0, max(0, self.n_fft - waves.shape[1])))
        frames = waves.unfold(1, self.n_fft, self.n_fft // 2) * torch.hann_window(self.n_fft, device=x.device)
        spectrum = torch.view_as_real(torch.fft.rfft(frames))  # [B, frames, frequencies, 2]
        frequencies = torch.arange(self.n_fft // 2 + 1, device=x.device) * (self.sample_rate / self.n_fft)
        weight = 10 ** (a_weighting(frequencies) / 10)
        power = (spectrum.square().sum(3) * weight).sum(2).amax(1)
        return 10 * power.clamp(min=10 ** (FLOOR_DB / 10)).log10()


def a_weighting(frequencies: Tensor) -> Tensor:
    """A-weighting in dB, at least −80, of frequencies in Hz; 0 dB at 1 kHz (IEC 61672-1, annex E)."""
    square = frequencies.square()
    poles = (square + 12194**2).log10() + (square + 20.6**2).log10()
    poles = poles + 0.5 * (square + 107.7**2).log10() + 0.5 * (square + 737.9**2).log10()
    return (2.0 + 20 * (2 * math.log10(12194) + 2 * square.log10() - poles)).clamp(min=FLOOR_DB)

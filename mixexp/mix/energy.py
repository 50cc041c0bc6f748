from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from mixexp.mix import Blend, like


class Energy(Blend):
    """BC+: images as waveforms, mixed by perceived energy (Tokozume et al. 2018, section 3.2, eq. 2).

    x = Σ_k p_k·x_k / √(Σ_k p_k²) with p_k ∝ w_k/σ_k, for two images p = 1 / (1 + (σ₁/σ₂)·(1−r)/r), σ the standard deviation of an
    image that is centred on its own mean. Flat images mix with p = w. Each part of it can be left out, as in the paper's ablation:
    zero_mean (a): images are centred, at test time too; normalise (b): the blend is divided by √(Σ_k p_k²); by_energy (c): p comes
    from σ, else p = w.
    Differs from the paper: nothing; the centring is done with normalisation.
    """

    input_only = "BC+ treats an image as a waveform around zero, and a hidden layer's output is none; mix=bc mixes at any layer"
    kinds = ("image",)

    def __init__(self, zero_mean: bool = True, normalise: bool = True, by_energy: bool = True) -> None:
        self.zero_mean, self.normalise, self.by_energy = zero_mean, normalise, by_energy

    def __call__(self, parts: Sequence[Tensor], weights: Sequence[Tensor]) -> Tensor:
        if self.by_energy:
            weights = self._by_energy(parts, weights)
        blend = sum(like(w, x) * x for x, w in zip(parts, weights, strict=True))
        return blend / like(sum(w**2 for w in weights).sqrt(), blend) if self.normalise else blend

    @staticmethod
    def _by_energy(parts: Sequence[Tensor], weights: Sequence[Tensor]) -> list[Tensor]:
        """p_k = w_k·Π_{j≠k} σ_j, scaled to sum to 1: the same as w_k/σ_k, but defined at σ = 0 and w = 0 too."""
        deviations = [x.flatten(1).std(1, correction=0) for x in parts]
        scaled = []
        for k, weight in enumerate(weights):
            for j, deviation in enumerate(deviations):
                weight = weight * deviation if j != k else weight
            scaled.append(weight)
        total = sum(scaled)
        return [(p / total).where(total > 0, w) for p, w in zip(scaled, weights, strict=True)]

from __future__ import annotations

from torch import Tensor

from mixexp.mix import Blend


class Energy(Blend):
    """BC+: images as waveforms, mixed by perceived energy (Tokozume et al. 2018, section 3.2, eq. 2).

    x = (p·first + (1−p)·second) / √(p² + (1−p)²) with p = 1 / (1 + (σ₁/σ₂)·(1−lam)/lam), σ the standard deviation of an image
    that is centred on its own mean. Written p = lam·σ₂ / (lam·σ₂ + (1−lam)·σ₁), which holds at lam = 0 too; two flat images mix
    with p = lam.
    Differs from the paper: nothing; the centring is done with normalisation, at test time too.
    """

    input_only = "BC+ treats an image as a waveform around zero, and a hidden layer's output is none; mix=bc mixes at any layer"
    zero_mean = True

    def __call__(self, first: Tensor, second: Tensor, lam: Tensor) -> Tensor:
        weight_first = lam * second.flatten(1).std(1, correction=0)
        weight_second = (1 - lam) * first.flatten(1).std(1, correction=0)
        total = weight_first + weight_second
        p = (weight_first / total).where(total > 0, lam).view(-1, *[1] * (first.dim() - 1))
        return (p * first + (1 - p) * second) / (p**2 + (1 - p) ** 2).sqrt()

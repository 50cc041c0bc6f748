"""RICAP against a loop over pixels, its labels, its limits and its draws."""

from __future__ import annotations

import numpy as np
import pytest
import scipy
import torch
from running import errors_of, resolved
from torch import Tensor

from mixexp.mix.label import MixedLabel
from mixexp.mix.ricap import Ricap

pytestmark = pytest.mark.fast


def drawn(mix: Ricap, size: tuple[int, int], rows: int, batch: int, seed: int = 0) -> dict[str, Tensor]:
    mix.prepare(torch.zeros(1, 1, *size), torch.zeros(1, dtype=torch.int64))
    draws = mix.draw(seed, 0, np.arange(rows), batch, batch)
    assert all(len(values) == rows for values in draws.values())
    return {name: torch.from_numpy(values) for name, values in draws.items()}


def some_images(count: int, size: tuple[int, int], dtype: torch.dtype = torch.float32) -> Tensor:
    values = np.random.default_rng(0).normal(size=(count, 2, *size))
    return torch.from_numpy(values).to(dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("per", ["sample", "batch"])
@pytest.mark.parametrize("size", [(7, 10), (8, 8), (1, 5)])
def test_ricap_against_a_loop(size: tuple[int, int], per: str, dtype: torch.dtype) -> None:
    mix, count = Ricap(0.7, per, MixedLabel()), 6
    labels = torch.arange(count) * 70  # more than 256 classes
    images, (height, width) = some_images(count, size, dtype), size
    for seed in range(8):
        draws = drawn(mix, size, count, count, seed)
        plan = mix.plan(labels, draws)
        blended, soft = plan.apply(images), plan.labels.to_one_hot(400)
        orders = [sorted(range(count), key=lambda i, k=k: draws["order"][i, k].item()) for k in range(3)]
        for i in range(count):
            h, w = draws["split"][i].tolist()
            shown = [i, *(order[i] for order in orders)]
            expected, areas = torch.empty_like(images[i]), [0] * 4
            for y in range(height):
                for x in range(width):
                    k = 2 * (y >= h) + (x >= w)
                    top, left = draws["start"][i, k].tolist()
                    expected[:, y, x] = images[shown[k], :, y - h * (y >= h) + top, x - w * (x >= w) + left]
                    areas[k] += 1
            if set(shown) != {i}:
                assert torch.equal(blended[i], expected)
                exact = [np.float32(area / (height * width)) for area in areas]
                assert [weight[i].item() for weight in plan.weights] == exact
            target = torch.zeros(400)
            for k in range(4):
                target[labels[shown[k]]] += plan.weights[k][i]
            torch.testing.assert_close(soft[i], target)
            assert soft[i].sum().item() == pytest.approx(1, abs=1e-6)
        assert blended.dtype == dtype and all(
            torch.equal(a, b) for a, b in zip(plan.labels.weights, plan.weights, strict=True)
        )


def test_a_boundary_at_the_border_leaves_the_image_to_the_bit() -> None:
    size, images = (6, 9), some_images(5, (6, 9))
    mix, labels = Ricap(0.3, "batch", MixedLabel()), torch.arange(5)
    draws = drawn(mix, size, 5, 5)
    draws |= {"split": torch.tensor([size] * 5), "start": torch.zeros(5, 4, 2, dtype=torch.int32)}
    plan = mix.plan(labels, draws)
    assert torch.equal(plan.apply(images), images) and plan.weights[0].eq(1).all()
    assert torch.equal(plan.labels.to_one_hot(5), torch.eye(5))


def test_crops_are_inside_and_uniform_and_boundaries_are_betas() -> None:
    size, n = (12, 9), 20_000
    draws = drawn(Ricap(0.3, "sample", MixedLabel()), size, n, 100)
    split, start = draws["split"].numpy(), draws["start"].numpy()
    for axis, length in enumerate(size):
        edges = (np.arange(length + 2) - 0.5) / length
        share = np.diff(scipy.stats.beta(0.3, 0.3).cdf(edges.clip(0, 1)))
        assert scipy.stats.chisquare(np.bincount(split[:, axis], minlength=length + 1), n * share).pvalue > 1e-3
        for k in range(4):
            second = (k // 2, k % 2)[axis]
            crop = length - split[:, axis] if second else split[:, axis]
            assert (start[:, k, axis] >= 0).all() and (start[:, k, axis] + crop <= length).all()
            there = start[crop == length - 4, k, axis]
            assert scipy.stats.chisquare(np.bincount(there, minlength=5)).pvalue > 1e-3
    assert abs(np.corrcoef(split[:, 0], split[:, 1])[0, 1]) < 0.03
    assert abs(np.corrcoef(split[1:, 0], split[:-1, 0])[0, 1]) < 0.03


def test_a_batch_shares_its_boundary_and_its_crops() -> None:
    draws = drawn(Ricap(0.3, "batch", MixedLabel()), (12, 9), 50, 8)
    for name in ("split", "start"):
        assert all(len(unit.unique(dim=0)) == 1 for unit in draws[name].split(8))
        assert len(draws[name].unique(dim=0)) > 3


def test_the_three_permutations_are_independent() -> None:
    draws = drawn(Ricap(0.3, "batch", MixedLabel()), (4, 4), 4000, 4)
    partners = torch.stack([unit.argsort(0) for unit in draws["order"].split(4)])  # [batches, 4, 3]
    both = np.zeros((4, 4))
    np.add.at(both, (partners[:, 0, 0].numpy(), partners[:, 0, 1].numpy()), 1)
    assert scipy.stats.chisquare(both.flatten()).pvalue > 1e-3


def test_one_graph_for_the_compiler() -> None:
    mix, images, labels = Ricap(0.3, "sample", MixedLabel()), some_images(8, (6, 6)), torch.arange(8)
    draws = drawn(mix, (6, 6), 8, 8)

    def blended(images: Tensor, labels: Tensor, draws: dict[str, Tensor]) -> tuple[Tensor, ...]:
        plan = mix.plan(labels, draws)
        return plan.apply(images), *plan.weights

    torch.compiler.reset()
    compiled = torch.compile(blended, fullgraph=True, dynamic=False, backend="eager")
    for one, other in zip(compiled(images, labels, draws), blended(images, labels, draws), strict=True):
        assert torch.equal(one, other)


def test_a_hidden_layer_and_tables_are_refused() -> None:
    assert errors_of(resolved("mix=ricap", "mix_layer=layer1")) == [
        "mix_layer = layer1: mix at the input instead, with mix_layer=input; a crop is one of an image; mix=cutmix puts"
        " boxes of features together"
    ]
    assert errors_of(resolved("mix=ricap", "dataset=iris", "model=mlp")) == [
        "mix: it needs data of the kind image or spectrogram, and this data set's is table"
    ]

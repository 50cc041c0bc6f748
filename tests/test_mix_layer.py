"""Mixing at every layer of every model: limits of the weight, blends left behind, gradients, and the draw of layers."""

from __future__ import annotations

import functools
import gc
import weakref
from collections import Counter
from typing import Any

import numpy as np
import pytest
import scipy
import torch
from running import names, option, raw_option
from torch import Tensor, nn

from mixexp.build import build, locate
from mixexp.labels import MixedLabels
from mixexp.loss import Loss
from mixexp.mix import Mix, Plan
from mixexp.mix.blend import Linear
from mixexp.mix_layer import MixLayer, RandomLayer
from mixexp.training.network import Network, forward_blended, layers

SMALL: dict[str, dict[str, Any]] = {
    "wide_resnet28_10": {"depth": 10, "widen": 1},
    "resnet32": {"depth": 8, "width": 2},
    "densenet_bc190": {"depth": 10, "growth": 4},
    "small_cnn": {"width": 4},
}
IMAGE_SIZES = [(4, 6), (8, 12), (16, 24), (32, 32), (224, 224)]  # in the order of trial
CLASSES = 5
ORDER = torch.tensor([2, 0, 3, 1])
PLACES = ["input", "layer1", "layer2", "layer3", "final"]


def families() -> list[str]:
    """A model of every class, whose options share its forward pass; tests/test_model.py has all of them."""
    return list({raw_option("model", name)["_target_"]: name for name in reversed(names("model"))}.values())


def node(group: str, name: str) -> dict[str, Any]:
    return option(group, name)


def drop_nothing(network: nn.Module) -> None:
    from torchvision.ops import StochasticDepth  # more than a second, which other tests need not take

    for module in network.modules():
        if isinstance(module, nn.modules.dropout._DropoutNd | StochasticDepth):
            module.eval()


@functools.cache
def ready(name: str) -> tuple[Network, Tensor]:
    """A network in double precision and images for it; its BatchNorms hold the statistics of these images.

    With those of an untrained network, a deep one in evaluation mode gives every image nearly the same logits.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for image_size in IMAGE_SIZES:
            try:
                body = build(node("model", name) | SMALL.get(name, {}), in_channels=3, image_size=image_size)
            except ValueError:
                continue
            network = Network(body, nn.Linear(body.num_features, CLASSES)).double()
            for module in network.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.momentum = None  # a plain average over all batches seen, here one
            images = torch.randn(4, 3, *image_size, dtype=torch.float64)
            drop_nothing(network.train())
            network(images)
            return network, images
    raise AssertionError(f"{name} accepts none of {IMAGE_SIZES}")


def plan_of(weight: float) -> Plan:
    lam = torch.full((4,), weight)
    own = torch.arange(4)
    return Plan(MixedLabels((own, ORDER), (lam, 1 - lam)), (own, ORDER), (lam, 1 - lam), Linear())


@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
@pytest.mark.parametrize("name", families())
def test_weight_one_changes_nothing_and_weight_zero_permutes(name: str, training: bool) -> None:
    network, images = ready(name)
    drop_nothing(network.train(training))
    with torch.no_grad():
        plain, permuted = network(images), network(images[ORDER])
        spread = (plain - permuted).abs().max().item()
        assert spread > 1e-3 * plain.abs().max()
        assert layers(network.body) == ["input", *network.body.stages, "final"]
        for layer in layers(network.body):
            one, zero, half = (forward_blended(network, images, layer, plan_of(lam).apply) for lam in (1.0, 0.0, 0.5))
            torch.testing.assert_close(one, plain, rtol=0, atol=1e-5 * spread, msg=layer)
            torch.testing.assert_close(zero, permuted, rtol=0, atol=1e-5 * spread, msg=layer)
            assert (half - plain).abs().max() > 1e-3 * spread, layer
            torch.testing.assert_close(
                network(images), plain, rtol=0, atol=1e-5 * spread, msg=f"{layer}: a blend is left behind"
            )


@pytest.mark.parametrize("name", families())
def test_the_blend_sees_the_representation_once(name: str) -> None:
    network, images = ready(name)
    network.eval()
    stages = {}
    watching = [
        network.body.get_submodule(path).register_forward_hook(
            lambda module, args, output, stage=stage: stages.update({stage: output.clone()})
        )
        for stage, path in network.body.stages.items()
    ]
    with torch.no_grad():
        features = network.body(images)
    for handle in watching:
        handle.remove()
    expected = {"input": images, **stages, "final": features}
    assert list(expected) == layers(network.body)
    for layer, representation in expected.items():
        seen: list[Tensor] = []
        with torch.no_grad():
            forward_blended(network, images, layer, lambda x, seen=seen: (seen.append(x.clone()), x)[1])
        assert len(seen) == 1
        torch.testing.assert_close(seen[0], representation)


@pytest.mark.fast
@pytest.mark.parametrize("layer", PLACES)
def test_small_cnn_blended_by_hand(layer: str) -> None:
    network, images = ready("small_cnn")
    network.eval()
    parts = {
        "input": nn.Identity(),
        **{name: network.body.get_submodule(name) for name in ("layer1", "layer2", "layer3")},
    }
    lam = torch.tensor([0.1, 0.7, 0.4, 1.0])
    plan = Plan(MixedLabels((ORDER,)), (torch.tensor([0, 1, 2, 3]), ORDER), (lam, 1 - lam), Linear())

    def by_hand(x: Tensor) -> Tensor:
        return torch.stack([w * a + (1 - w) * b for w, a, b in zip(lam.tolist(), x, x[[2, 0, 3, 1]], strict=True)])

    with torch.no_grad():
        x = images
        for name, part in parts.items():
            x = by_hand(part(x)) if name == layer else part(x)
        x = x.mean((2, 3))
        expected = network.head(by_hand(x) if layer == "final" else x)
        found = forward_blended(network, images, layer, plan.apply)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)


def fail(*_: Any) -> Tensor:
    raise RuntimeError("on purpose")


@pytest.mark.parametrize("name", families())
def test_nothing_is_blended_after_an_exception(name: str) -> None:
    network, images = ready(name)
    network.eval()
    with torch.no_grad():
        plain = network(images)
        for layer in layers(network.body):
            with pytest.raises(RuntimeError, match="on purpose"):
                forward_blended(network, images, layer, fail)
            torch.testing.assert_close(network(images), plain, rtol=0, atol=0, msg=layer)


@pytest.mark.fast
def test_a_network_is_free_as_soon_as_nobody_uses_it() -> None:
    network = small_network(build(node("loss", "kl")))
    weights = weakref.ref(network.body.layer1[0][0].weight)
    gc.collect()
    gc.disable()
    try:
        del network
        assert weights() is None, "on a GPU, the next run needs its memory before the collector comes round"
    finally:
        gc.enable()


def small_network(loss: Loss) -> Network:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        body = build(node("model", "small_cnn") | SMALL["small_cnn"], in_channels=2, image_size=(8, 8))
        return Network(body, loss.head(body.num_features, CLASSES)).train()


def batch_of(mix: Mix, batch_size: int) -> tuple[Tensor, Plan]:
    rng, source_images = np.random.default_rng(0), mix.source_images(batch_size)
    images = torch.from_numpy(rng.normal(size=(source_images, 2, 8, 8)).astype(np.float32))
    labels = torch.arange(source_images) % 2
    if hasattr(getattr(mix, "pairing", None), "k"):
        mix.pairing.k = 1
    mix.prepare(images, labels)
    draws = {
        key: torch.from_numpy(values)
        for key, values in mix.draw(0, 0, np.arange(source_images), source_images, batch_size).items()
    }
    everybody = (
        torch.cat([torch.arange(source_images), draws["external"]]) if mix.external else torch.arange(source_images)
    )
    return images[everybody], mix.plan(labels[everybody], draws)


def covering() -> list[tuple[str, str, str]]:
    """Every mix with every loss, and either with every layer: all pairs of the three in as few networks as that
    takes."""
    return [
        (mix, loss, PLACES[(i + j) % len(PLACES)])
        for i, mix in enumerate(names("mix"))
        for j, loss in enumerate(names("loss"))
    ]


@pytest.mark.fast
@pytest.mark.parametrize(("mix_name", "loss_name", "layer"), covering())
def test_every_mix_trains_at_every_layer(mix_name: str, loss_name: str, layer: str) -> None:
    loss = build(node("loss", loss_name), class_counts=np.full(CLASSES, 3))
    network, mix = small_network(loss), build(node("mix", mix_name))
    images, plan = batch_of(mix, 12)
    if mix.blend is not None and mix.blend.needs_plane and (layer == "final" or mix.blend.input_only):
        layer = "input"  # pixels have no meaning elsewhere, or there are none
    losses = loss(forward_blended(network, images, layer, plan.apply), plan.labels)
    assert losses.shape == (12,) and losses.isfinite().all()
    (losses.mean() + loss.penalty(network.head)).backward()
    without = [
        key
        for key, p in network.named_parameters()
        if p.grad is None or not p.grad.isfinite().all() or not p.grad.any()
    ]
    assert without == []


STEPPED = [
    name
    for name in names("mix")
    if "step_size" in (raw := raw_option("mix", name)) and not locate(raw["pairing"]["_target_"]).external
]


@pytest.mark.fast
@pytest.mark.parametrize("layer", PLACES)
@pytest.mark.parametrize("mix_name", STEPPED)
def test_few_images_below_the_layer_and_all_samples_above(mix_name: str, layer: str) -> None:
    loss = build(node("loss", "kl"))
    network, mix = small_network(loss), build(node("mix", mix_name) | {"step_size": 4})
    images, plan = batch_of(mix, 12)
    rows = {}
    chain = {name: network.body.get_submodule(name) for name in ("layer1", "layer2", "layer3")}
    for name, module in {**chain, "final": network.head}.items():
        module.register_forward_pre_hook(lambda module, args, name=name: rows.update({name: len(args[0])}))
    outputs = forward_blended(network, images, layer, plan.apply)
    assert len(images) == 4 and outputs.shape == (12, CLASSES) and loss(outputs, plan.labels).shape == (12,)
    reached = PLACES.index(layer)
    assert rows == {name: 12 if name == "final" or PLACES.index(name) > reached else 4 for name in PLACES[1:]}


@pytest.mark.fast
@pytest.mark.parametrize("name", names("mix_layer"))
def test_layers_are_drawn_equally(name: str) -> None:
    mix_layer: MixLayer = build(node("mix_layer", name))
    drawn = mix_layer.draw(np.random.default_rng(0), 6000)
    counts = Counter(drawn)
    assert len(drawn) == 6000 and counts.keys() == set(mix_layer.layers)
    assert len(counts) == 1 or scipy.stats.chisquare(list(counts.values())).pvalue > 1e-3
    assert drawn == mix_layer.draw(np.random.default_rng(0), 6000)
    assert len(counts) == 1 or drawn != mix_layer.draw(np.random.default_rng(1), 6000)


def test_every_layer_option_fits_some_model() -> None:
    known = [set(layers(ready(name)[0].body)) for name in names("model")]
    for name in names("mix_layer"):
        wanted = set(build(node("mix_layer", name)).layers)
        assert any(wanted <= there for there in known), name


@pytest.mark.fast
def test_what_the_named_options_are() -> None:
    assert {name: build(node("mix_layer", name)).layers for name in ("input", "final", "random", "layer3")} == {
        "input": ["input"],
        "final": ["final"],
        "random": ["input", "layer1", "layer2"],
        "layer3": ["layer3"],
    }
    with pytest.raises(ValueError, match="named twice"):
        RandomLayer(["input", "input"])

"""Every option of the model group keeps the contract of Body; the known networks have their published sizes."""

from __future__ import annotations

import functools
import importlib
import inspect
from pathlib import Path
from typing import Any, get_type_hints

import pydantic
import pytest
import torch
import torch.nn.functional as F
from running import option
from torch import nn

from mixexp.model import Body
from mixexp.model.blocks import AvgPool2x2
from mixexp.training.network import Network

CONF = Path(__file__).parents[1] / "conf" / "model"
NAMES = sorted(path.stem for path in CONF.glob("*.yaml"))
# Further options of the same classes, held to the same contract: (YAML, what differs).
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    **{name: (name, {}) for name in NAMES},
    "preact_resnet18 dropout": ("preact_resnet18", {"dropout": 0.3}),
    "preact_resnet18 bare activated": ("preact_resnet18", {"stem_batchnorm": False}),
    "cnn10 max batchnorm": ("cnn10", {"pool": "max", "final_batchnorm": True}),
    "mnist_cnn no batchnorm": ("mnist_cnn", {"final_batchnorm": False}),
    "densenet 16-3": ("densenet_bc190", {"depth": 16, "growth": 3}),
    "mnist_cnn narrow": ("mnist_cnn", {"width": 3}),
    "small_cnn narrow": ("small_cnn", {"width": 3}),
    "small_cnn dropout": ("small_cnn", {"dropout": 0.3}),
    "wide_resnet 10-1 dropout": ("wide_resnet28_10", {"depth": 10, "widen": 1, "dropout": 0.3}),
    "resnet 14-5": ("resnet32", {"depth": 14, "width": 5}),
    "wide_resnet 16-2": ("wide_resnet28_10", {"depth": 16, "widen": 2}),
    "mobilenet_v3_small": (
        "torchvision_model",
        {
            "name": "mobilenet_v3_small",
            "stages": ["features.0", "features.3", "features.12"],
            "classifier": "classifier.3",
        },
    ),
}
# In the order of trial: the first image a model accepts. Not square, so that height and width cannot be confused.
IMAGE_SIZES = [(8, 16), (16, 24), (32, 48), (224, 224)]
BATCH = 4
GOOGLENET = {"name": "googlenet", "stages": ["inception4a"], "classifier": "fc", "arguments": {"init_weights": False}}
VIT_BLOCK = "encoder.layers.encoder_layer_0"
VIT = {"name": "vit_b_16", "stages": [VIT_BLOCK], "classifier": "heads.head", "arguments": {"image_size": 64}}


def build(
    variant: str, in_channels: int = 3, image_size: tuple[int, int] = (32, 32), changes: dict[str, Any] | None = None
) -> Body:
    name, variation = VARIANTS[variant]
    options = option("model", name) | variation | (changes or {})
    module, cls = options.pop("_target_").rsplit(".", 1)
    return getattr(importlib.import_module(module), cls)(in_channels, image_size, **options)


def images(in_channels: int, image_size: tuple[int, int], batch: int = BATCH) -> torch.Tensor:
    return torch.randn(batch, in_channels, *image_size, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


@functools.cache
def ready(variant: str) -> tuple[Body, torch.Tensor]:
    """A body in double precision, so that rounding in deep networks hides nothing, and images for it; built once.

    Its BatchNorms hold the statistics of these images: with those of an untrained network, a deep one in evaluation
    mode gives every image nearly the same features, and a permutation would go unseen.
    """
    torch.manual_seed(0)
    for image_size in IMAGE_SIZES:
        try:
            body = build(variant, image_size=image_size).double()
        except ValueError:
            continue
        for module in body.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.momentum = None  # a plain average over all batches seen, here one
        set_mode(body, training=True)
        x = images(3, image_size)
        with torch.no_grad():
            body(x)
        return body, x
    raise AssertionError(f"{variant} accepts none of {IMAGE_SIZES}")


def set_mode(body: Body, training: bool) -> None:
    """Training or evaluation mode, but what drops at random stays off."""
    from torchvision.ops import StochasticDepth  # more than a second, which collecting need not take

    body.train(training)
    for module in body.modules():
        if isinstance(module, nn.modules.dropout._DropoutNd | StochasticDepth):
            module.eval()


WHOLE = {"wide_resnet28_10", "resnet32", "densenet_bc190", "preact_resnet34", "preact_resnet34_plain"}
"""Networks whose blocks are run in a smaller one, and they on the meta device and against their definition."""


@pytest.fixture(params=[name for name in VARIANTS if name not in WHOLE])
def variant(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.mark.fast
@pytest.mark.parametrize("name", NAMES)
def test_yaml_holds_exactly_the_constructors_options(name: str) -> None:
    text = (CONF / f"{name}.yaml").read_text()
    assert text.startswith("# ")
    values = option("model", name)
    module, cls = values.pop("_target_").rsplit(".", 1)
    init = getattr(importlib.import_module(module), cls).__init__
    parameters = list(inspect.signature(init).parameters.values())
    assert [p.name for p in parameters[:3]] == ["self", "in_channels", "image_size"]
    options = parameters[3:]
    assert all(p.kind is inspect.Parameter.KEYWORD_ONLY for p in options)
    assert values.keys() >= {p.name for p in options if p.default is not None}, (
        "only what is null by default may be left out"
    )
    hints = get_type_hints(init, include_extras=True)
    schema = pydantic.create_model(
        "Options", __config__={"extra": "forbid"}, **{p.name: (hints[p.name], None) for p in options}
    )
    schema.model_validate(values, strict=True)


@pytest.mark.fast
@pytest.mark.parametrize(
    ("name", "in_channels", "count"),
    [
        ("preact_resnet18", 3, 11_171_274),
        ("preact_resnet18_plain", 3, 11_171_146),
        ("resnet18", 3, 11_173_962),
        ("cnn10", 3, 1_923_914),
        ("cnn11", 3, 7_582_154),
        ("preact_resnet34", 3, 21_279_434),
        ("preact_resnet34_plain", 3, 21_279_306),
        ("densenet_bc190", 3, 25_624_430),
        ("mnist_cnn", 1, 94_442),
        ("mnist_cnn_2d", 1, 93_188),
        ("mlp", 1, 149_002),
        ("lenet", 1, 1_631_080),
        ("vgg11", 1, 9_489_866),
        ("small_cnn", 1, 24_058),
        ("sound_cnn", 1, 38_154),
        ("torchvision_model", 3, 11_181_642),
        ("wide_resnet28_10", 3, 36_479_194),
        ("resnet32", 3, 464_154),
    ],
)
def test_parameter_count(name: str, in_channels: int, count: int) -> None:
    with torch.device("meta"):
        body = build(name, in_channels)
        head = nn.Linear(body.num_features, 10)
        assert body(torch.empty(BATCH, in_channels, 32, 32)).shape == (BATCH, body.num_features)
    assert sum(p.numel() for module in (body, head) for p in module.parameters()) == count


def test_features_and_stages(variant: str) -> None:
    body, x = ready(variant)
    set_mode(body, training=False)
    calls: list[str] = []
    hooks = []
    for stage, path in body.stages.items():

        def note(module: nn.Module, args: object, output: object, stage: str = stage) -> None:
            assert isinstance(output, torch.Tensor)
            assert len(output) == BATCH
            calls.append(stage)

        hooks.append(body.get_submodule(path).register_forward_hook(note))
    features = body(x)
    for hook in hooks:
        hook.remove()
    assert calls == list(body.stages)
    assert features.shape == (BATCH, body.num_features)
    assert features.isfinite().all()
    torch.testing.assert_close(body(x[:1]), features[:1])
    torch.testing.assert_close(body(x.contiguous(memory_format=torch.channels_last)), features)


@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
def test_permuting_a_stage_permutes_the_features(variant: str, training: bool) -> None:
    body, x = ready(variant)
    set_mode(body, training)
    order = torch.tensor([2, 0, 3, 1])
    with torch.no_grad():
        features = body(x)
        spread = (features[order] - features).abs().max().item()
        assert spread > 1e-3 * features.abs().max()
        for path in body.stages.values():
            hook = body.get_submodule(path).register_forward_hook(lambda module, args, output: output[order])
            torch.testing.assert_close(body(x), features[order], rtol=0, atol=1e-5 * spread)
            hook.remove()


def test_gradients_reach_every_parameter(variant: str) -> None:
    body, x = ready(variant)
    set_mode(body, training=True)
    body.zero_grad()
    features = body(x)
    (features * images(1, (*features.shape[1:], 1))[:, 0, :, 0]).sum().backward()
    without = [
        name for name, p in body.named_parameters() if p.grad is None or not p.grad.isfinite().all() or not p.grad.any()
    ]
    assert without == []


@pytest.mark.parametrize("in_channels", [1, 4])
def test_other_channels(variant: str, in_channels: int) -> None:
    image_size = tuple(ready(variant)[1].shape[2:])
    with torch.device("meta"):
        body = build(variant, in_channels, image_size)
        assert body(torch.empty(BATCH, in_channels, *image_size)).shape == (BATCH, body.num_features)


def naive_preact(
    body: Body, x: torch.Tensor, *, stem_batchnorm: bool, raw: bool, blocks: tuple[int, ...] = (2, 2, 2, 2)
) -> torch.Tensor:
    """A PreAct ResNet in training mode, written from the definition on the body's parameters in their order of use."""
    parameters = iter(body.parameters())

    def conv(x: torch.Tensor, stride: int = 1, padding: int = 1) -> torch.Tensor:
        return F.conv2d(x, next(parameters), stride=stride, padding=padding)

    def bn_relu(x: torch.Tensor) -> torch.Tensor:
        mean, var = x.mean((0, 2, 3), keepdim=True), x.var((0, 2, 3), keepdim=True, correction=0)
        scale, shift = next(parameters)[:, None, None], next(parameters)[:, None, None]
        return ((x - mean) / (var + 1e-5).sqrt() * scale + shift).clamp(min=0)

    x = conv(x)
    if stem_batchnorm:
        x = bn_relu(x)
    for channels, first_stride, count in zip([64, 128, 256, 512], [1, 2, 2, 2], blocks, strict=True):
        for stride in [first_stride] + [1] * (count - 1):
            activated = bn_relu(x)
            residual = conv(bn_relu(conv(activated, stride)))
            shortcut = x if raw else activated
            x = residual + (conv(activated, stride, padding=0) if stride == 2 else shortcut)
            assert x.shape[1] == channels
    assert next(parameters, None) is None
    return x.flatten(2).mean(2)


@pytest.mark.parametrize(
    ("variant", "stem_batchnorm", "raw"),
    [
        ("preact_resnet18", True, False),
        ("preact_resnet18_plain", False, True),
        ("preact_resnet18 bare activated", False, False),
    ],
)
def test_preact_resnet18_against_its_definition(variant: str, stem_batchnorm: bool, raw: bool) -> None:
    body, x = ready(variant)
    set_mode(body, training=True)
    with torch.no_grad():
        features = body(x)
        torch.testing.assert_close(features, naive_preact(body, x, stem_batchnorm=stem_batchnorm, raw=raw))
        assert not torch.allclose(
            features, naive_preact(body, x, stem_batchnorm=stem_batchnorm, raw=not raw), rtol=1e-3
        )


@pytest.mark.parametrize(
    ("variant", "stem_batchnorm", "raw"), [("preact_resnet34", True, False), ("preact_resnet34_plain", False, True)]
)
def test_preact_resnet34_against_its_definition(variant: str, stem_batchnorm: bool, raw: bool) -> None:
    body, x = ready(variant)
    set_mode(body, training=True)
    with torch.no_grad():
        torch.testing.assert_close(
            body(x), naive_preact(body, x, stem_batchnorm=stem_batchnorm, raw=raw, blocks=(3, 4, 6, 3))
        )


def naive_densenet(body: Body, x: torch.Tensor, *, layers: int) -> torch.Tensor:
    """DenseNet-BC in training mode, written from the definition on the body's parameters in their order of use."""
    parameters = iter(body.parameters())

    def conv(x: torch.Tensor, padding: int = 0) -> torch.Tensor:
        return F.conv2d(x, next(parameters), padding=padding)

    def bn_relu(x: torch.Tensor) -> torch.Tensor:
        scale, shift = next(parameters), next(parameters)
        return F.batch_norm(x, None, None, scale, shift, training=True).relu()

    x = conv(x, padding=1)
    for block in range(3):
        maps = [x]
        for _ in range(layers):
            maps.append(conv(bn_relu(conv(bn_relu(torch.cat(maps, 1)))), padding=1))
        x = torch.cat(maps, 1)
        if block < 2:
            x = F.avg_pool2d(conv(bn_relu(x)), 2)
            assert x.shape[1] == sum(m.shape[1] for m in maps) // 2
    x = bn_relu(x)
    assert next(parameters, None) is None
    return x.flatten(2).mean(2)


def test_densenet_against_its_definition() -> None:
    body, x = ready("densenet 16-3")
    set_mode(body, training=True)
    with torch.no_grad():
        torch.testing.assert_close(body(x), naive_densenet(body, x, layers=2))


def test_densenet_starts_as_its_code_and_has_the_papers_sizes() -> None:
    """Table 2 of the DenseNet paper: 0.8 M parameters at depth 100 and growth 12, 25.6 M at 190 and 40."""
    with torch.device("meta"):
        sizes = {}
        for depth, growth in [(100, 12), (190, 40)]:
            body = build("densenet_bc190", changes={"depth": depth, "growth": growth})
            sizes[depth] = sum(p.numel() for p in body.parameters()) + 10 * body.num_features + 10
    assert sizes == {100: 769_162, 190: 25_624_430}
    with pytest.raises(ValueError, match="nearest below is 184"):
        build("densenet_bc190", changes={"depth": 189})
    conv = build("densenet_bc190", changes={"depth": 10, "growth": 40}).layer3[0].new[5].weight
    assert conv.shape == (40, 160, 3, 3)
    assert conv.std().item() == pytest.approx((2 / (9 * 40)) ** 0.5, rel=0.02)


def test_an_embedding_is_one_linear_layer_of_the_network_without() -> None:
    torch.manual_seed(0)
    body = build("mnist_cnn_2d", 1, (28, 28), {"final_batchnorm": False})
    plain = build("mnist_cnn", 1, (28, 28), {"final_batchnorm": False})
    plain.load_state_dict({name: values for name, values in body.state_dict().items() if not name.startswith("embed")})
    x = torch.randn(5, 1, 28, 28)
    torch.testing.assert_close(body(x), plain(x) @ body.embed.weight.T + body.embed.bias)


@pytest.mark.parametrize("name", ["cnn10", "mnist_cnn", "mnist_cnn_2d", "small_cnn"])
def test_layers_begin_as_kerass_do_the_heads_too(name: str) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        body = build(name, changes={"layer_defaults": "keras", "final_batchnorm": False})
        network = Network(body, nn.Sequential(nn.BatchNorm1d(body.num_features), nn.Linear(body.num_features, 1000)))
    fans = {"Conv2d": lambda w: [9 * w.shape[1], 9 * w.shape[0]], "Linear": lambda w: [w.shape[1], w.shape[0]]}
    for module in network.modules():
        if fan := fans.get(type(module).__name__):
            limit = (6 / sum(fan(module.weight))) ** 0.5
            assert 0.97 * limit < module.weight.abs().max() <= limit
            assert module.weight.std().item() == pytest.approx(
                limit / 3**0.5, rel=0.1 if module.weight.numel() > 500 else 0.2
            )
            assert module.bias is None or not module.bias.any()
        elif "BatchNorm" in type(module).__name__:
            assert (round(1 - module.momentum, 9), module.eps) == (0.99, 1e-3)
            assert (module.weight == 1).all() and not module.bias.any()
    assert {type(module).__name__ for module in network.modules()} >= {"Conv2d", "Linear", "BatchNorm2d", "BatchNorm1d"}


def test_with_torchs_layers_a_network_draws_what_it_drew_before_there_was_a_choice() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = Network(build("cnn10"), nn.Linear(256, 10))
        torch.manual_seed(0)
        conv = nn.Conv2d(3, 64, 3, bias=False)
    assert torch.equal(network.body.layer1[0][0].weight, conv.weight)
    assert {(m.momentum, m.eps) for m in network.modules() if isinstance(m, nn.BatchNorm2d)} == {(0.1, 1e-5)}


def test_dropout_sits_between_the_convolutions_of_each_block() -> None:
    for variant, blocks in [("preact_resnet18 dropout", 8), ("wide_resnet 10-1 dropout", 3), ("small_cnn dropout", 1)]:
        body, x = ready(variant)
        dropouts = [module for module in body.modules() if isinstance(module, nn.Dropout)]
        assert [module.p for module in dropouts] == [0.3] * blocks
        body.train()
        assert not torch.equal(body(x), body(x))
        body.eval()
        assert torch.equal(body(x), body(x))


def test_cnn11_starts_as_the_paper_says() -> None:
    body = build("cnn11")
    conv = body.conv3[3].weight
    assert conv.std().item() == pytest.approx((2 / (9 * 256)) ** 0.5, rel=0.02)
    for linear, fan_in in [(body.fc4[1], 4096), (body.fc5[0], 1024)]:
        assert linear.in_features == fan_in
        assert linear.weight.abs().max().item() == pytest.approx(fan_in**-0.5, rel=1e-3)
        assert not linear.bias.any()


@pytest.mark.parametrize(("name", "least"), [("cnn10", 4), ("mnist_cnn", 4), ("cnn11", 8)])
def test_too_small_images(name: str, least: int) -> None:
    body = build(name, image_size=(least, least)).eval()
    assert body(torch.zeros(1, 3, least, least)).shape == (1, body.num_features)
    with pytest.raises(ValueError, match=f"{least}x{least} pixels; these are {least}x{least - 1}"):
        build(name, image_size=(least, least - 1))


@pytest.mark.fast
@pytest.mark.parametrize(("side", "final"), [(1, 1), (2, 2), (3, 3), (4, 2), (7, 3), (8, 2), (28, 7)])
def test_small_cnn_never_pools_below_two(side: int, final: int) -> None:
    body = build("small_cnn", 1, (side, side)).eval()
    x = torch.zeros(1, 1, side, side)
    assert body.layer3(body.layer2(body.layer1(x))).shape[2:] == (final, final)


def naive_cifar_resnet(body: Body, x: torch.Tensor, blocks: int, width: int) -> torch.Tensor:
    """A CIFAR ResNet with option A in training mode, on the body's parameters in their order of use."""
    parameters = iter(body.parameters())

    def conv_bn(x: torch.Tensor, stride: int = 1) -> torch.Tensor:
        x = F.conv2d(x, next(parameters), stride=stride, padding=1)
        mean, var = x.mean((0, 2, 3), keepdim=True), x.var((0, 2, 3), keepdim=True, correction=0)
        scale, shift = next(parameters)[:, None, None], next(parameters)[:, None, None]
        return (x - mean) / (var + 1e-5).sqrt() * scale + shift

    x = conv_bn(x).clamp(min=0)
    for layer in range(3):
        for block in range(blocks):
            stride = 2 if layer > 0 and block == 0 else 1
            residual = conv_bn(conv_bn(x, stride).clamp(min=0))
            shortcut = torch.zeros_like(residual)
            first = (residual.shape[1] - x.shape[1]) // 2  # of the old channels, which lie in the middle
            for channel in range(x.shape[1]):
                for i in range(residual.shape[2]):
                    for j in range(residual.shape[3]):
                        shortcut[:, first + channel, i, j] = x[:, channel, i * stride, j * stride]
            x = (residual + shortcut).clamp(min=0)
        assert x.shape[1] == width * 2**layer
    assert next(parameters, None) is None
    return x.flatten(2).mean(2)


def test_cifar_resnet_against_its_definition() -> None:
    body, _ = ready("resnet 14-5")
    set_mode(body, training=True)
    x = images(3, (6, 9))
    with torch.no_grad():
        torch.testing.assert_close(body(x), naive_cifar_resnet(body, x, blocks=2, width=5))


def test_resnet32_starts_as_ldams_code_and_has_the_papers_sizes() -> None:
    """Table 6 of the ResNet paper: 0.27, 0.46, 0.66 and 0.85 M parameters at 20, 32, 44 and 56 layers."""
    with torch.device("meta"):
        sizes = {
            depth: sum(p.numel() for p in build("resnet32", changes={"depth": depth}).parameters()) + 650
            for depth in (20, 32, 44, 56)
        }
    assert [round(size / 1e6, 2) for size in sizes.values()] == [0.27, 0.46, 0.66, 0.85]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = Network(build("resnet32"), nn.Linear(64, 1000))
    for module, fan_in in ((network.body.layer2[1].residual[0], 9 * 32), (network.head, 64)):
        assert module.weight.std().item() == pytest.approx((2 / fan_in) ** 0.5, rel=0.03)
    with pytest.raises(ValueError, match="nearest below is 32"):
        build("resnet32", changes={"depth": 34})


def test_wide_resnet_depth() -> None:
    with pytest.raises(ValueError, match="nearest below is 22"):
        build("wide_resnet28_10", changes={"depth": 27})


@pytest.mark.fast
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "resnet81"}, "Did you mean 'resnet18'"),
        ({"stages": ["layer1", "layer9"]}, "no submodule 'layer9'.*conv1, bn1, relu, maxpool, layer1"),
        ({"stages": [""]}, "no submodule ''"),
        ({"stages": ["layer1", "layer2", "layer1"]}, "twice.*layer1"),
        ({"classifier": "layer4"}, "must be an nn.Linear, but in resnet18 it is Sequential"),
        ({"classifier": "head"}, "no submodule 'head'"),
        ({"arguments": {"num_classes": 10}}, "num_classes would do nothing"),
        ({"arguments": {"droput": 0.1}}, "refused by torchvision's resnet18"),
        ({"stages": ["layer1.0.relu"]}, "called 2 times"),
        ({"stages": ["layer1.0.conv1"]}, "bypasses 'layer1.0.conv1'"),
        (VIT | {"arguments": {"image_size": 32}}, "3 channels and 64x64 pixels"),
        (
            {"name": "vgg11", "stages": ["features"], "classifier": "classifier.3"},
            r"returns \(2, 1000\) .* not \(2, 4096\)",
        ),
        (GOOGLENET, r"returns GoogLeNetOutputs .* \{aux_logits: false\}"),
        (VIT | {"stages": [f"{VIT_BLOCK}.self_attention"]}, "returns tuple, not one tensor"),
    ],
)
def test_torchvision_model_refuses(changes: dict[str, Any], message: str) -> None:
    with torch.device("meta"), pytest.raises(ValueError, match=message):
        build("torchvision_model", image_size=(64, 64), changes=changes)


@pytest.mark.parametrize("changes", [GOOGLENET | {"arguments": {"init_weights": False, "aux_logits": False}}, VIT])
def test_torchvision_model_passes_arguments_on(changes: dict[str, Any]) -> None:
    with torch.device("meta"):
        body = build("torchvision_model", 1, (64, 64), changes)
        assert body(torch.empty(BATCH, 1, 64, 64)).shape == (BATCH, body.num_features)


def test_torchvision_model_first_conv_and_generator() -> None:
    from mixexp.model.torchvision_model import TorchvisionModel  # a second, which collecting need not take

    options = {"name": "resnet18", "stages": ["layer1"], "classifier": "fc"}
    torch.manual_seed(0)
    three = TorchvisionModel(3, (32, 32), **options)
    torch.manual_seed(0)
    five = TorchvisionModel(5, (32, 32), **options)
    conv = five.network.conv1
    assert (conv.kernel_size, conv.stride, conv.padding, conv.bias) == ((7, 7), (2, 2), (3, 3), None)
    assert torch.equal(conv.weight, three.network.conv1.weight[:, [0, 1, 2, 0, 1]])
    assert all(not module._forward_hooks for module in five.modules())
    assert all(not buffer.is_meta for buffer in five.buffers())
    assert five.network.bn1.num_batches_tracked == 0


@pytest.mark.parametrize("size", [(8, 8), (7, 9), (2, 3)])
def test_the_compilers_form_of_the_pool_is_the_pool(size: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    images = torch.randn(3, 4, *size, dtype=torch.float64, requires_grad=True)
    found, gradients = [], []
    for compiling in (False, True):
        monkeypatch.setattr(torch.compiler, "is_compiling", lambda compiling=compiling: compiling)
        found.append(AvgPool2x2()(images))
        gradients += torch.autograd.grad(found[-1].square().sum(), images)
    torch.testing.assert_close(found[1], found[0])
    torch.testing.assert_close(gradients[1], gradients[0])

from __future__ import annotations

from typing import Annotated, Any

import torch
import torchvision
from pydantic import Field
from torch import nn

from mixexp.errors import closest
from mixexp.model import Body
from mixexp.text import listed


class TorchvisionModel(Body):
    """Any of torchvision's classification networks, untrained, with its classifier taken off.

    Input [B, in_channels, H, W]; features [B, in_features of the classifier]. Where in_channels is not 3, the network's
    first convolution is replaced by one of the same settings; its starting weight repeats the three input channels of
    the replaced one in turn (one channel: the first of them).

    name : as in torchvision.models.list_models(module=torchvision.models).
    stages : paths of the submodules that are the stages, shallow to deep; a stage is called as its path.
    classifier : path of the last linear layer.
    arguments : passed on to torchvision's builder, e.g. {image_size: 32} for vit_b_16.

    Raises ValueError for an unknown name, refused arguments, a path that does not exist, a classifier that is not
    nn.Linear, images the network cannot take, and a stage that breaks the contract of Body. The last two are seen in a
    pass on the meta device, which computes nothing.

    Source: torchvision.models.
    Differs from the paper: the networks are torchvision's; most have stems made for 224×224 images.
    """

    kinds = ("image", "spectrogram")

    def __init__(
        self,
        in_channels: int,
        image_size: tuple[int, int],
        *,
        name: str,
        stages: Annotated[list[str], Field(min_length=1)],
        classifier: str,
        arguments: dict[str, Any] = {},  # noqa: B006  the signature is the schema; never written to
    ) -> None:
        super().__init__()
        self.network = _build(name, dict(arguments))
        linear = _submodule(self.network, "classifier", classifier)
        if not isinstance(linear, nn.Linear):
            kind = type(linear).__name__
            raise ValueError(f"model.classifier = {classifier!r}: must be an nn.Linear, but in {name} it is {kind}")
        self.num_features = linear.in_features
        self.network.set_submodule(classifier, nn.Identity())
        if in_channels != 3:
            _replace_first_conv(self.network, in_channels)
        if len(set(stages)) < len(stages):
            raise ValueError(f"model.stages names a stage twice: {', '.join(stages)}")
        for stage in stages:
            _submodule(self.network, "stages", stage)
        self.stages = {stage: f"network.{stage}" for stage in stages}
        for stage in stages:
            self._check(name, stage, in_channels, image_size)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.network(x)

    def _check(self, name: str, stage: str, in_channels: int, image_size: tuple[int, int]) -> None:
        """Raise ValueError unless the stage is called once, returns one tensor and nothing goes around it.

        With the stage's output cut off from its past and only the input asking for a gradient, the features still ask
        for one exactly when some path bypasses the stage.
        """
        outputs: list[object] = []

        def cut(module: nn.Module, args: tuple, output: object) -> object:
            outputs.append(output)
            return output.detach() if isinstance(output, torch.Tensor) else output

        state = {key: value.detach().to("meta") for key, value in (*self.named_parameters(), *self.named_buffers())}
        x = torch.empty(2, in_channels, *image_size, device="meta", requires_grad=True)
        hook = self.get_submodule(self.stages[stage]).register_forward_hook(cut)
        try:
            with torch.enable_grad():
                features = torch.func.functional_call(self, state, (x,))
        except (RuntimeError, ValueError, AssertionError) as error:
            height, width = image_size
            raise ValueError(
                f"model.name = {name!r}: cannot take images of {in_channels} channels and {height}x{width} pixels, "
                f"or model.classifier is not its last layer ({error})"
            ) from error
        finally:
            hook.remove()
        if not isinstance(features, torch.Tensor) or features.shape != (2, self.num_features):
            what = tuple(features.shape) if isinstance(features, torch.Tensor) else type(features).__name__
            raise ValueError(
                f"model.name = {name!r}: returns {what} for 2 images, not (2, {self.num_features}); is model.classifier"
                " its last layer, and has it further outputs (model.arguments: {aux_logits: false})?"
            )
        if len(outputs) != 1:
            raise ValueError(
                f"model.stages: {stage!r} of {name} is called {len(outputs)} times in a forward pass, not once"
            )
        if not isinstance(outputs[0], torch.Tensor):
            raise ValueError(f"model.stages: {stage!r} of {name} returns {type(outputs[0]).__name__}, not one tensor")
        if features.requires_grad:
            raise ValueError(
                f"model.stages: a connection of {name} bypasses {stage!r}; name the whole block or layer around it"
            )


def _build(name: str, arguments: dict[str, Any]) -> nn.Module:
    names = torchvision.models.list_models(module=torchvision.models)
    if name not in names:
        hint = closest(name, names)
        raise ValueError(
            f"model.name = {name!r}: torchvision has no such classification model.{hint} It has {listed(names, name)}"
        )
    idle = sorted({"weights", "num_classes", "progress"} & arguments.keys())
    if idle:
        raise ValueError(
            f"model.arguments: {', '.join(idle)} would do nothing: nothing is loaded, the loss brings the head"
        )
    try:
        return torchvision.models.get_model(name, weights=None, **arguments)
    except (TypeError, ValueError) as error:
        raise ValueError(f"model.arguments = {arguments}: refused by torchvision's {name} ({error})") from error


def _submodule(network: nn.Module, option: str, path: str) -> nn.Module:
    modules = dict(network.named_modules())
    if not path or path not in modules:
        children = listed((child for child, _ in network.named_children()), path)
        hint = closest(path, modules)
        raise ValueError(f"model.{option}: there is no submodule {path!r}.{hint} The network's children: {children}")
    return modules[path]


def _replace_first_conv(network: nn.Module, in_channels: int) -> None:
    path, old = next((path, module) for path, module in network.named_modules() if isinstance(module, nn.Conv2d))
    new = nn.Conv2d(
        in_channels,
        old.out_channels,
        old.kernel_size,
        old.stride,
        old.padding,
        old.dilation,
        bias=old.bias is not None,
        padding_mode=old.padding_mode,
    )
    with torch.no_grad():
        new.weight.copy_(old.weight[:, [channel % 3 for channel in range(in_channels)]])
        if old.bias is not None:
            new.bias.copy_(old.bias)
    network.set_submodule(path, new)

"""A model's body with a loss's head, and the places in it where a blend can happen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from mixexp.model import Body
from mixexp.model.blocks import he_normal
from mixexp.model.keras import take_keras_defaults


def layers(body: Body) -> list[str]:
    """Every layer a blend can happen at: "input", the model's stages in order, and "final", before the classifier."""
    return ["input", *body.stages, "final"]


class _Blending:
    """The state of a network's hooks during one forward pass: a blend at a layer, or nothing."""

    def __init__(self) -> None:
        self.layer: str | None = None
        self.blend: Callable[[Tensor], Tensor] | None = None

    def hook_at(self, layer: str) -> Callable[..., Tensor | None]:
        """A forward hook for the module whose output is that layer's representation."""

        def hook(module: nn.Module, inputs: Any, output: Tensor) -> Tensor | None:
            return self.blend(output) if self.layer == layer and self.blend is not None else None

        return hook


class Network(nn.Module):
    """head(body(x)): outputs, float [B, C], from images, float32 [B, C_in, H, W].

    Its stages carry hooks from the start, which the compiler can follow, unlike temporary hooks. The hooks hold
    no reference to the network, so that its memory is freed as soon as the last user is gone.
    fixed_norms: the body's BatchNorm uses its running statistics in training mode too, and leaves them.
    """

    def __init__(self, body: Body, head: nn.Module) -> None:
        super().__init__()
        self.body, self.head = body, head
        self.fixed_norms = False
        if body.layer_defaults == "keras":
            take_keras_defaults(self)
        elif body.layer_defaults == "he":
            he_normal(self, linear=True)
        self._blending = _Blending()
        for layer in layers(body)[1:]:
            self.module_at(layer).register_forward_hook(self._blending.hook_at(layer))

    def module_at(self, layer: str) -> nn.Module:
        """The module whose output is a layer's representation; the input has none."""
        return self.body.get_submodule("" if layer == "final" else self.body.stages[layer])

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        for module in self.body.modules() if self.fixed_norms else ():
            if isinstance(module, _BatchNorm):
                module.eval()
        return self

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.body(images))


def forward_blended(network: Network, images: Tensor, layer: str, blend: Callable[[Tensor], Tensor]) -> Tensor:
    """The network's outputs when `blend` is applied to the representation at a layer; images below it stay unblended.

    The blend is hooked to the one module whose input or output that representation is, for this call alone: models do
    not depend on mixing.
    """
    if layer == "input":
        return network(blend(images))
    blending = network._blending
    blending.layer, blending.blend = layer, blend
    try:
        return network(images)
    finally:
        blending.layer = blending.blend = None

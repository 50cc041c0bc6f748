"""A model's body with a loss's head on it, and the places in it where a blend can happen."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from mixexp.model import Body


class Network(nn.Module):
    """head(body(x)): outputs, float [B, C], from images, float32 [B, C_in, H, W]."""

    def __init__(self, body: Body, head: nn.Module) -> None:
        super().__init__()
        self.body, self.head = body, head

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.body(images))


def layers(body: Body) -> list[str]:
    """Every layer a blend can happen at: "input", the model's stages in order, and "final", before the classifier."""
    return ["input", *body.stages, "final"]


def forward_blended(network: Network, images: Tensor, layer: str, blend: Callable[[Tensor], Tensor]) -> Tensor:
    """The network's outputs when `blend` is applied to the representation at a layer; images below it stay unblended.

    The blend is hooked to the one module whose input or output that representation is, for this call alone: models know
    nothing of mixing, and nothing is left behind.
    """
    if layer == "input":
        return network(blend(images))
    module = network.body if layer == "final" else network.body.get_submodule(network.body.stages[layer])
    hook = module.register_forward_hook(lambda _module, _inputs, output: blend(output))
    try:
        return network(images)
    finally:
        hook.remove()

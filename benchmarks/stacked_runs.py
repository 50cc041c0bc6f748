"""The gain from stacking runs in lockstep in one network of grouped convolutions, and its effect on their bits.

The answer decides that mixexp has no such form; see docs/speed.md. Four runs stacked against the same four one
after another, eager and compiled, one CPU thread (or a GPU where there is one): above 1.5 it would pay, if the numbers
did not depend on the others.

    python benchmarks/stacked_runs.py     two minutes
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import torch
import torch.nn.functional as F
from benchmark import best_of
from torch import Tensor, nn

RUNS = 4
CASES = {
    "mnist_cnn": (1, 32, 28, 128),
    "small_cnn, width 16": (3, 16, 32, 128),
    "width 4, batch 32, 8x8": (1, 4, 8, 32),
}
"""Channels, width, side and batch of each network.

It has three 3x3 convolutions with BatchNorm, as mnist_cnn and small_cnn.
"""


class Stacked(nn.Module):
    """The networks of several runs in one: [B, runs * channels, H, W] to logits, [B, runs, 10]."""

    def __init__(self, channels: int, width: int, runs: int) -> None:
        super().__init__()

        def block(inside: int, outside: int) -> list[nn.Module]:
            convolution = nn.Conv2d(runs * inside, runs * outside, 3, padding=1, bias=False, groups=runs)
            return [convolution, nn.BatchNorm2d(runs * outside), nn.ReLU()]

        self.body = nn.Sequential(
            *block(channels, width),
            nn.AvgPool2d(2),
            *block(width, 2 * width),
            nn.AvgPool2d(2),
            *block(2 * width, 4 * width),
        )
        self.head = nn.Parameter(torch.randn(runs, 10, 4 * width) * 0.05)

    def forward(self, images: Tensor) -> Tensor:
        features = self.body(images).mean((2, 3)).view(len(images), len(self.head), -1)
        return torch.einsum("bkf,kcf->bkc", features, self.head)


def stepper(case: tuple[int, int, int, int], runs: int, compiled: bool, device: str) -> Callable[[], None]:
    """A training step of several runs in one network."""
    channels, width, side, batch = case
    network = Stacked(channels, width, runs).to(device, memory_format=torch.channels_last)
    images = torch.randn(batch, runs * channels, side, side, device=device).contiguous(
        memory_format=torch.channels_last
    )
    labels = torch.randint(0, 10, (batch, runs), device=device)
    optimizer = torch.optim.SGD(network.parameters(), 0.1, 0.9, fused=True)

    def loss() -> Tensor:
        return runs * F.cross_entropy(network(images).flatten(0, 1), labels.flatten())

    forward = torch.compile(loss, dynamic=False) if compiled else loss

    def step() -> None:
        optimizer.zero_grad()
        forward().backward()
        optimizer.step()

    return step


def gradient(runs: int, device: str) -> Tensor:
    """The first run's gradient of a convolution that several runs share."""
    torch.manual_seed(0)
    weight, images = torch.randn(16, 3, 3, 3, device=device), torch.randn(128, 3, 32, 32, device=device)
    weights = weight.repeat(runs, 1, 1, 1).requires_grad_()
    stacked = images.repeat(1, runs, 1, 1).contiguous(memory_format=torch.channels_last)
    F.conv2d(stacked, weights, padding=1, groups=runs).square().sum().backward()
    return weights.grad[:16]


def main(words: list[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measurement (default 3)")
    parser.add_argument("--eager", action="store_true", help="leave the compiled ones out")
    arguments = parser.parse_args(words)
    torch.set_num_threads(1)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    print(f"{device}, torch {torch.__version__}, {RUNS} runs: time one after another / time stacked")
    for name, case in CASES.items():
        for compiled in (False,) if arguments.eager else (False, True):
            steps = [stepper(case, runs, compiled, device) for runs in (1, RUNS)]
            for step in steps:  # compiled before any measurement
                step()
            alone, stacked = (best_of(step, arguments.seconds) for step in steps)
            print(f"{name}, {'compiled' if compiled else 'eager'}: {RUNS * alone / stacked:.2f}", flush=True)
    for few, many in ((2, RUNS), (1, RUNS)):
        same = torch.equal(gradient(few, device), gradient(many, device))
        print(f"a run's gradient among {few} and among {many}: {'the same bits' if same else 'other bits'}")


if __name__ == "__main__":
    main()

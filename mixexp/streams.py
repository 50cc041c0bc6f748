"""Counter-based random streams: (seed, purpose, index) names a stream, and equal names give equal numbers.

No stream depends on earlier draws. A run's numbers therefore do not depend on its neighbours, on where it was resumed
or on the global generators, which stay untouched.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
from collections.abc import Callable, Iterator

import numpy as np
import torch


@functools.lru_cache(maxsize=256)
def _digest(seed: int, purpose: str) -> bytes:
    return hashlib.sha256(f"{seed}/{purpose}".encode()).digest()


def generator(seed: int, purpose: str, index: int = 0) -> np.random.Generator:
    """NumPy generator of the stream (seed, purpose, index): Philox4x64 keyed by the first two, from index·2¹⁹² on."""
    key = np.frombuffer(_digest(seed, purpose), dtype=np.uint64, count=2)
    return np.random.Generator(np.random.Philox(key=key, counter=np.array([0, 0, 0, index], dtype=np.uint64)))


@contextlib.contextmanager
def torch_stream(device: torch.device, seed: int, purpose: str, index: int = 0) -> Iterator[Callable[[], bool]]:
    """Context in which torch's own draws (weight initialisation, dropout) come from this stream.

    On exit the generators are as before. It yields a function that returns, inside, whether anything has been drawn.
    """
    value = int(generator(seed, purpose, index).integers(2**63))
    # only this device's and the CPU's generator: torch.manual_seed would reseed other devices for good and, without
    # a CUDA context, formats a stack trace at every call, a millisecond each
    with contextlib.ExitStack() as restore:
        generators = [torch.default_generator]
        if device.type == "cuda":
            torch.cuda.init()
            generators.append(torch.cuda.default_generators[device.index or 0])
        for torch_generator in generators:
            restore.callback(torch_generator.set_state, torch_generator.get_state())
            torch_generator.manual_seed(value)
        seeded = [torch_generator.get_state() for torch_generator in generators]
        if device.type == "mps":  # its generator is not an object of its own
            restore.callback(torch.mps.set_rng_state, torch.mps.get_rng_state())
            torch.mps.manual_seed(value)
        yield (
            lambda: (
                device.type == "mps"
                or not all(torch.equal(g.get_state(), s) for g, s in zip(generators, seeded, strict=True))
            )
        )

"""A run's seconds on this machine's processor, judged by its operations and a step of its network that is timed, before any run is finished."""

from __future__ import annotations

import time

import numpy as np
import torch

from mixexp import streams
from mixexp.labels import MixedLabels
from mixexp.plan.dry_run import data_summary, network_summary
from mixexp.training.device import execution
from mixexp.training.setup import network_of
from mixexp.training.spec import RunConfig
from mixexp.training.task import Work

OPERATIONS = 1.5e9
"""As many as are timed, a fraction of a second on any processor; of a step's images, as many as need no more."""
LARGEST = 5_000_000
"""Parameters of a network that is timed: to make a larger one takes seconds."""
RATE = 25e9
"""Operations a second on a thread, where no step is timed: medians of our kept runs of networks with so many are 19 to 36 billion."""
STEP = 0.003
"""Seconds of a step beside its network's: 3 to 4 ms of the tiny networks on the digits and on iris."""


def judged_seconds(work: Work, step: tuple[float, float] | None, threads: int) -> float:
    """Seconds that a run will take: a guess; step: operations and seconds of one that was timed.

    Four small runs, on iris, the digits and CIFAR-10, took 0.5 to 1.2 times what was guessed (2026-11-30, two busy cores of a Xeon).
    """
    operations, seconds = step or (RATE * threads, 1.0)
    return work.flops * seconds / operations + STEP * work.steps


def timed_step(config: RunConfig) -> tuple[float, float] | None:
    """Operations of a step of a classification's network, and the seconds that it takes; None where it is too large, or fails.

    A forward and a backward pass with the optimizer's update on random images, without data, augmentation and mixing. No global
    generator is touched.
    """
    if config.gan is not None:
        return None
    data, run = data_summary(config), execution(config)
    batch = min(config.build("mix").source_images(config.batch_size), sum(data.counts))
    shape = network_summary(config, data.counts, (min(batch, 2), *data.shape))
    if shape.parameters > LARGEST or 3 * shape.flops * 2 > 2 * OPERATIONS:
        return None
    count = min(batch, max(2, int(OPERATIONS / max(3 * shape.flops, 1))))
    threads = torch.get_num_threads()
    torch.set_num_threads(config.threads)
    try:
        network, loss = network_of(config, data.shape, np.array(data.counts))
        network = network.to(memory_format=run.memory_format)
        optimizer = config.build_optimizer(list(network.parameters()))
        images = torch.from_numpy(streams.generator(0, "timing").standard_normal((count, *data.shape), dtype=np.float32))
        images = images.contiguous(memory_format=run.memory_format)
        labels = MixedLabels((torch.arange(count) % len(data.counts),))
        with streams.torch_stream(torch.device("cpu"), 0, "timing"):
            seconds = []
            for _ in range(3):  # the first one also allocates and chooses kernels
                start = time.perf_counter()
                with run.autocast():
                    outputs = network(images)
                optimizer.zero_grad(set_to_none=True)
                (loss(outputs.float(), labels).mean() + loss.penalty(network.head)).backward()
                optimizer.step()
                seconds.append(time.perf_counter() - start)
    except Exception:  # whatever a class of the user's own may raise, which its run will say
        return None
    finally:
        torch.set_num_threads(threads)
    return 3 * shape.flops * count, min(seconds)

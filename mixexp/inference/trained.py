"""A finished run's network with the weights it kept, as a plain module with its preprocessing.

Needs no training data.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor, nn

from mixexp.dataset import Dataset
from mixexp.dataset.pictures import fitted
from mixexp.dataset.pixels import on_white
from mixexp.errors import UserError, note
from mixexp.loss import Loss
from mixexp.training.data import Normalize
from mixexp.training.device import unknown_device
from mixexp.training.network import Network
from mixexp.training.reader import read_environment, trained_config
from mixexp.training.setup import network_of, restored
from mixexp.training.spec import RunConfig
from mixexp.training.weights import DESCRIBED, Inputs, read_weights

EIGHT_BITS = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "HSV")
"""Modes of PIL images with at most 8 bits a channel."""


class Classifier(nn.Module):
    """A run's network as a plain module: scores, float32 [B, C], from inputs of Preprocess, float32 [B, *shape].

    The largest score names the class; softmax of the scores gives probabilities. network: body and head, as the run
    trained them; step: the training step of the weights.
    """

    def __init__(self, network: Network, loss: Loss, step: int) -> None:
        super().__init__()
        self.network, self.loss, self.step = network, loss, step

    def forward(self, inputs: Tensor) -> Tensor:
        """Scores, float32 [B, C]."""
        return self.loss.scores(self.network(inputs).float())


@dataclass(frozen=True)
class Preprocess:
    """The preprocessing of a run's test images before they entered its network.

    Takes a path, a PIL image of 8 bits, an array of a picture, uint8 [H, W] or [H, W, C], or a tensor [C, H, W] or [N,
    C, H, W] as the data set returns it: uint8, or float32 where the data are; for a table, the columns as the data set
    standardises them. Returns float32 [C, H, W] or [N, C, H, W]. Files and pictures are resized by `inputs.size`;
    arrays and tensors must have the shape. Raises UserError for anything else.

    inputs: shape, mean, std and unit, for code that reimplements the preprocessing. suffixes: of the files that it
    takes.
    """

    inputs: Inputs
    dataset: Dataset = field(repr=False)
    _normalize: Normalize = field(repr=False)

    @classmethod
    def of(cls, inputs: Inputs, dataset: Dataset) -> Preprocess:
        """The preprocessing of a data set's images to these inputs."""
        normalize = Normalize(inputs.mean, inputs.std, inputs.unit, inputs.shape[2], inputs.centred)
        return cls(inputs, dataset, normalize)

    @property
    def suffixes(self) -> frozenset[str]:
        return self.dataset.suffixes

    def __call__(self, item: Any) -> Tensor:
        if isinstance(item, str | Path):
            return self.files([Path(item)])[0]
        if isinstance(item, Image.Image):
            item = np.asarray(self._sized(item))
        if isinstance(item, np.ndarray):
            item = torch.tensor(item)
            if self.inputs.kind == "image" and item.ndim in (2, 3):
                item = (item if item.ndim == 3 else item[..., None]).movedim(-1, 0)
        if not isinstance(item, Tensor):
            raise UserError(f"preprocess: takes a path, a PIL image, an array or a tensor, not {type(item).__name__}")
        batch = item if item.ndim == 4 else item[None]
        dtype = torch.uint8 if self.inputs.unit == 255 else torch.float32
        if list(batch.shape[1:]) != self.inputs.shape or batch.dtype != dtype:
            raise UserError(
                f"preprocess: takes {dtype} of the shape {self.inputs.shape}, channels first (an array of a picture:"
                f" last), not, channels first, {item.dtype} {list(item.shape)}"
            )
        normalised = self._normalize(batch)
        return normalised if item.ndim == 4 else normalised[0]

    def files(self, paths: Sequence[Path]) -> Tensor:
        """Inputs, float32 [N, *shape], from files; raises UserError that names unreadable files."""
        if not self.suffixes:
            raise UserError(
                f"a network for data of the kind {self.inputs.kind} takes no files; give preprocess tensors of shape"
                f" {self.inputs.shape}"
            )
        return self._normalize(self.dataset.from_files(paths, self.inputs.shape))

    def _sized(self, picture: Image.Image) -> Image.Image:
        if self.inputs.kind != "image":
            raise UserError(f"preprocess: a network for data of the kind {self.inputs.kind} takes no pictures")
        if picture.mode not in EIGHT_BITS:
            raise UserError(
                f"preprocess: a PIL image of the mode {picture.mode} has lost its file's range of values; give the path"
                " of the file"
            )
        channels, height, width = self.inputs.shape
        picture = ImageOps.exif_transpose(picture)
        return fitted(on_white(picture, "L" if channels == 1 else "RGB"), height, width)


class Trained(NamedTuple):
    """A trained network in evaluation mode, its preprocessing, and the classes in the order of its scores."""

    model: Classifier
    preprocess: Preprocess
    classes: tuple[str, ...]


def load_trained(folder: Path, device: str = "cpu") -> Trained:
    """The network of a finished run that kept its weights; raises UserError for other folders and damaged weights."""
    if problem := unknown_device(device):
        raise UserError(problem)
    config = RunConfig.of({**trained_config(folder), "device": device, "probe": None, "logger": None})
    state = read_weights(folder)
    if (trained_by := read_environment(folder).get("own_code", config.own_code)) != config.own_code:
        note(
            f"{folder}: code of your own has changed since it was trained ({', '.join(trained_by)}); its weights are"
            " put into what there is now"
        )
    if "network" not in state:
        raise UserError(f"{folder}: its run trained no classifier")
    # a checkpoint.pt, whose description has to come from the data set
    if any(name not in state for name in DESCRIBED):
        parts = restored(folder, config)
        state = {
            **state,
            "inputs": parts.input_format().record(),
            "classes": list(parts.classes),
            "train_counts": parts.counts.tolist(),
        }
    inputs = Inputs.of_record(state["inputs"])
    network, loss = network_of(config, inputs.shape, np.array(state["train_counts"]))
    try:
        network.load_state_dict(state["network"])
        loss.load_state_dict(state["loss"])
    except RuntimeError as error:
        raise UserError(
            f"{folder}: its weights are not those of the network that its config.yaml describes ({error})"
        ) from error
    model = Classifier(network, loss, state["step"]).eval().to(device).to(memory_format=torch.channels_last)
    return Trained(model, Preprocess.of(inputs, config.build("dataset")), tuple(state["classes"]))

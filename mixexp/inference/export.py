"""A trained network in formats for other programs, each compared with the network's outputs: `mixexp export`."""

from __future__ import annotations

import importlib.util
import io
import json
import warnings
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from mixexp.eager import prepare_compiler
from mixexp.errors import UserError
from mixexp.files import atomically
from mixexp.inference.trained import Trained

TOLERANCE = 1e-5
"""The largest error of a score in an export, relative to the largest score where that is above 1."""


class Format(NamedTuple):
    """A format: its file's suffix, the packages it needs besides torch, and its writer and reader.

    write: writes a network to a path, with example inputs and a description as text. run: the scores that the file
    gives for inputs.
    """

    suffix: str
    packages: tuple[str, ...]
    write: Callable[[Trained, Path, Tensor, str], None]
    run: Callable[[Trained, Path, Tensor], Tensor]


def export(trained: Trained, name: str, path: Path, images: Tensor) -> float:
    """Write a network in a format; returns the largest error of its scores on inputs, float32 [N, *shape].

    The error is relative, as in TOLERANCE. Raises UserError where a package is missing, where torch cannot express the
    network in the format, and where the error is above TOLERANCE; then no file is left.
    """
    chosen = FORMATS[name]
    if missing := [package for package in chosen.packages if importlib.util.find_spec(package) is None]:
        raise UserError(
            f"export --to {name}: it needs {', '.join(missing)}, not installed here; pip install 'mixexp[export]'"
        )
    prepare_compiler()
    with atomically(path) as partial:
        try:
            chosen.write(trained, partial, images[:2], description(trained))
        except OSError:
            raise
        except Exception as error:  # torch's exporters raise errors of many kinds
            first = (str(error).splitlines() or [""])[0]
            raise UserError(
                f"export --to {name}: torch cannot express this network in it ({type(error).__name__}: {first})"
            ) from error
        with torch.inference_mode():
            expected, given = trained.model(images), chosen.run(trained, partial, images)
        difference = (expected - given).abs().max().item() / max(1.0, expected.abs().max().item())
        if not difference <= TOLERANCE:
            raise UserError(
                f"export --to {name}: its outputs differ from the network's by {difference:.2g}, more than"
                f" {TOLERANCE:g}"
            )
    return difference


def description(trained: Trained) -> str:
    """The description in an exported file, as JSON: inputs, classes, and the training step of the weights."""
    return json.dumps(
        {"inputs": trained.preprocess.inputs.record(), "classes": list(trained.classes), "step": trained.model.step}
    )


def _write_safetensors(trained: Trained, path: Path, example: Tensor, about: str) -> None:
    from safetensors.torch import save

    states = {name: values.contiguous() for name, values in trained.model.network.state_dict().items()}
    path.write_bytes(save(states, metadata={"mixexp": about}))


def _run_safetensors(trained: Trained, path: Path, images: Tensor) -> Tensor:
    from safetensors.torch import load

    states = load(path.read_bytes())
    weights = trained.model.network.state_dict()
    if weights.keys() != states.keys() or not all(torch.equal(weights[name], states[name]) for name in weights):
        raise UserError("export --to safetensors: the file holds other weights than the network")
    return trained.model(images)


def _write_torchscript(trained: Trained, path: Path, example: Tensor, about: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.jit is deprecated, and a trace needs no checks of sizes
        traced = torch.jit.trace(trained.model, example)
        content = io.BytesIO()
        torch.jit.save(traced, content, _extra_files={"mixexp.json": about})
    path.write_bytes(content.getbuffer())


def _run_torchscript(trained: Trained, path: Path, images: Tensor) -> Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.jit.load(io.BytesIO(path.read_bytes()), map_location="cpu")(images)


def _write_onnx(trained: Trained, path: Path, example: Tensor, about: str) -> None:
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()):  # the exporter prints its progress
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            trained.model,
            (example,),
            dynamo=True,
            input_names=["inputs"],
            output_names=["scores"],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            verbose=False,
        )
    assert program is not None  # which an export by dynamo gives
    model = program.model_proto
    entry = model.metadata_props.add()
    entry.key, entry.value = "mixexp", about
    path.write_bytes(model.SerializeToString())


def _run_onnx(trained: Trained, path: Path, images: Tensor) -> Tensor:
    import onnxruntime

    session = onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    (scores,) = session.run(None, {"inputs": np.ascontiguousarray(images.numpy())})
    return torch.from_numpy(scores)


FORMATS: dict[str, Format] = {
    "safetensors": Format(".safetensors", ("safetensors",), _write_safetensors, _run_safetensors),
    "onnx": Format(".onnx", ("onnx", "onnxscript", "onnxruntime"), _write_onnx, _run_onnx),
    "torchscript": Format(".pt", (), _write_torchscript, _run_torchscript),
}


def inputs_to_compare(trained: Trained, images: Tensor | None) -> Tensor:
    """Inputs, float32 [N, *shape], for the comparison: test images in the data set's units, else random numbers."""
    if images is not None:
        return trained.preprocess(images)
    shape: Any = (8, *trained.preprocess.inputs.shape)
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))

"""The weights that a finished run keeps, and the description of its network's inputs: weights.pt.

Plain torch.load reads it too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mixexp.errors import UserError
from mixexp.training.checkpoint import State, read, reason_of

WEIGHTS = "weights.pt"
FILES = (WEIGHTS, "checkpoint.pt")
"""Files of a run's folder that hold weights; the first one present counts."""
DESCRIBED = ("inputs", "classes", "train_counts")
"""Facts of environment.json stored with the weights, which cannot be used without them."""


@dataclass(frozen=True)
class Inputs:
    """The rule by which images become a network's inputs: (x / unit − mean) / std per channel, float32 [B, *shape].

    kind: image, sound, spectrogram or table. shape: of an image, [C, H, W]. unit: 255 for images of 8 bits, else 1.
    centred: whether each image is first centred on its own mean. size: how a file becomes an image of that shape, in
    words.
    """

    kind: str
    shape: list[int]
    unit: int
    mean: list[float]
    std: list[float]
    centred: bool
    size: str

    def record(self) -> dict[str, Any]:
        """The inputs as a JSON object."""
        return asdict(self)

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> Inputs:
        """The inputs that a record describes; raises UserError for a record of another version."""
        try:
            return cls(**record)
        except TypeError as error:
            raise UserError(
                f"{WEIGHTS}: it describes its inputs in another way than this version of mixexp ({error})"
            ) from error


def read_weights(folder: Path) -> State:
    """The weights that a run's folder keeps, on the CPU, whatever version wrote them.

    Raises UserError where they are damaged or missing.
    """
    path = next((folder / name for name in FILES if (folder / name).is_file()), folder / WEIGHTS)
    try:
        return read(path)[1]
    except Exception as error:  # the reader raises many kinds of errors for a truncated or damaged file
        raise UserError(f"{path}: cannot be read ({reason_of(error)})") from error

"""The weights that a finished run keeps, with all that its network's inputs need: weights.pt, which plain torch.load
reads too."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mixexp.errors import UserError
from mixexp.training.checkpoint import State, read, reason_of

WEIGHTS = "weights.pt"
FILES = (WEIGHTS, "checkpoint.pt")
"""Files of a run's folder that hold weights, the first that is there counts."""
DESCRIBED = ("inputs", "classes", "train_counts")
"""Facts of environment.json that are kept beside weights: without them nobody can use these."""


@dataclass(frozen=True)
class Inputs:
    """How a data set's images become a network's inputs: (x / unit − mean) / std per channel, float32 [B, *shape].

    kind: image, sound, spectrogram or table. shape: of one image, [C, H, W]. unit: 255 for images of 8 bits, else 1.
    centred: whether each image is centred on its own mean before. size: how a file becomes an image of that shape, in
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
        """Itself as JSON has it."""
        return asdict(self)

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> Inputs:
        """The inputs that a record describes; raises UserError where it is of another version."""
        try:
            return cls(**record)
        except TypeError as error:
            raise UserError(
                f"{WEIGHTS}: it describes its inputs in another way than this version of mixexp ({error})"
            ) from error


def read_weights(folder: Path) -> State:
    """What a run's folder keeps of its weights, on the CPU, whatever version made it; raises UserError where it is
    damaged or not there."""
    path = next((folder / name for name in FILES if (folder / name).is_file()), folder / WEIGHTS)
    try:
        return read(path)[1]
    except Exception as error:  # whatever a cut or damaged file makes the reader raise
        raise UserError(f"{path}: cannot be read ({reason_of(error)})") from error

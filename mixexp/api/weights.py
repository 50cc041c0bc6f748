"""A trained network from Python."""

from __future__ import annotations

from pathlib import Path

from mixexp.api.start import folder_of, folders_of, plain_errors
from mixexp.inference.trained import Trained, load_trained
from mixexp.training.reader import Run


@plain_errors
def load(run: Run | str | Path, device: str = "cpu", config_dir: str | Path | None = None) -> Trained:
    """The network of a finished run that kept its weights (keep=last or best): model, preprocess, classes.

    model: an ordinary nn.Module in evaluation mode on the device, from inputs, float32 [B, C, H, W], to scores, float32
    [B, classes]. preprocess: the preprocessing of the run's test images, from a path, a PIL image, an array or a tensor
    to float32 [C, H, W] (Preprocess). run: a Run or its folder. config_dir: the folder of options next to the user's
    own network. Raises UserError where the run kept no weights or they are damaged.

    >>> import mixexp
    >>> model, preprocess, classes = mixexp.load(mixexp.run(mix="mixup", epochs=1, keep="last"))
    >>> classes[:3], model.training
    (('0', '1', '2'), False)
    >>> import torch
    >>> model(preprocess(torch.zeros(5, 1, 8, 8, dtype=torch.uint8))).shape
    torch.Size([5, 10])
    """
    from mixexp.plan.compose import own_options

    with own_options(folders_of(config_dir)):
        return load_trained(folder_of("load", run), device)

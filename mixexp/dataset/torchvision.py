"""The usual small benchmarks, read from the files that torchvision downloads."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import socket
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from filelock import FileLock
from pydantic import Field
from torch import Tensor
from torchvision import datasets

from mixexp.dataset import Dataset, Splits, check_statistics
from mixexp.errors import UserError

# torchvision knows only the MD5 of the .gz files; these are of the unpacked files, taken where the .gz matched
_IDX_MD5 = {
    "MNIST": {
        "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
        "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
        "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
        "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
    },
    "FashionMNIST": {
        "train-images-idx3-ubyte": "f4a8712d7a061bf5bd6d2ca38dc4d50a",
        "train-labels-idx1-ubyte": "9018921c3c673c538a1fc5bad174d6f9",
        "t10k-images-idx3-ubyte": "8181f5470baa50b63fa0f6fddb340f0a",
        "t10k-labels-idx1-ubyte": "15d484375f8d13e6eb1aabb0c3f46965",
    },
}

# a mirror that accepts a connection and then sends nothing must not block a sweep for ever
_STALLED_AFTER_SECONDS = 60.0


class FromTorchvision(Dataset):
    """CIFAR-10/100 or SVHN [3, 32, 32], MNIST or FashionMNIST [1, 28, 28], in the official order.

    SVHN is read without its extra part. Every file's MD5 is checked at each load, before torchvision reads it, because
    a pickle can run code.
    Source: files and folders are torchvision's, so that each finds the other's downloads.
    """

    not_scientific = ("data_dir", "download")  # checksums show that the files are the same in any folder

    def __init__(
        self,
        name: Literal["CIFAR10", "CIFAR100", "MNIST", "FashionMNIST", "SVHN"],
        data_dir: str,
        download: bool = True,
        mean: list[Annotated[float, Field(ge=0, le=1)]] | None = None,
        std: list[Annotated[float, Field(gt=0)]] | None = None,
    ) -> None:
        self.name, self.data_dir, self.download = name, data_dir, download
        self.mean, self.std = mean, std

    def load(self) -> Splits:
        """Images uint8 [N, C, H, W], downloaded if missing and allowed; UserError for missing or damaged files."""
        root = Path(self.data_dir).expanduser().absolute()
        missing = self._missing(root, _files(self.name))
        if missing:
            if not self.download:
                raise self._absent(root, missing, "Nothing was fetched, as download=false.")
            try:
                self._fetch(root, missing)
            # a dead mirror fails in many ways: URLError, a broken archive, HTML with status 200, a read-only folder
            except Exception as error:
                raise self._absent(root, missing, f"The download failed ({type(error).__name__}: {error}).") from error
            self._missing(root, missing)
        train, test = (_part(self.name, root, part) for part in ("train", "test"))
        classes = tuple(map(str, range(10))) if self.name in ("MNIST", "SVHN") else tuple(train.classes)
        splits = Splits(*_tensors(train), *_tensors(test), classes)
        check_statistics(self.mean, self.std, splits.train_images.shape[1])
        return splits

    def _missing(self, root: Path, files: dict[str, str]) -> dict[str, str]:
        """Missing ones of the files, path → MD5; raises UserError with all files of another MD5."""
        missing, damaged = {}, []
        try:
            for path, expected in files.items():
                if not (root / path).is_file():
                    missing[path] = expected
                    continue
                content = (root / path).read_bytes()
                if (md5 := hashlib.md5(content, usedforsecurity=False).hexdigest()) != expected:
                    damaged.append(f"  {root / path}: {len(content)} bytes, MD5 {md5}, expected {expected}")
        except OSError as error:
            raise UserError(f"{self.name}: its files in {root} cannot be read: {error}") from error
        if damaged:
            raise UserError(
                f"{self.name}: {len(damaged)} of its files are damaged or not the official ones:\n"
                + "\n".join(damaged)
                + "\nDelete them and start again: what is missing is downloaded (download=true), or place sound copies"
                " there."
            )
        return missing

    def _fetch(self, root: Path, missing: dict[str, str]) -> None:
        """Download under a lock into a separate folder, then move whole files, so that an interruption leaves none."""
        root.mkdir(parents=True, exist_ok=True)
        staging = root / f".{self.name}.partial"
        with FileLock(root / f".{self.name}.lock"):
            if all((root / path).is_file() for path in missing):  # another process was first
                return
            shutil.rmtree(staging, ignore_errors=True)
            try:
                # torchvision unpacks an existing archive instead of downloading it; a copy, as it overwrites a bad one
                for archive in _archives(self.name):
                    if (root / archive).is_file():
                        (staging / archive).parent.mkdir(parents=True, exist_ok=True)
                        shutil.copyfile(root / archive, staging / archive)
                with _quiet_network():
                    _download(self.name, staging)
                for path in missing:
                    (root / path).parent.mkdir(parents=True, exist_ok=True)
                    os.replace(staging / path, root / path)
            finally:
                shutil.rmtree(staging, ignore_errors=True)

    def _absent(self, root: Path, missing: Iterable[str], reason: str) -> UserError:
        archives = _archives(self.name)
        unpacked = f" (or, with download=true, their archives: {', '.join(archives)})" if archives else ""
        return UserError(
            f"{self.name}: these files are missing in {root}:\n"
            + "\n".join(f"  {path}" for path in missing)
            + f"\n{reason}\nSet data_dir=FOLDER or the environment variable MIXEXP_DATA to the folder that holds them, "
            f"or place these files in {root}{unpacked}."
        )


def _files(name: str) -> dict[str, str]:
    """Path below the data folder → MD5 of every file that is read, in torchvision's layout."""
    source = getattr(datasets, name)
    if name in _IDX_MD5:
        return {f"{name}/raw/{file}": md5 for file, md5 in _IDX_MD5[name].items()}
    if name == "SVHN":
        return {file: md5 for _, file, md5 in (source.split_list[part] for part in ("train", "test"))}
    listed = [*source.train_list, *source.test_list, (source.meta["filename"], source.meta["md5"])]
    return {f"{source.base_folder}/{file}": md5 for file, md5 in listed}


def _archives(name: str) -> list[str]:
    """Paths below the data folder of the files' archives, from which they can be unpacked without network."""
    source = getattr(datasets, name)
    if name in _IDX_MD5:
        return [f"{name}/raw/{file}" for file, _ in source.resources]
    return [] if name == "SVHN" else [source.filename]


def _part(name: str, root: Path, part: str, download: bool = False) -> Any:
    """Part "train" or "test" as torchvision reads it."""
    which = {"split": part} if name == "SVHN" else {"train": part == "train"}
    return getattr(datasets, name)(root, download=download, **which)


def _tensors(part: Any) -> tuple[Tensor, Tensor]:
    """Images, uint8 [N, C, H, W], and labels, int64 [N].

    CIFAR's images are channels last, MNIST's have no channels, SVHN's have this layout.
    """
    images = torch.as_tensor(part.data)
    if isinstance(part, datasets.SVHN):
        return images.contiguous(), torch.as_tensor(part.labels).reshape(-1)
    return images[:, None] if images.ndim == 3 else images.permute(0, 3, 1, 2), torch.as_tensor(part.targets)


def _download(name: str, root: Path) -> None:
    for part in ("train", "test"):
        _part(name, root, part, download=True)


@contextlib.contextmanager
def _quiet_network() -> Iterator[None]:
    """Context with torchvision's messages on stderr, since stdout is for results, and a timeout for connections."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_STALLED_AFTER_SECONDS)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        socket.setdefaulttimeout(before)

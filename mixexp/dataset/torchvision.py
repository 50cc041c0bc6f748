"""The usual small benchmarks, read whole from the files torchvision downloads."""

from __future__ import annotations

import abc
import contextlib
import hashlib
import io
import os
import pickle
import shutil
import socket
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import torch
from filelock import FileLock
from pydantic import Field
from torch import Tensor
from torchvision import datasets

from mixexp.dataset import Dataset, Splits, check_statistics
from mixexp.errors import UserError

# Torchvision knows the MD5 of the .gz files only. These are of what they unpack to, taken from files whose .gz matched.
_MNIST_MD5 = {
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}
_FASHION_MNIST_MD5 = {
    "train-images-idx3-ubyte": "f4a8712d7a061bf5bd6d2ca38dc4d50a",
    "train-labels-idx1-ubyte": "9018921c3c673c538a1fc5bad174d6f9",
    "t10k-images-idx3-ubyte": "8181f5470baa50b63fa0f6fddb340f0a",
    "t10k-labels-idx1-ubyte": "15d484375f8d13e6eb1aabb0c3f46965",
}
_DIGITS = tuple(str(digit) for digit in range(10))

# A mirror that accepts a connection and then says nothing must not hold a sweep for ever.
_STALLED_AFTER_SECONDS = 60.0


class _Format(abc.ABC):
    """How one family of data sets lies on disk; all paths are relative to the data folder, as torchvision lays them out."""

    @abc.abstractmethod
    def files(self) -> dict[str, str]:
        """Path → MD5 of every file that is read."""

    @abc.abstractmethod
    def archives(self) -> list[str]:
        """Paths of the archives the files come from, which need no network when they are there."""

    @abc.abstractmethod
    def download(self, root: Path) -> None:
        """Have torchvision fetch and unpack everything under root."""

    @abc.abstractmethod
    def parse(self, contents: dict[str, bytes]) -> Splits:
        """The images and labels in the files' contents, which are emptied on the way to halve the peak of memory."""


class _Cifar(_Format):
    """Python pickles; unpickled only after their MD5 was found right, since a pickle can run code."""

    def __init__(self, source: type[datasets.CIFAR10]) -> None:
        self.source = source

    def _path(self, name: str) -> str:
        return f"{self.source.base_folder}/{name}"

    def files(self) -> dict[str, str]:
        listed = [*self.source.train_list, *self.source.test_list, (self.source.meta["filename"], self.source.meta["md5"])]
        return {self._path(name): md5 for name, md5 in listed}

    def archives(self) -> list[str]:
        return [self.source.filename]

    def download(self, root: Path) -> None:
        self.source(root, download=True)

    def parse(self, contents: dict[str, bytes]) -> Splits:
        meta = pickle.loads(contents.pop(self._path(self.source.meta["filename"])), encoding="latin1")
        train = self._batches(contents, self.source.train_list)
        test = self._batches(contents, self.source.test_list)
        return Splits(*train, *test, tuple(meta[self.source.meta["key"]]))

    def _batches(self, contents: dict[str, bytes], listed: Iterable[tuple[str, str]]) -> tuple[Tensor, Tensor]:
        images, labels = [], []
        for name, _ in listed:
            batch = pickle.loads(contents.pop(self._path(name)), encoding="latin1")
            images.append(batch["data"])
            labels += batch["labels"] if "labels" in batch else batch["fine_labels"]
        return torch.from_numpy(np.concatenate(images)).reshape(-1, 3, 32, 32), torch.tensor(labels)


class _Idx(_Format):
    """MNIST's IDX files: a header of big-endian int32 (the last byte of the first counts the axes), then bytes."""

    def __init__(self, source: type[datasets.MNIST], md5s: dict[str, str], classes: tuple[str, ...]) -> None:
        self.source = source
        self.md5s = md5s
        self.classes = classes

    def _path(self, name: str) -> str:
        return f"{self.source.__name__}/raw/{name}"

    def files(self) -> dict[str, str]:
        return {self._path(name): md5 for name, md5 in self.md5s.items()}

    def archives(self) -> list[str]:
        return [self._path(name) for name, _ in self.source.resources]

    def download(self, root: Path) -> None:
        self.source(root, download=True)

    def parse(self, contents: dict[str, bytes]) -> Splits:
        return Splits(
            self._array(contents, "train-images-idx3-ubyte")[:, None],
            self._array(contents, "train-labels-idx1-ubyte").long(),
            self._array(contents, "t10k-images-idx3-ubyte")[:, None],
            self._array(contents, "t10k-labels-idx1-ubyte").long(),
            self.classes,
        )

    def _array(self, contents: dict[str, bytes], name: str) -> Tensor:
        data = contents.pop(self._path(name))
        axes = data[3]
        shape = np.frombuffer(data, ">i4", axes, offset=4)
        # A copy, because a tensor must not share memory with immutable bytes.
        return torch.from_numpy(np.frombuffer(data, np.uint8, offset=4 + 4 * axes).reshape(shape).copy())


class _Svhn(_Format):
    """Matlab files with X [32, 32, 3, N] and y [N, 1] in 1..10, where 10 stands for the digit 0."""

    def files(self) -> dict[str, str]:
        return {name: md5 for _, name, md5 in (datasets.SVHN.split_list[split] for split in ("train", "test"))}

    def archives(self) -> list[str]:
        return []

    def download(self, root: Path) -> None:
        for split in ("train", "test"):
            datasets.SVHN(root, split=split, download=True)

    def parse(self, contents: dict[str, bytes]) -> Splits:
        return Splits(*self._split(contents, "train"), *self._split(contents, "test"), _DIGITS)

    def _split(self, contents: dict[str, bytes], split: str) -> tuple[Tensor, Tensor]:
        from scipy.io import loadmat  # only this format needs it

        matrices = loadmat(io.BytesIO(contents.pop(datasets.SVHN.split_list[split][1])), variable_names=("X", "y"))
        images = np.ascontiguousarray(matrices["X"].transpose(3, 2, 0, 1))
        return torch.from_numpy(images), torch.from_numpy(matrices["y"].astype(np.int64).ravel() % 10)


_FORMATS: dict[str, _Format] = {
    "CIFAR10": _Cifar(datasets.CIFAR10),
    "CIFAR100": _Cifar(datasets.CIFAR100),
    "MNIST": _Idx(datasets.MNIST, _MNIST_MD5, _DIGITS),
    "FashionMNIST": _Idx(datasets.FashionMNIST, _FASHION_MNIST_MD5, tuple(datasets.FashionMNIST.classes)),
    "SVHN": _Svhn(),
}


class FromTorchvision(Dataset):
    """CIFAR-10/100 or SVHN [3, 32, 32], MNIST or FashionMNIST [1, 28, 28], in the official order.

    SVHN is read without its extra part. Every file's MD5 is checked at each load (a quarter of a second for CIFAR-10), on
    the very bytes that are then parsed.
    Source: the files and folders are torchvision's, so what it has downloaded is found, and the other way round.
    """

    not_scientific = ("data_dir", "download")  # checksums say that the files are the same wherever they lie

    def __init__(
        self,
        name: Literal["CIFAR10", "CIFAR100", "MNIST", "FashionMNIST", "SVHN"],
        data_dir: str,
        download: bool = True,
        mean: list[Annotated[float, Field(ge=0, le=1)]] | None = None,
        std: list[Annotated[float, Field(gt=0)]] | None = None,
    ) -> None:
        self.name = name
        self.data_dir = data_dir
        self.download = download
        self.mean = None if mean is None else list(mean)
        self.std = None if std is None else list(std)

    def load(self) -> Splits:
        """Images uint8 [N, C, H, W]; downloads what is missing if allowed; raises UserError if files are missing or damaged."""
        root = Path(self.data_dir).expanduser().absolute()
        layout = _FORMATS[self.name]
        contents = self._read(root, layout.files())
        missing = {path: md5 for path, md5 in layout.files().items() if path not in contents}
        if missing:
            if not self.download:
                raise self._absent(root, missing, "Nothing was fetched, as download=false.")
            try:
                self._fetch(root, missing)
            # A dead mirror fails in many ways: URLError, a broken archive, HTML with status 200, a folder not writable.
            except Exception as error:
                raise self._absent(root, missing, f"The download failed ({type(error).__name__}: {error}).") from error
            contents |= self._read(root, missing)
        splits = layout.parse(contents)
        check_statistics(self.mean, self.std, splits.train_images.shape[1])
        return splits

    def _read(self, root: Path, files: dict[str, str]) -> dict[str, bytes]:
        """Path → content of the files that are there; raises UserError naming all whose MD5 is not as expected."""
        try:
            contents = {path: (root / path).read_bytes() for path in files if (root / path).is_file()}
        except OSError as error:
            raise UserError(f"{self.name}: its files in {root} cannot be read: {error}") from error
        sums = {path: hashlib.md5(content, usedforsecurity=False).hexdigest() for path, content in contents.items()}
        damaged = [
            f"  {root / path}: {len(contents[path])} bytes, MD5 {sums[path]}, expected {files[path]}"
            for path in contents
            if sums[path] != files[path]
        ]
        if damaged:
            raise UserError(
                f"{self.name}: {len(damaged)} of its files are damaged or not the official ones:\n"
                + "\n".join(damaged)
                + "\nDelete them and start again: what is missing is downloaded (download=true), or place sound copies there."
            )
        return contents

    def _fetch(self, root: Path, missing: dict[str, str]) -> None:
        """Download under a lock into a folder of its own, then move files in place whole: an interrupted download leaves none."""
        root.mkdir(parents=True, exist_ok=True)
        staging = root / f".{self.name}.partial"
        with FileLock(root / f".{self.name}.lock"):
            if all((root / path).is_file() for path in missing):  # another process was first
                return
            shutil.rmtree(staging, ignore_errors=True)
            try:
                # Torchvision unpacks an archive that is there instead of fetching it; a copy, for it overwrites a bad one.
                for archive in _FORMATS[self.name].archives():
                    if (root / archive).is_file():
                        (staging / archive).parent.mkdir(parents=True, exist_ok=True)
                        shutil.copyfile(root / archive, staging / archive)
                with _quiet_network():
                    _FORMATS[self.name].download(staging)
                for path in missing:
                    (root / path).parent.mkdir(parents=True, exist_ok=True)
                    os.replace(staging / path, root / path)
            finally:
                shutil.rmtree(staging, ignore_errors=True)

    def _absent(self, root: Path, missing: Iterable[str], reason: str) -> UserError:
        archives = _FORMATS[self.name].archives()
        unpacked = f" (or, with download=true, their archives: {', '.join(archives)})" if archives else ""
        return UserError(
            f"{self.name}: these files are missing in {root}:\n"
            + "\n".join(f"  {path}" for path in missing)
            + f"\n{reason}\nSet data_dir=FOLDER or the environment variable MIXEXP_DATA to the folder that holds them, "
            f"or place these files in {root}{unpacked}."
        )


@contextlib.contextmanager
def _quiet_network() -> Iterator[None]:
    """Torchvision's messages go to stderr, since stdout belongs to results, and a connection that stalls fails."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_STALLED_AFTER_SECONDS)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        socket.setdefaulttimeout(before)

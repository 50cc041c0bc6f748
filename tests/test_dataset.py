"""Data sets: real files where MIXEXP_DATA has them, small ones in the same formats elsewhere."""

from __future__ import annotations

import dataclasses
import functools
import gzip
import hashlib
import http.client
import http.server
import inspect
import io
import json
import os
import pickle
import shutil
import subprocess
import sys
import tarfile
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import filelock
import numpy as np
import pytest
import torch
from hydra.utils import get_class
from PIL import Image
from running import option as composed_option
from scipy.io import savemat
from torchvision import datasets

from mixexp.dataset import Dataset, Splits, check_statistics
from mixexp.dataset import digits as digits_module
from mixexp.dataset import torchvision as benchmarks
from mixexp.dataset.digits import Digits
from mixexp.dataset.images import ImageFolder
from mixexp.dataset.split import stratified_split
from mixexp.dataset.torchvision import FromTorchvision
from mixexp.errors import UserError

REPOSITORY = Path(__file__).resolve().parents[1]
OPTIONS = sorted((REPOSITORY / "conf" / "dataset").glob("*.yaml"))
REAL = {
    "CIFAR10": "cifar-10-batches-py/test_batch",
    "CIFAR100": "cifar-100-python/test",
    "MNIST": "MNIST/raw/t10k-images-idx3-ubyte",
    "FashionMNIST": "FashionMNIST/raw/t10k-images-idx3-ubyte",
    "SVHN": "test_32x32.mat",
}
SHAPES = {
    "CIFAR10": (50000, 10000, [3, 32, 32], 10),
    "CIFAR100": (50000, 10000, [3, 32, 32], 100),
    "MNIST": (60000, 10000, [1, 28, 28], 10),
    "FashionMNIST": (60000, 10000, [1, 28, 28], 10),
    "SVHN": (73257, 26032, [3, 32, 32], 10),
}


def real_folder(name: str) -> Path:
    """The folder that has this data set, or skip the test."""
    folder = Path(os.environ.get("MIXEXP_DATA") or "/nonexistent")
    if not (folder / REAL[name]).is_file():
        pytest.skip(f"no {name}: the environment variable MIXEXP_DATA names no folder that has {REAL[name]}")
    return folder


@functools.cache
def real(name: str) -> Splits:
    """The data set itself, which several tests read."""
    return FromTorchvision(name, str(real_folder(name)), download=False).load()


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


# --- the contract ---


def splits(**changed: object) -> Splits:
    images, labels = torch.zeros(2, 1, 4, 4, dtype=torch.uint8), torch.tensor([0, 1])
    whole = Splits(images, labels, images, labels, ("a", "b"))
    return dataclasses.replace(whole, **changed)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"train_images": torch.zeros(2, 1, 4, 4, dtype=torch.float64)}, "train images are torch.float64"),
        (
            {"train_images": torch.full((2, 1, 4, 4), float("nan"))},
            "train images hold values that are not finite numbers",
        ),
        ({"test_images": torch.zeros(2, 4, 4, dtype=torch.uint8)}, r"test images are torch.uint8 \[2, 4, 4\]"),
        (
            {"test_images": torch.zeros(2, 3, 4, 4, dtype=torch.uint8)},
            r"train images are \[1, 4, 4\] each, test images \[3, 4, 4\]",
        ),
        ({"train_labels": torch.tensor([0, 1], dtype=torch.int32)}, "train labels are torch.int32"),
        ({"train_labels": torch.tensor([0])}, "2 train images have 1 labels"),
        ({"test_labels": torch.tensor([0, 2])}, r"test labels lie in 0\.\.2, expected 0\.\.1"),
        ({"train_labels": torch.tensor([-1, 1])}, r"train labels lie in -1\.\.1"),
        (
            {
                "test_images": torch.zeros(0, 1, 4, 4, dtype=torch.uint8),
                "test_labels": torch.zeros(0, dtype=torch.int64),
            },
            "no test images",
        ),
    ],
)
def test_splits_refuse_what_training_could_not_use(changed, words):
    splits()
    with pytest.raises(UserError, match=words):
        splits(**changed)


def test_statistics_have_one_number_per_channel():
    check_statistics(None, None, 3)
    check_statistics([0.5], [0.2], 1)
    with pytest.raises(UserError, match=r"dataset\.std has 3 numbers, but the images have 1 channels"):
        check_statistics([0.5], [0.2] * 3, 1)


@pytest.mark.parametrize("option", OPTIONS, ids=lambda path: path.stem)
def test_every_yaml_key_is_a_constructor_argument_and_the_other_way_round(option):
    text = option.read_text(encoding="utf-8")
    assert text.startswith("# ") and "\n# Source: " in text
    config = composed_option("dataset", option.stem)
    target = get_class(config.pop("_target_"))
    parameters = inspect.signature(target).parameters
    assert issubclass(target, Dataset)
    assert set(config) == set(parameters)
    assert all(parameter.annotation is not inspect.Parameter.empty for parameter in parameters.values())


def test_the_options_are_complete():
    assert {path.stem for path in OPTIONS} >= {
        "digits",
        "cifar10",
        "cifar100",
        "mnist",
        "fashion_mnist",
        "svhn",
        "image_folder",
    }


@pytest.mark.parametrize("option", OPTIONS, ids=lambda path: path.stem)
def test_a_constructor_reads_nothing(option):
    config = composed_option("dataset", option.stem)
    target = get_class(config.pop("_target_"))
    config = {key: "/nonexistent" if key in ("data_dir", "root") else value for key, value in config.items()}
    made = target(**config)
    assert made.mean == config.get("mean") and made.std == config.get("std")


# --- splits and digits ---


def test_a_stratified_split_shares_out_every_class():
    labels = np.repeat([0, 1, 2], [100, 10, 2])
    train, test = stratified_split(labels, 0.2, 0)
    assert np.array_equal(np.sort(np.concatenate([train, test])), np.arange(112))
    assert np.bincount(labels[test]).tolist() == [20, 2, 1]
    assert np.array_equal(stratified_split(labels, 0.2, 0)[1], test)
    assert not np.array_equal(stratified_split(labels, 0.2, 1)[1], test)
    assert np.bincount(labels[stratified_split(labels, 0.99, 0)[0]]).tolist() == [1, 1, 1]


def test_a_split_is_the_same_on_every_machine_and_version():
    assert stratified_split(np.zeros(10), 0.3, 0)[1].tolist() == [0, 2, 9]


def test_a_split_leaves_the_global_generators_alone():
    np.random.seed(3)
    expected = np.random.rand()
    np.random.seed(3)
    stratified_split(np.zeros(10), 0.3, 0)
    assert np.random.rand() == expected


def test_a_class_of_one_cannot_be_split():
    with pytest.raises(ValueError, match="class 1 has 1 sample"):
        stratified_split(np.array([0, 0, 1]), 0.2, 0)


def test_digits():
    found = Digits().load()
    assert found.train_images.shape == (1438, 1, 8, 8) and found.test_images.shape == (359, 1, 8, 8)
    values = torch.cat([found.train_images, found.test_images]).unique().tolist()
    assert values == [0, 16, 32, 48, 64, 80, 96, 112, 128, 143, 159, 175, 191, 207, 223, 239, 255]
    assert torch.bincount(found.test_labels).tolist() == [36, 36, 35, 37, 36, 36, 36, 36, 35, 36]
    assert torch.equal(found.test_images, Digits().load().test_images)
    assert not torch.equal(found.test_labels, Digits(split_seed=1).load().test_labels)
    assert len(Digits(test_fraction=0.5).load().test_images) == pytest.approx(1797 / 2, abs=5)
    with pytest.raises(UserError, match=r"dataset\.mean has 3 numbers"):
        Digits(mean=[0.5, 0.5, 0.5]).load()


def test_digits_are_scikit_learns_read_without_importing_it_and_through_it_where_it_keeps_no_such_file(monkeypatch):
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "sklearn.datasets", None)  # to import it would be an error
        read = digits_module._digits()
    monkeypatch.setattr(digits_module, "find_spec", lambda name: None)
    for found, expected in zip(read, digits_module._digits(), strict=True):
        np.testing.assert_array_equal(found, expected, strict=True)


# --- real files ---


@pytest.mark.parametrize("name", REAL)
def test_real_files_have_the_official_shapes(name):
    found = real(name)
    train, test, shape, classes = SHAPES[name]
    assert list(found.train_images.shape) == [train, *shape] and list(found.test_images.shape) == [test, *shape]
    assert found.train_images.is_contiguous() and found.test_images.is_contiguous()
    assert len(found.classes) == classes and len(torch.bincount(found.train_labels)) == classes


@pytest.mark.parametrize(
    ("name", "source"),
    [("CIFAR10", datasets.CIFAR10), ("MNIST", datasets.MNIST), ("FashionMNIST", datasets.FashionMNIST)],
)
def test_real_files_read_as_torchvision_reads_them(name, source):
    folder, found = real_folder(name), real(name)
    theirs = source(folder, train=False)
    images = torch.as_tensor(theirs.data)
    expected = images.permute(0, 3, 1, 2) if images.ndim == 4 else images[:, None]
    assert torch.equal(found.test_images, expected) and found.test_labels.tolist() == list(map(int, theirs.targets))


def test_cifar10_has_the_official_order_and_stays_bytes():
    found = real("CIFAR10")
    assert found.classes[:4] == ("airplane", "automobile", "bird", "cat")
    heads = {20000: (1925, 2042), 10000: (937, 1032), 5000: (460, 520), 1000: (85, 112), 500: (40, 65), 250: (18, 35)}
    for n, (fewest, most) in {**heads, 100: (4, 16)}.items():
        counts = torch.bincount(found.train_labels[:n], minlength=10)
        assert (int(counts.min()), int(counts.max())) == (fewest, most), n
    held = (found.train_images, found.test_images)
    assert sum(images.untyped_storage().nbytes() for images in held) == 60000 * 3 * 32 * 32


def configured(option: str) -> dict[str, object]:
    return composed_option("dataset", option)


@pytest.mark.parametrize(
    ("option", "name"), [("mnist", "MNIST"), ("fashion_mnist", "FashionMNIST"), ("cifar100", "CIFAR100")]
)
def test_the_statistics_in_the_yaml_are_those_of_all_pixels(option, name):
    images = real(name).train_images
    counts = torch.stack([torch.bincount(channel.flatten(), minlength=256) for channel in images.unbind(1)]).double()
    shares, values = counts / counts.sum(1, keepdim=True), torch.arange(256) / 255.0
    mean = shares @ values.double()
    std = (shares @ values.double().square() - mean.square()).sqrt()
    assert configured(option)["mean"] == pytest.approx(mean.tolist(), abs=1e-4)
    assert configured(option)["std"] == pytest.approx(std.tolist(), abs=1e-4 if option != "cifar100" else 1e-3)


def test_cifar10_s_std_are_each_image_s_own_averaged():
    images = real("CIFAR10").train_images.flatten(2)
    parts = [
        torch.stack((part.mean(2), part.std(2, correction=0))) / 255 for part in (p.float() for p in images.split(5000))
    ]
    mean, std = torch.cat(parts, dim=1).mean(1)
    assert configured("cifar10")["mean"] == pytest.approx(mean.tolist(), abs=1e-4)
    assert configured("cifar10")["std"] == pytest.approx(std.tolist(), abs=2e-4)


@pytest.mark.parametrize("harm", ["flip", "truncate"])
def test_a_damaged_real_file_is_named_and_never_read(tmp_path, harm):
    source = real_folder("MNIST")
    shutil.copytree(source / "MNIST", tmp_path / "MNIST")
    victim = tmp_path / "MNIST" / "raw" / "train-images-idx3-ubyte"
    content = bytearray(victim.read_bytes())
    if harm == "flip":
        content[12345678] ^= 1
    else:
        del content[-100:]
    victim.write_bytes(content)
    with pytest.raises(UserError) as caught:
        FromTorchvision("MNIST", str(tmp_path), download=False).load()
    message = str(caught.value)
    assert str(victim) in message and md5(bytes(content)) in message and "6bbc9ace898e44ae57da46a324031adb" in message
    assert "t10k" not in message and "Delete" in message


# --- small files in the official formats ---


def pickled(entry: dict[str, object]) -> bytes:
    return pickle.dumps(entry, protocol=2)


def cifar10_files(per_batch: int = 4) -> dict[str, bytes]:
    """Name → content of a CIFAR-10 of a few images: pixel values count up, labels follow the position."""
    files = {}
    for n, name in enumerate([f"data_batch_{n}" for n in range(1, 6)] + ["test_batch"]):
        rows = np.arange(per_batch * 3072).reshape(per_batch, 3072)
        files[name] = pickled({"data": (rows + n).astype(np.uint8), "labels": [(n + i) % 10 for i in range(per_batch)]})
    files["batches.meta"] = pickled({"label_names": [f"class {n}" for n in range(10)]})
    return files


def tar_gz(folder: str, files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(f"{folder}/{name}")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def cifar10_source(files: dict[str, bytes], archive: bytes, url: str) -> dict[str, object]:
    """What torchvision's class would say of these files."""
    return {
        "url": url,
        "tgz_md5": md5(archive),
        "train_list": [[name, md5(files[name])] for name in files if name.startswith("data")],
        "test_list": [["test_batch", md5(files["test_batch"])]],
        "meta": {"filename": "batches.meta", "key": "label_names", "md5": md5(files["batches.meta"])},
    }


def write_all(folder: Path, files: dict[str, bytes]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)


@pytest.fixture
def cifar10(monkeypatch):
    """The files and archive of a small CIFAR-10 which torchvision's class is made to expect, from a server that is not
    there."""
    files = cifar10_files()
    archive = tar_gz("cifar-10-batches-py", files)
    for key, value in cifar10_source(files, archive, "http://127.0.0.1:9/cifar-10-python.tar.gz").items():
        monkeypatch.setattr(datasets.CIFAR10, key, value)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    return files, archive


class Mirror(http.server.BaseHTTPRequestHandler):
    """Serves the server's ``content`` at every address and keeps the addresses asked for."""

    def do_GET(self) -> None:
        self.server.requests.append(self.path)
        time.sleep(0.2)  # long enough for another process to run into the lock
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.server.content)))
        self.end_headers()
        self.wfile.write(self.server.content[: self.server.sent])

    def log_message(self, *arguments: object) -> None:
        """Nothing, for a test's output is read."""


@pytest.fixture
def mirror(cifar10, monkeypatch):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Mirror)
    server.content, server.sent, server.requests = cifar10[1], None, []
    monkeypatch.setattr(datasets.CIFAR10, "url", f"http://127.0.0.1:{server.server_port}/cifar-10-python.tar.gz")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def assert_is_small_cifar10(found: Splits) -> None:
    assert found.train_images.shape == (20, 3, 32, 32) and found.test_images.shape == (4, 3, 32, 32)
    assert found.train_labels.tolist() == [(n + i) % 10 for n in range(5) for i in range(4)]
    assert found.train_images[5, 0, 0, :3].tolist() == [1, 2, 3]  # the second image of the second batch: 3072 % 256 + 1
    assert found.train_images[0, 1, 0, 0] == 1024 % 256 and found.train_images[0, 0, 1, 0] == 32  # channels, then rows
    assert found.classes == tuple(f"class {n}" for n in range(10))


def test_a_download_is_unpacked_and_leaves_nothing_beside_the_files(tmp_path, mirror, capfd):
    data = tmp_path / "not yet there"
    assert_is_small_cifar10(FromTorchvision("CIFAR10", str(data)).load())
    assert sorted(p.name for p in data.iterdir() if not p.name.endswith(".lock")) == ["cifar-10-batches-py"]
    asked = len(mirror.requests)
    assert_is_small_cifar10(FromTorchvision("CIFAR10", str(data)).load())
    assert len(mirror.requests) == asked
    assert capfd.readouterr().out == ""


def test_what_torchvision_prints_keeps_stdout_clean(tmp_path, cifar10, monkeypatch, capsys):
    def chatter(name: str, root: Path) -> None:
        print("Downloading")
        write_all(root / "cifar-10-batches-py", cifar10[0])

    monkeypatch.setattr(benchmarks, "_download", chatter)
    assert_is_small_cifar10(FromTorchvision("CIFAR10", str(tmp_path)).load())
    assert capsys.readouterr() == ("", "Downloading\n")


def test_only_the_missing_file_is_replaced(tmp_path, mirror, cifar10):
    folder = tmp_path / "cifar-10-batches-py"
    write_all(folder, cifar10[0])
    (folder / "test_batch").unlink()
    before = (folder / "data_batch_1").stat().st_mtime_ns
    assert_is_small_cifar10(FromTorchvision("CIFAR10", str(tmp_path)).load())
    assert (folder / "data_batch_1").stat().st_mtime_ns == before


def test_an_archive_that_lies_there_needs_no_network(tmp_path, cifar10):
    (tmp_path / "cifar-10-python.tar.gz").write_bytes(cifar10[1])
    assert_is_small_cifar10(FromTorchvision("CIFAR10", str(tmp_path)).load())
    assert (tmp_path / "cifar-10-python.tar.gz").read_bytes() == cifar10[1]


def test_a_complete_folder_is_only_read(tmp_path, cifar10, monkeypatch):
    write_all(tmp_path / "cifar-10-batches-py", cifar10[0])

    def refuse(*arguments: object) -> None:
        raise PermissionError("read-only")

    monkeypatch.setattr(benchmarks, "FileLock", refuse)
    monkeypatch.setattr(Path, "mkdir", refuse)
    assert_is_small_cifar10(FromTorchvision("CIFAR10", str(tmp_path)).load())
    assert sorted(p.name for p in tmp_path.iterdir()) == ["cifar-10-batches-py"]


def test_the_home_folder_may_be_written_as_a_tilde(tmp_path, cifar10, monkeypatch):
    write_all(tmp_path / "data" / "cifar-10-batches-py", cifar10[0])
    monkeypatch.setenv("HOME", str(tmp_path))
    assert_is_small_cifar10(FromTorchvision("CIFAR10", "~/data", download=False).load())


def test_missing_files_are_named_with_what_to_do(tmp_path, cifar10):
    folder = tmp_path / "cifar-10-batches-py"
    write_all(folder, cifar10[0])
    (folder / "data_batch_3").unlink()
    (folder / "batches.meta").unlink()
    with pytest.raises(UserError) as caught:
        FromTorchvision("CIFAR10", str(tmp_path), download=False).load()
    message = str(caught.value)
    assert "cifar-10-batches-py/data_batch_3" in message and "cifar-10-batches-py/batches.meta" in message
    assert "data_batch_1" not in message and str(tmp_path) in message
    assert "download=false" in message and "data_dir=" in message and "MIXEXP_DATA" in message
    assert "cifar-10-python.tar.gz" in message


@pytest.mark.parametrize(
    "error",
    [
        urllib.error.URLError("Temporary failure in name resolution"),
        urllib.error.HTTPError("http://mirror", 403, "Forbidden", None, None),
        http.client.RemoteDisconnected("Remote end closed connection without response"),
        TimeoutError("timed out"),
        ValueError("unknown url type"),
    ],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize("name", REAL)
def test_every_failure_of_the_network_reads_alike(tmp_path, monkeypatch, name, error):
    def fail(*arguments: object, **options: object) -> None:
        raise error

    monkeypatch.setattr(urllib.request, "urlopen", fail)
    with pytest.raises(UserError) as caught:
        FromTorchvision(name, str(tmp_path)).load()
    message = str(caught.value)
    assert REAL[name] in message and str(error) in message and "data_dir=" in message
    assert [p.name for p in tmp_path.iterdir() if not p.name.endswith(".lock")] == []


def test_a_refused_connection_is_told(tmp_path, cifar10):
    with pytest.raises(UserError, match=r"The download failed .*refused"):
        FromTorchvision("CIFAR10", str(tmp_path)).load()


@pytest.mark.parametrize("harm", ["html", "short"])
def test_a_mirror_that_serves_something_else_leaves_nothing(tmp_path, mirror, harm):
    if harm == "html":
        mirror.content = b"<html>This service has moved.</html>"
    else:
        mirror.sent = len(mirror.content) // 2
    with pytest.raises(UserError, match="The download failed"):
        FromTorchvision("CIFAR10", str(tmp_path)).load()
    assert [p.name for p in tmp_path.iterdir() if not p.name.endswith(".lock")] == []


def test_an_interrupted_download_leaves_nothing(tmp_path, mirror, monkeypatch):
    def interrupt(name: str, root: Path) -> None:
        write_all(root / "cifar-10-batches-py", {"data_batch_1": b"half a fi"})
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(benchmarks, "_download", interrupt)
        FromTorchvision("CIFAR10", str(tmp_path)).load()
    assert [p.name for p in tmp_path.iterdir() if not p.name.endswith(".lock")] == []
    # A killed process cannot tidy up; the next download does not trust what it left.
    write_all(tmp_path / ".CIFAR10.partial" / "cifar-10-batches-py", {"data_batch_1": b"half a fi"})
    assert_is_small_cifar10(FromTorchvision("CIFAR10", str(tmp_path)).load())
    assert not (tmp_path / ".CIFAR10.partial").exists()


def test_a_folder_that_cannot_be_made_is_told(tmp_path, cifar10):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="data_batch_1"):
        FromTorchvision("CIFAR10", str(tmp_path / "file")).load()


def test_files_that_may_not_be_read_are_told(tmp_path, cifar10, monkeypatch):
    write_all(tmp_path / "cifar-10-batches-py", cifar10[0])

    def refuse(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(UserError, match=r"cannot be read: .*Permission denied.*data_batch_1"):
        FromTorchvision("CIFAR10", str(tmp_path)).load()


def test_all_damaged_files_are_named_and_nothing_is_fetched(tmp_path, mirror, cifar10):
    folder = tmp_path / "cifar-10-batches-py"
    write_all(folder, cifar10[0])
    (folder / "data_batch_2").write_bytes(cifar10[0]["data_batch_2"][:-1])
    (folder / "test_batch").write_bytes(b"")
    (folder / "data_batch_5").unlink()
    with pytest.raises(UserError) as caught:
        FromTorchvision("CIFAR10", str(tmp_path)).load()
    message = str(caught.value)
    assert "data_batch_2" in message and "test_batch: 0 bytes" in message and "data_batch_1" not in message
    assert md5(cifar10[0]["data_batch_2"]) in message and mirror.requests == []


def test_a_wrong_pickle_is_not_executed(tmp_path, cifar10):
    class Harmful:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "executed"),)

    folder = tmp_path / "cifar-10-batches-py"
    write_all(folder, cifar10[0] | {"data_batch_1": pickle.dumps(Harmful())})
    with pytest.raises(UserError, match="damaged"):
        FromTorchvision("CIFAR10", str(tmp_path)).load()
    assert not (tmp_path / "executed").exists()


def test_two_processes_download_once(tmp_path, mirror, cifar10):
    source = json.dumps(cifar10_source(*cifar10, datasets.CIFAR10.url))
    program = (
        "import json, sys\n"
        "from torchvision import datasets\n"
        "from mixexp.dataset.torchvision import FromTorchvision\n"
        "for key, value in json.loads(sys.argv[1]).items(): setattr(datasets.CIFAR10, key, value)\n"
        "print('ready', flush=True)\n"
        "sys.stdin.readline()\n"
        "print(FromTorchvision('CIFAR10', sys.argv[2]).load().train_images.sum().item())\n"
    )
    command = [sys.executable, "-c", program, source, str(tmp_path / "data")]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1", "no_proxy": "127.0.0.1"}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    both = [subprocess.Popen(command, env=environment, **pipes) for _ in range(2)]
    try:
        assert [process.stdout.readline() for process in both] == ["ready\n"] * 2, [p.stderr.read() for p in both]
        for process in both:
            process.stdin.write("\n")
            process.stdin.flush()
        answers = [process.communicate(timeout=60) for process in both]
    finally:
        for process in both:
            process.kill()
    assert [process.returncode for process in both] == [0, 0], answers
    assert answers[0][0] == answers[1][0] and int(answers[0][0]) > 0
    assert len(mirror.requests) == 2  # torchvision asks once for redirects and once for the file


def test_another_process_s_download_is_waited_for(tmp_path, mirror, cifar10):
    found = []
    with filelock.FileLock(tmp_path / ".CIFAR10.lock"):
        thread = threading.Thread(target=lambda: found.append(FromTorchvision("CIFAR10", str(tmp_path)).load()))
        thread.start()
        thread.join(0.3)
        assert thread.is_alive() and mirror.requests == []
        write_all(tmp_path / "cifar-10-batches-py", cifar10[0])
    thread.join(30)
    assert_is_small_cifar10(found[0])
    assert mirror.requests == []


def test_cifar100_has_the_fine_labels(tmp_path, monkeypatch):
    def batch(labels: list[int]) -> bytes:
        data = np.arange(len(labels) * 3072).reshape(-1, 3072).astype(np.uint8)
        return pickled({"data": data, "fine_labels": labels, "coarse_labels": [0] * len(labels)})

    fine = [f"fine {n}" for n in range(100)]
    meta = pickled({"fine_label_names": fine, "coarse_label_names": ["coarse"]})
    files = {"train": batch([99, 0, 50]), "test": batch([7, 8]), "meta": meta}
    monkeypatch.setattr(datasets.CIFAR100, "train_list", [["train", md5(files["train"])]])
    monkeypatch.setattr(datasets.CIFAR100, "test_list", [["test", md5(files["test"])]])
    monkeypatch.setattr(datasets.CIFAR100, "meta", {"filename": "meta", "key": "fine_label_names", "md5": md5(meta)})
    write_all(tmp_path / "cifar-100-python", files)
    found = FromTorchvision("CIFAR100", str(tmp_path), download=False).load()
    assert found.train_labels.tolist() == [99, 0, 50] and found.test_labels.tolist() == [7, 8]
    assert found.train_images.shape == (3, 3, 32, 32) and found.classes == tuple(fine)


def test_svhn_puts_the_digit_0_first(tmp_path, monkeypatch):
    images = np.random.default_rng(0).integers(0, 256, (32, 32, 3, 6), dtype=np.uint8)
    files = {}
    for name, count in (("train_32x32.mat", 6), ("test_32x32.mat", 1)):
        buffer = io.BytesIO()
        savemat(
            buffer, {"X": images[..., :count], "y": np.array([[10], [1], [9], [2], [10], [5]], dtype=np.uint8)[:count]}
        )
        files[name] = buffer.getvalue()
    names = {split: f"{split}_32x32.mat" for split in ("train", "test")}
    listed = {split: ["http://127.0.0.1:9", name, md5(files[name])] for split, name in names.items()}
    monkeypatch.setattr(datasets.SVHN, "split_list", listed)
    write_all(tmp_path, files)
    found = FromTorchvision("SVHN", str(tmp_path), download=False).load()
    assert found.train_labels.tolist() == [0, 1, 9, 2, 0, 5] and found.test_labels.tolist() == [0]
    assert found.train_images.is_contiguous()
    assert np.array_equal(found.train_images[3].numpy(), images[:, :, :, 3].transpose(2, 0, 1))
    assert np.array_equal(found.train_images[3].numpy(), datasets.SVHN(tmp_path, split="train").data[3])


@pytest.mark.parametrize("name", ["MNIST", "FashionMNIST"])
def test_idx_archives_are_unpacked_and_read(tmp_path, monkeypatch, name):
    images = np.random.default_rng(0).integers(0, 256, (3, 28, 28), dtype=np.uint8)
    raw = {}
    for part, count in (("train", 3), ("t10k", 2)):
        header = np.array([0x0803, count, 28, 28], dtype=">i4").tobytes()
        raw[f"{part}-images-idx3-ubyte"] = header + images[:count].tobytes()
        raw[f"{part}-labels-idx1-ubyte"] = np.array([0x0801, count], dtype=">i4").tobytes() + bytes([9, 0, 4][:count])
    packed = {f"{key}.gz": gzip.compress(content) for key, content in raw.items()}
    monkeypatch.setattr(getattr(datasets, name), "resources", [(key, md5(content)) for key, content in packed.items()])
    monkeypatch.setitem(benchmarks._IDX_MD5, name, {key: md5(content) for key, content in raw.items()})
    write_all(tmp_path / name / "raw", packed)
    found = FromTorchvision(name, str(tmp_path)).load()
    assert np.array_equal(found.train_images[:, 0].numpy(), images) and found.train_labels.tolist() == [9, 0, 4]
    assert found.test_images.shape == (2, 1, 28, 28) and found.test_labels.tolist() == [9, 0]
    found.train_images[0] = 0  # its memory is its own
    assert len(found.classes) == 10 and found.classes[0] == {"MNIST": "0", "FashionMNIST": "T-shirt/top"}[name]
    with pytest.raises(UserError, match=r"dataset\.mean has 3 numbers, but the images have 1 channels"):
        FromTorchvision(name, str(tmp_path), mean=[0.1, 0.2, 0.3]).load()


# --- image folders ---


def save(
    path: Path, width: int, height: int, mode: str = "RGB", colour: object = (200, 100, 50), **options: object
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, (width, height), colour).save(path, **options)


def folder_of(root: Path, names: tuple[str, ...], count: int = 5) -> None:
    for n, name in enumerate(names):
        for i in range(count):
            save(root / name / f"{i}.png", 20 + i, 40 - i, colour=(40 * n, 10 * i, 7))


def test_image_folder_holds_out_a_part_of_every_class(tmp_path):
    folder_of(tmp_path / "photos", ("cat", "guinea pig", "柴犬"))
    made = ImageFolder(str(tmp_path), "photos", height=8, width=12)
    found = made.load()
    assert found.classes == ("cat", "guinea pig", "柴犬")
    assert found.train_images.shape == (12, 3, 8, 12) and found.test_images.shape == (3, 3, 8, 12)
    assert torch.bincount(found.train_labels).tolist() == [4, 4, 4] and found.test_labels.tolist() == [0, 1, 2]
    assert (
        found.train_images[:, 0, 0, 0].tolist() == (40 * found.train_labels).tolist()
    )  # images and labels go together
    assert found.test_images[:, 0, 0, 0].tolist() == (40 * found.test_labels).tolist()
    everything = torch.cat([found.train_images, found.test_images])[:, :2, 0, 0].tolist()
    assert sorted(everything) == [[40 * n, 10 * i] for n in range(3) for i in range(5)]
    assert len(set(found.train_labels[:4].tolist())) > 1  # the head is not one class
    again = made.load()
    assert torch.equal(found.train_images, again.train_images) and torch.equal(found.test_images, again.test_images)
    other = dataclasses.astuple(ImageFolder(str(tmp_path), "photos", height=8, width=12, split_seed=1).load())
    assert not torch.equal(found.train_labels, other[1])


def test_image_folder_takes_an_absolute_folder_and_a_given_split(tmp_path):
    folder_of(tmp_path / "train", ("a", "b"))
    folder_of(tmp_path / "test", ("b",), count=2)
    found = ImageFolder("/nonexistent", str(tmp_path)).load()
    assert found.classes == ("a", "b") and found.train_images.shape == (10, 3, 32, 32)
    assert found.test_labels.tolist() == [1, 1]  # numbered as in train/, not by its own order


def test_a_class_may_be_called_train(tmp_path):
    folder_of(tmp_path, ("car", "train"))
    assert ImageFolder("", str(tmp_path)).load().classes == ("car", "train")


@pytest.mark.parametrize("grey", [False, True])
def test_images_of_every_mode_and_ending_are_read(tmp_path, grey):
    save(tmp_path / "a" / "colour.png", 7, 9, colour=(200, 200, 200))
    save(tmp_path / "a" / "deep" / "er" / "grey.PNG", 50, 3, "L", 200)
    save(tmp_path / "a" / "palette.gif", 5, 5, "P", 0)
    save(tmp_path / "a" / "clear.png", 9, 9, "RGBA", (0, 0, 0, 0))
    save(tmp_path / "a" / "grey and alpha.png", 9, 9, "LA", (200, 255))
    save(tmp_path / "a" / "print.JPG", 33, 31, "CMYK", (0, 0, 0, 55))
    save(tmp_path / "a" / "photo.JpEg", 64, 64, colour=(200, 200, 200))
    save(tmp_path / "a" / "one bit.bmp", 9, 9, "1", 1)
    Image.fromarray(np.full((9, 9), 200 * 257, dtype=np.uint16)).save(tmp_path / "a" / "sixteen bit.png")
    save(tmp_path / "a" / "huge.webp", 300, 2, colour=(200, 200, 200))
    clear = Image.new("P", (9, 9), 0)
    clear.putpalette([10, 20, 30, 200, 200, 200])
    clear.save(tmp_path / "a" / "clear palette.png", transparency=0)
    count = len([p for p in (tmp_path / "a").rglob("*") if p.is_file()])
    shutil.copytree(tmp_path / "a", tmp_path / "split" / "train" / "a")
    shutil.copytree(tmp_path / "a", tmp_path / "split" / "test" / "a")
    found = ImageFolder(str(tmp_path), "split", height=6, width=4, grey=grey).load()
    assert found.test_images.shape == (count, 1 if grey else 3, 6, 4)
    paths = sorted(p for p in (tmp_path / "a").rglob("*") if p.is_file())
    expected = {"palette": 0, "clear": 255, "clear palette": 255, "one bit": 255}
    for path, image in zip(paths, found.test_images, strict=True):
        target = expected.get(path.stem, 200)
        assert (image.int() - target).abs().max() <= 3, path


def test_an_image_covers_the_frame_and_is_cropped_about_its_centre(tmp_path):
    stripes = np.zeros((8, 24, 3), dtype=np.uint8)
    stripes[:, 8:16] = 255  # the middle square of three
    for part in ("train", "test"):
        (tmp_path / part / "a").mkdir(parents=True)
        Image.fromarray(stripes).save(tmp_path / part / "a" / "0.png")
    assert ImageFolder("", str(tmp_path), height=8, width=8).load().test_images.eq(255).all()
    whole = ImageFolder("", str(tmp_path), height=8, width=24).load().test_images[0]
    assert np.array_equal(whole.permute(1, 2, 0).numpy(), stripes)  # the right size already: not one pixel changes


def test_an_image_is_turned_as_its_exif_says(tmp_path):
    pixels = np.zeros((16, 16, 3), dtype=np.uint8)
    pixels[:8] = 255
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    for part in ("train", "test"):
        (tmp_path / part / "a").mkdir(parents=True)
        Image.fromarray(pixels).save(tmp_path / part / "a" / "0.png", exif=exif)
    found = ImageFolder("", str(tmp_path), height=16, width=16).load()
    assert np.array_equal(found.test_images[0, 0].numpy(), pixels[::-1, :, 0])


def test_what_is_no_image_is_counted_and_hidden_files_are_not(tmp_path, capsys):
    folder_of(tmp_path, ("a", "b"))
    (tmp_path / "a" / "Thumbs.db").write_bytes(b"x")
    (tmp_path / "notes.txt").write_bytes(b"x")
    (tmp_path / ".git").mkdir()
    (tmp_path / "b" / ".DS_Store").write_bytes(b"x")
    (tmp_path / "b" / "._0.png").write_bytes(b"x")
    found = ImageFolder("", str(tmp_path)).load()
    (line,) = capsys.readouterr().err.splitlines()
    assert (
        line
        == f"note: {tmp_path}: ignored 2 files or folders that are not images in a class folder: notes.txt, Thumbs.db"
    )
    assert found.classes == ("a", "b") and len(found.train_images) + len(found.test_images) == 10


def test_folders_beside_train_and_test_are_told(tmp_path, capsys):
    for part in ("train", "test", "val"):
        folder_of(tmp_path / part, ("a",))
    ImageFolder("", str(tmp_path)).load()
    assert capsys.readouterr().err == f"note: {tmp_path}: ignored 1 files or folders beside train/ and test/: val\n"


def test_all_unreadable_images_are_named(tmp_path):
    folder_of(tmp_path, ("a", "b"))
    (tmp_path / "a" / "text.png").write_text("not an image")
    (tmp_path / "b" / "empty.jpg").write_bytes(b"")
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    noise.save(tmp_path / "b" / "half.jpg")
    content = (tmp_path / "b" / "half.jpg").read_bytes()
    (tmp_path / "b" / "half.jpg").write_bytes(content[: len(content) // 2])
    Image.fromarray(np.full((9, 9), 300.5, dtype=np.float32)).save(tmp_path / "b" / "float.tif")
    with pytest.raises(UserError) as caught:
        ImageFolder("", str(tmp_path)).load()
    message = str(caught.value)
    assert message.startswith("4 of 14 images")
    assert all(str(tmp_path / name) in message for name in ("a/text.png", "b/empty.jpg", "b/half.jpg", "b/float.tif"))


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ([], "there is nothing"),
        (["1.png", "2.png"], "no class folders; there is 1.png, 2.png"),
        (["a/1.png", "a/2.png", "b/notes.txt"], "no image in them: b; images end in"),
        (["a/1.png", "a/2.png", "b/1.png"], "needs 2 images.*have one: b"),
        (["train/a/1.png"], "has train/ but not both"),
        (["test/a/1.png", "val/a/1.png"], "has test/ but not both"),
        (["train/a/1.png", "test/a/1.png", "test/b/1.png", "test/c/1.png"], "not in train/: b, c"),
        (["train/a/1.png", "test/1.png"], "test has no class folders"),
        (["train/a/1.png", "test/a/.hidden.png"], "no image in them: a"),
    ],
)
def test_folders_that_cannot_be_used_are_refused(tmp_path, files, words):
    for file in files:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_bytes(b"")
    with pytest.raises(UserError, match=words):
        ImageFolder("", str(tmp_path)).load()


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(UserError, match=f"no folder {tmp_path / 'photos'}"):
        ImageFolder(str(tmp_path), "photos").load()

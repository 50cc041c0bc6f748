"""`mixexp predict` and `mixexp export`: trained networks on files and in other formats."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from running import command, trained, trained_on_pictures, write_tones
from torch import nn

from mixexp.inference import export as exporting
from mixexp.inference.export import FORMATS, export
from mixexp.inference.trained import load_trained
from mixexp.training.reader import trained_config
from mixexp.training.setup import setup
from mixexp.training.spec import RunConfig

NETWORKS = ("small_cnn", "lenet", "vgg11", "resnet18", "mnist_cnn", "mlp")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Class folders of red and of blue pictures, and a run on them beside."""
    return trained_on_pictures(tmp_path_factory.mktemp("pictures")).parent


def test_pictures_and_folders_of_them_are_predicted(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (photos / "photos" / "notes.txt").write_text("no picture")
    out = tmp_path / "predictions.csv"
    code, said = command(
        capsys, "predict", photos / "run", photos / "photos" / "red" / "03.png", photos / "photos", "--out", out
    )
    assert code == 0
    lines = [line.split() for line in said.splitlines() if line.startswith(str(photos))]
    assert len(lines) == 41 and all(Path(path).parent.name == name and float(p) > 0.5 for path, name, p, *_ in lines)
    with out.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["file"] for row in rows] == [line[0] for line in lines]
    assert {row["second_class"] for row in rows} == {"red", "blue"}
    assert all(
        float(row["probability"]) + float(row["second_probability"]) == pytest.approx(1, abs=2e-4) for row in rows
    )


def test_sounds_are_predicted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_tones(tmp_path / "tones", classes=3, count=12)
    words = (
        "dataset=sound_folder",
        f"dataset.folder={tmp_path / 'tones'}",
        "dataset.sample_rate=8000",
        "dataset.seconds=0.05",
    )
    folder = trained(tmp_path / "run", *words, "model=sound_cnn", "epochs=1", "batch_size=8", "keep=last").path
    code, said = command(capsys, "predict", folder, tmp_path / "tones" / "tone1")
    assert code == 0 and said.count(".wav") == 12


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("phots",), "no such file or folder. Did you mean '{photos}/photos'?"),
        (("photos/notes.md",), "takes files that end with .bmp, .gif"),
        (("empty",), "has no file that ends with"),
        (("broken.png",), "broken.png: it is not a picture"),
    ],
)
def test_what_cannot_be_predicted_is_refused(
    words: tuple[str, ...], expected: str, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (photos / "empty").mkdir(exist_ok=True)
    (photos / "broken.png").write_bytes(b"no picture")
    (photos / "photos" / "notes.md").write_text("no picture")
    code, said = command(capsys, "predict", photos / "run", *(photos / word for word in words))
    assert code == 2 and expected.format(photos=photos) in said, said


def test_a_run_without_weights_says_how_to_keep_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = trained(tmp_path / "run", "epochs=1").path
    for words in (("predict", folder, folder), ("export", folder, "--to", "onnx")):
        code, said = command(capsys, *words)
        assert code == 2 and "keep=last" in said


def test_a_network_of_tables_says_that_it_takes_no_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = trained(tmp_path / "run", "dataset=iris", "model=mlp", "batch_size=16", "keep=last", "epochs=1").path
    code, said = command(capsys, "predict", folder, folder)
    assert code == 2 and "data of the kind table" in said


# --- export ---


@pytest.mark.parametrize("name", NETWORKS)
def test_exports_agree_with_the_network(name: str, tmp_path: Path) -> None:
    special = {"vgg11": ("model.width=4",), "mnist_cnn": ("loss=affinity",)}.get(name, ())
    words = (f"model={name}", *special, "batch_size=16", "epochs=null", "steps=3", "keep=last", "mix=mixup")
    folder = trained(tmp_path / "run", *words).path
    network = load_trained(folder)
    images = network.preprocess(setup(RunConfig.of(trained_config(folder))).test.images[:16])
    for form, chosen in FORMATS.items():
        pytest.importorskip(chosen.packages[-1] if chosen.packages else "torch")
        path = tmp_path / f"{form}{chosen.suffix}"
        assert export(network, form, path, images) <= 1e-5 and path.stat().st_size > 1000


def test_an_export_names_its_inputs_and_classes(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    safetensors, onnx = pytest.importorskip("safetensors"), pytest.importorskip("onnx")
    for form in FORMATS:
        code, said = command(capsys, "export", photos / "run", "--to", form, "--out", tmp_path / form)
        assert code == 0 and "on 8 test images its scores differ" in said and "float32 [N, 3, 8, 8]" in said
    with safetensors.safe_open(tmp_path / "safetensors", "pt") as file:
        about = json.loads(file.metadata()["mixexp"])
    (entry,) = onnx.load(tmp_path / "onnx").metadata_props
    extra = {"mixexp.json": ""}
    torch.jit.load(tmp_path / "torchscript", _extra_files=extra)
    assert json.loads(entry.value) == json.loads(extra["mixexp.json"]) == about
    assert about["classes"] == ["blue", "red"] and about["inputs"]["shape"] == [3, 8, 8]


def test_an_onnx_file_takes_a_batch_of_any_size(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    assert command(capsys, "export", photos / "run", "--to", "onnx", "--out", tmp_path / "m.onnx")[0] == 0
    session = runtime.InferenceSession(tmp_path / "m.onnx", providers=["CPUExecutionProvider"])
    for count in (1, 3, 17):
        (scores,) = session.run(None, {"inputs": np.zeros((count, 3, 8, 8), np.float32)})
        assert scores.shape == (count, 2)


def test_an_export_that_differs_or_cannot_be_made_leaves_no_file(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = load_trained(photos / "run")
    images = torch.zeros(2, 3, 8, 8)
    wrong = FORMATS["torchscript"]._replace(run=lambda trained, path, images: trained.model(images) + 1)
    monkeypatch.setitem(FORMATS, "torchscript", wrong)
    with pytest.raises(exporting.UserError, match="differ from the network's by"):
        export(network, "torchscript", tmp_path / "m.pt", images)
    monkeypatch.setitem(FORMATS, "torchscript", wrong._replace(packages=("no_such_package",)))
    with pytest.raises(
        exporting.UserError, match=r"needs no_such_package, not installed here; pip install 'mixexp\[export\]'"
    ):
        export(network, "torchscript", tmp_path / "m.pt", images)

    class Untraceable(nn.Module):
        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            raise RuntimeError("no form for this")

    monkeypatch.undo()
    with pytest.raises(exporting.UserError, match="torch cannot express this network in it"):
        export(network._replace(model=Untraceable()), "torchscript", tmp_path / "m.pt", images)
    assert list(tmp_path.iterdir()) == []


def test_an_export_without_the_data_set_is_compared_on_random_inputs(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = Path(shutil.copytree(photos / "run", tmp_path / "run"))
    config = (folder / "config.yaml").read_text()
    (folder / "config.yaml").write_text(config.replace(str(photos / "photos"), str(tmp_path / "gone")))
    code, said = command(capsys, "export", folder, "--to", "torchscript")
    assert code == 0 and "on random inputs, as the data set is not here" in said and (folder / "model.pt").is_file()


def test_a_file_that_is_there_stays(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = Path(shutil.copytree(photos / "run", tmp_path / "run"))
    picture = Path(shutil.copy(photos / "photos" / "red" / "03.png", tmp_path / "red.png"))
    before = {path: path.read_bytes() for path in (folder / "weights.pt", picture)}
    for words in (
        ("export", folder, "--to", "torchscript", "--out", folder / "weights.pt"),
        ("predict", folder, picture, "--out", picture),
        ("export", folder, "--to", "onnx", "--out", "."),
        ("predict", folder, picture, "--out", tmp_path / "nowhere" / "p.csv"),
    ):
        code, said = command(capsys, *words)
        assert code == 2 and "--out" in said and "Traceback" not in said, said
    assert before == {path: path.read_bytes() for path in before}
    for _ in range(2):  # its own kind of file is replaced
        assert command(capsys, "predict", folder, picture, "--out", tmp_path / "p.csv")[0] == 0


def test_folders_that_links_lead_to_again_count_once(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "pics" / "sub").mkdir(parents=True)
    shutil.copy(photos / "photos" / "red" / "03.png", tmp_path / "pics")
    (tmp_path / "pics" / "sub" / "loop").symlink_to("..")
    code, said = command(capsys, "predict", photos / "run", tmp_path / "pics")
    assert code == 0 and said.count(".png") == 1


def test_an_unknown_format_names_the_nearest(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, said = command(capsys, "export", photos / "run", "--to", "safetensor")
    assert code == 2 and "Did you mean 'safetensors'?" in said

"""The weights that finished runs keep: which, with what beside them, and that they give the run's own figures."""

from __future__ import annotations

import contextlib
import csv
import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from running import command, config_of, errors_of, sounds, trained, trained_on_pictures

from mixexp.errors import UserError
from mixexp.inference.trained import Classifier, Preprocess, load_trained
from mixexp.plan.compose import compose
from mixexp.train import train
from mixexp.training.folder import RunFolder
from mixexp.training.reader import lacks_weights, run_folders, trained_config
from mixexp.training.setup import setup
from mixexp.training.spec import RunConfig

BEST = (
    "keep=best",
    "validation=0.2",
    "epochs=15",
    "optimizer.lr=0.1",
    "mix=mixup",
    "subset=balanced",
    "subset.n=100",
    "batch_size=8",
)


def rows_of(folder: Path) -> list[dict[str, float]]:
    with (folder / "metrics.csv").open() as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


def accuracies(folder: Path) -> tuple[float, float]:
    """The accuracy of a run's loaded network on its test images, and the one that its record has at the weights'
    step."""
    model, preprocess, classes = load_trained(folder)
    parts = setup(RunConfig.of(trained_config(folder)))
    assert classes == parts.classes and not model.training
    with torch.inference_mode():
        predicted = model(preprocess(parts.test.images)).argmax(1)
    (row,) = [row for row in rows_of(folder) if row["step"] == model.step]
    return (predicted == parts.test.labels).double().mean().item(), row["accuracy"]


def stopped(folder: Path, config: RunConfig, step: int) -> None:
    """Train until a step and stop there, as a signal makes a run stop."""
    with contextlib.closing(train(config, RunFolder(folder), {})) as steps:
        next(progress for progress in steps if progress.step >= step)


@pytest.mark.parametrize(
    "words",
    [
        ("mix=mixup", "mix_layer=layer2"),
        ("loss=affinity", "loss.centres=2"),
        ("loss=joint",),
        ("mix=bc_plus", "loss=kl"),
        ("loss=binary_cross_entropy", "imbalance=step"),
        ("loss=focal", "imbalance=exponential", "loss.class_weights=balanced"),
        ("dataset=iris", "model=mlp", "batch_size=16"),
        ("model=lenet", "model.layer_defaults=keras", "dataset.mean=[0.3]", "dataset.std=[0.4]"),
        (*sounds(), "model=sound_cnn", "mix=bc_sound", "loss=kl"),
    ],
    ids=lambda words: " ".join(words[-2:]),
)
def test_the_loaded_network_has_the_runs_own_accuracy(words: tuple[str, ...], tmp_path: Path) -> None:
    model = () if any(word.startswith("model=") for word in words) else ("model.width=4",)
    loaded, recorded = accuracies(trained(tmp_path / "run", "keep=last", "epochs=2", *model, *words).path)
    assert loaded == pytest.approx(recorded, abs=1e-12)


def test_the_best_weights_are_those_of_the_first_highest_accuracy_on_the_held_out_part(tmp_path: Path) -> None:
    folder = trained(tmp_path / "run", *BEST).path
    rows = rows_of(folder)
    best = max(rows, key=lambda row: row["val_accuracy"])
    assert load_trained(folder).model.step == best["step"] < rows[-1]["step"], (
        "a run that does not grow better to its end"
    )
    loaded, recorded = accuracies(folder)
    assert loaded == pytest.approx(recorded, abs=1e-12)


@pytest.mark.parametrize("stop", [85, 105])
def test_the_best_weights_survive_a_stop_before_and_after_them(stop: int, tmp_path: Path) -> None:
    whole = trained(tmp_path / "whole", *BEST).path
    config = RunConfig.of(config_of(*BEST))
    stopped(tmp_path / "run", config, stop)
    for _ in train(config, RunFolder(tmp_path / "run"), {}):
        pass
    ours, theirs = (load_trained(folder) for folder in (tmp_path / "run", whole))
    assert ours.model.step == theirs.model.step
    assert all(torch.equal(ours.model.state_dict()[name], values) for name, values in theirs.model.state_dict().items())


def test_the_best_weights_are_never_those_of_another_run_or_setting(tmp_path: Path) -> None:
    """A shorter run's evaluations, or those of an attempt that kept none, count only with their weights."""
    words = (*BEST, "keep_checkpoint=true", "schedule=constant")
    shorter = trained(tmp_path / "shorter", *words, "epochs=12").path
    config = RunConfig.of(config_of(*words, "epochs=15"))
    notes: list[str] = []
    for _ in train(config, RunFolder(tmp_path / "longer", notes.append), {}, [shorter]):
        pass
    rows = rows_of(tmp_path / "longer")
    assert load_trained(tmp_path / "longer").model.step == max(rows, key=lambda row: row["val_accuracy"])["step"]
    stopped(tmp_path / "changed", config.replace(keep="none"), 105)
    for _ in train(config, RunFolder(tmp_path / "changed", notes.append), {}):
        pass
    assert load_trained(tmp_path / "changed").model.step == load_trained(tmp_path / "longer").model.step
    (tmp_path / "longer" / "weights.pt").unlink()
    with pytest.raises(UserError, match="kept no weights"):
        load_trained(tmp_path / "longer")


@pytest.mark.parametrize("damaged", [False, True])
def test_best_weights_ahead_of_their_checkpoint_are_reached_again_and_damaged_ones_start_afresh(
    damaged: bool, tmp_path: Path
) -> None:
    """A process that is killed leaves the checkpoint before the best evaluation and the weights after it."""
    whole, config, folder = trained(tmp_path / "whole", *BEST).path, RunConfig.of(config_of(*BEST)), tmp_path / "run"
    stopped(folder, config, 85)
    before = (folder / "checkpoint.pt").read_bytes()
    stopped(folder, config, 95)
    (folder / "checkpoint.pt").write_bytes(before)
    if damaged:
        (folder / "weights.pt").write_bytes((folder / "weights.pt").read_bytes()[:-40])
    notes: list[str] = []
    for _ in train(config, RunFolder(folder, notes.append), {}):
        pass
    said = (
        "the best weights so far are not kept here (keep=best); the run starts afresh"
        if damaged
        else "goes on at step 8"
    )
    assert any(note.startswith(said) for note in notes), notes
    ours, theirs = load_trained(folder).model, load_trained(whole).model
    assert ours.step == theirs.step and all(
        torch.equal(ours.state_dict()[name], values) for name, values in theirs.state_dict().items()
    )


def test_nothing_is_kept_unasked_and_an_earlier_attempts_weights_go(tmp_path: Path) -> None:
    folder = trained(tmp_path / "run", "epochs=1").path
    assert not (folder / "weights.pt").exists()
    (folder / "result.json").unlink()
    (folder / "weights.pt").write_bytes(b"of another attempt")
    trained(folder, "epochs=1")
    assert not (folder / "weights.pt").exists()


def test_a_diverged_run_keeps_no_weights(tmp_path: Path) -> None:
    folder = trained(tmp_path / "run", "epochs=3", "optimizer.lr=1e30", "keep=best", "validation=0.2").path
    assert json.loads((folder / "result.json").read_text())["outcome"] == "diverged"
    assert not (folder / "weights.pt").exists()


def test_the_file_is_plain_torchs_and_says_what_its_inputs_are(tmp_path: Path) -> None:
    folder = trained(tmp_path / "run", "keep=last", "epochs=1", "imbalance=step").path
    content = torch.load(folder / "weights.pt", weights_only=True)
    about = json.loads((folder / "environment.json").read_text())
    assert {name: content[name] for name in ("inputs", "classes", "train_counts")} == {
        name: about[name] for name in ("inputs", "classes", "train_counts")
    }
    parts = setup(RunConfig.of(trained_config(folder)))
    inputs = content["inputs"]
    images = parts.test.images[:5]
    mean, std = (torch.tensor(inputs[name]).view(1, -1, 1, 1) for name in ("mean", "std"))
    by_hand = (images / inputs["unit"] - mean) / std
    torch.testing.assert_close(by_hand, parts.normalize(images))
    assert inputs["kind"] == "image" and inputs["shape"] == [1, 8, 8] and inputs["size"].startswith("resized to cover")
    parts.network.load_state_dict(content["network"])


def test_a_checkpoint_alone_serves_where_the_data_are_there(tmp_path: Path) -> None:
    folder = trained(tmp_path / "run", "keep=last", "keep_checkpoint=true", "epochs=1").path
    ours = load_trained(folder)
    (folder / "weights.pt").unlink()
    theirs = load_trained(folder)
    assert (
        ours.classes == theirs.classes
        and ours.preprocess.inputs == theirs.preprocess.inputs
        and ours.model.step == theirs.model.step
    )
    assert all(torch.equal(ours.model.state_dict()[name], values) for name, values in theirs.model.state_dict().items())


RETRY = ("dataset=digits", "model=mlp", "steps=4", "name=one", "validation=0.2")


def test_a_finished_run_without_the_weights_asked_for_is_made_again_on_request(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    words = (*RETRY, f"output_dir={tmp_path}")
    command(capsys, *words)
    (folder,) = run_folders(tmp_path / "one")
    for keep, earlier in (("last", 1), ("best", 2)):
        code, out = command(capsys, *words, f"keep={keep}")
        assert code == 0 and "already finished" in out
        assert (
            f"note: 1 finished run was made without the weights that keep asks for: {folder.name}; retry=changed makes it"
            " again\n" in out
        )
        code, out = command(capsys, "-m", *words, f"keep={keep}", "retry=changed")
        assert code == 0 and "1 done (0 of them before)" in out
        assert ": made without the weights that keep asks for; what it left is kept in .earlier/" in out, out
        load_trained(folder)
        assert trained_config(folder)["keep"] == keep and len(list((folder / ".earlier").iterdir())) == earlier
        for retry in ("null", "changed"):
            code, out = command(capsys, "-m", *words, f"keep={keep}", f"retry={retry}")
            assert code == 0 and "1 done (1 of them before)" in out and "note" not in out
    assert "note" not in command(capsys, "-m", *words)[1], "weights that nobody asked for do no harm"


def test_no_weights_are_missed_where_there_can_be_none_or_a_checkpoint_has_them(tmp_path: Path) -> None:
    folder = trained(tmp_path, *RETRY, "keep_checkpoint=true").path
    assert not lacks_weights(folder, "none") and not lacks_weights(folder, "last") and lacks_weights(folder, "best")
    (folder / "checkpoint.pt").unlink()
    assert lacks_weights(folder, "last")
    change_result(folder, outcome="diverged")
    assert not lacks_weights(folder, "last")
    (folder / "result.json").unlink()
    assert not lacks_weights(folder, "last")


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        (
            "mixexp -m 'loss.class_weights=[1,2]' mix=none,mixup keep=none",
            "this makes it and the other runs of its sweep again with them: mixexp -m 'loss.class_weights=[1,2]' mix=none,mixup keep=last retry=changed",
        ),
        ("mixexp search few", "the same command with keep=last retry=changed makes it again with them"),
        ("script.py mix=mixup", "the same command with keep=last retry=changed makes it again with them"),
        ("mixexp 'name=it", "the same command with keep=last retry=changed makes it again with them"),
        ("", "the same command with keep=last retry=changed makes it again with them"),
    ],
)
def test_the_message_has_the_whole_command_that_makes_a_run_again_with_its_weights(
    typed: str, expected: str, tmp_path: Path
) -> None:
    (tmp_path / "config.yaml").write_text("{trusted_modules: [], choices: {}, alpha: null}")
    (tmp_path / "result.json").write_text('{"outcome": "finished"}')
    (tmp_path / "environment.json").write_text(json.dumps({"command": typed}))
    with pytest.raises(UserError) as refused:
        trained_config(tmp_path)
    assert str(refused.value) == f"{tmp_path}: its run kept no weights; {expected}"


@pytest.mark.parametrize("depth", ["outputs/first", "outputs"])
def test_a_folder_above_runs_is_no_run_and_one_with_weights_is_named(depth: str, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / "outputs" / "first" / name).mkdir(parents=True)
        (tmp_path / "outputs" / "first" / name / "config.yaml").touch()
    (tmp_path / "outputs" / "first" / "b" / "weights.pt").touch()
    with pytest.raises(UserError) as refused:
        trained_config(tmp_path / depth)
    assert str(refused.value).endswith(f"; name one of the runs in it, such as {tmp_path}/outputs/first/b")


def test_a_run_whose_name_is_mistyped_is_named(tmp_path: Path) -> None:
    for name in ("fcbabf811672", "0123456789ab"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.yaml").touch()
    for typed, advice in (
        ("fcbabf81167", f". Did you mean '{tmp_path}/fcbabf811672'?"),
        ("fcba", f". Did you mean '{tmp_path}/fcbabf811672'?"),
        ("unlike", ""),
        ("none/here", ""),
    ):
        with pytest.raises(UserError) as refused:
            trained_config(tmp_path / typed)
        assert str(refused.value).endswith(f"no folder of a run, in which there is a config.yaml{advice}")


def change_result(folder: Path, **facts: Any) -> None:
    result = json.loads((folder / "result.json").read_text())
    (folder / "result.json").write_text(json.dumps({**result, **facts}))


def test_what_cannot_be_kept_is_refused_before_training() -> None:
    assert errors_of({**config_of(), "keep": "best"}) == [
        "keep = best: it is chosen on a held-out part of the training images; give validation=0.1, or keep=last"
    ]
    assert errors_of({**config_of(), "keep": "all"}) == ["keep = all: needs none, last or best"]
    game = compose(["gan=plain", "dataset=ring", "steps=2", "keep=last", "optimizer=adam"])
    assert any(line.startswith("keep = last: has no effect on a run of the group gan") for line in errors_of(game))


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (lambda folder: (folder / "weights.pt").unlink(), "kept no weights; .* makes it again with them"),
        (
            lambda folder: (folder / "weights.pt").write_bytes((folder / "weights.pt").read_bytes()[:-40]),
            "weights.pt: cannot be read",
        ),
        (lambda folder: (folder / "result.json").unlink(), "is not finished"),
        (lambda folder: change(folder, "inputs", {"kind": "image"}), "describes its inputs in another way"),
        (lambda folder: change(folder, "network", {}), "are not those of the network"),
    ],
)
def test_weights_that_cannot_be_used_are_refused(spoil: Any, expected: str, kept: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(kept, tmp_path / "run"))
    spoil(folder)
    with pytest.raises(UserError, match=expected):
        load_trained(folder)


def change(folder: Path, name: str, value: Any) -> None:
    """Write a run's weights with another part."""
    from mixexp.training.checkpoint import Checkpoint, read

    made_by, state = read(folder / "weights.pt")
    Checkpoint(folder / "weights.pt", made_by, 0).write(folder / "weights.pt", {**state, name: value})


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run on pictures with its weights."""
    return trained_on_pictures(tmp_path_factory.mktemp("pictures"))


def test_the_page_lists_all_that_the_file_holds(kept: Path) -> None:
    page = (Path(__file__).resolve().parents[1] / "docs" / "weights.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`.*?) \|", page.partition("## The file")[2], re.MULTILINE)
    assert {name for row in rows for name in re.findall(r"`(\w+)`", row)} == torch.load(kept / "weights.pt").keys()


def test_preprocess_takes_paths_pictures_arrays_and_tensors_alike(kept: Path) -> None:
    preprocess = load_trained(kept).preprocess
    path = kept.parent / "photos" / "red" / "03.png"
    from_path = preprocess(path)
    assert from_path.shape == (3, 8, 8) and from_path.dtype == torch.float32
    with Image.open(path) as picture:
        assert torch.equal(preprocess(picture), from_path) and torch.equal(preprocess(str(path)), from_path)
    parts = setup(RunConfig.of(trained_config(kept)))
    images = parts.test.images
    assert torch.equal(preprocess(images), parts.normalize(images))
    torch.testing.assert_close(preprocess(images[0]), parts.normalize(images)[0])
    array = images[0].movedim(0, -1).numpy()
    assert torch.equal(preprocess(array), preprocess(images[0]))


def test_a_picture_turns_as_its_file_does_and_one_that_lost_its_range_is_refused(kept: Path, tmp_path: Path) -> None:
    preprocess = load_trained(kept).preprocess
    with Image.open(kept.parent / "photos" / "red" / "03.png") as picture:
        exif = Image.Exif()
        exif[0x0112] = 6
        picture.save(tmp_path / "turned.png", exif=exif)
    with Image.open(tmp_path / "turned.png") as turned:
        assert torch.equal(preprocess(turned), preprocess(tmp_path / "turned.png"))
    Image.fromarray(np.full((8, 8), 40000, np.uint16)).save(tmp_path / "deep.png")
    with Image.open(tmp_path / "deep.png") as deep, pytest.raises(UserError, match="give the path of the file"):
        preprocess(deep)
    assert preprocess(tmp_path / "deep.png").shape == (3, 8, 8)


@pytest.mark.parametrize(
    "item", [3, torch.zeros(3, 8, 9, dtype=torch.uint8), torch.zeros(3, 8, 8), np.zeros((8, 8), np.uint8)]
)
def test_preprocess_refuses_what_has_another_shape_or_type(item: Any, kept: Path) -> None:
    with pytest.raises(UserError, match="preprocess: takes"):
        load_trained(kept).preprocess(item)


def test_a_network_of_tables_takes_no_files(tmp_path: Path) -> None:
    preprocess = load_trained(
        trained(tmp_path / "run", "dataset=iris", "model=mlp", "batch_size=16", "keep=last", "epochs=1").path
    ).preprocess
    with pytest.raises(UserError, match="takes no files"):
        preprocess("flower.png")
    assert isinstance(preprocess, Preprocess) and preprocess(torch.zeros(2, 4, 1, 1)).shape == (2, 4, 1, 1)


def test_the_classifier_is_an_ordinary_module(kept: Path) -> None:
    model, preprocess, classes = load_trained(kept)
    assert isinstance(model, Classifier) and classes == ("blue", "red")
    inputs = torch.stack([preprocess(kept.parent / "photos" / name / "00.png") for name in classes])
    assert model(inputs).argmax(1).tolist() == [0, 1]
    assert (
        sum(p.numel() for p in model.parameters()) == json.loads((kept / "environment.json").read_text())["parameters"]
    )

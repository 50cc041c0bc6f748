"""Figures by what the matplotlib objects hold, against numbers worked out from the runs' files by hand; and the files
they leave."""

from __future__ import annotations

import base64
import csv
import io
import json
import re
import shutil
import subprocess
import warnings
import xml.etree.ElementTree as ET
import zlib
from itertools import pairwise
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.text import Text
from PIL import Image
from test_report import TABLE, leave

from mixexp.errors import UserError
from mixexp.reporting import figures
from mixexp.reporting.confusion import confusion_of
from mixexp.reporting.figures import KINDS, save, standard, style
from mixexp.reporting.tables import Entry, Table, build_table, runs_of
from mixexp.reporting.write import write_report
from mixexp.spec.figures import figure_problem
from mixexp.training.reader import load_run, load_runs


def draw(table, spec):
    """The figure without its caption."""
    return figures.draw(table, spec)[0]


def caption(table, spec):
    """The caption without its figure."""
    figure, words = figures.draw(table, spec)
    figure._draw_was_started = True  # matplotlib warns of an animation that nobody has seen
    return words


CLASSES = ("cat", "dog", "frog")
HOSTILE = ("$x_1$ & <b>", "日本語の名前", "a" * 200, "_hidden", "tab\tnew\nline\x00")
SPECS: dict[str, dict[str, Any]] = {
    "scores": {},
    "scores by rows": {"kind": "scores", "by": "rows", "published": False},
    "against": {"x": "subset.n", "published": True},
    "log": {"kind": "against", "x": "subset.n", "x_scale": "log"},
    "curves": {"y": ["train_loss", "test_loss", "accuracy"]},
    "log curves": {"kind": "curves", "y": "test_loss", "y_scale": "log", "by": "rows", "each": "columns"},
    "confusion": {},
    "per_class": {},
    "by_group": {},
    "cost": {},
    "images": {},
    "reliability": {},
    "probe": {"probe": "points", "x": "x", "y": "density", "lines": "kind", "steps": ["drawn"]},
    "log probe": {
        "kind": "probe",
        "probe": "points",
        "x": "x",
        "y": "density",
        "lines": "kind",
        "x_scale": "log",
        "y_scale": "log",
    },
    "scatter": {"probe": "points", "x": "x", "y": "density", "colour": "label", "limits": [0, 1]},
    "scale": {"kind": "scatter", "probe": "points", "x": "x", "y": "density", "colour": "x", "panels": "kind"},
    "animation": {"probe": "points", "x": "x", "y": "density", "colour": "label"},
}


def spec_of(name: str, **changes: Any) -> dict[str, Any]:
    found = {"file": "f", "kind": name, **SPECS.get(name, {}), **changes}
    assert figure_problem(found) == ""
    return found


def picture(value: int, size: tuple[int, int] = (3, 2)) -> str:
    file = io.BytesIO()
    Image.new("RGB", size, (value, 0, 255 - value)).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def rich(
    folder: Path, counts: Any = None, train: Any = (400, 40, 4), classes: tuple[str, ...] = CLASSES, **settings: Any
) -> Path:
    """A run that has all that figures are drawn from."""
    run = leave(folder, (0.3, 0.5, 0.6), **settings)
    counts = np.eye(len(classes), dtype=int) * 9 + 1 if counts is None else np.asarray(counts)
    with (run / "confusion.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(
            [
                ["true \\ predicted", *classes],
                *([name, *row] for name, row in zip(classes, counts.tolist(), strict=True)),
            ]
        )
    environment = json.loads((run / "environment.json").read_text())
    environment |= {"train_counts": list(train), "device": "cpu", "threads": 1}
    (run / "environment.json").write_text(json.dumps(environment))
    with (run / "probe_points.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["step", "x", "density", "kind", "label"])
        writer.writerows(
            [20, x / 10, x % 4 + 0.5, kind, classes[x % 3]] for x in range(1, 15) for kind in ("drawn", "formula")
        )
    with (run / "probe_mixed_images.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["step", "sample", "image", "clipped", "labels", "lam", "layer"])
        writer.writerows([20, k, picture(40 * k), 0, f"{classes[0]} 0.{k}", 0.1 * k, "input"] for k in range(1, 5))
    bins = [(0.2, 0.4, 5, 0.3, 0.2), (0.8, 1.0, 15, 0.9, 0.8)]
    with (run / "probe_reliability.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["step", "scaling", "lower", "upper", "images", "confidence", "accuracy"])
        writer.writerows([20, scaling, *row] for scaling in ("none", "fitted") for row in bins)
    return run


@pytest.fixture
def table(tmp_path: Path) -> Table:
    """Two sizes, two mixes, two seeds each."""
    for n in (100, 500):
        for mix in ("none", "mixup"):
            for seed in (0, 1):
                rich(tmp_path / f"{n} {mix} {seed}", n=n, mix=mix, seed=seed)
    return build_table(load_runs(tmp_path))


def texts(figure: Any) -> list[Text]:
    return [each for each in figure.findobj(Text) if each.get_visible() and each.get_text().strip()]


# --- files ---


def test_three_formats_the_same_bytes_twice_and_nothing_else(table, tmp_path):
    spec = spec_of("curves")
    first = {path.suffix: path.read_bytes() for path in save(draw(table, spec), tmp_path / "one", caption(table, spec))}
    second = {
        path.suffix: path.read_bytes() for path in save(draw(table, spec), tmp_path / "two", caption(table, spec))
    }
    assert first == second and set(first) == {".svg", ".pdf", ".png"}
    assert not list(tmp_path.glob(".*")), "unfinished files"


def test_a_figure_is_laid_out_once_for_three_formats(table, tmp_path, monkeypatch):
    done, real = [], ConstrainedLayoutEngine.execute
    monkeypatch.setattr(
        ConstrainedLayoutEngine, "execute", lambda self, figure: (done.append(1), real(self, figure))[1]
    )
    save(draw(table, spec_of("curves")), tmp_path / "f")
    assert len(done) == 1


def test_a_pdf_embeds_whole_letters_and_an_svg_needs_none(table, tmp_path):
    spec = spec_of("confusion")
    svg, pdf, _ = save(draw(table, spec), tmp_path / "f", "a <b> & c \x00 日本")
    with mpl.rc_context({"pdf.compression": 0}):
        (plain,) = [path for path in save(draw(table, spec), tmp_path / "plain") if path.suffix == ".pdf"]
    fonts = re.findall(rb"/Subtype /(\w+)", plain.read_bytes())
    assert b"CIDFontType2" in fonts and b"Type3" not in fonts and b"/FontFile2" in plain.read_bytes()
    root = ET.parse(svg).getroot()
    names = {element.tag.rpartition("}")[2] for element in root.iter()}
    assert "text" not in names and "path" in names
    assert root.find("{http://www.w3.org/2000/svg}title").text == "a <b> & c \\u0000 日本"
    if shutil.which("pdffonts"):
        told = subprocess.run(["pdffonts", str(pdf)], capture_output=True, text=True, check=True).stdout.splitlines()[
            2:
        ]
        assert told and all("TrueType" in line and "yes" in line and "Type 3" not in line for line in told)


# --- legibility ---


def test_ten_lines_differ_in_colour_in_marker_and_seventy_in_something():
    found = [style.series(k) for k in range(70)]
    assert len({each["color"] for each in found[:10]}) == len({each["marker"] for each in found[:10]}) == 10
    assert len({tuple(map(str, each.values())) for each in found}) == 70
    grey = sorted(
        0.299 * r + 0.587 * g + 0.114 * b for r, g, b in (mpl.colors.to_rgb(each["color"]) for each in found[:10])
    )
    assert grey[-1] < 0.75, "all stand out from white"


@pytest.mark.filterwarnings("ignore:Animation was deleted")
@pytest.mark.parametrize("name", SPECS)
def test_every_text_is_seven_points_or_more_at_the_width_of_one_column_or_two(name, table):
    spec = spec_of(SPECS[name].get("kind", name), **SPECS[name])
    drawn = draw(table, spec)
    figure = getattr(drawn, "_fig", drawn)
    figure.draw_without_rendering()
    found = texts(figure)
    ticks = {
        tick for panel in figure.axes for axis in (panel.xaxis, panel.yaxis) for tick in axis.get_ticklabels("both")
    }
    assert found and min(each.get_fontsize() for each in found) >= 7
    assert not [each.get_text() for each in found if "mathdefault" in each.get_text()], (
        "exponents are smaller than their base"
    )
    width = figure.get_figwidth()
    assert width in (style.ONE_COLUMN, style.TWO_COLUMNS)
    box = figure.bbox
    for each in found:
        if each in ticks or each.get_clip_on():  # some lie beyond the limits and are not drawn
            continue
        extent = each.get_window_extent()
        assert extent.x1 <= box.x1 + 2 and extent.x0 >= -2 and extent.y1 <= box.y1 + 2 and extent.y0 >= -2, (
            each.get_text()
        )


@pytest.mark.parametrize("name", SPECS)
def test_hostile_names_are_drawn_as_they_are_without_a_warning(name, tmp_path):
    columns = {"label": "$m$", "values": {HOSTILE[1]: {"mix": "none"}, HOSTILE[2]: {"mix": "mixup"}}}
    for mix in ("none", "mixup"):
        rich(
            tmp_path / mix,
            np.eye(5, dtype=int) * 3,
            (1, 2, 30, 200, 500),
            HOSTILE,
            mix=mix,
            table={**TABLE, "columns": columns, "published": {}},
        )
    table, spec = build_table(load_runs(tmp_path)), spec_of(SPECS[name].get("kind", name), **SPECS[name])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        written = save(draw(table, spec), tmp_path / "f", caption(table, spec))
    assert all(path.stat().st_size > 1000 for path in written)
    for path in (path for path in written if path.suffix == ".svg"):
        ET.parse(path)


def test_letters_that_the_first_font_lacks_come_from_the_next(table, tmp_path, monkeypatch):
    monkeypatch.setattr(style, "_CJK", ("no such font", "STIXGeneral"))
    figure = draw(table, spec_of("curves"))
    assert {tuple(each.get_fontfamily()) for each in texts(figure)} == {("DejaVu Sans", "STIXGeneral")}
    figure.text(0.5, 0.5, "\u20dd", family=["DejaVu Sans", "STIXGeneral"])  # a circle that DejaVu Sans lacks
    with mpl.rc_context({"pdf.compression": 0}):
        pdf = next(path for path in save(figure, tmp_path / "f") if path.suffix == ".pdf").read_bytes()
    assert b"STIXGeneral" in pdf and b"DejaVuSans" in pdf


def test_many_lines_are_dealt_out_to_rows_with_legends_of_their_own(tmp_path):
    names = {f"a rather long name of method {k}": {"alpha": k / 10} for k in range(1, 24)}
    spec = {**TABLE, "rows": {"label": "method", "values": names}, "published": {}}
    for k in range(1, 24):
        leave(tmp_path / str(k), (0.1, k / 25), alpha=k / 10, table=spec)
    table = build_table(load_runs(tmp_path))
    figure = draw(table, spec_of("curves", y=["accuracy", "test_loss"], by="rows", each="columns"))
    figure.draw_without_rendering()
    panels = [panel for panel in figure.axes if panel.get_lines()]
    assert len(panels) == 6 and max(len(panel.get_lines()) for panel in panels) <= style.MOST_LINES
    drawn = [line.get_label() for panel in panels[::2] for line in panel.get_lines()]
    assert drawn == list(names)
    legends = [panel.get_legend() for panel in figure.axes if panel.get_legend()]
    assert [text.get_text().replace("\n", " ") for each in legends for text in each.get_texts()] == drawn
    for each in legends:
        box = each.get_window_extent()
        assert box.x1 <= figure.bbox.x1 + 1 and box.height <= figure.bbox.height / 3 + 1
    assert len({panel.get_ylim() for panel in panels[::2]}) == 1, "one range for one quantity"
    against = draw(table, spec_of("against", x="seed", by="rows"))
    assert sum(len(panel.containers) for panel in against.axes) == 23


def test_panels_lie_in_a_grid_and_too_many_are_refused(tmp_path):
    for k in range(70):
        leave(tmp_path / str(k), (0.1, 0.2), n=k + 1, table={**TABLE, "published": {}})
    table = build_table(load_runs(tmp_path))
    with pytest.raises(UserError, match="it would have 140 panels; 60 are the most"):
        draw(table, spec_of("curves", y=["train_loss", "test_loss"]))
    figure = draw(table, spec_of("curves", y=["train_loss", "test_loss"], only=list(range(1, 9))))
    assert figure.get_figheight() < style.TALLEST and len(figure.axes) == 16
    assert [panel.get_title(loc="left") for panel in figure.axes if panel.get_title(loc="left")] == [
        f"images {k}" for k in range(1, 9)
    ]


@pytest.mark.parametrize("last", [3, 7, 20, 999, 200_000])
@pytest.mark.parametrize("ruler", ["step", "epoch"])
def test_curves_have_ticks_at_whole_steps_and_epochs(ruler, last, tmp_path):
    run = leave(tmp_path / "a", table=None)
    column = "step" if ruler == "step" else "step,epoch"
    rows = [f"{place}{f',{place}' * (ruler == 'epoch')},0.5,1.0" for place in (1, last)]
    (run / "metrics.csv").write_text("\n".join([f"{column},accuracy,train_loss", *rows]) + "\n")
    figure = draw(build_table(load_runs(tmp_path)), spec_of("curves", y=["accuracy"]))
    panel = figure.axes[0]
    figure.canvas.draw()
    assert panel.get_xlabel() == ruler
    assert len(panel.get_xticks()) > 1 and all(float(tick).is_integer() for tick in panel.get_xticks())


def test_ticks_are_written_in_full_in_thousands_where_they_would_touch_and_never_over_each_other():
    for scale, places in (
        ("log", [100, 250, 500, 1000, 5000, 10000, 20000, 50000]),
        ("linear", [100, 250, 500, 50000]),
        ("linear", [1, 2, 3]),
    ):
        figure, ((panel,),) = style.canvas(1, 1, 2.5)
        panel.plot(places, places)
        panel.set_xscale(scale)
        style.ticks(panel, places, 2.9)
        figure.draw_without_rendering()
        names = [tick for tick in panel.get_xticklabels() if tick.get_text()]
        boxes = [tick.get_window_extent() for tick in names]
        assert all(left.x1 < right.x0 for left, right in pairwise(boxes))
        if scale == "log":
            assert [tick.get_text() for tick in names] == ["100", "250", "500", "1k", "5k", "10k", "20k", "50k"]
        elif len(places) == 3:
            assert [tick.get_text() for tick in names] == ["1", "2", "3"]
        else:
            assert {"100", "50k"} <= {tick.get_text() for tick in names}


# --- confusion ---


def test_a_matrix_is_the_sum_over_seeds_in_per_cent_of_its_rows(tmp_path):
    counts = [[[8, 1, 1], [2, 5, 3], [0, 0, 0]], [[4, 3, 3], [1, 9, 0], [0, 0, 0]]]
    for seed, each in enumerate(counts):
        rich(tmp_path / str(seed), each, seed=seed)
    rich(tmp_path / "other", np.full((3, 3), 2), n=100)
    table = build_table(load_runs(tmp_path))
    few, many = draw(table, spec_of("confusion")).axes
    expected = [[60, 20, 20], [15, 70, 15], [np.nan] * 3]  # 12 of 20, 4 of 20 …; nobody was of class 3
    np.testing.assert_allclose(many.collections[0].get_array().filled(np.nan), expected)
    np.testing.assert_allclose(few.collections[0].get_array(), np.full((3, 3), 100 / 3))
    assert [text.get_text() for text in many.texts] == ["60", "20", "20", "15", "70", "15"]
    assert [tick.get_text() for tick in few.get_yticklabels()] == list(CLASSES)
    assert many.get_ylim()[0] > many.get_ylim()[1], "the first class is above"
    assert (few.get_title(loc="left"), many.get_title(loc="left")) == ("images 100, none", "images 500, none")


def test_a_matrix_of_many_classes_has_no_numbers_and_a_scale(tmp_path):
    classes = tuple(f"c{k}" for k in range(45))
    rich(tmp_path / "a", np.eye(45, dtype=int), [9] * 45, classes)
    panel, bar = draw(build_table(load_runs(tmp_path)), spec_of("confusion")).axes
    assert not panel.texts and not panel.get_xticks().size and bar.get_xlabel() == "% of the true class"
    assert panel.collections[0].get_rasterized()


def test_which_cells_have_a_matrix(tmp_path):
    for n in range(1, 9):
        for mix in ("none", "mixup"):
            rich(tmp_path / f"{n}{mix}", n=n, mix=mix)
    table = build_table(load_runs(tmp_path))

    def drawn(**changes: Any) -> list[str]:
        return [panel.get_title(loc="left") for panel in draw(table, spec_of("confusion", **changes)).axes]

    assert drawn() == [f"images {n}, {mix}" for n in (1, 5, 8) for mix in ("none", "label-mix")]
    assert drawn(only=["none"]) == [f"images {n}, none" for n in range(1, 9)]
    assert drawn(only=[3, "none"]) == ["images 3, none"]
    assert len(drawn(most=12)) == 12
    with pytest.raises(UserError, match=r"no row or column 'nne'\. Did you mean 'none'"):
        drawn(only=["nne"])
    with pytest.raises(UserError, match="it would have 16 matrices; 12 are the most"):
        drawn(only=[*range(1, 9)])
    assert "most is 13; a whole number from 1 to 12" in figure_problem({"file": "f", "kind": "confusion", "most": 13})
    assert "only is 3; a list was expected" in figure_problem({"file": "f", "kind": "confusion", "only": 3})


def test_matrices_of_different_classes_have_no_sum(tmp_path):
    rich(tmp_path / "a", seed=0)
    rich(tmp_path / "b", seed=1, classes=("cat", "dog", "horse"))
    with pytest.raises(UserError, match="different classes, so their confusion matrices have no sum"):
        draw(build_table(load_runs(tmp_path)), spec_of("confusion"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "there is no confusion.csv"),
        ("", "cannot be read"),
        ("true,a,b\na,1,2\n", "not a square"),
        ("true,a,b\na,1,2\nb,3\n", "cannot be read"),
        ("true,a,b\na,1,2\nc,3,4\n", "not a square"),
        ("true,a,b\na,1,-2\nb,3,4\n", "not a square"),
        ("true,a,b\na,1,=1+1\nb,3,4\n", "cannot be read"),
    ],
)
def test_a_damaged_matrix_is_a_sentence(tmp_path, text, words):
    run = rich(tmp_path / "a")
    (run / "confusion.csv").unlink()
    if text is not None:
        (run / "confusion.csv").write_text(text)
    with pytest.raises(UserError, match=words):
        confusion_of(load_run(run))
    with pytest.raises(UserError, match=words):
        draw(build_table(load_runs(tmp_path)), spec_of("confusion"))


# --- by class ---


def test_the_accuracy_of_a_class_against_its_training_images(tmp_path):
    rich(tmp_path / "0", [[8, 1, 1], [2, 5, 3], [0, 9, 1]], (400, 40, 4), seed=0)
    rich(tmp_path / "1", [[6, 1, 3], [2, 7, 1], [0, 7, 3]], (400, 40, 4), seed=1)
    (panel,) = draw(build_table(load_runs(tmp_path)), spec_of("per_class")).axes
    line = panel.get_lines()[0]
    np.testing.assert_allclose(line.get_xydata(), [[4, 20], [40, 60], [400, 70]])
    low, high = panel.collections[0].get_paths()[0].get_extents().get_points()
    assert panel.get_xscale() == "log" and (low[0], high[0]) == (4, 400)
    np.testing.assert_allclose([low[1], high[1]], [20 - np.std([10, 30], ddof=1), 70 + np.std([80, 60], ddof=1)])


def test_classes_of_about_a_size_share_a_point_and_have_a_dot_each(tmp_path):
    rich(tmp_path / "0", [[9, 1, 0], [5, 5, 0], [0, 9, 1]], (100, 110, 300))
    (panel,) = draw(build_table(load_runs(tmp_path)), spec_of("per_class")).axes
    np.testing.assert_allclose(panel.get_lines()[0].get_xydata(), [[105, 70], [300, 10]])
    (dots,) = panel.collections
    np.testing.assert_allclose(dots.get_offsets(), [[100, 90], [110, 50]])
    assert panel.get_xscale() == "linear"


def test_classes_of_one_size_are_drawn_by_name(tmp_path):
    rich(tmp_path / "0", [[9, 1, 0], [5, 5, 0], [0, 9, 1]], (50, 50, 50), seed=0)
    rich(tmp_path / "1", [[7, 3, 0], [5, 5, 0], [0, 9, 1]], (50, 50, 50), seed=1)
    (panel,) = draw(build_table(load_runs(tmp_path)), spec_of("per_class")).axes
    ((points, _, (bars,)),) = panel.containers
    np.testing.assert_allclose(points.get_ydata().astype(float), [80, 50, 10])
    np.testing.assert_allclose(bars.get_segments()[0][:, 1], [80 - np.sqrt(200), 80 + np.sqrt(200)])
    assert [tick.get_text() for tick in panel.get_xticklabels()] == list(CLASSES)


@pytest.mark.parametrize("counts", [None, [1, 2], ["a", 1, 2], {"a": 1}])
def test_without_counts_there_is_a_reason(tmp_path, counts):
    run = rich(tmp_path / "a")
    (run / "environment.json").write_text(json.dumps({"train_counts": counts}))
    with pytest.raises(UserError, match="does not tell how many training images"):
        draw(build_table(load_runs(tmp_path)), spec_of("per_class"))


# --- cost ---


def timed(folder: Path, seconds: float, device: str = "a chip", **settings: Any) -> None:
    run = rich(folder, **settings)
    (run / "result.json").write_text(
        json.dumps({"outcome": "finished", "seconds": seconds, "steps": 20, "last": {"accuracy": 0}})
    )
    environment = json.loads((run / "environment.json").read_text()) | {"device_name": device}
    (run / "environment.json").write_text(json.dumps(environment))


def test_every_run_and_the_mean_of_every_cell(tmp_path):
    timed(tmp_path / "a", 30, seed=0)
    timed(tmp_path / "b", 50, seed=1)
    timed(tmp_path / "c", 70, mix="mixup")
    table = build_table(load_runs(tmp_path))
    figure = draw(table, spec_of("cost"))
    (panel,) = figure.axes
    found = {
        gid: sorted(tuple(xy) for line in panel.get_lines() if line.get_gid() == gid for xy in line.get_xydata())
        for gid in ("run", "mean")
    }
    assert found == {"run": [(30, 60), (50, 60), (70, 60)], "mean": [(40, 60), (70, 60)]}
    assert panel.get_xlabel() == "wall time (seconds)" and panel.get_xscale() == "linear"
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["none", "label-mix"]


def test_times_on_different_devices_are_told_apart_and_never_averaged(tmp_path):
    timed(tmp_path / "a", 3 * 3600, seed=0)
    timed(tmp_path / "b", 36, "a fast chip", seed=1)
    table = build_table(load_runs(tmp_path))
    figure = draw(table, spec_of("cost"))
    (panel,) = figure.axes
    means = {
        tuple(line.get_xydata()[0]): line.get_fillstyle() for line in panel.get_lines() if line.get_gid() == "mean"
    }
    assert means == {(3.0, 60): "full", (0.01, 60): "none"}
    assert panel.get_xlabel() == "wall time (hours)" and panel.get_xscale() == "log"
    assert {text.get_text() for text in figure.legends[0].get_texts()} == {
        "none",
        "a chip, 1 thread",
        "a fast chip, 1 thread",
    }
    assert "2 devices, whose times do not compare" in caption(table, spec_of("cost"))


# --- images ---


def test_images_are_drawn_pixel_by_pixel_with_their_labels(table):
    figure = draw(table, spec_of("images", count=3, only=[500]))
    shown = [panel for panel in figure.axes if panel.images]
    assert len(shown) == 6, "three images for each of two mixes"
    np.testing.assert_array_equal(shown[1].images[0].get_array(), np.full((2, 3, 3), (80, 0, 175)))
    assert [panel.get_title() for panel in shown[:3]] == ["cat 0.1", "cat 0.2", "cat 0.3"]


def test_a_blend_at_a_hidden_layer_is_said_to_be_shown_unmixed(table):
    for run in table.runs:
        path = run.folder / "probe_mixed_images.csv"
        path.write_text(path.read_text().replace(",input", ",final"))
    figure = draw(table, spec_of("images"))
    assert "blended at final: these are the first parts, not yet blended" in figure.subfigs[0].get_suptitle().replace(
        "\n", " "
    )
    assert caption(table, spec_of("images")).endswith("not yet blended.")


def bomb() -> str:
    """A PNG that says it has a hundred thousand pixels a side."""
    data = bytearray(base64.b64decode(picture(1)))
    data[16:24] = (100_000).to_bytes(4, "big") * 2
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    return base64.b64encode(bytes(data)).decode()


@pytest.mark.parametrize("word", ["!", "AAAA", base64.b64encode(b"GIF89a").decode(), picture(1, (2000, 2)), bomb()])
def test_what_is_no_image_is_a_sentence(tmp_path, word):
    run = rich(tmp_path / "a")
    (run / "probe_mixed_images.csv").write_text(f"step,sample,image,labels,lam,layer\n1,0,{word},cat 1,1,input\n")
    with pytest.raises(UserError, match="has an image that cannot be read"):
        draw(build_table(load_runs(tmp_path)), spec_of("images"))


# --- the older kinds ---


def test_a_measure_is_drawn_against_a_setting_by_its_own_rule(tmp_path):
    measures = {"best error": {"metric": "error", "rule": "best"}, "loss": {"metric": "test_loss"}}
    spec = {
        **TABLE,
        "columns": {"label": "", "measures": measures},
        "published": {"best error": {500: 33.0, 100: 44.0}},
    }
    for n, mix in ((100, "mixup"), (500, "mixup"), (None, "none")):
        leave(tmp_path / str(n), (0.7, 0.6), n=n, mix=mix, table=spec)
    table = build_table(load_runs(tmp_path))
    figure = draw(table, spec_of("against", x="subset.n", y="best error"))
    (panel,) = figure.axes
    ((line, *_),) = panel.containers
    np.testing.assert_allclose(line.get_xydata(), [[100, 30], [500, 30]])
    assert panel.get_ylabel() == "best error, best on test"
    (hollow,) = [each for each in panel.get_lines() if each.get_gid() == "published"]
    np.testing.assert_allclose(hollow.get_xydata(), [[100, 44], [500, 33]])
    (level,) = [each for each in panel.get_lines() if each.get_label() == "–"]
    assert list(level.get_ydata()) == pytest.approx([30, 30]) and level.get_color() != line.get_color()


def test_drawn_weights_are_steps_and_their_formula_is_a_line(table):
    figure = draw(table, spec_of("probe", x="x", y="density", lines="kind", steps=["drawn"]))
    drawn, formula = figure.axes[0].get_lines()
    assert (drawn.get_drawstyle(), formula.get_drawstyle()) == ("steps-mid", "default") and drawn.get_marker() == "None"


def test_points_beyond_the_limits_are_counted(table):
    panel = draw(table, spec_of("scatter", limits=[0, 1])).axes[0]
    with (table.runs[0].folder / "probe_points.csv").open() as file:
        rows = list(csv.DictReader(file))
    outside = sum(float(row["x"]) > 1 or float(row["density"]) > 1 for row in rows)
    assert f"{outside} outside" in [text.get_text() for text in panel.texts] and panel.get_xlim() == (0, 1)


def test_of_many_steps_some_from_the_first_to_the_last_are_drawn(tmp_path):
    run = rich(tmp_path / "a")
    (run / "probe_points.csv").write_text(
        "step,x,density\n" + "".join(f"{step},{step},1\n" for step in range(0, 90, 10))
    )
    figure = draw(build_table(load_runs(tmp_path)), spec_of("scatter", colour=None, limits=None, panels="step"))
    assert [panel.collections[0].get_offsets()[0][0] for panel in figure.axes] == [0, 20, 40, 60, 80]
    assert len({(panel.get_xlim(), panel.get_ylim()) for panel in figure.axes}) == 1


# --- captions and what every report draws ---


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("against", "Test accuracy (%), last evaluation, against subset.n, a line for each mixing; SPREAD; hollow markers are the published values."),
        ("curves", "Training loss, test loss and test accuracy (%) at every evaluation, a line for each mixing; panels by images; SPREAD."),
        ("confusion", ("Confusion matrices of the last evaluation: the per cent of each true class (row) that was predicted as each class "
                      "(column), blank below a half, from counts summed over runs (n = 2).")),
        ("cost", ("Wall time of each run on a chip, 1 thread against test accuracy (%), last evaluation, markers by mixing; small: runs, large: the "
                 "mean of a cell (n = 2).")),
    ],
)  # fmt: skip
def test_a_caption_is_one_sentence_with_rule_spread_and_n(name, words, table):
    spread = "SPREAD", "means over seeds, bars ± the sample standard deviation (n = 2)"
    assert caption(table, spec_of(name)).replace("bands ±", "bars ±") == words.replace(*spread)


@pytest.mark.parametrize("name", SPECS)
def test_every_kind_has_a_caption(name, table):
    spec = spec_of(SPECS[name].get("kind", name), **SPECS[name])
    words = caption(table, spec)
    assert (
        words.endswith(".")
        and words[0].isupper()
        and ", ," not in words
        and ",," not in words
        and words.count(". ") == 0
    )
    assert {SPECS[each].get("kind", each) for each in SPECS} == set(KINDS)


def test_every_report_draws_what_its_runs_have_and_its_table_does_not_ask_for(table, tmp_path):
    found = standard(table)
    assert [spec["kind"] for spec in found] == [
        "scores",
        "curves",
        "confusion",
        "per_class",
        "by_group",
        "cost",
        "images",
        "reliability",
    ]
    assert all(figure_problem(spec) == "" for spec in found)
    for spec in found:
        save(draw(table, spec), tmp_path / spec["file"], caption(table, spec))
    asked = {**table.spec, "figures": [{"file": "mine", "kind": "curves"}, {"file": "c", "kind": "confusion"}]}
    assert [spec["kind"] for spec in standard(Table(asked, *list(vars(table).values())[1:11]))] == [
        "scores",
        "per_class",
        "by_group",
        "cost",
        "images",
        "reliability",
    ]


def test_what_runs_do_not_have_is_no_standard_figure(tmp_path):
    leave(tmp_path / "a", (0.5,))
    assert [spec["kind"] for spec in standard(build_table(load_runs(tmp_path)))] == ["scores"]
    rich(tmp_path / "b", seed=1, train=(95, 104, 101))
    assert [spec["kind"] for spec in standard(build_table(load_runs(tmp_path)))] == [
        "scores",
        "curves",
        "confusion",
        "cost",
        "images",
        "reliability",
    ]


def test_runs_of_entries_are_those_that_meet_their_conditions(table):
    for row in (*table.rows, Entry("", {})):
        for column in (*table.columns, Entry("", {}), None):
            expected = [run.folder for run in table.runs if row.holds(run) and (column is None or column.holds(run))]
            assert sorted(run.folder for run in runs_of(table, row, column)) == sorted(expected)


def test_costs_of_many_settings_are_one_cloud_that_no_legend_names(tmp_path):
    for k in range(15):
        timed(tmp_path / str(k), 10 + k, n=k + 1)
    table = build_table(load_runs(tmp_path))
    figure = draw(table, spec_of("cost", by="rows"))
    (panel,) = figure.axes
    (means,) = [line for line in panel.get_lines() if line.get_gid() == "mean"]
    np.testing.assert_allclose(sorted(means.get_xdata()), range(10, 25))
    assert not figure.legends and {"1", "15"} <= {text.get_text() for text in panel.texts}


def test_a_report_has_the_standard_figures_and_is_silent_on_those_it_cannot_draw(table):
    for run in table.runs:
        (run.folder / "confusion.csv").write_text("broken")
    folder = table.runs[0].folder.parent
    written = {path.name for path in write_report([folder])}
    assert {
        f"{name}.{ending}" for name in ("scores", "curves", "cost", "images") for ending in ("svg", "pdf", "png")
    } <= written
    assert not {"confusion.svg", "per_class.svg", "by_group.svg", "by_group.csv"} & written
    text = (folder / "report" / "table.md").read_text(encoding="utf-8")
    assert "![cost](cost.png)" in text and "Not drawn" not in text

"""A report's page in headless Chromium: opened from its file with the network off, used as its readers use it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_report import AGAINST, TABLE, leave

from mixexp.metrics import RULES
from mixexp.reporting import markdown, sheets
from mixexp.reporting.changes import read
from mixexp.reporting.findings import findings
from mixexp.reporting.latex import latex
from mixexp.reporting.page import Part, page
from mixexp.reporting.page.runlist import HEAD, TAIL, duration, link, listed, run_list
from mixexp.reporting.tables import build_tables
from mixexp.reporting.trained import trained
from mixexp.reporting.write import write_report
from mixexp.text import LONGEST, sanitize
from mixexp.training.reader import Run, load_runs

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
Open = Callable[..., AbstractContextManager[Any]]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="playwright is not installed: pip install mixexp[test]"
    )
    if CHROMIUM is None:
        pytest.skip("no chromium, chromium-browser or google-chrome on the path")
    with playwright.sync_playwright() as driver:
        yield driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])


@pytest.fixture(scope="module")
def opened(browser) -> Open:
    """Open a page of this machine; what it asks of a network, complains of or runs of its runs' texts fails the
    test."""

    @contextmanager
    def open_it(path: Path, address: str = "", width: int = 1280, before: str = "", **context: Any) -> Iterator[Any]:
        page = browser.new_context(
            offline=True, viewport={"width": width, "height": 800}, reduced_motion="reduce", **context
        ).new_page()
        page.set_default_timeout(10_000)
        found: list[str] = []
        page.on(
            "request",
            lambda request: (
                found.append(request.url[:200]) if urlsplit(request.url).scheme not in ("file", "data") else None
            ),
        )
        page.on("console", lambda message: found.append(message.text))
        page.on("pageerror", lambda error: found.append(str(error)))
        page.on("dialog", lambda dialog: (found.append(dialog.message), dialog.dismiss()))
        page.add_init_script(
            "addEventListener('securitypolicyviolation', event => console.error(event.violatedDirective));" + before
        )
        page.goto(path.resolve().as_uri() + address)
        yield page
        assert found == []
        assert page.evaluate("typeof canary") == "undefined", "a run's text was run"
        page.context.close()

    return open_it


@pytest.fixture(scope="module")
def sweep(tmp_path_factory) -> Path:
    """Runs whose rules choose different numbers, three seeds a cell, a gap, one run of each kind without a number, and
    a figure."""
    folder = tmp_path_factory.mktemp("page") / "sweep"
    table = TABLE | {
        "figures": [AGAINST, {"file": "broken", "kind": "none"}],
        "published": {"none": {500: 44.6, 100: 26.79, 50000: 99}},
    }
    for n in (50000, 100, 1000):
        for mix in ("none", "mixup")[: 1 if n == 1000 else 2]:
            for seed in range(3):
                top = 0.2 + 0.1 * len(str(n)) + (0.05 + 0.004 * seed) * (mix == "mixup") + 0.013 * seed**2
                leave(
                    folder / f"{mix}{n}-{seed}",
                    (0.1, top + 0.11, top),
                    n=n,
                    mix=mix,
                    seed=seed,
                    table=table,
                    width=8 if n == 100 else 16,
                )
    leave(folder / "y_diverged", (0.2, 0.9), n=100, seed=7, outcome="diverged", table=table)
    lines = (
        "Traceback (most recent call last):\n"
        + "  a frame of <b>many</b>\n" * 50_000
        + "RuntimeError: out of <i>memory</i>\n"
    )
    (leave(folder / "y_failed", n=100, seed=8, outcome=None, table=table) / "error.txt").write_text(lines)
    leave(folder / "y_unfinished", n=100, mix="mixup", seed=9, outcome=None, table=table)
    (folder / "y_damaged").mkdir()
    (folder / "y_damaged" / "config.yaml").write_text("a: [")
    return folder


@pytest.fixture(scope="module")
def report(sweep) -> Path:
    return write_report([sweep])[-1]


def until(true: Callable[[], bool], seconds: float = 5) -> None:
    """Wait for what the page does a moment later; the browser's own waiting is script that the page's policy
    forbids."""
    end = time.perf_counter() + seconds
    while not true():
        assert time.perf_counter() < end, "it has not happened"
        time.sleep(0.02)


def find(page: Any, grid: str, words: str, count: str) -> None:
    """Type words into a filter and wait until as many rows are told."""
    page.locator(f"[data-grid={grid}] input[type=search]").fill(words)
    until(lambda: page.locator(f"[data-grid={grid}] .count").inner_text() == count)


def rows(page: Any, table: str) -> list[list[str]]:
    """The texts of a table's body as they are drawn, without the intervals below its numbers."""
    script = """tables => {
      const text = (cell) => [...cell.childNodes].filter((node) => !node.classList?.contains("interval")).map((node) => node.textContent).join("").trim();
      return [...tables.find((table) => table.checkVisibility()).tBodies[0].rows].map((row) => [...row.cells].map(text)); }"""
    return page.eval_on_selector_all(table, script)


HEADLINE, RUNS = "[data-grid=t1] table", "#runs > .scroll > table"


def column(page: Any, table: str, place: int) -> list[str]:
    return [row[place] for row in rows(page, table)]


def test_a_report_ends_with_its_page(sweep, report):
    assert report == sweep / "report" / "report.html"
    text = report.read_text(encoding="utf-8")
    assert (
        "http:" not in re.sub(r"data:image/[^\"]*", "", text).replace("http://www.w3.org/2000/svg", "")
        and "https:" not in text
    )
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)[1]
    assert "default-src &#39;none&#39;" in policy and "unsafe" not in policy


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_it_opens_without_network_complaint_or_overflow(opened, report, tmp_path, width, scheme):
    with opened(report, width=width, color_scheme=scheme) as page:
        page.locator("#runs .open").first.click()
        assert page.evaluate("document.scrollingElement.scrollWidth") <= width
        assert page.evaluate("[...document.images].every(image => image.complete && image.naturalWidth > 100)")
        shade = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (sum(map(int, re.findall(r"\d+", shade))) > 3 * 128) == (scheme == "light")
        assert (
            page.evaluate("getComputedStyle(document.querySelector('figure .zoom')).backgroundColor")
            == "rgb(255, 255, 255)"
        )
        page.screenshot(path=tmp_path / f"{width}-{scheme}.png", full_page=True)
        # every box whose content is wider than itself scrolls, and says so
        hidden = "box => box.scrollWidth > box.clientWidth + 1 && box.previousElementSibling.hidden"
        assert not page.eval_on_selector_all(".scroll", f"boxes => boxes.filter({hidden}).length")


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_is_readable_on_its_ground(opened, report, scheme):
    script = """() => {
      const channel = (v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
      const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
      const numbers = (text) => text.match(/[\\d.]+/g).map(Number);
      const ground = (element) => { for (let e = element; e; e = e.parentElement) { const c = numbers(getComputedStyle(e).backgroundColor); if (c.length < 4 || c[3] > 0) return c; } return numbers(getComputedStyle(document.body).backgroundColor); };
      const found = {};
      for (const element of document.querySelectorAll('body *')) {
        const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
        if (!own || !element.checkVisibility() || element.closest('script, style, .unseen, .skip')) continue;
        const [a, b] = [light(numbers(getComputedStyle(element).color)), light(ground(element))];
        const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
        if (ratio < 4.5) found[element.tagName + '.' + element.className + ' ' + element.textContent.slice(0, 30)] = ratio;
      }
      return found; }"""
    with opened(report, color_scheme=scheme) as page:
        page.locator("#runs .open").first.click()
        assert page.evaluate(script) == {}


@pytest.mark.browser
def test_colours_can_be_chosen_against_the_system(opened, report):
    with opened(report, color_scheme="light") as page:
        before = page.evaluate("getComputedStyle(document.body).backgroundColor")
        page.get_by_role("button", name="Dark colours").click()
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") != before
        page.get_by_role("button", name="Light colours").click()
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == before


@pytest.mark.browser
def test_the_headline_by_each_rule_is_that_of_the_sheets(opened, sweep, report):
    (table,) = build_tables(load_runs(sweep))
    with opened(report) as page:
        assert page.locator(".switch input:checked").get_attribute("value") == "last"
        assert "the table’s own" in page.locator(".switch label").first.inner_text()
        for rule in ("best", "last"):
            page.locator(f".switch input[value={rule}]").check(force=True)
            assert rows(page, HEADLINE) == sheets.headline(table, rule).rows
            heading = page.locator("[data-grid=t1] h3:visible").inner_text()
            assert heading == markdown.heading(table, rule)
            assert page.get_by_text("flatters every run").is_visible() == (rule == "best")
            scores = {row[0]: row[2] for row in rows(page, RUNS)}
            assert {name: score for name, score in scores.items() if score} == {
                folder.name: sheets.number(found[rule], table.spec) for folder, found in table.scores.items()
            }
            assert RULES[rule] in page.locator("#runs thead").inner_text()
            assert RULES[rule] in page.locator("#differences-1").inner_text()
        assert rows(page, "[data-grid=t1-rules] table") == sheets.rules(table).rows


@pytest.mark.browser
def test_what_was_trained_what_came_out_and_how_sure_it_is(opened, sweep, report):
    (table,) = build_tables(load_runs(sweep))
    sheet = sheets.headline(table)
    cells = "[data-grid=t1] table[data-view=last] tbody"
    with opened(report) as page:
        assert page.locator("header .trained").inner_text() == trained(table)
        assert page.locator("[data-grid=t1] .findings:visible").inner_text() == findings(table)
        assert page.locator(f"{cells} b").all_inner_texts() == [
            sheets.split(sheet.rows[row][place])[0] for row, place in sorted(sheet.bold)
        ]
        assert page.locator(f"{cells} .interval").all_inner_texts() == [
            words for _, words in sorted(sheet.intervals.items())
        ]
        assert (
            len(sheet.bold) == 1
            and len(sheet.intervals) == 5
            and "Bold: the highest of each row" in page.locator("#table-1").inner_text()
        )
        assert not page.locator("[data-grid=t1-rules] td b, .tests td b, #runs td b").count()
        page.locator("#metrics-1 summary").click()
        assert rows(page, "#metrics-1 table") == sheets.other_metrics(table).rows
        page.get_by_role("button", name="Details of none100-2").click()
        assert "At the last evaluation" in page.locator("tr.detail").inner_text()
        assert page.locator("tr.detail table").last.locator("tbody tr").all_inner_texts() == [
            "accuracy (%)\t50.00",
            "macro F1 (%)\t50.00",
        ]


@pytest.mark.browser
def test_a_single_run_has_nothing_to_compare_and_says_so(opened, tmp_path):
    leave(tmp_path / "runs" / "a", (0.1, 0.5), table=None)
    with opened(write_report([tmp_path / "runs"])[-1]) as page:
        assert (
            page.locator(".findings:visible")
            .inner_text()
            .startswith("One seed: nothing says what another one would give.")
        )
        assert (
            not page.locator("#differences-1").count()
            and "Comparisons by seed" not in page.locator(".contents").inner_text()
        )


@pytest.mark.browser
def test_a_readers_sentence_is_below_the_title_and_among_the_notes(opened, tmp_path):
    leave(tmp_path / "runs" / "a", table=None)
    leave(tmp_path / "runs" / "b", table=None, choices={"dataset": "mnist"})
    changes = read(None, {"title": "Mine", "note": ["Why <this> was done."]})
    with opened(write_report([tmp_path / "runs"], changes=changes)[-1]) as page:
        assert (
            page.locator("h1").inner_text() == "Mine"
            and page.locator("h1 + .said").inner_text() == "Why <this> was done."
        )
        assert "Why <this> was done." in page.locator("#notes-1").inner_text()


@pytest.mark.browser
def test_comparisons_by_seed_follow_the_rule(opened, sweep, report):
    (table,) = build_tables(load_runs(sweep))
    with opened(report) as page:
        for rule in ("last", "best"):
            page.locator(f".switch input[value={rule}]").check(force=True)
            assert rows(page, "#differences-1 table") == sheets.differences(table, rule).rows


@pytest.mark.browser
def test_what_is_published_beyond_our_interval_is_marked_and_explained(opened, report):
    with opened(report) as page:
        marked = page.locator("[data-grid=t1] td.flag:visible")
        assert [text.endswith("†") for text in marked.all_inner_texts()] == [True, True]
        assert "†: the published value lies outside" in page.locator("[data-grid=t1] .legend:visible").inner_text()


@pytest.mark.browser
def test_columns_sort_numbers_by_value_and_missing_ones_last(opened, report):
    with opened(report) as page:
        head = page.locator("[data-grid=t1] th[data-column='0']:visible")
        assert head.get_attribute("aria-sort") == "none" and column(page, HEADLINE, 0) == [
            "100",
            "500",
            "1000",
            "50000",
        ]
        head.get_by_role("button").click()
        assert head.get_attribute("aria-sort") == "ascending" and column(page, HEADLINE, 0) == [
            "100",
            "500",
            "1000",
            "50000",
        ]
        head.get_by_role("button").click()
        assert head.get_attribute("aria-sort") == "descending" and column(page, HEADLINE, 0) == [
            "50000",
            "1000",
            "500",
            "100",
        ]
        mixed = page.locator("[data-grid=t1] th[data-column='3']:visible").get_by_role("button")
        mixed.click()
        assert column(page, HEADLINE, 0) == ["100", "50000", "500", "1000"]  # two are empty and stay in their order
        mixed.click()
        assert column(page, HEADLINE, 0) == ["50000", "100", "500", "1000"]
        assert page.locator("[data-grid=t1] th[aria-sort=descending]:visible").count() == 1
        mixed.click()
        assert column(page, HEADLINE, 0) == ["100", "500", "1000", "50000"]


@pytest.mark.browser
def test_runs_sort_by_every_column(opened, report):
    with opened(report) as page:
        heads = page.locator("#runs thead th")
        names = [re.split(r"[\n\xa0]", text)[0] for text in heads.all_inner_texts()]
        assert names == [
            "run",
            "outcome",
            "accuracy (%)",
            "seed",
            "subset.n",
            "mix",
            "mix_layer",
            "alpha",
            "width",
            "seconds",
            "device",
            "started",
        ]

        def value(text: str) -> tuple:
            return (0, float(text), "") if re.fullmatch(r"[\d.]+", text) else (1, 0.0, text.lower())

        for place, name in enumerate(names):
            before = column(page, RUNS, place)
            heads.nth(place).get_by_role("button").click()
            after = column(page, RUNS, place)
            present = [text for text in before if text not in ("", "–")]
            if name != "run":  # whose texts have numbers in them
                assert after[: len(present)] == sorted(present, key=value), name
            heads.nth(place).get_by_role("button").click()
            down = column(page, RUNS, place)
            assert down[: len(present)] == (after[: len(present)])[::-1] and set(down[len(present) :]) <= {"", "–"}
            heads.nth(place).get_by_role("button").click()
            assert column(page, RUNS, place) == before
        heads.nth(0).get_by_role("button").click()
        assert [name for name in column(page, RUNS, 0) if name.startswith("none")] == [
            f"none{n}-{seed}" for n in (100, 1000, 50000) for seed in range(3)
        ]


@pytest.mark.browser
def test_the_filter_wants_every_word(opened, report):
    with opened(report) as page:
        count = page.locator("#runs .count")
        assert count.inner_text() == "19 rows" and count.get_attribute("aria-live") == "polite"
        find(page, "runs", "MIXUP subset.n=100", "4 of 19 rows")
        assert column(page, RUNS, 0) == ["y_unfinished", "mixup100-0", "mixup100-1", "mixup100-2"], (
            "what did not finish comes first"
        )
        find(page, "runs", "nothing like it", "0 of 19 rows")
        find(page, "t1", "500", "2 of 4 rows")
        assert column(page, HEADLINE, 0) == ["500", "50000"]


@pytest.mark.browser
def test_runs_by_outcome(opened, report):
    with opened(report) as page:
        assert page.locator(".tiles").inner_text().split() == [
            "1",
            "failed",
            "1",
            "diverged",
            "1",
            "damaged",
            "1",
            "unfinished",
            "15",
            "finished",
        ]
        page.locator(".outcomes input[value=diverged]").check(force=True)
        assert [row[:2] for row in rows(page, RUNS)] == [["y_diverged", "diverged"]]
        page.locator(".tiles a", has_text="damaged").click()
        assert [row[:2] for row in rows(page, RUNS)] == [["y_damaged", "damaged"]]
        assert page.locator(".outcomes input:checked").get_attribute("value") == "damaged"
        page.locator(".outcomes input").first.check(force=True)
        assert len(rows(page, RUNS)) == 19


@pytest.mark.browser
def test_runs_without_a_result_come_before_every_table(opened, sweep, report):
    (table,) = build_tables(load_runs(sweep))
    with opened(report) as page:
        listed = rows(page, "#missing table")
        assert [[outcome, name, place, why] for name, outcome, place, why in listed] == sheets.missing(table).rows
        assert page.evaluate(
            "document.querySelector('#missing').compareDocumentPosition(document.querySelector('#table-1')) & 4"
        )
        assert page.locator("#missing h2").inner_text() == "Without a result: 4 of 19 runs"


@pytest.mark.browser
def test_a_run_tells_its_settings_its_curve_and_its_error(opened, report):
    with opened(report) as page:
        page.get_by_role("button", name="Details of none100-2").click()
        detail = page.locator("tr.detail")
        assert ["width", "8", "16"] in [
            line.split("\t") for line in detail.locator("tbody").first.inner_text().splitlines()
        ]
        assert ["seed", "2", "0"] in [
            line.split("\t") for line in detail.locator("tbody").first.inner_text().splitlines()
        ]
        # of the evaluations 0.1, 0.662 and 0.552, in per cent
        assert (
            detail.get_by_role("img").get_attribute("aria-label") == "accuracy (%) by evaluation, from 10.00 to 66.20"
        )
        heights = [int(height) for height in re.findall(r" (\d+)", detail.locator("path").get_attribute("d"))]
        assert heights[0] == 61 and heights[1] == 0 and 5 < heights[2] < 20
        page.get_by_role("button", name="Details of none100-2").click()
        assert detail.count() == 0
        page.get_by_role("button", name="Details of y_failed").click()
        error = detail.locator("pre").inner_text()
        assert error.startswith("Traceback (most recent call last):\n") and error.endswith(
            "RuntimeError: out of <i>memory</i>"
        )
        assert re.search(r"\[… 1,\d{3},\d{3} bytes left out …\]", error) and len(error) < HEAD + TAIL + 100
        page.get_by_role("button", name="Details of y_damaged").click()
        assert "configuration cannot be read" in page.locator("tr.detail").last.inner_text()


@pytest.mark.browser
def test_two_runs_side_by_side(opened, report):
    with opened(report) as page:
        for name in ("y_failed", "none100-0", "mixup100-0"):  # the third takes the first one's place
            page.get_by_role("checkbox", name=f"Choose {name}").check()
        page.get_by_role("button", name="Compare", exact=True).click()
        dialog = page.get_by_role("dialog")
        told = [line.split("\t") for line in dialog.locator("tbody").nth(1).inner_text().splitlines()]
        assert (
            ["mix", "none", "mixup"] in told and ["alpha", "–", "1"] in told and len(told) == 4
        )  # mix, mix._target_, mix_layer, alpha
        assert "settings differ" in dialog.inner_text()
        page.keyboard.press("Escape")
        assert not dialog.is_visible()
        page.get_by_role("button", name="Clear").click()
        assert page.locator("#runs input:checked[type=checkbox]").count() == 0


@pytest.mark.browser
def test_all_of_it_works_from_the_keyboard(opened, report):
    with opened(report) as page:
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip"
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.id") == "content"
        seen = []
        for _ in range(80):
            page.keyboard.press("Tab")
            seen.append(
                page.evaluate(
                    "[document.activeElement.tagName, document.activeElement.name || document.activeElement.className,"
                    " document.activeElement.textContent]"
                )
            )
            if seen[-1][1] == "rule-1":
                break
        page.keyboard.press("ArrowRight")
        assert page.locator(".switch input:checked").get_attribute("value") == "best"
        page.locator("[data-grid=t1] th[data-column='1']:visible button").focus()
        page.keyboard.press("Enter")
        assert page.locator("[data-grid=t1] th[data-column='1']:visible").get_attribute("aria-sort") == "ascending"
        page.keyboard.press("Space")
        assert page.locator("[data-grid=t1] th[data-column='1']:visible").get_attribute("aria-sort") == "descending"
        page.locator(".zoom").first.focus()
        page.keyboard.press("Enter")
        assert page.get_by_role("dialog").is_visible() and page.locator("dialog img").is_visible()
        page.keyboard.press("Escape")
        assert not page.get_by_role("dialog").is_visible()
        assert page.evaluate("document.activeElement.className") == "zoom"
        page.locator("#runs .open").first.focus()
        page.keyboard.press("Enter")
        assert page.locator("tr.detail").is_visible()
        assert ["BUTTON", "sort", "run"] in [[tag, name, text.strip()] for tag, name, text in seen]


@pytest.mark.browser
def test_focus_is_seen(opened, report):
    with opened(report) as page:
        for _ in range(12):
            page.keyboard.press("Tab")
            style = page.evaluate(
                "(() => { const s = getComputedStyle(document.activeElement); return [s.outlineStyle, s.outlineWidth];"
                " })()"
            )
            assert style[0] != "none" and style[1] != "0px"


@pytest.mark.browser
def test_a_link_restores_rule_filter_order_and_outcome(opened, report):
    with opened(report) as page:
        page.locator(".switch input[value=best]").check(force=True)
        page.locator("[data-grid=t1] th[data-column='1']:visible button").dblclick()
        find(page, "runs", "mixup 100", "4 of 19 rows")
        page.locator(".outcomes input[value=finished]").check(force=True)
        page.locator(".contents a[href='#runs']").click()
        address, headline, runs = "#" + page.url.partition("#")[2], rows(page, HEADLINE), rows(page, RUNS)
    assert "at=runs" in address and len(runs) == 3
    with opened(report, address) as page:
        assert page.locator(".switch input:checked").get_attribute("value") == "best"
        assert page.locator("[data-grid=t1] th[data-column='1']:visible").get_attribute("aria-sort") == "descending"
        assert page.locator("#runs input[type=search]").input_value() == "mixup 100"
        assert rows(page, HEADLINE) == headline and rows(page, RUNS) == runs
        until(lambda: page.evaluate("document.querySelector('#runs').getBoundingClientRect().top < innerHeight"))
    with opened(report, "#t1.rule=no-such&t1.sort=99&runs.sort=x&runs.outcome=%3Cimg%3E&at=%00") as page:
        assert page.locator(".switch input:checked").get_attribute("value") == "last" and len(rows(page, RUNS)) == 19


@pytest.mark.browser
def test_tables_are_copied_as_markdown_and_latex(opened, sweep, report):
    keep = (
        "window.kept = []; Object.defineProperty(navigator, 'clipboard', {value: {writeText: async text => {"
        " kept.push(text); }}});"
    )
    with opened(report, before=keep) as page:
        for rule in ("last", "best"):
            page.locator(f".switch input[value={rule}]").check(force=True)
            page.get_by_role("button", name="Copy Markdown").click()
            page.get_by_role("button", name="Copy LaTeX").click()
        kept = page.evaluate("kept")
    caption, _, copied = kept[0].partition("\n\n")
    assert copied in (sweep / "report" / "table.md").read_text(encoding="utf-8")
    assert (
        caption.endswith(": Test accuracy (%) at the last evaluation, mean ± sd over seeds (number of runs)")
        and "best on test" in kept[2].splitlines()[0]
    )
    assert kept[1] == (sweep / "report" / "table.tex").read_text(encoding="utf-8")
    (table,) = build_tables(load_runs(sweep), "best")
    assert all(cell in kept[2].replace("**", "") for row in sheets.headline(table).rows for cell in row) and kept[
        3
    ] == latex(table, "little_data")
    refuse = (
        "navigator.clipboard.writeText = async () => { throw new Error('no'); }; document.execCommand = () => false;"
    )
    with opened(report, before=refuse) as page:
        page.get_by_role("button", name="Copy LaTeX").click()
        area = page.locator("dialog textarea")
        assert area.is_visible() and "last evaluation" in area.input_value()
        assert page.evaluate(
            "(area => area.selectionEnd - area.selectionStart === area.value.length)(document.querySelector('dialog"
            " textarea'))"
        )


@pytest.mark.browser
def test_figures_have_a_caption_and_their_files(opened, report):
    with opened(report) as page:
        for figure in page.locator("figure").all():
            image, words = figure.locator("img"), figure.locator("figcaption").inner_text()
            assert image.get_attribute("alt") and words == f"{image.get_attribute('alt')} SVG · PDF · PNG"
            assert image.get_attribute("src").startswith("data:image/svg+xml;base64,")
        assert "Not drawn: figure broken" in page.locator("#figures-1").inner_text()


def test_a_large_figure_is_shown_as_its_png(tmp_path, monkeypatch):
    monkeypatch.setattr("mixexp.reporting.page.LARGEST_SVG", 1000)
    leave(tmp_path / "run", (0.1, 0.2), table=TABLE | {"figures": [AGAINST]})
    text = write_report([tmp_path])[-1].read_text(encoding="utf-8")
    assert "data:image/png;base64," in text and "data:image/svg" not in text


@pytest.mark.browser
def test_on_paper_there_are_tables_and_figures_without_controls(opened, report):
    with opened(report) as page:
        page.emulate_media(media="print")
        for hidden in (".contents", ".switch", ".tools", "#runs"):
            assert not page.locator(hidden).first.is_visible(), hidden
        for kept in (
            "h1",
            "#missing table",
            "[data-grid=t1] table >> nth=0",
            "figure img >> nth=0",
            ".legend >> nth=0",
        ):
            assert page.locator(kept).first.is_visible(), kept


@pytest.mark.browser
def test_without_javascript_the_page_still_tells_its_numbers(opened, sweep, report):
    (table,) = build_tables(load_runs(sweep))
    with opened(report, java_script_enabled=False) as page:
        assert rows(page, HEADLINE) == sheets.headline(table).rows
        assert page.locator("#missing table").is_visible() and page.locator("figure img").first.is_visible()
        assert page.locator("#differences-1 table").first.is_visible()
        said = page.locator("noscript")
        assert "runs.csv" in said.inner_html() and "need JavaScript" in said.inner_html()
        for control in (".switch", ".tools", ".outcomes", ".theme", ".copies", ".more"):
            assert not any(one.is_visible() for one in page.locator(control).all()), control


HOSTILE = '<img src=x onerror="canary=1"></script><script>canary=1</script>{{7*7}}'


@pytest.fixture(scope="module")
def hostile(tmp_path_factory) -> Path:
    """Names, labels, settings and errors that would be HTML, scripts, formulas, other addresses or nothing visible."""
    folder = tmp_path_factory.mktemp("hostile") / 'a b\'s "runs" #1 100%25? 日本語'
    columns = {
        "label": HOSTILE,
        "values": {HOSTILE: {"mix": "none"}, '=HYPERLINK("x")': {"mix": "mixup"}, "\u202eevil": {"mix": "bc"}},
    }
    notes = [HOSTILE, "[a](javascript:canary=1)", "x" * 100_000]
    spec = TABLE | {
        "title": HOSTILE,
        "source": HOSTILE,
        "columns": columns,
        "notes": notes,
        "published": {},
        "figures": [AGAINST | {"file": HOSTILE}],
    }
    names = [
        HOSTILE.replace("/", "∕"),
        "javascript:canary=1",
        "#?%2e%2e",
        "日本 語",
        "back\\slash",
        "'\"",
        "a\u202eb",
        "new\nline",
        "&amp;",
    ]
    for seed, name in enumerate(names):
        leave(
            folder / name,
            (0.1, 0.2 + seed / 100),
            mix=("none", "mixup", "bc")[seed % 3],
            seed=seed,
            table=spec,
            evil=f"{HOSTILE}{seed}",
        )
    os.rename(leave(folder / "bytes", seed=20, table=spec), os.fsencode(folder) + b"/\xff\xfe")
    environment = {
        "device_name": HOSTILE,
        "started": HOSTILE,
        "git": {"commit": HOSTILE, "dirty": "<"},
        "versions": {HOSTILE: "\ud800"},
        "command": ["\0"],
    }
    (folder / "日本 語" / "environment.json").write_text(
        json.dumps(environment | {"differs_from_experiment": {HOSTILE: ["\u2028", HOSTILE]}})
    )
    (folder / "'\"" / "environment.json").write_text(
        '{"git": 3, "versions": [], "started": NaN, "device_name": {"a": null}}'
    )
    failed = leave(folder / "failed", seed=30, outcome=None, table=spec)
    (failed / "error.txt").write_bytes(
        b"\x00\x1b[31m"
        + HOSTILE.encode()
        + b"\xff\r\n"
        + "\u2028\u202e<!--".encode()
        + b"\nValueError: "
        + HOSTILE.encode()
    )
    (leave(folder / "zero", seed=31, table=spec) / "result.json").write_text(
        '{"outcome": "finished", "seconds": NaN, "steps": 1, "last": {"a": 1}}'
    )
    return folder


@pytest.fixture(scope="module")
def hostile_report(hostile) -> Path:
    return write_report([hostile])[-1]


@pytest.mark.browser
@pytest.mark.parametrize("width", [1280, 390])
def test_nothing_of_hostile_runs_is_run_or_hides_anything(opened, hostile_report, tmp_path, width):
    with opened(hostile_report, width=width) as page:
        assert page.locator("h1").inner_text() == HOSTILE
        assert page.locator("script").count() == 2 and page.locator("img[src=x]").count() == 0
        for button in page.locator("#runs .open").all():
            button.click()
        assert page.locator("tr.detail").count() == page.locator("#runs .open").count() == 12
        error = page.locator("tr.detail pre").inner_text()
        assert "\\u0000\\u001b[31m<img" in error and "\\u2028\\u202e<!--" in error
        page.locator("#runs input[type=checkbox]").nth(0).check()
        page.locator("#runs input[type=checkbox]").nth(3).check()
        page.get_by_role("button", name="Compare", exact=True).click()
        assert HOSTILE in page.get_by_role("dialog").inner_text()
        page.keyboard.press("Escape")
        find(page, "runs", "<img onerror 日本", "1 of 12 rows")
        assert page.evaluate("document.scrollingElement.scrollWidth") <= width
        assert "(cut: 100,000 letters)" in page.locator(".notes").first.inner_text()
        assert not re.search("[\u202a-\u202e\u2066-\u2069\0]", page.locator("body").inner_text())
        page.screenshot(path=tmp_path / "hostile.png")


def test_the_pages_data_are_no_markup(hostile_report):
    (data,) = re.findall(r'id="data">(.*)</script>', hostile_report.read_text(encoding="utf-8"))
    assert (
        not set("<>&\u2028") & set(data.split("</script>")[0])
        and HOSTILE in json.loads(data.split("</script>")[0])["tables"][0]["title"]
    )


@pytest.mark.browser
@pytest.mark.parametrize("which", ["sweep", "hostile"])
def test_every_link_leads_to_a_file_that_is_there(opened, report, hostile_report, which):
    path = report if which == "sweep" else hostile_report
    with opened(path) as page:
        for button in page.locator("#runs .open").all():
            button.click()
        links = page.eval_on_selector_all("a[href]", "all => all.map(a => [a.getAttribute('href'), a.href])")
    files = [(given, full) for given, full in links if not given.startswith("#")]
    assert len(files) > (19 if which == "sweep" else 12)
    for written, full in files:
        address = urlsplit(full)
        assert (
            address.scheme == "file" and not address.query and not address.fragment and not urlsplit(written).scheme
        ), written
        assert full == urljoin(path.resolve().as_uri(), written)
        assert os.path.exists(unquote(address.path, errors="surrogateescape")), written
    anchors = [given[1:] for given, _ in links if given.startswith("#") and "=" not in given]
    text = path.read_text(encoding="utf-8")
    assert all(f'id="{anchor}"' in text for anchor in anchors)


@pytest.mark.browser
def test_a_script_that_came_in_all_the_same_would_not_run(opened, report, tmp_path):
    text = report.read_text(encoding="utf-8")
    broken = tmp_path / "broken.html"
    broken.write_text(
        text.replace(
            "<footer>",
            "<script>document.title='run'</script><img src='x.png' onerror=\"document.title='run'\"><footer>",
        ),
        encoding="utf-8",
    )
    with pytest.raises(AssertionError, match="Content Security Policy"), opened(broken) as page:
        assert page.title() != "run"


@given(st.text())
def test_shown_text_has_nothing_invisible_and_is_not_changed_otherwise(text):
    out = sanitize(text)
    assert not re.search(
        "[\0-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]", out
    )
    if text.isprintable() and len(text) <= LONGEST:
        assert out == text


@given(
    st.lists(
        st.text(st.characters(exclude_characters="/\0", exclude_categories=()), min_size=1, max_size=8).filter(
            lambda name: name not in (".", "..")
        ),
        min_size=1,
        max_size=3,
    )
)
def test_a_link_is_the_path_again_when_it_is_read(parts):
    try:
        path = Path("/runs", *parts)
        os.fsencode(path)
    except UnicodeEncodeError:
        return  # no file system has such a name
    given = link(path, Path("/runs/report"))
    assert not urlsplit(given).scheme and not urlsplit(given).netloc and urlsplit(given).path == given
    assert os.path.normpath(os.path.join("/runs/report", unquote(given, errors="surrogateescape"))) == os.path.normpath(
        path
    )


@pytest.mark.parametrize(
    ("seconds", "words"), [(0, "0 s"), (59.6, "1 min"), (61, "1 min 1 s"), (3600, "1 h"), (3600 * 49 + 61, "2 d 1 h")]
)
def test_durations(seconds, words):
    assert duration(seconds) == words


@pytest.mark.browser
def test_several_tables_have_one_page(opened, tmp_path):
    for seed in range(2):
        leave(
            tmp_path / "runs" / f"a{seed}",
            (0.1, 0.5),
            seed=seed,
            table=TABLE | {"title": "first <table>"},
            differs={"epochs": [3, 30]},
        )
        leave(
            tmp_path / "runs" / f"b{seed}",
            (0.1, 0.5),
            seed=seed,
            table=TABLE | {"title": "report.html", "metric": "test_loss", "scale": 1},
        )
    (tmp_path / "runs" / "lost").mkdir()
    (tmp_path / "runs" / "lost" / "config.yaml").write_text("a: [")
    written = write_report([tmp_path / "runs"])
    with opened(written[-1]) as page:
        assert page.locator("article h2").all_inner_texts() == ["first <table>", "report.html"]
        assert page.locator(".contents a").all_inner_texts()[2:4] == ["first <table>", "report.html"]
        assert [row[1:] for row in rows(page, "#overview table")] == [["3", "1", "last evaluation"]] * 2
        assert "epochs 3 instead of 30" in page.locator("#overview .banner").inner_text()
        assert [row[0] for row in rows(page, "#missing table")] == ["lost"] and rows(page, "#missing table")[0][
            -1
        ] == "any"
        assert [row[:5] for row in rows(page, RUNS)] == [
            ["lost", "damaged", "", "", "any"],
            ["a0", "finished", "50.00", "accuracy (%)", "first <table>"],
            ["a1", "finished", "50.00", "accuracy (%)", "first <table>"],
            ["b0", "finished", "1.00", "test loss", "report.html"],
            ["b1", "finished", "1.00", "test loss", "report.html"],
        ]
        page.locator("#table-2 .switch input[value=best]").check(force=True)
        assert "by each table’s rule" in page.locator("#runs thead").inner_text()
        assert page.locator("#table-1 .switch input:checked").get_attribute("value") == "last"


def test_the_same_runs_give_the_same_bytes(tmp_path):
    pages = []
    for place in ("one", "two"):
        folder = tmp_path / place / "sweep"
        for seed in range(2):
            leave(folder / f"r{seed}", (0.1, 0.2), seed=seed, table=TABLE | {"figures": [AGAINST]})
        leave(folder / "unfinished", seed=3, outcome=None)
        pages.append(write_report([folder])[-1].read_bytes())
    assert pages[0] == pages[1]


def test_the_overview_says_what_was_run_where(tmp_path):
    for seed, (device, commit) in enumerate([("chip one", "a" * 40), ("chip one", "b" * 40), ("chip <two>", "a" * 40)]):
        folder = leave(tmp_path / f"r{seed}", seed=seed)
        environment = {
            "device_name": device,
            "git": {"commit": commit, "dirty": seed == 1},
            "versions": {"torch": "2.15"},
            "python": "3.11",
        }
        (folder / "environment.json").write_text(
            json.dumps(environment | {"started": f"2026-11-2{seed}T10:00:00+0000"})
        )
    text = write_report([tmp_path])[-1].read_text(encoding="utf-8")
    facts = dict(re.findall(r"<div><dt>(.*?)</dt>(.*?)</div>", text))
    assert facts["Device"] == "<dd>chip one (2 runs)</dd><dd>chip &lt;two&gt; (1 run)</dd>"
    assert facts["Commit"] == "<dd>aaaaaaaaaaaa (2 runs)</dd><dd>bbbbbbbbbbbb with uncommitted changes (1 run)</dd>"
    assert facts["Started"] == "<dd>2026-11-20 10:00:00+0000 to 2026-11-22 10:00:00+0000</dd>"
    assert (
        facts["Training time"] == "<dd>4 s in 3 runs</dd>" and facts["Versions"] == "<dd>python 3.11, torch 2.15</dd>"
    )


@pytest.fixture(scope="module")
def many(tmp_path_factory) -> tuple[Path, float, int]:
    """The page of 10,000 runs with 3,334 settings, made without their folders, the seconds it took and its bytes."""
    home = tmp_path_factory.mktemp("many") / "report"
    home.mkdir()
    one = load_runs(leave(home.parent / "one", tuple(i / 40 for i in range(1, 31)), table=None).parent)[0]
    runs = [_like(one, number) for number in range(10_000)]
    (table,) = build_tables(runs, name="many")
    start = time.perf_counter()
    text = page(home, "many", [home.parent], [Part(table, "many", [], [])])
    seconds = time.perf_counter() - start
    path = home / "report.html"
    path.write_text(text, encoding="utf-8")
    return path, seconds, len(text)


def _like(run: Run, number: int) -> Run:
    config = run.config | {"seed": number % 3, "alpha": number // 3 % 50 / 10, "epochs": number // 150}
    outcome = {7: "failed", 9: "diverged"}.get(number % 100, "finished")
    accuracy = [value * (0.5 + number * 7919 % 10_000 / 20_000) for value in run.metrics["accuracy"]]
    return replace(
        run, folder=run.folder.with_name(f"{number * 104_729 % 2**32:08x}"), outcome=outcome, problem="" if outcome == "finished" else "why",
        config=config, metrics=run.metrics | {"accuracy": accuracy},
    )  # fmt: skip


@pytest.mark.browser
def test_ten_thousand_runs_stay_usable(opened, many):
    path, seconds, size = many
    assert seconds < 15 and size < 10_000_000  # two or three seconds and 4 MB on an idle machine
    clicked = (
        "element => { const start = performance.now(); element.click(); document.body.offsetHeight; return"
        " performance.now() - start; }"
    )
    with opened(path) as page:
        assert page.locator("#runs .count").inner_text() == "10000 rows, the first 200 shown"
        assert (
            page.locator("#runs tbody tr").count() == 200
            and page.locator("[data-grid=t1] tbody:visible tr").count() == 200
        )
        times = [page.locator(f"#runs th[data-column='{place}'] button").evaluate(clicked) for place in (0, 2, 3, 4, 2)]
        assert sorted(times)[2] < 1000
        scores = [float(text) for text in column(page, RUNS, 2)]
        assert scores == sorted(scores)
        page.locator("#runs .some").click()
        assert page.locator("#runs tbody tr").count() == 400
        start = time.perf_counter()
        find(page, "runs", "alpha=4.9 epochs=12", "3 of 10000 rows")
        assert time.perf_counter() - start < 3
        find(page, "runs", "", "10000 rows, the first 200 shown")
        page.locator(".outcomes input[value=failed]").check(force=True)
        assert page.locator("#runs .count").inner_text() == "100 of 10000 rows"
        assert page.locator(".switch input[value=best]").evaluate(clicked) < 2000


def test_a_list_of_runs_is_small_and_cut_where_errors_are_endless(tmp_path, monkeypatch):
    monkeypatch.setattr("mixexp.reporting.page.runlist.ERRORS", 5000)
    for seed in range(3):
        (leave(tmp_path / f"r{seed}", seed=seed, outcome=None) / "error.txt").write_text(f"{seed} " * 2000)
    tables = build_tables(load_runs(tmp_path))
    data = run_list(tables, listed(tables), tmp_path / "report")
    errors = [data["texts"][row[-1]] for row in data["runs"]]
    assert errors[0].startswith("0 0") and "left out" in errors[0] and errors[1:] == ["", ""]


def test_importing_the_page_reads_nothing_and_needs_no_template_engine():
    code = "import sys, mixexp.reporting.write; sys.exit('jinja2' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

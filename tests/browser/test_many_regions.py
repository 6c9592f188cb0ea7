"""Many regions on one photograph: table, files, downloads."""

import json
import threading
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.visitor import PATIENCE_S, App, MakePhoto, Visit, choose_example, open_tab, rows, settle, upload

pytestmark = pytest.mark.browser

BOXES = [[10, 10, 200, 200], [100, 50, 300, 350], [20, 220, 380, 390]]


@pytest.fixture
def regions(visit: Visit, marked_photo: MakePhoto, tmp_path: Path) -> Page:
    """The tab of regions with three boxes that came from a file."""
    page = visit()
    upload(page, marked_photo((400, 400), (100, 100, 300, 300)))
    open_tab(page, "Regions")
    file = tmp_path / "boxes.json"
    file.write_text(json.dumps(BOXES))
    page.set_input_files("input[type=file][accept*=json]", file)
    assert rows(page) == 3
    return page


def test_selecting_a_region_brings_its_box_and_answer_back(regions: Page, app: App) -> None:
    asked = len(app.asked)
    row = regions.locator("#table tbody tr").nth(1)
    said = row.locator("td").nth(3).inner_text()
    row.locator("td").nth(3).click()
    expect(regions.locator("#picker .status")).to_contain_text("Box 100, 50, 300, 350")
    open_tab(regions, "Answer")
    expect(regions.locator(".dr-caption-text")).to_have_text(said)
    assert len(app.asked) == asked


def test_what_was_deleted_or_cleared_can_be_brought_back(regions: Page) -> None:
    regions.get_by_role("button", name="Delete region 1").click()
    assert rows(regions) == 2
    expect(regions.locator("#picker .region")).to_have_count(2)
    regions.get_by_role("button", name="Bring back").click()
    assert rows(regions) == 3
    regions.click("#clear-all")
    assert rows(regions) == 0
    regions.get_by_role("button", name="Bring back").click()
    assert rows(regions) == 3


def test_a_table_cleared_while_boxes_are_described_stays_clear(regions: Page, app: App) -> None:
    held, released = threading.Event(), threading.Event()
    app.before_answer = lambda: held.set() or released.wait(PATIENCE_S)
    regions.click("#paste button")
    settle(regions)
    regions.fill("#pasted textarea", "\n".join(f"{10 * place} 10 {10 * place + 90} 200" for place in range(8)))
    regions.click("#use-pasted")
    assert held.wait(PATIENCE_S)
    regions.click("#clear-all")
    expect(regions.locator("#table tbody tr")).to_have_count(0)
    released.set()
    assert rows(regions) == 0
    expect(regions.locator("#progress progress")).to_have_count(0)


def test_boxes_of_a_file_are_outlined_and_what_is_downloaded_reads_back_in(
    regions: Page, app: App, tmp_path: Path
) -> None:
    expect(regions.locator("#picker .region")).to_have_count(3)
    assert app.asked[-1].boxes == BOXES
    with regions.expect_download() as waiting:
        regions.click("#save")
    assert waiting.value.suggested_filename == "marked.regions.json"
    waiting.value.save_as(tmp_path / "saved.json")
    regions.click("#clear-all")
    assert rows(regions) == 0
    regions.set_input_files("input[type=file][accept*=json]", tmp_path / "saved.json")
    assert rows(regions) == 3
    assert app.asked[-1].boxes == BOXES


def test_a_bad_box_file_gets_a_sentence_and_pasted_boxes_are_described_after_it(
    regions: Page, app: App, tmp_path: Path
) -> None:
    file = tmp_path / "bad.json"
    file.write_text("{")
    regions.set_input_files("input[type=file][accept*=json]", file)
    expect(regions.get_by_text("bad.json")).to_be_visible()
    assert rows(regions) == 3
    regions.click("#paste button")
    settle(regions)
    regions.fill("#pasted textarea", "1 2 100 120\n5, 6, 300, 310")
    regions.click("#use-pasted")
    assert rows(regions) == 5
    assert app.asked[-1].boxes == [[1, 2, 100, 120], [5, 6, 300, 310]]


def test_describing_everything_fills_the_table(visit: Visit) -> None:
    page = visit()
    choose_example(page, "Cup")
    open_tab(page, "Regions")
    page.click("#everything")
    expect(page.locator("#progress progress")).to_be_visible()
    assert rows(page) > 1
    expect(page.locator("#progress progress")).to_have_count(0)


def test_describing_everything_can_be_stopped(visit: Visit, app: App) -> None:
    page = visit()
    choose_example(page, "Cup")
    open_tab(page, "Regions")
    held, released = threading.Event(), threading.Event()
    app.before_answer = lambda: held.set() or released.wait(PATIENCE_S)
    page.click("#everything")
    assert held.wait(PATIENCE_S)
    page.click("#stop")
    released.set()
    assert rows(page) == 1
    expect(page.locator("#progress progress")).to_have_count(0)

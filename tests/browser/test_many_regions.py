"""Many regions on one photograph: table, files, downloads."""

import json
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.visitor import App, MakePhoto, Visit, choose_example, upload

pytestmark = pytest.mark.browser

BOXES = [[10, 10, 200, 200], [100, 50, 300, 350], [20, 220, 380, 390]]


@pytest.fixture
def regions(visit: Visit, marked_photo: MakePhoto, tmp_path: Path) -> Page:
    """The tab of regions with three boxes that came from a file."""
    page = visit()
    upload(page, marked_photo((400, 400), (100, 100, 300, 300)))
    page.get_by_role("tab", name="Regions").click()
    file = tmp_path / "boxes.json"
    file.write_text(json.dumps(BOXES))
    page.set_input_files("input[type=file][accept*=json]", file)
    expect(page.locator("#table tbody tr")).to_have_count(3)
    return page


def test_boxes_of_a_file_are_described_and_outlined(regions: Page, app: App) -> None:
    expect(regions.locator("#picker .region")).to_have_count(3)
    assert [list(box) for box in app.asked[-1]["boxes"]] == BOXES


def test_selecting_a_region_brings_its_box_and_answer_back(regions: Page, app: App) -> None:
    asked = len(app.asked)
    row = regions.locator("#table tbody tr").nth(1)
    said = row.locator("td").nth(3).inner_text()
    row.get_by_role("button", name="Show region 2").click()
    expect(regions.locator("#picker .status")).to_contain_text("Box 100, 50, 300, 350")
    regions.get_by_role("tab", name="Answer").click()
    expect(regions.locator(".dr-caption-text")).to_have_text(said)
    assert len(app.asked) == asked


def test_a_deleted_region_leaves_the_others(regions: Page) -> None:
    regions.get_by_role("button", name="Delete region 1").click()
    expect(regions.locator("#table tbody tr")).to_have_count(2)
    expect(regions.locator("#picker .region")).to_have_count(2)
    regions.click("#clear-all")
    expect(regions.locator("#table tbody tr")).to_have_count(0)


@pytest.mark.parametrize(("button", "suffix"), [("json", ".json"), ("csv", ".csv"), ("coco", ".json")])
def test_what_is_downloaded_reads_back_in(regions: Page, app: App, tmp_path: Path, button: str, suffix: str) -> None:
    with regions.expect_download() as waiting:
        regions.click(f"#save-{button}")
    saved = tmp_path / f"saved{suffix}"
    waiting.value.save_as(saved)
    regions.click("#clear-all")
    expect(regions.locator("#table tbody tr")).to_have_count(0)
    regions.set_input_files("input[type=file][accept*=json]", saved)
    expect(regions.locator("#table tbody tr")).to_have_count(3)
    assert [list(box) for box in app.asked[-1]["boxes"]] == BOXES


def test_the_annotated_photograph_is_a_png(regions: Page, tmp_path: Path) -> None:
    with regions.expect_download() as waiting:
        regions.click("#save-png")
    waiting.value.save_as(tmp_path / "saved.png")
    assert (tmp_path / "saved.png").read_bytes().startswith(b"\x89PNG")


def test_pasted_boxes_are_described(regions: Page, app: App) -> None:
    regions.click("#paste button")
    regions.fill("#pasted textarea", "1 2 100 120\n5, 6, 300, 310")
    regions.click("#use-pasted")
    expect(regions.locator("#table tbody tr")).to_have_count(5)
    assert [list(box) for box in app.asked[-1]["boxes"]] == [[1, 2, 100, 120], [5, 6, 300, 310]]


def test_a_bad_box_file_gets_a_sentence(regions: Page, tmp_path: Path) -> None:
    file = tmp_path / "bad.json"
    file.write_text("{")
    regions.set_input_files("input[type=file][accept*=json]", file)
    expect(regions.get_by_text("this is not JSON")).to_be_visible()
    expect(regions.locator("#table tbody tr")).to_have_count(3)


def test_describing_everything_fills_the_table(visit: Visit) -> None:
    page = visit()
    choose_example(page, "Cup")
    page.wait_for_selector(".dr-caption-text")
    page.get_by_role("tab", name="Regions").click()
    page.click("#everything")
    expect(page.locator("#progress progress")).to_be_visible()
    expect(page.locator("#table tbody tr").nth(1)).to_be_visible()
    expect(page.locator("#progress progress")).to_have_count(0)


def test_describing_everything_can_be_stopped(visit: Visit) -> None:
    page = visit()
    choose_example(page, "Cup")
    page.wait_for_selector(".dr-caption-text")
    page.get_by_role("tab", name="Regions").click()
    page.click("#everything")
    page.click("#stop")
    expect(page.locator("#progress progress")).to_have_count(0)
    choose_example(page, "Puppy")
    expect(page.locator("#table tbody tr")).to_have_count(1)

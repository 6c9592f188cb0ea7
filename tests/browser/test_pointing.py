"""Pressing, finding and undoing on the whole page."""

import pytest
from playwright.sync_api import expect

from tests.browser.visitor import App, Visit, caption, choose_example, drag, open_tab, rows, settle

pytestmark = pytest.mark.browser


def test_a_press_and_enter_describe_what_is_there(visit: Visit, app: App) -> None:
    page = visit()
    choose_example(page, "Cup")
    asked = len(app.asked)
    photo = page.locator("#picker .photo").bounding_box()
    assert photo is not None
    page.mouse.click(photo["x"] + photo["width"] * 200 / 600, photo["y"] + photo["height"] * 150 / 400)
    settle(page)
    assert len(app.asked) == asked
    page.keyboard.press("Enter")
    assert caption(page)
    x1, y1, x2, y2 = app.asked[-1].box
    assert x1 < 200 < x2
    assert y1 < 150 < y2


def test_undo_brings_the_answer_before_back(visit: Visit, app: App) -> None:
    page = visit()
    choose_example(page, "Puppy")
    said, asked = caption(page), len(app.asked)
    photo = page.locator("#picker .photo").bounding_box()
    assert photo is not None
    left, top = photo["x"], photo["y"]
    with page.expect_request(
        "**/queue/join?*"
    ):  # a busy machine sends it only after the moment that settling waits for
        drag(page, (left + 5, top + 5, left + 60, top + 90))
    settle(page)
    page.keyboard.press("Control+z")
    assert caption(page) == said
    assert len(app.asked) == asked + 1
    page.get_by_role("button", name="Redo").click()
    settle(page)
    open_tab(page, "Regions")
    expect(page.get_by_role("button", name="Show region 2")).to_have_attribute("aria-pressed", "true")


def test_what_was_found_by_name_is_listed_outlined_and_described_by_a_press(visit: Visit, app: App) -> None:
    page = visit()
    choose_example(page, "Cup")
    expect(page.locator("#picker .view").first).to_be_visible()
    page.fill("#find input", "cup")
    page.press("#find input", "Enter")
    found = page.locator("#found button")
    expect(found.first).to_contain_text("cup")
    expect(page.locator("#picker .region.found")).to_have_count(found.count())
    expect(page.locator("#picker :is(.box, .view)")).to_have_count(0)  # which would lie over what was found
    found.first.click()
    assert rows(page) == 2
    page.click("#another")
    settle(page)
    expect(found).to_have_count(0)

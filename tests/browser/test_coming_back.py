"""Links to a question, and the last photograph in a new tab."""

from urllib.parse import urlparse

import pytest
from playwright.sync_api import Page, expect

from tests.browser.visitor import (
    App,
    MakePhoto,
    Visit,
    caption,
    choose_example,
    drag,
    see_mark,
    set_number,
    upload,
    wait_for_answer,
)

pytestmark = pytest.mark.browser

CLIPBOARD = ["clipboard-read", "clipboard-write"]


def come_back(page: Page) -> Page:
    """The same visitor later: the page in a new tab, the old one closed."""
    tab = page.context.new_page()
    url = page.url
    page.close()
    tab.goto(url)
    tab.wait_for_selector("#examples button")
    return tab


def test_a_link_opens_an_example_with_box_views_and_words(visit: Visit, app: App) -> None:
    page = visit(query="?example=horse&box=232,15,376,184&t=0,0.3&classes=horse,tea+pot&beams=2&length=12&ref=mail")
    wait_for_answer(page)
    asked = app.asked[-1]
    assert list(asked["box"]) == [232, 15, 376, 184]
    assert (asked["mode"], asked["coefficients"]) == ("manual", (0.0, 0.3))
    assert (asked["classes"], asked["num_beams"], asked["max_new_tokens"]) == (("horse", "tea pot"), 2, 12)
    expect(page.locator("#slider-1 input[type=number]")).to_have_value("0.3")
    expect(page.locator("#slider-2")).to_have_count(0)


def test_a_copied_link_opens_the_same_question(visit: Visit, app: App) -> None:
    page = visit(permissions=CLIPBOARD)
    choose_example(page, "Teddy bear")
    wait_for_answer(page)
    page.click("#own-words button")
    set_number(page, "length", 9)
    expect(page.locator("[data-link*='length=9']")).to_be_visible()
    page.get_by_role("button", name="Copy link").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    asked, said = app.asked[-1], caption(page)
    link = page.evaluate("navigator.clipboard.readText()")
    assert link.startswith(f"{app.url}?example=teddy-bear&")
    again = visit(query="?" + urlparse(link).query)
    assert caption(again) == said
    assert app.asked[-1] == asked


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("?example=unicorn", "There is no example"),
        ("?example=puppy&box=1,2,3", "four numbers"),
        ("?example=puppy&box=5000,5000,6000,6000", "outside the 1024 x 683 image"),
        ("?example=puppy&t=0,7", "from 0"),
    ],
)
def test_a_wrong_link_gets_a_sentence_and_an_empty_page(visit: Visit, app: App, query: str, words: str) -> None:
    page = visit(query=query)
    expect(page.get_by_text(words)).to_be_visible()
    expect(page.locator("#photo")).to_be_visible()
    assert app.asked == []


def test_the_last_photograph_comes_back_in_a_new_tab(visit: Visit, app: App, marked_photo: MakePhoto) -> None:
    page = visit()
    upload(page, marked_photo((640, 480), (160, 120, 420, 330)))
    drag(page, see_mark(page))
    wait_for_answer(page)
    box = app.asked[-1]["box"]
    expect(page.locator("#status")).to_contain_text("ms")
    page.click("#own-words button")
    set_number(page, "beams", 2)
    page.wait_for_function("localStorage.getItem('dynrefer.query').includes('beams=2')")
    page = come_back(page)
    expect(page.get_by_role("button", name="Copy link")).to_have_count(0)
    page.get_by_role("button", name="Bring it back").click()
    wait_for_answer(page)
    assert app.asked[-1]["size"] == (640, 480)
    assert (app.asked[-1]["box"], app.asked[-1]["num_beams"]) == (box, 2)
    expect(page.get_by_role("button", name="Bring it back")).to_have_count(0)


def test_a_large_photograph_comes_back_smaller_with_its_box_in_place(
    visit: Visit, app: App, marked_photo: MakePhoto
) -> None:
    page = visit()
    upload(page, marked_photo((3000, 2000), (600, 500, 1800, 1500)))
    drag(page, see_mark(page))
    wait_for_answer(page)
    asked = app.asked[-1]
    page = come_back(page)
    page.get_by_role("button", name="Bring it back").click()
    wait_for_answer(page)
    scale = app.asked[-1]["size"][0] / asked["size"][0]
    assert scale < 1
    assert list(app.asked[-1]["box"]) == pytest.approx([scale * corner for corner in asked["box"]], abs=1)


def test_what_is_forgotten_does_not_come_back(visit: Visit) -> None:
    page = visit()
    choose_example(page, "Puppy")
    wait_for_answer(page)
    page.click("#another")
    page.get_by_role("button", name="Forget it").click()
    expect(page.get_by_role("button", name="Forget it")).to_have_count(0)
    page = come_back(page)
    expect(page.get_by_role("button", name="Bring it back")).to_have_count(0)


def test_a_damaged_memory_gets_a_sentence(visit: Visit) -> None:
    page = visit()
    page.evaluate("localStorage.setItem('dynrefer.query', 'box=1,2,3,4')")
    page.evaluate("localStorage.setItem('dynrefer.photo', 'data:image/jpeg;base64,AAAA')")
    page = come_back(page)
    page.get_by_role("button", name="Bring it back").click()
    expect(page.get_by_text("is not an image that can be read")).to_be_visible()

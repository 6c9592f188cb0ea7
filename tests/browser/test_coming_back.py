"""Links to a question, and photographs with their tables after a reload or in a new tab."""

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
    open_tab,
    rows,
    see_mark,
    settle,
    upload,
)

pytestmark = pytest.mark.browser

CLIPBOARD = ("clipboard-read", "clipboard-write")


def in_a_new_tab(page: Page) -> Page:
    """The same visitor later: the page in a new tab, the old one closed."""
    tab = page.context.new_page()
    url = page.url
    page.close()
    tab.goto(url)
    tab.wait_for_selector("#examples button")
    settle(tab)
    return tab


def type_classes(page: Page, names: str) -> None:
    """Type class names, and ask again."""
    page.click("#own-words button")
    settle(page)
    page.fill("#classes textarea", names)
    page.press("#classes textarea", "Enter")
    settle(page)


def test_a_link_opens_an_example_with_box_views_and_words(visit: Visit, app: App) -> None:
    page = visit(query="?example=horse&box=232,15,376,184&t=0,0.3&classes=horse,tea+pot&beams=2&length=12&ref=mail")
    assert caption(page)
    question = app.asked[-1].question
    assert app.asked[-1].box == [232, 15, 376, 184]
    assert (question.coefficients, question.classes) == ((0.0, 0.3), ("horse", "tea pot"))
    assert (question.num_beams, question.max_new_tokens) == (2, 12)
    expect(page.locator("#slider-1 input[type=number]")).to_have_value("0.3")
    expect(page.locator("#slider-2")).to_have_count(0)


def test_a_copied_link_carries_a_long_list_of_class_names(visit: Visit, app: App) -> None:
    page = visit(permissions=CLIPBOARD)
    choose_example(page, "Teddy bear")
    type_classes(page, ", ".join(f"a name of some length {number}" for number in range(200)))
    page.get_by_role("button", name="Copy link").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    asked, said = app.asked[-1], caption(page)
    link = urlparse(page.evaluate("navigator.clipboard.readText()"))
    assert link.geturl().startswith(f"{app.url}#example=teddy-bear&")
    again = visit(query="#" + link.fragment)
    assert caption(again) == said
    assert app.asked[-1] == asked


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("?example=unicorn", "There is no example"),
        ("?example=puppy&box=5000,5000,6000,6000", "outside the 1024 x 683 image"),
    ],
)
def test_a_wrong_link_gets_a_sentence_and_an_empty_page(visit: Visit, app: App, query: str, words: str) -> None:
    page = visit(query=query)
    expect(page.get_by_text(words)).to_be_visible()
    expect(page.locator("#photo")).to_be_visible()
    assert app.asked == []


def describe_two(page: Page, photo: MakePhoto, size: tuple[int, int]) -> None:
    """A photograph of one's own with two regions and own class names."""
    upload(page, photo(size, (size[0] // 4, size[1] // 4, size[0] // 2, size[1] // 2)))
    drag(page, see_mark(page))
    settle(page)
    type_classes(page, "dog, cat, teapot")
    open_tab(page, "Regions")
    page.click("#paste button")
    settle(page)
    page.fill("#pasted textarea", "5 5 100 120")
    page.click("#use-pasted")
    assert rows(page) == 2


def test_a_reload_brings_back_a_large_photograph_table_and_choices(
    visit: Visit, app: App, marked_photo: MakePhoto
) -> None:
    page = visit()
    describe_two(page, marked_photo, (3000, 2000))
    asked = len(app.asked)
    said = page.locator("#table tbody").inner_text()
    page.reload()
    page.wait_for_selector("#examples button")
    settle(page)
    assert len(app.asked) == asked  # the answers were kept
    open_tab(page, "Regions")
    assert page.locator("#table tbody").inner_text() == said
    page.click("#own-words button")
    settle(page)
    expect(page.locator("#classes textarea")).to_have_value("dog, cat, teapot")


def test_a_table_left_for_an_example_can_be_brought_back(visit: Visit, marked_photo: MakePhoto) -> None:
    page = visit()
    describe_two(page, marked_photo, (640, 480))
    choose_example(page, "Cup")
    page.click("#another")
    settle(page)
    expect(page.locator(".offers li")).to_have_count(2)
    page.get_by_role("button", name="Bring it back: marked.png").click()
    settle(page)
    open_tab(page, "Regions")
    assert rows(page) == 2


def test_a_new_tab_offers_what_was_kept_until_it_is_forgotten(visit: Visit) -> None:
    page = visit()
    choose_example(page, "Puppy")
    page = in_a_new_tab(page)
    page.get_by_role("button", name="Forget it").click()
    settle(page)
    expect(page.get_by_role("button", name="Bring it back")).to_have_count(0)
    page = in_a_new_tab(page)
    expect(page.get_by_role("button", name="Bring it back")).to_have_count(0)


def test_what_was_forgotten_does_not_come_back_with_the_next_photograph(visit: Visit) -> None:
    page = visit()
    choose_example(page, "Puppy")
    page.click("#another")
    settle(page)
    page.get_by_role("button", name="Forget it").click()
    settle(page)
    choose_example(page, "Cat")
    page.click("#another")
    settle(page)
    expect(page.locator(".offers li")).to_have_count(1)
    expect(page.get_by_role("button", name="Bring it back: cat.jpg")).to_be_visible()


def test_a_link_in_a_used_tab_is_what_opens(visit: Visit, app: App) -> None:
    page = visit()
    choose_example(page, "Puppy")
    page.goto(f"{app.url}?example=teddy-bear")
    page.wait_for_selector("#examples button")
    settle(page)
    assert app.asked[-1].box == [361, 132, 537, 306]


def test_a_long_link_pasted_into_an_open_tab_opens(visit: Visit, app: App) -> None:
    page = visit()
    choose_example(page, "Puppy")
    page.goto(f"{app.url}#example=teddy-bear&classes=bear,dog")
    expect(page.locator("#answer .dr-bars li")).to_have_count(2)
    settle(page)
    assert app.asked[-1].box == [361, 132, 537, 306]

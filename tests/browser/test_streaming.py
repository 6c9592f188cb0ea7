"""The caption appears while it is written."""

import re
import threading
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.browser.visitor import App, Visit, choose_example, set_number, wait_for_answer

pytestmark = pytest.mark.browser

PATIENCE = 60
MANY = 100


@pytest.fixture
def next_word(app: App) -> Iterator[threading.Semaphore]:
    """The model waits after every word until it is released."""
    words = threading.Semaphore(0)
    app.after_word = lambda: words.acquire(timeout=PATIENCE)
    yield words
    app.after_word = lambda: None
    words.release(MANY)


@pytest.fixture
def greedy(visit: Visit) -> Page:
    """The page with one beam chosen."""
    page = visit()
    page.click("#own-words button")
    set_number(page, "beams", 1)
    return page


def see_words(page: Page, count: int) -> str:
    """What is written as soon as it is `count` words."""
    written = page.locator(".dr-caption-words")
    expect(written).to_have_text(re.compile(rf"^\S+( \S+){{{count - 1}}}$"))
    return written.text_content() or ""


def test_the_caption_appears_word_by_word(greedy: Page, next_word: threading.Semaphore) -> None:
    choose_example(greedy, "Puppy")
    seen = []
    for count in (1, 2, 3):
        seen.append(see_words(greedy, count))
        next_word.release()
    assert seen[2].startswith(seen[1])
    assert seen[1].startswith(seen[0])
    next_word.release(MANY)
    expect(greedy.locator(".dr-caption-text")).to_have_text(re.compile(f"^{re.escape(seen[2])} "))
    wait_for_answer(greedy)


def test_all_but_the_caption_is_there_before_it(greedy: Page, next_word: threading.Semaphore) -> None:
    choose_example(greedy, "Puppy")
    see_words(greedy, 1)
    assert greedy.locator("#answer .dr-bars li").count() > 1
    assert greedy.locator("#words .dr-groups dt").count() > 0
    expect(greedy.locator("#views li")).to_have_count(11)
    expect(greedy.locator("#answer [aria-live]")).to_have_attribute("aria-busy", "true")
    next_word.release(MANY)
    wait_for_answer(greedy)
    expect(greedy.locator("#answer [aria-live]")).to_have_attribute("aria-busy", "false")


@pytest.mark.parametrize("leave", ["#another", "#examples button:has-text('Cup')"])
def test_another_photograph_ends_the_answer_that_is_being_written(
    greedy: Page, app: App, next_word: threading.Semaphore, leave: str
) -> None:
    choose_example(greedy, "Puppy")
    see_words(greedy, 1)
    greedy.click(leave)
    expect(greedy.locator(".dr-caption-words")).to_have_count(0)
    next_word.release(MANY)
    choose_example(greedy, "Cup")
    wait_for_answer(greedy)
    assert list(app.asked[-1]["box"]) == [171, 15, 409, 312]
    greedy.get_by_role("tab", name="Regions").click()
    expect(greedy.locator("#table tbody tr")).to_have_count(1)

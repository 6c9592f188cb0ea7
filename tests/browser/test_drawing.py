"""A box drawn on the photograph reaches the model where it was seen."""

import threading

import pytest
from playwright.sync_api import Page, expect

from tests.browser.visitor import (
    PATIENCE_S,
    App,
    Corners,
    MakePhoto,
    Visit,
    css_pixel,
    drag,
    drag_by_finger,
    fill_in,
    see_mark,
    settle,
    upload,
)

pytestmark = pytest.mark.browser


def asked_box(page: Page, app: App, size: tuple[int, int]) -> list[float]:
    """The box that the model was asked about, once it has answered."""
    settle(page)
    assert app.asked[-1].size == size
    return app.asked[-1].box


def assert_near(box: list[float], mark: Corners, tolerance: float) -> None:
    assert max(abs(a - b) for a, b in zip(box, mark, strict=True)) <= tolerance


@pytest.mark.parametrize(
    ("size", "mark", "rotated", "window"),
    [
        pytest.param((600, 800), (150, 200, 450, 620), True, (1280, 800), id="rotated by EXIF"),
        pytest.param((4000, 3000), (700, 900, 3100, 2200), False, (1280, 800), id="12 megapixels"),
        pytest.param((640, 480), (160, 120, 420, 330), False, (390, 844), id="narrow window"),
    ],
)
def test_a_box_drawn_by_mouse_reaches_the_model_within_one_css_pixel(
    visit: Visit, app: App, marked_photo: MakePhoto, size: tuple[int, int], mark: Corners, rotated: bool, window: tuple
) -> None:
    page = visit(*window)
    upload(page, marked_photo(size, mark, "marked.jpg" if rotated else "marked.png", rotated))
    drag(page, see_mark(page))
    assert_near(asked_box(page, app, size), mark, css_pixel(page, size[0]))


def test_a_box_drawn_by_finger_reaches_the_model_within_one_css_pixel(
    visit: Visit, app: App, marked_photo: MakePhoto
) -> None:
    size, mark = (640, 480), (160, 120, 420, 330)
    page = visit(390, 844, fingers=True)
    upload(page, marked_photo(size, mark))
    drag_by_finger(page, see_mark(page))
    assert_near(asked_box(page, app, size), mark, css_pixel(page, size[0]))
    buttons = page.locator(":is(#answer, #words, #picker) button:visible").all()
    sides = [
        side for button in buttons if (place := button.bounding_box()) for side in (place["width"], place["height"])
    ]
    assert min(sides) >= 24  # CSS pixels, which a finger hits


def test_a_drawn_box_can_be_moved_and_resized(visit: Visit, app: App, marked_photo: MakePhoto) -> None:
    size, mark = (640, 480), (160, 120, 420, 330)
    page = visit()
    upload(page, marked_photo(size, mark))
    x1, y1, x2, y2 = see_mark(page)
    drag(page, (x1, y1, x2, y2))
    assert_near(asked_box(page, app, size), mark, css_pixel(page, size[0]))
    drag(page, ((x1 + x2) / 2, (y1 + y2) / 2, (x1 + x2) / 2 + 40, (y1 + y2) / 2 + 20))
    settle(page)
    pixel = css_pixel(page, size[0])
    moved = tuple(value + pixel * (40, 20)[axis % 2] for axis, value in enumerate(mark))
    assert_near(app.asked[-1].box, moved, 2 * pixel)
    drag(page, (x2 + 40, y2 + 20, x2 + 10, y2 - 10))
    settle(page)
    assert_near(app.asked[-1].box, (*moved[:2], *(value - 30 * pixel for value in moved[2:])), 2 * pixel)


def test_the_keyboard_alone_draws_moves_and_deletes_a_box(visit: Visit, app: App, marked_photo: MakePhoto) -> None:
    page = visit()
    upload(page, marked_photo((400, 400), (100, 100, 300, 300)))
    page.focus("#picker .stage")
    page.keyboard.press("Enter")
    assert asked_box(page, app, (400, 400)) == [100, 100, 300, 300]
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Shift+ArrowDown")
    assert asked_box(page, app, (400, 400)) == [104, 100, 304, 304]
    page.keyboard.press("Delete")
    settle(page)
    expect(page.locator(".dr-caption-text")).to_have_count(0)


def test_a_key_pressed_just_before_an_answer_comes_is_not_lost(visit: Visit, app: App, marked_photo: MakePhoto) -> None:
    page = visit()
    upload(page, marked_photo((400, 400), (100, 100, 300, 300)))
    asked, answered = threading.Event(), threading.Event()
    app.before_answer = lambda: asked.set() or answered.wait(PATIENCE_S)
    page.focus("#picker .stage")
    page.keyboard.press("Enter")
    assert asked.wait(PATIENCE_S)
    page.keyboard.press("ArrowRight")
    answered.set()
    assert asked_box(page, app, (400, 400)) == [104, 100, 304, 300]
    expect(page.locator("#picker .status")).to_contain_text("Box 104, 100, 304, 300")


def test_boxes_drawn_faster_than_they_are_answered_are_all_described(
    visit: Visit, app: App, marked_photo: MakePhoto
) -> None:
    page = visit()
    upload(page, marked_photo((400, 400), (100, 100, 300, 300)))
    left, top, _, _ = see_mark(page)
    app.asked.clear()
    asked, answered = threading.Event(), threading.Event()
    app.before_answer = lambda: asked.set() or answered.wait(PATIENCE_S)
    for place in range(3):
        drag(page, (left + 40 * place, top, left + 40 * place + 25, top + 30))
    assert asked.wait(PATIENCE_S)
    answered.set()
    settle(page)
    assert len(app.asked) == 3
    shown = page.locator("#picker .status").inner_text()
    assert shown.startswith(f"Box {', '.join(f'{corner:.0f}' for corner in app.asked[-1].box)}")
    page.get_by_role("tab", name="Regions").click()
    expect(page.locator("#table tbody tr")).to_have_count(3)


def test_a_box_can_be_typed(visit: Visit, app: App, marked_photo: MakePhoto) -> None:
    page = visit()
    upload(page, marked_photo((1, 1), (0, 0, 1, 1)))
    page.click("#typed button")
    for name, value in zip(("x1", "y1", "x2", "y2"), (0, 0, 1, 1), strict=True):
        fill_in(page, f"#corner-{name} input", value)
    page.click("#use-corners")
    settle(page)
    assert app.asked[-1].box == [0, 0, 1, 1]

"""What a visitor does on the page, and what they see."""

import io
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image
from playwright.sync_api import Page

from dynrefer.question import Question

Corners = tuple[float, float, float, float]
Visit = Callable[..., Page]
MakePhoto = Callable[..., Path]
MARK = (208, 32, 48)
PATIENCE_S = 240.0  # longest wait for anything; what comes sooner ends it


@dataclass(frozen=True)
class Asked:
    """What the model was asked: size of the photograph, boxes, question."""

    size: tuple[int, int]
    boxes: list[list[float]]
    question: Question

    @property
    def box(self) -> list[float]:
        """The only box."""
        (box,) = self.boxes
        return box


@dataclass
class App:
    """The app under test, what its model was asked, and what it waits for before each answer."""

    url: str
    asked: list[Asked] = field(default_factory=list)
    before_answer: Callable[[], object] = lambda: None


def settle(page: Page) -> None:
    """Wait until nothing is pending: the page itself says so, see page.js."""
    page.wait_for_function("document.documentElement.dataset.idle === 'true'")


def upload(page: Page, photo: Path) -> None:
    """Choose a photograph of one's own."""
    page.set_input_files("#photo input[type=file]", photo)
    page.wait_for_selector("#picker .photo")
    settle(page)


def choose_example(page: Page, title: str) -> None:
    """Press one of the examples, and wait for its answer."""
    page.click(f"#examples button:has-text('{title}')")
    settle(page)


def set_number(page: Page, name: str, value: float) -> None:
    """Type a value beside the slider `name`."""
    fill_in(page, f"#{name} input[type=number]", value)
    page.press(f"#{name} input[type=number]", "Enter")
    settle(page)


def fill_in(page: Page, selector: str, value: float) -> None:
    """Type a value into a field."""
    settle(page)
    page.fill(selector, str(value))


def see_mark(page: Page) -> Corners:
    """Where the rectangle of the colour MARK is seen inside the window, in CSS pixels, corner to corner."""
    stage = page.locator("#picker .stage")
    stage.scroll_into_view_if_needed()
    place = stage.bounding_box()
    assert place is not None
    left, top = int(place["x"]), int(place["y"])
    clip = {"x": left, "y": top, "width": int(place["width"]) + 1, "height": int(place["height"]) + 1}
    pixels = np.asarray(Image.open(io.BytesIO(page.screenshot(clip=clip))).convert("RGB")).astype(int)
    rows, columns = np.nonzero(np.abs(pixels - MARK).max(axis=2) < 40)
    edges = (left + columns.min(), top + rows.min(), left + columns.max() + 1, top + rows.max() + 1)
    return tuple(float(edge) for edge in edges)


def drag(page: Page, corners: Corners) -> None:
    """Draw a box with the mouse."""
    x1, y1, x2, y2 = corners
    page.mouse.move(x1, y1)
    page.mouse.down()
    page.mouse.move((x1 + x2) / 2, (y1 + y2) / 2)
    page.mouse.move(x2, y2)
    page.mouse.up()


class Fingers:
    """Fingers on the screen of a page."""

    def __init__(self, page: Page) -> None:
        self._session = page.context.new_cdp_session(page)
        self._down = 0

    def put(self, *places: tuple[float, float]) -> None:
        """Put fingers down at `places`, move them there, or lift those that are not named."""
        kind = "touchEnd" if len(places) < self._down else "touchStart" if len(places) > self._down else "touchMove"
        touches = [{"x": x, "y": y} for x, y in places]
        self._session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": touches})
        self._down = len(places)


def drag_by_finger(page: Page, corners: Corners) -> None:
    """Draw a box with one finger."""
    x1, y1, x2, y2 = corners
    finger = Fingers(page)
    for place in ((x1, y1), ((x1 + x2) / 2, (y1 + y2) / 2), (x2, y2)):
        finger.put(place)
    finger.put()


def caption(page: Page) -> str:
    """The caption, once nothing is pending."""
    settle(page)
    return page.locator(".dr-caption-text").inner_text()


def rows(page: Page) -> int:
    """How many regions the table holds."""
    settle(page)
    return page.locator("#table tbody tr").count()


def open_tab(page: Page, name: str) -> None:
    """Press one of the tabs."""
    page.get_by_role("tab", name=name).click()
    settle(page)


def css_pixel(page: Page, width: int) -> float:
    """How many pixels of a photograph of `width` pixels one CSS pixel covers."""
    box = page.locator("#picker .photo").bounding_box()
    assert box is not None
    return width / box["width"]

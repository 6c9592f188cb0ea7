"""The live page in Chromium: one app and one browser a session, one new visitor a test."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
from PIL import Image, ImageDraw
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    Playwright,
    Request,
    ViewportSize,
    WebError,
    expect,
    sync_playwright,
)

from dynrefer import Predictor
from dynrefer.photo import Photo
from dynrefer.question import Question
from dynrefer.ui.page import build_page, launch_options
from tests.browser.chromium import find_chromium, launch_chromium, open_profile
from tests.browser.visitor import MARK, PATIENCE_S, App, Asked, settle
from tests.pointing import Pointing

EMBEDDED = Path(__file__).parents[2] / "checkpoints" / "dynrefer-mini"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Browser tests come last: Playwright's event loop runs in the main thread until the session ends."""
    items.sort(key=lambda item: Path(__file__).parent in item.path.parents)


@pytest.fixture(scope="session")
def app(tiny_checkpoint: Path) -> Iterator[App]:
    """The page around the embedded checkpoint (a tiny random one where there is none), served on a free port."""
    source = EMBEDDED if (EMBEDDED / "config.json").exists() else tiny_checkpoint
    predictor = Predictor.from_pretrained(source, device="cpu")
    app = App("")

    answer = predictor.refer

    def recording(photo: Photo, box: Any = None, boxes: Any = None, **options: Any) -> Any:
        asked = [list(one) for one in ([box] if boxes is None else boxes)]
        app.asked.append(Asked(photo.size, asked, options.get("question") or Question()))
        app.before_answer()
        return answer(photo, box, boxes, **options)

    predictor.refer = recording  # type: ignore[method-assign, assignment]
    Predictor.can_point = Predictor.can_find = True
    stand_in = Pointing([(100, 60, 320, 260), (150, 100, 280, 220), (400, 20, 500, 90)])
    predictor.box_grid, predictor.propose = stand_in.box_grid, stand_in.propose
    page = build_page(predictor)
    _, app.url, _ = page.launch(prevent_thread_lock=True, quiet=True, **launch_options(predictor))
    yield app
    page.close()


@pytest.fixture(scope="session")
def chromium() -> str:
    """Chromium's path; without it tests are skipped, but never with CI=true."""
    path = find_chromium()
    if path is None:
        if os.environ.get("CI") == "true":
            pytest.fail("Chromium is missing; install the package chromium, or name it by CHROMIUM=/path/to/it")
        pytest.skip("Chromium is missing (package chromium, or CHROMIUM=/path/to/it)")
    return path


@pytest.fixture(scope="session")
def driver() -> Iterator[Playwright]:
    expect.set_options(timeout=1000 * PATIENCE_S)
    with sync_playwright() as playwright:
        yield playwright


@pytest.fixture(scope="session")
def browser(driver: Playwright, chromium: str) -> Iterator[Browser]:
    """For visitors with a screen for fingers, and those who come while another one is there."""
    browser = launch_chromium(driver, chromium, PATIENCE_S)
    yield browser
    browser.close()


@pytest.fixture(scope="session")
def used_before(
    driver: Playwright, chromium: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[BrowserContext]:
    """Where most visitors come from, one after the other: the page's files, loaded once, are there already."""
    context = open_profile(driver, chromium, tmp_path_factory.mktemp("profile"), PATIENCE_S)
    yield context
    context.close()


def forget_visitor(page: Page, url: str) -> None:
    """Take away what the page kept of whoever was here before."""
    session = page.context.new_cdp_session(page)
    kept = {"origin": url.rstrip("/"), "storageTypes": "cookies,indexeddb,local_storage"}
    session.send("Storage.clearDataForOrigin", kept)
    session.detach()


@pytest.fixture
def anew(request: pytest.FixtureRequest) -> Callable[..., BrowserContext]:
    """Where a visitor comes from who has never been here; that browser starts when it is needed."""
    return lambda **kind: request.getfixturevalue("browser").new_context(**kind)


@pytest.fixture
def visit(anew: Callable[..., BrowserContext], used_before: BrowserContext, app: App) -> Iterator[Callable[..., Page]]:
    """Opens the page as a new visitor; afterwards nothing may have failed or been asked of another host."""
    contexts: list[BrowserContext] = []
    complaints: list[str] = []

    def watch_console(message: ConsoleMessage) -> None:
        # Gradio asks how far the upload of a camera's picture is by an empty name, and writes the refusal down; uploads
        # that fail are some tests' own doing.
        upload = "/upload" in message.location["url"] or message.text == "Response"
        # What is cancelled in the moment in which it ends has gone already, for which Gradio answers with status 500.
        cancelled = message.location["url"].endswith("/cancel")
        if message.type == "error" and not (upload or cancelled):
            complaints.append(f"console: {message.text}")

    def watch_request(sent: Request) -> None:
        if not sent.url.startswith((app.url, "data:", "blob:")):
            complaints.append(f"request to another host: {sent.url}")

    def watch_errors(error: WebError) -> None:
        complaints.append(f"page error: {error.error}")

    watching: dict[Any, Any] = {"console": watch_console, "weberror": watch_errors, "request": watch_request}

    def open_page(
        width: int = 1280,
        height: int = 800,
        query: str = "",
        permissions: tuple[str, ...] = (),
        color_scheme: Literal["light", "dark"] = "light",
        fingers: bool = False,
    ) -> Page:
        size: ViewportSize = {"width": width, "height": height}
        apart = fingers or contexts  # another kind of screen, or one visitor more
        context = used_before if not apart else anew(viewport=size, has_touch=fingers, is_mobile=fingers)
        contexts.append(context)
        context.grant_permissions(list(permissions))
        context.set_default_timeout(1000 * PATIENCE_S)
        for event, watch in watching.items():
            context.on(event, watch)
        page = context.new_page()
        page.set_viewport_size(size)
        page.emulate_media(color_scheme=color_scheme)
        forget_visitor(page, app.url)
        page.goto(app.url + query)
        page.wait_for_selector("#examples button")
        settle(page)
        return page

    app.asked.clear()
    app.before_answer = lambda: None
    yield open_page
    for context in contexts:
        for page in context.pages[context is used_before :]:  # but for the window that it started with
            page.close()
        for event, watch in watching.items():
            context.remove_listener(event, watch)
        context.clear_permissions()
        if context is not used_before:
            context.close()
    assert complaints == []


@pytest.fixture
def marked_photo(tmp_path: Path) -> Callable[..., Path]:
    """Makes a photograph with one red rectangle at `mark`, in pixels of the upright image."""

    def make(
        size: tuple[int, int], mark: tuple[int, int, int, int], name: str = "marked.png", rotated: bool = False
    ) -> Path:
        image = Image.new("RGB", size, (120, 150, 130))
        x1, y1, x2, y2 = mark
        ImageDraw.Draw(image).rectangle((x1, y1, x2 - 1, y2 - 1), fill=MARK)
        path = tmp_path / name
        if rotated:  # stored lying on its side; orientation 6 says: turn by 90 degrees clockwise to see it upright
            exif = Image.Exif()
            exif[0x0112] = 6
            image.rotate(90, expand=True).save(path, exif=exif, quality=95)
        else:
            image.save(path)
        return path

    return make

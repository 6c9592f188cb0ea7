"""Makes the pictures in assets/screenshots with the embedded model: `python -m scripts.screenshots`."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from dynrefer import Predictor
from dynrefer.ui.page import build_page, launch_options
from tests.browser.chromium import find_chromium, launch_chromium

FOLDER = Path(__file__).parents[1] / "assets" / "screenshots"
PATIENCE_S = 240.0
ALL_THERE = "[...document.images].every((image) => image.complete) && document.documentElement.dataset.idle === 'true'"


@dataclass(frozen=True)
class Shot:
    """One picture: window, colours, the example asked about, and what is done after its answer."""

    name: str
    example: str
    width: int = 1280
    height: int = 860
    scheme: str = "light"
    then: Callable[[Page], None] = lambda page: None


def show_regions(page: Page) -> None:
    """The table after more boxes were pasted."""
    page.get_by_role("tab", name="Regions").click()
    page.click("#paste button")
    page.wait_for_function(ALL_THERE)
    page.fill("#pasted textarea", "232 15 376 184\n164 61 466 382")
    page.click("#use-pasted")
    page.wait_for_function("document.querySelectorAll('#table tbody tr').length >= 2")
    page.click("#paste button")


def show_looks(page: Page) -> None:
    """Gains and the sweep over t."""
    page.get_by_role("tab", name="Views").click()
    page.click("#sweep")
    page.wait_for_function("document.querySelectorAll('#swept tbody tr').length === 11")


def show_comparison(page: Page) -> None:
    """The box alone beside the chosen views."""
    page.get_by_role("tab", name="Compare").click()
    page.click("#compare")
    page.wait_for_selector("#comparison section")


SHOTS = (
    Shot("light", "Cat"),
    Shot("dark", "Train", scheme="dark"),
    Shot("phone", "Cat", width=390, height=844),
    Shot("regions", "Horse", then=show_regions),
    Shot("looks", "Surfer", then=show_looks),
    Shot("compare", "Cup", then=show_comparison),
)


def main() -> None:
    """Open the page, ask, and photograph the window."""
    path = find_chromium()
    if path is None:
        sys.exit("Chromium is missing (package chromium, or CHROMIUM=/path/to/it).")
    FOLDER.mkdir(parents=True, exist_ok=True)
    predictor = Predictor.from_pretrained()
    app = build_page(predictor)
    _, url, _ = app.launch(prevent_thread_lock=True, quiet=True, **launch_options(predictor))
    with sync_playwright() as playwright:
        browser = launch_chromium(playwright, path, PATIENCE_S)
        for shot in SHOTS:
            size = {"width": shot.width, "height": shot.height}
            page = browser.new_page(viewport=size, color_scheme=shot.scheme, device_scale_factor=1.5)
            page.set_default_timeout(1000 * PATIENCE_S)
            page.goto(url)
            page.click(f"#examples button:has-text('{shot.example}')")
            page.wait_for_function(ALL_THERE)
            shot.then(page)
            page.wait_for_function(ALL_THERE)
            page.screenshot(path=FOLDER / f"{shot.name}.jpg", type="jpeg", quality=85)
            page.close()
        browser.close()
    app.close()


if __name__ == "__main__":
    main()

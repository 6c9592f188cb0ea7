"""All the ways in which a photograph comes in, and what is copied out."""

import pytest
from playwright.sync_api import Page, expect

from tests.browser.visitor import App, Visit, caption, choose_example, settle

pytestmark = pytest.mark.browser

CLIPBOARD = ("clipboard-read", "clipboard-write")
# A photograph of 320 x 240 pixels, made in the browser.
MAKE_BLOB = """async () => {
  const canvas = Object.assign(document.createElement("canvas"), { width: 320, height: 240 });
  canvas.getContext("2d").fillRect(80, 60, 160, 120);
  const blob = await new Promise((done) => canvas.toBlob(done, "image/png"));
  %s
}"""
TO_CLIPBOARD = MAKE_BLOB % 'await navigator.clipboard.write([new ClipboardItem({ "image/png": blob })]);'
DROP = (
    MAKE_BLOB
    % """
  const dataTransfer = new DataTransfer();
  dataTransfer.items.add(new File([blob], "dropped.png", { type: "TYPE" }));
  const area = document.querySelector("#photo button");
  for (const kind of ["dragenter", "dragover", "drop"])
    area.dispatchEvent(new DragEvent(kind, { dataTransfer, bubbles: true }));
"""
)


def paste(page: Page) -> None:
    """Copy a photograph, and press the clipboard."""
    page.evaluate(TO_CLIPBOARD)
    page.get_by_role("button", name="Paste from clipboard").click()


def paste_by_keyboard(page: Page) -> None:
    """Copy a photograph, and paste it somewhere on the page."""
    page.evaluate(TO_CLIPBOARD)
    page.keyboard.press("Control+v")


def drop(page: Page) -> None:
    """Let a file fall on the upload area."""
    page.evaluate(DROP.replace("TYPE", "image/png"))


def drop_unknown(page: Page) -> None:
    """Let a file fall on the upload area whose kind the browser does not know, as with HEIC on Windows."""
    page.evaluate(DROP.replace("TYPE", ""))


def photograph(page: Page) -> None:
    """Take a picture with the camera."""
    page.get_by_role("button", name="Capture from camera").click()
    page.get_by_text("Click to Access Webcam").click()
    page.wait_for_function("document.querySelector('#photo video')?.videoWidth > 0")
    page.get_by_role("button", name="capture photo").click()


def test_a_photograph_can_be_described_however_it_came_in(visit: Visit, app: App) -> None:
    page = visit(permissions=(*CLIPBOARD, "camera"))
    for count, take in enumerate((paste, paste_by_keyboard, drop, drop_unknown, photograph)):
        take(page)
        expect(page.locator("#picker .status")).to_contain_text("Drag a box")
        assert len(app.asked) == count
        page.focus("#picker .stage")
        page.keyboard.press("Enter")
        assert caption(page)
        assert app.asked[-1].size == (320, 240) or take is photograph
        page.click("#another")
        settle(page)


def test_caption_and_tags_are_copied(visit: Visit) -> None:
    page = visit(permissions=CLIPBOARD)
    choose_example(page, "Puppy")
    settle(page)
    page.get_by_role("button", name="Copy the caption").click()
    expect(page.get_by_role("button", name="Copy the caption")).to_have_text("Copied")
    said = page.locator(".dr-caption-text > :last-child").text_content()
    assert page.evaluate("navigator.clipboard.readText()") == said
    tags = page.locator("#words section[aria-label=Tags]")
    tags.get_by_role("button", name="Copy the tags").click()
    expect(tags.get_by_role("button", name="Copy the tags")).to_have_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()").split(", ") == tags.locator("li span").all_text_contents()

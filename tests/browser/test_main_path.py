"""The main path in a browser: photograph, box, answer, and what changes it."""

from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.browser.visitor import (
    App,
    MakePhoto,
    Visit,
    caption,
    choose_example,
    drag,
    fill_in,
    open_tab,
    see_mark,
    set_number,
    settle,
    upload,
)

pytestmark = pytest.mark.browser

# What has the focus, and whether it or the frame around it shows that.
FOCUSED = """() => {
  const focused = document.activeElement;
  const label = focused.labels?.[0]?.innerText || focused.innerText || focused.getAttribute("aria-label") || "";
  const shows = (node) => {
    const { outlineStyle, outlineWidth, boxShadow } = getComputedStyle(node);
    return (outlineStyle !== "none" && parseFloat(outlineWidth) >= 2) || /(rgb\\(|inset)/.test(boxShadow);
  };
  return [label.trim(), [focused, focused.closest(".wrap")].some((node) => node && shows(node))];
}"""


def test_the_empty_page_needs_no_scrolling_and_an_upload_that_fails_says_so(
    visit: Visit, marked_photo: MakePhoto
) -> None:
    page = visit(1280, 800)
    assert page.evaluate("document.documentElement.scrollHeight") <= 800
    page.route("**/gradio_api/upload?*", lambda route: route.abort())
    page.set_input_files("#photo input[type=file]", marked_photo((64, 48), (16, 12, 42, 33)))
    expect(page.get_by_text("could not be sent")).to_be_visible()


def test_an_example_fills_everything_and_the_tag_threshold_asks_the_model_nothing(visit: Visit, app: App) -> None:
    page = visit()
    choose_example(page, "Puppy")
    assert caption(page)
    assert app.asked[-1].box == [258, 148, 594, 658]
    assert page.locator("#answer .dr-bars li").count() > 1
    expect(page.locator("#views li")).to_have_count(11)
    assert page.locator("#views li.chosen").count() == page.locator("#picker .view.chosen").count() + 1
    assert page.locator("#words .dr-groups dt").count() > 0
    expect(page.locator("#status")).to_contain_text("ms")
    page.click("#typed button")
    expect(page.locator("#corner-x1 input")).to_have_value("258")
    asked = len(app.asked)
    set_number(page, "threshold", 0)
    expect(page.locator("#words section").nth(1)).to_contain_text("at 0% or more")
    expect(page.locator("#words section").nth(1).locator("li").nth(3)).to_be_visible()
    assert len(app.asked) == asked


def test_a_second_photograph_clears_the_answer_to_the_first(visit: Visit, marked_photo: MakePhoto) -> None:
    page = visit()
    choose_example(page, "Puppy")
    assert caption(page)
    page.click("#another")
    upload(page, marked_photo((640, 480), (160, 120, 420, 330)))
    expect(page.locator(".dr-caption-text")).to_have_count(0)
    expect(page.locator("#views li")).to_have_count(0)
    expect(page.locator("#words li")).to_have_count(0)
    expect(page.locator("#picker .box, #picker .view, #picker .region")).to_have_count(0)


def test_a_view_slider_changes_views_and_answer(visit: Visit, app: App) -> None:
    page = visit()
    choose_example(page, "Puppy")
    expect(page.locator("#slider-1")).to_have_count(0)
    page.click("#mode input")
    page.get_by_role("option", name="Manual").click()
    set_number(page, "slider-1", 0.7)
    expect(page.locator("#views li.chosen[data-t='0.7']")).to_have_count(1)
    steps = app.asked[-1].question.coefficients
    assert steps is not None
    assert steps[:2] == (0.0, 0.7)


def test_own_class_names_and_control_words_reach_the_model(visit: Visit, app: App) -> None:
    page = visit()
    choose_example(page, "Puppy")
    page.click("#own-words button")
    settle(page)
    page.fill("#controls input, #controls textarea", "small")
    page.fill("#classes textarea", "teapot, dog; cat, cup, cow, car, bus")
    page.press("#classes textarea", "Enter")
    expect(page.locator("#answer .dr-bars li")).to_have_count(7)
    assert app.asked[-1].question.classes == ("teapot", "dog", "cat", "cup", "cow", "car", "bus")
    assert app.asked[-1].question.controls == ("small",)


def test_a_text_file_called_jpg_gets_a_sentence_and_a_photograph_is_accepted_after_it(
    visit: Visit, marked_photo: MakePhoto, tmp_path: Path
) -> None:
    page = visit()
    file = tmp_path / "notes.jpg"
    file.write_text("not a photograph")
    page.set_input_files("#photo input[type=file]", file)
    expect(page.get_by_text("is not an image that can be read")).to_be_visible()
    expect(page.get_by_text(str(tmp_path))).to_have_count(0)
    expect(page.locator("#upload")).to_be_visible()
    upload(page, marked_photo((640, 480), (160, 120, 420, 330)))
    drag(page, see_mark(page))
    assert caption(page)


def test_a_box_outside_the_photograph_gets_a_sentence(visit: Visit, marked_photo: MakePhoto) -> None:
    page = visit()
    upload(page, marked_photo((640, 480), (160, 120, 420, 330)))
    page.click("#typed button")
    for name in ("x1", "y1", "x2", "y2"):
        fill_in(page, f"#corner-{name} input", 900)
    page.click("#use-corners")
    settle(page)
    expect(page.get_by_text("no area inside the 640 x 480 image")).to_be_visible()


def test_a_narrow_or_zoomed_window_shows_everything_without_scrolling_sideways_and_the_box_where_it_was(
    visit: Visit,
) -> None:
    page = visit(320, 700)
    choose_example(page, "Puppy")
    page.keyboard.press("e")
    page.keyboard.type("seamlessly" * 20)
    page.keyboard.press("Enter")
    said = caption(page)
    for width in (320, 390, 640, 1280):
        page.set_viewport_size({"width": width, "height": 700})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        edges = page.evaluate(
            "[...document.querySelectorAll('.dr-chips li, #answer p')].map(e => e.getBoundingClientRect().right)"
        )
        assert max(edges) <= width
        photo, box = (page.locator(f"#picker .{name}").bounding_box() for name in ("photo", "box"))
        assert photo is not None
        assert box is not None
        assert box["x"] - photo["x"] == pytest.approx(258 / 1024 * photo["width"], abs=1)
        assert box["width"] == pytest.approx(336 / 1024 * photo["width"], abs=1)
        assert caption(page) == said


def test_every_stop_of_the_tab_key_is_seen(visit: Visit) -> None:
    page = visit()
    choose_example(page, "Puppy")
    page.click("#own-words button")
    expect(page.locator("#controls")).to_be_visible()
    page.focus("#picker .stage")
    stops: list[str] = []
    while "Use via API" not in stops[-1:]:
        page.keyboard.press("Tab")
        name, seen = page.evaluate(FOCUSED)
        assert seen, name
        stops.append(name[:11])
    assert {"Another pho", "Puppy", "Which views", "How many vi", "Describe ag", "Answer", "Copy"} <= set(stops)


def serious_findings(page: Page) -> list[str]:
    """What axe finds on the page as it is."""
    return [
        f"{finding['id']}: {node['html'][:120]}"
        for finding in Axe().run(page).response["violations"]
        if finding["impact"] in ("serious", "critical")
        for node in finding["nodes"]
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_serious_accessibility_findings(visit: Visit, scheme: str) -> None:
    page = visit(color_scheme=scheme)
    choose_example(page, "Puppy")
    for tab in ("Answer", "Regions", "Views", "Compare", "How it works"):
        open_tab(page, tab)
        assert serious_findings(page) == [], tab
    page.click("#own-words button")
    page.click("#another")
    expect(page.get_by_role("button", name="Bring it back")).to_be_visible()
    assert serious_findings(page) == []

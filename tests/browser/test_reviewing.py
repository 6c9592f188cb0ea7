"""Correcting, accepting and rejecting answers, and leading through several photographs."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from dynrefer import Predictor
from dynrefer.project import Project, read_project
from dynrefer.ui.page import build_page, launch_options
from tests.browser.visitor import App, MakePhoto, Visit, caption, choose_example, open_tab, rows, settle
from tests.pointing import Pointing

pytestmark = pytest.mark.browser

PLACE = ".place"


@pytest.fixture
def photographs(tmp_path: Path) -> list[Path]:
    """Two photographs of different colours, and a file between them that is none."""
    paths = [tmp_path / "photos" / name for name in ("a.png", "b.png", "c.png")]
    paths[0].parent.mkdir()
    Image.new("RGB", (200, 150), (160, 60, 60)).save(paths[0])
    paths[1].write_bytes(b"no photograph")
    Image.new("RGB", (150, 200), (60, 60, 160)).save(paths[2])
    return paths


@pytest.fixture
def folder_app(tiny_checkpoint: Path, photographs: list[Path]) -> Iterator[str]:
    """The address of a page that was started with the folder of `photographs`."""
    predictor, project = Predictor.from_pretrained(tiny_checkpoint, device="cpu"), Project(photographs[0].parent)
    stand_in = Pointing([(10, 10, 100, 100), (50, 60, 140, 140)])
    predictor.box_grid, predictor.propose = stand_in.box_grid, stand_in.propose  # type: ignore[method-assign]
    page = build_page(predictor, project)
    _, url, _ = page.launch(prevent_thread_lock=True, quiet=True, **launch_options(predictor, project))
    yield url
    page.close()
    project.close()


@pytest.fixture
def open_folder(visit: Visit, app: App, folder_app: str, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Page]:
    """Opens that page as a new visitor."""
    monkeypatch.setattr(app, "url", folder_app)

    def open_page() -> Page:
        page = visit()
        page.wait_for_selector("#picker .photo")
        settle(page)
        return page

    return open_page


def open_several(page: Page, photographs: list[Path]) -> None:
    """Choose several photographs of one's own."""
    page.set_input_files("#keeper input[type=file]", photographs)
    page.wait_for_selector("#picker .photo")
    settle(page)


def draw(page: Page) -> None:
    """A box in the middle, by the keyboard."""
    page.locator("#picker .stage").press("Enter")
    settle(page)


def press(page: Page, key: str) -> None:
    """One key, with nothing in focus that takes it."""
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press(key)
    settle(page)


def test_a_caption_is_written_in_its_place_and_taken_back_and_left_by_escape_it_stays(visit: Visit) -> None:
    page = visit()
    choose_example(page, "Puppy")
    said = caption(page)
    press(page, "e")
    page.keyboard.type("half a thought")
    page.keyboard.press("Escape")
    assert caption(page) == said
    expect(page.get_by_text("corrected by you")).to_have_count(0)
    press(page, "e")
    page.keyboard.type("my own words")
    page.keyboard.press("Enter")
    assert caption(page) == "My own words"
    expect(page.get_by_role("button", name="Edit the caption")).to_be_focused()
    expect(page.get_by_text("corrected by you")).to_be_visible()
    press(page, "Control+z")  # or U
    assert caption(page) == said


def test_a_name_typed_which_presses_no_button_and_a_tag_taken_away_are_a_persons(visit: Visit) -> None:
    page = visit()
    choose_example(page, "Puppy")
    page.locator("#answer input[data-say=name]").press_sequentially("rare")
    settle(page)
    expect(page.locator("[aria-pressed=true][data-review]")).to_have_count(0)
    page.fill("#answer input[data-say=name]", "beagle pup")
    page.press("#answer input[data-say=name]", "Enter")
    settle(page)
    expect(page.locator("#answer .dr-bars li").first).to_have_text("beagle pupyours")
    page.fill("#words input[data-say=tag]", "harness strap")
    page.press("#words input[data-say=tag]", "Enter")
    settle(page)
    expect(page.locator("#words .yours")).to_contain_text("harness strap")
    page.get_by_role("button", name="harness strap is wrong").click()
    settle(page)
    expect(page.locator("#words .yours")).to_have_count(0)


def test_what_was_reviewed_is_there_after_a_reload(visit: Visit, app: App) -> None:
    page = visit()
    choose_example(page, "Puppy")
    press(page, "a")
    asked = len(app.asked)
    page.reload()
    page.wait_for_selector("#examples button")
    settle(page)
    expect(page.locator("[data-review=accepted]")).to_have_attribute("aria-pressed", "true")
    assert len(app.asked) == asked


def test_several_photographs_of_the_browser_are_led_through_and_kept(visit: Visit, photographs: list[Path]) -> None:
    page = visit()
    open_several(page, [photographs[0], photographs[2]])
    expect(page.locator(PLACE)).to_have_text("Photograph 1 of 2: a.png · 0 of 0 reviewed")
    draw(page)
    press(page, "a")
    expect(page.locator(PLACE)).to_have_text("Photograph 1 of 2: a.png · 1 of 1 reviewed")
    press(page, "n")
    expect(page.locator(PLACE)).to_have_text("Photograph 2 of 2: c.png · 1 of 1 reviewed")
    page.reload()
    page.wait_for_selector("#picker .photo")
    settle(page)
    expect(page.locator(PLACE)).to_have_text("Photograph 2 of 2: c.png · 1 of 1 reviewed")
    press(page, "p")
    expect(page.locator("#picker .region, #picker .box")).to_have_count(1)


def test_a_project_of_the_browser_is_saved_as_a_file_of_projects(
    visit: Visit, photographs: list[Path], tmp_path: Path
) -> None:
    page = visit()
    open_several(page, [photographs[0], photographs[2]])
    draw(page)
    press(page, "r")
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Save project").click()
    waiting.value.save_as(tmp_path / "saved.jsonl")
    records = read_project(tmp_path / "saved.jsonl")
    assert [(record.image, [region.status for region in record.regions]) for record in records] == [
        ("a.png", ["rejected"]),
        ("c.png", []),
    ]


def test_a_folder_is_worked_through_by_keys_and_written_beside_it(
    open_folder: Callable[[], Page], photographs: list[Path]
) -> None:
    page = open_folder()
    expect(page.locator(PLACE)).to_have_text("Photograph 1 of 3: a.png · 0 of 0 reviewed")
    draw(page)
    press(page, "a")
    press(page, "n")
    expect(page.locator(PLACE)).to_have_text("Photograph 2 of 3: b.png · 1 of 1 reviewed")  # which is no photograph
    expect(page.locator("#picker .photo")).not_to_be_visible()
    press(page, "n")
    expect(page.locator(PLACE)).to_have_text("Photograph 3 of 3: c.png · 1 of 1 reviewed")
    draw(page)
    page.reload()
    page.wait_for_selector("#picker .photo")
    settle(page)
    expect(page.locator(PLACE)).to_have_text("Photograph 3 of 3: c.png · 1 of 2 reviewed")
    open_tab(page, "Regions")
    assert rows(page) == 1
    records = read_project(photographs[0].parent)
    assert {record.image: [region.status for region in record.regions] for record in records} == {
        "a.png": ["accepted"],
        "c.png": ["open"],
    }


def test_a_whole_folder_is_described_and_its_review_leads_from_photograph_to_photograph(
    open_folder: Callable[[], Page], photographs: list[Path]
) -> None:
    page = open_folder()
    page.click("[data-whole]")
    expect(page.locator("#keeper .note")).to_contain_text("2 photographs described. b.png is not an image")
    settle(page)
    open_tab(page, "Regions")
    press(page, "a")  # which begins with the first region
    for _ in range(rows(page)):
        press(page, "a")
    expect(page.locator(PLACE)).to_contain_text("Photograph 3 of 3: c.png")
    expect(page.locator("#table .selected")).to_have_count(1)
    records = {record.image: record for record in read_project(photographs[0].parent)}
    assert {region.status for region in records["a.png"].regions} == {"accepted"}
    assert {region.status for region in records["c.png"].regions} == {"open"}


def test_the_browsers_photographs_without_a_region_are_described_and_the_next_one_opens_at_the_first(
    visit: Visit, marked_photo: MakePhoto
) -> None:
    page = visit()
    files = [marked_photo((600, 400), (100, 60, 320, 260), name) for name in ("a.png", "c.png")]
    open_several(page, files)
    draw(page)
    page.click("[data-whole]")
    expect(page.locator("#keeper .note")).to_have_text("1 photograph described.")
    expect(page.locator("[data-whole]")).to_be_hidden()
    open_tab(page, "Regions")
    assert rows(page) == 1  # it held one already
    press(page, "n")
    expect(page.get_by_role("button", name="Show region 1")).to_have_attribute("aria-pressed", "true")
    for _ in range(rows(page)):
        press(page, "r")
    expect(page.locator(PLACE)).to_contain_text("Photograph 1 of 2: a.png")

"""Pointing, drawing, zooming and undoing on the photograph, with mouse, fingers and keys."""

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.browser.picker_alone import SIZE, Picker, show_picker
from tests.browser.visitor import Fingers

pytestmark = pytest.mark.browser

LEFT, RIGHT = (40, 60, 200, 300), (330, 60, 600, 400)
SMALL, LARGE = (80, 100, 140, 160), (20, 20, 400, 420)


@pytest.fixture(scope="module")
def windows(browser: Browser) -> Iterator[dict[bool, BrowserContext]]:
    contexts = {
        finger: browser.new_context(viewport={"width": width, "height": 700}, has_touch=finger, is_mobile=finger)
        for finger, width in ((False, 800), (True, 390))
    }
    yield contexts
    for context in contexts.values():
        context.close()


@pytest.fixture
def opened(windows: dict[bool, BrowserContext]) -> Iterator[Callable[[bool], Picker]]:
    """Opens the picker, on a screen for fingers or not; afterwards no script may have failed."""
    pages: list[Page] = []
    failures: list[str] = []

    def open_page(fingers: bool) -> Picker:
        page = windows[fingers].new_page()
        pages.append(page)
        page.on("pageerror", lambda error: failures.append(str(error)))
        return show_picker(page)

    yield open_page
    for page in pages:
        page.close()
    assert failures == []


@pytest.fixture
def picker(opened: Callable[[bool], Picker]) -> Picker:
    """The picker under a mouse, with nothing to point at."""
    return opened(False)


@pytest.fixture
def pointing(picker: Picker) -> Picker:
    """The picker under a mouse: presses on the left half take LEFT, on the right half RIGHT."""
    picker.point_with([[LEFT, RIGHT]])
    return picker


@pytest.fixture
def by_finger(opened: Callable[[bool], Picker]) -> Picker:
    """The same on a telephone."""
    picker = opened(True)
    picker.point_with([[LEFT, RIGHT]])
    return picker


def test_pointing_shows_the_box_that_a_press_would_take(pointing: Picker) -> None:
    for at, box in (((100, 100), LEFT), ((500, 100), RIGHT)):
        pointing.page.mouse.move(*pointing.at(*at))
        assert pointing.drawn(".hint") == [box]
    assert pointing.told == []


def test_a_press_takes_the_box_and_enter_describes_it(pointing: Picker) -> None:
    pointing.press(100, 100)
    assert pointing.drawn(".box.pending") == [LEFT]
    assert "Enter describes it" in pointing.status
    assert pointing.boxes == []
    pointing.page.keyboard.press("Enter")
    assert pointing.boxes == [list(LEFT)]
    assert pointing.drawn(".box.pending") == []


def test_the_button_at_the_box_describes_it(pointing: Picker) -> None:
    pointing.press(100, 100)
    pointing.page.get_by_role("button", name="Describe").click()
    assert pointing.boxes == [list(LEFT)]
    expect(pointing.page.locator(".stage")).to_be_focused()


def test_a_press_takes_nothing_where_the_model_cannot_point(picker: Picker) -> None:
    picker.press(100, 100)
    assert picker.told == []
    assert picker.drawn(".box") == []
    expect(picker.page.get_by_role("button", name="Inside")).to_be_hidden()


def test_a_tap_takes_the_box(by_finger: Picker) -> None:
    by_finger.page.touchscreen.tap(*by_finger.at(500, 100))
    by_finger.page.get_by_role("button", name="Describe").tap()
    assert by_finger.boxes == [list(RIGHT)]


def test_pressing_again_goes_through_what_is_there_from_small_to_large(pointing: Picker) -> None:
    pointing.press(100, 120)
    pointing.answer(LEFT, LARGE, SMALL)
    seen = pointing.drawn(".box")
    for _ in range(3):
        pointing.press(101, 121)
        seen += pointing.drawn(".box")
    assert seen == [LEFT, LARGE, SMALL, LEFT]
    assert len(pointing.told) == 1


def test_a_region_under_another_can_be_reached_by_pressing_again(pointing: Picker) -> None:
    pointing.change(regions=[{"box": LARGE, "label": "1"}, {"box": SMALL, "label": "2"}])
    pointing.press(100, 120)
    pointing.press(100, 120)
    assert pointing.drawn(".box") == [LARGE]
    pointing.press(100, 120)
    assert pointing.drawn(".box") == [SMALL]


def test_without_a_grid_a_press_takes_what_it_is_told_then(picker: Picker) -> None:
    picker.change(grid={"rows": 0, "columns": 0, "boxes": ""})
    picker.press(100, 120)
    assert picker.drawn(".box") == []
    assert len(picker.drawn(".point")) == 1
    picker.answer(LEFT, LARGE)
    assert picker.drawn(".box.pending") == [LEFT]
    picker.page.keyboard.press("Enter")
    assert picker.boxes == [list(LEFT)]


@pytest.mark.parametrize("zoom", [0, 2])
def test_the_mask_of_what_was_described_lies_where_it_is_until_its_box_changes(picker: Picker, zoom: int) -> None:
    x1, y1, x2, y2 = LEFT
    edges = [[[x1, y1], [x2, y1], [x2, y2], [x1, y2]]]
    picker.change(value=list(LEFT), shape={"box": list(LEFT), "outline": edges})
    for _ in range(zoom):
        picker.page.get_by_role("button", name="Zoom in").click()
    (drawn,) = picker.drawn(".outline path")
    assert drawn == pytest.approx(LEFT, abs=6)  # the line itself has a width
    picker.change(value=list(RIGHT))
    assert picker.drawn(".outline path") == []


def test_what_comes_late_about_other_points_changes_nothing(pointing: Picker) -> None:
    pointing.press(100, 100)
    late = pointing.told[-1][1]["points"]
    pointing.press(500, 100)
    pointing.change(pointed={"points": late, "found": [{"box": SMALL, "outline": None}]})
    assert pointing.drawn(".box") == [RIGHT]


@pytest.mark.parametrize(("key", "inside"), [("Shift", True), ("Alt", False)])
def test_a_press_with_a_key_adds_a_point(pointing: Picker, key: str, inside: bool) -> None:
    pointing.press(100, 100)
    pointing.press(150, 200, key)
    points = pointing.told[-1][1]["points"]
    assert [point[2] for point in points] == [True, inside]
    assert points[1][:2] == pytest.approx((150, 200), abs=2)
    pointing.answer(LARGE)
    assert pointing.drawn(".box") == [LARGE]


@pytest.mark.parametrize(("name", "inside"), [("Inside", True), ("Outside", False)])
def test_a_tap_adds_points_while_their_button_is_down(by_finger: Picker, name: str, inside: bool) -> None:
    by_finger.page.touchscreen.tap(*by_finger.at(100, 100))
    button = by_finger.page.get_by_role("button", name=name)
    button.tap()
    expect(button).to_have_attribute("aria-pressed", "true")
    by_finger.page.touchscreen.tap(*by_finger.at(150, 200))
    assert [point[2] for point in by_finger.told[-1][1]["points"]] == [True, inside]
    assert by_finger.page.locator(".overlay .point").count() == 2


def test_the_outline_of_what_was_pressed_is_drawn_where_it_is(pointing: Picker) -> None:
    pointing.press(100, 120)
    x1, y1, x2, y2 = SMALL
    pointing.answer(SMALL, outline=[[[x1, y1], [x2, y1], [x2, y2], [x1, y2]]])
    pointing.page.keyboard.press("+")
    (drawn,) = pointing.drawn(".outline path")
    assert drawn == pytest.approx(SMALL, abs=4)  # the line itself has a width


def test_a_box_drawn_past_the_edge_ends_there(picker: Picker) -> None:
    picker.drag((300, 200, SIZE[0] + 100, SIZE[1] + 150))
    assert picker.boxes == [[300, 200, *SIZE]]


def test_a_drag_inside_a_box_moves_it_and_with_shift_draws_another(picker: Picker) -> None:
    picker.drag((100, 100, 400, 400))
    picker.drag((200, 200, 220, 210))
    assert picker.boxes[-1] == [120, 110, 420, 410]
    picker.page.keyboard.down("Shift")
    picker.drag((200, 200, 300, 250))
    assert picker.boxes[-1] == [200, 200, 300, 250]


def test_the_wheel_zooms_around_the_place_under_it(picker: Picker) -> None:
    picker.page.mouse.move(400, 90)
    under = picker.under(400, 90)
    picker.page.mouse.wheel(0, -600)
    expect(picker.page.get_by_role("button", name="Show the whole")).not_to_have_text("100%")
    assert picker.under(400, 90) == pytest.approx(under, abs=1)


def test_the_wheel_scrolls_the_page_as_long_as_the_whole_photograph_is_shown(picker: Picker) -> None:
    picker.page.mouse.move(*picker.at(480, 120))
    picker.page.mouse.wheel(0, 200)
    picker.page.wait_for_function("scrollY > 0")
    expect(picker.page.get_by_role("button", name="Show the whole")).to_have_text("100%")


def test_a_box_drawn_while_zoomed_is_where_it_was_seen(picker: Picker) -> None:
    picker.page.mouse.move(*picker.at(500, 350))
    picker.page.mouse.wheel(0, -500)
    expect(picker.page.get_by_role("button", name="Zoom out")).to_be_enabled()
    picker.drag((450, 300, 520, 380))
    assert picker.boxes[0] == pytest.approx([450, 300, 520, 380], abs=1)
    picker.page.get_by_role("button", name="Show the whole").click()
    assert picker.drawn(".box")[0] == pytest.approx((450, 300, 520, 380), abs=1)


def test_keys_zoom_to_the_box_and_back(picker: Picker) -> None:
    picker.drag((500, 340, 560, 400))
    for _ in range(3):
        picker.page.keyboard.press("+")
    stage = picker.page.locator(".stage").bounding_box()
    assert stage is not None
    assert picker.at(530, 370) == pytest.approx(
        (stage["x"] + stage["width"] / 2, stage["y"] + stage["height"] / 2), abs=2
    )
    picker.page.keyboard.press("-")
    expect(picker.page.get_by_role("button", name="Show the whole")).to_have_text("225%")
    picker.page.keyboard.press("0")
    expect(picker.page.get_by_role("button", name="Show the whole")).to_have_text("100%")


def test_arrow_keys_and_dragging_with_the_space_bar_move_a_zoomed_photograph(picker: Picker) -> None:
    picker.page.focus(".stage")
    picker.page.keyboard.press("+")
    x, y = picker.at(320, 240)
    picker.page.keyboard.press("ArrowRight")
    assert picker.at(320, 240) == pytest.approx((x - 60, y), abs=1)
    picker.page.keyboard.down(" ")
    picker.drag((320, 240, 360, 220))
    picker.page.keyboard.up(" ")
    moved = picker.at(320, 240)
    assert moved[0] > x - 60
    assert moved[1] < y
    assert picker.told == []


def test_two_fingers_zoom_and_move_without_drawing(by_finger: Picker) -> None:
    x, y = by_finger.at(320, 240)
    fingers = Fingers(by_finger.page)
    fingers.put((x - 30, y))
    fingers.put((x - 30, y), (x + 30, y))
    fingers.put((x - 60, y + 20), (x + 60, y + 20))
    fingers.put()
    expect(by_finger.page.get_by_role("button", name="Show the whole")).to_have_text("200%")
    assert by_finger.at(320, 240) == pytest.approx((x, y + 20), abs=2)
    assert by_finger.told == []
    assert by_finger.drawn(".box") == []


def test_keys_undo_and_redo_boxes_drawn(picker: Picker) -> None:
    first, second = (50, 50, 150, 150), (300, 200, 500, 400)
    picker.drag(first)
    picker.drag(second)
    picker.page.keyboard.press("Control+z")
    assert picker.drawn(".box") == [first]
    assert picker.last == ("box_recalled", list(first))
    picker.page.keyboard.press("Control+z")
    assert picker.last == ("box_cleared", None)
    picker.page.keyboard.press("Control+Shift+z")
    picker.page.keyboard.press("Control+Shift+z")
    assert picker.drawn(".box") == [second]


def test_buttons_undo_and_redo_what_presses_took(pointing: Picker) -> None:
    pointing.press(100, 100)
    pointing.press(500, 100)
    undo, redo = (pointing.page.get_by_role("button", name=name) for name in ("Undo", "Redo"))
    undo.click()
    assert pointing.drawn(".box.pending") == [LEFT]
    undo.click()
    expect(undo).to_be_disabled()
    redo.click()
    redo.click()
    assert pointing.drawn(".box.pending") == [RIGHT]
    expect(redo).to_be_disabled()
    assert [name for name, _ in pointing.told] == ["pointed", "pointed"]


def test_a_box_taken_can_be_given_back_by_escape(pointing: Picker) -> None:
    pointing.drag((50, 50, 150, 150))
    pointing.press(500, 100)
    pointing.page.keyboard.press("Escape")
    assert pointing.drawn(".box") == [(50, 50, 150, 150)]
    assert len(pointing.told) == 2


def test_another_photograph_begins_whole_and_without_a_past_even_if_it_looks_the_same(pointing: Picker) -> None:
    pointing.press(100, 100)
    pointing.page.keyboard.press("+")
    other = pointing.page.evaluate("props.image + '#other'")
    pointing.change(image=other, value=None, grid=None, pointed=None)
    assert pointing.page.evaluate("told.at(-1)[0]") == "photo_changed"
    assert pointing.drawn(".box") == []
    assert pointing.status == "640 × 480 px. Drag a box around something."
    for name in ("Undo", "Zoom out"):
        expect(pointing.page.get_by_role("button", name=name)).to_be_disabled()


def test_a_box_can_be_drawn_from_the_very_corner(picker: Picker) -> None:
    picker.drag((0, 0, 200, 150))
    assert picker.boxes == [[0, 0, 200, 150]]


def test_labels_lie_on_the_photograph(picker: Picker) -> None:
    width, height = SIZE
    views = [
        {"key": key, "box": box, "colour": "#fff", "label": f"t {key}", "chosen": True}
        for key, box in (("0.1", [0, 0, width, height]), ("0.2", [0, 0, width, height]))
    ]
    picker.change(views=views, found=[{"box": [width - 20, 100, width - 2, 140], "label": "red pepper 84%"}])
    labels = picker.drawn(".view span, .region span")
    assert len(labels) == 3
    assert all(x1 >= 0 and y1 >= 0 and x2 <= width and y2 <= height for x1, y1, x2, y2 in labels)


def test_the_views_of_the_box_before_go_as_soon_as_another_is_drawn(picker: Picker) -> None:
    view = {"key": "0.5", "box": LARGE, "colour": "#fff", "label": "t 0.5", "chosen": True}
    picker.drag(LEFT)
    picker.change(views=[view])
    assert picker.drawn(".view") == [LARGE]
    picker.drag(RIGHT)
    assert picker.drawn(".view") == []
    picker.change(views=[view])
    assert picker.drawn(".view") == [LARGE]


def test_the_line_below_the_photograph_is_not_read_out_again_when_the_answer_comes(picker: Picker) -> None:
    picker.drag(LEFT)
    picker.page.evaluate("window.seen = new MutationObserver(() => 0)")
    picker.page.evaluate("seen.observe(document.querySelector('.status'), { childList: true })")
    picker.change(views=[], regions=[{"box": LEFT, "label": "1"}])
    assert picker.drawn(".region") == [LEFT]
    assert picker.page.evaluate("seen.takeRecords().length") == 0


def draw_line(picker: Picker, *places: tuple[float, float]) -> None:
    """Draw freehand from place to place of the photograph."""
    picker.page.get_by_role("button", name="Freehand").click()
    picker.page.mouse.move(*picker.at(*places[0]))
    picker.page.mouse.down()
    for place in places[1:]:
        picker.page.mouse.move(*picker.at(*place), steps=4)
    picker.page.mouse.up()


def test_a_line_around_a_thing_is_its_outline(pointing: Picker) -> None:
    draw_line(pointing, (100, 100), (200, 100), (200, 300), (100, 300), (102, 110))
    name, told = pointing.told[-1]
    assert (name, told["box"], told["points"]) == ("box_drawn", [100, 100, 200, 300], [])
    assert len(told["outline"]) > 12
    expect(pointing.page.locator(".outline")).to_have_count(1)


def test_a_line_along_a_thing_takes_what_lies_on_it(pointing: Picker) -> None:
    draw_line(pointing, (60, 80), (120, 200), (180, 280))
    name, told = pointing.told[-1]
    assert name == "pointed"
    assert all(inside for _, _, inside in told["points"])
    pointing.answer(LARGE)
    assert pointing.drawn(".box") == [LARGE]
    pointing.page.keyboard.press("Enter")
    assert pointing.last == ("box_drawn", list(LARGE))

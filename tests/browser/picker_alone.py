"""The box picker without the rest of the page, in a bare window; what it tells Python is written down."""

import base64
import io
import json
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image
from playwright.sync_api import Page

from dynrefer.ui.components import BoxPicker
from dynrefer.ui.finding import packed

SIZE = (640, 480)
Box = tuple[float, float, float, float]

# Does for the component what gr.HTML does: the template once, properties that can be watched, events.
WINDOW = """<!doctype html><meta name="viewport" content="width=device-width, initial-scale=1">
<style>body { margin: 0; min-height: 3000px } #picker { width: 100%%; %(css)s }</style>
<div id="picker"></div><script>
window.dynreferBusy = new Set();
window.told = [];
const element = document.getElementById("picker"), props = %(props)s, watched = [];
const fill = (values) => Function(...Object.keys(values), "return `" + %(html)s + "`")(...Object.values(values));
const watch = (names, call) => watched.push([[names].flat(), call]);
window.change = (values) => {
  Object.assign(props, values);
  if ("image" in values) element.innerHTML = fill(props);
  for (const [names, call] of watched) if (names.some((name) => name in values)) call();
};
element.innerHTML = fill(props);
Function("element", "trigger", "props", "watch", %(js)s)(element, (...event) => told.push(event), props, watch);
</script>"""


@dataclass
class Picker:
    """The picker in a window, on a photograph of SIZE."""

    page: Page

    @property
    def told(self) -> list[list[Any]]:
        """The events so far: name and data, those that come with every photograph left out."""
        return [event for event in self.page.evaluate("told") if event[0] != "photo_changed"]

    @property
    def boxes(self) -> list[Any]:
        """The boxes that were told to be described."""
        return [data["box"] for name, data in self.told if name == "box_drawn"]

    @property
    def last(self) -> tuple[str, Any]:
        """The last event: its name and box."""
        name, data = self.told[-1]
        return name, data["box"]

    @property
    def status(self) -> str:
        """The line below the photograph, as a screen reader reads it."""
        return self.page.locator(".status").inner_text()

    def change(self, **props: Any) -> None:
        """Set properties, as Python does."""
        self.page.evaluate("change", props)

    def point_with(self, boxes: list[list[Box]]) -> None:
        """Let presses take `boxes`, a grid of rows."""
        self.change(grid=packed(np.array(boxes, dtype=np.float32), SIZE))

    def answer(self, *boxes: Box, outline: Any = None) -> None:
        """Answer the last press with what there is at its points."""
        points = self.told[-1][1]["points"]
        self.change(pointed={"points": points, "found": [{"box": box, "outline": outline} for box in boxes]})

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Where a place of the photograph, in its pixels, is seen in the window."""
        photo = self.page.locator(".photo").bounding_box()
        assert photo is not None
        return photo["x"] + x / SIZE[0] * photo["width"], photo["y"] + y / SIZE[1] * photo["height"]

    def under(self, x: float, y: float) -> tuple[float, float]:
        """The place of the photograph, in its pixels, that is seen there in the window."""
        (left, top), (right, bottom) = self.at(0, 0), self.at(*SIZE)
        return (x - left) / (right - left) * SIZE[0], (y - top) / (bottom - top) * SIZE[1]

    def press(self, x: float, y: float, key: str = "") -> None:
        """Press on a place of the photograph with the mouse, a key held down or not."""
        if key:
            self.page.keyboard.down(key)
        self.page.mouse.click(*self.at(x, y))
        if key:
            self.page.keyboard.up(key)

    def drag(self, box: Box, button: Any = "left") -> None:
        """Drag from corner to corner, in pixels of the photograph."""
        x1, y1, x2, y2 = box
        self.page.mouse.move(*self.at(x1, y1))
        end = self.at(x2, y2)
        self.page.mouse.down(button=button)
        self.page.mouse.move(*self.at((x1 + x2) / 2, (y1 + y2) / 2))
        self.page.mouse.move(*end)
        self.page.mouse.up(button=button)

    def drawn(self, selector: str) -> list[Box]:
        """The rectangles drawn over the photograph, in whole pixels of it, measured in the window."""
        left, top = self.at(0, 0)
        right, bottom = self.at(*SIZE)
        scale = SIZE[0] / (right - left), SIZE[1] / (bottom - top)
        places = [one.bounding_box() for one in self.page.locator(f".overlay {selector}").all()]
        return [
            tuple(  # type: ignore[misc]
                round((value - start) * factor)
                for value, start, factor in zip(
                    (place["x"], place["y"], place["x"] + place["width"], place["y"] + place["height"]),
                    (left, top) * 2,
                    scale * 2,
                    strict=True,
                )
            )
            for place in places
            if place
        ]


def show_picker(page: Page) -> Picker:
    """Open the picker in `page`."""
    buffer = io.BytesIO()
    Image.new("RGB", SIZE, (120, 150, 130)).save(buffer, "PNG")
    picker = BoxPicker(
        image="data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode(), width=SIZE[0], height=SIZE[1]
    )
    names = ("image", "width", "height", "views", "regions", "found", "grid", "pointed", "shape")
    props = {"value": None, **{name: picker.props[name] for name in names}}
    scripts = {"props": props, "html": picker.html_template, "js": picker.js_on_load}
    page.set_content(WINDOW % {"css": picker.css_template, **{key: json.dumps(v) for key, v in scripts.items()}})
    return Picker(page)

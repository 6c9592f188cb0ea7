"""Things found on the photograph: what there is at a press, all there are, or those of a name."""

import base64
from collections.abc import Iterator
from typing import Any

import gradio as gr
import numpy as np

from dynrefer.boxes import Box, parse_box
from dynrefer.errors import InputError
from dynrefer.photo import Photo
from dynrefer.pointing import mask_outline
from dynrefer.predictor import Predictor
from dynrefer.proposals import FOUND, check_words, things
from dynrefer.server.programs import on_gpu

from . import panels
from .album import Album, Session
from .contours import MOST, describe_everything, fresh
from .errors import in_words
from .handlers import Values
from .layout import Updates
from .panels import Panel
from .pictures import thumbnails
from .regions_tab import RegionsTab
from .review import told

MOST_CHOICES, MOST_FOUND = 8, 20  # at a press, and of a name
UNKNOWN = {"rows": 0, "columns": 0, "boxes": ""}  # a grid of a model that can point, but only when asked
REGIONS_TAB = "regions"


class Finding:
    """A button for everything and a field for names; what they found is rendered later, above the table."""

    def __init__(self, predictor: Predictor) -> None:
        self.everything = gr.Button("Describe everything", size="sm", scale=0, min_width=150, elem_id="everything")
        self.words = gr.Textbox(
            placeholder="lamp, dog",
            max_lines=1,
            label="Find things by name, for example lamp, dog",
            show_label=False,
            container=False,
            submit_btn="Find",
            visible=predictor.can_find,
            scale=1,
            min_width=180,
            elem_id="find",
        )
        self.found = Panel(live=True, elem_id="found", render=False)
        self.all_found = gr.Button("Describe all of them", size="sm", visible=False, render=False, elem_id="all-found")
        self.boxes = gr.State([])  # what was found last, best first


class FindHandlers:
    """The events of finding, on top of those of the regions."""

    def __init__(self, regions: RegionsTab, finding: Finding, tabs: gr.Tabs) -> None:
        self.regions, self.main, self.finding, self.tabs = regions, regions.main, finding, tabs
        self.pointing = self.main.predictor.can_find
        self._grid, self._propose = on_gpu(self.main.predictor.box_grid), on_gpu(self.main.predictor.propose)
        self.inputs: set[Any] = {*self.main.inputs, finding.words, finding.boxes}
        self.results = [finding.found, finding.all_found, finding.boxes, tabs]
        self.outputs = [*regions.outputs, *self.results]

    @in_words
    def look(self, values: Values) -> Updates:
        """Send the browser the box that a press at each place of a new photograph would take.

        Without a pointing head there is none to be known before the segmenter is asked.
        """
        picker, session = self.main.stage.picker, values[self.main.display.session]
        if not values[self.main.stage.photo]:
            return {picker: gr.skip()}
        key, photo = session.key, self.main.photo(values)
        grid = packed(self._grid(photo).boxes, photo.size) if self.main.predictor.can_find else UNKNOWN
        return {picker: gr.update(grid=grid) if session.key == key else gr.skip()}

    @in_words
    def point(self, values: Values, event: gr.EventData) -> Updates:
        """Tell the browser what there is at the points of a press, [x, y, inside] each, best first."""
        points = told(event, "points")
        if not isinstance(points, list):
            raise InputError("a press must tell its points as a list")
        found = self._propose(self.main.photo(values), points=points, limit=MOST_CHOICES)
        if not found and not self.main.predictor.can_find:
            raise InputError("there is nothing to be found at that place; draw a box around what you mean")
        choices = [
            {"box": list(one.box), "outline": None if one.mask is None else mask_outline(one.mask)} for one in found
        ]
        return {self.main.stage.picker: gr.update(pointed={"points": points, "found": choices})}

    @in_words
    def find(self, values: Values) -> Updates:
        """Show the things that the typed names are true of, best first, or say that there are none.

        No region is shown meanwhile, whose box and views would lie over them.
        """
        names, photo = check_words(values[self.finding.words] or ""), self.main.photo(values)
        found = [one for one in self._propose(photo, words=names, limit=MOST_FOUND) if one.score >= FOUND]
        labels = [f"{max(one.words, key=one.words.__getitem__)} {panels.percent(one.score)}" for one in found]
        pictures = thumbnails(photo, [one.box for one in found])
        rows = list(zip(found, labels, pictures, strict=True))
        outlines = [{"box": list(one.box), "label": label} for one, label, _ in rows]
        return {
            **self._show_none(values, photo, found=outlines),
            self.finding.found: panels.render("found", names=names, rows=rows),
            self.finding.all_found: gr.update(visible=len(found) > 1),
            self.finding.boxes: [list(one.box) for one in found],
            self.tabs: gr.update(selected=REGIONS_TAB),
        }

    @in_words
    def take(self, event: gr.EventData) -> Updates:
        """Hold one of the things found as the box."""
        return {self.main.stage.picker: gr.update(value=parse_box(str(told(event, "box") or "")))}

    def forget(self) -> Updates:
        """Show nothing as found."""
        return {
            self.finding.found: "",
            self.finding.all_found: gr.update(visible=False),
            self.finding.boxes: [],
            self.main.stage.picker: gr.update(found=[]),
        }

    @in_words
    def describe_found(self, values: Values) -> Iterator[Updates]:
        """Describe all that was found, one after another."""
        yield self.forget()
        yield from self.regions.describe(values, values[self.finding.boxes], at_once=1)

    @in_words
    def describe_all(self, values: Values) -> Iterator[Updates]:
        """Describe the things on the photograph, one after another, the most certain ones first."""
        session: Session = values[self.main.display.session]
        photo, table = self.main.photo(values), session.ticket().table
        cleared = self._show_none(values, photo, found=[])
        yield {**self.forget(), **cleared, self.tabs: gr.update(selected=REGIONS_TAB)}
        boxes: list[Box] = []
        for done, total, best in self._everything(photo, values):
            boxes = best
            yield self.regions.progress.count(done, total, "places looked at")
        if session.ticket().table != table:
            yield self.regions.progress.hide()
            return
        new = fresh(boxes, [result.box for result in session.album.results])
        if not new:
            raise InputError("nothing else stands out on this photograph; draw a box yourself")
        yield from self.regions.describe(values, new, at_once=1)

    def _show_none(self, values: Values, photo: Photo, **picker: Any) -> Updates:
        """Show no region; all of them stay in the table."""
        session: Session = values[self.main.display.session]
        session.edit(Album.unselect)
        return self.main.shown(session, photo, values[self.main.choices.tag_threshold], value=None, **picker)

    def things(self, photo: Photo, values: Values) -> list[Box]:
        """The boxes of all that stands out on a photograph, best first."""
        *_, (_, _, boxes) = self._everything(photo, values)
        return boxes

    def _everything(self, photo: Photo, values: Values) -> Iterator[tuple[int, int, list[Box]]]:
        """(done, all, best boxes so far, best first); by contours where the checkpoint proposes none itself."""
        if not self.pointing:
            yield from describe_everything(self.main.refer, photo, self.main.question(values))
            return
        yield 0, 1, []
        yield 1, 1, [one.box for one in things(photo, MOST, self._propose, self.main.refer)]


def packed(boxes: np.ndarray, size: tuple[int, int]) -> dict[str, Any]:
    """Boxes [rows, columns, 4] on a photograph of (width, height) as pointing.js reads them, some kilobytes."""
    shares = np.clip(boxes / np.tile(size, 2), 0, 1)
    content = np.rint(65535 * shares).astype("<u2").tobytes()
    return {"rows": len(boxes), "columns": boxes.shape[1], "boxes": base64.b64encode(content).decode("ascii")}

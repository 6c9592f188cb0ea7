"""Things found on a photograph: what there is at a press, those of a name, all there are, on every photograph."""

import base64
from collections.abc import Iterator
from typing import Any

import gradio as gr
import numpy as np

from dynrefer.boxes import Box, overlaps, parse_box
from dynrefer.errors import InputError
from dynrefer.photo import Photo
from dynrefer.pointing import mask_outline
from dynrefer.predictor import Predictor
from dynrefer.project import PhotoRecord
from dynrefer.proposals import EVERYTHING, FOUND, check_words, things
from dynrefer.server.programs import on_gpu, sentence

from . import panels
from .album import Album, Entry
from .components import Upload, sent_file
from .events import in_words, told
from .handlers import NOT_KEPT, Values, open_upload
from .layout import Updates
from .links import folder_of
from .panels import Panel
from .pictures import thumbnails
from .regions_tab import RegionsTab
from .session import Session

MOST_CHOICES, MOST_FOUND = 8, 20  # at a press, and of a name
SAME, EQUAL = 0.5, 0.999  # overlap from which two boxes mean one thing, and are one but for rounding
UNKNOWN = {"rows": 0, "columns": 0, "boxes": ""}  # a grid of a model that can point, but only when asked
REGIONS_TAB = "regions"


class Finding:
    """A button for everything and a field for names; what they found is rendered later, above the table.

    Neither is there for a model that finds nothing itself.
    """

    def __init__(self, predictor: Predictor) -> None:
        self.everything = gr.Button(
            "Describe everything", size="sm", visible=predictor.can_find, scale=0, min_width=150, elem_id="everything"
        )
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
        yield self.regions.progress.count(0, 1, "places looked at")
        boxes = self._things(photo)
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

    @in_words
    def describe_next(self, values: Values) -> Updates:
        """Describe the folder's next photograph that nothing is known of, or the one of the browser that it sent.

        The browser asks for one after another, see keeper_whole.js, so that the visitor goes on working and can stop at
        any time. A photograph on which anything is known stays as it is, and what was stopped goes on where it was.
        The keeper's `answered` says which `key` it is about, whether anything is `kept` of it by now, or what the
        `error` was, and brings the `record` that the browser is to keep; the regions of the photograph on the page come
        into its table instead.
        """
        session: Session = values[self.main.display.session]
        given, project = values[self.main.stage.keeper] or {}, session.project
        question = self.main.choices.question(values)
        updates: Updates = {}
        if project is not None:
            key = name = next((name for name in project.new if name not in given["passed"]), "")
            if not name:  # another window has described the last one
                return self.stop()
            path = project.photographs[name]
        else:
            key, name = str(given["record"]["key"]), str(given["record"]["image"])
            path = sent_file(given["photo"], NOT_KEPT)
        answered: dict[str, Any] = {"key": key, "kept": False}
        try:
            photo = Photo.open(path) if project else open_upload(Upload(str(path), name))
            boxes = self._things(photo)
            entries = self.main.ask(photo, boxes, question) if boxes else []
            record = PhotoRecord(name, photo.size, tuple(entries))
            if session.file == path if project else session.key == key:
                updates = self._add(values, photo, entries)
                answered["kept"] = bool(session.album.entries)
            elif project is not None:
                project.add(record)
                answered["kept"] = True
            else:
                answered |= {"record": record.to_dict(), "kept": True}
        except Exception as error:  # the others are described all the same
            words = sentence(error, "describe_next")
            answered["error"] = words if name in words else f"{name}: {words}"
        keeper = {**updates.get(self.main.stage.keeper, gr.update()), "folder": folder_of(session)}
        return {**updates, self.main.stage.keeper: {**keeper, "answered": answered}}

    def stop(self) -> Updates:
        """Tell the browser that no answer about a next photograph comes."""
        return {self.main.stage.keeper: gr.update(answered={})}

    def _add(self, values: Values, photo: Photo, entries: list[Entry]) -> Updates:
        """Put answers into the table of the photograph on the page, beside what the visitor described meanwhile."""
        session: Session = values[self.main.display.session]
        ticket, known = session.ticket(), [result.box for result in session.album.results]
        boxes = fresh([entry.answer.box for entry in entries], known)
        session.extend(ticket, [entry for entry in entries if entry.answer.box in boxes])
        return self.main.shown(session, photo, values[self.main.choices.tag_threshold])

    def _things(self, photo: Photo) -> list[Box]:
        """The boxes of all that stands out on a photograph, best first."""
        return [one.box for one in things(photo, EVERYTHING, self._propose, self.main.refer)]


def fresh(boxes: list[Box], known: list[Box]) -> list[Box]:
    """Without boxes that nearly are a known one; exactly a known one stays, for it may be asked about anew."""
    if not boxes or not known:
        return boxes
    nearest = overlaps(np.array(boxes), np.array(known)).max(1).tolist()
    return [box for box, overlap in zip(boxes, nearest, strict=True) if not SAME <= overlap < EQUAL]


def packed(boxes: np.ndarray, size: tuple[int, int]) -> dict[str, Any]:
    """Boxes [rows, columns, 4] on a photograph of (width, height) as pointing.js reads them, some kilobytes."""
    shares = np.clip(boxes / np.tile(size, 2), 0, 1)
    content = np.rint(65535 * shares).astype("<u2").tobytes()
    return {"rows": len(boxes), "columns": boxes.shape[1], "boxes": base64.b64encode(content).decode("ascii")}

"""The main path: photograph, box, answer. Each public method answers one event with updates of components."""

import secrets
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np

from dynrefer.boxes import Box, check_box, overlaps
from dynrefer.errors import InputError
from dynrefer.examples import Example, find_example
from dynrefer.photo import Photo
from dynrefer.pointing import encode_mask, read_prompt
from dynrefer.predictor import Predictor
from dynrefer.question import Question
from dynrefer.server.fetching import within_limit
from dynrefer.server.programs import on_gpu

from . import panels
from .album import Album, Entry, few_tags, opened
from .components import Upload, sent_file
from .events import in_words, told
from .layout import Choices, Display, Stage, Updates
from .links import file_url, folder_of, read_link, read_record
from .pictures import display_url, thumbnails
from .session import Session

Values = dict[Any, Any]
NOT_KEPT = "this browser kept no photograph that can be brought back; please choose it again"
SAME_BOX = 0.9  # overlap from which the bounds of a mask are the box that a press took


class Handlers:
    """The events of one page; `values` are those of the components in `inputs`, as the browser sent them."""

    def __init__(self, predictor: Predictor, stage: Stage, choices: Choices, display: Display) -> None:
        self.predictor, self.stage, self.choices, self.display = predictor, stage, choices, display
        self.refer, self._propose = on_gpu(predictor.refer), on_gpu(predictor.propose)
        # What a question carries, what changes with the photograph, and what a link changes.
        self.inputs: set[Any] = {stage.photo, stage.picker, display.session, *choices.inputs}
        self.photo_outputs = [*display.outputs, stage.photo, stage.upload, stage.work]
        self.link_outputs = [*self.photo_outputs, *choices.inputs, choices.sliders_row]

    @in_words
    def take_photo(self, upload: Upload | None, session: Session) -> Updates:
        """Show an uploaded photograph without a box; a file that is none is told about and taken away again."""
        if upload is None:
            return self.forget_photo(session)
        try:
            photo = open_upload(upload)
        except InputError as error:
            gr.Warning(str(error), title="Please check")
            return self.forget_photo(session)
        session.begin(upload.name, source=file_url(upload.path), size=photo.size)
        return {**self._begun(session, photo), self.stage.photo: gr.skip()}

    @in_words
    def take_example(self, session: Session, event: gr.EventData) -> Updates:
        """Show an example photograph with its box."""
        return self._take_example(session, find_example(told(event, "example")))

    @in_words
    def open_link(self, session: Session, event: gr.EventData) -> Updates:
        """Show example, box and choices of a link."""
        link = read_link(told(event, "query"), self.predictor.num_views)
        return self._take_example(session, link.example, link.box) | self.choices.choose(link.question)

    @in_words
    def open_kept(self, kept: Any, session: Session) -> Updates:
        """Show what the visitor's browser kept: the photograph with its regions, the choices and the box."""
        record = read_record(kept.get("record") if isinstance(kept, dict) else None, self.predictor.num_views)
        name, example = record.photo.image, record.example
        path = str(example.path if example else sent_file(kept.get("photo"), NOT_KEPT))
        photo = open_upload(Upload(path, name))
        album = opened(photo, record.photo.regions, session.least_sure_first, record.selected)
        called, source = (example.name, None) if example else (None, file_url(path))
        file = Path(path) if example else None
        session.begin(name, called, source, record.key, photo.size, album, file=file)
        session.choices = record.choices
        chosen = self.choices.choose(record.choices, answered=album.current is not None)
        return {**self._begun(session, photo), **chosen, self.stage.photo: path}

    @in_words
    def move(self, session: Session, event: gr.EventData) -> Updates:
        """Show another photograph of the folder; one that cannot be opened is told about, and passed by the next step.

        It is the one `to` a name, a `step` away, or, `review` being true, the next to review; with none of these the
        first one that was not wholly reviewed.
        """
        project = session.project
        if project is None:
            raise InputError("this page has no folder; start it with: python app.py --folder FOLDER")
        name = session.go(project, told(event, "to"), told(event, "step"), bool(told(event, "review")))
        path = project.photographs[name]
        try:
            photo = Photo.open(path)
            keep = project.keeping(name, photo.size)  # before the regions are read, which may change meanwhile
            album = opened(photo, project.regions(name), session.least_sure_first)
        except InputError as error:
            return self.forget_photo(session, trouble=str(error))
        session.begin(name, size=photo.size, album=album, keep=keep, file=path)
        return {**self._begun(session, photo), self.stage.photo: str(path)}

    def forget_photo(self, session: Session, trouble: str = "") -> Updates:
        """Ask for a photograph, with everything empty; `trouble` is why the folder's is not shown."""
        session.begin(trouble=trouble)
        return {**self._begun(session, None), self.stage.photo: None}

    @in_words
    def describe(self, values: Values) -> Updates:
        """Describe the box on the photograph; nothing happens as long as one of them is missing."""
        return self._describe(values)

    @in_words
    def describe_drawn(self, values: Values, event: gr.EventData) -> Updates:
        """Describe the box that was drawn; where points or an outline took it, the answer holds these or the mask."""
        outline = told(event, "outline")
        if outline is not None and not isinstance(outline, list):  # a text would name a file
            raise InputError("an outline must be a list of places x, y")
        return self._describe(values, told(event, "points") or None, outline)

    def _describe(self, values: Values, points: Any = None, outline: list[Any] | None = None) -> Updates:
        session: Session = values[self.display.session]
        if not values[self.stage.photo] or not values[self.stage.picker]:
            return {self.display.session: gr.skip()}
        ticket = session.wish()  # first, so that of two boxes drawn in a row the last is shown
        photo, question = self.photo(values), self.choices.question(values)
        box = check_box(values[self.stage.picker], photo.size)
        prompt = read_prompt(photo.size, points=points, mask=outline)
        session.check_room([box])
        session.choices = question
        (entry,) = self.ask(photo, [box], question)
        if prompt:
            mask = prompt.given if outline else self._mask(photo, points, box)
            entry = replace(entry, answer=replace(entry.answer, prompt=prompt.to_dict(), mask=mask))
        if not session.answer(ticket, entry):
            return {self.display.session: gr.skip()}
        current = session.album.current
        is_shown = current is not None and current.answer.box == box
        # Typed corners may have been swapped, or beyond the edge.
        picker = {"value": list(box)} if is_shown and list(values[self.stage.picker]) != list(box) else {}
        return self.shown(session, photo, question.tag_threshold, **picker)

    def _mask(self, photo: Photo, points: Any, box: Box) -> dict[str, Any] | None:
        """The segmenter's mask that a press took: of those at its points the one whose bounds are the box.

        Up to a pixel or two, for a GPU does not add up in the same order every time.
        """
        if self.predictor.segmenter is None:
            return None
        found = [one for one in self._propose(photo, points=points) if one.mask is not None]
        fits = overlaps(np.array([box]), np.array([one.box for one in found]).reshape(-1, 4))[0]
        if not found or fits.max() < SAME_BOX:
            return None
        mask = found[int(fits.argmax())].mask
        assert mask is not None
        return encode_mask(mask)

    @in_words
    def recall(self, values: Values) -> Updates:
        """Show the answer about a box that was described before; where it has gone, describe the box again."""
        session, photo = values[self.display.session], self.photo(values)
        box = check_box(values[self.stage.picker], photo.size)
        places = [place for place, result in enumerate(session.album.results) if result.box == box]
        if not places:
            return self.describe(values)
        session.edit(lambda album: album.select(places[0]))
        return self.shown(session, photo, values[self.choices.tag_threshold])

    @in_words
    def thin_tags(self, session: Session, tag_threshold: object) -> str:
        """The words of the last answer again, at another tag threshold; asks the model nothing."""
        return panels.words(session.album.current, self.choices.threshold(tag_threshold))

    @in_words
    def clear_answer(self, session: Session, tag_threshold: object) -> Updates:
        """Show no answer where there is no box any more."""
        session.edit(Album.unselect)
        return self.shown(session, None, tag_threshold)

    @in_words
    def arrange_sliders(self, mode: object, num_views: object, session: Session) -> Updates:
        """Show one slider a view in manual mode, starting at the views that the last answer took."""
        asked: dict[str, object] = {} if mode == "manual" else {"mode": mode}
        count = self.choices.checked({"num_views": num_views, **asked}).num_views or 1
        taken = session.album.current.result.taken if session.album.current else ()
        updates: Updates = {self.choices.sliders_row: gr.update(visible=mode == "manual")}
        for place, slider in enumerate(self.choices.sliders):
            start: dict[str, Any] = {"value": round(taken[place].t, 2)} if 0 < place < len(taken) else {}
            updates[slider] = gr.update(visible=place < count, **start)
        return updates

    def photo(self, values: Values) -> Photo:
        """The photograph on the page; InputError where there is none, or none any more."""
        session: Session = values[self.display.session]
        upload: Upload | None = values[self.stage.photo]
        if session.file is not None:
            return Photo.open(session.file)
        if not upload:
            raise InputError("there is no photograph yet; choose one first")
        if not Path(upload.path).exists():
            raise InputError(
                "this photograph has left the server, which forgets one after an hour; "
                'press "Another photograph" and bring it back'
            )
        return open_upload(upload)

    def ask(self, photo: Photo, boxes: Sequence[Box], question: Question) -> list[Entry]:
        """Ask the model about boxes; its answers as the table holds them."""
        results = self.refer(photo, boxes=boxes, question=question, tag_threshold=0.0)
        pictures = thumbnails(photo, boxes)
        return [
            Entry(question, few_tags(result), thumbnail=look) for result, look in zip(results, pictures, strict=True)
        ]

    def shown(self, session: Session, photo: Photo | None, tag_threshold: object, **picker: Any) -> Updates:
        """The table's current entry on all panels."""
        return self.display.show(self.predictor, photo, session, self.choices.threshold(tag_threshold), **picker)

    def _take_example(self, session: Session, example: Example, box: list[float] | None = None) -> Updates:
        path = example.path
        photo = Photo.open(path)
        checked = check_box(box or example.box, photo.size)
        session.begin(path.name, example.name, size=photo.size, file=path)  # no upload, which would be forgotten
        return {**self._begun(session, photo, checked), self.stage.photo: str(path)}

    def _begun(self, session: Session, photo: Photo | None, box: Box | None = None) -> Updates:
        width, height = photo.size if photo else (0, 0)
        shown, current = session.key if photo else "", session.album.current
        box = box or (current.result.box if current else None)
        picker: dict[str, Any] = {  # nothing is {}, since `gr.update` passes on no None but the value's
            "value": list(box) if box else None,
            # a fragment of its own, for the next photograph may look the same
            "image": f"{display_url(photo)}#{secrets.token_hex(4)}" if photo else "",
            "width": width,
            "height": height,
            "grid": {},
            "pointed": {},
            "found": [],
        }
        return {
            **self.shown(session, photo, None, **picker),
            self.stage.upload: gr.update(visible=photo is None),
            self.stage.work: gr.update(visible=photo is not None),
            self.stage.keeper: gr.update(record={}, current=shown, folder=folder_of(session)),
        }


def open_upload(upload: Upload) -> Photo:
    """The photograph of an uploaded file; InputError where there is none to be had."""
    return Photo.open(within_limit(Path(upload.path)))

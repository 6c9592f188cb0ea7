"""Every photograph of a project described, one an event, so that the visitor goes on working and can stop at any time.

The browser asks for one after another, see keeper_whole.js. A photograph on which anything is known stays as it is:
so nothing that a person did is changed, and what was stopped goes on where it was.
"""

from pathlib import Path
from typing import Any

import gradio as gr

from dynrefer.photo import Photo
from dynrefer.project import PhotoRecord
from dynrefer.server.programs import sentence

from .album import Entry, Session
from .components import Upload
from .contours import fresh
from .errors import in_words
from .finding import FindHandlers
from .handlers import Values, open_upload
from .layout import Updates
from .links import folder_of


class WholeHandlers:
    """The events of describing a whole project, on top of those of finding."""

    def __init__(self, finder: FindHandlers) -> None:
        self.finder, self.main = finder, finder.main
        self.inputs: set[Any] = {*self.main.inputs, self.main.stage.keeper}

    @in_words
    def describe_next(self, values: Values) -> Updates:
        """Describe the folder's next photograph that nothing is known of, or the one of the browser that it sent.

        The keeper's `answered` says which `key` it is about, whether anything is `kept` of it by now, or what the
        `error` was, and brings the `record` that the browser is to keep; the regions of the photograph on the page come
        into its table instead.
        """
        session: Session = values[self.main.display.session]
        given, project, question = values[self.main.stage.keeper] or {}, session.project, self.main.question(values)
        updates: Updates = {}
        if project is not None:
            key = name = next((name for name in project.new if name not in given["passed"]), "")
            if not name:  # another window has described the last one
                return self.stop()
            path = project.photographs[name]
        else:
            key, name = str(given["record"]["key"]), str(given["record"]["image"])
            path = Path(self.main.sent_again(given["photo"]))
        answered: dict[str, Any] = {"key": key, "kept": False}
        try:
            photo = Photo.open(path) if project else open_upload(Upload(str(path), name))
            boxes = self.finder.things(photo, values)
            entries = self.main.ask(photo, boxes, question) if boxes else []
            record = PhotoRecord(name, photo.size, tuple(entries))
            if session.file == path if project else session.key == key:
                updates = self._show(values, photo, entries)
                answered["kept"] = bool(session.album.entries)
            elif project is not None:
                project.add(record)
                answered["kept"] = True
            else:
                answered |= {"record": record.to_dict(), "kept": True}
        except Exception as error:  # the others are described all the same
            told = sentence(error, "describe_next")
            answered["error"] = told if name in told else f"{name}: {told}"
        keeper = {**updates.get(self.main.stage.keeper, gr.update()), "folder": folder_of(session)}
        return {**updates, self.main.stage.keeper: {**keeper, "answered": answered}}

    def stop(self) -> Updates:
        """Tell the browser that no answer comes."""
        return {self.main.stage.keeper: gr.update(answered={})}

    def _show(self, values: Values, photo: Photo, entries: list[Entry]) -> Updates:
        """Put answers into the table of the photograph on the page, beside what the visitor described meanwhile."""
        session: Session = values[self.main.display.session]
        ticket, known = session.ticket(), [result.box for result in session.album.results]
        boxes = fresh([entry.answer.box for entry in entries], known)
        session.extend(ticket, [entry for entry in entries if entry.answer.box in boxes])
        return self.main.shown(session, photo, values[self.main.choices.tag_threshold])

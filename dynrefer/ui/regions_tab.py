"""The tab of many regions: table and review, boxes from a file or pasted, downloads."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import gradio as gr

from dynrefer.boxes import Box, check_boxes, has_only_numbers, parse_boxes
from dynrefer.errors import InputError, shown
from dynrefer.formats.box_files import BoxFile, PhotoBoxes
from dynrefer.formats.file import ENDINGS
from dynrefer.photo import Photo
from dynrefer.project import PhotoRecord, export, parse_project, words_in
from dynrefer.results import Words, clean_words
from dynrefer.vocabulary import Vocabulary

from .events import in_words, told
from .handlers import Handlers, Values
from .layout import Updates
from .panels import Progress
from .pictures import choices, download
from .session import Session

BATCH = 4  # regions until the table is shown again; who asks meanwhile is let in by the Predictor
NO_WORDS: Mapping[Box, Words] = {}
BOX_FILES = [*sorted(ENDINGS), ".zip"]
SAVE_IN_BROWSER = (
    "(file) => { const link = document.createElement('a');"
    " link.href = file.url; link.download = file.name; link.click(); }"
)


class RegionsTab:
    """The tab around the table, which is part of the display, and its events on top of those of the main path."""

    def __init__(self, main: Handlers) -> None:
        self.main, self.display = main, main.display
        with gr.Row(elem_classes="dr-buttons"):
            self.box_file = gr.UploadButton(
                "Boxes from a file", size="sm", min_width=140, file_types=BOX_FILES, elem_id="box-file"
            )
            self.again = gr.Button("Ask again", size="sm", min_width=100, elem_id="ask-again")
            self.clear_all = gr.Button("Clear all", size="sm", min_width=100, elem_id="clear-all")
            self.progress = Progress("progress", "stop")
        self.progress.panel.render()
        self.display.table.render()
        with gr.Row(elem_classes="dr-buttons"):
            self.save_as = gr.Dropdown(choices(), value="json", label="Save as", min_width=180, elem_id="save-as")
            self.save_shown = gr.Button("Save", size="sm", min_width=80, elem_id="save")
        with gr.Accordion("Paste boxes", open=False, elem_id="paste"):
            self.pasted = gr.Textbox(
                label="Boxes: one a line as x1 y1 x2 y2, or JSON, or CSV", lines=3, max_lines=8, elem_id="pasted"
            )
            self.use_pasted = gr.Button("Describe these boxes", size="sm", elem_id="use-pasted")
        self.saved = gr.JSON(visible=False)
        self.outputs = [*self.display.outputs, *self.progress.parts]

    @in_words
    def press(self, values: Values, event: gr.EventData) -> Updates:
        """Do what a button of table, answer or words says: show, delete, review, correct, take back."""
        session, photo = values[self.display.session], self.main.photo(values)
        act(session, event, self.main.predictor.vocabulary)
        current = session.album.current
        box = list(current.result.box) if current else None
        updates = self.main.shown(session, photo, values[self.main.choices.tag_threshold], value=box)
        if told(event, "review") and session.album.next_open() is None:
            finished = {"number": session.ticket().wish, "doubt": session.least_sure_first}
            updates[self.main.stage.keeper] |= {"finished": finished}
        return updates

    @in_words
    def describe_file(self, values: Values) -> Iterator[Updates]:
        """Describe the boxes of an uploaded file."""
        path = values[self.box_file]
        if path:
            yield from self._describe_source(values, BoxFile.read(path))

    @in_words
    def describe_pasted(self, values: Values) -> Iterator[Updates]:
        """Describe pasted boxes: lines of four numbers, JSON or CSV."""
        text = str(values[self.pasted] or "").strip()
        if not text or has_only_numbers(text):
            file = BoxFile("the pasted text", [PhotoBoxes.typed(parse_boxes(text))])
        else:
            file = BoxFile.parse(text, "the pasted text")
        yield from self._describe_source(values, file)

    @in_words
    def ask_again(self, values: Values) -> Iterator[Updates]:
        """Describe the regions of the table anew; what was accepted, and what a person said, stays."""
        session: Session = values[self.display.session]
        boxes = [entry.answer.box for entry in session.album.entries if entry.status != "accepted"]
        if not boxes:
            raise InputError("there is no region to ask about again; accepted ones stay as they are")
        yield from self.describe(values, boxes)

    @in_words
    def save(self, values: Values) -> dict[str, str]:
        """The regions as a file of the chosen kind, for SAVE_IN_BROWSER; says what that kind cannot hold."""
        session, photo = values[self.display.session], self.main.photo(values)
        shown = PhotoRecord(session.name or "photograph", photo.size, session.album.entries)
        return self._saved(values, [shown], Path(shown.image).stem, photo)

    @in_words
    def save_all(self, values: Values) -> dict[str, str]:
        """What `save` gives, of all photographs: of the folder, or those that the browser sent."""
        session: Session = values[self.display.session]
        if session.project is not None:
            return self._saved(values, list(session.project.records.values()), session.project.folder.name)
        given = values[self.main.stage.keeper]
        lines = given.get("lines") if isinstance(given, dict) else None
        return self._saved(values, parse_project(str(lines or ""), "what this browser kept"), "photographs")

    def _saved(
        self, values: Values, photographs: Iterable[PhotoRecord], stem: str, photo: Photo | None = None
    ) -> dict[str, str]:
        threshold = self.main.choices.threshold(values[self.main.choices.tag_threshold])
        file = download(str(values[self.save_as]), export(photographs, threshold), stem, photo)
        if file["note"]:
            gr.Info(file["note"])
        return file

    @in_words
    def clear(self, values: Values) -> Updates:
        """Empty the table, which can be brought back once; what is being described for it ends."""
        session: Session = values[self.display.session]
        session.clear()
        threshold = values[self.main.choices.tag_threshold]
        return {**self.main.shown(session, None, threshold, value=None), **self.progress.hide()}

    def _describe_source(self, values: Values, file: BoxFile) -> Iterator[Updates]:
        """Describe what a file has for this photograph; says what it had to change, and what it leaves out."""
        session: Session = values[self.display.session]
        photo = replace(self.main.photo(values), name=session.name)
        found, left_out = file.of(session.name).fit(photo, say=gr.Info)
        if not found:
            raise InputError(f"{file.name} has no box that can be used: {left_out[0]}")
        if left_out:
            gr.Warning(f"{len(left_out)} left out of {file.name}: {left_out[0]}", title="Please check")
        words = {given.box: words_in(given) for given in found}
        yield from self.describe(values, list(words), words=words)

    def describe(
        self, values: Values, boxes: Sequence[object], at_once: int = BATCH, words: Mapping[Box, Words] = NO_WORDS
    ) -> Iterator[Updates]:
        """Describe `boxes` with the page's choices, `at_once` of them until the table is shown again, as it is by then.

        Ends where the table was cleared or its photograph has gone. `words` are what a person said of them already.
        """
        session: Session = values[self.display.session]
        photo, question = self.main.photo(values), self.main.choices.question(values)
        valid = check_boxes(list(boxes), photo.size)
        session.check_room(valid)
        session.choices, ticket = question, session.ticket()
        yield self.progress.count(0, len(valid), "regions described")
        for start in range(0, len(valid), at_once):
            if session.ticket().table != ticket.table:
                break
            answers = self.main.ask(photo, valid[start : start + at_once], question)
            if not session.extend(ticket, [replace(one, words=words.get(one.answer.box, Words())) for one in answers]):
                break
            done = self.progress.count(start + len(answers), len(valid), "regions described")
            yield self.main.shown(session, photo, values[self.main.choices.tag_threshold]) | done
        yield self.progress.hide()


def act(session: Session, event: gr.EventData, vocabulary: Vocabulary) -> None:
    """Do what a pressed button of table or answer says, see their templates. Raises InputError.

    `data-select` and `data-remove` name a region of the table, `data-review` the status that the one shown gets, and
    `data-say` what a person says of it: caption or name as `data-value` (empty: the model's again), or tag or attribute
    that is so (`data-so` true), is not (false), or is left to the model again (empty).
    """
    removed, selected = told(event, "remove"), told(event, "select")
    status, what = told(event, "review"), told(event, "say")
    if told(event, "undo") is not None:
        session.undo()
    elif told(event, "sort") is not None:
        session.least_sure_first = not session.least_sure_first
    elif status in ("accepted", "rejected"):
        session.edit(lambda album: album.review(status, session.least_sure_first))
    elif what is not None:
        value, so = told(event, "value"), told(event, "so")
        session.edit(lambda album: album.say(lambda words: corrected(words, what, value, so, vocabulary)))
    elif removed is not None:
        session.edit(lambda album: album.remove(removed))
    else:
        session.edit(lambda album: album.select(selected))


def corrected(words: Words, what: object, value: object, so: object, vocabulary: Vocabulary) -> Words:
    """`words` with one more thing said, see `act`. Raises InputError where it cannot be."""
    if what in ("caption", "name"):
        text = clean_words(value, str(what)) if value else None
        return replace(words, caption=text) if what == "caption" else replace(words, name=text)
    if what == "tag":
        return replace(words, tags=_say(words.tags, clean_words(value, "tag").lower(), so))
    if what == "attribute":
        return replace(words, attributes=_say(words.attributes, find_attribute(value, vocabulary), so))
    raise InputError("a person can correct caption, name, tag and attribute of a region")


def find_attribute(text: object, vocabulary: Vocabulary) -> str:
    """ "color:red" for "color: red" or "red"; of an attribute that the model does not know, with its type.

    Raises InputError where no type can be told.
    """
    kind, colon, name = clean_words(text, "attribute").partition(":")
    if colon and kind.strip() and name.strip():
        return f"{kind.strip()}:{name.strip()}"
    known = next((word for word in vocabulary.attributes if word.name == kind.lower()), None)
    if known is None:
        raise InputError(f'"{shown(text)}" is no attribute of the list; write it with its type, as in "color: teal"')
    return f"{known.type}:{known.name}"


def _say(said: Mapping[str, bool], key: str, so: object) -> dict[str, bool]:
    rest = {name: is_so for name, is_so in said.items() if name != key}
    return {**rest, key: so == "true"} if so else rest

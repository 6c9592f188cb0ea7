"""The main path: photograph, box, answer. Each public method answers one event with updates of components."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import gradio as gr

from dynrefer.errors import InputError

from . import rendering
from .album import Album, Entry
from .asker import Asker
from .compute import in_words
from .display import Display, Updates
from .files import EXAMPLES, read_examples
from .layout import Choices, Stage
from .photo import Photo, open_photo
from .settings import Settings

Values = dict[Any, Any]
MOST_OWN_CLASSES = 12


class Handlers:
    """The events of one page; `values` are those of the components in `inputs`, as the browser sent them."""

    def __init__(self, asker: Asker, stage: Stage, choices: Choices, display: Display) -> None:
        self.asker, self.stage, self.choices, self.display = asker, stage, choices, display

    @property
    def inputs(self) -> set[Any]:
        """The components whose values a question carries."""
        return {self.stage.photo, self.stage.picker, self.display.album, *self.choices.inputs}

    @property
    def photo_outputs(self) -> list[Any]:
        """The components that change with the photograph."""
        return [*self.display.outputs, self.stage.photo, self.stage.upload, self.stage.work]

    @in_words
    def take_photo(self, path: str | None) -> Updates:
        """Show the photograph at `path` without a box; a file that is none is told about and taken away again."""
        try:
            return {**self._begin(path, None), self.stage.photo: gr.skip()}
        except InputError as error:
            gr.Warning(str(error), title="Please check")
            return self.forget_photo()

    @in_words
    def take_example(self, event: gr.EventData) -> Updates:
        """Show an example photograph with its box."""
        examples = read_examples()
        place = str(event._data.get("example"))
        if not place.isdecimal() or int(place) >= len(examples):
            raise InputError("there is no such example; choose one of those shown")
        example = examples[int(place)]
        path = str(EXAMPLES / example["file"])
        return {**self._begin(path, example["box"]), self.stage.photo: path}

    def forget_photo(self) -> Updates:
        """Ask for a photograph, with everything empty."""
        return {**self._begin(None, None), self.stage.photo: None}

    @in_words
    def describe(self, values: Values) -> Iterator[Updates]:
        """Describe the box on the photograph; nothing happens as long as one of them is missing.

        First comes all but the caption, then its words as they are written; only the whole answer is kept.
        """
        path, box = values[self.stage.photo], values[self.stage.picker]
        if not path or not box:
            yield {self.display.album: gr.skip()}
            return
        photo, settings = open_photo(path), self.settings(values)
        begun = False
        for result, words in self.asker.stream(photo, box, replace(settings, tag_threshold=0.0)):
            if begun and result.caption is None:
                yield {self.display.answer: rendering.answer(result, words)}
                continue
            begun = True
            entry = Entry(settings, result, photo.thumbnails([result.box])[0])
            updates = self.shown(photo, values[self.display.album].add(entry), settings.tag_threshold)
            waiting = self.display.kept if result.caption is None else ()
            yield {panel: update for panel, update in updates.items() if panel not in waiting}

    @in_words
    def thin_tags(self, album: Album, tag_threshold: object) -> str:
        """The words of the last answer again, at another tag threshold; asks the model nothing."""
        result = album.current.result if album.current else None
        return rendering.words(result, self.asker.threshold(tag_threshold))

    @in_words
    def clear_answer(self, album: Album, tag_threshold: object) -> Updates:
        """Show no answer where there is no box any more."""
        return self.shown(None, album.unselect(), tag_threshold)

    @in_words
    def arrange_sliders(self, mode: object, num_views: object, album: Album) -> Updates:
        """Show one slider a view in manual mode, starting at the views that the last answer took."""
        settings = self.asker.settings({"mode": mode, "num_views": num_views})
        views = album.current.result.views if album.current else ()
        taken = sorted((view for view in views if view.rank is not None), key=lambda view: view.rank or 0)
        updates: Updates = {self.choices.sliders_row: gr.update(visible=settings.mode == "manual")}
        for place, slider in enumerate(self.choices.sliders):
            start: dict[str, Any] = {"value": round(taken[place].t, 2)} if 0 < place < len(taken) else {}
            updates[slider] = gr.update(visible=place < (settings.num_views or 1), **start)
        return updates

    def settings(self, values: Values) -> Settings:
        """What the page's choices ask for, checked; the tag threshold is always set."""
        choices = self.choices
        options = {
            "mode": values[choices.mode],
            "num_views": values[choices.num_views],
            "classes": values[choices.classes],
            "controls": values[choices.controls],
            "num_beams": values[choices.num_beams],
            "max_new_tokens": values[choices.max_new_tokens],
            "tag_threshold": self.asker.threshold(values[choices.tag_threshold]),
        }
        settings = self.asker.settings(options)
        if settings.classes:
            options["top_classes"] = min(len(settings.classes), MOST_OWN_CLASSES)
        if settings.mode == "manual":
            sliders = [values[slider] for slider in choices.sliders[: settings.num_views]]
            options["coefficients"] = [0.0, *sliders[1:]]
        return self.asker.settings(options)

    def shown(self, photo: Photo | None, album: Album, tag_threshold: object, **picker: Any) -> Updates:
        """The album's current entry on all panels."""
        return self.display.show(self.asker.predictor, photo, album, self.asker.threshold(tag_threshold), **picker)

    def _begin(self, path: str | None, box: list[float] | None) -> Updates:
        photo = open_photo(path) if path else None
        width, height = photo.size if photo else (0, 0)
        picker = {"value": box, "image": photo.url if photo else "", "width": width, "height": height}
        return {
            **self.shown(photo, Album(), None, **picker),
            self.stage.upload: gr.update(visible=photo is None),
            self.stage.work: gr.update(visible=photo is not None),
        }

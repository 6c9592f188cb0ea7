"""The main path: photograph, box, answer. Each public method answers one event with updates of components."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import gradio as gr

from dynrefer.boxes import check_box
from dynrefer.errors import InputError
from dynrefer.results import RegionResult

from . import rendering
from .album import Album, Entry
from .asker import Asker
from .compute import in_words
from .display import Display, Updates
from .files import EXAMPLES, Example, read_examples
from .keeper import save_kept
from .layout import Choices, Stage
from .links import name_of, read_link, write_link
from .photo import Photo, open_photo
from .settings import USUAL_BEAMS, USUAL_LENGTH, Settings

Values = dict[Any, Any]
MOST_OWN_CLASSES = 12


class Handlers:
    """The events of one page; `values` are those of the components in `inputs`, as the browser sent them."""

    def __init__(self, asker: Asker, stage: Stage, choices: Choices, display: Display) -> None:
        self.asker, self.stage, self.choices, self.display = asker, stage, choices, display

    @property
    def inputs(self) -> set[Any]:
        """The components whose values a question carries."""
        stage = self.stage
        return {stage.photo, stage.picker, stage.example, self.display.album, *self.choices.inputs}

    @property
    def photo_outputs(self) -> list[Any]:
        """The components that change with the photograph."""
        stage = self.stage
        return [*self.display.outputs, stage.photo, stage.upload, stage.work, stage.example]

    @property
    def link_outputs(self) -> list[Any]:
        """The components that a link changes."""
        return [*self.photo_outputs, *self.choices.inputs, self.choices.sliders_row]

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
        return self._begin_example(examples[int(place)], None)

    @in_words
    def open_link(self, event: gr.EventData) -> Updates:
        """Show photograph, box and choices of a link, or of what the visitor's browser kept."""
        link = read_link(event._data.get("query"), self.asker.predictor.num_views)
        chosen = self.choices.choose(link.settings)
        if link.example:
            return self._begin_example(link.example, link.box) | chosen
        path = save_kept(event._data.get("image"), self.stage.photo.GRADIO_CACHE)
        return {**self._begin(path, link.box), **chosen, self.stage.photo: path}

    def forget_photo(self) -> Updates:
        """Ask for a photograph, with everything empty."""
        return {**self._begin(None, None), self.stage.photo: None}

    @in_words
    def describe(self, values: Values) -> Updates:
        """Describe the box on the photograph; nothing happens as long as one of them is missing."""
        path, box = values[self.stage.photo], values[self.stage.picker]
        if not path or not box:
            return {self.display.album: gr.skip()}
        photo, settings = open_photo(path), self.settings(values)
        result = self.asker.region(photo, box, replace(settings, tag_threshold=0.0))
        (entry,) = self.entries(values, photo, settings, [result])
        return self.shown(photo, values[self.display.album].add(entry), settings.tag_threshold)

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

    def entries(self, values: Values, photo: Photo, settings: Settings, results: Sequence[RegionResult]) -> list[Entry]:
        """Results as the album holds them; a photograph that is no example has links to its display copy."""
        example, predictor = values[self.stage.example], self.asker.predictor
        scale = 1.0 if example else photo.display.shape[1] / photo.size[0]
        usual = Settings(
            mode=predictor.default_mode,
            num_views=predictor.num_views,
            num_beams=USUAL_BEAMS,
            max_new_tokens=USUAL_LENGTH,
        )
        thumbnails = photo.thumbnails([result.box for result in results])
        links = [write_link(example, [scale * x for x in result.box], settings, usual) for result in results]
        return [Entry(settings, *parts) for parts in zip(results, thumbnails, links, strict=True)]

    def shown(self, photo: Photo | None, album: Album, tag_threshold: object, **picker: Any) -> Updates:
        """The album's current entry on all panels."""
        return self.display.show(self.asker.predictor, photo, album, self.asker.threshold(tag_threshold), **picker)

    def _begin_example(self, example: Example, box: list[float] | None) -> Updates:
        path = str(EXAMPLES / example["file"])
        return {**self._begin(path, box or example["box"], name_of(example)), self.stage.photo: path}

    def _begin(self, path: str | None, box: list[float] | None, example: str | None = None) -> Updates:
        photo = open_photo(path) if path else None
        width, height = photo.size if photo else (0, 0)
        box = list(check_box(box, (width, height))) if box else None
        picker = {"value": box, "image": photo.url if photo else "", "width": width, "height": height}
        return {
            **self.shown(photo, Album(), None, **picker),
            self.stage.upload: gr.update(visible=photo is None),
            self.stage.work: gr.update(visible=photo is not None),
            self.stage.example: example,
            self.display.keeper: gr.update(query="", offering=photo is None),
        }

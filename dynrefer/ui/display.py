"""The panels that show an answer; all of them follow the album."""

from dataclasses import dataclass
from typing import Any

import gradio as gr

from dynrefer.predictor import Predictor

from . import rendering
from .album import Album
from .box_picker import BoxPicker
from .files import read
from .keeper import Keeper
from .photo import Photo

Updates = dict[Any, Any]


class Panel(gr.HTML):
    """HTML rendered on the server; its buttons copy, or raise the event `pressed` with their data attributes.

    With `live=True` screen readers read out what comes in.
    """

    def __init__(self, value: str = "", **kwargs: Any) -> None:
        super().__init__(value, **{"js_on_load": read("panels.js"), "apply_default_css": False, **kwargs})


@dataclass(frozen=True)
class Display:
    """Everything that changes with an answer, and is emptied when there is none."""

    picker: BoxPicker
    views: Panel
    answer: Panel
    words: Panel
    tag_threshold: gr.Slider
    table: Panel
    gains: Panel
    status: Panel
    album: gr.State
    keeper: Keeper

    @property
    def outputs(self) -> list[Any]:
        """The components that `show` updates."""
        words = [self.answer, self.words, self.tag_threshold]
        return [self.picker, self.views, *words, self.gains, *self.kept]

    @property
    def kept(self) -> list[Any]:
        """Those of the outputs that wait for the whole answer."""
        return [self.table, self.status, self.album, self.keeper]

    def show(
        self, predictor: Predictor, photo: Photo | None, album: Album, tag_threshold: float, **picker: Any
    ) -> Updates:
        """Updates that show the album's current entry on `photo`; `picker` are further properties of the box picker."""
        result, link = (album.current.result, album.current.link) if album.current else (None, "")
        return {
            self.picker: gr.update(
                views=rendering.rectangles(result) if result else [], regions=rendering.outlines(album), **picker
            ),
            self.views: rendering.views(photo, result) if photo and result else "",
            self.answer: rendering.answer(result, link=link),
            self.words: rendering.words(result, tag_threshold),
            self.tag_threshold: gr.update(visible=result is not None),
            self.table: rendering.table(album),
            self.gains: rendering.gains(result),
            self.status: rendering.footer(predictor, result),
            self.album: album,
            self.keeper: gr.update(query=link) if link else gr.skip(),
        }

"""What a press on the photograph takes: the grid that the browser points with, and what there is at a place."""

import base64
from typing import Any

import gradio as gr
import numpy as np

from dynrefer.errors import InputError
from dynrefer.pointing import mask_outline
from dynrefer.server.programs import on_gpu

from .errors import in_words
from .handlers import Handlers, Values
from .layout import Updates
from .review import told

MOST_CHOICES = 8
UNKNOWN = {"rows": 0, "columns": 0, "boxes": ""}  # a grid of a model that can point, but only when asked


class PressHandlers:
    """The events of pointing, on top of those of the main path."""

    def __init__(self, main: Handlers) -> None:
        self.main = main
        self._grid, self._propose = on_gpu(main.predictor.box_grid), on_gpu(main.predictor.propose)

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


def packed(boxes: np.ndarray, size: tuple[int, int]) -> dict[str, Any]:
    """Boxes [rows, columns, 4] on a photograph of (width, height) as pointing.js reads them, some kilobytes."""
    shares = np.clip(boxes / np.tile(size, 2), 0, 1)
    content = np.rint(65535 * shares).astype("<u2").tobytes()
    return {"rows": len(boxes), "columns": boxes.shape[1], "boxes": base64.b64encode(content).decode("ascii")}

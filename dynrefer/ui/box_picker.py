"""A component on which a person points at a thing or draws a box around it, by mouse, touch or keyboard."""

from __future__ import annotations

from typing import Any

import gradio as gr

from .style import read

# Read as one function, in this order; "main" comes last, for it begins.
SCRIPTS = ("geometry", "viewport", "pointing", "history", "overlay", "gestures", "controls", "main")


class BoxPicker(gr.HTML):
    """Shows a photograph and holds one box `[x1, y1, x2, y2]` in the original photograph's pixels, or None.

    Properties besides the value: `image` (URL of a display copy), `width` and `height` (of the original, in pixels),
    `views` (`{"key", "box", "colour", "label", "chosen"}` each), `regions` and `found` (`{"box", "label"}` each), drawn
    over the photograph in the same coordinates; `shape` (`{"box", "outline"}`), the mask of what was described in that
    box; `grid` and `pointed`, see `pressing.py`.
    Events: `box_drawn`, `box_cleared`, `box_recalled`, `pointed` and `photo_changed`.
    """

    def __init__(self, value: list[float] | None = None, **kwargs: Any) -> None:
        files = {
            "html_template": read("picker/picker.html"),
            "css_template": read("picker/picker.css"),
            "js_on_load": "\n".join(read(f"picker/{script}.js") for script in SCRIPTS),
        }
        photo = {"image": "", "width": 0, "height": 0, "grid": {}, "pointed": {}, "shape": {}}
        drawn: dict[str, Any] = {"views": [], "regions": [], "found": []}
        super().__init__(value, **{**files, **photo, **drawn, "apply_default_css": False, **kwargs})

    def api_info(self) -> dict[str, Any]:
        """The JSON schema of the value."""
        return {
            "type": "array",
            "items": {"type": "number"},
            "description": "x1, y1, x2, y2 in pixels of the upright photograph",
        }

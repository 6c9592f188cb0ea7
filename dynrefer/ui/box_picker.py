"""A component on which a person draws one box on a photograph, by mouse, touch or keyboard."""

from __future__ import annotations

from typing import Any

import gradio as gr

from .style import component_files


class BoxPicker(gr.HTML):
    """Shows a photograph and holds one box `[x1, y1, x2, y2]` in the original photograph's pixels, or None.

    Properties besides the value: `image` (URL of a display copy), `width` and `height` (of the original, in pixels),
    `views` (`{"key", "box", "colour", "label", "chosen"}` each) and `regions` (`{"box", "label"}` each), drawn over the
    photograph in the same coordinates. Events: `box_drawn` and `box_cleared`.
    """

    def __init__(self, value: list[float] | None = None, **kwargs: Any) -> None:
        defaults = {"image": "", "width": 0, "height": 0, "views": [], "regions": [], "apply_default_css": False}
        super().__init__(value, **{**component_files("box_picker"), **defaults, **kwargs})

    def api_info(self) -> dict[str, Any]:
        """The JSON schema of the value."""
        return {
            "type": "array",
            "items": {"type": "number"},
            "description": "x1, y1, x2, y2 in pixels of the upright photograph",
        }

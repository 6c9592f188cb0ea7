"""Where a photograph comes in."""

from typing import Any

import gradio as gr


class PhotoInput(gr.Image):
    """`gr.Image` that hands over the path of the file just as it was uploaded, or None.

    Gradio has checked that the path lies in its upload folder. Opening the file is ours, for it knows about rotation,
    transparency and size limits, and tells a person what is wrong with a bad one.
    """

    is_template = True  # the browser shows it as a plain image component

    def preprocess(self, payload: Any) -> str | None:
        """The path of the uploaded file."""
        return payload.path if payload else None

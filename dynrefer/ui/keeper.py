"""What was asked last comes back: from the visitor's own browser, or by a link."""

import base64
import binascii
from typing import Any

import gradio as gr
from gradio.processing_utils import save_bytes_to_cache

from dynrefer.errors import InputError
from dynrefer.photo import Photo

from .files import component_files

LARGEST = 8_000_000  # characters; browsers keep no more than about 5 million


class Keeper(gr.HTML):
    """Keeps the photograph's display copy and the question's `query` (see `links`) in the browser, and offers them.

    The query is "" while nothing was answered; the offer is made while `offering`. Event: `opened`, by the offer or by
    the page's own link, with `query` and `image`.
    """

    def __init__(self, **kwargs: Any) -> None:
        defaults = {"query": "", "offering": True, "apply_default_css": False}
        super().__init__(**{**component_files("keeper"), **defaults, **kwargs})


def save_kept(image: object, folder: str) -> str:
    """Write a photograph that a browser kept, a data URL, to a file below `folder`; InputError where it is none."""
    if not isinstance(image, str) or not image.startswith("data:image/") or len(image) > LARGEST:
        raise InputError("this browser kept no photograph that can be brought back; please choose it again")
    try:
        content = base64.b64decode(image.partition(",")[2], validate=True)
    except binascii.Error as error:
        raise InputError("the photograph that this browser kept is damaged; please choose it again") from error
    Photo.read(content)
    return save_bytes_to_cache(content, "photograph.jpg", folder)

"""The page's own components: where one points and draws, what the browser keeps, the upload; and how it all looks."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import gradio as gr

from dynrefer.errors import InputError

FOLDER = Path(__file__).parent
# Read as one function, in this order; "main" comes last, for it begins.
SCRIPTS = ("geometry", "viewport", "pointing", "history", "overlay", "gestures", "controls", "main")

# Only fonts that the visitor's machine has: no request leaves for another host.
THEME = gr.themes.Default(
    primary_hue="indigo",
    neutral_hue="slate",
    font=["ui-sans-serif", "system-ui", "sans-serif"],
    font_mono=["ui-monospace", "monospace"],
    spacing_size="sm",
    radius_size="md",
).set(
    body_text_color_subdued="*neutral_600",
    body_text_color_subdued_dark="*neutral_400",
    block_label_text_color="*neutral_600",
    block_title_text_color="*neutral_700",
)


def read(name: str) -> str:
    """The text of a file beside the page's code; a package without it is broken, and the page does not start."""
    return (FOLDER / name).read_text(encoding="utf-8")


def _files(name: str, scripts: Iterable[str]) -> dict[str, str]:
    """The arguments of `gr.HTML` for a component with the files `name.html` and `name.css`, and some scripts."""
    return {
        "html_template": read(f"{name}.html"),
        "css_template": read(f"{name}.css"),
        "js_on_load": "\n".join(map(read, scripts)),
    }


class BoxPicker(gr.HTML):
    """Shows a photograph and holds one box `[x1, y1, x2, y2]` in the original photograph's pixels, or None.

    Properties besides the value: `image` (URL of a display copy, another one even if the same photograph comes again),
    `width` and `height` (of the original, in pixels), `views` (`{"key", "box", "colour", "label", "chosen"}` each),
    `regions` and `found` (`{"box", "label"}` each), drawn over the photograph in the same coordinates; `shape`
    (`{"box", "outline"}`), the mask of what was described in that box; `grid` and `pointed`, see `finding.py`.
    Events: `box_drawn`, `box_cleared`, `box_recalled`, `pointed` and `photo_changed`.
    """

    def __init__(self, value: list[float] | None = None, **kwargs: Any) -> None:
        files = _files("picker/picker", [f"picker/{script}.js" for script in SCRIPTS])
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


class Keeper(gr.HTML):
    """Keeps photographs with their tables in the browser and offers them; opens the page's own links.

    Properties: `record` (of `links.record_of`, or {}), `current` (what the photograph shown is kept under, or ""),
    `folder` (of `links.folder_of`, or None), `finds` (whether the model finds things by itself), `answered` (see
    `FindHandlers.describe_next`) and `finished` (`number` and `doubt`: every region shown was reviewed, and whether the
    greatest doubt comes first). Events: `link_opened` with `query`; `kept_opened`, by which the value holds `photo` and
    `record`; `moved` to another photograph of the folder, see `Handlers.move`; `wanted`, see
    `FindHandlers.describe_next`; and `saving` all, by which the value holds the `lines` of the project.

    `gr.BrowserState` would not do: it sends all that is kept with every visit, holds no photograph of some megabytes,
    and says nothing when it is full.
    """

    def __init__(self, **kwargs: Any) -> None:
        none: dict[str, Any] = {"record": {}, "current": "", "folder": None, "finds": True}
        none |= {"answered": {}, "finished": {}}
        files = _files("keeper", ["keeper_store.js", "keeper_whole.js", "keeper.js"])
        super().__init__(**{**files, **none, "apply_default_css": False, **kwargs})


class Slider(gr.Slider):
    """`gr.Slider` that takes what is typed beyond its ends as the end, and nothing as the lower one.

    So the browser shows it a moment later. Gradio's own refuses it, and the answer to something else stays beside it.
    """

    is_template = True  # the browser shows it as a plain slider

    def preprocess(self, payload: Any) -> float:
        """The number within both ends."""
        number = payload if isinstance(payload, int | float) else self.minimum
        return super().preprocess(min(max(number, self.minimum), self.maximum))


class Upload(NamedTuple):
    """An uploaded file: where it lies on the server, and what its owner calls it."""

    path: str
    name: str


def sent_file(photo: Any, otherwise: str) -> Path:
    """The file that a client sent with an event; Gradio has checked that its path lies in the upload folder.

    Raises InputError, in the words of `otherwise`, where it is none.
    """
    path = photo.get("path") if isinstance(photo, dict) else None
    if not isinstance(path, str) or photo.get("meta") != {"_type": "gradio.FileData"}:
        raise InputError(otherwise)
    return Path(path)


class PhotoInput(gr.Image):
    """`gr.Image` that hands over an `Upload`, the file just as it was sent, or None.

    Gradio has checked that the path lies in its upload folder. Opening the file is ours, for it knows about rotation,
    transparency and size limits, and tells a person what is wrong with a bad one.
    """

    is_template = True  # the browser shows it as a plain image component

    def preprocess(self, payload: Any) -> Upload | None:  # type: ignore[override]
        """The uploaded file."""
        return Upload(payload.path, payload.orig_name or "photograph") if payload else None

"""The files that lie beside the page's code, and the example photographs."""

import json
from pathlib import Path
from typing import TypedDict

from dynrefer.shipped import shipped

FOLDER = Path(__file__).parent
EXAMPLES = shipped("assets/examples")


class Example(TypedDict):
    """An example photograph in `EXAMPLES`, a box on it, in pixels, and the names that are right for it, best first."""

    file: str
    box: list[float]
    title: str
    about: str
    names: list[str]


def read(name: str) -> str:
    """The text of a file beside the page's code; empty where there is none."""
    path = FOLDER / name
    return path.read_text(encoding="utf-8") if path.exists() else ""


def component_files(name: str) -> dict[str, str]:
    """The arguments of `gr.HTML` for a component whose files are `name.html`, `name.css` and `name.js`."""
    return {
        "html_template": read(f"{name}.html"),
        "css_template": read(f"{name}.css"),
        "js_on_load": read(f"{name}.js"),
    }


def read_examples() -> list[Example]:
    """The examples in the order of their index; none where the photographs were not installed."""
    index = EXAMPLES / "examples.json"
    return json.loads(index.read_text(encoding="utf-8")) if index.exists() else []

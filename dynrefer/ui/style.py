"""How the page looks: the theme, and the files of its own components."""

from pathlib import Path

import gradio as gr

FOLDER = Path(__file__).parent

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


def component_files(name: str) -> dict[str, str]:
    """The arguments of `gr.HTML` for a component whose files are `name.html`, `name.css` and `name.js`."""
    return {
        "html_template": read(f"{name}.html"),
        "css_template": read(f"{name}.css"),
        "js_on_load": read(f"{name}.js"),
    }

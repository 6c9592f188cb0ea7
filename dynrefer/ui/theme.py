"""How the page looks and how it is served."""

import importlib.util
from typing import Any

import gradio as gr

from .files import EXAMPLES, FOLDER, read

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


def launch_options() -> dict[str, Any]:
    """The arguments of `gr.Blocks.launch` that the page counts on."""
    return {
        "theme": THEME,
        "css_paths": [FOLDER / "page.css"],
        "js": read("paste.js"),
        "show_error": False,
        "ssr_mode": False,
        "footer_links": ["api"],
        "max_file_size": "20mb",
        "state_session_capacity": 500,
        "allowed_paths": [str(EXAMPLES)],
        "mcp_server": importlib.util.find_spec("mcp") is not None,
    }

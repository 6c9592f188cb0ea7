"""The page and its HTTP API."""

from dynrefer.ui.uploads import use_own_folder

use_own_folder()  # before gradio is imported for the first time

from dynrefer.ui.page import build_page, launch_options  # noqa: E402

__all__ = ["build_page", "launch_options"]

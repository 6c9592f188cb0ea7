"""The page and its HTTP API."""

from dynrefer.ui.page import build_page
from dynrefer.ui.theme import launch_options

__all__ = ["build_page", "launch_options"]

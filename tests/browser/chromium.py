"""Chromium as Playwright drives it here."""

import os
import shutil
from pathlib import Path

from playwright.sync_api import Browser, BrowserContext, Playwright

# The camera is a test picture; the last three keep Chromium from calling home when it starts.
OPTIONS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def find_chromium() -> str | None:
    """The program's path: CHROMIUM where it is set, else the first one installed."""
    return os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")


def launch_chromium(playwright: Playwright, path: str, patience_s: float) -> Browser:
    """Start the Chromium at `path` without a window, within `patience_s` seconds."""
    return playwright.chromium.launch(executable_path=path, args=OPTIONS, timeout=1000 * patience_s)


def open_profile(playwright: Playwright, path: str, folder: Path, patience_s: float) -> BrowserContext:
    """Start it with a profile in `folder`, where it keeps scripts as compiled: a page costs a third less."""
    return playwright.chromium.launch_persistent_context(
        folder, executable_path=path, args=OPTIONS, timeout=1000 * patience_s
    )

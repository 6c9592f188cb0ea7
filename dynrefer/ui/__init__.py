"""The page and its HTTP API.

Gradio keeps uploads in a folder of this user's own, unless GRADIO_TEMP_DIR names one. Its default, "gradio" in the
temporary directory, may be somebody else's on a shared machine. It is read when gradio is imported.
"""

import getpass
import os
import tempfile
from pathlib import Path


def own_folder() -> Path:
    """A folder for uploads that nobody else can write to."""
    folder = Path(tempfile.gettempdir()).resolve() / f"dynrefer-{_user()}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        if hasattr(os, "getuid") and folder.stat().st_uid != os.getuid():
            raise PermissionError
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError:  # somebody else's, or a file
        return Path(tempfile.mkdtemp(prefix="dynrefer-")).resolve()


def _user() -> str:
    try:
        return "".join(letter for letter in getpass.getuser() if letter.isalnum()) or "user"
    except (OSError, KeyError, ImportError):  # a container's user without a name, a system without names
        return str(getattr(os, "getuid", lambda: "user")())


if not os.environ.get("GRADIO_TEMP_DIR"):
    os.environ["GRADIO_TEMP_DIR"] = str(own_folder())

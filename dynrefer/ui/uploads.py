"""Where files lie that the page's visitors send or name by a URL."""

import getpass
import hashlib
import os
import tempfile
from pathlib import Path
from urllib.parse import unquote, urlsplit

from dynrefer.errors import InputError
from dynrefer.fetching import MAX_FILE_BYTES, TOO_LARGE, fetch


def use_own_folder() -> None:
    """Let Gradio keep uploads in a folder of this user's own, unless GRADIO_TEMP_DIR names one.

    Its default, "gradio" in the temporary directory, may be somebody else's on a shared machine. Has to be called
    before gradio is imported.
    """
    if not os.environ.get("GRADIO_TEMP_DIR"):
        os.environ["GRADIO_TEMP_DIR"] = str(_own_folder())


def _own_folder() -> Path:
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


def within_limit(path: Path) -> Path:
    """The path of an uploaded file. Raises InputError where it is too large."""
    if path.is_file() and path.stat().st_size > MAX_FILE_BYTES:
        raise InputError(TOO_LARGE)
    return path


async def download(url: str, cache_dir: str) -> str:
    """Fetch a URL into a file below `cache_dir`; its path.

    Takes the place of Gradio's own download, which reads a body of any length into memory.
    """
    name = Path(unquote(urlsplit(url).path)).name
    folder = Path(cache_dir) / hashlib.sha256(url.encode()).hexdigest()
    path = folder / ("".join(letter for letter in name if letter.isalnum() or letter in "._- ")[-80:] or "photograph")
    content = await fetch(url)
    folder.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return str(path.resolve())

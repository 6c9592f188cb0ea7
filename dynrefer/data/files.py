"""Reading annotation files with errors a user can act on, and finding photographs."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import ExifTags, Image

from dynrefer.errors import InputError


def read_json(file: Path, *keys: str) -> Any:
    """The content of a JSON file, a dictionary with at least `keys` where any are named.

    Raises InputError where the file is missing, is not JSON or lacks a key.
    """
    try:
        with file.open(encoding="utf-8") as stream:
            content = json.load(stream)
    except OSError as error:
        raise InputError(f"{file} cannot be read ({error.strerror}): put the data set's annotations there.") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{file} is not JSON ({error}): download it again.") from error
    missing = [key for key in keys if not isinstance(content, dict) or key not in content]
    if missing:
        raise InputError(f"{file} has no '{missing[0]}': it is not in the format that was expected.")
    return content


def find_photograph(root: Path, name: str, folders: Sequence[str]) -> Path | None:
    """The file `name` in the first of these folders of `root` that has it."""
    return next((path for folder in folders if (path := root / folder / name).is_file()), None)


def photograph_size(path: Path) -> tuple[int, int] | None:
    """(width, height) of the upright photograph from its header; None where it is no photograph."""
    try:
        with Image.open(path) as image:
            turned = image.getexif().get(ExifTags.Base.Orientation, 1) >= 5
            return (image.height, image.width) if turned else (image.width, image.height)
    except (OSError, ValueError, Image.DecompressionBombError):
        return None

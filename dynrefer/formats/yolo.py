"""YOLO's text files: a class number and the box's centre and sides as shares of the photograph, one a line."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import yaml

from dynrefer.boxes import Box
from dynrefer.errors import InputError, LeftOut, reason, shown
from dynrefer.files.coco import SIDES, box_numbers, corners, shape_box
from dynrefer.formats.file import File
from dynrefer.formats.grouping import beside, by_photograph, side_files
from dynrefer.formats.record import UNNAMED, Record, said

ROOM = 0.01  # by which rounding may lead outside the photograph
_LINE = re.compile(r"\s*\d+(\.0+)?([ \t]+-?[\d.]+([eE][+-]?\d+)?){4,}\s*")
_NAMES = ("classes.txt", "obj.names", "classes.names", "predefined_classes.txt")


def knows(file: File) -> bool:
    """Whether a file's lines are numbers parted by blanks, or it tells names of classes."""
    if _tells_names(file):
        return True
    lines = [line for line in file.text.splitlines() if line.strip()] if file.path.suffix.lower() == ".txt" else []
    return bool(lines) and all(_LINE.fullmatch(line) for line in lines)


def read(files: Sequence[File]) -> Iterator[Record | LeftOut]:
    """The boxes of all photographs. Classes are named by data.yaml or classes.txt, and else "class 3"."""
    names: dict[int, str] = {}
    settings: dict[str, Any] = {}
    for file in files:
        if _tells_names(file):
            settings = _settings(file)
            names = _names(settings.get("names"), file)
    for file in files:
        if not _tells_names(file):
            yield from _photograph(file, names, "kpt_shape" in settings)


def _photograph(file: File, names: dict[int, str], has_points: bool) -> Iterator[Record | LeftOut]:
    image = beside(file, file.path.stem)
    for number, line in enumerate(file.text.splitlines(), start=1):
        if not line.strip():
            continue
        where, (kind, *rest) = f"{shown(file.name)}, line {number}", line.split()
        try:
            box = _box(rest, has_points)
            label = names.get(int(float(kind)), f"class {int(float(kind))}")
            yield Record(image, box, None, where, shares=True, said=said(label=None if label == UNNAMED else label))
        except (InputError, ValueError) as error:
            words = reason(error) if isinstance(error, InputError) else f'its class "{shown(kind)}" is no number'
            yield LeftOut(image, where, words)


def _box(words: Sequence[str], has_points: bool) -> Box:
    """A box of its centre and sides (a confidence and key points may follow), or round the corners of an outline."""
    if len(words) >= 6 and len(words) % 2 == 0 and not has_points:
        box = shape_box(list(words))
    else:
        x, y, width, height = box_numbers(list(words[:4]), SIDES)
        box = corners(x - width / 2, y - height / 2, width, height)
    if min(box) < -ROOM or max(box) > 1 + ROOM:
        raise InputError(
            f"its numbers lead outside 0 to 1 ({' '.join(words[:4])}); YOLO's are shares of the photograph"
        )
    return box


def _tells_names(file: File) -> bool:
    return file.path.suffix.lower() in (".yaml", ".yml") or file.path.name.lower() in _NAMES


def _settings(file: File) -> dict[str, Any]:
    if file.path.name.lower() in _NAMES:
        return {"names": [line.strip() for line in file.text.splitlines()]}
    try:
        found = yaml.safe_load(file.text)
    except (yaml.YAMLError, RecursionError) as error:
        raise InputError(f"{shown(file.name)} is not YAML that can be read; it should name the classes") from error
    return found if isinstance(found, dict) else {}


def _names(names: object, file: File) -> dict[int, str]:
    pairs = names.items() if isinstance(names, dict) else enumerate(names) if isinstance(names, list) else ()
    try:
        return {int(number): str(name) for number, name in pairs}
    except (TypeError, ValueError) as error:
        raise InputError(f'{shown(file.name)}: "names" must be a list, or names by number') from error


def write(records: Sequence[Record]) -> dict[str, str]:
    """data.yaml and, in `labels`, a text file a photograph; the photographs belong beside them into `images`."""
    photographs = by_photograph(records)
    names = sorted({record.named for record in records})
    files = {
        "data.yaml": yaml.safe_dump(
            {"path": ".", "train": "images", "val": "images", "names": dict(enumerate(names))},
            allow_unicode=True,
            sort_keys=False,
        )
    }
    stems = Counter(photograph.path.with_suffix("").as_posix().casefold() for photograph in photographs)
    if twice := next((stem for stem, count in stems.items() if count > 1), None):
        raise InputError(f"YOLO has one file a name, and several photographs are called {shown(twice)}; rename one")
    for name, photograph in side_files(photographs, ".txt"):
        width, height = photograph.sized("YOLO")
        lines = []
        for record in photograph.records:
            x1, y1, x2, y2 = photograph.box(record)
            shares = ((x1 + x2) / 2 / width, (y1 + y2) / 2 / height, (x2 - x1) / width, (y2 - y1) / height)
            lines.append(" ".join([str(names.index(record.named)), *(f"{share:.8f}" for share in shares)]))
        files[f"labels/{name}"] = "\n".join(lines) + "\n"
    return files

"""What the command line's `refer` does: photographs and boxes from files, answers as text or JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dynrefer.box_files import boxes_by_image, pick_image
from dynrefer.boxes import parse_box
from dynrefer.errors import InputError
from dynrefer.predictor import Predictor
from dynrefer.results import RegionResult

SHOWN_TAGS, SHOWN_ATTRIBUTES = 8, 8
PHOTOGRAPHS = {".jpg", ".jpeg", ".png", ".webp", ".gif", ".tif", ".tiff", ".bmp", ".avif", ".ppm"}


def describe_photographs(
    photo: Path,
    box: Sequence[Sequence[str]] = (),
    boxes: Path | None = None,
    json_out: str | None = None,
    model: str | None = None,
    device: str | None = None,
    dtype: str | None = None,
    classes: str | None = None,
    controls: str | None = None,
    coefficients: str | None = None,
    **options: Any,
) -> None:
    """Describe the regions of one photograph, or of all photographs of a folder that a box file names.

    Args:
        box: boxes as typed, each a list of words.
        boxes: a COCO, JSON or CSV file.
        json_out: file for the JSON list, "-" for the screen, None to print text.
        classes, controls, coefficients: separated by commas.
        options: of `Predictor.refer`.

    Raises InputError in one sentence for whatever cannot be used, before anything is written.
    """
    work = _gather(photo, [parse_box(" ".join(words)) for words in box], boxes)
    options |= {"classes": _split(classes), "controls": _split(controls) or (), "coefficients": _numbers(coefficients)}
    predictor = Predictor.from_pretrained(model, device, dtype)
    entries: list[dict[str, Any]] = []
    for (path, _), results in zip(work, predictor.refer_many(work, **options), strict=True):
        entries += [{"image": path.name} | result.to_dict() for result in results]
        if json_out != "-":
            for result in results:
                print(as_text(path.name, result))
    if json_out is not None:
        text = json.dumps(entries, indent=2, ensure_ascii=False)
        _write(json_out, text)


def as_text(name: str, result: RegionResult) -> str:
    """A region's answer in a few lines for people."""
    x1, y1, x2, y2 = (round(v) for v in result.box)
    chosen = sorted((v for v in result.views if v.rank is not None), key=lambda v: v.rank or 0)
    lines = [f"{name}  box {x1} {y1} {x2} {y2}  views t = {', '.join(f'{v.t:g}' for v in chosen)}"]
    if result.caption is not None:
        lines.append(f"  caption     {result.caption.text}  ({result.caption.score:.2f})")
    named = (
        ("class", result.classes),
        ("tags", result.tags[:SHOWN_TAGS]),
        ("attributes", result.attributes[:SHOWN_ATTRIBUTES]),
    )
    for title, items in named:
        lines.append(f"  {title:<11} " + ", ".join(f"{item.name} {item.score:.2f}" for item in items))
    lines.append(f"  time        {result.timing_ms.get('total', 0):.0f} ms, {result.model}")
    return "\n".join(lines)


def _gather(photo: Path, typed: list[list[float]], box_file: Path | None) -> list[tuple[Path, list[Any]]]:
    """Photographs with their boxes."""
    groups = boxes_by_image(box_file) if box_file is not None else {}
    if not photo.is_dir():
        boxes: list[Any] = [*typed, *(pick_image(groups, photo.name, box_file.name) if box_file else [])]
        if not boxes:
            raise InputError("Say where to look: --box X1 Y1 X2 Y2, or --boxes FILE.")
        return [(photo, boxes)]
    if box_file is None or typed:
        raise InputError("A folder of photographs needs --boxes FILE, which names them, and no --box.")
    photographs = {p.name: p for p in sorted(photo.iterdir()) if p.suffix.lower() in PHOTOGRAPHS}
    stems = {Path(name).stem.lstrip("0"): name for name in photographs}
    work = []
    for name, boxes in groups.items():
        found = name if name in photographs else stems.get(Path(name).stem.lstrip("0"))
        if found is None:
            raise InputError(f'{box_file.name} names the photograph "{name}", which is not in the folder {photo.name}.')
        work.append((photographs[found], boxes))
    return work


def _split(words: str | None) -> tuple[str, ...] | None:
    return None if words is None else tuple(word.strip() for word in words.split(",") if word.strip())


def _numbers(text: str | None) -> tuple[float, ...] | None:
    if text is None:
        return None
    try:
        return tuple(float(number) for number in text.split(","))
    except ValueError as error:
        raise InputError("Coefficients are numbers from 0 to 1, separated by commas.") from error


def _write(target: str, text: str) -> None:
    if target == "-":
        print(text)
        return
    try:
        Path(target).write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise InputError(f"{Path(target).name} cannot be written: {error.strerror}.") from error

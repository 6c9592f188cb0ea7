"""What the page lets a person save: the regions in every format, and the photograph with them drawn in."""

import base64
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from dynrefer.errors import InputError
from dynrefer.formats import FORMATS, Record, encode, lost
from dynrefer.photo import Photo
from dynrefer.pointing import read_mask
from dynrefer.results import RegionResult

PNG = "png"
MEDIA = {".json": "application/json", ".jsonl": "application/jsonl", ".csv": "text/csv", ".xml": "application/xml"}
MEDIA |= {".zip": "application/zip", ".png": "image/png"}
PNG_SIZE = 2048
MASK_OPACITY = 90  # of 255
REGION_COLOURS = ("#fb3f6c", "#22c55e", "#3b82f6", "#f59e0b", "#a855f7", "#06b6d4")


def choices() -> list[tuple[str, str]]:
    """What can be saved, as (title, kind)."""
    return [*sorted((known.title, kind) for kind, known in FORMATS.items()), ("PNG with the regions drawn", PNG)]


def download(kind: str, results: Sequence[RegionResult], image: str, photo: Photo) -> dict[str, str]:
    """A file of one kind, PNG or one of FORMATS: its `name`, its content in a data URL as `url`, and a `note` about it.

    The note says what the format cannot hold. Raises InputError for another kind.
    """
    stem = Path(image).stem or "photograph"
    if kind == PNG:
        return _file(f"{stem}.regions.png", annotated_png(results, photo), "")
    return download_all(kind, [Record.of(result, image or "photograph", photo.size) for result in results], stem)


def download_all(kind: str, records: Sequence[Record], stem: str) -> dict[str, str]:
    """`download` of the regions of several photographs, called `stem`. Raises InputError where there is none."""
    if not records:
        raise InputError("there is nothing to save yet; draw a box first")
    if kind == PNG:
        raise InputError("a PNG shows one photograph; choose another format for all of them")
    content, ending = encode(records, kind)
    called = "regions" if ending == f".{kind}" else kind
    return _file(f"{stem}.{called}{ending}", content, lost(records, kind))


def annotated_png(results: Sequence[RegionResult], photo: Photo) -> bytes:
    """The photograph, at most PNG_SIZE pixels a side, with every region's box, mask, number and caption."""
    image = Image.fromarray(photo.pixels)
    image.thumbnail((PNG_SIZE, PNG_SIZE), reducing_gap=2)
    scale = image.width / photo.size[0], image.height / photo.size[1]
    line = max(2, max(image.size) // 300)
    font = ImageFont.load_default(size=max(12, max(image.size) // 50))
    canvas = ImageDraw.Draw(image)
    for place, result in enumerate(results):
        colour = REGION_COLOURS[place % len(REGION_COLOURS)]
        x1, y1, x2, y2 = (value * scale[axis % 2] for axis, value in enumerate(result.box))
        if result.mask is not None:
            mask = Image.fromarray(read_mask(result.mask, photo.size).astype(np.uint8) * MASK_OPACITY)
            image.paste(colour, mask=mask.resize(image.size))
        canvas.rectangle((x1, y1, x2, y2), outline=colour, width=line)
        text = f"{place + 1} {'' if result.sure else 'perhaps '}{result.caption.text if result.caption else ''}".strip()
        _, _, right, bottom = canvas.textbbox((0, 0), text, font=font)
        place_x = max(0, min(x1, image.width - right - 2 * line))
        place_y = max(0, y1 - bottom - 2 * line)
        canvas.rectangle((place_x, place_y, place_x + right + 2 * line, place_y + bottom + 2 * line), fill=colour)
        canvas.text((place_x + line, place_y + line), text, font=font, fill="#0b0b0f")
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def _file(name: str, content: bytes, note: str) -> dict[str, str]:
    media_type = MEDIA[Path(name).suffix]
    return {"name": name, "url": f"data:{media_type};base64,{base64.b64encode(content).decode('ascii')}", "note": note}

"""Pictures and files for the browser, as data URLs: display copies, thumbnails, and what a person saves."""

import base64
import colorsys
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from dynrefer.errors import InputError
from dynrefer.formats import FORMATS, Record, encode, lost
from dynrefer.photo import Photo
from dynrefer.pointing import read_mask

THUMBNAIL_SIZE = 96
PNG = "png"
MEDIA = {".json": "application/json", ".jsonl": "application/jsonl", ".csv": "text/csv", ".xml": "application/xml"}
MEDIA |= {".zip": "application/zip", ".png": "image/png"}
PNG_SIZE = 2048
MASK_OPACITY = 90  # of 255
REGION_COLOURS = ("#fb3f6c", "#22c55e", "#3b82f6", "#f59e0b", "#a855f7", "#06b6d4")


def display_url(photo: Photo) -> str:
    """The display copy of a photograph as a data URL."""
    return data_url(photo.display)


def thumbnails(photo: Photo, boxes: Sequence[Sequence[float]], size: int = THUMBNAIL_SIZE) -> list[str]:
    """Data URLs of the boxes (pixels of the photograph), squeezed to squares just as the model sees its views."""
    return [data_url(photo.crop(box, size), quality=80) for box in boxes]


def data_url(pixels: np.ndarray, quality: int = 88) -> str:
    """A JPEG data URL of uint8 RGB pixels [H, W, 3]."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality)
    return _url("image/jpeg", buffer.getvalue())


def view_colour(coefficient: float) -> str:
    """The colour of the view at t in [0, 1], from warm (tight) to cool (wide), as #rrggbb."""
    red, green, blue = colorsys.hls_to_rgb(0.97 if coefficient == 0 else 0.03 + 0.65 * coefficient, 0.66, 0.95)
    return f"#{round(red * 255):02x}{round(green * 255):02x}{round(blue * 255):02x}"


def choices() -> list[tuple[str, str]]:
    """What can be saved, as (title, kind)."""
    return [*sorted((known.title, kind) for kind, known in FORMATS.items()), ("PNG with the regions drawn", PNG)]


def download(kind: str, records: Sequence[Record], stem: str, photo: Photo | None = None) -> dict[str, str]:
    """A file of one kind, PNG or one of FORMATS: its `name`, its content in a data URL as `url`, and a `note` about it.

    The note says what the format cannot hold. `photo` is theirs where all records are of one.
    Raises InputError for another kind, and where there is nothing to save.
    """
    if not records:
        raise InputError("there is nothing to save yet; draw a box first")
    if kind != PNG:
        content, ending = encode(records, kind)
        called = "regions" if ending == f".{kind}" else kind
        return _file(f"{stem}.{called}{ending}", content, lost(records, kind))
    if photo is None:
        raise InputError("a PNG shows one photograph; choose another format for all of them")
    return _file(f"{stem}.regions.png", annotated_png(records, photo), "")


def annotated_png(records: Sequence[Record], photo: Photo) -> bytes:
    """The photograph, at most PNG_SIZE pixels a side, with every region's box, mask, number and caption."""
    image = Image.fromarray(photo.pixels)
    image.thumbnail((PNG_SIZE, PNG_SIZE), reducing_gap=2)
    scale = image.width / photo.size[0], image.height / photo.size[1]
    line = max(2, max(image.size) // 300)
    font = ImageFont.load_default(size=max(12, max(image.size) // 50))
    canvas = ImageDraw.Draw(image)
    for place, record in enumerate(records):
        colour = REGION_COLOURS[place % len(REGION_COLOURS)]
        x1, y1, x2, y2 = (value * scale[axis % 2] for axis, value in enumerate(record.box))
        if record.segmentation is not None:
            mask = Image.fromarray(read_mask(record.segmentation, photo.size).astype(np.uint8) * MASK_OPACITY)
            image.paste(colour, mask=mask.resize(image.size))
        canvas.rectangle((x1, y1, x2, y2), outline=colour, width=line)
        text = f"{place + 1} {'' if record.said['sure'] else 'perhaps '}{record.caption}".strip()
        _, _, right, bottom = canvas.textbbox((0, 0), text, font=font)
        place_x = max(0, min(x1, image.width - right - 2 * line))
        place_y = max(0, y1 - bottom - 2 * line)
        canvas.rectangle((place_x, place_y, place_x + right + 2 * line, place_y + bottom + 2 * line), fill=colour)
        canvas.text((place_x + line, place_y + line), text, font=font, fill="#0b0b0f")
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def _file(name: str, content: bytes, note: str) -> dict[str, str]:
    return {"name": name, "url": _url(MEDIA[Path(name).suffix], content), "note": note}


def _url(media_type: str, content: bytes) -> str:
    return f"data:{media_type};base64,{base64.b64encode(content).decode('ascii')}"

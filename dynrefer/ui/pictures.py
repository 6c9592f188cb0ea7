"""Pictures as the page shows them: display copies and thumbnails as data URLs, the colour of a view."""

import base64
import colorsys
import io
from collections.abc import Sequence

import numpy as np
from PIL import Image

from dynrefer.photo import DISPLAY_SIZE, Photo
from dynrefer.views import crop_views

THUMBNAIL_SIZE = 96


def display_url(photo: Photo) -> str:
    """The display copy of a photograph as a data URL."""
    return data_url(photo.display)


def thumbnails(photo: Photo, boxes: Sequence[Sequence[float]], size: int = THUMBNAIL_SIZE) -> list[str]:
    """Data URLs of the boxes (pixels of the photograph), squeezed to squares just as the model sees its views."""
    return [data_url(_crop(photo, box, size), quality=80) for box in boxes]


def _crop(photo: Photo, box: Sequence[float], size: int) -> np.ndarray:
    """Large crops come from the display copy, which is plenty for a thumbnail and many times faster."""
    corners = np.asarray([box], dtype=np.float32)
    if max(box[2] - box[0], box[3] - box[1]) > DISPLAY_SIZE:
        scale = np.array(photo.display.shape[1::-1]) / np.array(photo.size)
        return crop_views(photo.display, corners * np.tile(scale, 2), size)[0]
    return crop_views(photo.pixels, corners, size)[0]


def data_url(pixels: np.ndarray, quality: int = 88) -> str:
    """A JPEG data URL of uint8 RGB pixels [H, W, 3]."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def view_colour(coefficient: float) -> str:
    """The colour of the view at t in [0, 1], from warm (tight) to cool (wide), as #rrggbb."""
    red, green, blue = colorsys.hls_to_rgb(0.97 if coefficient == 0 else 0.03 + 0.65 * coefficient, 0.66, 0.95)
    return f"#{round(red * 255):02x}{round(green * 255):02x}{round(blue * 255):02x}"

"""A photograph as the page shows it: display copies, thumbnails of views, the colour of a view."""

import base64
import colorsys
import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from PIL import Image

from dynrefer.photo import Photo as Opened
from dynrefer.views import crop_views

DISPLAY_SIZE = 1280
THUMBNAIL_SIZE = 96


@dataclass(frozen=True)
class Photo:
    """An upright photograph, uint8 RGB [H, W, 3]."""

    pixels: np.ndarray

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.pixels.shape[1], self.pixels.shape[0]

    @cached_property
    def display(self) -> np.ndarray:
        """A copy of at most DISPLAY_SIZE pixels a side."""
        image = Image.fromarray(self.pixels)
        image.thumbnail((DISPLAY_SIZE, DISPLAY_SIZE), reducing_gap=2)
        return np.asarray(image)

    @cached_property
    def url(self) -> str:
        """The display copy as a data URL."""
        return data_url(self.display)

    def thumbnails(self, boxes: Sequence[Sequence[float]], size: int = THUMBNAIL_SIZE) -> list[str]:
        """Data URLs of the boxes (pixels of this photograph), squeezed to squares just as the model sees its views."""
        return [data_url(self._crop(box, size), quality=80) for box in boxes]

    def _crop(self, box: Sequence[float], size: int) -> np.ndarray:
        """Large crops come from the display copy, which is plenty for a thumbnail and many times faster."""
        corners = np.asarray([box], dtype=np.float32)
        if max(box[2] - box[0], box[3] - box[1]) > DISPLAY_SIZE:
            scale = np.array(self.display.shape[1::-1]) / np.array(self.size)
            return crop_views(self.display, corners * np.tile(scale, 2), size)[0]
        return crop_views(self.pixels, corners, size)[0]


@lru_cache(maxsize=4)
def open_photo(path: str) -> Photo:
    """Open an uploaded file; the last few stay open, since every box on a photograph asks for it again."""
    return Photo(Opened.open(path).pixels)


def data_url(pixels: np.ndarray, quality: int = 88) -> str:
    """A JPEG data URL of uint8 RGB pixels [H, W, 3]."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def view_colour(coefficient: float) -> str:
    """The colour of the view at t in [0, 1], from warm (tight) to cool (wide), as #rrggbb."""
    red, green, blue = colorsys.hls_to_rgb(0.97 if coefficient == 0 else 0.03 + 0.65 * coefficient, 0.66, 0.95)
    return f"#{round(red * 255):02x}{round(green * 255):02x}{round(blue * 255):02x}"

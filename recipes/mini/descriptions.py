"""Descriptions of regions that were written later for a data set's photographs, and their boxes.

One JSON object a line: `image_id`, `box` (x1, y1, x2, y2 as shares of the photograph's width and height) and `text`.
Those of `descriptions.jsonl` beside this file were written by an AI model that looked at each region, hence the source
"described".
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from dynrefer.boxes import Box, iou
from dynrefer.datasets.records import Problems
from dynrefer.datasets.words import fix_articles
from dynrefer.files.coco import id_key
from dynrefer.files.text import read_jsonl
from recipes.mini.words import normalise

SAME = 0.9  # boxes that overlap so much (intersection over union) are the same region


@dataclass(frozen=True)
class Description:
    """A text about the part `box` (shares of the photograph's size) of a photograph."""

    box: Box
    text: str

    def pixels(self, size: tuple[int, int]) -> Box:
        """The box in pixels of a photograph of (width, height)."""
        x1, y1, x2, y2 = self.box
        return x1 * size[0], y1 * size[1], x2 * size[0], y2 * size[1]


def read_descriptions(file: Path, problems: Problems) -> dict[str, list[Description]]:
    """Descriptions by image id. Lines of another form are counted; raises InputError where the file cannot be read."""
    found: dict[str, list[Description]] = defaultdict(list)
    bad = partial(problems.skip, "descriptions of another form")
    total = 0
    for number, record in read_jsonl(file, "image_id", "box", "text", on_bad=bad):
        total += 1
        try:
            x1, y1, x2, y2 = (float(value) for value in record["box"])
            text = fix_articles(normalise(record["text"]))
            if not (0 <= x1 < x2 <= 1 and 0 <= y1 < y2 <= 1 and text):
                raise ValueError("no text, or a box that is not inside the photograph")
            found[id_key(record["image_id"])].append(Description((x1, y1, x2, y2), text))
        except (ValueError, TypeError, AttributeError) as error:
            bad(f"line {number} of {file.name}: {error}")
    problems.check(total)
    return found


def match(box: Box, boxes: Sequence[Box]) -> int | None:
    """Number of the box that is the same region as `box`, or None."""
    shares = [iou(box, other) for other in boxes]
    best = max(range(len(boxes)), key=shares.__getitem__, default=None)
    return best if best is not None and shares[best] >= SAME else None

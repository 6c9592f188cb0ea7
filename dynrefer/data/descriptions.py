"""Descriptions of regions that were written later for a data set's photographs, and their boxes.

One JSON object a line: `image_id`, `box` (x1, y1, x2, y2 as shares of the photograph's width and height) and `text`.
Those of `configs/mini-descriptions.jsonl` were written by an AI model that looked at each region, hence the source
"described".
"""

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dynrefer.boxes import Box, iou
from dynrefer.data.problems import Problems
from dynrefer.data.words import fix_articles, normalise
from dynrefer.errors import InputError

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
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"The descriptions {file} cannot be read ({error}): name a file with a JSON a line."
        ) from error
    for number, line in enumerate(lines, 1):
        try:
            record = json.loads(line)
            x1, y1, x2, y2 = (float(value) for value in record["box"])
            text = fix_articles(normalise(record["text"]))
            if not (0 <= x1 < x2 <= 1 and 0 <= y1 < y2 <= 1 and text):
                raise ValueError("no text, or a box that is not inside the photograph")
            found[str(record["image_id"])].append(Description((x1, y1, x2, y2), text))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            problems.skip("descriptions of another form", f"line {number} of {file.name}: {error!r}")
    problems.check(len(lines))
    return found


def match(box: Box, boxes: Sequence[Box]) -> int | None:
    """Number of the box that is the same region as `box`, or None."""
    shares = [iou(box, other) for other in boxes]
    best = max(range(len(boxes)), key=shares.__getitem__, default=None)
    return best if best is not None and shares[best] >= SAME else None

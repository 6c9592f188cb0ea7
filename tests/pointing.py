"""A stand-in for a model that points."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from dynrefer.boxes import Box
from dynrefer.proposals import BoxGrid, Proposal


@dataclass
class Pointing:
    """A model that proposes `boxes` whatever it is asked; the first one with a mask."""

    boxes: list[Box] = field(default_factory=lambda: [(20, 15, 80, 60), (100, 20, 180, 140)])
    before: Callable[[], object] = lambda: None

    def box_grid(self, _photo: Any) -> BoxGrid:
        self.before()
        return BoxGrid(np.full((2, 3, 4), self.boxes[0], dtype=np.float32), np.ones((2, 3), dtype=np.float32))

    def propose(
        self, photo: Any, points: Any = None, words: Any = None, limit: int = 20, box: Any = None
    ) -> list[Proposal]:
        mask = np.zeros((photo.height, photo.width), dtype=bool)
        mask[20:50, 30:70] = True
        scores = dict.fromkeys(words or (), 0.8)
        found = [Proposal(box, 0.8, scores, None if place else mask) for place, box in enumerate(self.boxes)]
        return found[:limit]

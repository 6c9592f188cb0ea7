"""Requests about many photographs go through the network so many at a time."""

import numpy as np
import pytest

from dynrefer.batches import batches
from dynrefer.photo import Photo
from dynrefer.selection import Region


def test_a_batch_ends_where_its_photographs_have_many_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dynrefer.batches.BATCH_MEGAPIXELS", 0.02)
    sent = [np.zeros((100, 100, 3), np.uint8) for _ in range(5)]

    def choose(photo: Photo, _boxes: object) -> list[Region]:
        return [Region(photo, (0, 0, 9, 9), ())]

    assert [len(batch) for batch in batches([(one, None) for one in sent], choose, 32)] == [2, 2, 1]

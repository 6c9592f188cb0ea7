"""The table of training regions: small, and the same as the samples it was made of."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch

from dynrefer.datasets.sample import RegionText, Sample
from dynrefer.training.regions import RegionTable
from tests.tiny import tiny_vocabulary

EVERY = {"class": 1.0, "grounded": 1.0, "human": 1.0}


def many(count: int) -> Iterator[Sample]:
    """Regions as Visual Genome has them: some forty on a photograph, a text of its own each."""
    for number in range(count):
        photograph = number // 40
        yield Sample(
            image=Path(f"VG_100K/{photograph}.jpg"),
            image_id=str(photograph),
            image_size=(800, 600),
            box=(10.5, 20.5, 30.5 + number % 99, 60.5),
            texts=(RegionText(f"the {number} dog on the left of car {number}", "human"),),
            sample_id=f"vg-{number}",
            split="train",
            tags=("dog", "car", "left", f"dog {number}"),
            ignored_tags=tuple(f"word {number} {k}" for k in range(20)),
        )


def test_a_region_takes_a_few_hundred_bytes_with_its_text() -> None:
    count = 4000
    tracemalloc.start()
    texts: dict[str, int] = {}
    table = RegionTable.of(many(count), tiny_vocabulary(), texts, EVERY)
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(table) == count
    assert used / count < 500  # 3,900 as objects


def test_what_was_put_in_comes_out(samples: list[Sample]) -> None:
    texts: dict[str, int] = {}
    table = RegionTable.of([*samples, replace(samples[0], image_size=None)], tiny_vocabulary(), texts, EVERY)
    names = list(texts)
    for number, sample in enumerate(samples):
        place = table.place(number)
        assert (place.image, place.box, place.size) == (sample.image, sample.box, sample.image_size)
        assert [(names[text], source) for text, source in table.texts(number)] == [
            (text.text, text.source) for text in sample.texts
        ]
    assert table.place(len(samples)).size is None
    labels = table.attributes(torch.arange(len(samples)))
    assert [tuple(row) for row in labels.tolist()] == [sample.attributes for sample in samples]

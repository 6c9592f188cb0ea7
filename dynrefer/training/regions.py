"""All training regions as arrays: what is known of each, ready to be indexed by a batch, in some 200 bytes a region."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dynrefer.boxes import Box
from dynrefer.datasets.sample import SOURCES, Sample, Source
from dynrefer.errors import InputError
from dynrefer.vocabulary import Vocabulary

STYLE_OF = {"whole": "scene", "class": "class"}  # all other sources describe a region
UNKNOWN = -1


@dataclass(frozen=True)
class Place:
    """Where a region lies: photograph, box, and (width, height) of the photograph that the box was made for."""

    image: Path
    box: Box
    size: tuple[int, int] | None


class _Lists:
    """Many short lists of numbers, one behind the other."""

    def __init__(self, code: str = "i") -> None:
        self.values, self.ends = array(code), array("q", [0])

    def append(self, values: Iterable[int]) -> None:
        self.values.extend(values)
        self.ends.append(len(self.values))

    def __getitem__(self, number: int) -> np.ndarray:
        return np.asarray(self.values[self.ends[number] : self.ends[number + 1]])


class RegionTable:
    """S regions, added one by one.

    Args:
        texts: numbers of all texts so far, to which those of the regions are added.
        sources: chance of each source of texts.

    Attributes:
        photographs: the different ones.
    """

    def __init__(self, vocabulary: Vocabulary, texts: dict[str, int], sources: Mapping[Source, float]) -> None:
        self.num_tags, self.num_attributes = len(vocabulary.tags), len(vocabulary.attributes)
        self._tag_number = {tag: k for k, tag in enumerate(vocabulary.tags)}
        self._class_number = {name: k for k, name in enumerate(vocabulary.classes)}
        self._text_number = texts
        self._chance = np.array([sources.get(source, 0.0) for source in SOURCES])
        self.photographs: list[Path] = []
        self._images: dict[Path, int] = {}
        self._image, self._box, self._size, self._category = array("i"), array("d"), array("i"), array("i")
        self._texts, self._sources = _Lists(), _Lists("b")
        self._tags, self._open_tags = _Lists(), _Lists()
        self._attributes, self._attribute_row = array("b"), array("i")

    @classmethod
    def of(
        cls, samples: Iterable[Sample], vocabulary: Vocabulary, texts: dict[str, int], sources: Mapping[Source, float]
    ) -> RegionTable:
        """The table of all samples, in their order."""
        table = cls(vocabulary, texts, sources)
        for sample in samples:
            table.add(sample)
        return table

    def __len__(self) -> int:
        return len(self._image)

    def add(self, sample: Sample) -> None:
        """Append a sample.

        Raises InputError where it has no text to be drawn, or labels of another attribute list.
        """
        found = [SOURCES.index(text.source) for text in sample.texts]
        if not self._chance[found].sum():
            raise InputError(
                f"The sample {sample.sample_id} has no text of a source that the configuration draws from."
            )
        self._texts.append(self._text_number.setdefault(t.text, len(self._text_number)) for t in sample.texts)
        self._sources.append(found)
        if sample.image not in self._images:
            self._images[sample.image] = len(self.photographs)
            self.photographs.append(sample.image)
        self._image.append(self._images[sample.image])
        self._box.extend(sample.box)
        self._size.extend(sample.image_size or (0, 0))
        self._category.append(self._class_number.get(sample.class_name or "", -1))
        for words, lists in ((sample.tags, self._tags), (sample.ignored_tags, self._open_tags)):
            lists.append(self._tag_number[word] for word in words if word in self._tag_number)
        self._add_attributes(sample)

    def _add_attributes(self, sample: Sample) -> None:
        if sample.attributes is None:
            self._attribute_row.append(-1)
            return
        if len(sample.attributes) != self.num_attributes:
            raise InputError(
                f"The sample {sample.sample_id} has {len(sample.attributes)} attribute labels, the checkpoint knows "
                f"{self.num_attributes} attributes: start from a checkpoint of the same attribute list."
            )
        self._attribute_row.append(len(self._attributes) // self.num_attributes)
        self._attributes.extend(sample.attributes)

    def category(self, numbers: Tensor) -> Tensor:
        """Place of the classes of regions [B] in the vocabulary's classes, int64 [B], -1 = unknown."""
        return torch.from_numpy(np.asarray(self._category)[numbers.numpy()].astype(np.int64))

    def place(self, number: int) -> Place:
        """Photograph and box of a region."""
        x1, y1, x2, y2 = self._box[4 * number : 4 * number + 4]
        width, height = self._size[2 * number : 2 * number + 2]
        return Place(self.photographs[self._image[number]], (x1, y1, x2, y2), (width, height) if width else None)

    def areas(self) -> np.ndarray:
        """Share of the photograph that each box covers [S]; 1 where the photograph's size is not known."""
        boxes, sizes = np.asarray(self._box).reshape(-1, 4), np.asarray(self._size).reshape(-1, 2).prod(1)
        covered = (boxes[:, 2:] - boxes[:, :2]).prod(1)
        return np.divide(covered, sizes, out=np.ones(len(self)), where=sizes > 0)

    def texts(self, number: int) -> list[tuple[int, str]]:
        """Number and source of each of the region's texts."""
        pairs = zip(self._texts[number].tolist(), self._sources[number].tolist(), strict=True)
        return [(text, SOURCES[source]) for text, source in pairs]

    def draw_text(self, number: int, rng: np.random.Generator) -> tuple[int, str]:
        """Number and source of one of the region's texts: first a source by its chance, then any text of it."""
        texts, found = self._texts[number], self._sources[number]
        chances = self._chance[found] / np.bincount(found)[found]
        ends = np.cumsum(chances)
        chosen = int(np.searchsorted(ends, rng.random() * ends[-1], side="right"))
        return int(texts[chosen]), SOURCES[found[chosen]]

    def tags(self, numbers: Tensor) -> Tensor:
        """Tag labels of regions [B] -> int8 [B, N], 1 / 0 / -1 (may or may not be true)."""
        labels = np.zeros((len(numbers), self.num_tags), dtype=np.int8)
        for row, number in enumerate(numbers.tolist()):
            labels[row, self._open_tags[number]] = UNKNOWN
            labels[row, self._tags[number]] = 1
        return torch.from_numpy(labels)

    def attributes(self, numbers: Tensor) -> Tensor:
        """Attribute labels of regions [B] -> int8 [B, A], 1 / 0 / -1 (unknown)."""
        labels = np.full((len(numbers), self.num_attributes), UNKNOWN, dtype=np.int8)
        for row, number in enumerate(numbers.tolist()):
            start = self._attribute_row[number] * self.num_attributes
            if start >= 0:
                labels[row] = self._attributes[start : start + self.num_attributes]
        return torch.from_numpy(labels)

"""The regions and texts of a run as tables of arrays, ready to be indexed by a batch; a region takes some 200 bytes."""

from __future__ import annotations

import os
import re
from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from tokenizers import Tokenizer
from torch import Tensor

from dynrefer.boxes import Box
from dynrefer.datasets.sample import SOURCES, UNKNOWN, Sample, Source
from dynrefer.datasets.words import content_words
from dynrefer.errors import InputError
from dynrefer.training.config import TextConfig
from dynrefer.vocabulary import Vocabulary

STYLE_OF = {"whole": "scene", "class": "class"}  # all other sources describe a region
Embed = Callable[[Sequence[str]], Tensor]
_SIDES = re.compile(r"\b(?:left|right)\b", re.IGNORECASE)
_CHUNK = 4096  # texts that are tokenised or embedded at a time


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


class TextTable:
    """T different texts.

    Attributes:
        ids: [T, L] int16 or int32, tokens with end token, 0 = padding.
        sided: [T] bool, says left or right and so is wrong in a mirror.
        unspelled: texts with letters that the tokenizer does not know, which are learnt without them.
    """

    def __init__(
        self,
        texts: Sequence[str],
        tokenizer: Tokenizer,
        embed: Embed,
        *,
        end_token: int = 1,
        max_tokens: int = 32,
        folder: Path | None = None,
    ) -> None:
        self.texts = list(texts)
        self.sided = np.fromiter((bool(_SIDES.search(text)) for text in self.texts), dtype=bool, count=len(self.texts))
        self.unspelled: list[str] = []
        self.ids = self._tokenized(tokenizer, end_token, max_tokens)
        self._embeddings = _embeddings(self.texts, embed, folder)

    def captions(self, numbers: Tensor) -> Tensor:
        """Token ids of texts [S] -> int64 [S, length of the longest]."""
        ids = torch.from_numpy(self.ids[numbers.numpy()].astype(np.int64))
        return ids[:, : int((ids != 0).sum(1).max())].contiguous()

    def embeddings(self, numbers: Tensor) -> Tensor:
        """Sentence embeddings of texts [S] -> [S, E], unit norm."""
        return F.normalize(torch.from_numpy(self._embeddings[numbers.numpy()]).float(), dim=-1)

    def words(self, number: int) -> tuple[str, ...]:
        """The content words of a text, which its control words are drawn from."""
        return content_words(self.texts[number])

    def _tokenized(self, tokenizer: Tokenizer, end_token: int, max_tokens: int) -> np.ndarray:
        small = tokenizer.get_vocab_size() < np.iinfo(np.int16).max
        ids = np.zeros((len(self.texts), max_tokens), dtype=np.int16 if small else np.int32)
        unknown = next((i for i in map(tokenizer.token_to_id, ("<unk>", "[UNK]")) if i is not None), None)
        longest = 1
        for start in range(0, len(self.texts), _CHUNK):
            part = self.texts[start : start + _CHUNK]
            for row, found in enumerate(tokenizer.encode_batch(part, add_special_tokens=False), start=start):
                own = [token for token, is_text in zip(found.ids, found.attention_mask, strict=True) if is_text]
                tokens = [*own[: max_tokens - 1], end_token]
                ids[row, : len(tokens)] = tokens
                longest = max(longest, len(tokens))
                if unknown is not None and unknown in tokens:
                    self.unspelled.append(self.texts[row])
        return ids[:, :longest]


def draw_controls(words: Sequence[str], rng: np.random.Generator, chances: TextConfig) -> tuple[str, ...]:
    """Control words left of a caption's: by chance none at all, else without each by chance, shuffled."""
    if not words or rng.random() < chances.no_controls:
        return ()
    kept = [word for word in words if rng.random() >= chances.drop_control]
    return tuple(kept[k] for k in rng.permutation(len(kept))[: chances.max_controls])


def _embeddings(texts: Sequence[str], embed: Embed, folder: Path | None) -> np.ndarray:
    """[T, E], computed, or mapped from `folder` where the same texts were embedded before by the same encoder."""
    if folder is None:
        return embed(texts).float().cpu().numpy()
    probe = embed(["a probe of the text encoder's weights"]).float().cpu().numpy().round(4)
    digest = sha256(probe.tobytes())
    for text in texts:
        digest.update(text.encode() + b"\n")
    path = folder / f"embeddings-{digest.hexdigest()[:16]}.npy"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        temporary = folder / f".{path.name}.{os.getpid()}.npy"
        shape = (len(texts), probe.shape[1])
        array = np.lib.format.open_memmap(temporary, "w+", np.float16, shape)
        for start in range(0, len(texts), _CHUNK):
            part = texts[start : start + _CHUNK]
            array[start : start + len(part)] = embed(part).float().cpu().numpy()
        array.flush()
        temporary.rename(path)
    return np.load(path, mmap_mode="r")

"""All training regions as tables: what is known of each, ready to be indexed by a batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from dynrefer.datasets.sample import Sample
from dynrefer.errors import InputError
from dynrefer.training.texts import TextTable
from dynrefer.vocabulary import Vocabulary

STYLE_OF = {"whole": "scene", "class": "class"}  # all other sources describe a region


class RegionTable:
    """S samples.

    Attributes:
        num_tags: N. attributes: int8 [S, A], 1 / 0 / -1 (unknown). category: [S], -1 = unknown.
        texts: of each sample, a list (chance, text number, source).
    """

    def __init__(
        self, samples: Sequence[Sample], vocabulary: Vocabulary, table: TextTable, sources: Mapping[str, float]
    ) -> None:
        self.samples = samples
        self.num_tags = len(vocabulary.tags)
        self._tag_number = {tag: k for k, tag in enumerate(vocabulary.tags)}
        self.attributes = _attributes(samples, len(vocabulary.attributes))
        number = {name: k for k, name in enumerate(vocabulary.classes)}
        self.category = torch.tensor([number.get(s.class_name or "", -1) for s in samples])
        self.texts = [_chances(sample, table, sources) for sample in samples]

    def tags(self, numbers: torch.Tensor) -> torch.Tensor:
        """Tag labels of samples [B] -> int8 [B, N], 1 / 0 / -1 (may or may not be true)."""
        labels = torch.zeros(len(numbers), self.num_tags, dtype=torch.int8)
        for row, number in enumerate(numbers.tolist()):
            sample = self.samples[number]
            for value, words in ((-1, sample.ignored_tags), (1, sample.tags)):
                labels[row, [self._tag_number[word] for word in words if word in self._tag_number]] = value
        return labels

    def draw_text(self, sample: int, rng: np.random.Generator) -> tuple[int, str]:
        """Number and source of one of the sample's texts: first a source by its chance, then any text of it."""
        chances, numbers, sources = self.texts[sample]
        chosen = int(np.searchsorted(chances, rng.random() * chances[-1], side="right"))
        return numbers[chosen], sources[chosen]


def _chances(sample: Sample, table: TextTable, sources: Mapping[str, float]) -> tuple[np.ndarray, list[int], list[str]]:
    """Cumulated chances of the texts, their numbers and sources."""
    found = [text.source for text in sample.texts]
    weights = np.array([sources.get(source, 0.0) / found.count(source) for source in found])
    if not weights.sum():
        raise InputError(f"The sample {sample.sample_id} has no text of a source that the configuration draws from.")
    return np.cumsum(weights), [table.index[text.text] for text in sample.texts], list(found)


def _attributes(samples: Sequence[Sample], count: int) -> torch.Tensor:
    labels = torch.full((len(samples), count), -1, dtype=torch.int8)
    for row, sample in enumerate(samples):
        if sample.attributes is None:
            continue
        if len(sample.attributes) != count:
            raise InputError(
                f"The sample {sample.sample_id} has {len(sample.attributes)} attribute labels, the checkpoint knows "
                f"{count} attributes: start from a checkpoint of the same attribute list."
            )
        labels[row] = torch.tensor(sample.attributes, dtype=torch.int8)
    return labels

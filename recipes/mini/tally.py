"""What was built: counts by split and source, and a few texts of each source to look at."""

import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

from dynrefer.datasets.sample import SOURCES, Sample


class Tally:
    """Counts samples while they pass, keeping `examples` texts of each source, drawn evenly."""

    def __init__(self, examples: int) -> None:
        self.tags: Counter[str] = Counter()  # training samples that have the tag
        self.held_out: set[str] = set()  # texts of samples outside "train"
        self._examples = examples
        self._rng = random.Random(0)
        self._samples: Counter[str] = Counter()
        self._labelled: Counter[str] = Counter()
        self._images: dict[str, set[str]] = defaultdict(set)
        self._texts: dict[str, Counter[str]] = defaultdict(Counter)
        self._shown: dict[str, list[str]] = defaultdict(list)

    def watch(self, samples: Iterable[Sample]) -> Iterator[Sample]:
        """The same samples, counted."""
        for sample in samples:
            self._add(sample)
            yield sample

    def _add(self, sample: Sample) -> None:
        self._samples[sample.split] += 1
        self._labelled[sample.split] += sample.attributes is not None
        self._images[sample.split].add(sample.image_id)
        if sample.split == "train":
            self.tags.update(sample.tags)
        else:
            self.held_out.update(text.text for text in sample.texts)
        for text in sample.texts:
            self._texts[sample.split][text.source] += 1
            self._show(text.source, f"{sample.image.name} {[round(value) for value in sample.box]}: {text.text}")

    def _show(self, source: str, line: str) -> None:
        shown = self._shown[source]
        if len(shown) < self._examples:
            shown.append(line)
        elif self._examples:
            place = self._rng.randrange(sum(counts[source] for counts in self._texts.values()))
            if place < self._examples:
                shown[place] = line

    @property
    def total(self) -> int:
        """How many samples there are."""
        return self._samples.total()

    def statistics(self) -> dict[str, Any]:
        """Numbers of samples, images, texts by source and samples with attributes, each by split."""
        return {
            "samples": dict(self._samples),
            "images": {split: len(ids) for split, ids in self._images.items()},
            "texts": {split: dict(counts) for split, counts in self._texts.items()},
            "with_attributes": dict(self._labelled),
        }

    def example_lines(self) -> list[str]:
        """The texts to look at: source, photograph, box, text."""
        return [f"{source:<11}{line}" for source in SOURCES for line in self._shown[source]]

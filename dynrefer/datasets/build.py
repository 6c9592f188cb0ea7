"""`python -m dynrefer data build`: a data set's own files -> samples and statistics."""

import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from dynrefer.datasets import coco, flickr, own, refcocog, visual_genome
from dynrefer.datasets.records import Problems, too_many
from dynrefer.datasets.sample import DESCRIBED, SOURCES, Sample, write_samples
from dynrefer.datasets.words import is_english_script
from dynrefer.errors import InputError
from dynrefer.files.atomic import claim, write_whole
from dynrefer.files.text import json_text

Reader = Callable[[Path, Problems], Iterator[Sample]]
READERS: dict[str, Reader] = {
    "coco": coco.read,
    "flickr-entities": flickr.read_entities,
    "flickr-regions": flickr.read_packed,
    "own": own.read,
    "refcocog": refcocog.read,
    "vg": visual_genome.read,
    "vg-coco": partial(visual_genome.read, coco_only=True),
}


def build(
    dataset: str, root: str | Path, out: str | Path, *, examples: int = 3, say: Callable[[str], None] = print
) -> dict[str, Any]:
    """Reads a data set and writes samples.jsonl and stats.json into `out`.

    Statistics, `examples` texts of each source and what was left out go to `say`; the statistics are returned.
    Raises InputError where `out` cannot be written, on missing or wrong files, or when more than 1 % of the records are
    bad.
    """
    if dataset not in READERS:
        raise InputError(f"no data set is called '{dataset}': take one of {', '.join(READERS)}.")
    problems, summary = Problems(), Summary(examples)
    is_new = not Path(out).exists()
    folder = claim(Path(out))
    try:
        samples = READERS[dataset](Path(root), problems)
    except InputError:
        if is_new:
            folder.rmdir()
        raise
    write_samples(summary.watch(samples), folder / "samples.jsonl")
    if not summary.total:
        (folder / "samples.jsonl").unlink()
        if is_new:
            folder.rmdir()
        left = problems.left_out
        why = f"the first of {len(left)} reasons: {left[0]}" if left else f"is it the data set '{dataset}'?"
        raise InputError(f"{root} gave no sample; {why}")
    return finish(folder, {"dataset": dataset} | summary.statistics(), summary, problems, say)


def finish(
    folder: Path, stats: dict[str, Any], summary: "Summary", problems: Problems, say: Callable[[str], None]
) -> dict[str, Any]:
    """Writes stats.json and shows statistics, examples, what was left out, and texts in other scripts."""
    stats |= {"skipped": dict(problems.counts), "mended": dict(problems.noted)}
    write_json(folder / "stats.json", stats | {"skipped_examples": problems.examples})
    for line in [*(f"{key}: {value}" for key, value in stats.items()), *summary.example_lines(), *problems.lines()]:
        say(line)
    if too_many(summary.foreign, summary.described):
        say(
            f"{summary.foreign} of {summary.described} descriptions are not in English letters, for example "
            f"{summary.foreign_example!r}: they are kept letter by letter, but dynrefer-mini's own language model only "
            "reads and writes English, so train another one on them."
        )
    return stats


def write_json(file: Path, content: Any) -> None:
    """JSON with a line an entry, for people to read."""
    write_whole(file, json_text(content, indent=1) + "\n")


class Summary:
    """Counts samples while they pass, keeping `examples` texts of each source, drawn evenly."""

    def __init__(self, examples: int) -> None:
        self.described = self.foreign = 0
        self.foreign_example = ""
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
        self._images[sample.split].add(sample.photo_id)
        for text in sample.texts:
            self._texts[sample.split][text.source] += 1
            self._show(text.source, f"{sample.photo_id} {[round(value) for value in sample.box]}: {text.text}")
            if text.source in DESCRIBED:
                self.described += 1
                if not is_english_script(text.text):
                    self.foreign += 1
                    self.foreign_example = self.foreign_example or text.text

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

"""The embedded model's training data: samples, tag vocabulary and texts out of one or more data sets.

    python -m recipes.mini.build OUT --coco DIR [--flickr DIR] [--named DIR] [--texts DIR] [--min-count N]

COCO's boxes get texts derived from captions and attributes, and the descriptions of `descriptions.jsonl`; Flickr's and
the named things keep their own. Writes samples.jsonl, tags.json, stats.json and with --texts corpus.jsonl.
Photographs of the other data sets are told apart by their folders.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from dynrefer.datasets.build import Summary, finish, write_json
from dynrefer.datasets.flickr import read_packed
from dynrefer.datasets.records import Problems
from dynrefer.datasets.sample import DESCRIBED, Sample, iter_samples, write_samples
from dynrefer.errors import InputError
from dynrefer.files.atomic import claim
from recipes.mini import coco, named_things
from recipes.mini.attributes import unsaid_attributes
from recipes.mini.corpus import read_texts, write_texts
from recipes.mini.tags import build_tag_vocabulary, restrict_tags
from recipes.mini.words import content_words, head_noun

DESCRIPTIONS = Path(__file__).with_name("descriptions.jsonl")


def main() -> int:
    """Read the arguments and build; 0, or 2 with one sentence on stderr."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="folder to write")
    parser.add_argument("--coco", type=Path, help="COCO's folder, with OVAD's file where there is one")
    parser.add_argument("--flickr", type=Path, help="folder of packed Flickr30k Entities regions")
    parser.add_argument("--named", type=Path, help="folder of named things")
    parser.add_argument("--texts", type=Path, help="folder of texts without photographs")
    parser.add_argument("--descriptions", type=Path, default=DESCRIPTIONS, help="region texts of COCO's photographs")
    parser.add_argument("--min-count", type=int, default=8, help="tags are words seen at least so often")
    parser.add_argument("--examples", type=int, default=3, help="examples to print of every kind of text")
    try:
        build(**vars(parser.parse_args()))
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def build(
    out: Path,
    coco: Path | None = None,
    flickr: Path | None = None,
    named: Path | None = None,
    texts: Path | None = None,
    descriptions: Path | None = DESCRIPTIONS,
    min_count: int = 8,
    examples: int = 3,
) -> dict[str, Any]:
    """Build the data; returns the statistics. A tag is in the vocabulary where `min_count` training samples have it.

    Raises InputError on missing or wrong files, or when more than 1 % of the records are bad.
    """
    problems, summary = Problems(), Summary(examples)
    folder = claim(out)
    everything = folder / "all-tags.jsonl"
    tags, held_out = Counter[str](), set[str]()
    samples = _noted(_samples(coco, flickr, named, descriptions, problems), tags, held_out)
    write_samples(summary.watch(samples), everything)
    if not summary.total:
        everything.unlink()
        raise InputError("There is no sample: name at least one of --coco, --flickr and --named.")
    vocabulary = build_tag_vocabulary(tags, min_count)
    known = frozenset(vocabulary)
    write_samples((restrict_tags(sample, known) for sample in iter_samples(everything)), folder / "samples.jsonl")
    everything.unlink()
    write_json(folder / "tags.json", vocabulary)
    stats: dict[str, Any] = {"dataset": "mini"} | summary.statistics() | {"tags": len(vocabulary)}
    if texts is not None:
        sentences = read_texts(texts, problems, held_out)
        write_texts(sentences, folder / "corpus.jsonl")
        stats["sentences"] = dict(Counter(sentence.kind for sentence in sentences))
    return finish(folder, stats, summary, problems, print)


def _noted(samples: Iterable[Sample], tags: Counter[str], held_out: set[str]) -> Iterator[Sample]:
    """The same samples; counts in `tags` those of training that have each, and takes the texts of the others."""
    for sample in samples:
        if sample.split == "train":
            tags.update(sample.tags)
        else:
            held_out.update(text.text for text in sample.texts)
        yield sample


def _samples(
    root: Path | None, flickr: Path | None, named: Path | None, descriptions: Path | None, problems: Problems
) -> Iterator[Sample]:
    if root is not None:
        yield from coco.read(root, problems, descriptions)
    if flickr is not None:
        for sample in read_packed(flickr, problems):
            yield retagged(replace(sample, photo=f"flickr/{sample.photo}", name=_everyday(sample)))
    if named is not None:
        for sample in named_things.read(named, problems):
            yield retagged(replace(sample, photo=f"named/{sample.photo}", class_name=None))


def _everyday(sample: Sample) -> str | None:
    """The noun of what a region is mostly called, or else of its first description."""
    called = sorted((text for text in sample.texts if text.source in DESCRIBED), key=lambda t: t.source != "phrase")
    return head_noun(called[0].text) if called else None


def retagged(sample: Sample) -> Sample:
    """The sample with the recipe's own tags: nouns, adjectives and verbs of its texts, attributes left open."""
    tags = {word for text in sample.texts for word in content_words(text.text)}
    ignored = {*sample.ignored_tags, *unsaid_attributes(tags)} - tags
    return replace(sample, tags=tuple(tags), ignored_tags=tuple(ignored))


if __name__ == "__main__":
    sys.exit(main())

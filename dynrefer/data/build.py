"""`python -m dynrefer data build`: a data set's own files -> samples, tag vocabulary, sentences and statistics."""

import json
import random
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from dynrefer.data import coco
from dynrefer.data.corpus import text_corpus
from dynrefer.data.loader import write_samples
from dynrefer.data.problems import Problems
from dynrefer.data.sample import SOURCES, Sample
from dynrefer.data.tags import build_tag_vocabulary, restrict_tags
from dynrefer.errors import InputError

Reader = Callable[[Path, Problems], list[Sample]]
READERS: dict[str, Reader] = {"coco": coco.read}


def build(
    dataset: str,
    root: str | Path,
    out: str | Path,
    *,
    texts: str | Path | None = None,
    min_count: int = 8,
    examples: int = 3,
    say: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Reads a data set and writes samples.jsonl, tags.json, stats.json and, with `texts`, corpus.jsonl into `out`.

    `texts` is a folder of sentences; those that equal a validation caption are left out. Returns the statistics.
    Raises InputError on missing or wrong files, or when more than 1 % of the records are bad.
    """
    if dataset not in READERS:
        raise InputError(f"no data set is called '{dataset}': take one of {', '.join(READERS)}.")
    problems = Problems()
    samples = READERS[dataset](Path(root), problems)
    if not samples:
        raise InputError(f"{root} gave no sample: is it the folder of the data set '{dataset}'?")
    vocabulary = build_tag_vocabulary(samples, min_count)
    known = frozenset(vocabulary)
    samples = [restrict_tags(sample, known) for sample in samples]
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    write_samples(samples, folder / "samples.jsonl")
    _write_json(folder / "tags.json", vocabulary)
    stats = _statistics(samples, vocabulary, problems) | {"dataset": dataset}
    if texts is not None:
        held_out = [text.text for sample in samples if sample.split != "train" for text in sample.texts]
        corpus = text_corpus(Path(texts), held_out)
        lines = (json.dumps(sentence._asdict()) for sentence in corpus)
        (folder / "corpus.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
        stats["sentences"] = dict(Counter(sentence.kind for sentence in corpus))
    _write_json(folder / "stats.json", stats)
    _report(samples, stats, examples, say)
    return stats


def _write_json(file: Path, content: Any) -> None:
    file.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def _statistics(samples: Sequence[Sample], vocabulary: Sequence[str], problems: Problems) -> dict[str, Any]:
    splits = sorted({sample.split for sample in samples})
    return {
        "samples": dict(Counter(sample.split for sample in samples)),
        "images": {split: len({s.image_id for s in samples if s.split == split}) for split in splits},
        "texts": {
            split: dict(Counter(text.source for s in samples if s.split == split for text in s.texts))
            for split in splits
        },
        "with_attributes": dict(Counter(sample.split for sample in samples if sample.attributes is not None)),
        "tags": len(vocabulary),
        "skipped": dict(problems.counts),
        "skipped_examples": problems.examples,
    }


def _report(samples: Sequence[Sample], stats: dict[str, Any], examples: int, say: Callable[[str], None]) -> None:
    for key, value in stats.items():
        say(f"{key}: {value}")
    rng = random.Random(0)
    for source in SOURCES:
        found = [(text.text, sample) for sample in samples for text in sample.texts if text.source == source]
        for text, sample in rng.sample(found, min(examples, len(found))):
            say(f"  {source:<11}{sample.image.name} {[round(v) for v in sample.box]}: {text}")

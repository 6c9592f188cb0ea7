"""`python -m dynrefer data build`: a data set's own files -> samples, tag vocabulary, sentences and statistics."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from dynrefer.datasets import coco, own, refcocog, visual_genome
from recipes.mini.corpus import text_corpus
from dynrefer.datasets.io import iter_samples, write_samples
from dynrefer.datasets.io import Problems
from dynrefer.datasets.sample import Sample
from recipes.mini.tags import build_tag_vocabulary, restrict_tags
from recipes.mini.tally import Tally
from dynrefer.errors import InputError

Reader = Callable[[Path, Problems], Iterator[Sample]]
READERS: dict[str, Reader] = {
    "coco": coco.read,
    "own": own.read,
    "refcocog": refcocog.read,
    "vg": visual_genome.read,
    "vg-coco": visual_genome.read_vg_coco,
}


def build(
    dataset: str,
    root: str | Path,
    out: str | Path,
    *,
    texts: str | Path | None = None,
    descriptions: str | Path | None = None,
    min_count: int = 8,
    examples: int = 3,
    say: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Reads a data set and writes samples.jsonl, tags.json, stats.json and, with `texts`, corpus.jsonl into `out`.

    A tag is in the vocabulary where `min_count` training samples have it. `texts` is a folder of sentences; those that
    equal a validation caption are left out. `descriptions` is a file of region texts for COCO's photographs.
    Statistics and `examples` texts of each source go to `say`; the statistics
    are returned. Raises InputError on missing or wrong files, or when more than 1 % of the records are bad.
    """
    if dataset not in READERS:
        raise InputError(f"no data set is called '{dataset}': take one of {', '.join(READERS)}.")
    reader = READERS[dataset]
    if descriptions is not None:
        if dataset != "coco":
            raise InputError("descriptions belong to COCO's photographs: build the data set 'coco', or leave them out.")
        reader = partial(coco.read, descriptions=Path(descriptions))
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    problems, tally, samples_file = Problems(), Tally(examples), folder / "samples.jsonl"
    everything = folder / "all-tags.jsonl"
    write_samples(tally.watch(reader(Path(root), problems)), everything)
    if not tally.total:
        everything.unlink()
        raise InputError(f"{root} gave no sample: is it the folder of the data set '{dataset}'?")
    vocabulary = build_tag_vocabulary(tally.tags, min_count)
    known = frozenset(vocabulary)
    write_samples((restrict_tags(sample, known) for sample in iter_samples(everything)), samples_file)
    everything.unlink()
    _write_json(folder / "tags.json", vocabulary)
    stats = {"dataset": dataset} | tally.statistics() | {"tags": len(vocabulary), "skipped": dict(problems.counts)}
    if texts is not None:
        stats["sentences"] = _write_corpus(Path(texts), tally.held_out, folder / "corpus.jsonl")
    _write_json(folder / "stats.json", stats | {"skipped_examples": problems.examples})
    for line in [*(f"{key}: {value}" for key, value in stats.items()), *tally.example_lines()]:
        say(line)
    return stats


def _write_corpus(texts: Path, held_out: set[str], file: Path) -> dict[str, int]:
    corpus = text_corpus(texts, held_out)
    file.write_text("".join(json.dumps(sentence._asdict()) + "\n" for sentence in corpus), encoding="utf-8")
    return dict(Counter(sentence.kind for sentence in corpus))


def _write_json(file: Path, content: Any) -> None:
    file.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")

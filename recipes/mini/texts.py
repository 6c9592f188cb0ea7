"""Texts that the writer learns from, each with the words that it will be told to write about.

    python -m recipes.mini.texts RUN --corpus runs/samples/corpus.jsonl

Reads regions.jsonl and vocabulary.json of RUN (training texts only); writes RUN/texts.jsonl: text, kind and controls,
the thing first. Two of three captions of whole photographs have no controls: they only count for the tokenizer.
"""

import argparse
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

from dynrefer.datasets.sample import Sample
from dynrefer.files.atomic import written_whole
from dynrefer.files.text import read_jsonl
from recipes.mini.corpus import Sentence, load_texts
from recipes.mini.names import head_nouns
from recipes.mini.regions import origin, read_regions, texts_of
from recipes.mini.vocabulary import Words
from recipes.mini.words import content_words, normalise

TEXTS = "texts.jsonl"
LENGTHS = range(2, 19)  # words
LONGEST = {"sentence": 16, "scene": 16}
SHORTEST_PHRASE = 3
CAREFUL = ("thing", "described", "named")  # written for this project, so that their words are spelled well
COMMON = 8  # times that a word of another kind has to occur, unless a careful text has it
SCENE_STEP = 3  # every third scene has controls
_SPELLED = re.compile(r"[a-z0-9' -]+")


class WriterText(NamedTuple):
    """A text, its kind, and the words it can be asked for by; None where it teaches the tokenizer only."""

    text: str
    kind: str
    controls: list[str] | None


class _Found(NamedTuple):
    text: str
    kind: str
    thing: str | None = None


def main() -> None:
    """Read the arguments and write the texts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of this run")
    parser.add_argument("--corpus", type=Path, required=True, help="corpus.jsonl of recipes.mini.build --texts")
    args = parser.parse_args()
    found = [*of_corpus(load_texts(args.corpus)), *of_regions(read_regions(args.run))]
    kept = tidy(found)
    print(Counter(text.kind for text in kept))
    write(with_controls(kept, Words.of(args.run).compounds), args.run / TEXTS)


def write(texts: Iterable[WriterText], file: Path) -> None:
    """One text a line."""
    with written_whole(file) as draft, draft.open("w", encoding="utf-8") as stream:
        for text in texts:
            stream.write(json.dumps(text._asdict(), ensure_ascii=False) + "\n")


def load(file: Path) -> list[WriterText]:
    """What `write` wrote."""
    return [WriterText(r["text"], r["kind"], r["controls"]) for _, r in read_jsonl(file, "text", "kind", "controls")]


def of_corpus(sentences: Iterable[Sentence]) -> Iterator[_Found]:
    """Texts without photographs; captions are called scenes, after the writer's style."""
    for sentence in sentences:
        kind = "scene" if sentence.kind == "caption" else sentence.kind
        yield _Found(normalise(sentence.text), kind, normalise(sentence.thing) if sentence.thing else None)


def of_regions(regions: Iterable[Sample]) -> Iterator[_Found]:
    """What the training regions' texts say."""
    for region in regions:
        if region.split != "train":
            continue
        if origin(region) == "named":
            yield from (
                _Found(normalise(t), "named", normalise(region.name or "")) for t in texts_of(region, "described")
            )
            continue
        for source in ("described", "grounded"):
            yield from (_Found(normalise(text), source) for text in texts_of(region, source))
        phrases = [normalise(text) for text in texts_of(region, "phrase")]
        yield from (_Found(text, "phrase") for text in phrases if len(text.split()) >= SHORTEST_PHRASE)
        yield from (_Found(normalise(text), "sentence") for text in texts_of(region, "human"))


def tidy(texts: Sequence[_Found]) -> list[_Found]:
    """Each once, of a fit length, without words that look like slips: rare ones that no careful text has."""
    fit = [
        text
        for text in dict.fromkeys(texts)
        if len(text.text.split()) in LENGTHS
        and len(text.text.split()) <= LONGEST.get(text.kind, LENGTHS.stop)
        and _SPELLED.fullmatch(text.text)
    ]
    counts = Counter(word for text in fit for word in text.text.split())
    known = {word for text in fit if text.kind in CAREFUL for word in text.text.split()}
    known |= {word for word, count in counts.items() if count >= COMMON}
    return [text for text in fit if text.kind in CAREFUL or known.issuperset(text.text.split())]


def with_controls(texts: Sequence[_Found], compounds: AbstractSet[str]) -> Iterator[WriterText]:
    """The texts with what they are about, their first name and their content words."""
    for place, (text, kind, thing) in enumerate(tqdm(texts, unit="text")):
        if kind == "scene" and place % SCENE_STEP:
            yield WriterText(text, kind, None)
            continue
        about = [thing] if thing else []
        words = [*about, *head_nouns(text, compounds)[:1], *content_words(text)]
        yield WriterText(text, kind, list(dict.fromkeys(words)))


if __name__ == "__main__":
    main()

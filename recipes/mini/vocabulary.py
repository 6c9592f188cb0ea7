"""The words that regions are called and tagged with, out of what the texts say; and their embeddings.

    python -m recipes.mini.vocabulary RUN --start CHECKPOINT --corpus runs/samples/corpus.jsonl
        --imagenet NAMED/imagenet_names.json

Reads RUN/regions.jsonl; writes RUN/vocabulary.json (names, tags, and compounds for `head_nouns`) and
RUN/embeddings.safetensors. `imagenet_names.json` tells of each class that the encoder's classifier knows its index, its
name and its everyday name.
"""

import argparse
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from textblob.en import lexicon

from dynrefer.checkpoint import load_checkpoint
from dynrefer.datasets.sample import Sample
from dynrefer.files.text import read_json, read_text
from dynrefer.model.query_decoder import TextQueries
from dynrefer.model.text_encoder import TextEncoder
from recipes.mini.attributes import COLOURS
from recipes.mini.classes import CLASS_NAMES, NOUN_CLASS
from recipes.mini.corpus import load_texts
from recipes.mini.names import LONGEST, all_heads, as_name, lemma
from recipes.mini.regions import origin, read_regions, texts_of
from recipes.mini.start import EMBEDDINGS, Heads
from recipes.mini.words import content_words, normalise

VOCABULARY = "vocabulary.json"
NOT_DEFAULT = Path(__file__).with_name("not_default_names.txt")
MIN_NAME, MIN_KNOWN_NAME = 4, 2  # regions that are called so: any noun, and one that the corpus has texts of
MIN_TAG, MIN_NEW_TAG = 8, 12  # regions of which it is said: words of the checkpoint's tags, and others
TEXT_PRIOR, REGION_PRIOR = 0.2, 0.4  # powers of the counts, chosen on held-out regions
SMOOTHED = 3
NOT_NAMES = (
    frozenset(
        "someone something object area surface top side front back bottom edge end part piece leave away together "
        "ahead overhead full stopped hidden seated carried raised framed hung bordered dusted tipped laid cast "
        "pressed lifted displayed silhouetted streaked dotted flat spread run couple figure structure interior rear "
        "male female adult thing set item pair group row line gear background foreground shape symbol other bunch "
        "team step portion type way place kind body base upper lower middle left right center okapus lotus being "
        "blur distance air scene view spot mid space work day night time game match event action trick half scenery "
        "competition race performance position kick pose look lot number surroundings stage arm-in-arm adults males "
        "females others okapi's person's object's corner section slice layer trim print pattern design detail curve "
        "bit stroke material asian african american caucasian indian chinese hand-in-hand obstacle activity grey "
        "silver gold beige blond blonde dark light-colored multicolored colorful wooden".split()
    )
    | set(COLOURS)
    | {"white and black"}
)
NOT_TAGS = frozenset("part side top front back thing being carried okapus leave".split())


@dataclass(frozen=True)
class Words:
    """What is written to vocabulary.json.

    Attributes:
        names: what regions are called, most frequent first. tags: what is true of regions; names are tags as well.
        known_tags: those of the checkpoint that training starts from.
        compounds: known names, for `head_nouns`.
        priors: of each name, the logarithm of how much likelier than others people are to say it.
    """

    names: tuple[str, ...]
    tags: tuple[str, ...]
    known_tags: tuple[str, ...]
    compounds: frozenset[str]
    priors: tuple[float, ...] = ()

    @classmethod
    def of(cls, run: Path) -> "Words":
        """Reads a run's vocabulary."""
        content = read_json(run / VOCABULARY, "names", "tags", "known_tags", "compounds", "priors")
        names, tags, known, priors = (tuple(content[key]) for key in ("names", "tags", "known_tags", "priors"))
        return cls(names, tags, known, frozenset(content["compounds"]), priors)

    def write(self, run: Path) -> None:
        """Writes a run's vocabulary."""
        content = asdict(self) | {"compounds": sorted(self.compounds)}
        (run / VOCABULARY).write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def main() -> None:
    """Read the arguments and write vocabulary and embeddings."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of this run, with regions.jsonl")
    parser.add_argument("--start", type=Path, required=True, help="checkpoint with text encoder and former tags")
    parser.add_argument("--corpus", type=Path, required=True, help="corpus.jsonl of recipes.mini.build --texts")
    parser.add_argument("--imagenet", type=Path, required=True, help="names of the classifier's classes")
    args = parser.parse_args()
    checkpoint = load_checkpoint(args.start)
    classes = sorted(read_json(args.imagenet).values(), key=lambda known: known["index"])
    corpus = load_texts(args.corpus)
    things = {as_name(sentence.thing) for sentence in corpus if sentence.thing}
    everyday = [as_name(known["everyday"]) for known in classes]
    regions = read_regions(args.run)
    words = collect(regions, things, everyday, checkpoint.vocabulary.tags)
    words = replace(words, priors=priors(words, regions, [sentence.text for sentence in corpus]))
    words.write(args.run)
    print(len(words.names), "names,", len(words.tags), "tags")
    encoder = checkpoint.model.text_encoder
    assert encoder is not None
    embed(encoder, words, everyday, [known["name"].lower() for known in classes], args.run)


def default_names(names: Sequence[str]) -> list[int]:
    """Places of the names that a region is called when nobody gives a list: all but those too vague to be an answer."""
    vague = set(read_text(NOT_DEFAULT).splitlines())
    return [place for place, name in enumerate(names) if name not in vague]


def default_queries(heads: Heads, words: Words) -> tuple[list[int], tuple[TextQueries, TextQueries]]:
    """Places of the default names, and the names as both decoders take them."""
    places, place_of = default_names(words.names), {tag: place for place, tag in enumerate(words.tags)}
    tags = heads.tags[[place_of[words.names[place]] for place in places]]
    return places, (heads.model.contrast_texts(heads.names[places]), heads.model.tag_texts(tags))


def priors(words: Words, regions: Sequence[Sample], texts: Iterable[str]) -> tuple[float, ...]:
    """Of each name: weighted logarithms of how many texts say it and how many training regions are called so."""
    place = {name: k for k, name in enumerate(words.names)}
    called, said = np.zeros(len(place)), np.zeros(len(place))
    for region in regions:
        if region.split == "train":
            called[[place[name] for name in said_names(region, words.compounds) if name in place]] += 1
    for text in texts:
        tokens = normalise(text).split()
        spans = (tokens[k : k + count] for count in range(1, LONGEST + 1) for k in range(len(tokens) - count + 1))
        names = {" ".join([*first, lemma(last)]) for *first, last in spans}
        said[[place[name] for name in names if name in place]] += 1
    weighed = TEXT_PRIOR * np.log(said + SMOOTHED) + REGION_PRIOR * np.log(called + SMOOTHED)
    return tuple((weighed - weighed.mean()).round(3).tolist())


def said_names(region: Sample, compounds: AbstractSet[str]) -> list[str]:
    """What a region is called, most specific first: by its texts, its class or its given name."""
    if origin(region) == "named":
        name = as_name(region.name or "")
        return list(dict.fromkeys([name, name.split()[-1]]))
    if origin(region) == "flickr":
        return all_heads(texts_of(region, "phrase"), compounds)
    own_class = [region.class_name] if region.class_name else []
    return list(dict.fromkeys([*all_heads(texts_of(region, "described", "human"), compounds), *own_class]))


def said_words(region: Sample, names: Iterable[str], known_tags: AbstractSet[str]) -> set[str]:
    """Everything that is said of a region: its names, and its tags or the content words of its texts."""
    if origin(region) == "coco":
        return {*names, *(known_tags & set(region.tags))}
    texts = texts_of(region, "phrase") or texts_of(region, "described")
    return {*names, *(word for text in texts for word in content_words(text))}


def collect(
    regions: Sequence[Sample], things: AbstractSet[str], everyday: Sequence[str], known_tags: Sequence[str]
) -> Words:
    """Names and tags that enough training regions have; the classes' names always.

    `things` are what the corpus has texts of, `everyday` the everyday names of the classifier's classes.
    """
    compounds = frozenset({*things, *everyday, *CLASS_NAMES, *NOUN_CLASS})
    called, tagged = Counter[str](), Counter[str]()
    for region in regions:
        if region.split == "train":
            names = said_names(region, compounds)
            called.update(names)
            tagged.update(sorted(said_words(region, names, frozenset(known_tags))))
    always = {*CLASS_NAMES, *everyday}
    frequent = [
        word
        for word, count in called.most_common()
        if word not in NOT_NAMES
        and (
            word in always
            or (count >= MIN_NAME and _is_noun(word, things, compounds))
            or (count >= MIN_KNOWN_NAME and word in things)
        )
    ]
    names = tuple(dict.fromkeys([*frequent, *everyday, *CLASS_NAMES]))
    new = [word for word, count in tagged.most_common() if count >= MIN_NEW_TAG]
    among = set(names)
    tags = [word for word in dict.fromkeys([*known_tags, *names, *new]) if word in among or tagged[word] >= MIN_TAG]
    return Words(names, tuple(word for word in tags if word not in NOT_TAGS), tuple(known_tags), compounds)


def _is_noun(word: str, things: AbstractSet[str], compounds: AbstractSet[str]) -> bool:
    if " " in word or word in things:
        return word in compounds
    return word in lexicon and lexicon[word].startswith("NN") and not word.endswith("ed")


def embed(encoder: TextEncoder, words: Words, everyday: Sequence[str], classifier: Sequence[str], run: Path) -> None:
    """Write the embeddings of names and of both names of each class ("the ..."), and of tags (bare)."""
    texts = {
        "names": [f"the {name}" for name in words.names],
        "tags": list(words.tags),
        "everyday_names": [f"the {name}" for name in everyday],
        "classifier_names": [f"the {name}" for name in classifier],
    }
    with torch.inference_mode():
        save_file({name: encoder(part).contiguous() for name, part in texts.items()}, run / EMBEDDINGS)


if __name__ == "__main__":
    main()

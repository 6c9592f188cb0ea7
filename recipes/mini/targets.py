"""What each region teaches: its names, which tags are true, false or unknown of it, and a text's embedding.

    python -m recipes.mini.targets RUN --start CHECKPOINT

Reads regions.jsonl, vocabulary.json and embeddings.safetensors of RUN; writes RUN/targets: names.json (a list of
numbers a region), tags.npy (int8 [R, T]: 1 true, 0 false, -1 unknown), texts.npy (float16 [R, E]).
"""

import argparse
import json
import random
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor
from tqdm import tqdm

from dynrefer.checkpoint import load_checkpoint
from dynrefer.datasets.sample import Sample
from dynrefer.files.text import read_json
from dynrefer.model.text_encoder import TextEncoder
from recipes.mini.attributes import ATTRIBUTE_TAGS, COLOURS
from recipes.mini.regions import origin, read_regions, texts_of
from recipes.mini.start import EMBEDDINGS
from recipes.mini.vocabulary import Words, said_names, said_words

FOLDER = "targets"
TRUE, FALSE, UNKNOWN = 1, 0, -1
ALIKE = 0.55  # cosine of two tags from which one does not deny the other
ALTERNATIVES = (  # who says one of them denies the others
    frozenset(COLOURS),
    frozenset("wooden metal plastic glass leather ceramic concrete stone paper cloth brick".split()),
    frozenset("sitting standing lying walking running jumping riding flying swimming".split()),
    frozenset({"large", "small"}),
    frozenset({"man", "woman", "boy", "girl"}),
    frozenset({"open", "closed"}),
    frozenset({"wet", "dry"}),
    frozenset({"old", "young"}),
)


def main() -> None:
    """Read the arguments and write the targets."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of this run")
    parser.add_argument("--start", type=Path, required=True, help="checkpoint whose text encoder reads the texts")
    args = parser.parse_args()
    regions, words = read_regions(args.run), Words.of(args.run)
    labels = TagLabels(words, load_file(args.run / EMBEDDINGS)["tags"])
    number = {name: k for k, name in enumerate(words.names)}
    folder = args.run / FOLDER
    folder.mkdir(exist_ok=True)
    tags = np.lib.format.open_memmap(folder / "tags.npy", "w+", np.int8, (len(regions), len(words.tags)))
    names = []
    for row, region in enumerate(tqdm(regions, unit="region")):
        said = said_names(region, words.compounds)
        names.append([number[name] for name in said if name in number])
        tags[row] = labels.of(region, said)
    tags.flush()
    (folder / "names.json").write_text(json.dumps(names), encoding="utf-8")
    rng = random.Random(0)
    encoder = load_checkpoint(args.start).model.text_encoder
    assert encoder is not None
    np.save(folder / "texts.npy", embedded(encoder, [one_text(region, rng).lower() for region in regions]))


class Targets:
    """What `main` wrote, mapped."""

    def __init__(self, run: Path) -> None:
        self.names: list[list[int]] = read_json(run / FOLDER / "names.json")
        self.tags, self.texts = (np.load(run / FOLDER / f"{name}.npy", mmap_mode="r") for name in ("tags", "texts"))


class TagLabels:
    """Which tags are true, false or unknown of a region.

    A tag that nobody said is false; unknown are names that something said is like, and visible qualities (attributes,
    materials, postures), unless an alternative denies them or OVAD labelled the region. What else is neither a name
    nor such a quality ("shiny", "holding") is worth saying only where people say it, so it is false elsewhere.
    """

    def __init__(self, words: Words, embeddings: Tensor) -> None:
        names, self.known = set(words.names), frozenset(words.known_tags)
        self.number = {tag: k for k, tag in enumerate(words.tags)}
        visible = set().union(ATTRIBUTE_TAGS, *ALTERNATIVES)
        others = np.array([tag not in names for tag in words.tags])
        self.qualities = np.array([tag not in names and tag in visible for tag in words.tags])
        self.unlabelled = self.qualities & np.array([tag not in self.known for tag in words.tags])
        self.ignorable = ~others | self.qualities
        self.alternatives = [(group, self._numbers(group)) for group in ALTERNATIVES]
        self.alike = (embeddings @ embeddings.T > ALIKE).numpy() & ~others

    def of(self, region: Sample, names: Iterable[str]) -> np.ndarray:
        """The labels [T] of a region that is called `names`."""
        said = said_words(region, names, self.known)
        true = self._numbers(said)
        if not true:
            return np.full(len(self.number), UNKNOWN, np.int8)
        labels = np.full(len(self.number), FALSE, np.int8)
        if region.attributes is None:
            labels[self.qualities] = UNKNOWN
            for group, numbers in self.alternatives:
                if group & said:
                    labels[numbers] = FALSE
        else:
            labels[self.unlabelled] = UNKNOWN
        labels[self.alike[true].any(0)] = UNKNOWN
        if origin(region) == "coco":
            ignored = np.zeros(len(labels), bool)
            ignored[self._numbers(self.known & set(region.ignored_tags))] = True
            labels[ignored & self.ignorable] = UNKNOWN
        labels[true] = TRUE
        return labels

    def _numbers(self, tags: AbstractSet[str]) -> list[int]:
        return [self.number[tag] for tag in tags if tag in self.number]


def one_text(region: Sample, rng: random.Random) -> str:
    """A text that the sentence embedding learns: a description before what was derived."""
    if origin(region) == "coco":
        texts = texts_of(region, "described", "human") or texts_of(region, "grounded") or [region.texts[0].text]
    elif origin(region) == "flickr":
        phrases, sentences = texts_of(region, "phrase"), texts_of(region, "human")
        texts = sentences if sentences and (not phrases or rng.random() >= 0.5) else phrases
    else:
        texts = texts_of(region, "described") or [f"a {region.name}"]
    return rng.choice(texts)


@torch.inference_mode()
def embedded(encoder: TextEncoder, texts: Sequence[str], together: int = 4096) -> np.ndarray:
    """Embeddings of texts, float16 [R, E]; each different text is read once."""
    different = sorted(set(texts), key=len)
    parts = []
    with torch.autocast("cpu", torch.bfloat16):
        for start in tqdm(range(0, len(different), together), unit=f"{together} texts"):
            part = encoder(different[start : start + together])
            parts.append(part.half().numpy())
    row = {text: k for k, text in enumerate(different)}
    return np.concatenate(parts)[[row[text] for text in texts]]


if __name__ == "__main__":
    main()

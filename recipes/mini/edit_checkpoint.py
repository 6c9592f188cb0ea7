"""A checkpoint out of others, between the steps of a recipe.

python scripts/edit_checkpoint.py OUT CHECKPOINT --tags runs/samples/tags.json        another tag vocabulary
python scripts/edit_checkpoint.py OUT CHECKPOINT --average OTHER --share 0.6          0.6 of the first, 0.4 of the other
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from lemminflect import getAllLemmas
from textblob.en import lexicon

from dynrefer.checkpoint import load_checkpoint, save_checkpoint
from dynrefer.model import DynRefer
from dynrefer.model.agreement import ARTICLES, REACH

SEEN, SEEN_SINGULAR = 20, 100  # times a plural and any other noun must be seen to be judged


def main() -> None:
    """Read the arguments and write the checkpoint folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--tags", type=Path, help="JSON list, as `data build` writes it")
    parser.add_argument("--agreement", type=Path, metavar="DATA", help="folder of texts to learn from what follows 'a'")
    parser.add_argument("--average", type=Path, metavar="OTHER", help="checkpoint trained on from the first")
    parser.add_argument("--share", type=float, default=0.5, help="of the first in the average")
    args = parser.parse_args()
    checkpoint = load_checkpoint(args.checkpoint, "cpu")
    vocabulary = checkpoint.vocabulary
    if args.average:
        average(checkpoint.model, load_checkpoint(args.average, "cpu").model, args.share)
    if args.tags:
        assert checkpoint.model.text_encoder is not None
        vocabulary = replace(vocabulary, tags=tuple(json.loads(args.tags.read_text())))
        vocabulary = vocabulary.embedded(checkpoint.model.text_encoder)
    if args.agreement:
        model = checkpoint.model
        language = replace(model.config.language, **agreement_words(args.agreement))
        model.config = replace(model.config, language=language)
    save_checkpoint(args.out, checkpoint.model, vocabulary)


@torch.no_grad()
def average(model: DynRefer, other: DynRefer, share: float) -> None:
    """Move the model's weights towards the other's: share * own + (1 - share) * other (Wortsman et al., ICML 2022)."""
    for own, its in zip(model.parameters(), other.parameters(), strict=True):
        own.lerp_(its.to(own.dtype), 1 - share)


def agreement_words(data: Path) -> dict[str, tuple[str, ...]]:
    """What `dynrefer.model.agreement` needs, from the training texts.

    A noun never follows "a" if it is seen often (more often if it is no plural: "hair", "sand"), and at most once in a
    hundred times behind an article and up to two qualities.
    """
    samples, corpus = (
        [json.loads(line) for line in (data / name).read_text().splitlines()]
        for name in ("samples.jsonl", "corpus.jsonl")
    )
    texts = {text["text"] for sample in samples if sample["split"] == "train" for text in sample["texts"]}
    texts |= {record["text"] for record in corpus}
    counts = Counter(word for text in texts for word in text.split())
    qualities = {word for word in counts if counts[word] >= SEEN and lexicon.get(word) == "JJ"}
    behind = Counter(word for text in texts for word in _behind_article(text.split(), qualities))
    nouns = {word for word in counts if counts[word] >= (SEEN if _is_plural(word) else SEEN_SINGULAR)}
    never = {word for word in nouns if behind[word] <= 0.01 * counts[word] and lexicon.get(word, "NN")[:2] == "NN"}
    return {"without_article": tuple(sorted(never)), "qualities": tuple(sorted(qualities))}


def _is_plural(word: str) -> bool:
    return "NOUN" in getAllLemmas(word) and word not in getAllLemmas(word)["NOUN"]


def _behind_article(words: Sequence[str], qualities: Collection[str]) -> Iterator[str]:
    """The words that end what began with "a" or "an" and at most two qualities."""
    for place, word in enumerate(words):
        if word not in ARTICLES:
            continue
        for following in words[place + 1 : place + 1 + REACH]:
            yield following
            if following not in qualities:
                break


if __name__ == "__main__":
    main()

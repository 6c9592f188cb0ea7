"""The writer's tokenizer: 8,192 pieces, most of them whole words, so that every name can be told and written in one.

    python -m recipes.mini.tokenizer RUN

Reads texts.jsonl and vocabulary.json of RUN; writes RUN/tokenizer.json. A unigram tokenizer trained as usual cut a
quarter of the names' words into pieces ("b" + "ridge"); of it this one keeps only what spells rare words.
"""

import argparse
import json
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from recipes.mini.texts import TEXTS, WriterText, load
from recipes.mini.vocabulary import Words

TOKENIZER = "tokenizer.json"
SIZE = 8192
USUAL_SIZE = 7998  # of the tokenizer whose pieces are borrowed
MARK = "\u2581"  # a word begins here
SPECIAL = ("<pad>", "</s>", "<unk>")
CONTROL_MARKS = (",", "|")  # of the control text "tag1,tag2|"
MARK_SCORE, LETTER_SCORE, PIECE_PENALTY = -10.0, -16.0, 6.0  # log probabilities: whole words come first
INNER_PIECES, FIRST_PIECES = 420, 100  # of the usual tokenizer, inside a word and at its beginning
WORD_WEIGHT = {"thing": 6, "described": 6, "named": 8, "sentence": 2, "phrase": 2}
TEXT_WEIGHT = {"thing": 3, "described": 3, "named": 4}
NAME_WEIGHT, THING_WEIGHT, GIVEN_WEIGHT = 30, 3, 25


def main() -> None:
    """Read the arguments and write the tokenizer."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of this run")
    args = parser.parse_args()
    words = Words.of(args.run)
    tokenizer = word_tokenizer(load(args.run / TEXTS), [*words.names, *words.tags])
    tokenizer.save(str(args.run / TOKENIZER))
    parts = [part for name in words.names for part in name.split()]
    whole = sum(len(tokenizer.encode(part).ids) == 1 for part in parts)
    print(f"{tokenizer.get_vocab_size()} pieces; {whole} of {len(parts)} words of the names are one piece")


def word_tokenizer(texts: Sequence[WriterText], names: Sequence[str], size: int = SIZE) -> Tokenizer:
    """Most pieces are the most frequent words, those of `names` first of all; letters and pieces spell the others."""
    counts = _counts(texts, names)
    letters = [(letter, LETTER_SCORE) for letter in sorted({letter for word in counts for letter in word})]
    base = [*((piece, 0.0) for piece in SPECIAL), (MARK, MARK_SCORE), *letters]
    pieces = _pieces(_usual(texts, names), counts, {piece for piece, _ in base})
    total = counts.total()
    room = size - len(CONTROL_MARKS) - len(base) - len(pieces)
    words = [(MARK + word, math.log(count / total)) for word, count in counts.most_common(room)]
    tokenizer = _empty(models.Unigram([*base, *pieces, *words], unk_id=2))
    tokenizer.add_special_tokens(list(SPECIAL))
    tokenizer.add_tokens(list(CONTROL_MARKS))
    return tokenizer


def _counts(texts: Sequence[WriterText], names: Sequence[str]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for text, kind, controls in texts:
        for word in text.split():
            counts[word] += WORD_WEIGHT.get(kind, 1)
        if kind == "thing" and controls:
            for word in controls[0].split():
                counts[word] += THING_WEIGHT
    for name in names:
        for word in name.split():
            counts[word] += NAME_WEIGHT
    return counts


def _usual(texts: Sequence[WriterText], names: Sequence[str]) -> list[tuple[str, float]]:
    """Pieces and their log probabilities of a unigram tokenizer trained on the same texts."""
    tokenizer = _empty(models.Unigram())
    trainer = trainers.UnigramTrainer(
        vocab_size=USUAL_SIZE, special_tokens=list(SPECIAL), unk_token="<unk>", show_progress=False
    )
    tokenizer.train_from_iterator(_weighted(texts, names), trainer)
    return [(piece, score) for piece, score in json.loads(tokenizer.to_str())["model"]["vocab"]]


def _weighted(texts: Sequence[WriterText], names: Sequence[str]) -> Iterator[str]:
    for text, kind, _ in texts:
        yield from [text] * TEXT_WEIGHT.get(kind, 1)
    for name in names:
        yield from [name] * GIVEN_WEIGHT
    for _, kind, controls in texts:
        if kind == "thing" and controls:
            yield from [controls[0]] * GIVEN_WEIGHT


def _pieces(usual: Sequence[tuple[str, float]], counts: Counter[str], taken: set[str]) -> list[tuple[str, float]]:
    """The likeliest pieces that are no whole words, less likely than any word."""
    parts = [(p, s - PIECE_PENALTY) for p, s in usual if len(p) > 1 and p not in taken]
    inner = [piece for piece in parts if not piece[0].startswith(MARK)][:INNER_PIECES]
    first = [piece for piece in parts if piece[0].startswith(MARK) and piece[0][1:] not in counts][:FIRST_PIECES]
    return inner + first


def _empty(model: models.Model) -> Tokenizer:
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    return tokenizer


if __name__ == "__main__":
    main()

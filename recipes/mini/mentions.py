"""Where a caption names one of the classes, and what it says right before the noun."""

from collections.abc import Sequence
from dataclasses import dataclass

from recipes.mini.classes import NOUN_CLASS
from recipes.mini.words import Word, singular

_ETHNIC = frozenset("white black asian african american african-american caucasian indian chinese japanese".split())
_VAGUE = frozenset("other different same next only lone single main first second last another own".split())
_NOT_ONE = frozenset("another each every some no any all both".split())


@dataclass(frozen=True)
class Mention:
    """Where a caption names a class: the words from the article to the noun, `words[start : head + 1]`."""

    class_name: str
    start: int
    head: int
    plural: bool


def find_mentions(words: Sequence[Word]) -> list[Mention]:
    """Every mention of a class, as the head of its noun phrase ("dog" in "a dog", not in "a dog bowl")."""
    mentions = []
    for k, word in enumerate(words):
        spaced = word.text.replace("_", " ")
        lemma = spaced if spaced in NOUN_CLASS else singular(word.text)
        start = phrase_start(words, k)
        name = NOUN_CLASS.get(lemma)
        following = words[k + 1] if k + 1 < len(words) else Word("", "")
        if name is None or following.tag in ("NN", "NNS") or (word.tag == "JJ" and following.tag.startswith("JJ")):
            continue
        counted = start > 0 and words[start - 1].tag == "CD" and words[start - 1].text not in ("one", "1")
        many = counted or lemma != spaced or words[start].text in ("some", "many", "several", "both", "these", "those")
        mentions.append(Mention(name, start, k, many))
    return mentions


def phrase_start(words: Sequence[Word], head: int) -> int:
    """Index of the first word of the noun phrase whose noun is `words[head]`."""
    k = head
    while k > 0 and head - k < 6:
        previous = words[k - 1]
        if _determines(previous):
            return k - 1
        modifies = previous.tag.startswith(("JJ", "NN")) or previous.tag == "VBN" or previous.text == "very"
        joins = previous.tag == "CC" and k > 1 and words[k - 2].tag.startswith("JJ") and words[k].tag.startswith("JJ")
        if previous.tag == "VBG" and k > 1 and words[k - 2].tag == "DT":
            modifies = True
        if not (modifies or joins):
            break
        k -= 1
    return k


def _determines(word: Word) -> bool:
    return word.tag in ("DT", "PRP$") or word.text in ("one", "another")


def before_noun(words: Sequence[Word], mention: Mention) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
    """(adjectives, nouns that modify) between article and noun: "a white kitchen sink" -> ("white",), ("kitchen",).

    None where the phrase does not mean one plain object ("another dog", "the man's dog").
    """
    inside = list(words[mention.start : mention.head])
    determiner = inside.pop(0).text if inside and _determines(inside[0]) else "a"
    if determiner in _NOT_ONE or any(word.tag in ("CD", "NNS", "DT") or "'" in word.text for word in inside):
        return None
    if mention.class_name == "person":
        inside = [word for word in inside if word.text not in _ETHNIC]
    if any(word.text in _VAGUE or word.text.replace("_", " ") in NOUN_CLASS for word in inside):
        return None
    while inside and inside[0].text == "and":
        inside.pop(0)
    if inside and inside[-1].text == "and":
        return None
    nouns_at = len(inside)
    while nouns_at and inside[nouns_at - 1].tag == "NN":
        nouns_at -= 1
    return tuple(word.text for word in inside[:nouns_at]), tuple(word.text for word in inside[nouns_at:])

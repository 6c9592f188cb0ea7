"""What can be told of captions without a model: slips of grammar, variety, and whether they name the right thing.

Parts of speech come from the lexicon inside `textblob`, word forms from the one inside `lemminflect`: nothing is
downloaded, and both err at times, so that shares below one in a hundred say little.
"""

import re
from collections.abc import Iterable, Sequence
from functools import cache

from lemminflect import getAllLemmas, getLemma
from textblob.en import tag as lexicon_tag

_DOUBLED = re.compile(r"\b(\w+),? \1\b")
_TWICE_JOINED = re.compile(r"\b(\w+) (?:and|or) (?:an? |the )?\1\b")
_ARTICLES = frozenset(("a", "an"))
# Words after which "a" takes a plural: "a few people", "a couple trees".
_COUNTS = frozenset("few dozen couple hundred thousand million lot great many pair".split())
_IN_FRONT = ("JJ", "JJR", "JJS", "VBN", "NN", "CD")
_SYNONYMS = """
person man woman boy girl child people someone human
man guy gentleman male person
woman lady female person
boy kid child toddler
girl kid child toddler
child kid toddler baby boy girl person
baby infant toddler child
people crowd group person man woman child
player athlete person man woman
bicycle bike cycle
motorcycle motorbike bike
car automobile vehicle sedan suv minivan taxi
truck vehicle pickup lorry
airplane plane aeroplane jet aircraft
boat ship sailboat canoe kayak
dog puppy hound
cat kitten
bird parrot seagull duck goose pigeon
couch sofa
tv television screen
refrigerator fridge
cup mug
phone cellphone smartphone
rock stone boulder
street road
sidewalk pavement
trousers pants jeans
pants trousers jeans
jacket coat
coat jacket
shirt t-shirt tshirt top
hat cap helmet
sneaker shoe
picture photo photograph painting
purse handbag bag
sea ocean water
lake water pond
pool water
grass lawn field
field grass
wood forest tree
"""
_GROUPS = [line.split() for line in _SYNONYMS.split("\n") if line]


def slips(caption: str) -> list[str]:
    """Slips of grammar in a caption, as the words at fault.

    Three kinds are seen: a plural after "a" or "an" ("a tall trees"), the same word on both sides of an "and" ("white
    and white"), and a word twice in a row.
    """
    text = " ".join(caption.lower().split())
    found = [match.group() for pattern in (_DOUBLED, _TWICE_JOINED) for match in pattern.finditer(text)]
    tags = _tagged(text)
    for place, (word, _) in enumerate(tags):
        if word in _ARTICLES and (phrase := _plural_after(tags[place + 1 :])):
            found.append(f"{word} {' '.join(phrase)}")
    return found


def different(captions: Sequence[str]) -> float:
    """The number of different captions as a share of all."""
    return len(set(captions)) / max(len(captions), 1)


def head_noun(text: str) -> str | None:
    """What a description is of: the last noun of its first noun phrase, in the singular; None where it names none."""
    head = None
    for word, tag in _tagged(text):
        if tag.startswith("NN"):
            head = word
        elif head is not None and tag != "POS":  # "the woman's hat" is a hat
            break
    return None if head is None else singular(head)


def names_one_of(caption: str, nouns: Iterable[str]) -> bool:
    """Whether a caption has one of the nouns, or a word for the same thing, in the singular or the plural."""
    words = [singular(word) for word in re.findall(r"[\w'-]+", caption.lower())]
    text = f" {' '.join(words)} "
    return any(f" {other} " in text for noun in nouns for other in _words_for(noun.lower()))


@cache
def singular(noun: str) -> str:
    """A noun in the singular; of several words the last."""
    first, blank, last = noun.rpartition(" ")
    lemmas = getLemma(last, "NOUN")
    return first + blank + (lemmas[0] if lemmas else last)


@cache
def _words_for(noun: str) -> frozenset[str]:
    """The noun and its synonyms, in the singular, as a caption with singular nouns would have them."""
    noun = " ".join(singular(word) for word in noun.split())
    return frozenset((noun, *(word for group in _GROUPS if group[0] == noun for word in group[1:])))


def _tagged(text: str) -> list[tuple[str, str]]:
    """Words, lower case, with Penn Treebank parts of speech."""
    return [(word.lower(), tag) for word, tag in lexicon_tag(" ".join(re.findall(r"[\w'-]+|[.,;]", text)))]


def _plural_after(tags: Sequence[tuple[str, str]]) -> list[str] | None:
    """The words up to a plural noun that ends the noun phrase which begins here; None where it does not end in one."""
    phrase: list[str] = []
    has_noun = False
    for place, (word, tag) in enumerate(tags):
        if word in _COUNTS:
            return None
        phrase.append(word)
        if tag == "NNS":
            after = tags[place + 1][1] if place + 1 < len(tags) else ""
            is_verb = has_noun and bool(getAllLemmas(word, "VERB"))  # "a woman smiles"
            return phrase if singular(word) != word and not is_verb and not after.startswith("NN") else None
        if tag not in _IN_FRONT and (has_noun or tag != "VBG"):  # "a running shoes" is wrong, "a man holding bags" not
            return None
        has_noun = has_noun or tag == "NN"
    return None

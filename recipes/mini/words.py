"""Words of a caption: clean text, parts of speech, and the words that can serve as tags or control words.

Tagging uses the lexicon inside the package `textblob`, word forms the one inside `lemminflect`: nothing is downloaded.
"""

import re
import unicodedata
from functools import lru_cache
from typing import NamedTuple

from lemminflect import getAllLemmas, getInflection, getLemma
from textblob.en import lexicon
from textblob.en import tag as lexicon_tag

from dynrefer.datasets.words import fix_articles
from recipes.mini.classes import NOUN_CLASS

PREPOSITIONS = frozenset(
    "of on in with at by near inside into from over under behind beside across around along against through between "
    "among above below onto toward towards outside upon off next_to in_front_of on_top_of close_to out_of "
    "on_the_side_of in_the_middle_of at_the_edge_of along_with attached_to surrounded_by".split()
)
NOT_TAGS = frozenset(
    "be have do get go let seem appear top side front back background foreground middle edge end part bottom center "
    "photo picture image view shot scene close-up closeup something someone thing it one other many several some few "
    "various different same next own way such very there close lot bunch couple pair group number set type kind left "
    "right area been including past self mid used seen shown dressed them nice made "
    "asian african american caucasian indian".split()
)
_VERBS = (
    "approach attempt await balance be begin bend bite board brush carry catch chew contain cook cover crouch cross "
    "cut display dive drink drive eat enjoy face feature feed float fly gaze get give glide graze grind hang hit hold "
    "jump kick land lay lean lick lie look lounge make move pass peer perch perform play point pose prepare pull push "
    "put reach read relax rest ride roll run sail serve show sit skate skateboard ski sleep slide smile snowboard "
    "snuggle sport stand stare stick stretch surf swim swing take talk throw toss travel try turn use wait walk watch "
    "wear work"
).split()
_THIRD_PERSON = frozenset(form for verb in _VERBS for form in getInflection(verb, "VBZ"))
_GERUNDS = frozenset(form for verb in _VERBS for form in getInflection(verb, "VBG")) | {"laying", "wading", "parking"}
_COMPOUNDS = sorted(
    {noun for noun in NOUN_CLASS if " " in noun} | {p.replace("_", " ") for p in PREPOSITIONS if "_" in p},
    key=len,
    reverse=True,
)
_COMPOUND = re.compile(r"(?<![\w-])(" + "|".join(map(re.escape, _COMPOUNDS)) + r")(s|es)?(?![\w-])")
_SPELLINGS = {
    "skate board": "skateboard",
    "surf board": "surfboard",
    "snow board": "snowboard",
    "sail boat": "sailboat",
    "motor bike": "motorbike",
    "wet suit": "wetsuit",
    "lap top": "laptop",
    "run way": "runway",
    "him self": "himself",
    "hotdog": "hot dog",
    "racquet": "racket",
    "doughnut": "donut",
    "grey": "gray",
    "colour": "color",
    "multi colored": "multicolored",
    "multi-colored": "multicolored",
    "cellphone": "cell phone",
    "t shirt": "t-shirt",
}
_SPELLING = re.compile(r"\b(" + "|".join(_SPELLINGS) + r")(?=s?\b|ed\b|ful\b|er\b|ing\b)")
_SAME_THING = {
    noun: name
    for name, nouns in {
        "bicycle": ("bike",),
        "motorcycle": ("motorbike",),
        "airplane": ("plane", "aeroplane"),
        "traffic light": ("stoplight", "stop light", "traffic signal"),
        "fire hydrant": ("hydrant",),
        "bench": ("park bench",),
        "tie": ("necktie",),
        "sports ball": ("ball",),
        "tennis racket": ("racket",),
        "couch": ("sofa",),
        "dining table": ("dinner table", "kitchen table"),
        "tv": ("television", "flat screen tv"),
        "laptop": ("laptop computer",),
        "mouse": ("computer mouse",),
        "remote": ("remote control",),
        "keyboard": ("computer keyboard",),
        "cell phone": ("phone", "smartphone", "smart phone", "mobile phone"),
        "microwave": ("microwave oven",),
        "refrigerator": ("fridge",),
        "hair drier": ("hair dryer", "blow dryer"),
        "teddy bear": ("stuffed bear", "teddy"),
        "baseball bat": ("bat",),
        "baseball glove": ("mitt", "catcher's mitt"),
        "potted plant": ("houseplant",),
    }.items()
    for noun in nouns
}


class Word(NamedTuple):
    """A word with its Penn Treebank part of speech; compounds ("tennis_racket") are one word."""

    text: str
    tag: str


def normalise(text: str) -> str:
    """Lower case without punctuation, "the man ' s red hat." -> "the man's red hat"; letters of every script stay."""
    text = text.lower().replace("’", "'").replace("`", " ").replace("&", " and ")
    text = re.sub(r"(\w) ?' ?(s|t|re)\b(?!-)", r"\1'\2", text)
    text = unicodedata.normalize("NFC", text)
    text = "".join(c if c in "'-" or unicodedata.category(c)[0] in "LMN" else " " for c in text)
    text = " ".join(word.strip("'-") for word in text.split())
    return _SPELLING.sub(lambda match: _SPELLINGS[match.group()], " ".join(text.split()))


def tidy_caption(text: str) -> str | None:
    """A whole-image caption as it is learnt: normalised, articles mended; None below 4 or above 20 words."""
    text = fix_articles(normalise(text))
    return text if 4 <= len(text.split()) <= 20 else None


def misspelled(text: str, common: frozenset[str]) -> bool:
    """Whether a normalised text has a word that is neither in the dictionaries nor `common` in the data set."""
    parts = {part for word in text.split() for part in re.sub(r"'s?$", "", word).split("-")}
    return any(part not in common and part not in lexicon and not getAllLemmas(part) for part in parts if part)


@lru_cache(maxsize=65536)
def singular(noun: str) -> str:
    """ "racquets" -> "racquet", "men" -> "man"; class names that are plural stay."""
    spaced = noun.replace("_", " ")
    if spaced in NOUN_CLASS or noun in ("glasses", "sunglasses", "pants", "jeans", "shorts", "clothes", "goggles"):
        return spaced
    head, _, last = spaced.rpartition(" ")
    lemma = {"people": "person"}.get(last) or (getLemma(last, "NOUN", lemmatize_oov=False) or (last,))[0]
    return f"{head} {lemma}".strip()


def plural(noun: str) -> str:
    """ "bus" -> "buses", "wine glass" -> "wine glasses"."""
    head, _, last = noun.rpartition(" ")
    return f"{head} {(getInflection(last, 'NNS') or (last,))[0]}".strip() if noun != "person" else "people"


@lru_cache(maxsize=65536)
def gerund(verb: str) -> str:
    """ "rides" -> "riding", "lays" -> "laying"."""
    if verb.endswith("ing") or not verb.isalpha():
        return verb
    stem = (getLemma(verb, "VERB") or (verb,))[0]
    return (getInflection(stem, "VBG") or (verb,))[0]


def tag_words(text: str) -> list[Word]:
    """Parts of speech of a normalised text, with compounds joined and captions' usual verbs recognised."""
    joined = _COMPOUND.sub(lambda match: match.group().replace(" ", "_"), text)
    words: list[Word] = []
    for word, tag in lexicon_tag(joined, tokenize=False) if joined else ():
        words.append(Word(word, _mend(word, tag, words)))
    return words


def _mend(word: str, tag: str, before: list[Word]) -> str:
    """The tag the lexicon should have given in a caption."""
    previous = before[-1] if before else Word("", "")
    if word in PREPOSITIONS:
        return "IN"
    if word in ("that", "which", "who") and previous.tag.startswith("NN"):
        return "WDT"
    if word in ("is", "are", "was", "were", "be", "being", "has", "have"):
        return "VBZ"
    if previous.tag in ("DT", "JJ", "PRP$") and tag in ("VB", "VBP", "VBZ"):
        return "NN"
    if (
        word.replace("_", " ") in NOUN_CLASS
        and tag in ("VB", "VBP", "JJ", "RB", "IN")
        and word not in ("orange", "semi")
    ):
        return "NN"
    if word in _THIRD_PERSON and previous.tag in ("NN", "RB", "WDT") and previous.text != "and":
        return "VBZ"
    if word.endswith("ing") and (word in _GERUNDS or tag == "VBG") and previous.tag not in ("DT", "JJ", "PRP$"):
        return "VBG"
    if word.endswith("ing") and previous.text in ("is", "are", "was", "were"):
        return "VBG"
    return tag


def content_words(text: str) -> tuple[str, ...]:
    """Nouns in the singular, adjectives and verbs (as -ing forms) of a text, each once, in order.

    These are the words that can be tags or control words.
    """
    found: dict[str, None] = {}
    for word, tag in tag_words(normalise(text)):
        if tag.startswith("NN"):
            lemma = _SAME_THING.get(singular(word), singular(word))
        elif tag.startswith("JJ") or tag == "VBN":
            lemma = word
        elif tag.startswith("VB"):
            lemma = "" if (getLemma(word, "VERB") or ("",))[0] in NOT_TAGS else gerund(word)
        else:
            continue
        if len(lemma) > 1 and lemma not in NOT_TAGS and not lemma[0].isdigit() and "'" not in lemma:
            found[lemma] = None
    return tuple(found)


def head_noun(text: str) -> str | None:
    """The everyday noun that a description is about: "a young girl in water" -> "girl"; None where it has no noun."""
    noun = None
    for word in tag_words(normalise(text)):
        if word.tag.startswith("NN"):
            noun = singular(word.text)
        elif noun is not None and word.tag in ("IN", "VBG", "VBN", "VBZ", "WDT", "CC", "TO"):
            break
    return noun

"""Words of a text in any language: what is kept of a caption, which words can be tags or control words, and articles.

Only what needs English (function words, plurals, articles) looks at English; letters of every script are kept.
"""

import re
import unicodedata
from functools import lru_cache
from itertools import pairwise

_MARKS = re.compile(r"[.!?\"“”„()\[\]{}*#:;~«»。！？，、；：…¡¿؟،؛।]+")
_JOINERS = "\u200c\u200d"  # part them or join them, as the spelling of Persian, Hindi and others does
_WORD = re.compile(r"[^\s,/&+]+")
_FUNCTION_WORDS = frozenset(
    "a an the and or but of on in at by to from with without into onto over under up down off out near next inside "
    "outside behind beside between through across along around about above below for as is are was were be been being "
    "has have had having do does doing this that these those there it its it's he she they them his her hers their who "
    "which what while when where some any all both each other another one very too so than then not no".split()
)
_AS_THEY_ARE = frozenset("glasses sunglasses pants jeans shorts clothes goggles scissors skis bus gas lens".split())
# Articles and prepositions of its neighbours that English does not have: an s at the end of other words is no plural.
_NOT_ENGLISH = re.compile(
    r"\b(?:une|les|des|dans|sur|avec|aux|der|das|ein|eine|einen|und|una|unos|unas|il|gli|uma|het|een|och)\b"
)
_NO_ARTICLE = _AS_THEY_ARE - {"bus", "gas", "lens"} | {"broccoli", "grass", "water", "sand", "snow", "furniture"}
_VOWEL_SOUND = re.compile(
    r"(?!one(?:\b|-)|once\b|u(?:-|\b|sb|fo|ni(?![nmd])|s[aeiu]|ten|til|top|k[eru]|r[aio]n|biq)|eu|ewe)[aeiou]"
    r"|hou?r\b|hours?\b|hourglass|honest|honou?r|heir|herbs?\b|herbal"
    r"|(?!mrs?\b|ms\b|st\b)[fhlmnrsx][b-df-hj-np-tv-xz0-9]*(?:-|\b)"  # spelt letter by letter: lcd, mp3, x-ray
    r"|(?:suv|mri|hdmi|nba|fbi|mba)s?\b|8|11\b|18\b|11th|18th"
)


def one_line(name: str) -> str:
    """A name as it is known everywhere: without blanks around it, one between its words."""
    return " ".join(name.split())


def clean_caption(text: str) -> str:
    """A caption as it is learnt: lower case, one blank between words, no punctuation marks but those inside words.

    Letters of every script stay as they are ("Un café près de la fenêtre." -> "un café près de la fenêtre").
    """
    text = "".join(map(_visible, unicodedata.normalize("NFC", text)))
    words = (word.strip("'`,-–—") for word in _MARKS.sub(" ", text.lower().replace("’", "'")).split())
    return " ".join(word for word in words if word)


def _visible(c: str) -> str:
    """A character as it is kept: without marks of direction and hyphenation; controls, broken letters: a blank."""
    kind = unicodedata.category(c)
    if kind in ("Cc", "Cs") or c == "\u200b":
        return " "
    return "" if kind == "Cf" and c not in _JOINERS else c


def has_letters(text: str) -> bool:
    """Whether anything in the text is a letter or digit of some script."""
    return any(unicodedata.category(c)[0] in "LN" for c in text)


def is_english_script(text: str) -> bool:
    """Whether every letter of the text is one of English's 26, which is all that the embedded writer can spell."""
    return all(c.isascii() for c in text if c.isalpha())


@lru_cache(maxsize=65536)
def singular(word: str) -> str:
    """A regular English plural without its ending ("dogs" -> "dog", "cherries" -> "cherry"); other words stay.

    So do words with a letter that English does not have ("près").
    """
    if (
        not word.isascii()
        or word in _AS_THEY_ARE
        or len(word) < 4
        or not word.endswith("s")
        or word.endswith(("ss", "us", "is", "'s"))
    ):
        return word
    if word.endswith("ies"):
        return word[:-3] + "y"
    return word[:-2] if word.endswith(("ches", "shes", "xes", "sses")) else word[:-1]


def content_words(text: str) -> tuple[str, ...]:
    """The words of a caption that can be control words: without function words, plurals as singulars, each once."""
    return tuple(dict.fromkeys(word for word in _words(text) if word not in _FUNCTION_WORDS and has_letters(word)))


def said_tags(text: str) -> set[str]:
    """What a text says as possible tags: its content words, and neighbours as one ("tennis racket", "red ball")."""
    words = _words(text)
    single = {word for word in words if word not in _FUNCTION_WORDS and has_letters(word)}
    return single | {f"{one} {other}" for one, other in pairwise(words) if one in single and other in single}


def _words(text: str) -> list[str]:
    """The words of a text, plurals as singulars where it may be English."""
    text = clean_caption(text)
    words = _WORD.findall(text)
    return words if _NOT_ENGLISH.search(text) else [singular(word) for word in words]


def fix_articles(text: str) -> str:
    """The English article that fits the next word: "a orange cat" -> "an orange cat"."""
    words = text.split()
    for k, word in enumerate(words[:-1]):
        if word in ("a", "an"):
            words[k] = "an" if _VOWEL_SOUND.match(words[k + 1].lower()) else "a"
    return " ".join(words)


def class_text(name: str) -> str:
    """A class name as a caption: "a dog", "an umbrella"; plurals, what is not counted and other scripts stay bare."""
    name = clean_caption(name)
    last = name.split(" ")[-1]
    bare = last in _NO_ARTICLE or singular(last) != last or not name.isascii() or name.startswith(("a ", "an ", "the "))
    return name if bare else fix_articles(f"a {name}")

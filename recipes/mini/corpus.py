"""Sentences without photographs, which teach a small language model to write."""

from collections.abc import Iterable
from pathlib import Path
from typing import Literal, NamedTuple

from recipes.mini.words import normalise, tidy_caption
from dynrefer.errors import InputError

Kind = Literal["caption", "referring"]
FILES: dict[str, Kind] = {"coco_captions.txt": "caption", "referring_expressions.txt": "referring"}
_REFERRING_WORDS = range(2, 23)


class Sentence(NamedTuple):
    """A normalised sentence: a caption of a whole image, or words that refer to one object in it."""

    text: str
    kind: Kind


def text_corpus(folder: Path, exclude: Iterable[str] = ()) -> list[Sentence]:
    """The sentences of the known files in `folder`, each once, without those of `exclude` (validation captions).

    Both are compared as `tidy_caption` writes them. Raises InputError where the folder has none of the files.
    """
    known = [(folder / name, kind) for name, kind in FILES.items() if (folder / name).exists()]
    if not known:
        raise InputError(f"{folder} holds none of {', '.join(FILES)}.")
    forbidden = {tidy_caption(text) for text in exclude}
    sentences: dict[str, Kind] = {}
    for file, kind in known:
        for line in file.read_text(encoding="utf-8").splitlines():
            tidy = tidy_caption(line)
            text = normalise(line) if kind == "referring" else tidy
            if text and tidy not in forbidden - {None} and (kind == "caption" or len(text.split()) in _REFERRING_WORDS):
                sentences.setdefault(text, kind)
    return [Sentence(text, kind) for text, kind in sentences.items()]

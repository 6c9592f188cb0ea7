"""Sentences without photographs, which teach a small language model to write."""

from collections.abc import Iterable
from pathlib import Path
from typing import Literal, NamedTuple

from dynrefer.data.words import normalise
from dynrefer.errors import InputError

Kind = Literal["caption", "referring"]
FILES: dict[str, Kind] = {"coco_captions.txt": "caption", "referring_expressions.txt": "referring"}
_LENGTH = range(2, 23)


class Sentence(NamedTuple):
    """A normalised sentence: a caption of a whole image, or words that refer to one object in it."""

    text: str
    kind: Kind


def text_corpus(folder: Path, exclude: Iterable[str] = ()) -> list[Sentence]:
    """The sentences of the known files in `folder`, each once, without those of `exclude` (validation captions).

    Raises InputError where the folder has none of the files.
    """
    known = [(folder / name, kind) for name, kind in FILES.items() if (folder / name).exists()]
    if not known:
        raise InputError(f"{folder} holds none of {', '.join(FILES)}.")
    forbidden = {normalise(text) for text in exclude}
    sentences: dict[str, Kind] = {}
    for file, kind in known:
        for line in file.read_text(encoding="utf-8").splitlines():
            text = normalise(line)
            if text not in forbidden and len(text.split()) in _LENGTH:
                sentences.setdefault(text, kind)
    return [Sentence(text, kind) for text, kind in sentences.items()]

"""Texts without photographs, which teach the writer to write.

A folder holds any of `things/*.jsonl` (one `{"thing", "kind", "text"}` a line), `flickr_captions.txt` (also as `.gz`),
`coco_captions.txt` and `referring_expressions.txt` (one text a line).
"""

import gzip
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

from dynrefer.datasets.records import Problems
from dynrefer.datasets.words import clean_caption, fix_articles
from dynrefer.errors import InputError
from dynrefer.files.text import decode_text, read_jsonl, read_text

Kind = Literal["caption", "referring", "thing"]
KINDS: tuple[Kind, ...] = get_args(Kind)
FILES: dict[str, Kind] = {
    "flickr_captions.txt": "caption",
    "coco_captions.txt": "caption",
    "referring_expressions.txt": "referring",
}
LENGTHS = {"caption": range(4, 21), "referring": range(2, 23), "thing": range(1, 23)}


class Sentence(NamedTuple):
    """A text: a caption of a whole image, words that refer to one object in it, or a region's description.

    `thing` is what the text is about, where that is known.
    """

    text: str
    kind: Kind
    thing: str | None = None


def read_texts(folder: Path, problems: Problems, exclude: Iterable[str] = ()) -> list[Sentence]:
    """The texts in `folder`, each once, without those of `exclude` (held-out captions) and those of unusual length.

    Raises InputError where the folder has none of the files, or many lines that are no text.
    """
    forbidden = {clean_caption(text) for text in exclude}
    kept: dict[str, Sentence] = {}
    total = 0
    for sentence in _sentences(folder, problems):
        total += 1
        clean = clean_caption(sentence.text)
        text = fix_articles(clean)
        if not forbidden & {text, clean} and len(text.split()) in LENGTHS[sentence.kind]:
            kept.setdefault(text, sentence._replace(text=text))
    if not total:
        raise InputError(f"{folder} holds no texts: put things/*.jsonl or one of {', '.join(FILES)} there.")
    problems.check(total + problems.counts.total())
    return list(kept.values())


def write_texts(sentences: Iterable[Sentence], file: Path) -> None:
    """One JSON object a line; `load_texts` reads them."""
    lines = (json.dumps(sentence._asdict(), ensure_ascii=False) + "\n" for sentence in sentences)
    file.write_text("".join(lines), encoding="utf-8")


def load_texts(file: Path) -> list[Sentence]:
    """What `write_texts` wrote. Raises InputError, naming the line, where it is something else."""
    sentences = []
    for number, record in read_jsonl(file, "text", "kind"):
        if record["kind"] not in KINDS or not isinstance(record["text"], str):
            raise InputError(f"Line {number} of {file.name} is no text of a known kind: build the data again.")
        sentences.append(Sentence(record["text"], record["kind"], record.get("thing")))
    return sentences


def _sentences(folder: Path, problems: Problems) -> Iterator[Sentence]:
    for file in sorted((folder / "things").glob("*.jsonl")):
        skip = _skipping(problems)
        for number, record in read_jsonl(file, "text", on_bad=skip):
            if isinstance(record["text"], str):
                yield Sentence(record["text"], "thing", _word(record.get("thing")))
            else:
                skip(f"line {number} of {file.name}")
    for name, kind in FILES.items():
        for file in (folder / name, folder / f"{name}.gz"):
            if file.exists():
                yield from (Sentence(line, kind) for line in _text(file).splitlines() if line.strip())
                break


def _skipping(problems: Problems) -> Any:
    return lambda what: problems.skip("lines that are no text", what)


def _word(value: Any) -> str | None:
    return clean_caption(value) if isinstance(value, str) else None


def _text(file: Path) -> str:
    if file.suffix != ".gz":
        return read_text(file)
    try:
        with gzip.open(file) as stream:
            return decode_text(stream.read(), file.name)
    except (OSError, EOFError) as error:
        raise InputError(f"{file.name} is damaged or cut short ({error}): copy it again.") from error

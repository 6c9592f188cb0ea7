"""A shard's photographs -> its rows: where to look on each, what the model says, and why what failed did."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from dynrefer.boxes import Box, whole
from dynrefer.bulk.output import ROW
from dynrefer.bulk.shards import Entry
from dynrefer.errors import InputError, LeftOut
from dynrefer.many import Asks, answers, parts
from dynrefer.photo import Photo
from dynrefer.predictor import Predictor
from dynrefer.proposals import Proposal, things
from dynrefer.question import Question
from dynrefer.results import RegionResult

BATCH = 32  # regions through the network at a time
AHEAD = 2  # batches that are opened while the network answers the one before
NO_BOXES = "it has no boxes"
NOTHING_FOUND = "Nothing was found."

What = Literal["boxes", "whole", "everything", "find"]
Row = dict[str, Any]


@dataclass(frozen=True)
class Task:
    """What is asked about every photograph; the same in all processes."""

    what: What
    words: tuple[str, ...] = ()
    """What to find."""
    most: int = 20
    """Things a photograph, where they are looked for."""
    least: float = 0.0
    """Score of a thing, from which it is described."""
    question: Question = Question.checked()


@dataclass(frozen=True)
class Place:
    """One region to be described: its number on the photograph, and what says where it is."""

    region: int
    box: Box
    id: str | int | None = None
    prompt: Mapping[str, Any] | None = None
    remarks: Sequence[str] = ()
    """What was done to make the box fit."""


@dataclass
class Tally:
    """What became of photographs."""

    photographs: int = 0
    regions: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    """Rows with an error, by sentence."""
    examples: dict[str, str] = field(default_factory=dict)
    """One of their photographs, by sentence."""

    def add(self, other: Tally) -> None:
        """Count another's as well."""
        self.photographs += other.photographs
        self.regions += other.regions
        self.failed += other.failed
        self.examples = other.examples | self.examples

    def count(self, row: Row) -> Row:
        """Count a row, and return it."""
        if row["error"] is None:
            self.regions += row["box"] is not None
        else:
            self.failed[row["error"]] += 1
            self.examples.setdefault(row["error"], row["photo"])
        return row


@dataclass
class _Part:
    """What becomes rows together: those of a photograph that nobody has to ask for, or some of its places."""

    about: Row
    rows: Sequence[Row] = ()
    places: Sequence[Place] = ()


def rows(predictor: Predictor, entries: Iterable[Entry], task: Task, tally: Tally) -> Generator[Row, None, None]:
    """One row a region, and one a photograph or box that cannot be described or where nothing is, in order.

    Photographs are read, decoded and their views chosen by another thread while the network answers those before.
    """
    asking = (part for entry in entries for part in _looked_at(predictor, entry, task))
    for part, results in answers(predictor, asking, batch_size=BATCH, ahead=AHEAD, question=task.question):
        tally.photographs += not part.places
        yield from map(tally.count, (*part.rows, *_answered(part, results)))


def _looked_at(predictor: Predictor, entry: Entry, task: Task) -> Iterator[Asks[_Part]]:
    """A photograph's rows without an answer, then its places to ask about."""
    known = {"digest": _digest(entry.content), "fingerprint": predictor.checkpoint.fingerprint}
    about = ROW | {"photo": entry.photo} | known
    try:
        if isinstance(entry.content, InputError):
            raise entry.content
        photo = Photo.read(entry.content)
        places, left_out = _places(predictor, photo, entry, task)
    except InputError as error:
        yield _Part(about, [about | {"error": str(error)}]), None, []
        return
    first = [about | {"error": str(InputError(f"{left.annotation}: {left.reason}"))} for left in left_out]
    if not places and not first:
        first = [about | {"notes": [NOTHING_FOUND]}]
    yield _Part(about, first), None, []
    for some in parts(places):
        yield _Part(about, places=some), photo, [place.box for place in some]


def _places(predictor: Predictor, photo: Photo, entry: Entry, task: Task) -> tuple[list[Place], list[LeftOut]]:
    """Where to look, and boxes that cannot be used."""
    if task.what == "whole":
        return [Place(0, whole(photo.size), None, {"kind": "whole"})], []
    if task.what != "boxes":
        found = [thing for thing in _found(predictor, photo, task) if thing.score >= task.least]
        return [Place(n, thing.box, None, _prompt(task, thing)) for n, thing in enumerate(found)], []
    if entry.boxes is None:
        raise InputError(NO_BOXES)
    remarks: list[str] = []
    boxes, left_out = entry.boxes().fit(photo, remarks.append)
    return [Place(entry.first + n, given.box, given.id, None, remarks) for n, given in enumerate(boxes)], left_out


def _found(predictor: Predictor, photo: Photo, task: Task) -> list[Proposal]:
    if task.what == "everything":
        return things(photo, task.most, predictor.propose, predictor.refer)
    return predictor.propose(photo, words=task.words, limit=task.most)


def _prompt(task: Task, thing: Proposal) -> dict[str, Any]:
    word = max(thing.words, key=lambda name: thing.words[name], default=None)
    return {"kind": task.what, "words": word, "score": float(f"{thing.score:.4g}")}


def _answered(part: _Part, results: list[RegionResult] | InputError) -> Iterator[Row]:
    told: Sequence[RegionResult | str]
    told = [str(results)] * len(part.places) if isinstance(results, InputError) else results
    for place, result in zip(part.places, told, strict=True):
        row = part.about | {"region": place.region, "id": None if place.id is None else str(place.id)}
        if isinstance(result, str):
            yield row | {"error": result}
        else:
            answer = result.to_dict()
            del answer["mask"]  # of what is pointed at, which nothing here is
            yield row | answer | {"prompt": place.prompt, "notes": [*place.remarks, *answer["notes"]]}


def _digest(content: bytes | InputError) -> str | None:
    """The BLAKE2b digest of a photograph's file, 128 bits in hexadecimal digits, as `b2sum -l 128` prints it."""
    return None if isinstance(content, InputError) else hashlib.blake2b(content, digest_size=16).hexdigest()

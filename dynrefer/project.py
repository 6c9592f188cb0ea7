"""A project: photographs, their regions, what the model said of each, and what a person said instead.

A person's words and the model's answer are kept apart, so that no answer, however late, can overwrite a word; what
stands is put together when it is asked for. One schema serves the page, the browser's store, the command line and
`dynrefer.teach`: a photograph is a record {"image", "width", "height", "questions", "regions"}.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Self, get_args

from dynrefer.boxes import check_box
from dynrefer.errors import InputError
from dynrefer.files.atomic import lock, written_whole
from dynrefer.files.photo_files import PhotoFinder, photographs_in
from dynrefer.formats.record import Record
from dynrefer.question import Question
from dynrefer.results import MOST_WORDS, RegionResult, Words

Status = Literal["open", "accepted", "rejected"]
STATUSES: tuple[Status, ...] = get_args(Status)
ENDING = ".dynrefer.jsonl"
HEAD = {"dynrefer_project": 1}
KEPT_TAGS, KEPT_SCORE = 40, 0.02  # of a model's tags in a file

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Region:
    """A region: what was asked, what the model answered last, what a person said, and whether it was reviewed."""

    question: Question
    answer: RegionResult
    words: Words = Words()
    status: Status = "open"

    @property
    def result(self) -> RegionResult:
        """What stands: a person's words where there are any, else the model's; what was accepted is sure."""
        result = self.words.over(self.answer)
        return replace(result, sure=True) if self.status == "accepted" else result

    @property
    def reviewed(self) -> bool:
        """Whether a person accepted, rejected or corrected it."""
        return self.status != "open" or bool(self.words)

    @property
    def doubt(self) -> float:
        """How likely the model is wrong about it, 0 to 1, by the score of its best name; 0 once it was reviewed."""
        if self.reviewed:
            return 0.0
        best = self.answer.classes[0] if self.answer.classes else self.answer.caption
        return 1 - best.score if best else 1.0

    def to_dict(self, question: int) -> dict[str, Any]:
        """For JSON, with the place of its question among those of its photograph."""
        answer = self.answer.to_dict()
        answer["tags"] = [entry for entry in answer["tags"] if entry["score"] >= KEPT_SCORE][:KEPT_TAGS]
        attributes: dict[str, dict[str, float]] = {}  # by type, in a third of the room, since each answer has all
        for entry in answer["attributes"]:
            attributes.setdefault(entry["type"], {})[entry["name"]] = entry["score"]
        answer["attributes"] = attributes
        words = {"words": self.words.to_dict()} if self.words else {}
        return {"box": answer["box"], "status": self.status, **words, "question": question, "answer": answer}

    @classmethod
    def from_dict(cls, record: Any, questions: Sequence[Question], size: tuple[int, int] | None = None) -> Self:
        """What `to_dict` gave, checked; the box against a photograph of `size`. Raises InputError."""
        if not isinstance(record, Mapping) or record.get("status", "open") not in STATUSES:
            raise InputError("a region must be an object with a status of open, accepted or rejected")
        number, answer = record.get("question"), RegionResult.from_dict(_listed(record.get("answer")))
        if not isinstance(number, int) or not 0 <= number < len(questions):
            raise InputError("a region must tell which of the photograph's questions it was asked")
        if size is not None:
            answer = replace(answer, box=check_box(answer.box, size))
        return cls(questions[number], answer, Words.from_dict(record.get("words", {})), record.get("status", "open"))


@dataclass(frozen=True)
class PhotoRecord:
    """A photograph by its name in the project, its (width, height), and its regions."""

    image: str
    size: tuple[int, int]
    regions: tuple[Region, ...] = ()

    @property
    def reviewed(self) -> int:
        """How many of its regions were reviewed."""
        return sum(region.reviewed for region in self.regions)

    def to_dict(self) -> dict[str, Any]:
        """For JSON, with every question once."""
        questions = list(dict.fromkeys(region.question for region in self.regions))
        numbers = {question: number for number, question in enumerate(questions)}
        return {
            "image": self.image,
            "width": self.size[0],
            "height": self.size[1],
            "questions": [question.options() for question in questions],
            "regions": [region.to_dict(numbers[region.question]) for region in self.regions],
        }

    @classmethod
    def from_dict(cls, record: Any, **limits: int) -> Self:
        """What `to_dict` gave, checked; `limits` are those of `Question.checked`. Raises InputError."""
        try:
            size = int(record["width"]), int(record["height"])
            questions = [Question.checked(options, **limits) for options in record["questions"]]
            regions = tuple(Region.from_dict(region, questions, size) for region in record["regions"])
            return cls(str(record["image"])[:1000], size, regions)
        except (KeyError, TypeError, ValueError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError("this is no photograph of a project: image, width, height, regions are needed") from error


class Project:
    """The photographs of a folder, with what is known of them in a file beside it: `photos`, `photos.dynrefer.jsonl`.

    Every change appends one line, the photograph as it is by then, so that it costs the same in a project of any size
    and a program that is killed loses at most the line it was writing; the last line about a photograph counts.
    Several threads may use it, but only one process.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder).expanduser().absolute()
        if not self.folder.is_dir():
            raise InputError(f"there is no folder {self.folder}; name one with photographs")
        finder = PhotoFinder(self.folder)
        self.photographs = {finder.identity(path): path for path in photographs_in(self.folder)}
        if not self.photographs:
            raise InputError(f"{self.folder} holds no photograph; name a folder with some")
        self.file = project_file(self.folder)
        self._lock = threading.Lock()
        busy = f"{self.file.name} is open in another DynRefer; close that one first"
        self._alone = lock(self.file.with_name(f"{self.file.name}.lock"), busy).lock
        self.records = {record.image: record for record in read_project(self.file)} if self.file.exists() else {}
        write_project(self.file, self.records.values())

    @property
    def names(self) -> list[str]:
        """The photographs by name, in order."""
        return list(self.photographs)

    def regions(self, name: str) -> tuple[Region, ...]:
        """What is known of a photograph."""
        record = self.records.get(name)
        return record.regions if record else ()

    @property
    def new(self) -> list[str]:
        """The photographs of which nothing is known, in order."""
        return [name for name in self.photographs if name not in self.records]

    def add(self, record: PhotoRecord) -> None:
        """Keep a photograph's regions on disk, unless something is known of it already. Raises InputError."""
        with self._lock:
            if record.image not in self.records:
                self._append(record)
                self.records[record.image] = record

    def keeping(self, name: str, size: tuple[int, int]) -> Callable[[Iterable[Region]], None]:
        """A function that keeps the regions of a photograph of (width, height) `size`; they are on disk afterwards.

        It raises InputError where that fails, and where somebody else has changed the photograph meanwhile.
        """
        last = self.records.get(name)

        def keep(regions: Iterable[Region]) -> None:
            nonlocal last
            record = PhotoRecord(name, size, tuple(regions))
            with self._lock:
                if self.records.get(name) is not last:
                    raise InputError("this photograph was changed in another window; open it again to go on from there")
                self._append(record)
                self.records[name] = last = record

        return keep

    def progress(self) -> tuple[int, int]:
        """(reviewed, all) regions of the whole project."""
        with self._lock:
            records = list(self.records.values())
        return sum(record.reviewed for record in records), sum(len(record.regions) for record in records)

    def close(self) -> None:
        """Let another process have it."""
        self._alone.release()

    def _append(self, record: PhotoRecord) -> None:
        size = self.file.stat().st_size
        try:
            with self.file.open("a", encoding="utf-8") as stream:
                stream.write(_line(record))
                stream.flush()
                os.fsync(stream.fileno())
        except OSError as error:
            with contextlib.suppress(OSError):
                os.truncate(self.file, size)
            raise InputError(f"{self.file} could not be written ({error.strerror}); free some disk") from error


def project_file(path: str | Path) -> Path:
    """The project file that is meant by a folder of photographs, or by the file itself."""
    path = Path(path).expanduser().absolute()
    return path if path.name.endswith(".jsonl") else path.with_name(path.name + ENDING)


def photo_folder(file: Path) -> Path:
    """The folder of photographs that belongs to a project file."""
    return file.with_name(file.name.removesuffix(ENDING))


def read_project(path: str | Path) -> list[PhotoRecord]:
    """The photographs of a project, of its file or the folder beside it. A last line that was cut off is left out.

    Raises InputError, naming file and line, where it is missing or something else.
    """
    file = project_file(path)
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"there is no project {file}; make one with app.py --folder") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{file.name} is not a project: it is not UTF-8") from error
    return parse_project(text, file.name)


def parse_project(text: str, name: str) -> list[PhotoRecord]:
    """`read_project` of a text; `name` is what errors call it."""
    lines = text.rstrip("\n").split("\n")
    records: dict[str, PhotoRecord] = {}
    for number, line in enumerate(lines, start=1):
        try:
            content = json.loads(line)
            if number == 1:
                if not isinstance(content, dict) or content.get("dynrefer_project") != 1:
                    raise InputError("it does not begin as a DynRefer project of version 1 does")
                continue
            record = PhotoRecord.from_dict(content)
        except ValueError as error:  # an InputError is one, too
            if number == len(lines) > 1 and not isinstance(error, InputError):
                logger.warning("the last line of %s was cut off and is left out", name)
                continue
            told = str(error) if isinstance(error, InputError) else "it is not JSON"
            raise InputError(f"line {number} of {name} cannot be read: {told}") from error
        records[record.image] = record
    return list(records.values())


def write_project(path: Path, records: Iterable[PhotoRecord]) -> None:
    """Write a project file, whole or not at all. Raises InputError where it cannot be written."""
    with written_whole(path) as draft, draft.open("w", encoding="utf-8") as stream:
        stream.write(json.dumps(HEAD) + "\n")
        for record in records:
            stream.write(_line(record))


def export(photographs: Iterable[PhotoRecord], tag_threshold: float) -> list[Record]:
    """What stands of all regions that were not rejected, for `dynrefer.formats`, with tags from a score on."""
    return [
        Record.of(region.result.thinned(tag_threshold), photograph.image, photograph.size)
        for photograph in photographs
        for region in photograph.regions
        if region.status != "rejected"
    ]


def words_in(record: Record) -> Words:
    """What a file's region says that no model did: a person, or, in a file of no model, nobody in particular."""
    of_model = record.said.get("by") == "model" or bool(record.said.get("model"))

    def said(items: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        return [item for item in items if item.get("by", "model" if of_model else "person") == "person"]

    captions = said([record.said["caption"]] if record.said.get("caption") else [])
    names = said((record.said.get("classes") or ())[:1])
    attributes = [item for item in said(record.said.get("attributes") or ()) if item.get("type")]
    return Words.from_dict(
        {
            "caption": captions[0]["text"] if captions else None,
            "name": names[0]["name"] if names else None,
            "tags": {item["name"]: True for item in said(record.said.get("tags") or ())[:MOST_WORDS]},
            "attributes": {f"{item['type']}:{item['name']}": True for item in attributes[:MOST_WORDS]},
        }
    )


def _listed(answer: Any) -> Any:
    """An answer's attributes by type as a list, best first; any other answer as it is."""
    if not isinstance(answer, Mapping) or not isinstance(answer.get("attributes"), Mapping):
        return answer
    listed = [
        {"name": name, "type": kind, "score": score}
        for kind, scores in answer["attributes"].items()
        if isinstance(scores, Mapping)
        for name, score in scores.items()
    ]
    if all(isinstance(entry["score"], (int, float)) for entry in listed):
        listed.sort(key=lambda entry: -entry["score"])
    return {**answer, "attributes": listed}


def _line(record: PhotoRecord) -> str:
    return json.dumps(record.to_dict(), separators=(",", ":")) + "\n"  # in ASCII, whatever a file name holds

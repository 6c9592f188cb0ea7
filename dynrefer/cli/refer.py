"""What the command line's `refer` does: photographs and boxes from files, answers as text or JSON."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from dynrefer.boxes import MAX_BOXES, Box, parse_box
from dynrefer.cli.output import journal, json_list, show
from dynrefer.cli.pointing import PROMPTS, Pointing
from dynrefer.errors import InputError, LeftOut, reason, shown
from dynrefer.files.photo_files import PhotoFinder, absent
from dynrefer.formats import format_of, own, write
from dynrefer.formats.box_files import BoxFile, PhotoBoxes, places
from dynrefer.formats.record import Record
from dynrefer.photo import Photo
from dynrefer.predictor import Predictor
from dynrefer.question import Question
from dynrefer.results import RegionResult

SHOWN_TAGS, SHOWN_ATTRIBUTES = 8, 8
ALL_ANSWERED, SOME_LEFT_OUT = 0, 3  # and 2 where nothing could be done: an InputError


def refer(
    photo: Path,
    box: Sequence[Sequence[str]],
    boxes: Path | None,
    json_out: str | None,
    out: Path | None,
    format: str | None,
    model: str | None,
    device: str | None,
    dtype: str | None,
    segmenter: str | None,
    **options: Any,
) -> int:
    """Describe the regions of one photograph, or of all photographs of a folder that a box file names.

    Args:
        photo: a photograph, or a folder with photographs at any depth.
        box: boxes as typed, each a list of words.
        boxes: a COCO, JSON or CSV file.
        json_out: file for the JSON list, "-" for the screen, None to print text.
        out, format: file or folder for the answers in a format of `dynrefer.formats`.
        options: what is pointed with, see `Pointing.typed`, and what is asked, see `Question.typed`.

    Returns the exit code: 0 where every box was answered, 3 where some were left out; these are named on stderr.
    Raises InputError where none could be answered, before the model is loaded if that can be told.
    """
    format = None if out is None else format_of(out, format)
    pointing = Pointing.typed(**{name: options.pop(name) for name in PROMPTS})
    if pointing is not None and (box or boxes is not None):
        raise InputError("Point, or give boxes with --box or --boxes; not both.")
    work = _Work.gathered(photo, [parse_box(" ".join(words)) for words in box], boxes, pointing)
    question = Question.typed(**options)
    work.remarks += question.notes
    stopped = False
    records: list[Record] = []
    with json_list(json_out) as written, journal(out) as note_down:
        predictor = Predictor.from_pretrained(model, device, dtype, segmenter)
        try:
            for record, result in work.answered(predictor, question):
                if json_out != "-":
                    show(as_text(str(record.image), result), needed=written is None and out is None)
                if written is not None:
                    written.add(own.entry(record))
                if out is not None:
                    note_down(own.entry(record))
                    records.append(record)
        except KeyboardInterrupt:
            stopped = True  # what was answered is kept
        work.sum_up()
        if not work.answers:  # the file stays as it was
            raise KeyboardInterrupt if stopped else InputError("No box could be answered.")
        if out is not None and format is not None and (note := write(records, out, format)):
            print(note, file=sys.stderr)
    if stopped:
        raise KeyboardInterrupt
    return SOME_LEFT_OUT if work.left_out else ALL_ANSWERED


@dataclass
class _Work:
    """Photographs by name with their boxes, and what becomes of them."""

    photographs: Mapping[str, tuple[Path, list[PhotoBoxes]]]
    pointing: Pointing | None = None
    left_out: list[LeftOut] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    answers: int = 0

    @classmethod
    def gathered(
        cls, photo: Path, typed: Sequence[Sequence[float]], box_file: Path | None, pointing: Pointing | None
    ) -> _Work:
        """The photographs asked about. Raises InputError where there is none, or none with a box."""
        if pointing is not None:
            if not photo.is_file():
                raise InputError(f"there is no photograph {shown(photo.name)}; pointing needs one, not a folder")
            return cls({photo.name: (photo, [])}, pointing)
        file = BoxFile.read(box_file) if box_file is not None else None
        if not photo.is_dir():
            return cls._of_photograph(photo, typed, file)
        if file is None or typed:
            raise InputError("A folder of photographs needs --boxes FILE, which names them, and no --box.")
        return cls._of_folder(photo, file)

    @classmethod
    def _of_photograph(cls, photo: Path, typed: Sequence[Sequence[float]], file: BoxFile | None) -> _Work:
        if not typed and file is None:
            raise InputError(
                "Say where to look: --box X1 Y1 X2 Y2, --boxes FILE, --point X,Y, --find WORDS or --everything."
            )
        if not photo.is_file():
            raise absent(photo)
        groups = [PhotoBoxes.typed(typed)] if typed else []
        left_out: list[LeftOut] = []
        if file is not None:
            part = file.of(photo)
            groups += part.photographs
            left_out = part.left_out
        return cls({photo.name: (photo, groups)}, left_out=left_out)

    @classmethod
    def _of_folder(cls, folder: Path, file: BoxFile) -> _Work:
        finder = PhotoFinder(folder)
        found, left_out = file.in_folder(finder)
        if not found:
            raise InputError(f"{file.name} has no box for a photograph in {shown(folder.name)}: {left_out[0]}")
        return cls({finder.identity(path): (path, groups) for path, groups in found.items()}, left_out=left_out)

    def answered(self, predictor: Predictor, question: Question) -> Iterator[tuple[Record, RegionResult]]:
        """Each box's answer, as a record under its photograph's name too; what has none goes to `left_out`."""
        if self.pointing is not None:
            ((name, (path, _)),) = self.photographs.items()
            photo = replace(Photo.read(path), name=name)
            self.remarks += photo.notes
            for result in self.pointing.answered(predictor, photo, question):
                self.answers += 1
                yield Record.of(result, name, photo.size), result
            return
        asked: deque[tuple[str, list[Record]]] = deque()
        try:
            for results in predictor.refer_many(self._requests(asked), errors="return", question=question):
                name, boxes = asked.popleft()
                if isinstance(results, InputError):
                    self.left_out.append(LeftOut(name, places(boxes), reason(results)))
                    continue
                self.answers += len(results)
                for given, result in zip(boxes, results, strict=True):
                    yield Record.of(result, name, given.pixel_size, given.id), result
        except InputError as error:  # about the whole run, such as too little memory
            if not self.answers:
                raise
            self.left_out.append(LeftOut("", "all after these", reason(error)))

    def _requests(self, asked: deque[tuple[str, list[Record]]]) -> Iterator[tuple[Photo, list[Box]]]:
        for name, (path, groups) in self.photographs.items():
            try:
                photo = replace(Photo.read(path), name=name)
            except InputError as error:
                self.left_out.append(LeftOut(name, "", reason(error)))
                continue
            self.remarks += (f"{shown(name)}: {note}" for note in photo.notes)
            boxes: list[Record] = []
            for group in groups:
                fitted, left_out = group.fit(photo, self.remarks.append)
                boxes += fitted
                self.left_out += left_out
            for start in range(0, len(boxes), MAX_BOXES):
                asked.append((name, boxes[start : start + MAX_BOXES]))
                yield photo, [given.box for given in asked[-1][1]]

    def sum_up(self) -> None:
        """Say on stderr what was made to fit, and what was left out and why."""
        kinds: dict[str, list[str]] = {}
        for words in self.remarks:
            kinds.setdefault(words.rpartition(";")[2], []).append(words.removesuffix("."))
        for alike in kinds.values():
            more = f" (and likewise {len(alike) - 1} more)" if len(alike) > 1 else ""
            print(f"{alike[0]}{more}.", file=sys.stderr)
        for left in self.left_out:
            print(f"Left out: {left}.", file=sys.stderr)
        if self.left_out:
            print(f"Answered: {self.answers}. Left out: {len(self.left_out)}.", file=sys.stderr)


def as_text(name: str, result: RegionResult) -> str:
    """A region's answer in a few lines for people."""
    x1, y1, x2, y2 = (round(v) for v in result.box)
    lines = [f"{name}  box {x1} {y1} {x2} {y2}  views t = {', '.join(f'{v.t:g}' for v in result.taken)}"]
    if result.caption is not None:
        doubt = "" if result.sure else "Perhaps: "
        lines.append(f"  caption     {doubt}{result.caption.text}  ({result.caption.score:.2f})")
    named = (
        ("class", result.classes),
        ("tags", result.tags[:SHOWN_TAGS]),
        ("attributes", result.attributes[:SHOWN_ATTRIBUTES]),
    )
    for title, items in named:
        lines.append(f"  {title:<11} " + ", ".join(f"{item.name} {item.score:.2f}" for item in items))
    lines.append(f"  time        {result.timing_ms.get('total', 0):.0f} ms, {result.model}")
    return "\n".join(lines)

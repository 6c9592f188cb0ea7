"""What the command line's `refer` does: photographs and boxes from files, answers as text or JSON."""

from __future__ import annotations

import hashlib
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from dynrefer.boxes import parse_box
from dynrefer.cli.output import Journal, check_apart, journal, json_list, show
from dynrefer.cli.pointing import PROMPTS, Pointing
from dynrefer.errors import InputError, LeftOut, counted, reason, shown
from dynrefer.files.photo_files import PhotoFinder, absent
from dynrefer.formats import format_of, own, write
from dynrefer.formats.box_files import BoxFile, PhotoBoxes, places
from dynrefer.formats.record import Record
from dynrefer.many import Asks, answers, parts
from dynrefer.photo import Photo
from dynrefer.predictor import Predictor
from dynrefer.question import Question
from dynrefer.results import RegionResult

SHOWN_TAGS, SHOWN_ATTRIBUTES = 8, 8
ALL_ANSWERED, SOME_LEFT_OUT = 0, 3  # and 2 where nothing could be done: an InputError


def refer(
    photo: Path | None,
    box: Sequence[list[str]],
    point: list[str] | None,
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
        photo: a photograph, or a folder with photographs at any depth; None where it follows a box or point.
        box, point: as typed, in words.
        boxes: a file, folder or .zip of boxes in any format of `dynrefer.formats`.
        json_out: file for the JSON list, "-" for the screen, None to print text.
        out, format: file or folder for the answers in a format of `dynrefer.formats`.
        options: what is pointed with, see `Pointing.typed`, and what is asked, see `Question.typed`.

    Returns the exit code: 0 where every box was answered, 3 where some were left out; these are named on stderr.
    Raises InputError where none could be answered, before the model is loaded if that can be told.
    """
    photo = photo or _last_word([*box, *([point] if point else [])])
    check_apart((json_out, out), photo, boxes, options.get("mask"))
    format = _format(out, format)
    pointing = Pointing.typed(point, **{name: options.pop(name) for name in PROMPTS})
    if pointing is not None and (box or boxes is not None):
        raise InputError("Point, or give boxes with --box or --boxes; not both.")
    work = _Work.gathered(photo, [parse_box(" ".join(words)) for words in box], boxes, pointing)
    question = Question.typed(**options)
    work.remarks += question.notes
    stopped, kept = False, 0
    records: list[Record] = []
    with json_list(json_out) as add, journal(out) as notes:
        predictor = Predictor.from_pretrained(model, device, dtype, segmenter)
        try:
            for record, result, asked in work.answered(predictor, question, notes):
                if json_out != "-":
                    show(as_text(str(record.image), result), needed=add is None and out is None)
                if add is not None:
                    add(own.entry(record))
                if notes is not None:
                    if asked not in notes.known:
                        notes.note(own.entry(record), asked)
                    records.append(record)
                kept += 1
        except KeyboardInterrupt:
            stopped = True  # what was answered is kept
            if notes is not None:
                notes.is_done = False
        work.sum_up()
        if not work.answers:  # the file stays as it was
            raise KeyboardInterrupt if stopped else InputError("No box could be answered.")
        if out is not None and format is not None and (note := write(records, out, format)):
            print(note, file=sys.stderr)
    if stopped:
        further = "" if out is None else "; the same command goes on"
        print(f"Stopped, with {counted(kept, 'region')} answered{further}.", file=sys.stderr)
        raise KeyboardInterrupt
    return SOME_LEFT_OUT if work.left_out else ALL_ANSWERED


def _format(out: Path | None, format: str | None) -> str | None:
    if out is not None:
        return format_of(out, format)
    if format is not None:
        raise InputError(f"Say where the answers are to go: --format {shown(format)} --out FILE.")
    return None


def _last_word(typed: Iterable[list[str]]) -> Path:
    """The photograph, where it was typed behind the numbers of a box or point, from which it is taken away."""
    for words in typed:
        if len(words) > 1 and any(letter.isalpha() for letter in words[-1]):
            return Path(words.pop())
    raise InputError("Name the photograph to look at.")


@dataclass(frozen=True)
class Asked:
    """A region of a photograph as its file has it; `key` names all that is asked, "" where nobody asks again."""

    photo: str
    given: Record
    key: str = ""

    def answered(self, result: RegionResult) -> tuple[Record, RegionResult, str]:
        """Its answer, as a record too, and its key."""
        return Record.of(result, self.photo, self.given.pixel_size, self.given.id), result, self.key


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
            if photo.is_dir():
                raise InputError(
                    f'"{shown(photo.name)}" is a folder, and pointing needs one photograph; for all of them there is '
                    "`describe FOLDER --everything` or `--find WORDS`"
                )
            if not photo.is_file():
                raise absent(photo)
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
        found, left_out = file.by_photograph(finder.find_all)
        if not found:
            raise InputError(f"{file.name} has no box for a photograph in {shown(folder.name)}: {left_out[0]}")
        return cls({finder.identity(path): (path, groups) for path, groups in found.items()}, left_out=left_out)

    def answered(
        self, predictor: Predictor, question: Question, notes: Journal | None = None
    ) -> Iterator[tuple[Record, RegionResult, str]]:
        """Each box's answer, as a record under its photograph's name too, and what names all that was asked.

        Of each photograph those that the `notes` have come first; what has none goes to `left_out`.
        """
        if self.pointing is not None:
            ((name, (path, _)),) = self.photographs.items()
            photo = replace(Photo.read(path), name=name)
            self.remarks += photo.notes
            for result in self.pointing.answered(predictor, photo, question):
                self.answers += 1
                yield Record.of(result, name, photo.size), result, ""
            return
        known = {} if notes is None else notes.known
        key = None if notes is None else _namer(predictor, question)
        try:
            for boxes, results in answers(predictor, self._asking(notes, key), question=question):
                if isinstance(results, InputError):
                    where = places([one.given for one in boxes])
                    self.left_out.append(LeftOut(boxes[0].photo, where, reason(results)))
                    continue
                self.answers += len(boxes)
                yield from map(Asked.answered, boxes, results or (known[one.key] for one in boxes))
        except InputError as error:  # about the whole run, such as too little memory
            if not self.answers:
                raise
            self.left_out.append(LeftOut("", "all after these", reason(error)))

    def _asking(
        self, notes: Journal | None, key: Callable[[Photo, Record], str] | None
    ) -> Iterator[Asks[Sequence[Asked]]]:
        """Boxes to ask about, photograph by photograph; before them those whose answers are known already."""
        for name, (path, groups) in self.photographs.items():
            try:
                photo = replace(Photo.read(path), name=name)
            except InputError as error:
                self.left_out.append(LeftOut(name, "", reason(error)))
                continue
            self.remarks += (f"{shown(name)}: {note}" for note in photo.notes)
            boxes: list[Asked] = []
            for group in groups:
                fitted, left_out = group.fit(photo, self.remarks.append)
                boxes += (Asked(name, given, "" if key is None else key(photo, given)) for given in fitted)
                self.left_out += left_out
            if notes is not None and (former := [one for one in boxes if one.key in notes.known]):
                yield former, None, []
                boxes = [one for one in boxes if one.key not in notes.known]
                self.remarks.append(f"{shown(name)}: {len(former)} answers are there already; taken from {notes.name}")
            for some in parts(boxes):
                yield some, photo, [one.given.box for one in some]

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


def _namer(predictor: Predictor, question: Question) -> Callable[[Photo, Record], str]:
    """What names a question about a region: the model, the options, the photograph's name and content, the box."""
    always = [predictor.checkpoint.fingerprint, str(predictor.arithmetic), question.options()]

    def name(photo: Photo, given: Record) -> str:
        whole = json.dumps([*always, photo.name, photo.digest.hex(), given.id, given.box])
        return hashlib.blake2b(whole.encode(), digest_size=16).hexdigest()

    return name


def as_text(name: str, result: RegionResult) -> str:
    """A region's answer in a few lines for people."""
    x1, y1, x2, y2 = (round(v) for v in result.box)
    lines = [f"{name}  box {x1} {y1} {x2} {y2}  views t = {', '.join(f'{v.t:g}' for v in result.taken)}"]
    if result.caption is not None:
        doubt = "" if result.sure else "Perhaps: "
        lines.append(f"  caption     {doubt}{result.caption.text}  ({result.caption.score:.2f})")
    types = Counter(entry.name for entry in result.attributes)  # "brown" is a color, a clothes color and a hair color
    attributes = [
        replace(entry, name=f"{entry.name} ({entry.type})") if types[entry.name] > 1 else entry
        for entry in result.attributes[:SHOWN_ATTRIBUTES]
    ]
    named = (("class", result.classes), ("tags", result.tags[:SHOWN_TAGS]), ("attributes", attributes))
    for title, items in named:
        lines.append(f"  {title:<11} " + ", ".join(f"{item.name} {item.score:.2f}" for item in items))
    lines.append(f"  time        {result.timing_ms.get('total', 0):.0f} ms, {result.model}")
    return "\n".join(lines)

"""What the command line's `refer` points with, beside boxes: places, a scribble, a mask, words, or everything."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dynrefer.errors import InputError, shown
from dynrefer.files.tables import split_words
from dynrefer.photo import Photo
from dynrefer.predictor import Predictor
from dynrefer.proposals import EVERYTHING, FOUND, check_words, things
from dynrefer.question import Question
from dynrefer.results import RegionResult

OUTSIDE = ("out", "outside", "-")
PROMPTS = ("points", "scribble", "mask", "find", "everything")  # arguments of `Pointing.typed` after the point


@dataclass(frozen=True)
class Pointing:
    """What was typed: one prompt of `Predictor.refer`, or words to find, or neither for everything."""

    prompt: dict[str, Any]
    words: tuple[str, ...] | None = None

    @classmethod
    def typed(
        cls,
        point: Sequence[str] | None,
        points: str | None,
        scribble: str | None,
        mask: Path | None,
        find: str | None,
        everything: bool,
    ) -> Pointing | None:
        """What was typed, a point in one word or two; None where nothing was.

        Raises InputError where it is too much, or cannot be read.
        """
        place = None if point is None else ",".join(word for part in point for word in part.split(",") if word)
        lines = {"point": place, "points": points, "scribble": scribble}
        prompt: dict[str, Any] = {name: parse_points(text) for name, text in lines.items() if text is not None}
        if mask is not None:
            prompt["mask"] = mask
        asked = [*prompt, *(["find"] if find is not None else []), *(["everything"] if everything else [])]
        if len(asked) > 1:
            raise InputError(f"Give one of --{', --'.join(asked)}.")
        if point is not None:
            if len(prompt["point"]) != 1:
                raise InputError("--point is one place X,Y; give several with --points.")
            prompt["point"] = prompt["point"][0]
        return cls(prompt, None if find is None else check_words(split_words(find))) if asked else None

    def answered(self, predictor: Predictor, photo: Photo, question: Question) -> Iterator[RegionResult]:
        """Describe what was pointed at. Raises InputError where nothing is found."""
        if self.prompt:
            yield predictor.refer(photo, question=question, **self.prompt)
            return
        if self.words is None:
            found = things(photo, EVERYTHING, predictor.propose, predictor.refer)
        else:
            found = predictor.propose(photo, words=self.words, limit=EVERYTHING)
            sure = [proposal for proposal in found if proposal.score >= FOUND]
            if not sure:
                best = f"; the likeliest place scores {found[0].score:.2f}, below {FOUND:g}" if found else ""
                raise InputError(f"No {' or '.join(self.words)} was found in {shown(photo.name)}{best}.")
            found = sure
        if not found:
            raise InputError(f"Nothing was found in {shown(photo.name)}; draw a box with --box.")
        for proposal in found:
            yield predictor.refer(photo, proposal.box, question=question)


def parse_points(text: str) -> list[list[Any]]:
    """Places as typed, parted by blanks or semicolons: "X,Y X,Y,out".

    Raises InputError where a place is no two numbers.
    """
    found: list[list[Any]] = []
    for word in text.replace(";", " ").split():
        x, *rest = word.split(",")
        outside = rest[1:] and rest[1].lower() in OUTSIDE
        try:
            if len(rest) != (2 if outside else 1):
                raise ValueError
            found.append([float(x), float(rest[0]), *([False] if outside else [])])
        except ValueError as error:
            raise InputError(f'"{shown(word)}" is no place; write X,Y, and X,Y,out for one beside the thing') from error
    return found

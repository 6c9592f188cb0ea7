"""The regions that were asked about on one photograph, and what one visitor has on the page."""

import secrets
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from dynrefer.boxes import MAX_BOXES, Box
from dynrefer.errors import InputError
from dynrefer.question import Question
from dynrefer.results import RegionResult

KEPT_TAGS = 100


@dataclass(frozen=True, slots=True)
class Entry:
    """One region: what was asked, what was answered (with the best KEPT_TAGS tags), and how it looks."""

    question: Question
    result: RegionResult
    thumbnail: str
    """A data URL."""


def few_tags(result: RegionResult) -> RegionResult:
    """`result` with its best tags alone: a vocabulary of thousands times hundreds of regions fills a server."""
    return replace(result, tags=result.tags[:KEPT_TAGS])


def thinned(result: RegionResult, tag_threshold: float) -> RegionResult:
    """`result` with only the tags at or above the threshold."""
    return replace(result, tags=tuple(tag for tag in result.tags if tag.score >= tag_threshold))


@dataclass(frozen=True)
class Album:
    """All entries of a photograph in the order asked, and which of them is shown."""

    entries: tuple[Entry, ...] = ()
    selected: int | None = None

    @property
    def current(self) -> Entry | None:
        """The entry shown."""
        return None if self.selected is None else self.entries[self.selected]

    @property
    def results(self) -> list[RegionResult]:
        """The answers of all entries."""
        return [entry.result for entry in self.entries]

    def add(self, entry: Entry) -> "Album":
        """With `entry` at the end and shown; where its box was asked before, it takes that entry's place."""
        for place, known in enumerate(self.entries):
            if known.result.box == entry.result.box:
                return Album((*self.entries[:place], entry, *self.entries[place + 1 :]), place)
        return Album((*self.entries, entry), len(self.entries))

    def extend(self, entries: Iterable[Entry]) -> "Album":
        """With all `entries` added, and shown what was shown before."""
        box = self.current.result.box if self.current else None
        album = self
        for entry in entries:
            album = album.add(entry)
        places = [place for place, entry in enumerate(album.entries) if entry.result.box == box]
        return replace(album, selected=places[0] if places else None)

    def select(self, place: object) -> "Album":
        """With the entry at `place` shown, as sent by a client; InputError where there is none."""
        return replace(self, selected=self._checked(place))

    def remove(self, place: object) -> "Album":
        """Without the entry at `place`; another one stays shown, a removed one does not."""
        gone = self._checked(place)
        entries = (*self.entries[:gone], *self.entries[gone + 1 :])
        if self.selected is None or self.selected == gone:
            return Album(entries)
        return Album(entries, self.selected - (self.selected > gone))

    def unselect(self) -> "Album":
        """With no entry shown."""
        return replace(self, selected=None)

    def _checked(self, place: object) -> int:
        text = str(place)
        if not text.isdecimal() or len(text) > 4 or int(text) >= len(self.entries):
            raise InputError("there is no such region any more; choose one of those in the table")
        return int(text)


class Ticket(NamedTuple):
    """What an event is about: which table, and the how manieth wish of the visitor."""

    table: int
    wish: int


class Session:
    """One visitor's photograph and album, shared by all of their events, which run at the same time.

    An answer comes seconds after its question. It goes into the table as that is by then, never into a copy from
    before: what the visitor cleared, deleted or selected meanwhile stays so.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ticket = Ticket(0, 0)
        self.begin()

    def __deepcopy__(self, memo: dict[int, Any]) -> "Session":
        return Session()  # by which Gradio gives every visitor their own

    def begin(self, name: str = "", example: str | None = None, source: str | None = None, key: str = "") -> None:
        """Another photograph called `name`, with an empty table.

        `example` is its name where it is one, `source` its URL where it is not, `key` what a browser keeps it under.
        """
        with self._lock:
            self.name, self.example, self.source, self.key = name, example, source, key or secrets.token_hex(8)
            self.choices: Question | None = None
            """What was asked last."""
            self._start_table()
            self._before: Album | None = None

    def ticket(self) -> Ticket:
        """What an event that starts now is about."""
        return self._ticket

    def wish(self) -> Ticket:
        """Something else is to be shown: what was asked before still fills the table, but is not shown any more."""
        with self._lock:
            self._ticket = self._ticket._replace(wish=self._ticket.wish + 1)
            return self._ticket

    def edit(self, change: Callable[[Album], Album]) -> None:
        """Let the visitor select or delete a region; a deleted one can be brought back."""
        with self._lock:
            changed = change(self.album)
            if len(changed.entries) < len(self.album.entries):
                self._before = self.album
            self.album = changed
            self._ticket = self._ticket._replace(wish=self._ticket.wish + 1)

    def clear(self) -> None:
        """Empty the table; what is being asked for it stays out, and it can be brought back."""
        with self._lock:
            before = self.album
            self._start_table()
            self._before = before if before.entries else self._before

    def undo(self) -> None:
        """Bring back what was cleared or deleted last, beside what came since."""
        with self._lock:
            if self._before is None:
                raise InputError("there is nothing to bring back any more")
            boxes = {result.box for result in self._before.results}
            since = [entry for entry in self.album.entries if entry.result.box not in boxes]
            self._check_room(len(self._before.entries) + len(since))
            self.album, self._before = self._before.extend(since), None
            self._ticket = self._ticket._replace(wish=self._ticket.wish + 1)

    @property
    def removed(self) -> int:
        """How many regions `undo` would bring back."""
        if self._before is None:
            return 0
        known = {result.box for result in self.album.results}
        return sum(result.box not in known for result in self._before.results)

    def answer(self, ticket: Ticket, entry: Entry) -> bool:
        """Put an answer into the table, and show it where it is still what the visitor wants.

        Returns whether the table is still the one that was asked for.
        """
        with self._lock:
            if ticket.table != self._ticket.table:
                return False
            self.album = self.album.add(entry) if ticket == self._ticket else self.album.extend([entry])
            return True

    def extend(self, ticket: Ticket, entries: Sequence[Entry], shown: tuple[float, ...] | None = None) -> bool:
        """Put answers into the table; that about the box `shown` is shown unless the visitor wants something else.

        Returns whether the table is still the one that was asked for.
        """
        with self._lock:
            if ticket.table != self._ticket.table:
                return False
            self.album = self.album.extend(entries)
            answered = {entry.result.box for entry in entries}
            self.waiting = [row for row in self.waiting if row[0] not in answered]
            places = [place for place, result in enumerate(self.album.results) if result.box == shown]
            if places and ticket == self._ticket:
                self.album = replace(self.album, selected=places[0])
            return True

    def check_room(self, boxes: Iterable[Box]) -> None:
        """Raise InputError where the table cannot hold `boxes` as well."""
        known = {result.box for result in self.album.results}
        self._check_room(len(known) + len(set(boxes) - known))

    def _check_room(self, count: int) -> None:
        if count > MAX_BOXES:
            raise InputError(f"the table holds at most {MAX_BOXES} regions; save them and clear it to go on")

    def _start_table(self) -> None:
        self.album = Album()
        self.waiting: list[tuple[Box, Question]] = []
        """Regions that a browser kept and that are not asked again yet."""
        self._ticket = Ticket(self._ticket.table + 1, self._ticket.wish + 1)

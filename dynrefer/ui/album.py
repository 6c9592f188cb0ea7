"""The regions that were asked about on one photograph, and what one visitor has on the page."""

import secrets
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from dynrefer.boxes import MAX_BOXES, Box
from dynrefer.errors import InputError
from dynrefer.project import Project, Region, Status
from dynrefer.question import Question
from dynrefer.results import RegionResult, Words

KEPT_TAGS = 100
MOST_UNDONE = 100


@dataclass(frozen=True, slots=True)
class Entry(Region):
    """A region of the table, its answer with the best KEPT_TAGS tags, and how it looks: `thumbnail` is a data URL."""

    thumbnail: str = ""


def few_tags(result: RegionResult) -> RegionResult:
    """`result` with its best tags alone: a vocabulary of thousands times hundreds of regions fills a server."""
    return replace(result, tags=result.tags[:KEPT_TAGS])


def said(entry: Entry, person: Entry) -> Entry:
    """`entry` with what a person said of it in another one."""
    return replace(entry, words=person.words, status=person.status)


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
        """With `entry` at the end and shown; where its box was asked before, it takes that entry's place.

        What a person said of the region stays, and of an accepted one the answer that they accepted.
        """
        for place, known in enumerate(self.entries):
            if known.answer.box == entry.answer.box:
                return self.put(place, known if known.status == "accepted" else said(entry, known))
        return Album((*self.entries, entry), len(self.entries))

    def put(self, place: int, entry: Entry) -> "Album":
        """With `entry` in the place of another, and shown."""
        return Album((*self.entries[:place], entry, *self.entries[place + 1 :]), place)

    def order(self, least_sure_first: bool = False) -> list[int]:
        """The places of the entries as the table shows them."""
        places = range(len(self.entries))
        return sorted(places, key=lambda place: -self.entries[place].doubt) if least_sure_first else list(places)

    def next_open(self, least_sure_first: bool = False, after: int | None = None) -> int | None:
        """The place of the entry to review next, in the table's order from `after` on; None where all are reviewed."""
        order = self.order(least_sure_first)
        start = 0 if after is None else order.index(after) + 1
        return next((k for k in (*order[start:], *order[:start]) if k != after and not self.entries[k].reviewed), None)

    def review(self, status: Status, least_sure_first: bool = False) -> "Album":
        """With the entry shown accepted or rejected (open again where it was so) and the next open one shown."""
        place, entry = self._shown
        if entry.status == status:
            return self.put(place, replace(entry, status="open"))
        following = self.next_open(least_sure_first, place)
        album = self.put(place, replace(entry, status=status))
        return replace(album, selected=place if following is None else following)

    def say(self, change: Callable[[Words], Words]) -> "Album":
        """With a person's words about the entry shown changed."""
        place, entry = self._shown
        return self.put(place, replace(entry, words=change(entry.words)))

    @property
    def _shown(self) -> tuple[int, Entry]:
        if self.selected is None:
            raise InputError("no region is shown; draw a box, or choose one of the table")
        return self.selected, self.entries[self.selected]

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
    """What an event is about: the number of the table, and of the wish of its visitor."""

    table: int
    wish: int


class Session:
    """One visitor's photograph and album, shared by all of their events, which run at the same time.

    An answer comes seconds after its question. It goes into the table as that is by then, never into a copy from
    before: what the visitor cleared, deleted or selected meanwhile stays so.
    """

    album: Album
    least_sure_first: bool
    """Whether the table shows what the model doubts most first."""
    project: Project | None
    """The folder of photographs that the page was started with; `place` is the one opened last."""
    place: int

    def __init__(self, project: Project | None = None) -> None:
        self._lock = threading.Lock()
        self._ticket = Ticket(0, 0)
        self.least_sure_first = False
        self.project, self.place = project, 0
        self.begin()

    def __deepcopy__(self, memo: dict[int, Any]) -> "Session":
        return Session(self.project)  # by which Gradio gives every visitor their own

    def begin(
        self,
        name: str = "",
        example: str | None = None,
        source: str | None = None,
        key: str = "",
        size: tuple[int, int] = (0, 0),
        album: Album | None = None,
        keep: Callable[[Iterable[Region]], object] | None = None,
        file: Path | None = None,
        trouble: str = "",
    ) -> None:
        """Another photograph called `name` of (width, height) `size`, with an empty table or the regions of `album`.

        `example` is its name where it is one, `source` its URL where it is not, `key` what a browser keeps it under;
        `keep` is called with every change of the table, where the server keeps it, `file` is the photograph there, and
        `trouble` is why it cannot be shown.
        """
        with self._lock:
            self.name, self.example, self.source, self.key = name, example, source, key or secrets.token_hex(8)
            self.size, self._keep, self.file, self.trouble = size, keep, file, trouble
            self.choices: Question | None = None
            """What was asked last."""
            self.album = album or Album()
            self._ticket = Ticket(self._ticket.table + 1, self._ticket.wish + 1)
            self._history: list[Album] = []

    def ticket(self) -> Ticket:
        """What an event that starts now is about."""
        return self._ticket

    def wish(self) -> Ticket:
        """Something else is to be shown: what was asked before still fills the table, but is not shown any more."""
        with self._lock:
            self._ticket = self._ticket._replace(wish=self._ticket.wish + 1)
            return self._ticket

    def edit(self, change: Callable[[Album], Album], anew: bool = False) -> None:
        """Let the visitor select, delete or review a region, or correct what is said of it; `undo` takes it back.

        `anew` keeps out what is being asked for the table.
        """
        with self._lock:
            before, changed = self.album, change(self.album)
            if changed.entries != before.entries:
                self._remember(before)
            self._change(changed)
            self._ticket = Ticket(self._ticket.table + anew, self._ticket.wish + 1)

    def clear(self) -> None:
        """Empty the table; what is being asked for it stays out, and it can be brought back."""
        self.edit(lambda _: Album(), anew=True)

    def undo(self) -> None:
        """Take back what the visitor did last: deleted regions come back, words and reviews are as before.

        What the model answered since stays.
        """
        with self._lock:
            if not self._history:
                raise InputError("there is nothing to take back any more")
            before = self._history[-1]
            now = {entry.answer.box: entry for entry in self.album.entries}
            known = [said(now[box], entry) if (box := entry.answer.box) in now else entry for entry in before.entries]
            boxes = {entry.answer.box for entry in before.entries}
            since = [entry for box, entry in now.items() if box not in boxes]
            self._check_room(len(known) + len(since))
            self._history.pop()
            self._change(Album(tuple(known), before.selected).extend(since))
            self._ticket = self._ticket._replace(wish=self._ticket.wish + 1)

    @property
    def kept_here(self) -> bool:
        """Whether the server keeps the table."""
        return self._keep is not None

    @property
    def can_undo(self) -> bool:
        """Whether there is something to take back."""
        return bool(self._history)

    @property
    def removed(self) -> int:
        """How many regions `undo` would bring back."""
        if not self._history:
            return 0
        known = {result.box for result in self.album.results}
        return sum(result.box not in known for result in self._history[-1].results)

    def answer(self, ticket: Ticket, entry: Entry) -> bool:
        """Put an answer into the table, and show it where it is still what the visitor wants.

        Returns whether the table is still the one that was asked for.
        """
        return self._fill(
            ticket, lambda: self.album.add(entry) if ticket == self._ticket else self.album.extend([entry])
        )

    def extend(self, ticket: Ticket, entries: Sequence[Entry]) -> bool:
        """`answer` of several, with what was shown before shown again."""
        return self._fill(ticket, lambda: self.album.extend(entries))

    def _fill(self, ticket: Ticket, filled: Callable[[], Album]) -> bool:
        with self._lock:
            if ticket.table != self._ticket.table:
                return False
            self._change(filled())
            return True

    def check_room(self, boxes: Iterable[Box]) -> None:
        """Raise InputError where the table cannot hold `boxes` as well."""
        known = {result.box for result in self.album.results}
        self._check_room(len(known) + len(set(boxes) - known))

    def _check_room(self, count: int) -> None:
        if count > MAX_BOXES:
            raise InputError(f"the table holds at most {MAX_BOXES} regions; save them and clear it to go on")

    def _remember(self, before: Album) -> None:
        self._history = [*self._history, before][-MOST_UNDONE:]

    def _change(self, album: Album) -> None:
        """Take over a table, which is kept before anybody sees it."""
        if self._keep is not None and album.entries != self.album.entries:
            self._keep(album.entries)
        self.album = album

"""What one visitor has on the page, shared by all of their events."""

import secrets
import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from dynrefer.boxes import MAX_BOXES, Box
from dynrefer.errors import InputError
from dynrefer.project import Project, Region
from dynrefer.question import Question

from .album import Album, Entry, said

MOST_UNDONE = 100


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

    def go(self, project: Project, to: object, step: object, review: bool) -> str:
        """Move to another photograph of the project, whose name is returned: see `Handlers.move`."""
        if review:
            self.place = place_to_review(project, self.place, self.least_sure_first)
        else:
            self.place = next_place(project, self.place, to, step)
        return project.names[self.place]

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


def next_place(project: Project, place: int, name: object, step: object) -> int:
    """Where in the project a step from `place` leads, or a name; without both the first one that is not reviewed."""
    names = project.names
    if name in names:
        return names.index(str(name))
    if isinstance(step, int):
        return min(max(place + max(-1, min(step, 1)), 0), len(names) - 1)
    regions = map(project.regions, names)
    return next((k for k, known in enumerate(regions) if not known or not all(r.reviewed for r in known)), 0)


def place_to_review(project: Project, place: int, least_sure_first: bool) -> int:
    """Where there is something to review: next after `place`, or what the model doubts most; else `place` itself."""
    count = len(project.names)
    onwards = [k % count for k in range(place + 1, place + 1 + count)]
    doubts = {k: [one.doubt for one in project.regions(project.names[k]) if not one.reviewed] for k in onwards}
    open_ones = [k for k in onwards if doubts[k]]
    if least_sure_first:
        open_ones.sort(key=lambda k: -max(doubts[k]))
    return next(iter(open_ones), place)

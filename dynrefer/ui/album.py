"""The regions that were asked about on one photograph."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from dynrefer.boxes import MAX_BOXES
from dynrefer.errors import InputError
from dynrefer.results import RegionResult

from .settings import Settings


@dataclass(frozen=True)
class Entry:
    """One region: what was asked, what was answered (with every tag), and how it looks."""

    settings: Settings
    result: RegionResult
    thumbnail: str
    """A data URL."""
    link: str = ""
    """The question as a link's query; see `links`."""


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
        kept = (*self.entries, entry)[-MAX_BOXES:]
        return Album(kept, len(kept) - 1)

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

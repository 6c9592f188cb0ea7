"""The regions that were asked about on one photograph, and which of them is shown."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from dynrefer.boxes import check_box
from dynrefer.errors import InputError
from dynrefer.photo import Photo
from dynrefer.pointing import fitting_mask
from dynrefer.project import Region, Status
from dynrefer.results import RegionResult, Words

from .pictures import thumbnails

KEPT_TAGS = 100


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


def opened(photo: Photo, regions: Sequence[Region], least_sure_first: bool, selected: int | None = None) -> Album:
    """Regions of a project as the table holds them, with one `selected` or else the one to review next.

    Boxes and masks are checked against the photograph as it is now.
    """
    entries = []
    for region in regions:
        box, mask = check_box(region.answer.box, photo.size), fitting_mask(region.answer.mask, photo.size)
        (look,) = thumbnails(photo, [box])
        answer = replace(region.answer, box=box, mask=mask)
        entries.append(Entry(region.question, answer, region.words, region.status, look))
    album = Album(tuple(entries), selected)
    return album if selected is not None else replace(album, selected=album.next_open(least_sure_first))

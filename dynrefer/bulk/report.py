"""What a person sees of a run: how far it is, how fast, how long it will take, and at the end what failed and why."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Sequence

from dynrefer.bulk.engine import Numbered, Outcome
from dynrefer.bulk.rows import Tally
from dynrefer.errors import InputError, LeftOut, counted, shown

SECONDS_BETWEEN = {True: 2.0, False: 30.0}  # on a screen, and in a file
SHOWN_FAILURES = 10


class Report:
    """Follows the parts of one run; writes to stderr."""

    def __init__(
        self,
        remarks: Sequence[str],
        left_out: Sequence[LeftOut],
        before: int,
        failed_before: Sequence[tuple[str, str]],
        shards: Sequence[Numbered],
    ) -> None:
        """Begin to follow.

        Args:
            left_out: what cannot be read. shards: to be described.
            before: how many parts are there already. failed_before: photographs and sentences of their failed rows.
        """
        self._left_out, self._failed_before = left_out, failed_before
        self._parts, self._photographs = len(shards), sum(len(shard) for _, shard in shards)
        self._total, self._under_way = Tally(), dict[int, Tally]()
        self._done, self._unreadable = 0, dict[int, str]()
        self._files = {number: getattr(shard, "file", f"part {number}") for number, shard in shards}
        self._began = self._told = time.monotonic()
        for remark in remarks:
            self._say(remark)
        if before:
            self._say(f"Parts described before: {before:,}; to be described now: {len(shards):,}.")

    def tell(self, number: int, tally: Tally) -> None:
        """Note how far a part is."""
        if not self._done and not self._under_way:
            self._began = time.monotonic()  # what the model took to load is no part of the rate
        self._under_way[number] = tally
        self._say_now_and_then()

    def _say_now_and_then(self) -> None:
        if time.monotonic() - self._told >= SECONDS_BETWEEN[sys.stderr.isatty()]:
            self._told = time.monotonic()
            self._say(self._line(), over=True)

    def done(self, number: int, outcome: Tally | InputError) -> None:
        """Note what became of a part."""
        self._under_way.pop(number, None)
        if isinstance(outcome, InputError):
            self._unreadable[number] = str(outcome)
        else:
            self._total.add(outcome)
        self._done += 1
        self._say_now_and_then()

    def follow(self, outcomes: Iterable[Outcome]) -> int:
        """Take what becomes of the parts, and sum up; how many failed. Raises whatever ends the run before its end."""
        try:
            for number, outcome in outcomes:
                self.done(number, outcome)
        except (InputError, KeyboardInterrupt) as error:
            if self._done or isinstance(error, KeyboardInterrupt):
                self._say(
                    f"Stopped after {self._done:,} of {self._parts:,} parts, which stay; the same command goes on."
                )
            raise
        return self.sum_up()

    def sum_up(self) -> int:
        """Say what was done and what failed and why; how many failed."""
        seconds, total = time.monotonic() - self._began, self._total
        rate = f"{total.regions / seconds:.1f} regions/s" if seconds > 0 else ""
        failed = total.failed.total() + len(self._unreadable) + len(self._left_out)
        before = self._failed_before
        if self._parts or failed:
            self._say(
                f"Described {counted(total.regions, 'region')} of {counted(total.photographs, 'photograph')} in "
                f"{seconds:,.0f} s ({rate}); {failed:,} failed."
            )
        for left in self._left_out:
            self._say(f"Left out: {left}.")
        for number, sentence in self._unreadable.items():
            self._say(f"Not described, and tried again next time: {self._files[number]}: {sentence}")
        for sentence, count in total.failed.most_common(SHOWN_FAILURES):
            self._say(f"Failed: {count:,}, for example {shown(total.examples[sentence])}: {sentence}")
        if len(total.failed) > SHOWN_FAILURES:
            self._say(f"{len(total.failed) - SHOWN_FAILURES:,} other reasons are in the rows.")
        if before:
            self._say(
                f"Rows with an error in parts from before: {len(before):,}, for example {shown(before[0][0])}: "
                f"{before[0][1]} Remove a part's file, and it is described again."
            )
        return failed + len(before)

    def _line(self) -> str:
        now = Tally()
        for tally in (self._total, *self._under_way.values()):
            now.add(tally)
        seconds = time.monotonic() - self._began
        share = now.photographs / self._photographs if self._photographs else self._done / self._parts
        left = f", about {_duration(seconds / share - seconds)} left" if share > 0 else ""
        of = f" of {self._photographs:,}" if self._photographs else ""
        return (
            f"{now.photographs:,}{of} photographs, {self._done:,} of {self._parts:,} parts, {now.regions:,} regions, "
            f"{now.regions / max(seconds, 1e-9):.1f} a second{left}, {now.failed.total():,} failed"
        )

    def _say(self, text: str, over: bool = False) -> None:
        """Write a line, on a screen `over` the one before."""
        screen = sys.stderr.isatty()
        print(f"\r\033[K{text}" if screen else text, end="" if over and screen else "\n", file=sys.stderr, flush=True)


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{max(0, seconds):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"

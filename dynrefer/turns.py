"""Turns at the one network: first come, first served, and long work lets others in between."""

import threading
from itertools import count


class Turns:
    """A lock that goes to those who wait for it in the order in which they came; not to be taken twice."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self._numbers = count()
        self._line: list[int] = []
        """Numbers of those who came, the first of whom has the turn."""

    @property
    def waiting(self) -> int:
        """How many wait."""
        return max(0, len(self._line) - 1)

    def give_way(self) -> None:
        """Let those who wait now come first, and go on after them."""
        if self.waiting:
            self.__exit__()
            self.__enter__()

    def __enter__(self) -> None:
        with self.changed:
            number = next(self._numbers)
            self._line.append(number)
            self.changed.notify_all()
            try:
                self.changed.wait_for(lambda: self._line[0] == number)
            except BaseException:  # an interrupt: the turn must not come to somebody who is gone
                self._line.remove(number)
                self.changed.notify_all()
                raise

    def __exit__(self, *_error: object) -> None:
        with self.changed:
            del self._line[0]
            self.changed.notify_all()

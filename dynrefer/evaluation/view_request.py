"""Which looks a benchmark takes: the words after `--views`, as arguments of `Predictor.refer`."""

import re
from dataclasses import dataclass
from typing import Any

from dynrefer.errors import InputError

MODES = ("dynamic", "random", "prior:caption", "prior:attributes")
_WORDS = re.compile(rf"(?P<mode>{'|'.join(MODES)})?[ ,]*(?:(?P<number>\d+)(?: views?)?)?")


@dataclass(frozen=True)
class ViewRequest:
    """A selection mode, a number of views, or coefficients of fixed views; what is None is left to the predictor."""

    mode: str | None = None
    num_views: int | None = None
    coefficients: tuple[float, ...] | None = None

    @classmethod
    def parse(cls, text: str | None) -> "ViewRequest":
        """Read `dynamic`, `random`, `prior:caption`, `prior:attributes`, `3 views`, `random 2 views` or `t=0.3,0.5`.

        `t` names the views besides t = 0, which is always taken; `t=0` is that one view alone. None is the default.

        Raises:
            InputError: the words are none of these.
        """
        words = (text or "").strip()
        if words.startswith("t="):
            return cls(coefficients=_coefficients(words[2:]))
        parts = _WORDS.fullmatch(words)
        if parts is None or parts["number"] == "0":
            raise InputError(
                f"--views {text!r} is not understood: give {', '.join(MODES)}, '2 views', 'random 2 views' "
                "or 't=0.3,0.5'."
            )
        return cls(mode=parts["mode"], num_views=int(parts["number"]) if parts["number"] else None)

    def resolved(self, mode: str, num_views: int) -> "ViewRequest":
        """The request with a predictor's own mode and number of views where it names none."""
        if self.coefficients is not None:
            return self
        return ViewRequest(self.mode or mode, self.num_views or num_views)

    @property
    def random(self) -> bool:
        """Whether chance takes part, so that a generator is needed."""
        return self.mode == "random"

    def arguments(self) -> dict[str, Any]:
        """Keyword arguments for `Predictor.refer` and `refer_many`."""
        chosen = {"mode": self.mode, "num_views": self.num_views, "coefficients": self.coefficients}
        return {name: value for name, value in chosen.items() if value is not None}

    def __str__(self) -> str:
        if self.coefficients is not None:
            return "t=" + ",".join(f"{t:g}" for t in self.coefficients if t or len(self.coefficients) == 1)
        number = "" if self.num_views is None else f"{self.num_views} view{'s' * (self.num_views > 1)}"
        return " ".join(word for word in (self.mode, number) if word) or "default"


def _coefficients(text: str) -> tuple[float, ...]:
    try:
        values = [float(word) for word in text.split(",")]
    except ValueError:
        values = [-1.0]
    if not all(0 <= value <= 1 for value in values):
        raise InputError(f"--views 't={text}' is not understood: give numbers from 0 to 1, as in 't=0.3,0.5'.")
    return (0.0, *sorted({value for value in values if value > 0}))

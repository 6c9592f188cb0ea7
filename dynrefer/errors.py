"""What a user is meant to read: the one error, and what was left out of a long piece of work."""

from dataclasses import dataclass


class InputError(ValueError):
    """What was asked for cannot be done; the message is one sentence that says why, and what to do about it."""

    def __str__(self) -> str:
        """The message as a sentence: a capital first (unless it begins with a file's name), a full stop last."""
        text = super().__str__().strip()
        if text.partition(" ")[0].isalpha():
            text = text[0].upper() + text[1:]
        return text if text.endswith((".", "!", "?")) else f"{text}."


@dataclass(frozen=True)
class LeftOut:
    """A record that could not be used: its photograph as the file calls it, where in the file it stands, and why.

    `annotation` is its place: "annotation 7 of val.json", "line 3", "box 2"; empty for a photograph as a whole.
    """

    photograph: str
    annotation: str
    reason: str

    def __str__(self) -> str:
        place = ", ".join(part for part in (shown(self.photograph), self.annotation) if part)
        return f"{place}: {self.reason}" if place and not self.reason.startswith(place) else self.reason


def reason(error: InputError) -> str:
    """An error's words, to go on after a colon."""
    return str(error.args[0]).removesuffix(".")


def counted(number: int, thing: str) -> str:
    """So many of a thing: "1 region", "2 regions"."""
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"


def shown(text: object, length: int = 60) -> str:
    """Any value as it may stand in an error sentence: one line, cut short, with codes for what is no letter."""
    line = " ".join(str(text).encode(errors="backslashreplace").decode().split())
    return line if len(line) <= length else line[: length - 3] + "..."

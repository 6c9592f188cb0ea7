"""The one error that a user is meant to read."""


class InputError(ValueError):
    """What was asked for cannot be done; the message is one sentence that says why, and what to do about it."""

    def __str__(self) -> str:
        """The message as a sentence: a capital first (unless it begins with a file's name), a full stop last."""
        text = super().__str__().strip()
        if text.partition(" ")[0].isalpha():
            text = text[0].upper() + text[1:]
        return text if text.endswith((".", "!", "?")) else f"{text}."


def shown(text: object, length: int = 60) -> str:
    """Any value as it may stand in an error sentence: one line, cut short."""
    line = " ".join(str(text).split())
    return line if len(line) <= length else line[: length - 3] + "..."

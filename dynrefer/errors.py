"""The one error that a user is meant to read."""


class InputError(ValueError):
    """What was asked for cannot be done; the message is one sentence that says why, and what to do about it."""

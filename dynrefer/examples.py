"""The example photographs that come with DynRefer, each with a box and what is in it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from dynrefer.boxes import Box
from dynrefer.checkpoint import shipped
from dynrefer.errors import InputError, shown

EXAMPLES = shipped("assets/examples")


@dataclass(frozen=True)
class Example:
    """A photograph in `EXAMPLES` and a box on it, in pixels."""

    file: str
    box: Box
    title: str
    about: str
    names: tuple[str, ...]
    """Right for what is in the box, best first."""

    @property
    def path(self) -> Path:
        """Where the photograph is."""
        return EXAMPLES / self.file

    @property
    def name(self) -> str:
        """What it is called in a link."""
        return self.title.lower().replace(" ", "-")


def read_examples() -> list[Example]:
    """The examples in the order of their index; none where the photographs were not installed."""
    index = EXAMPLES / "examples.json"
    entries = json.loads(index.read_text(encoding="utf-8")) if index.exists() else []
    return [Example(**e | {"box": tuple(map(float, e["box"])), "names": tuple(e["names"])}) for e in entries]


def find_example(name: object) -> Example:
    """The example of that name; InputError where there is none."""
    named = {example.name: example for example in read_examples()}
    if not isinstance(name, str) or name not in named:
        raise InputError(f'there is no example "{shown(name)}"; they are {", ".join(named)}')
    return named[name]

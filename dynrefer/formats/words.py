"""What is said of a region as pairs of a name and a text, for formats that hold nothing else."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from dynrefer.formats.record import Record, said

UNNAMED = "region"  # the label of a region that has none, where a format wants one
CAPTIONS = frozenset(("caption", "description", "text"))
BETWEEN = "; "


def named(record: Record) -> list[tuple[str, str]]:
    """Its caption, its tags, and its attributes by their type."""
    by_type: dict[str, list[str]] = {}
    for kind, name in record.attributes:
        by_type.setdefault(kind or "attribute", []).append(name)
    pairs = [("caption", record.caption), ("tags", BETWEEN.join(record.tags))]
    return [pair for pair in pairs if pair[1]] + [(kind, BETWEEN.join(names)) for kind, names in by_type.items()]


def unnamed(label: str | None, pairs: Iterable[tuple[str, str]], by: str = "") -> dict[str, Any]:
    """The pairs of a file as `Record.said`; what is "true" or "false" is an attribute that it has or has not."""
    caption, tags, attributes = "", list[str](), list[dict[str, str]]()
    for name, value in pairs:
        name, value = name.strip(), value.strip()
        if name.casefold() in CAPTIONS:
            caption = value
        elif name.casefold() == "tags":
            tags = value.split(BETWEEN)
        elif value.casefold() == "true":
            attributes.append({"name": name})
        elif value and value.casefold() != "false":
            kind = {} if name == "attribute" else {"type": name}
            attributes += [{"name": part, **kind} for part in value.split(BETWEEN)]
    label = (label or "").strip()
    return said(caption, None if label == UNNAMED else label, None, tags, attributes, by)

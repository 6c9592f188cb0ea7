"""XML as annotation tools read and write it."""

from __future__ import annotations

import re
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from dynrefer.coco_files import box_numbers
from dynrefer.errors import InputError

_NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def numbers(element: Element | None, names: tuple[str, str, str, str]) -> tuple[float, float, float, float]:
    """Four numbers of an element's attributes or children. Raises InputError that says which is missing or none."""
    values = {name: _value(element, name) for name in names}
    missing = next((name for name, value in values.items() if value is None), None)
    if missing is not None:
        raise InputError(f"it has no {missing}")
    return box_numbers(list(values.values()), names)


def _value(element: Element | None, name: str) -> str | None:
    if element is None:
        return None
    return element.get(name, element.findtext(name))


def text(value: object) -> str:
    """A value as text, without what XML cannot hold."""
    return _NOT_IN_XML.sub("", str(value))


def add(parent: Element, tag: str, value: object = None, **attributes: object) -> Element:
    """A new child with a text and attributes."""
    child = SubElement(parent, tag, {name: text(given) for name, given in attributes.items()})
    if value is not None:
        child.text = text(value)
    return child


def written(root: Element) -> str:
    """A whole file."""
    indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + tostring(root, encoding="unicode") + "\n"

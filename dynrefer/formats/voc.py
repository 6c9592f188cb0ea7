"""Pascal VOC's XML: a file a photograph, boxes in whole pixels counted from 1, the last one included."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from xml.etree.ElementTree import Element

from dynrefer.errors import InputError, LeftOut, reason, shown
from dynrefer.formats.file import File, add_element, numbers_of, xml_text
from dynrefer.formats.grouping import PhotoRegions, beside, by_photograph, side_files
from dynrefer.formats.record import Record, as_pairs, from_pairs

CORNERS = ("xmin", "ymin", "xmax", "ymax")


def knows(file: File) -> bool:
    """Whether a file's root is that of VOC."""
    return file.xml is not None and file.xml.tag == "annotation"


def read(files: Sequence[File]) -> Iterator[Record | LeftOut]:
    """The objects. Tools that count from 0 or write fractions of a pixel are known by that, and read as they mean."""
    first = 1 if all(map(_counts_from_one, files)) else 0
    for file in files:
        assert file.xml is not None
        name = (file.xml.findtext("filename") or file.xml.findtext("path") or file.path.stem).strip()
        image = beside(file, name)
        size = file.xml.findtext("size/width"), file.xml.findtext("size/height")
        for number, element in enumerate(file.xml.iterfind("object"), start=1):
            where = f"{shown(file.name)}, object {number}"
            try:
                x1, y1, x2, y2 = numbers_of(element.find("bndbox"), CORNERS)
                box = (x1 - first, y1 - first, x2, y2)
                yield Record(image, box, size if all(size) else None, where, said=_said(element))
            except InputError as error:
                label = element.findtext("name")
                yield LeftOut(image, f'{where} ("{shown(label)}")' if label else where, reason(error))


def _counts_from_one(file: File) -> bool:
    found = (
        [(corner.text or "").strip() for box in file.xml.iter("bndbox") for corner in box]
        if file.xml is not None
        else []
    )
    return all(text.isdecimal() and int(text) > 0 for text in found)


def _said(element: Element) -> dict[str, object]:
    named = [
        (pair.findtext("name") or "", pair.findtext("value") or "") for pair in element.iterfind("attributes/attribute")
    ]
    return from_pairs(element.findtext("name"), named)


def write(records: Sequence[Record]) -> dict[str, str]:
    """A file a photograph. Caption, tags and attributes stand where CVAT puts attributes, which others pass over."""
    return {name: xml_text(_annotation(photograph)) for name, photograph in side_files(by_photograph(records), ".xml")}


def _annotation(photograph: PhotoRegions) -> Element:
    root = Element("annotation")
    add_element(root, "folder", photograph.path.parent.name)
    add_element(root, "filename", photograph.path.name)
    size, sides = add_element(root, "size"), photograph.sized("Pascal VOC")
    for tag, side in zip(("width", "height", "depth"), (*sides, 3), strict=True):
        add_element(size, tag, side)
    add_element(root, "segmented", 0)
    for record in photograph.records:
        found = add_element(root, "object")
        add_element(found, "name", record.named)
        add_element(found, "pose", "Unspecified")
        for tag in ("truncated", "difficult"):
            add_element(found, tag, 0)
        x1, y1, x2, y2 = (round(value) for value in photograph.box(record))
        place = add_element(found, "bndbox")
        for tag, value in zip(CORNERS, (x1 + 1, y1 + 1, max(x2, x1 + 1), max(y2, y1 + 1)), strict=True):
            add_element(place, tag, value)
        if named := as_pairs(record):
            listed = add_element(found, "attributes")
            for name, said in named:
                pair = add_element(listed, "attribute")
                add_element(pair, "name", name)
                add_element(pair, "value", said)
    return root

"""CVAT's XML for images, version 1.1."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from xml.etree.ElementTree import Element

from dynrefer.boxes import Box
from dynrefer.errors import InputError, LeftOut, reason, shown
from dynrefer.files.coco import shape_box
from dynrefer.formats.file import File, add_element, numbers_of, xml_text
from dynrefer.formats.grouping import by_photograph
from dynrefer.formats.record import MODEL, PERSON, Record, as_pairs, from_pairs

CORNERS = ("xtl", "ytl", "xbr", "ybr")
SHAPES = ("box", "polygon", "polyline", "ellipse", "mask", "points", "cuboid", "skeleton")
SOURCES = {"manual": PERSON, "auto": MODEL, "semi-auto": MODEL, "file": ""}


def knows(file: File) -> bool:
    """Whether a file's root is that of CVAT."""
    return file.xml is not None and file.xml.tag == "annotations"


def read(file: File) -> Iterator[Record | LeftOut]:
    """The shapes that have an area. Raises InputError for the tracks of a video."""
    root = file.xml
    assert root is not None
    if root.find("track") is not None:
        raise InputError(f'{shown(file.name)} has the tracks of a video; export it as "CVAT for images"')
    for image in root.iterfind("image"):
        name = image.get("name") or image.get("id") or ""
        size = image.get("width"), image.get("height")
        for number, shape in enumerate((child for child in image if child.tag in SHAPES), start=1):
            where = f'{shape.tag} {number} of "{shown(name)}"'
            try:
                box, outline = _box(shape)
                yield Record(name, box, size, where, segmentation=outline, said=_said(shape))
            except InputError as error:
                yield LeftOut(name, where, reason(error))


def _box(shape: Element) -> tuple[Box, list[list[float]] | None]:
    if shape.tag == "box":
        return turned(numbers_of(shape, CORNERS), float(shape.get("rotation") or 0)), None
    if shape.tag == "ellipse":
        x, y, across, down = numbers_of(shape, ("cx", "cy", "rx", "ry"))
        return (x - across, y - down, x + across, y + down), None
    if shape.tag == "mask":
        left, top, width, height = numbers_of(shape, ("left", "top", "width", "height"))
        return (left, top, left + width, top + height), None
    if shape.tag not in ("polygon", "polyline"):
        raise InputError(f"{shape.tag} is no region; draw a box or an outline")
    points = [number for pair in (shape.get("points") or "").split(";") for number in pair.split(",")]
    box = shape_box(points)
    return box, [[float(number) for number in points]] if shape.tag == "polygon" and len(points) >= 6 else None


def turned(box: Box, degrees: float) -> Box:
    """The box round one that is turned about its middle."""
    angle = math.radians(degrees)
    x, y, width, height = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2, box[2] - box[0], box[3] - box[1]
    across = abs(width * math.cos(angle)) + abs(height * math.sin(angle))
    down = abs(width * math.sin(angle)) + abs(height * math.cos(angle))
    return box if not degrees else (x - across / 2, y - down / 2, x + across / 2, y + down / 2)


def _said(shape: Element) -> dict[str, object]:
    pairs = [(pair.get("name") or "", pair.text or "") for pair in shape.iterfind("attribute")]
    return from_pairs(shape.get("label"), pairs, SOURCES.get(shape.get("source") or "", ""))


def write(records: Sequence[Record]) -> dict[str, str]:
    """One file. Caption, tags and attributes are attributes of a label, which the file's head declares."""
    root = Element("annotations")
    add_element(root, "version", "1.1")
    _declare(add_element(add_element(add_element(root, "meta"), "job"), "labels"), records)
    for number, photograph in enumerate(by_photograph(records)):
        width, height = photograph.sized("CVAT")
        image = add_element(root, "image", id=number, name=photograph.name, width=width, height=height)
        for record in photograph.records:
            shape = _shape(image, record, photograph.box(record))
            for name, value in as_pairs(record):
                add_element(shape, "attribute", value, name=name)
    return {"annotations.xml": xml_text(root)}


def _shape(image: Element, record: Record, box: Box) -> Element:
    common = {"label": record.named, "source": {PERSON: "manual", MODEL: "auto"}.get(record.by, "file"), "occluded": 0}
    if numbers := record.polygon:
        points = ";".join(f"{x:.2f},{y:.2f}" for x, y in zip(numbers[0::2], numbers[1::2], strict=False))
        return add_element(image, "polygon", **common, points=points, z_order=0)
    corners = {name: f"{value:.2f}" for name, value in zip(CORNERS, box, strict=True)}
    return add_element(image, "box", **common, **corners, z_order=0)


def _declare(labels: Element, records: Sequence[Record]) -> None:
    names: dict[str, set[str]] = {}
    for record in records:
        names.setdefault(record.named, set()).update(name for name, _ in as_pairs(record))
    for label in sorted(names):
        found = add_element(labels, "label")
        add_element(found, "name", label)
        add_element(found, "type", "any")
        attributes = add_element(found, "attributes")
        for name in sorted(names[label]):
            attribute = add_element(attributes, "attribute")
            for tag, value in (
                ("name", name),
                ("mutable", False),
                ("input_type", "text"),
                ("default_value", ""),
                ("values", ""),
            ):
                add_element(attribute, tag, value)

"""What the panels show, rendered on the server with autoescaping: a model's or user's words are never markup."""

import os
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import gradio as gr
import torch
from jinja2 import Environment, PackageLoader, StrictUndefined

from dynrefer.examples import read_examples
from dynrefer.photo import Photo
from dynrefer.predictor import Predictor
from dynrefer.results import Attribute, RegionResult

from .album import Album, Entry
from .components import read
from .links import write_link
from .pictures import thumbnails, view_colour
from .session import Session

LIKELY_ATTRIBUTES = 12
MOST_TAGS = 24
MODE_NAMES = {
    "dynamic": "Dynamic: what adds most",
    "prior:caption": "Prior for captions: best on average",
    "prior:attributes": "Prior for attributes: best on average",
    "manual": "Manual: my own",
    "random": "Random: by chance",
}
MODE_REASONS = {
    "dynamic": "those of the largest gain, which show most that is new for how coarse they are",
    "prior:caption": "those near t = 0.45, which suits captions best on average",
    "prior:attributes": "those near t = 0.2, which suits attributes best on average",
    "manual": "those that your sliders name",
    "random": "those drawn by chance",
}


class Panel(gr.HTML):
    """HTML rendered on the server; its buttons copy, or raise the event `pressed` with their data attributes.

    With `live=True` screen readers read out what comes in.
    """

    def __init__(self, value: str = "", **kwargs: Any) -> None:
        super().__init__(value, **{"js_on_load": read("panels.js"), "apply_default_css": False, **kwargs})


class Progress:
    """How far a longer piece of work has come, and a button that ends it; both are seen while it is under way alone.

    The button lies where this is made, the panel where it is rendered.
    """

    def __init__(self, elem_id: str, end_id: str) -> None:
        self.end = gr.Button("Stop", size="sm", variant="stop", min_width=80, visible=False, elem_id=end_id)
        self.panel = Panel(elem_id=elem_id, render=False)
        self.parts = [self.panel, self.end]

    def show(self, html: str) -> dict[Any, Any]:
        """Updates that tell something of the work."""
        return {self.panel: html, self.end: gr.update(visible=True)}

    def count(self, done: int, total: int, what: str) -> dict[Any, Any]:
        """Updates that tell how far it is."""
        return self.show(render("progress", done=done, total=total, what=what))

    def hide(self) -> dict[Any, Any]:
        """Updates that show that nothing is under way."""
        return {self.panel: "", self.end: gr.update(visible=False)}


class Point(NamedTuple):
    """One value at t in [0, 1]; `mark` is written into a point that stands out."""

    t: float
    value: float
    colour: str
    mark: str = ""


class Line(NamedTuple):
    """A named line of a chart."""

    name: str
    colour: str
    points: Sequence[Point]


def percent(score: float) -> str:
    """A score in [0, 1] as a person reads it."""
    return f"{100 * score:.0f}%"


def corners(box: Sequence[float]) -> str:
    """A box in whole pixels as a person reads it."""
    return ", ".join(f"{corner:.0f}" for corner in box)


def coefficient(t: float) -> str:
    """A coefficient as a person reads it, and as views are told apart in the browser."""
    return f"{t:.3g}"


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("dynrefer.ui"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(percent=percent, colour=view_colour, corners=corners)
    environment.filters["coefficient"] = coefficient
    return environment


TEMPLATES = _environment()


def render(name: str, **values: Any) -> str:
    """The template `name.html` filled with `values`."""
    return TEMPLATES.get_template(f"{name}.html").render(**values)


def hint(text: str) -> str:
    """What a panel says while it is empty."""
    return render("hint", text=text)


def answer(session: Session) -> str:
    """Caption, class and notes on the question of what is shown, on an example with a link; else how to begin."""
    entry = session.album.current
    link = write_link(session.example, entry.result.box, entry.question) if session.example and entry else ""
    return render("answer", session=session, entry=entry, link=link)


def words(entry: Entry | None, tag_threshold: float) -> str:
    """Attributes by type, and the tags of `entry` at or above `tag_threshold`."""
    if entry is None:
        return ""
    result = entry.result
    return render(
        "words",
        words=entry.words,
        result=result,
        likely=by_type(result.attributes[:LIKELY_ATTRIBUTES]),
        every=by_type(result.attributes),
        tags=result.thinned(tag_threshold).tags[:MOST_TAGS],
        threshold=tag_threshold,
    )


def by_type(attributes: Iterable[Attribute]) -> list[tuple[str, list[Attribute]]]:
    """Attributes grouped by type; groups and members keep the order in which they come."""
    groups: dict[str, list[Attribute]] = {}
    for attribute in attributes:
        groups.setdefault(attribute.type, []).append(attribute)
    return list(groups.items())


def views(photo: Photo, result: RegionResult, mode: str) -> str:
    """The strip of nested views, each squeezed to a square as the model sees it, and why some were taken."""
    ordered = sorted(result.views, key=lambda view: view.t)
    pictures = thumbnails(photo, [view.box for view in ordered])
    return render("views", views=list(zip(ordered, pictures, strict=True)), reason=MODE_REASONS[mode])


def rectangles(result: RegionResult) -> list[dict[str, Any]]:
    """The nested views as the box picker draws them over the photograph, widest first; the region itself left out."""
    return [
        {
            "key": coefficient(view.t),
            "box": list(view.box),
            "colour": view_colour(view.t),
            "label": f"t {coefficient(view.t)}",
            "chosen": view.rank is not None,
        }
        for view in sorted(result.views, key=lambda view: -view.t)
        if view.t > 0
    ]


def outlines(album: Album) -> list[dict[str, Any]]:
    """The album's regions that are not shown, as the box picker outlines them: numbered as in the table."""
    return [
        {"box": list(entry.result.box), "label": str(place + 1)}
        for place, entry in enumerate(album.entries)
        if place != album.selected
    ]


def table(session: Session, predictor: Predictor) -> str:
    """The regions of the table, with buttons to show and delete them, and to bring back what was deleted last."""
    entries = session.album.entries
    modes = [MODE_NAMES[entry.question.mode_else(predictor.default_mode)].partition(":")[0] for entry in entries]
    rows = [(place, entries[place], modes[place]) for place in session.album.order(session.least_sure_first)]
    reviewed = sum(entry.reviewed for entry in entries)
    return render("table", session=session, rows=rows, reviewed=reviewed, removed=session.removed)


def gains(result: RegionResult | None, mode: str) -> str:
    """By which mode views were taken and why, and the gain of every candidate as a plot.

    The chosen ones are marked with their place in the order.
    """
    if result is None:
        return ""
    points = [
        Point(view.t, view.gain, view_colour(view.t), "" if view.rank is None else str(view.rank + 1))
        for view in sorted(result.views, key=lambda view: view.t)
        if view.gain is not None
    ]
    top = max([1.0, *(point.value for point in points)])
    lines = [Line("gain", "currentColor", points)] if points else []
    return render("gains", mode=MODE_NAMES[mode], reason=MODE_REASONS[mode], lines=lines, top=top)


@cache
def example_gallery() -> str:
    """Buttons of the example photographs, cut around their boxes."""
    entries = []
    for example in read_examples():
        photo = Photo.open(example.path)
        (picture,) = thumbnails(photo, [_around(example.box, photo.size)])
        entries.append((example.title, example.about, example.name, picture))
    return render("examples", examples=entries)


def _around(box: Sequence[float], size: tuple[int, int]) -> list[float]:
    """A square around the middle of `box` with room to spare, inside a photograph of `size`."""
    side = min(1.6 * max(box[2] - box[0], box[3] - box[1]), *size)
    corner = [(box[axis] + box[axis + 2]) / 2 - side / 2 for axis in (0, 1)]
    left, top = (min(max(place, 0), limit - side) for place, limit in zip(corner, size, strict=True))
    return [left, top, left + side, top + side]


def footer(predictor: Predictor, result: RegionResult | None) -> str:
    """What answers, on which device, with how much memory, and how long it took."""
    timing = dict(result.timing_ms) if result else {}
    total = timing.pop("total", sum(timing.values()))
    parts = ", ".join(f"{name} {milliseconds:.0f}" for name, milliseconds in timing.items())
    return render(
        "footer",
        model=predictor.model_name,
        device=str(predictor.device),
        dtype=str(predictor.arithmetic).removeprefix("torch."),
        memory=memory_in_use(predictor.device),
        result=result,
        total=total,
        parts=parts,
    )


def memory_in_use(device: torch.device) -> str:
    """Memory held on the GPU, or by this process where there is none; nothing where the system does not say."""
    if device.type == "cuda":
        return f"{torch.cuda.memory_allocated(device) / 1e9:.1f} GB of GPU memory in use"
    pages = Path("/proc/self/statm")  # Linux alone has it
    if not pages.exists():
        return ""
    return f"{int(pages.read_text().split()[1]) * os.sysconf('SC_PAGE_SIZE') / 1e9:.1f} GB of memory in use"

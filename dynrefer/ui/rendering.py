"""What the panels show, rendered on the server with autoescaping: a model's or user's words are never markup."""

import resource
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from jinja2 import Environment, PackageLoader, StrictUndefined

from dynrefer.predictor import Predictor
from dynrefer.results import Attribute, RegionResult

from .album import Album, thinned
from .charts import gain_chart
from .files import EXAMPLES, read_examples
from .photo import Photo, open_photo, view_colour

LIKELY_ATTRIBUTES = 12
MOST_TAGS = 24


def percent(score: float) -> str:
    """A score in [0, 1] as a person reads it."""
    return f"{100 * score:.0f}%"


def corners(box: Sequence[float]) -> str:
    """A box in whole pixels as a person reads it."""
    return ", ".join(f"{corner:.0f}" for corner in box)


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("dynrefer.ui"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(percent=percent, colour=view_colour, corners=corners)
    environment.filters["coefficient"] = "{:.2g}".format
    return environment


TEMPLATES = _environment()


def render(name: str, **values: Any) -> str:
    """The template `name.html` filled with `values`."""
    return TEMPLATES.get_template(f"{name}.html").render(**values)


def hint(text: str) -> str:
    """What a panel says while it is empty."""
    return render("hint", text=text)


def answer(result: RegionResult | None, words: str = "", link: str = "") -> str:
    """Caption, or the `words` of it that are written so far, and classes; without a result, how to begin.

    Where `link` leads to an example it can be copied.
    """
    return render("answer", result=result, words=words, link=link if link.startswith("example=") else "")


def words(result: RegionResult | None, tag_threshold: float) -> str:
    """Attributes by type, and the tags of `result` at or above `tag_threshold`."""
    if result is None:
        return ""
    return render(
        "words",
        result=result,
        likely=by_type(result.attributes[:LIKELY_ATTRIBUTES]),
        every=by_type(result.attributes),
        tags=thinned(result, tag_threshold).tags[:MOST_TAGS],
        threshold=tag_threshold,
    )


def by_type(attributes: Iterable[Attribute]) -> list[tuple[str, list[Attribute]]]:
    """Attributes grouped by type; groups and members keep the order in which they come."""
    groups: dict[str, list[Attribute]] = {}
    for attribute in attributes:
        groups.setdefault(attribute.type, []).append(attribute)
    return list(groups.items())


def views(photo: Photo, result: RegionResult) -> str:
    """The strip of nested views, each squeezed to a square as the model sees it."""
    ordered = sorted(result.views, key=lambda view: view.t)
    return render("views", views=list(zip(ordered, photo.thumbnails([view.box for view in ordered]), strict=True)))


def rectangles(result: RegionResult) -> list[dict[str, Any]]:
    """The nested views as the box picker draws them over the photograph, widest first; the region itself left out."""
    return [
        {
            "t": view.t,
            "box": list(view.box),
            "colour": view_colour(view.t),
            "label": f"t {view.t:.2g}",
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


def table(album: Album) -> str:
    """The regions of `album`, with buttons to show and delete them."""
    return render("table", album=album)


def gains(result: RegionResult | None) -> str:
    """The gain of every candidate view as a plot."""
    chart = gain_chart(result) if result else None
    return render("chart", chart=chart) if chart else ""


def progress(done: int, total: int, what: str) -> str:
    """How far a longer piece of work has come; nothing when `total` is 0."""
    return render("progress", done=done, total=total, what=what)


def example_gallery() -> str:
    """Buttons of the example photographs, cut around their boxes."""
    entries = []
    for example in read_examples():
        photo = open_photo(str(EXAMPLES / example["file"]))
        entries.append((example["title"], example["about"], photo.thumbnails([_around(example["box"], photo.size)])[0]))
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
        dtype=str(predictor.dtype).removeprefix("torch."),
        memory=memory_in_use(predictor.device),
        result=result,
        total=total,
        parts=parts,
    )


def memory_in_use(device: torch.device) -> str:
    """Memory held on the GPU, or by this process where there is none."""
    if device.type == "cuda":
        return f"{torch.cuda.memory_allocated(device) / 1e9:.1f} GB of GPU memory"
    pages = Path("/proc/self/statm")
    if pages.exists():
        return f"{int(pages.read_text().split()[1]) * resource.getpagesize() / 1e9:.1f} GB of memory"
    return f"at most {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e9:.1f} GB of memory"

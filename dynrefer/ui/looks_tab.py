"""Two ways to understand the looks: a sweep over t, and one box under two settings."""

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from dynrefer.boxes import Box, check_box
from dynrefer.errors import InputError
from dynrefer.photo import Photo
from dynrefer.predictor import Predictor
from dynrefer.question import MODES, Question
from dynrefer.results import Attribute, RegionResult, Scored

from . import panels
from .compute import in_words
from .handlers import Handlers, Values
from .layout import Updates
from .panels import MODE_NAMES, Line, Panel, Point
from .pictures import thumbnails

STEPS = tuple(step / 10 for step in range(11))
SERIES_COLOURS = ("#6366f1", "#ea580c", "#0d9488", "#db2777")
SWEEP_HINT = (
    "A sweep gives the model two views, the box and a second one that grows from the box to the whole photograph, and"
    " shows how class, attributes and caption change on the way."
)
COMPARISON_HINT = "The same box under two settings, side by side; what only one side says is marked."


@dataclass(frozen=True)
class Side:
    """The settings of one side of the comparison."""

    mode: gr.Dropdown
    num_views: gr.Slider


@dataclass(frozen=True)
class Sweep:
    """The components of the sweep over t."""

    start: gr.Button
    stop: gr.Button
    progress: Panel
    result: Panel


@dataclass(frozen=True)
class Comparison:
    """The components of the comparison."""

    sides: tuple[Side, Side]
    start: gr.Button
    result: Panel


@dataclass(frozen=True)
class SideAnswer:
    """What one side of the comparison says, and the views it looked at; words come with what they are called."""

    title: str
    result: RegionResult
    pictures: list[str]
    coefficients: list[float]
    attributes: list[tuple[str, Attribute]]
    tags: list[tuple[str, Scored]]


def build_sweep(predictor: Predictor, gains: Panel) -> Sweep:
    """Lay the sweep out below the plot of `gains`."""
    gains.render()
    with gr.Row(elem_classes="dr-buttons"):
        start = gr.Button("Sweep t from 0 to 1", size="sm", interactive=predictor.num_views > 1, elem_id="sweep")
        stop = gr.Button("Stop", size="sm", variant="stop", min_width=80, visible=False, elem_id="stop-sweep")
    return Sweep(start, stop, Panel(elem_id="sweep-progress"), Panel(panels.hint(SWEEP_HINT), elem_id="swept"))


def build_comparison(predictor: Predictor) -> Comparison:
    """Lay the comparison out."""
    with gr.Row(elem_id="sides"):
        sides = (_side(predictor, "Left", "manual", 1), _side(predictor, "Right", "dynamic", predictor.num_views))
    compare = gr.Button("Compare", size="sm", elem_id="compare")
    return Comparison(sides, compare, Panel(panels.hint(COMPARISON_HINT), elem_id="comparison"))


def _side(predictor: Predictor, name: str, mode: str, num_views: int) -> Side:
    choices = [("Box alone" if mode == "manual" else MODE_NAMES[mode], mode) for mode in MODES]
    most = max(predictor.num_views, 2)
    with gr.Column(min_width=200):
        return Side(
            gr.Dropdown(choices, value=mode, label=f"{name}: which views", elem_id=f"{name.lower()}-mode"),
            gr.Slider(
                1, most, num_views, step=1, label=f"{name}: how many", buttons=[], elem_id=f"{name.lower()}-views"
            ),
        )


class LooksHandlers:
    """The events of both, on top of those of the main path."""

    def __init__(self, main: Handlers, sweep: Sweep, comparison: Comparison) -> None:
        self.main, self.sweep, self.comparison = main, sweep, comparison

    @property
    def outputs(self) -> list[Any]:
        """All components that show something about a photograph."""
        return [self.sweep.progress, self.sweep.stop, self.sweep.result, self.comparison.result]

    def forget(self) -> Updates:
        """Show nothing of the photograph before."""
        sweep, comparison = panels.hint(SWEEP_HINT), panels.hint(COMPARISON_HINT)
        return {**self.stop_sweep(), self.sweep.result: sweep, self.comparison.result: comparison}

    @in_words
    def run_comparison(self, values: Values) -> Updates:
        """Describe the box under both settings."""
        photo, box = self._subject(values)
        left, right = (self._ask_side(values, side, photo, box) for side in self.comparison.sides)
        return {self.comparison.result: panels.render("comparison", left=left, right=right)}

    @in_words
    def run_sweep(self, values: Values) -> Iterator[Updates]:
        """Describe the box with a second view at every step of t, and show how the answer changes."""
        photo, box = self._subject(values)
        question = self.main.question(values)
        steps: list[tuple[float, str, RegionResult]] = []
        for t in STEPS:
            yield {
                self.sweep.progress: panels.progress(len(steps), len(STEPS), "steps of t"),
                self.sweep.stop: gr.update(visible=True),
            }
            asked = looking(question, coefficients=(0.0, t), top_classes=None, tag_threshold=1.0)
            result = self.main.refer(photo, box, question=asked)
            view = max(result.views, key=lambda view: view.t)
            (picture,) = thumbnails(photo, [view.box])
            steps.append((t, picture, result))
            yield {self.sweep.result: _swept(steps)}
        yield self.stop_sweep()

    def stop_sweep(self) -> Updates:
        """Show that nothing is under way."""
        return {self.sweep.progress: "", self.sweep.stop: gr.update(visible=False)}

    def _subject(self, values: Values) -> tuple[Photo, Box]:
        box = values[self.main.stage.picker]
        if not values[self.main.stage.photo] or not box:
            raise InputError("there is no box yet; draw one on the photograph first")
        photo = self.main.photo(values)
        return photo, check_box(box, photo.size)

    def _ask_side(self, values: Values, side: Side, photo: Photo, box: Box) -> SideAnswer:
        mode, num_views = values[side.mode], values[side.num_views]
        views: dict[str, Any] = {"mode": mode, "num_views": num_views}
        if mode == "manual":
            views = {"coefficients": (0.0,)}
        question = looking(self.main.question(values), **views)
        result = self.main.refer(photo, box, question=question)
        return SideAnswer(
            "Box alone" if mode == "manual" else MODE_NAMES[panels.mode_of(question, self.main.predictor)],
            result,
            thumbnails(photo, [view.box for view in result.taken]),
            [view.t for view in result.taken],
            [(called(entry), entry) for entry in result.attributes[: panels.LIKELY_ATTRIBUTES]],
            [(entry.name, entry) for entry in result.tags[: panels.MOST_TAGS]],
        )


def looking(question: Question, **changes: Any) -> Question:
    """`question` with other views, and other changes."""
    views: dict[str, Any] = {"mode": None, "num_views": None, "coefficients": None}
    return Question.checked(question, **{**views, **changes})


def called(attribute: Attribute) -> str:
    """An attribute by name and type: "white" is a color, a clothes color and a hair color."""
    return f"{attribute.name} ({attribute.type})"


def _swept(steps: list[tuple[float, str, RegionResult]]) -> str:
    """The sweep's charts and its table."""
    classes = [(t, result.classes) for t, _, result in steps]
    attributes = [(t, result.attributes) for t, _, result in steps]
    return panels.render(
        "sweep",
        steps=steps,
        classes=follow(classes, lambda entry: entry.name, lambda entry: entry.name),
        attributes=follow(attributes, lambda entry: entry.key, called),
    )


def follow(
    steps: Sequence[tuple[float, Sequence[Any]]], key: Callable[[Any], Hashable], name: Callable[[Any], str]
) -> list[Line]:
    """How the scores, in percent, of the first step's best entries change over t; `key` tells entries apart."""
    scored = [(t, {key(entry): entry.score for entry in entries}) for t, entries in steps]
    return [
        Line(name(entry), colour, [Point(t, 100 * scores[key(entry)], colour) for t, scores in scored])
        for entry, colour in zip(steps[0][1], SERIES_COLOURS, strict=False)
    ]

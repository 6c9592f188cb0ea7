"""Two ways to understand the looks: a sweep over t, and one box under two settings."""

from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Any

import gradio as gr

from dynrefer.boxes import Box, check_box
from dynrefer.errors import InputError
from dynrefer.photo import Photo
from dynrefer.question import MODES, Question
from dynrefer.results import Attribute, RegionResult

from . import panels
from .components import Slider
from .events import in_words
from .handlers import Handlers, Values
from .layout import Updates
from .panels import MODE_NAMES, Line, Panel, Point, Progress
from .pictures import thumbnails

STEPS = tuple(step / 10 for step in range(11))
SERIES_COLOURS = ("#6366f1", "#ea580c", "#0d9488", "#db2777")
SWEEP_HINT = (
    "A sweep gives the model two views, the box and a second one that grows from the box to the whole photograph, and"
    " shows how class, attributes and caption change on the way."
)
COMPARISON_HINT = "The same box under two settings, side by side; what only one side says is marked."


class Sweep:
    """The sweep over t, below the plot of gains."""

    def __init__(self, main: Handlers) -> None:
        self.main = main
        main.display.gains.render()
        with gr.Row(elem_classes="dr-buttons"):
            self.start = gr.Button(
                "Sweep t from 0 to 1", size="sm", interactive=main.predictor.num_views > 1, elem_id="sweep"
            )
            self.progress = Progress("sweep-progress", "stop-sweep")
        self.progress.panel.render()
        self.result = Panel(panels.hint(SWEEP_HINT), elem_id="swept")

    @in_words
    def run(self, values: Values) -> Iterator[Updates]:
        """Describe the box with a second view at every step of t, and show how the answer changes."""
        photo, box = subject(self.main, values)
        question = self.main.choices.question(values)
        steps: list[tuple[float, str, RegionResult]] = []
        for t in STEPS:
            yield self.progress.count(len(steps), len(STEPS), "steps of t")
            asked = looking(question, coefficients=(0.0, t), top_classes=None, tag_threshold=1.0)
            result = self.main.refer(photo, box, question=asked)
            view = max(result.views, key=lambda view: view.t)
            (picture,) = thumbnails(photo, [view.box])
            steps.append((t, picture, result))
            yield {self.result: _swept(steps)}
        yield self.progress.hide()

    def forget(self) -> Updates:
        """Show nothing of the photograph before."""
        return {**self.progress.hide(), self.result: panels.hint(SWEEP_HINT)}


class Comparison:
    """One box under two settings, side by side."""

    def __init__(self, main: Handlers) -> None:
        self.main = main
        with gr.Row(elem_id="sides"):
            self.sides = (self._side("Left", "manual", 1), self._side("Right", "dynamic", main.predictor.num_views))
        self.start = gr.Button("Compare", size="sm", elem_id="compare")
        self.result = Panel(panels.hint(COMPARISON_HINT), elem_id="comparison")

    def _side(self, name: str, mode: str, num_views: int) -> tuple[gr.Dropdown, Slider]:
        """The mode and the number of views."""
        choices = [("Box alone" if mode == "manual" else MODE_NAMES[mode], mode) for mode in MODES]
        most, label = max(self.main.predictor.num_views, 2), f"{name}: how many"
        with gr.Column(min_width=200):
            return (
                gr.Dropdown(choices, value=mode, label=f"{name}: which views", elem_id=f"{name.lower()}-mode"),
                Slider(1, most, num_views, step=1, label=label, buttons=[], elem_id=f"{name.lower()}-views"),
            )

    @in_words
    def run(self, values: Values) -> Updates:
        """Describe the box under both settings."""
        photo, box = subject(self.main, values)
        left, right = (self._ask_side(values, side, photo, box) for side in self.sides)
        return {self.result: panels.render("comparison", left=left, right=right)}

    def forget(self) -> Updates:
        """Show nothing of the photograph before."""
        return {self.result: panels.hint(COMPARISON_HINT)}

    def _ask_side(self, values: Values, side: tuple[gr.Dropdown, Slider], photo: Photo, box: Box) -> dict[str, Any]:
        """What one side says and the views it looked at; words come with what they are called."""
        mode, num_views = (values[choice] for choice in side)
        views: dict[str, Any] = {"mode": mode, "num_views": num_views}
        if mode == "manual":
            views = {"coefficients": (0.0,)}
        question = looking(self.main.choices.question(values), **views)
        result = self.main.refer(photo, box, question=question)
        mode = question.mode_else(self.main.predictor.default_mode)
        return {
            "title": "Box alone" if mode == "manual" else MODE_NAMES[mode],
            "result": result,
            "pictures": thumbnails(photo, [view.box for view in result.taken]),
            "coefficients": [view.t for view in result.taken],
            "attributes": [(called(entry), entry) for entry in result.attributes[: panels.LIKELY_ATTRIBUTES]],
            "tags": [(entry.name, entry) for entry in result.tags[: panels.MOST_TAGS]],
        }


def subject(main: Handlers, values: Values) -> tuple[Photo, Box]:
    """Photograph and box on the page. Raises InputError where there is none."""
    box = values[main.stage.picker]
    if not values[main.stage.photo] or not box:
        raise InputError("there is no box yet; draw one on the photograph first")
    photo = main.photo(values)
    return photo, check_box(box, photo.size)


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

"""Two ways to understand the looks: a sweep over t, and one box under two settings."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import gradio as gr

from dynrefer.errors import InputError
from dynrefer.predictor import Predictor
from dynrefer.results import Attribute, RegionResult, Scored
from dynrefer.selection import MODES

from . import rendering
from .charts import Chart, sweep_chart
from .compute import in_words
from .display import Panel, Updates
from .handlers import Handlers, Values
from .layout import MODE_NAMES
from .photo import Photo, open_photo

STEPS = tuple(step / 10 for step in range(11))
FOLLOWED = 4
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
    """What one side of the comparison says, and the views it looked at."""

    title: str
    result: RegionResult
    pictures: list[str]
    coefficients: list[float]
    attributes: Sequence[Attribute]
    tags: Sequence[Scored]


def build_sweep(predictor: Predictor, gains: Panel) -> Sweep:
    """Lay the sweep out below the plot of `gains`."""
    gains.render()
    with gr.Row(elem_classes="dr-buttons"):
        start = gr.Button("Sweep t from 0 to 1", size="sm", interactive=predictor.num_views > 1, elem_id="sweep")
        stop = gr.Button("Stop", size="sm", variant="stop", min_width=80, visible=False, elem_id="stop-sweep")
    return Sweep(start, stop, Panel(elem_id="sweep-progress"), Panel(rendering.hint(SWEEP_HINT), elem_id="swept"))


def build_comparison(predictor: Predictor) -> Comparison:
    """Lay the comparison out."""
    with gr.Row(elem_id="sides"):
        sides = (_side(predictor, "Left", "manual", 1), _side(predictor, "Right", "dynamic", predictor.num_views))
    compare = gr.Button("Compare", size="sm", elem_id="compare")
    return Comparison(sides, compare, Panel(rendering.hint(COMPARISON_HINT), elem_id="comparison"))


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
        sweep, comparison = rendering.hint(SWEEP_HINT), rendering.hint(COMPARISON_HINT)
        return {**self.stop_sweep(), self.sweep.result: sweep, self.comparison.result: comparison}

    @in_words
    def run_comparison(self, values: Values) -> Updates:
        """Describe the box under both settings."""
        photo, box = self._subject(values)
        left, right = (self._ask_side(values, side, photo, box) for side in self.comparison.sides)
        return {self.comparison.result: rendering.render("comparison", left=left, right=right)}

    @in_words
    def run_sweep(self, values: Values) -> Iterator[Updates]:
        """Describe the box with a second view at every step of t, and show how the answer changes."""
        photo, box = self._subject(values)
        settings = replace(self.main.settings(values), mode="manual", num_views=2, tag_threshold=0.0)
        steps: list[tuple[float, str, RegionResult]] = []
        for t in STEPS:
            yield {
                self.sweep.progress: rendering.progress(len(steps), len(STEPS), "steps of t"),
                self.sweep.stop: gr.update(visible=True),
            }
            result = self.main.asker.region(photo, box, replace(settings, coefficients=(0.0, t)), top_classes=None)
            view = max(result.views, key=lambda view: view.t)
            steps.append((t, photo.thumbnails([view.box])[0], result))
            yield {self.sweep.result: _swept(steps)}
        yield self.stop_sweep()

    def stop_sweep(self) -> Updates:
        """Show that nothing is under way."""
        return {self.sweep.progress: "", self.sweep.stop: gr.update(visible=False)}

    def _subject(self, values: Values) -> tuple[Photo, object]:
        path, box = values[self.main.stage.photo], values[self.main.stage.picker]
        if not path or not box:
            raise InputError("there is no box yet; draw one on the photograph first")
        return open_photo(path), box

    def _ask_side(self, values: Values, side: Side, photo: Photo, box: object) -> SideAnswer:
        settings = self.main.settings(values)
        chosen = self.main.asker.settings({"mode": values[side.mode], "num_views": values[side.num_views]})
        coefficients = (0.0,) if chosen.mode == "manual" else None
        asked = replace(settings, mode=chosen.mode, num_views=chosen.num_views, coefficients=coefficients)
        result = self.main.asker.region(photo, box, asked)
        taken = sorted((view for view in result.views if view.rank is not None), key=lambda view: view.rank or 0)
        title = "Box alone" if coefficients else MODE_NAMES[chosen.mode or self.main.asker.predictor.default_mode]
        return SideAnswer(
            title,
            result,
            photo.thumbnails([view.box for view in taken]),
            [view.t for view in taken],
            result.attributes[: rendering.LIKELY_ATTRIBUTES],
            result.tags[: rendering.MOST_TAGS],
        )


def _swept(steps: list[tuple[float, str, RegionResult]]) -> str:
    """The sweep's charts and its table."""
    first = steps[0][2]
    classes = [entry.name for entry in first.classes[:FOLLOWED]]
    attributes = [entry.name for entry in first.attributes[:FOLLOWED]]
    return rendering.render(
        "sweep",
        steps=steps,
        scores=_follow("Class score over t of the second view", classes, [(t, r.classes) for t, _, r in steps]),
        attributes=_follow("Attribute score over t", attributes, [(t, r.attributes) for t, _, r in steps]),
    )


def _follow(title: str, names: list[str], steps: list[tuple[float, Sequence[Any]]]) -> Chart:
    """A chart of the entries called `names` among the scored entries of every step."""
    scored = [(t, {entry.name: entry.score for entry in entries}) for t, entries in steps]
    return sweep_chart(title, names, [(t, [scores[name] for name in names]) for t, scores in scored])

"""Where a photograph is chosen and how it is to be looked at: components and their places, without behaviour."""

from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import gradio as gr

from dynrefer.predictor import Predictor
from dynrefer.question import MAX_CLASSES, MAX_CONTROLS
from dynrefer.selection import MODES

from . import rendering
from .box_picker import BoxPicker
from .display import Panel
from .keeper import Keeper
from .photo_input import PhotoInput
from .settings import MAX_BEAMS, MAX_NEW_TOKENS, USUAL_BEAMS, USUAL_LENGTH, Settings

MODE_NAMES = {
    "dynamic": "Dynamic: what adds most",
    "prior:caption": "Prior for captions",
    "prior:attributes": "Prior for attributes",
    "manual": "Manual: my own",
    "random": "Random",
}


@dataclass(frozen=True)
class Stage:
    """Where a photograph is chosen and a box is drawn."""

    upload: gr.Column
    photo: PhotoInput
    work: gr.Column
    picker: BoxPicker
    another: gr.Button
    corners: list[gr.Number]
    use_corners: gr.Button
    examples: Panel
    example: gr.State
    """The name of the example shown, None where the photograph is the visitor's own."""
    keeper: Keeper


@dataclass(frozen=True)
class Choices:
    """How a box is to be described."""

    mode: gr.Dropdown
    num_views: gr.Slider
    sliders_row: gr.Row
    sliders: list[gr.Slider]
    classes: gr.Textbox
    controls: gr.Textbox
    num_beams: gr.Slider
    max_new_tokens: gr.Slider
    again: gr.Button
    tag_threshold: gr.Slider

    @property
    def inputs(self) -> set[Any]:
        """The components that hold a choice."""
        words = {self.classes, self.controls, self.num_beams, self.max_new_tokens, self.tag_threshold}
        return {self.mode, self.num_views, *self.sliders, *words}

    def choose(self, settings: Settings) -> dict[Any, Any]:
        """Updates that choose what is set in `settings`."""
        chosen = {
            self.mode: settings.mode,
            self.num_views: settings.num_views,
            self.classes: settings.classes and ", ".join(settings.classes),
            self.controls: settings.controls and ", ".join(settings.controls),
            self.num_beams: settings.num_beams,
            self.max_new_tokens: settings.max_new_tokens,
        }
        updates: dict[Any, Any] = {component: value for component, value in chosen.items() if value is not None}
        if settings.coefficients:
            updates[self.sliders_row] = gr.update(visible=True)
            for slider, t in zip_longest(self.sliders, settings.coefficients):
                updates[slider] = gr.update(visible=t is not None, value=t or 0)
        return updates


def build_stage() -> Stage:
    """Upload area or box picker, typed corners; the examples are rendered later, below the views."""
    with gr.Column(elem_id="upload") as upload:
        photo = PhotoInput(
            type="filepath",
            image_mode=None,
            sources=["upload", "clipboard", "webcam"],
            label="Photograph",
            show_label=False,
            height="clamp(260px, 100vh - 340px, 460px)",
            elem_id="photo",
            placeholder="Drop or paste a photograph, or click to choose one",
        )
    with gr.Column(visible=False, elem_id="work") as work:
        picker = BoxPicker(elem_id="picker")
        with gr.Row(elem_id="tools"):
            another = gr.Button("Another photograph", size="sm", scale=0, min_width=170, elem_id="another")
            with gr.Accordion("Type the box", open=False, elem_id="typed"):
                with gr.Row():
                    corners = [
                        gr.Number(label=name, min_width=60, elem_id=f"corner-{name}")
                        for name in ("x1", "y1", "x2", "y2")
                    ]
                use_corners = gr.Button("Use this box", size="sm", elem_id="use-corners")
    keeper = Keeper(elem_id="keeper")
    examples = Panel(rendering.example_gallery(), elem_id="examples", render=False)
    return Stage(upload, photo, work, picker, another, corners, use_corners, examples, gr.State(None), keeper)


def build_choices(predictor: Predictor) -> Choices:
    """Selection mode, number of views, a slider a view in manual mode, and words of the user's own.

    The tag threshold is made here and rendered later, beside the tags.
    """
    most = predictor.num_views
    with gr.Row(elem_id="looks"):
        mode = gr.Dropdown(
            [(MODE_NAMES[mode], mode) for mode in MODES],
            value=predictor.default_mode,
            label="Which views",
            elem_id="mode",
            min_width=220,
        )
        num_views = gr.Slider(
            1,
            max(most, 2),
            most,
            step=1,
            label="How many views",
            interactive=most > 1,
            buttons=[],
            min_width=220,
            elem_id="num-views",
        )
    with gr.Row(visible=False, elem_id="sliders") as sliders_row:
        sliders = [_view_slider(place, most) for place in range(most)]
    with gr.Accordion("Words of your own", open=False, elem_id="own-words"):
        classes = gr.Textbox(
            label="Class names", placeholder=f"dog, cat, teapot (at most {MAX_CLASSES})", max_lines=3, elem_id="classes"
        )
        controls = gr.Textbox(
            label="Control words for the caption",
            placeholder=f"brown, furry (at most {MAX_CONTROLS})",
            elem_id="controls",
        )
        with gr.Row():
            num_beams = gr.Slider(
                1,
                MAX_BEAMS,
                USUAL_BEAMS,
                step=1,
                label="Beams",
                info="At 1 the caption appears word by word; more beams compete until its end.",
                buttons=[],
                elem_id="beams",
            )
            max_new_tokens = gr.Slider(
                4,
                MAX_NEW_TOKENS,
                USUAL_LENGTH,
                step=1,
                label="Longest caption, in tokens",
                buttons=[],
                elem_id="length",
            )
        again = gr.Button("Describe again", size="sm", elem_id="again")
    tag_threshold = gr.Slider(
        0,
        1,
        predictor.tag_threshold,
        step=0.01,
        label="Tag threshold",
        buttons=[],
        elem_id="threshold",
        visible=False,
        render=False,
    )
    return Choices(
        mode, num_views, sliders_row, sliders, classes, controls, num_beams, max_new_tokens, again, tag_threshold
    )


def _view_slider(place: int, count: int) -> gr.Slider:
    """The coefficient of one view of `count`; the first is the box itself."""
    label = f"t of view {place + 1}" if place else "Box: t"
    start = round(place / max(count, 2), 2)
    return gr.Slider(
        0, 1, start, step=0.01, label=label, interactive=place > 0, buttons=[], min_width=150, elem_id=f"slider-{place}"
    )

"""The main path's components and their places, without behaviour: photograph, choices, answer."""

from dataclasses import dataclass
from itertools import zip_longest
from typing import Any, NamedTuple

import gradio as gr

from dynrefer.model.config import Generation
from dynrefer.photo import Photo
from dynrefer.pointing import mask_outline, read_mask
from dynrefer.predictor import Predictor
from dynrefer.project import Project
from dynrefer.question import MAX_BEAMS, MAX_CONTROLS, MAX_NEW_TOKENS, MODES, Question
from dynrefer.results import RegionResult

from . import panels
from .album import Session
from .box_picker import BoxPicker
from .links import MOST_NAMES, Keeper, folder_of, record_of
from .panels import MODE_NAMES, Panel

Updates = dict[Any, Any]
HOUR = 3600


class Upload(NamedTuple):
    """An uploaded file: where it lies on the server, and what its owner calls it."""

    path: str
    name: str


class PhotoInput(gr.Image):
    """`gr.Image` that hands over an `Upload`, the file just as it was sent, or None.

    Gradio has checked that the path lies in its upload folder. Opening the file is ours, for it knows about rotation,
    transparency and size limits, and tells a person what is wrong with a bad one.
    """

    is_template = True  # the browser shows it as a plain image component

    def preprocess(self, payload: Any) -> Upload | None:  # type: ignore[override]
        """The uploaded file."""
        return Upload(payload.path, payload.orig_name or "photograph") if payload else None


@dataclass(frozen=True)
class Stage:
    """Where a photograph is chosen and a box is drawn."""

    upload: gr.Column
    photo: PhotoInput
    work: gr.Column
    picker: BoxPicker
    tools: gr.Row
    another: gr.Button
    corners: list[gr.Number]
    use_corners: gr.Button
    examples: Panel
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

    def choose(self, question: Question) -> Updates:
        """Updates that choose what `question` asks for, and for the rest what the page begins with."""
        steps = question.coefficients
        chosen: Updates = {
            self.mode: "manual" if steps else question.mode,
            self.num_views: len(steps) if steps else question.num_views,
            self.classes: ", ".join(question.classes or ()),
            self.controls: ", ".join(question.controls),
            self.num_beams: question.num_beams,
            self.max_new_tokens: question.max_new_tokens,
            self.tag_threshold: question.tag_threshold,
        }
        updates: Updates = {part: part.value if value is None else value for part, value in chosen.items()}
        updates[self.sliders_row] = gr.update(visible=steps is not None)
        for slider, t in zip_longest(self.sliders, steps or ()):
            updates[slider] = gr.update(visible=t is not None, value=slider.value if t is None else t)
        return updates


@dataclass(frozen=True)
class Display:
    """Everything that changes with an answer, and is emptied when there is none."""

    picker: BoxPicker
    views: Panel
    answer: Panel
    words: Panel
    tag_threshold: gr.Slider
    table: Panel
    gains: Panel
    status: Panel
    session: gr.State
    keeper: Keeper

    @property
    def outputs(self) -> list[Any]:
        """The components that change with an answer."""
        answer = [self.picker, self.views, self.answer, self.words, self.tag_threshold, self.gains]
        return [*answer, self.table, self.status, self.session, self.keeper]

    def show(
        self, predictor: Predictor, photo: Photo | None, session: Session, tag_threshold: float, **picker: Any
    ) -> Updates:
        """Updates that show the table's current entry on `photo`; `picker` are further properties of the box picker."""
        entry = session.album.current
        result = entry.result if entry else None
        mode = panels.mode_of(entry.question, predictor) if entry else ""
        regions = panels.outlines(session.album)
        views = panels.rectangles(result) if result else []
        return {
            self.picker: gr.update(views=views, regions=regions, shape=shape_of(photo, result), **picker),
            self.views: panels.views(photo, result, mode) if photo and result else "",
            self.answer: panels.answer(session),
            self.words: panels.words(entry, tag_threshold),
            self.tag_threshold: gr.update(visible=result is not None),
            self.table: panels.table(session, predictor),
            self.gains: panels.gains(result, mode),
            self.status: panels.footer(predictor, result),
            self.session: session,
            self.keeper: gr.update(record=record_of(session) or {}, folder=folder_of(session)),
        }


def shape_of(photo: Photo | None, result: RegionResult | None) -> dict[str, Any]:
    """A region's box and the outline of its mask, as the picker draws it; {} where it has none."""
    if photo is None or result is None or result.mask is None:
        return {}
    return {"box": list(result.box), "outline": mask_outline(read_mask(result.mask, photo.size))}


def build_stage(project: Project | None = None) -> Stage:
    """Upload area or box picker, typed corners; the examples are rendered later, below the views.

    Visitors work on the photographs of `project`, where there is one.
    """
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
    keeper = Keeper(folder=folder_of(Session(project)), elem_id="keeper")
    with gr.Column(visible=False, elem_id="work") as work:
        picker = BoxPicker(elem_id="picker")
        with gr.Row(elem_id="tools") as tools:
            another = gr.Button("Another photograph", size="sm", scale=0, min_width=150, elem_id="another")
            with gr.Accordion("Type the box", open=False, elem_id="typed"):
                with gr.Row():
                    corners = [
                        gr.Number(label=name, min_width=60, elem_id=f"corner-{name}")
                        for name in ("x1", "y1", "x2", "y2")
                    ]
                use_corners = gr.Button("Use this box", size="sm", elem_id="use-corners")
    examples = Panel(panels.example_gallery(), elem_id="examples", render=False)
    return Stage(upload, photo, work, picker, tools, another, corners, use_corners, examples, keeper)


def build_choices(predictor: Predictor) -> Choices:
    """Selection mode, number of views, a slider a view in manual mode, and words of the user's own.

    The tag threshold is made here and rendered later, beside the tags.
    """
    most, search = predictor.num_views, usual_search(predictor)
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
            label="Class names", placeholder=f"dog, cat, teapot (at most {MOST_NAMES})", max_lines=3, elem_id="classes"
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
                search.num_beams,
                step=1,
                label="Beams",
                info="How many sentences compete to be the caption.",
                buttons=[],
                elem_id="beams",
            )
            max_new_tokens = gr.Slider(
                4,
                MAX_NEW_TOKENS,
                search.max_new_tokens,
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


def usual_search(predictor: Predictor) -> Generation:
    """How the checkpoint itself searches for captions."""
    return Generation(**predictor.model.config.language.generation)


def build_display(
    predictor: Predictor, stage: Stage, choices: Choices, views: Panel, project: Project | None = None
) -> Display:
    """The panels that follow the answer, not placed yet except for the views; visitors work on `project`."""
    return Display(
        picker=stage.picker,
        views=views,
        answer=Panel(panels.answer(Session()), live=True, elem_id="answer", render=False),
        words=Panel(elem_id="words", render=False),
        tag_threshold=choices.tag_threshold,
        table=Panel(panels.table(Session(), predictor), elem_id="table", render=False),
        gains=Panel(elem_id="gains", render=False),
        status=Panel(panels.footer(predictor, None), elem_id="status", render=False),
        session=gr.State(Session(project), time_to_live=HOUR),
        keeper=stage.keeper,
    )


def _view_slider(place: int, count: int) -> gr.Slider:
    """The coefficient of one view of `count`; the first is the box itself."""
    label = f"t of view {place + 1}" if place else "Box: t"
    start = round(place / max(count, 2), 2)
    return gr.Slider(
        0, 1, start, step=0.01, label=label, interactive=place > 0, buttons=[], min_width=150, elem_id=f"slider-{place}"
    )

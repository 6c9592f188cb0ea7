"""The main path's components and their places: photograph, choices, answer."""

from collections.abc import Mapping
from itertools import zip_longest
from typing import Any

import gradio as gr

from dynrefer.model.config import Generation
from dynrefer.photo import Photo
from dynrefer.pointing import mask_outline, read_mask
from dynrefer.predictor import Predictor
from dynrefer.project import Project
from dynrefer.question import MAX_BEAMS, MAX_CONTROLS, MAX_NEW_TOKENS, MODES, MOST_NAMES, Question
from dynrefer.results import RegionResult

from . import panels
from .components import BoxPicker, Keeper, PhotoInput, Slider
from .links import folder_of, record_of
from .panels import MODE_NAMES, Panel
from .session import Session

Updates = dict[Any, Any]
HOUR = 3600
MOST_OWN_CLASSES = 12


class Stage:
    """Where a photograph is chosen and a box is drawn: upload area or box picker, typed corners.

    Visitors work on the photographs of `project`, where there is one, and have all of them described where the model
    `finds` things. The examples are rendered later, below the views.
    """

    def __init__(self, project: Project | None = None, finds: bool = True) -> None:
        with gr.Column(elem_id="upload") as self.upload:
            self.photo = PhotoInput(
                type="filepath",
                image_mode=None,
                sources=["upload", "clipboard", "webcam"],
                label="Photograph",
                show_label=False,
                height="clamp(260px, 100vh - 340px, 460px)",
                elem_id="photo",
                placeholder="Drop or paste a photograph, or click to choose one",
            )
        self.keeper = Keeper(folder=folder_of(Session(project)), finds=finds, elem_id="keeper")
        with gr.Column(visible=False, elem_id="work") as self.work:
            self.picker = BoxPicker(elem_id="picker")
            with gr.Row(elem_id="tools") as self.tools:
                self.another = gr.Button("Another photograph", size="sm", scale=0, min_width=150, elem_id="another")
                with gr.Accordion("Type the box", open=False, elem_id="typed"):
                    with gr.Row():
                        self.corners = [
                            gr.Number(label=name, min_width=60, elem_id=f"corner-{name}")
                            for name in ("x1", "y1", "x2", "y2")
                        ]
                    self.use_corners = gr.Button("Use this box", size="sm", elem_id="use-corners")
        self.examples = Panel(panels.example_gallery(), elem_id="examples", render=False)


class Choices:
    """How a box is to be described: selection mode, number of views, a slider a view in manual mode, own words.

    The tag threshold is rendered later, beside the tags.
    """

    def __init__(self, predictor: Predictor) -> None:
        self._predictor = predictor
        self._build_looks(predictor)
        with gr.Accordion("Words of your own", open=False, elem_id="own-words"):
            self._build_words(usual_search(predictor))
        self.tag_threshold = _slider(
            0, 1, predictor.tag_threshold, "Tag threshold", "threshold", step=0.01, visible=False, render=False
        )
        self._parts: dict[str, Any] = {  # by the options of a question
            "mode": self.mode,
            "num_views": self.num_views,
            "num_beams": self.num_beams,
            "max_new_tokens": self.max_new_tokens,
            "tag_threshold": self.tag_threshold,
        }
        self.inputs: set[Any] = {*self._parts.values(), *self.sliders, self.classes, self.controls}

    def _build_looks(self, predictor: Predictor) -> None:
        most = predictor.num_views
        with gr.Row(elem_id="looks"):
            self.mode = gr.Dropdown(
                [(MODE_NAMES[mode], mode) for mode in MODES],
                value=predictor.default_mode,
                label="Which views",
                elem_id="mode",
                min_width=220,
            )
            self.num_views = _slider(
                1, max(most, 2), most, "How many views", "num-views", interactive=most > 1, min_width=220
            )
        with gr.Row(visible=False, elem_id="sliders") as self.sliders_row:
            self.sliders = [_view_slider(place, most) for place in range(most)]

    def _build_words(self, search: Generation) -> None:
        self.classes = gr.Textbox(
            label="Class names", placeholder=f"dog, cat, teapot (at most {MOST_NAMES})", max_lines=3, elem_id="classes"
        )
        self.controls = gr.Textbox(
            label="Control words for the caption",
            placeholder=f"brown, furry (at most {MAX_CONTROLS})",
            elem_id="controls",
        )
        with gr.Row():
            info = "How many sentences compete to be the caption."
            self.num_beams = _slider(1, MAX_BEAMS, search.num_beams, "Beams", "beams", info=info, min_width=220)
            self.max_new_tokens = _slider(
                4, MAX_NEW_TOKENS, search.max_new_tokens, "Longest caption, in tokens", "length", min_width=220
            )
        self.again = gr.Button("Describe again", size="sm", elem_id="again")

    def question(self, values: Mapping[Any, Any]) -> Question:
        """What they ask for, checked; what was left as it stood is the checkpoint's own choice."""
        options = {name: values[part] for name, part in self._parts.items() if values[part] != part.value}
        options |= {"classes": values[self.classes], "controls": values[self.controls]}
        if options.get("mode") == "manual":
            count = self.checked({"num_views": values[self.num_views]}).num_views
            steps = [values[slider] for slider in self.sliders[:count]]
            options |= {"mode": None, "num_views": None, "coefficients": [0.0, *steps[1:]]}
        question = self.checked(options)
        if question.classes:
            return self.checked(question, top_classes=min(len(question.classes), MOST_OWN_CLASSES))
        return question

    def threshold(self, value: object) -> float:
        """A tag threshold as a client sent it, checked; the model's own where there is none."""
        chosen = self.checked({"tag_threshold": value}).tag_threshold
        return self._predictor.tag_threshold if chosen is None else chosen

    def checked(self, options: object, **more: Any) -> Question:
        """A question of options as a client sent them. Raises InputError."""
        return Question.checked(options, max_views=self._predictor.num_views, max_classes=MOST_NAMES, **more)

    def choose(self, question: Question, answered: bool = False) -> Updates:
        """Updates that choose what `question` asks for, and for the rest what the page begins with.

        The tag threshold is seen where the question is `answered` already.
        """
        steps = (0.0, *question.coefficients[1:]) if question.coefficients else None  # the first view is the region
        chosen: Updates = {part: getattr(question, option) for option, part in self._parts.items()}
        if steps:
            chosen |= {self.mode: "manual", self.num_views: len(steps)}
        chosen |= {self.classes: ", ".join(question.classes or ()), self.controls: ", ".join(question.controls)}
        updates: Updates = {part: part.value if value is None else value for part, value in chosen.items()}
        updates[self.tag_threshold] = gr.update(value=updates[self.tag_threshold], visible=answered)
        updates[self.sliders_row] = gr.update(visible=steps is not None)
        for slider, t in zip_longest(self.sliders, steps or ()):
            updates[slider] = gr.update(visible=t is not None, value=slider.value if t is None else t)
        return updates


class Display:
    """Everything that changes with an answer, and is emptied when there is none; not placed yet but for `views`.

    Visitors work on the photographs of `project`, where there is one.
    """

    def __init__(
        self, predictor: Predictor, stage: Stage, choices: Choices, views: Panel, project: Project | None = None
    ) -> None:
        self.picker, self.keeper, self.views = stage.picker, stage.keeper, views
        self.tag_threshold = choices.tag_threshold
        self.answer = Panel(panels.answer(Session()), live=True, elem_id="answer", render=False)
        self.words = Panel(elem_id="words", render=False)
        self.table = Panel(panels.table(Session(), predictor), elem_id="table", render=False)
        self.gains = Panel(elem_id="gains", render=False)
        self.status = Panel(panels.footer(predictor, None), elem_id="status", render=False)
        self.session = gr.State(Session(project), time_to_live=HOUR)
        answer = [self.picker, self.views, self.answer, self.words, self.tag_threshold, self.gains]
        self.outputs = [*answer, self.table, self.status, self.session, self.keeper]

    def show(
        self, predictor: Predictor, photo: Photo | None, session: Session, tag_threshold: float, **picker: Any
    ) -> Updates:
        """Updates that show the table's current entry on `photo`; `picker` are further properties of the box picker."""
        entry = session.album.current
        result = entry.result if entry else None
        mode = entry.question.mode_else(predictor.default_mode) if entry else ""
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


def usual_search(predictor: Predictor) -> Generation:
    """How the checkpoint itself searches for captions."""
    return Generation(**predictor.model.config.language.generation)


def _slider(low: float, high: float, value: float, label: str, name: str, step: float = 1, **more: Any) -> Slider:
    return Slider(low, high, value, step=step, label=label, buttons=[], elem_id=name, **more)


def _view_slider(place: int, count: int) -> Slider:
    """The coefficient of one view of `count`; the first is the box itself."""
    label, start = f"t of view {place + 1}" if place else "Box: t", round(place / max(count, 2), 2)
    return _slider(0, 1, start, label, f"slider-{place}", step=0.01, interactive=place > 0, min_width=150)

"""Which event of the page calls what, how many may run at a time, and what ends them."""

from typing import Any

import gradio as gr

from .finding import FindHandlers
from .handlers import Handlers
from .looks_tab import Comparison, Sweep
from .panels import Progress
from .regions_tab import SAVE_IN_BROWSER, RegionsTab
from .teach_tab import TeachTab

PRIVATE: dict[str, Any] = {"api_visibility": "private"}
QUIET: dict[str, Any] = {"show_progress": "hidden", **PRIVATE}
# Changing what is asked while an answer is on its way: only the last question counts.
LATEST: dict[str, Any] = {"trigger_mode": "always_last", **PRIVATE}
# One network serves everyone. Who may ask it next is decided by the Predictor, a few regions at a time, and not by the
# queue, where an event of eighty boxes would hold the only place until its end. Long events have places of their own.
QUESTION: dict[str, Any] = {"concurrency_id": "question", "concurrency_limit": 8}
LONG: dict[str, Any] = {"concurrency_id": "long", "concurrency_limit": 6}


def bind(finder: FindHandlers, sweep: Sweep, comparison: Comparison) -> None:
    """All events but those of teaching."""
    regions, main = finder.regions, finder.main
    asking = [*bind_photo(main), *bind_box(main), *bind_choices(main), *bind_regions(regions)]
    asking += [*bind_looks(sweep, comparison), *bind_finding(finder)]
    if main.predictor.can_point:
        bind_pressing(finder)
    bind_whole(finder)
    bind_farewell(asking, finder, sweep, comparison)


def bind_photo(handlers: Handlers) -> list[Any]:
    """Photographs come from upload area, examples, links and the browser, and go by a button.

    Returns the events that ask the model.
    """
    stage, outputs, session = handlers.stage, handlers.photo_outputs, handlers.display.session
    # `input` also comes before the file does
    stage.photo.upload(handlers.take_photo, [stage.photo, session], outputs, **QUIET)
    stage.another.click(handlers.forget_photo, session, outputs, **QUIET)
    taken = stage.examples.pressed(handlers.take_example, session, outputs, **QUIET)
    opened = stage.keeper.link_opened(handlers.open_link, session, handlers.link_outputs, **QUIET)
    stage.keeper.moved(handlers.move, session, outputs, **QUIET)
    stage.keeper.kept_opened(handlers.open_kept, [stage.keeper, session], handlers.link_outputs, **QUIET)
    return [taken.success(**describing(handlers)), opened.success(**describing(handlers))]


def bind_teaching(tab: TeachTab, page: gr.Blocks) -> None:
    """Teaching, and who answers."""
    now: dict[str, Any] = {"fn": tab.as_it_is, "inputs": None, "outputs": [tab.report, tab.model], **QUIET}
    page.load(**now)
    teaching = tab.start.click(tab.teach, None, tab.outputs, concurrency_limit=1, **QUIET)
    bind_end(tab.progress, [teaching])
    for event in (teaching.success, tab.model.input):
        event(tab.switch, tab.model, tab.status, **QUIET).failure(**now)


def bind_end(progress: Progress, running: list[Any]) -> None:
    """What is running can be stopped; that it ended is shown, also where it failed."""
    for event in running:
        event.failure(progress.hide, None, progress.parts, **QUIET)
    progress.end.click(progress.hide, None, progress.parts, cancels=running, **QUIET)


def bind_farewell(asking: list[Any], finder: FindHandlers, sweep: Sweep, comparison: Comparison) -> None:
    """What is being asked about a photograph ends when it goes, or its answer came under the next one."""
    stage, regions = finder.main.stage, finder.regions
    keeper = stage.keeper
    leaving = (stage.photo.upload, stage.another.click, stage.examples.pressed, keeper.link_opened)
    for event in (*leaving, keeper.moved, keeper.kept_opened):
        event(None, cancels=asking, **QUIET)  # without a function it acts before the next photograph is asked about
        event(regions.progress.hide, None, regions.progress.parts, **QUIET)
        event(finder.forget, None, [*finder.results, stage.picker], **QUIET)
        event(sweep.forget, None, [*sweep.progress.parts, sweep.result], **QUIET)
        event(comparison.forget, None, comparison.result, **QUIET)


def bind_box(handlers: Handlers) -> list[Any]:
    """A box drawn is described; its corners can be typed as well. Returns the events that ask the model."""
    stage, display = handlers.stage, handlers.display
    cleared = [display.session, display.tag_threshold]
    stage.picker.box_cleared(handlers.clear_answer, cleared, display.outputs, show_progress="hidden", **LATEST)
    for event in (stage.picker.box_drawn, stage.picker.box_cleared, stage.picker.change):
        event(None, stage.picker, stage.corners, js="(box) => box || [null, null, null, null]", **LATEST)
    typed = stage.use_corners.click(None, stage.corners, stage.picker, js="(...corners) => [corners]", **LATEST)
    stage.picker.box_recalled(**describing(handlers) | {"fn": handlers.recall})
    # Whoever draws the next box before the last was answered wants both.
    every: dict[str, Any] = {"fn": handlers.describe_drawn, "trigger_mode": "multiple"}
    drawn = stage.picker.box_drawn(**describing(handlers) | every)
    return [drawn, typed.then(**describing(handlers))]


def bind_choices(handlers: Handlers) -> list[Any]:
    """Every choice is followed at once by another answer; the tag threshold only thins out the last one.

    Returns the events that ask the model.
    """
    choices, display = handlers.choices, handlers.display
    arranging = [choices.mode, choices.num_views, display.session]
    sliders = [choices.sliders_row, *choices.sliders]
    events = [slider.input for slider in (*choices.sliders, choices.num_beams, choices.max_new_tokens)]
    events += [choices.classes.submit, choices.controls.submit, choices.again.click]
    for chosen in (choices.mode, choices.num_views):
        arranged = chosen.input(handlers.arrange_sliders, arranging, sliders, show_progress="hidden", **LATEST)
        events.append(arranged.success)
    thinning = [display.session, choices.tag_threshold]
    choices.tag_threshold.input(
        handlers.thin_tags, thinning, display.words, queue=False, show_progress="hidden", **LATEST
    )
    return [event(**describing(handlers)) for event in events]


def describing(handlers: Handlers) -> dict[str, Any]:
    """The arguments of an event that asks the model about the box."""
    return {
        "fn": handlers.describe,
        "inputs": handlers.inputs,
        "outputs": handlers.display.outputs,
        "show_progress": "minimal",
        "show_progress_on": handlers.display.answer,
        **QUESTION,
        **LATEST,
    }


def bind_regions(tab: RegionsTab) -> list[Any]:
    """The table of regions, boxes from elsewhere, and downloads; returns the events that ask the model."""
    main, outputs = tab.main, tab.outputs
    for panel in (main.display.answer, main.display.words, main.display.table):
        panel.pressed(tab.press, main.inputs, main.display.outputs, **QUIET)
    tab.clear_all.click(tab.clear, main.inputs, outputs, **QUIET)
    long: dict[str, Any] = {"outputs": outputs, **LONG, **QUIET}
    running: list[Any] = [
        tab.again.click(tab.ask_again, main.inputs, **long),
        tab.box_file.upload(tab.describe_file, {*main.inputs, tab.box_file}, **long),
        tab.use_pasted.click(tab.describe_pasted, {*main.inputs, tab.pasted}, **long),
    ]
    bind_end(tab.progress, running)
    saved = tab.save_shown.click(tab.save, {*main.inputs, tab.save_as}, tab.saved, **QUIET)
    keeper = main.stage.keeper
    saved_all = keeper.saving(tab.save_all, {*main.inputs, tab.save_as, keeper}, tab.saved, **QUIET)
    for event in (saved, saved_all):
        event.success(None, tab.saved, None, js=SAVE_IN_BROWSER, **PRIVATE)
    return running


def bind_finding(handlers: FindHandlers) -> list[Any]:
    """Everything, and things by name; returns the events that ask the model."""
    finding, main, regions = handlers.finding, handlers.main, handlers.regions
    long: dict[str, Any] = {"inputs": handlers.inputs, "outputs": handlers.outputs, **LONG, **QUIET}
    running: list[Any] = [
        finding.everything.click(handlers.describe_all, **long),
        finding.all_found.click(handlers.describe_found, **long),
    ]
    bind_end(regions.progress, running)
    found = finding.words.submit(handlers.find, handlers.inputs, handlers.outputs, **QUESTION, **QUIET)
    taken = finding.found.pressed(handlers.take, None, main.stage.picker, **QUIET)
    return [*running, found, taken.success(**describing(main))]


def bind_whole(handlers: FindHandlers) -> None:
    """Every photograph of a project, one an event; who opens another photograph meanwhile does not end that."""
    main, keeper = handlers.main, handlers.main.stage.keeper
    # The next one is wanted in the moment in which an answer comes, when Gradio still holds its event to be under way.
    several: dict[str, Any] = {"trigger_mode": "multiple", **LONG, **QUIET}
    wanted = keeper.wanted(handlers.describe_next, {*main.inputs, keeper}, main.display.outputs, **several)
    wanted.failure(handlers.stop, None, keeper, **QUIET)


def bind_pressing(handlers: FindHandlers) -> None:
    """Pointing works as soon as the photograph has been looked at; a press asks what there is at the place."""
    picker, inputs = handlers.main.stage.picker, handlers.main.inputs
    picker.photo_changed(handlers.look, inputs, picker, **QUESTION, **LATEST, show_progress="hidden")
    picker.pointed(handlers.point, inputs, picker, **QUESTION, **LATEST, show_progress="hidden")


def bind_looks(sweep: Sweep, comparison: Comparison) -> list[Any]:
    """The sweep over t and the comparison; returns the events that ask the model."""
    inputs = sweep.main.inputs
    sweeping = sweep.start.click(sweep.run, inputs, [sweep.result, *sweep.progress.parts], **LONG, **QUIET)
    bind_end(sweep.progress, [sweeping])
    asked = {*inputs, *(choice for side in comparison.sides for choice in side)}
    compared = comparison.start.click(comparison.run, asked, comparison.result, **QUESTION, **PRIVATE)
    return [sweeping, compared]

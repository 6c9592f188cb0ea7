"""The page's handlers on a tiny model, without a browser."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
import pytest
from PIL import Image

from dynrefer import Predictor
from dynrefer.question import Question
from dynrefer.ui.components import Upload
from dynrefer.ui.finding import FindHandlers, Finding
from dynrefer.ui.handlers import Handlers
from dynrefer.ui.layout import Choices, Display, Stage
from dynrefer.ui.looks_tab import Comparison, Sweep
from dynrefer.ui.panels import Panel
from dynrefer.ui.regions_tab import RegionsTab
from dynrefer.ui.session import Session
from tests.pointing import Pointing

BOX = [20.0, 15.0, 80.0, 60.0]


class Said:
    """What an event of a component says."""

    def __init__(self, **data: Any) -> None:
        self.__dict__ |= data


@dataclass
class Visitor:
    """One visitor with a photograph of 200 x 150 pixels, and the handlers that answer their events."""

    main: Handlers
    regions: RegionsTab
    sweep: Sweep
    comparison: Comparison
    parts: Finding
    session: Session
    photo: Path

    def values(self, box: list[float] | None = None, **chosen: Any) -> dict[Any, Any]:
        """What the browser sends: the choices as they stand when the page opens, but for those `chosen` by name."""
        choices, stage = self.main.choices, self.main.stage
        sent = {component: component.value for component in self.main.choices.inputs}
        sent |= {getattr(choices, name): value for name, value in chosen.items() if hasattr(choices, name)}
        sent |= {getattr(self.regions, name): value for name, value in chosen.items() if hasattr(self.regions, name)}
        sent |= {getattr(self.parts, name): value for name, value in chosen.items() if hasattr(self.parts, name)}
        upload = Upload(str(self.photo), self.photo.name)
        return {**sent, stage.photo: upload, stage.picker: box, self.main.display.session: self.session}

    def asked(self, box: list[float] | None = None, **chosen: Any) -> Question:
        """The question that the choices make."""
        return self.main.choices.question(self.values(box, **chosen))

    def paste(self, *boxes: tuple[int, int, int, int]) -> Any:
        """The running event of boxes pasted."""
        text = "\n".join(" ".join(map(str, box)) for box in boxes)
        return self.regions.describe_pasted(self.values(pasted=text))

    def finding(self) -> FindHandlers:
        """The events of finding, on a page of the model as it is now."""
        return FindHandlers(self.regions, self.parts, gr.Tabs(render=False))

    @property
    def boxes(self) -> list[tuple[float, ...]]:
        """The boxes in the table."""
        return [result.box for result in self.session.album.results]


@pytest.fixture(scope="session")
def page(tiny_predictor: Predictor) -> Visitor:
    """The page's parts, which keep nothing of anybody, before somebody comes with a photograph."""
    with gr.Blocks():
        stage, choices = Stage(), Choices(tiny_predictor)
        display = Display(tiny_predictor, stage, choices, Panel())
        main, parts = Handlers(tiny_predictor, stage, choices, display), Finding(tiny_predictor)
        regions, sweep, comparison = RegionsTab(main), Sweep(main), Comparison(main)
    return Visitor(main, regions, sweep, comparison, parts, Session(), Path())


@pytest.fixture
def visitor(page: Visitor, tmp_path: Path) -> Visitor:
    photo = tmp_path / "photo.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (150, 200, 3), dtype=np.uint8)).save(photo)
    session = Session()
    session.begin(photo.name, source="gradio_api/file=photo.png", size=(200, 150))
    return replace(page, session=session, photo=photo)


@pytest.fixture
def pointing(page: Visitor, tiny_predictor: Predictor, monkeypatch: pytest.MonkeyPatch) -> Pointing:
    """Lets the tiny model point."""
    model = Pointing()
    monkeypatch.setattr(tiny_predictor, "box_grid", model.box_grid)
    monkeypatch.setattr(tiny_predictor, "propose", model.propose)
    monkeypatch.setattr(page.main, "_propose", model.propose)
    return model

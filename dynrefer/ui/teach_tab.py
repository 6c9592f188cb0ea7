"""The tab that teaches the model what the folder's corrections say, and switches to the taught model and back."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from itertools import dropwhile
from pathlib import Path

import gradio as gr

from dynrefer.checkpoint import CONFIG, load_checkpoint
from dynrefer.errors import InputError
from dynrefer.predictor import Predictor
from dynrefer.project import Project

from . import panels
from .events import in_words
from .layout import Updates
from .panels import Panel, Progress

OWN, TAUGHT = "own", "taught"
HINT = (
    "What you corrected or accepted in this folder teaches the model: 4 regions are needed, 40 are good. Its heads are"
    " trained on this machine, which takes some minutes. One photograph in five is kept apart to measure the gain; on"
    " the page's own examples no figure may fall by more than a point, and of what the model was sure of elsewhere nine"
    " names in ten stay: the others are listed. Photographs and taught model stay here."
)


class TeachTab:
    """The tab and its events; `status` says who answers."""

    def __init__(self, predictor: Predictor, project: Project, status: Panel) -> None:
        self.predictor, self.project, self.status = predictor, project, status
        self._own = predictor.checkpoint
        Panel(panels.hint(HINT))
        with gr.Row(elem_classes="dr-buttons"):
            self.start = gr.Button("Teach the model", size="sm", min_width=140, elem_id="teach")
            self.progress = Progress("teaching", "stop-teaching")
        self.progress.panel.render()
        self.model = gr.Radio(_models(project), value=OWN, label="Who answers", visible=False, elem_id="who-answers")
        self.report = gr.Markdown(elem_id="teach-report")
        self.outputs = [*self.progress.parts, self.report, self.model]

    def as_it_is(self) -> Updates:
        """What was taught and who answers at this moment, for a page that opens."""
        answering = OWN if self.predictor.checkpoint is self._own else TAUGHT
        return {
            self.report: _report(self.project),
            self.model: gr.update(visible=(taught_folder(self.project) / CONFIG).is_file(), value=answering),
        }

    @in_words
    def teach(self) -> Iterator[Updates]:
        """Run `python -m dynrefer teach` beside the page, which goes on answering; leaving this ends it."""
        command = [sys.executable, "-m", "dynrefer", "teach", str(self.project.folder)]
        command += ["--out", str(taught_folder(self.project)), "--model", str(self._own.folder)]
        path = os.pathsep.join(filter(None, (str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH"))))
        environment = {**os.environ, "PYTHONPATH": path}  # the page may run outside of the checkout
        lines: list[str] = []
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
        ) as running:
            try:
                yield self.progress.show(panels.hint("Getting ready ..."))
                assert running.stdout is not None
                for line in map(str.strip, running.stdout):
                    lines.append(line)
                    if line:
                        yield self.progress.show(panels.hint(line[:160]))
            finally:
                running.terminate()
        if running.returncode:
            last = next(filter(None, reversed(lines)), "the teaching ended without a word")
            if report := [*dropwhile(lambda line: not line.startswith("# "), lines)]:
                yield {self.report: "\n".join(report).removesuffix(last)}
            raise InputError(last)
        yield {
            **self.progress.hide(),
            self.report: _report(self.project),
            self.model: gr.update(visible=True, value=TAUGHT, choices=_models(self.project)),
        }

    @in_words
    def switch(self, model: str) -> Updates:
        """Let the taught model answer, or the one that the page was started with."""
        taught = taught_folder(self.project)
        to = self.predictor.device, self.predictor.dtype
        self.predictor.use(self._own if model != TAUGHT else load_checkpoint(taught, *to))
        return {self.status: panels.footer(self.predictor, None)}


def taught_folder(project: Project) -> Path:
    """Where the page keeps a project's taught model: beside its file."""
    return project.folder.with_name(f"{project.folder.name}.taught")


def _models(project: Project) -> list[tuple[str, str]]:
    return [("The model as it came", OWN), (f"Taught by {project.file.name}", TAUGHT)]


def _report(project: Project) -> str:
    card = taught_folder(project) / "README.md"
    return card.read_text(encoding="utf-8") if card.is_file() else ""

"""Teaching from the page: what runs, and what a person sees of it."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from shutil import copytree

import gradio as gr
import pytest
from PIL import Image

import dynrefer
from dynrefer import Predictor
from dynrefer.checkpoint import load_checkpoint
from dynrefer.project import Project
from dynrefer.ui.layout import Updates
from dynrefer.ui.panels import Panel
from dynrefer.ui.teach_tab import TeachTab

Teaching = Callable[[str], TeachTab]


@pytest.fixture
def teaching(predictor: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Teaching]:
    """Makes the tab of a folder; instead of Python it runs a shell script."""
    (tmp_path / "photos").mkdir()
    Image.new("RGB", (40, 30)).save(tmp_path / "photos" / "a.png")
    project = Project(tmp_path / "photos")

    def make(script: str) -> TeachTab:
        python = tmp_path / "python"
        python.write_text(f"#!/bin/sh\n{script}\n")
        python.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(python))
        with gr.Blocks():
            return TeachTab(predictor, project, Panel())

    yield make
    project.close()


def test_where_nothing_was_won_the_figures_are_shown_all_the_same(teaching: Teaching) -> None:
    tab = teaching("printf '# taught\\n\\nNothing was won.\\n\\n| a | b |\\n\\nCorrect more.\\n'; exit 2")
    seen: list[Updates] = []
    with pytest.raises(gr.Error, match="Correct more"):
        seen.extend(tab.teach())
    assert seen[-1][tab.report] == "# taught\n\nNothing was won.\n\n| a | b |\n\n"


def test_the_package_is_found_from_whatever_folder_the_page_was_started_in(teaching: Teaching) -> None:
    tab = teaching('echo "Found in $PYTHONPATH"; exit 2')
    root = str(Path(dynrefer.__file__).parents[1])
    with pytest.raises(gr.Error, match=re.escape(f"Found in {root}")):
        list(tab.teach())


def test_a_page_opened_later_shows_what_was_taught_and_who_answers(
    teaching: Teaching, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    tab = teaching("exit 2")
    assert not tab.as_it_is()[tab.model]["visible"]
    taught = copytree(tiny_checkpoint, tmp_path / "photos.taught")
    (taught / "README.md").write_text("# taught")
    tab.predictor.use(load_checkpoint(taught, "cpu"))
    shown = tab.as_it_is()
    assert shown[tab.report] == "# taught"
    assert (shown[tab.model]["visible"], shown[tab.model]["value"]) == (True, "taught")

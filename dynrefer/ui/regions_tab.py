"""The tab of many regions: table, boxes from a file or proposed, downloads."""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import gradio as gr

from dynrefer.box_files import BoxFile
from dynrefer.boxes import Box, check_boxes, parse_box
from dynrefer.errors import InputError
from dynrefer.photo_files import PhotoHeader

from . import rendering
from .album import Album, thinned
from .compute import in_words
from .display import Panel, Updates
from .downloads import FORMATS, download
from .handlers import Handlers, Values
from .photo import Photo, open_photo
from .proposals import describe_everything, fresh

BATCH = 4
SHOWN = gr.update(visible=True)
SAVE_IN_BROWSER = (
    "(file) => { const link = document.createElement('a');"
    " link.href = file.url; link.download = file.name; link.click(); }"
)


@dataclass(frozen=True)
class RegionsTab:
    """The tab's components; the table itself is part of the display."""

    everything: gr.Button
    box_file: gr.UploadButton
    clear: gr.Button
    stop: gr.Button
    progress: Panel
    pasted: gr.Textbox
    use_pasted: gr.Button
    saves: dict[str, gr.Button]
    saved: gr.JSON


def build_regions_tab(table: Panel) -> RegionsTab:
    """Lay the tab out around `table`."""
    with gr.Row(elem_classes="dr-buttons"):
        everything = gr.Button("Describe everything", size="sm", min_width=140, elem_id="everything")
        box_file = gr.UploadButton(
            "Boxes from a file", size="sm", min_width=140, file_types=[".json", ".csv"], elem_id="box-file"
        )
        clear = gr.Button("Clear all", size="sm", min_width=100, elem_id="clear-all")
        stop = gr.Button("Stop", size="sm", variant="stop", min_width=80, visible=False, elem_id="stop")
    progress = Panel(elem_id="progress")
    table.render()
    with gr.Row(elem_classes="dr-buttons"):
        saves = {
            name: gr.Button(f"Save {name}", size="sm", min_width=80, elem_id=f"save-{name.lower()}") for name in FORMATS
        }
    with gr.Accordion("Paste boxes", open=False, elem_id="paste"):
        pasted = gr.Textbox(
            label="Boxes: one a line as x1 y1 x2 y2, or JSON, or CSV", lines=3, max_lines=8, elem_id="pasted"
        )
        use_pasted = gr.Button("Describe these boxes", size="sm", elem_id="use-pasted")
    return RegionsTab(everything, box_file, clear, stop, progress, pasted, use_pasted, saves, gr.JSON(visible=False))


class RegionHandlers:
    """The tab's events, on top of those of the main path."""

    def __init__(self, main: Handlers, tab: RegionsTab) -> None:
        self.main, self.tab, self.display = main, tab, main.display

    @property
    def busy(self) -> list[Any]:
        """The components that show that something is under way."""
        return [self.tab.progress, self.tab.stop]

    @in_words
    def press(self, values: Values, event: gr.EventData) -> Updates:
        """Show a region of the table again, or delete it."""
        album, photo = values[self.display.album], self._photo(values)
        threshold = values[self.main.choices.tag_threshold]
        if "remove" in event._data:
            album = album.remove(event._data["remove"])
        else:
            album = album.select(event._data.get("select"))
        box = list(album.current.result.box) if album.current else None
        return self.main.shown(photo, album, threshold, value=box)

    @in_words
    def describe_file(self, values: Values) -> Iterator[Updates]:
        """Describe the boxes of an uploaded file."""
        path = values[self.tab.box_file]
        if path:
            yield from self._describe_source(values, Path(path))

    @in_words
    def describe_pasted(self, values: Values) -> Iterator[Updates]:
        """Describe pasted boxes: lines of four numbers, JSON or CSV."""
        text = str(values[self.tab.pasted] or "").strip()
        if not text:
            raise InputError("there are no boxes yet; paste one a line as x1 y1 x2 y2")
        if text[0].isdecimal():
            boxes = [parse_box(line) for line in text.splitlines() if line.strip()]
            yield from self._describe(values, boxes)
            return
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / ("pasted.json" if text[0] in "[{" else "pasted.csv")
            file.write_text(text, encoding="utf-8")
            yield from self._describe_source(values, file)

    @in_words
    def describe_all(self, values: Values) -> Iterator[Updates]:
        """Propose regions for the whole photograph and describe the most certain ones."""
        photo, settings = self._photo(values), self.main.settings(values)
        known = [result.box for result in values[self.display.album].results]
        boxes: list[Box] = []
        for done, total, best in describe_everything(self.main.asker, photo, settings):
            boxes = fresh(best, known)
            yield {self.tab.progress: rendering.progress(done, total, "places looked at"), self.tab.stop: SHOWN}
        if not boxes:
            raise InputError("nothing else stands out on this photograph; draw a box yourself")
        yield from self._describe(values, boxes)

    def stop(self) -> Updates:
        """Show that nothing is under way."""
        return {self.tab.progress: "", self.tab.stop: gr.update(visible=False)}

    def saving(self, kind: str) -> Callable[[Values], dict[str, str]]:
        """The handler that gives the regions as a file of one kind: its name, and its content as a data URL."""

        @in_words
        def save(values: Values) -> dict[str, str]:
            threshold = self.main.asker.threshold(values[self.main.choices.tag_threshold])
            results = [thinned(result, threshold) for result in values[self.display.album].results]
            if not results:
                raise InputError("there is nothing to save yet; draw a box first")
            return download(kind, results, Path(values[self.main.stage.photo]).name, self._photo(values))

        return save

    @in_words
    def clear(self, values: Values) -> Updates:
        """Forget all regions of this photograph."""
        return self.main.shown(None, Album(), values[self.main.choices.tag_threshold], value=None)

    def _describe_source(self, values: Values, file: Path) -> Iterator[Updates]:
        path = Path(values[self.main.stage.photo] or "")
        boxes, left_out = BoxFile.read(file).of(path.name or None).fit(PhotoHeader.read(path))
        if not boxes:
            raise InputError(str(left_out[0]))
        yield from self._describe(values, [given.box for given in boxes])

    def _describe(self, values: Values, boxes: Sequence[object]) -> Iterator[Updates]:
        """Describe `boxes` a few at a time, each time with the table so far."""
        photo, settings, album = self._photo(values), self.main.settings(values), values[self.display.album]
        valid = check_boxes(list(boxes), photo.size)
        yield {self.tab.progress: rendering.progress(0, len(valid), "regions described"), self.tab.stop: SHOWN}
        for start in range(0, len(valid), BATCH):
            batch = valid[start : start + BATCH]
            results = self.main.asker.regions(photo, batch, replace(settings, tag_threshold=0.0))
            album = album.extend(self.main.entries(values, photo, settings, results))
            done = start + len(batch)
            yield {
                **self.main.shown(photo, album, settings.tag_threshold),
                self.tab.progress: rendering.progress(done, len(valid), "regions described"),
            }
        yield self.stop()

    def _photo(self, values: Values) -> Photo:
        path = values[self.main.stage.photo]
        if not path:
            raise InputError("there is no photograph yet; choose one first")
        return open_photo(path)

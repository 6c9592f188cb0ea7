"""The page: its components put together, and how it is served."""

import os
import time
from pathlib import Path
from typing import Any

import gradio as gr
from gradio import http_server

from dynrefer.devices import freed_memory_returned
from dynrefer.errors import InputError
from dynrefer.examples import EXAMPLES
from dynrefer.files.atomic import claim
from dynrefer.predictor import Predictor
from dynrefer.project import Project
from dynrefer.server.app import PORT, listening, with_service
from dynrefer.server.fetching import MAX_FILE_BYTES
from dynrefer.server.mcp_tools import mcp_options
from dynrefer.server.programs import Programs

from .api import add_endpoints
from .binding import bind, bind_teaching
from .components import THEME, read
from .finding import REGIONS_TAB, FindHandlers, Finding
from .handlers import Handlers
from .layout import HOUR, Choices, Display, Stage
from .looks_tab import Comparison, Sweep
from .panels import Panel
from .regions_tab import RegionsTab
from .teach_tab import TeachTab

QUEUE_SIZE = 40


def build_page(predictor: Predictor, project: Project | None = None) -> gr.Blocks:
    """The page around one `predictor`, with the named endpoints; not launched yet. Visitors work on the `project`."""
    with gr.Blocks(title="DynRefer", analytics_enabled=False, delete_cache=(HOUR, HOUR), fill_width=True) as page:
        gr.HTML(read("header.html"), apply_default_css=False, elem_id="header")
        with gr.Row(elem_id="main"):
            with gr.Column(scale=11, min_width=320):
                stage = Stage(project, predictor.can_find)
                with stage.tools:
                    finding = Finding(predictor)
                views = Panel(elem_id="views")
                stage.examples.render()
            with gr.Column(scale=9, min_width=320):
                choices = Choices(predictor)
                display = Display(predictor, stage, choices, views, project)
                handlers = Handlers(predictor, stage, choices, display)
                with gr.Tabs(elem_id="tabs") as tabs:
                    with gr.Tab("Answer"):
                        for part in (display.answer, display.words, display.tag_threshold):
                            part.render()
                    with gr.Tab("Regions", id=REGIONS_TAB):
                        finding.found.render()
                        finding.all_found.render()
                        regions = RegionsTab(handlers)
                    with gr.Tab("Views"):
                        sweep = Sweep(handlers)
                    with gr.Tab("Compare"):
                        comparison = Comparison(handlers)
                    if project is not None:
                        with gr.Tab("Teach"):
                            bind_teaching(TeachTab(predictor, project, display.status), page)
                    with gr.Tab("How it works"):
                        gr.HTML(read("how.html"), apply_default_css=False, elem_id="how")
        display.status.render()
        bind(FindHandlers(regions, finding, tabs), sweep, comparison)
        add_endpoints(Programs(predictor))
    return page.queue(max_size=QUEUE_SIZE, default_concurrency_limit=8)


def launch_options(predictor: Predictor, project: Project | None = None) -> dict[str, Any]:
    """The arguments of `gr.Blocks.launch` that the page of `predictor` and `project` counts on."""
    return {
        "theme": THEME,
        "css": read("page.css"),
        "head": f"<script>{read('page.js')}</script>",
        "show_error": False,
        "ssr_mode": False,
        "footer_links": ["api"],
        "max_file_size": MAX_FILE_BYTES,
        "state_session_capacity": 500,
        "allowed_paths": [str(EXAMPLES), *([str(project.folder)] if project else [])],
        "app_kwargs": mcp_options(Programs(predictor)),
    }


class PatientServer(http_server.Server):
    """Gradio's server, given the time that a slow machine needs to start it.

    Gradio gives up after five seconds and starts the page once more on the next port, while the first goes on starting.
    """

    def run_in_thread(self) -> None:
        """Start, and return when it has started."""
        try:
            super().run_in_thread()
        except http_server.ServerFailedToStartError:
            while not self.started:
                if not self.thread.is_alive():
                    raise
                time.sleep(0.05)


def serve(
    predictor: Predictor, host: str | None = None, port: int | None = None, project: Project | None = None
) -> None:
    """Serve the page, and `/v1` beside it, until stopped. Whoever opens it works on the `project`.

    Raises InputError where the port cannot be had, or where uploads could not be kept.
    """
    if port is not None:
        listening(host or "127.0.0.1", port).close()
    uploads = Path(os.environ["GRADIO_TEMP_DIR"])
    try:
        claim(uploads)
    except InputError as error:
        raise InputError(
            f"GRADIO_TEMP_DIR names {uploads}, where no upload can be kept; name another folder"
        ) from error
    options = with_service(launch_options(predictor, project), predictor)
    http_server.Server = PatientServer  # type: ignore[misc]
    try:
        with freed_memory_returned():
            build_page(predictor, project).launch(server_name=host, server_port=port, **options)
    except OSError as error:
        if error.errno is not None:
            raise  # of a closed terminal, say: Gradio's own, that it found no free port, has no number
        which = f"the port {port} is" if port else f"the ports from {PORT} on are"
        raise InputError(f"{which} taken by other programs; choose another with --port") from error

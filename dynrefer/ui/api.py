"""The named endpoints for scripts: the same questions as on the page, answered with the JSON of `RegionResult`."""

from typing import Any

import gradio as gr

from .asker import Asker
from .compute import in_words
from .photo import open_photo


def add_endpoints(asker: Asker) -> None:
    """Add `/refer` to the page that is being built; it is an MCP tool as well where the page serves MCP."""

    @in_words
    def refer(
        image: gr.FileData, boxes: list[list[float]], options: dict[str, Any] | None = None
    ) -> list[dict[str, Any]]:
        """Describe regions of a photograph: caption, classes, tags and attributes of each box, and the views looked at.

        Args:
            image: The photograph (JPEG, PNG, WebP, GIF, TIFF or BMP), as a file or a URL.
            boxes: One box or more, each [x1, y1, x2, y2] in pixels of the upright photograph; at most 256.
            options: Any of mode ("dynamic", "prior:caption", "prior:attributes", "manual", "random"), num_views,
                coefficients (0 to 1, one a view), classes and controls (lists of words), tag_threshold (0 to 1),
                top_classes, num_beams, max_new_tokens; null leaves all to the model.

        Returns:
            One object a box: box, caption, classes, tags, attributes, views, timing_ms and model.
        """
        photo = open_photo(image["path"])
        return [result.to_dict() for result in asker.regions(photo, boxes, asker.settings(options))]

    gr.api(refer, api_name="refer", concurrency_id="model", concurrency_limit=1)

// Zoom and pan. The canvas, which holds the photograph and all that is drawn over it in percent, grows beyond the stage
// and is shifted behind it: lines stay as thin as they are, and every place is still read off the photograph itself.

const MOST_ZOOM = 12;
const view = { zoom: 1, left: 0, top: 0 }; // left and top: what lies beyond the stage's edges, in widths and heights of it

const find = (selector) => element.querySelector(selector);

function show(zoom, left, top) {
  view.zoom = clamp(zoom, 1, MOST_ZOOM);
  view.left = clamp(left, 0, view.zoom - 1);
  view.top = clamp(top, 0, view.zoom - 1);
  find(".canvas").style.cssText =
    `width:${100 * view.zoom}%;height:${100 * view.zoom}%;left:${-100 * view.left}%;top:${-100 * view.top}%`;
}

/** Zooms by a factor; the place under the given point of the window stays where it is. */
function zoomAt(factor, clientX, clientY) {
  const stage = find(".stage").getBoundingClientRect();
  const [u, v] = [(clientX - stage.left) / stage.width, (clientY - stage.top) / stage.height];
  const zoom = clamp(view.zoom * factor, 1, MOST_ZOOM);
  show(zoom, ((view.left + u) * zoom) / view.zoom - u, ((view.top + v) * zoom) / view.zoom - v);
}

/** Zooms by a factor around the middle of `box`, brought as near to the stage's middle as it goes, or around that. */
function zoomTo(factor, box) {
  const zoom = clamp(view.zoom * factor, 1, MOST_ZOOM);
  const u = box ? (box[0] + box[2]) / 2 / props.width : (view.left + 0.5) / view.zoom;
  const v = box ? (box[1] + box[3]) / 2 / props.height : (view.top + 0.5) / view.zoom;
  show(zoom, u * zoom - 0.5, v * zoom - 0.5);
}

/** Shows the whole photograph again where the box would lie out of sight. */
function reveal([x1, y1, x2, y2]) {
  const [u, v] = [x1 + x2, y1 + y2].map((sum, axis) => (sum / 2 / (axis ? props.height : props.width)) * view.zoom);
  const seen = u >= view.left && u <= view.left + 1 && v >= view.top && v <= view.top + 1;
  if (!seen) show(1, 0, 0);
}

/** Moves the photograph by CSS pixels. */
function pan(dx, dy) {
  const stage = find(".stage").getBoundingClientRect();
  show(view.zoom, view.left - dx / stage.width, view.top - dy / stage.height);
}

/** Original pixels that one CSS pixel covers, [horizontally, vertically]. */
function pixelsPerCss() {
  const shown = find(".photo").getBoundingClientRect();
  return [props.width / shown.width, props.height / shown.height];
}

/** A pointer event's place in original pixels, clamped to the photograph. */
function place(event) {
  const shown = find(".photo").getBoundingClientRect();
  const [kx, ky] = pixelsPerCss();
  return [clamp((event.clientX - shown.left) * kx, 0, props.width), clamp((event.clientY - shown.top) * ky, 0, props.height)];
}

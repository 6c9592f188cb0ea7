// Mouse, pen and fingers: a drag draws, moves or resizes (with Shift it always draws), or follows a line freehand; a press
// takes what is there; two fingers, the middle button, or a drag with the space bar held move the photograph; the wheel and two fingers zoom.

const GRIP = 10; // CSS pixels around an edge within which a press takes hold of it
const CLICK = 3; // CSS pixels: a shorter movement is a click, not a drag
const FINGER_CLICK = 8; // the same of a finger, which never keeps still
const WHEEL = 0.002; // how fast the wheel zooms: the logarithm of the factor for one CSS pixel of scrolling
const LINE = 16; // CSS pixels of a wheel's step that is told in lines
const CURSORS = {
  "": "crosshair", move: "move", w: "ew-resize", e: "ew-resize", n: "ns-resize", s: "ns-resize",
  nw: "nwse-resize", se: "nwse-resize", ne: "nesw-resize", sw: "nesw-resize",
};

let drag = null; // { pointer, start, grip, before, far, slack, line } of the box under way; line: its places, freehand
let panning = null; // { pointer, x, y } of the photograph on the move
let spaceHeld = false;
let pointedAt = null; // the place under the mouse where a press would take something
const fingers = new Map(); // pointer -> [clientX, clientY] of those on the stage

const reach = () => pixelsPerCss().map((pixels) => GRIP * pixels);
const grip = (at) => (box ? gripAt(box, at, reach()) : "");
const onStage = (event) => hasPhoto() && find(".stage").contains(event.target) && !event.target.closest("button");

function stopDrag() {
  if (!drag) return;
  box = drag.before;
  drag = null;
}

element.addEventListener("pointerdown", (event) => {
  if (!onStage(event) || event.button > 1) return;
  event.preventDefault();
  find(".stage").focus({ preventScroll: true });
  element.setPointerCapture(event.pointerId);
  pointedAt = null;
  drawHint();
  if (event.pointerType === "touch") fingers.set(event.pointerId, [event.clientX, event.clientY]);
  if (fingers.size > 1) {
    stopDrag();
    draw();
  } else if (event.button === 1 || spaceHeld) {
    panning = { pointer: event.pointerId, x: event.clientX, y: event.clientY };
  } else if (!drag) {
    const start = place(event);
    const slack = event.pointerType === "touch" ? FINGER_CLICK : CLICK;
    const line = adding === "freehand" && [start];
    drag = { pointer: event.pointerId, start, grip: event.shiftKey ? "" : grip(start), before: box, far: false, slack, line };
  }
});

/** Two fingers: the photograph grows with their distance, and follows their middle. */
function pinch(event) {
  const [, other] = [...fingers].find(([pointer]) => pointer !== event.pointerId);
  const [before, now] = [fingers.get(event.pointerId), [event.clientX, event.clientY]];
  fingers.set(event.pointerId, now);
  const distance = (at) => Math.max(1, Math.hypot(at[0] - other[0], at[1] - other[1]));
  zoomAt(distance(now) / distance(before), (before[0] + other[0]) / 2, (before[1] + other[1]) / 2);
  pan((now[0] - before[0]) / 2, (now[1] - before[1]) / 2);
  draw();
}

function drawTo(event) {
  const [x, y] = place(event);
  const [dx, dy] = [x - drag.start[0], y - drag.start[1]];
  const [kx, ky] = pixelsPerCss();
  drag.far ||= Math.hypot(dx / kx, dy / ky) >= drag.slack;
  if (!drag.far) return;
  const size = [props.width, props.height];
  if (drag.line) {
    drag.line.push([x, y]);
    box = null;
  } else if (!drag.grip) box = sorted([...drag.start, x, y]);
  else box = drag.grip === "move" ? moved(drag.before, dx, dy, size) : resized(drag.before, drag.grip, dx, dy, size);
  draw();
}

element.addEventListener("pointermove", (event) => {
  if (!hasPhoto()) return;
  if (fingers.size > 1 && fingers.has(event.pointerId)) pinch(event);
  else if (panning?.pointer === event.pointerId) {
    pan(event.clientX - panning.x, event.clientY - panning.y);
    Object.assign(panning, { x: event.clientX, y: event.clientY });
    draw();
  } else if (drag?.pointer === event.pointerId) drawTo(event);
  else if (!drag && onStage(event)) point(event);
});

/** Shows what a press here would do. */
function point(event) {
  const at = place(event);
  const held = adding === "freehand" ? "" : grip(at);
  find(".stage").style.cursor = spaceHeld ? "grab" : CURSORS[held];
  const resizing = held && held !== "move";
  pointedAt = resizing || event.pointerType === "touch" ? null : at;
  drawHint();
}
element.addEventListener("pointerleave", () => {
  pointedAt = null;
  drawHint();
});

function release(event) {
  fingers.delete(event.pointerId);
  if (panning?.pointer === event.pointerId) panning = null;
  if (drag?.pointer !== event.pointerId) return;
  const { far, start, line } = drag;
  const drawn = box;
  stopDrag();
  if (event.type === "pointercancel") follow();
  else if (far && line) giveLine(line);
  else if (far && hasArea(whole(drawn))) give(drawn);
  else if (!far && grid) press(start, event);
  else if (keyTimer) announce();
  else follow();
}
element.addEventListener("pointerup", release);
element.addEventListener("pointercancel", release);

let scrolled = -Infinity; // when the wheel last scrolled the page, whose momentum is no wish to zoom

/** Whether a turn of the wheel over the whole photograph scrolls the page, as it does everywhere else on it. */
function scrolls(event) {
  const { scrollTop, scrollHeight, clientHeight } = document.scrollingElement;
  const room = event.deltaY < 0 ? scrollTop > 0 : scrollTop + clientHeight < scrollHeight - 1;
  if (view.zoom > 1 || event.ctrlKey || !(room || event.timeStamp - scrolled < 300)) return false;
  scrolled = event.timeStamp;
  return true;
}

element.addEventListener("wheel", (event) => {
  if (!onStage(event) || scrolls(event)) return;
  event.preventDefault();
  const step = event.deltaMode ? LINE : 1;
  if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
    pan(-step * (event.deltaX || event.deltaY), 0);
  } else zoomAt(Math.exp(-WHEEL * step * event.deltaY * (event.ctrlKey ? 5 : 1)), event.clientX, event.clientY);
  draw();
}, { passive: false });

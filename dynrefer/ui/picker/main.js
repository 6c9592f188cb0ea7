// The box picker's state, and what it tells and hears. `element`, `props`, `trigger` and `watch` are given by gr.HTML.
// props: image (URL, another one even if the same photograph comes again), width and height (the original photograph's
// pixels), grid (see pointing.js; {} where the model cannot point), views, regions and found (rectangles to show),
// pointed (`points`, and as `found` what is there),
// shape (`box` and `outline` of what was described), value (the box as [x1, y1, x2, y2] in original pixels, or null).
// Events: "box_drawn" with the points of a press, "box_cleared", "box_recalled" (one that was described before),
// "pointed" with its points, "photo_changed".

let box = null;
let taken = null; // how a press took the box, see pointing.js; null where it was drawn
let told = null; // the box that Python was told last
let outdated = false; // whether views and answer still are those of the box before
let adding = ""; // what presses add by the buttons: "inside" or "outside" points; or "freehand", by which drags are lines
let keyTimer = 0; // of a box moved by the keyboard that was not told yet
let followed = ""; // the photograph that all this belongs to

const hasPhoto = () => Boolean(props.image && props.width && props.height);
/** Whether the box was taken by a press, and not described yet. */
const pending = () => Boolean(taken && box) && !equal(whole(box), told);
const state = () => ({ box, taken, pending: pending() });

/** Puts the current state in the place of that before, or after it where the box is another. */
function remember() {
  if (equal(states[current].box, box)) states[current] = state();
  else record(state());
}

/** The box is what "Describe" and all else on the page is about. */
function holdOut() {
  if (!equal(props.value ?? null, whole(box))) props.value = whole(box);
}

/** Tells Python about the box, unless it is the one told last. */
function announce(event = "box_drawn") {
  cancelLater();
  const known = equal(whole(box), told);
  told = whole(box);
  outdated ||= !known && Boolean(told);
  if (adding !== "freehand") adding = "";
  remember();
  holdOut();
  draw();
  if (!known) trigger(told ? event : "box_cleared", { box: told, points: taken?.points, outline: taken?.line });
}

/** Tells Python a little later, for more key presses may follow; the page is not idle until then. */
function announceLater(pause) {
  cancelLater();
  keyTimer = setTimeout(announce, pause);
  tellBusy(true);
}

function cancelLater() {
  clearTimeout(keyTimer);
  keyTimer = 0;
  tellBusy(false);
}

function tellBusy(busy) {
  window.dynreferBusy[busy ? "add" : "delete"]("picker");
  document.dispatchEvent(new Event("dr-busy"));
}

/** Takes a box that was drawn, moved or resized. */
function give(drawn) {
  [box, taken] = [drawn, null];
  announce();
}

/** Takes what a freehand line runs around, which is described at once, or what lies along it, as a press would. */
function giveLine(line) {
  taken = takeLine(line);
  box = chosen(taken).box;
  record(state());
  if (taken.line) return announce();
  holdOut();
  draw();
  trigger("pointed", { points: taken.points });
}

/** A press: where the last one was it takes the next choice; with Shift, Alt or one of their buttons it adds a point. */
function press(at, event) {
  const kind = event.altKey ? "outside" : event.shiftKey ? "inside" : adding === "freehand" ? "" : adding;
  const near = (other) => at.every((value, axis) => Math.abs(value - other[axis]) <= reach()[axis]);
  if (kind === "outside" && !taken) return draw();
  cancelLater();
  const again = !kind && taken?.points.length === 1 && near(taken.points[0]);
  if (again) taken = { ...taken, turns: taken.turns + 1 };
  else if (kind && taken) taken = { ...taken, points: [...taken.points, [...at, kind === "inside"]], turns: 0 };
  else taken = takeAt(at);
  box = chosen(taken).box;
  record(state());
  holdOut();
  draw();
  if (again) return;
  trigger("pointed", { points: taken.points });
  hear();
}

/** Takes over what Python found at the points, unless others were set meanwhile. */
function hear() {
  if (!taken || !props.pointed?.found?.length || !equal(props.pointed.points, taken.points)) return;
  taken = arranged(taken, props.pointed.found);
  box = chosen(taken).box;
  states[current] = state();
  holdOut();
  draw();
}

/** Undoes (-1) or redoes (1); a box that was described before shows its answer again. */
function go(steps) {
  const goal = step(steps);
  if (!goal) return;
  cancelLater();
  ({ box, taken } = goal);
  adding = "";
  if (box) reveal(box);
  holdOut();
  if (!goal.pending) announce("box_recalled");
  draw();
}

/** Takes over what Python or an example has set; a box under way stays, unless its photograph has gone. */
function follow() {
  const value = Array.isArray(props.value) && props.value.length === 4 ? [...props.value] : null;
  if (props.image !== followed) {
    cancelLater();
    [followed, drag, pointedAt, taken, adding, outdated] = [props.image, null, null, null, "", false];
    [box, told] = [value, whole(value)];
    begin(state());
    show(1, 0, 0);
    trigger("photo_changed");
  } else if (!drag && !keyTimer && !equal(whole(value), whole(box))) {
    [box, told, taken, adding] = [value, whole(value), null, ""];
    remember();
    if (box) reveal(box);
  }
  draw();
}

watch(["value", "views", "regions", "found", "shape", "image", "width", "height"], follow);
watch("views", () => {
  outdated = false;
  draw();
});
watch("pointed", hear);
watch("grid", () => {
  grid = unpack(props.grid);
  draw();
});
follow();

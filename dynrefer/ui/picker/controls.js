// Keys and buttons.

const KEY_PAUSE = 350; // ms without a key press after which a box moved by the keyboard counts as drawn
const ZOOM_STEP = 1.5;
const PAN_STEP = 60; // CSS pixels
const DIRECTIONS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

const ACTIONS = {
  undo: () => go(-1),
  redo: () => go(1),
  in: () => zoomTo(ZOOM_STEP, box),
  out: () => zoomTo(1 / ZOOM_STEP, box),
  fit: () => show(1, 0, 0),
  inside: () => (adding = adding === "inside" ? "" : "inside"),
  outside: () => (adding = adding === "outside" ? "" : "outside"),
  freehand: () => (adding = adding === "freehand" ? "" : "freehand"),
  describe: () => {
    announce();
    find(".stage").focus({ preventScroll: true }); // the button hides itself
  },
};
const KEYS = { "+": "in", "=": "in", "-": "out", "0": "fit" };

element.addEventListener("click", (event) => {
  const button = event.target.closest("[data-do]");
  if (!button || !hasPhoto()) return;
  ACTIONS[button.dataset.do]();
  draw();
});

element.addEventListener("keydown", (event) => {
  if (!hasPhoto()) return;
  const key = event.key.toLowerCase();
  if ((event.ctrlKey || event.metaKey) && key === "z") go(event.shiftKey ? 1 : -1);
  else if ((event.ctrlKey || event.metaKey) && key === "y") go(1);
  else if (event.target !== find(".stage") || !useKey(event)) return;
  event.preventDefault();
});
element.addEventListener("keyup", (event) => {
  if (event.key === " ") spaceHeld = false;
});
element.addEventListener("focusout", () => (spaceHeld = false));

/** Does what a key pressed on the photograph stands for; whether it stands for anything. */
function useKey(event) {
  const direction = DIRECTIONS[event.key];
  if (event.key === " ") spaceHeld = true;
  else if (KEYS[event.key] && !event.ctrlKey && !event.metaKey) ACTIONS[KEYS[event.key]]();
  else if (event.key === "Enter" && pending()) announce();
  else if (event.key === "Enter" && !box) change(middle(), 0);
  else if ((event.key === "Delete" || event.key === "Backspace") && box) change(null, 0);
  else if (event.key === "Escape" && drag) stopDrag();
  else if (event.key === "Escape" && pending()) go(-1);
  else if (direction && box) shift(direction, event);
  else if (direction && view.zoom > 1) pan(-PAN_STEP * direction[0], -PAN_STEP * direction[1]);
  else return false;
  draw();
  return true;
}

function middle() {
  const { width, height } = props;
  return whole([width / 4, height / 4, (3 * width) / 4, (3 * height) / 4]);
}

function shift(direction, event) {
  const length = event.ctrlKey ? 1 : Math.max(1, Math.round(Math.max(props.width, props.height) / 100));
  const [dx, dy] = direction.map((way) => way * length);
  const size = [props.width, props.height];
  const next = event.shiftKey ? resized(box, "se", dx, dy, size) : moved(box, dx, dy, size);
  if (hasArea(next)) change(next, KEY_PAUSE);
}

function change(next, pause) {
  [box, taken] = [next, null];
  announceLater(pause);
}

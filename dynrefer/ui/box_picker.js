// The box picker's behaviour. `element`, `props`, `trigger` and `watch` are given by gr.HTML.
// props: image (URL), width and height (the original photograph's pixels), views and regions (rectangles to show),
// value (the box as [x1, y1, x2, y2] in original pixels, or null). Events: box_drawn, box_cleared.

const GRIP = 10; // CSS pixels around an edge within which a press takes hold of it
const CLICK = 3; // CSS pixels: a shorter movement is a click, not a drag
const KEY_PAUSE = 350; // ms without a key press after which a box moved by the keyboard counts as drawn
const CURSORS = {
  "": "crosshair", move: "move", w: "ew-resize", e: "ew-resize", n: "ns-resize", s: "ns-resize",
  nw: "nwse-resize", se: "nwse-resize", ne: "nesw-resize", sw: "nesw-resize",
};

let box = null;
let drag = null;
let announced = "null";
let keyTimer = 0; // of a box moved by the keyboard that was not told yet
let followed = ""; // the photograph that `box` belongs to

const find = (selector) => element.querySelector(selector);
const clamp = (value, low, high) => Math.min(high, Math.max(low, value));
const sorted = ([x1, y1, x2, y2]) => [Math.min(x1, x2), Math.min(y1, y2), Math.max(x1, x2), Math.max(y1, y2)];
const whole = (rectangle) => rectangle && rectangle.map(Math.round);
const hasArea = ([x1, y1, x2, y2]) => x2 - x1 >= 1 && y2 - y1 >= 1;
const hasPhoto = () => Boolean(props.image && props.width && props.height);

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

/** What a press at this place takes hold of: "" nothing, "move" the inside, else edges as compass letters ("n", "se"). */
function gripAt([x, y]) {
  if (!box) return "";
  const [kx, ky] = pixelsPerCss();
  const [x1, y1, x2, y2] = box;
  const [rx, ry] = [GRIP * kx, GRIP * ky];
  if (x < x1 - rx || x > x2 + rx || y < y1 - ry || y > y2 + ry) return "";
  const vertical = Math.min(Math.abs(y - y1), Math.abs(y - y2)) < ry ? (Math.abs(y - y1) < Math.abs(y - y2) ? "n" : "s") : "";
  const horizontal = Math.min(Math.abs(x - x1), Math.abs(x - x2)) < rx ? (Math.abs(x - x1) < Math.abs(x - x2) ? "w" : "e") : "";
  return vertical + horizontal || "move";
}

function moved([x1, y1, x2, y2], dx, dy) {
  const mx = clamp(dx, -x1, props.width - x2);
  const my = clamp(dy, -y1, props.height - y2);
  return [x1 + mx, y1 + my, x2 + mx, y2 + my];
}

function resized([x1, y1, x2, y2], grip, dx, dy) {
  return sorted([
    grip.includes("w") ? clamp(x1 + dx, 0, props.width) : x1,
    grip.includes("n") ? clamp(y1 + dy, 0, props.height) : y1,
    grip.includes("e") ? clamp(x2 + dx, 0, props.width) : x2,
    grip.includes("s") ? clamp(y2 + dy, 0, props.height) : y2,
  ]);
}

/** A rectangle of the overlay, placed in percent so that it follows every change of size by itself. */
function rectangle(className, [x1, y1, x2, y2], colour, label) {
  const node = document.createElement("div");
  node.className = className;
  node.style.cssText =
    `left:${(100 * x1) / props.width}%;top:${(100 * y1) / props.height}%;` +
    `width:${(100 * (x2 - x1)) / props.width}%;height:${(100 * (y2 - y1)) / props.height}%`;
  node.style.setProperty("--view-colour", colour || "#fff");
  if (label) node.appendChild(document.createElement("span")).textContent = label;
  return node;
}

function draw() {
  const overlay = find(".overlay");
  if (!hasPhoto()) {
    overlay.replaceChildren();
    find(".status").textContent = "";
    return;
  }
  const nodes = [];
  if (!drag) {
    for (const region of props.regions || []) nodes.push(rectangle("region", region.box, "", region.label));
    for (const view of props.views || []) {
      const node = rectangle(view.chosen ? "view chosen" : "view", view.box, view.colour, view.chosen ? view.label : "");
      node.dataset.t = view.key;
      nodes.push(node);
    }
  }
  if (box) {
    const node = rectangle("box", box);
    for (const [left, top] of [[0, 0], [100, 0], [0, 100], [100, 100]]) {
      node.appendChild(document.createElement("i")).style.cssText = `left:${left}%;top:${top}%`;
    }
    nodes.push(node);
  }
  overlay.replaceChildren(...nodes);
  find(".status").textContent = describe();
}

function describe() {
  const size = `${props.width} × ${props.height} px`;
  if (!box) return `${size}. Drag a box around something.`;
  const [x1, y1, x2, y2] = whole(box);
  return `Box ${x1}, ${y1}, ${x2}, ${y2} (${x2 - x1} × ${y2 - y1} of ${size})`;
}

/** Tells Python about the box a little later, for more key presses may follow; the page is not idle until then. */
function announceLater(pause) {
  cancelLater();
  keyTimer = setTimeout(announce, pause);
  window.dynreferBusy.add("picker");
  document.dispatchEvent(new Event("dr-busy"));
}

function cancelLater() {
  clearTimeout(keyTimer);
  keyTimer = 0;
  window.dynreferBusy.delete("picker");
  document.dispatchEvent(new Event("dr-busy"));
}

/** Tells Python about the box, unless it is the one told last. */
function announce() {
  cancelLater();
  const value = whole(box);
  if (JSON.stringify(value) === announced) return;
  announced = JSON.stringify(value);
  props.value = value;
  trigger(value ? "box_drawn" : "box_cleared", { box: value });
}

function setBox(value) {
  box = value;
  draw();
}

element.addEventListener("pointerdown", (event) => {
  if (!hasPhoto() || event.button || drag || !find(".stage").contains(event.target)) return;
  event.preventDefault();
  find(".stage").focus({ preventScroll: true });
  element.setPointerCapture(event.pointerId);
  const start = place(event);
  drag = { pointer: event.pointerId, start, grip: gripAt(start), before: box, far: false };
});

element.addEventListener("pointermove", (event) => {
  if (!hasPhoto()) return;
  const [x, y] = place(event);
  if (!drag) {
    find(".stage").style.cursor = CURSORS[gripAt([x, y])];
    return;
  }
  if (event.pointerId !== drag.pointer) return;
  const [dx, dy] = [x - drag.start[0], y - drag.start[1]];
  const [kx, ky] = pixelsPerCss();
  drag.far ||= Math.hypot(dx / kx, dy / ky) >= CLICK;
  if (!drag.far) return;
  if (!drag.grip) setBox(sorted([...drag.start, x, y]));
  else setBox(drag.grip === "move" ? moved(drag.before, dx, dy) : resized(drag.before, drag.grip, dx, dy));
});

function release(event) {
  if (!drag || event.pointerId !== drag.pointer) return;
  const { before, far } = drag;
  drag = null;
  const given = event.type !== "pointercancel" && far && hasArea(whole(box));
  setBox(given ? box : before);
  if (given || keyTimer) announce();
  else follow();
}
element.addEventListener("pointerup", release);
element.addEventListener("pointercancel", release);

element.addEventListener("keydown", (event) => {
  if (!hasPhoto() || event.target !== find(".stage")) return;
  const step = event.ctrlKey ? 1 : Math.max(1, Math.round(Math.max(props.width, props.height) / 100));
  const direction = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] }[event.key];
  const { width, height } = props;
  if (event.key === "Enter" && !box) setBox(whole([width / 4, height / 4, (3 * width) / 4, (3 * height) / 4]));
  else if ((event.key === "Delete" || event.key === "Backspace") && box) setBox(null);
  else if (event.key === "Escape" && drag) {
    setBox(drag.before);
    drag = null;
  } else if (direction && box) {
    const next = event.shiftKey ? resized(box, "se", ...direction) : moved(box, ...direction);
    if (hasArea(next)) setBox(next);
  } else return;
  event.preventDefault();
  announceLater(direction ? KEY_PAUSE : 0);
});

/** Takes over what Python or an example has set; a box under way stays, unless its photograph has gone. */
function follow() {
  if (props.image !== followed) {
    cancelLater();
    drag = null;
  } else if (drag || keyTimer) {
    if (!drag) draw();
    return;
  }
  followed = props.image;
  box = Array.isArray(props.value) && props.value.length === 4 ? [...props.value] : null;
  announced = JSON.stringify(whole(box));
  draw();
}
watch(["value", "views", "regions", "image", "width", "height"], follow);
follow();

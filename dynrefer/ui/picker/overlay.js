// What is drawn over the photograph, all of it in percent so that it follows every change of size by itself.

/** A rectangle with a label, which reaches towards the middle of the photograph. */
function rectangle(className, [x1, y1, x2, y2], colour, label) {
  const node = document.createElement("div");
  node.className = className + (x1 + x2 > props.width ? " on-right" : "");
  node.style.cssText =
    `left:${(100 * x1) / props.width}%;top:${(100 * y1) / props.height}%;` +
    `width:${(100 * (x2 - x1)) / props.width}%;height:${(100 * (y2 - y1)) / props.height}%`;
  node.style.setProperty("--view-colour", colour || "#fff");
  if (label) node.appendChild(document.createElement("span")).textContent = label;
  return node;
}

const EDGE = 0.03; // of the photograph's height: what is nearer to its edge has its label inside

/** Nested views, widest first; the chosen ones stand out, with their labels at opposite edges of neighbours. */
function viewNode({ chosen, box, colour, label, key }, place, views) {
  const low = views.slice(0, place).filter((view) => view.chosen).length % 2 ? " low" : "";
  const edge = low ? props.height - box[3] : box[1];
  const inside = edge < EDGE * props.height ? " inside" : "";
  const node = rectangle(chosen ? `view chosen${low}${inside}` : "view", box, colour, chosen ? label : "");
  node.dataset.t = key;
  return node;
}

/** The box itself with its corners; dashed as long as it only was taken by a press. */
function boxNode(box, pending) {
  const node = rectangle(pending ? "box pending" : "box", box);
  for (const [left, top] of [[0, 0], [100, 0], [0, 100], [100, 100]]) {
    node.appendChild(document.createElement("i")).style.cssText = `left:${left}%;top:${top}%`;
  }
  return node;
}

/** The thing's own outline: polygons of [x, y]. */
function outlineNode(outline) {
  const path = outline.map((polygon) => `M${polygon.map((at) => at.join(" ")).join("L")}Z`).join("");
  const holder = document.createElement("div");
  holder.className = "outline";
  holder.innerHTML = `<svg viewBox="0 0 ${props.width} ${props.height}" preserveAspectRatio="none"><path /></svg>`;
  holder.querySelector("path").setAttribute("d", path);
  return holder;
}

/** The outline of what a press took, or of what was described in the box as it is. */
function outlineOf() {
  if (drag || !box) return null;
  if (taken) return chosen(taken).outline;
  const { shape } = props;
  return shape?.outline && equal(whole(shape.box), whole(box)) ? shape.outline : null;
}

function pointNode([x, y, inside]) {
  const node = rectangle(inside ? "point" : "point outside", [x, y, x, y]);
  node.textContent = inside ? "+" : "−";
  return node;
}

/** Shows the box that a press would take at the place pointed at. */
function drawHint() {
  find(".overlay .hint")?.remove();
  if (grid?.rows && pointedAt && !drag) find(".overlay").append(rectangle("hint", boxAt(pointedAt)));
}

function draw() {
  const overlay = find(".overlay");
  const waiting = pending() || outdated;
  document.documentElement.classList.toggle("dr-pending", hasPhoto() && waiting);
  drawControls();
  if (!hasPhoto()) return overlay.replaceChildren();
  const nodes = [];
  if (!drag) {
    nodes.push(...(props.regions || []).map((region) => rectangle("region", region.box, "", region.label)));
    nodes.push(...(props.found || []).map((one) => rectangle("region found", one.box, "", one.label)));
    if (!waiting) nodes.push(...(props.views || []).map(viewNode));
  }
  if (box) nodes.push(boxNode(box, pending()));
  const outline = outlineOf();
  if (outline) nodes.push(outlineNode(outline));
  if (drag?.line) nodes.push(outlineNode([drag.line]));
  if (taken && !drag) nodes.push(...taken.points.map(pointNode));
  overlay.replaceChildren(...nodes);
  drawHint();
}

function drawControls() {
  const button = (name) => find(`[data-do="${name}"]`);
  const [status, text] = [find(".status"), hasPhoto() ? statusText() : ""];
  if (status.textContent !== text) status.textContent = text; // or a screen reader reads it out once more
  button("undo").disabled = !states[current - 1];
  button("redo").disabled = !states[current + 1];
  button("out").disabled = view.zoom <= 1;
  button("in").disabled = view.zoom >= MOST_ZOOM;
  const zoom = `${Math.round(100 * view.zoom)}%`;
  button("fit").textContent = zoom;
  button("fit").setAttribute("aria-label", `${zoom}: show the whole photograph`);
  find("[data-points]").hidden = !grid;
  for (const name of ["inside", "outside"]) {
    button(name).disabled = !taken;
    button(name).setAttribute("aria-pressed", String(adding === name));
  }
  button("freehand").setAttribute("aria-pressed", String(adding === "freehand"));
  const offering = hasPhoto() && pending() && !drag;
  button("describe").hidden = !offering;
  if (offering) {
    const [x, y] = [(box[0] + box[2]) / 2 / props.width, box[3] / props.height];
    button("describe").style.setProperty("--x", `${100 * (x * view.zoom - view.left)}%`);
    button("describe").style.setProperty("--y", `${100 * (y * view.zoom - view.top)}%`);
  }
}

function statusText() {
  const size = `${props.width} × ${props.height} px`;
  if (!box) return `${size}. Drag a box around something${grid ? ", or press on it" : ""}.`;
  const [x1, y1, x2, y2] = whole(box);
  const corners = `Box ${x1}, ${y1}, ${x2}, ${y2}`;
  if (!pending()) return `${corners} (${x2 - x1} × ${y2 - y1} of ${size})`;
  const how = matchMedia("(pointer: coarse)").matches ? "Press Describe to read what it is" : "Enter describes it";
  const count = taken.choices.length;
  if (count < 2) return `${corners}. ${how}.`;
  return `${corners}, ${taken.choices.indexOf(chosen(taken)) + 1} of ${count} here. ${how}, another press takes the next.`;
}

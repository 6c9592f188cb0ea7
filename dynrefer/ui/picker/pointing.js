// What a press takes. The grid, which comes once for every photograph, holds the box that a press at each place would
// take, so that pointing shows it and a press takes it without asking; Python then says what else there is at the place.

const SAME = 0.8; // overlap from which two boxes are one choice

// { rows, columns, boxes: x1, y1, x2, y2 of every place as shares of the photograph times 65535 }; without rows where only
// a segmenter knows what a press takes, once it is asked; null where nothing can be pointed at.
let grid = null;

function unpack(packed) {
  if (typeof packed?.boxes !== "string") return null;
  const bytes = Uint8Array.from(atob(packed.boxes), (letter) => letter.charCodeAt(0));
  return { ...packed, boxes: new Uint16Array(bytes.buffer) };
}

/** The box that a press at this place would take. */
function boxAt([x, y]) {
  const row = clamp(Math.floor((y / props.height) * grid.rows), 0, grid.rows - 1);
  const column = clamp(Math.floor((x / props.width) * grid.columns), 0, grid.columns - 1);
  const start = 4 * (row * grid.columns + column);
  return [...grid.boxes.subarray(start, start + 4)].map((share, k) => (share / 65535) * (k % 2 ? props.height : props.width));
}

/**
 * What a first press takes: `points` are [x, y, inside], `choices` { box, outline }, `turns` presses on the same place.
 * Without a grid that is nothing yet.
 */
function takeAt(at) {
  const taken = { points: [[...at, true]], turns: 0 };
  return grid.rows ? arranged(taken, [{ box: boxAt(at) }]) : { ...taken, choices: [{ box: null }], first: 0 };
}

/** The choices from small to large, beginning with `found[0]`; other boxes shown at the place can be reached as well. */
function arranged(taken, found) {
  const choices = [...found];
  const [only, ...more] = taken.points;
  const known = [...(props.found || []), ...(props.regions || [])].filter(({ box }) => !more.length && contains(box, only));
  for (const { box } of known) if (choices.every((choice) => overlap(choice.box, box) < SAME)) choices.push({ box });
  choices.sort((a, b) => area(a.box) - area(b.box));
  return { ...taken, choices, first: choices.indexOf(found[0]) };
}

const LINE_POINTS = 8; // points of a line that are asked about
const CLOSED = 0.25; // how far a line may be from closing, as a share of its longer side

/** What a freehand line takes: where it closes what it runs around, the `line`; else what its points lie on. */
function takeLine(line) {
  const [xs, ys] = [line.map(([x]) => x), line.map(([, y]) => y)];
  const bounds = [Math.min(...xs), Math.min(...ys), Math.max(...xs), Math.max(...ys)];
  const [[x1, y1], [x2, y2]] = [line[0], line.at(-1)];
  const longer = Math.max(bounds[2] - bounds[0], bounds[3] - bounds[1]);
  if (hasArea(whole(bounds)) && Math.hypot(x2 - x1, y2 - y1) <= CLOSED * longer) {
    return { points: [], line, turns: 0, choices: [{ box: bounds, outline: [line] }], first: 0 };
  }
  const every = Math.max(1, (line.length - 1) / (LINE_POINTS - 1));
  const points = line.filter((_, place) => Math.floor(place / every) !== Math.floor((place - 1) / every));
  return { points: points.map((at) => [...at, true]), turns: 0, choices: [{ box: null }], first: 0 };
}

/** The choice that is shown after so many presses. */
const chosen = ({ choices, first, turns }) => choices[(first + turns) % choices.length];

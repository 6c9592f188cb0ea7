// Boxes [x1, y1, x2, y2] and places [x, y] in the original photograph's pixels; nothing here knows the page.
// The picker's scripts are read one after another as a single function, see components.py.

const clamp = (value, low, high) => Math.min(high, Math.max(low, value));
const sorted = ([x1, y1, x2, y2]) => [Math.min(x1, x2), Math.min(y1, y2), Math.max(x1, x2), Math.max(y1, y2)];
const whole = (box) => box && box.map(Math.round);
const hasArea = ([x1, y1, x2, y2]) => x2 - x1 >= 1 && y2 - y1 >= 1;
const area = ([x1, y1, x2, y2]) => (x2 - x1) * (y2 - y1);
const contains = ([x1, y1, x2, y2], [x, y]) => x >= x1 && x < x2 && y >= y1 && y < y2;
const equal = (a, b) => JSON.stringify(a) === JSON.stringify(b);

/** How much two boxes have in common: intersection over union, 0 to 1. */
function overlap(a, b) {
  const common = [Math.max(a[0], b[0]), Math.max(a[1], b[1]), Math.min(a[2], b[2]), Math.min(a[3], b[3])];
  const shared = common[2] > common[0] && common[3] > common[1] ? area(common) : 0;
  return shared / (area(a) + area(b) - shared);
}

/** What a press at this place takes hold of: "" nothing, "move" the inside, else edges as compass letters ("n", "se"). */
function gripAt([x1, y1, x2, y2], [x, y], [rx, ry]) {
  if (x < x1 - rx || x > x2 + rx || y < y1 - ry || y > y2 + ry) return "";
  const vertical = Math.min(Math.abs(y - y1), Math.abs(y - y2)) < ry ? (Math.abs(y - y1) < Math.abs(y - y2) ? "n" : "s") : "";
  const horizontal = Math.min(Math.abs(x - x1), Math.abs(x - x2)) < rx ? (Math.abs(x - x1) < Math.abs(x - x2) ? "w" : "e") : "";
  return vertical + horizontal || "move";
}

/** The box shifted, and kept inside a photograph of [width, height]. */
function moved([x1, y1, x2, y2], dx, dy, [width, height]) {
  const mx = clamp(dx, -x1, width - x2);
  const my = clamp(dy, -y1, height - y2);
  return [x1 + mx, y1 + my, x2 + mx, y2 + my];
}

/** The box with the edges of `grip` shifted as far as the photograph reaches. */
function resized([x1, y1, x2, y2], grip, dx, dy, [width, height]) {
  return sorted([
    grip.includes("w") ? clamp(x1 + dx, 0, width) : x1,
    grip.includes("n") ? clamp(y1 + dy, 0, height) : y1,
    grip.includes("e") ? clamp(x2 + dx, 0, width) : x2,
    grip.includes("s") ? clamp(y2 + dy, 0, height) : y2,
  ]);
}

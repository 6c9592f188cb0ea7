// Has every photograph of the folder, or of the browser's project, described that nothing is known of, one after another,
// while the visitor goes on working. Runs before keeper.js, in the same scope.

let whole = null; // { project, done, total, errors } while it is under way
const passed = []; // keys of those of which nothing is kept: they are not asked for again before the page is loaded anew
let asked = false; // whether an answer is on its way

const isNew = ({ regions, width }) => !regions.length && !width;

async function startWhole() {
  const shown = props.folder ? null : await currentProject();
  if (!props.folder && !shown) return;
  whole = { project: shown?.records[0].project, done: 0, total: countLeft(shown), errors: [] };
  say("");
  await askNext();
}

/** How many photographs are still to be described. */
const countLeft = (shown) => {
  const left = (shown?.records ?? []).filter((record) => isNew(record) && !passed.includes(record.key));
  return props.folder ? props.folder.new - passed.length : left.length;
};

/** Asks for the next photograph; where there is none, says what came of it all. */
async function askNext() {
  if (asked || !whole) return;
  if (props.folder) {
    if (!countLeft()) return endWhole();
    props.value = { passed };
  } else {
    const next = (await members(whole.project)).find((record) => isNew(record) && !passed.includes(record.key));
    if (!next) return endWhole();
    const photo = await sendPhoto(next);
    if (!photo) return pass(next.key, `${next.image} could not be sent.`).then(askNext);
    props.value = { record: next, photo };
  }
  asked = true;
  trigger("wanted");
}

async function hearAnswer() {
  const { key, record, kept, error } = props.answered;
  asked = false;
  if (!key) return endWhole();
  if (record) await keepAnswer(key, record);
  if (kept && whole) whole.done += 1;
  if (!kept) await pass(key, error);
  await askNext();
}

/** Goes on without a photograph, with what there is to say of it. */
async function pass(key, error) {
  passed.push(key);
  if (!whole) return;
  whole.done += 1;
  if (error) whole.errors.push(error);
}

/** Keeps what was found on a photograph of the browser, unless something is known of it by now. */
async function keepAnswer(key, record) {
  const stored = (await allRecords()).find((known) => known.key === key);
  if (!stored || !isNew(stored)) return;
  await put({ ...stored, ...record, time: Date.now() });
  if (key === props.current) await open(key);
}

function endWhole() {
  if (!whole) return;
  const { done, errors } = whole;
  whole = null;
  const told = `${done - errors.length} photograph${done - errors.length === 1 ? "" : "s"} described.`;
  say([told, ...errors.slice(0, 3), errors.length > 3 ? `${errors.length - 3} more could not be.` : ""].join(" "));
}

/** Shows the button that begins and ends it, as long as there is something to describe, and how far it has come. */
function showWhole(shown) {
  const button = element.querySelector("[data-whole]");
  button.hidden = !props.finds || (!whole && !countLeft(shown));
  button.textContent = whole ? "Stop describing" : "Describe all photographs";
  const progress = element.querySelector(".project .dr-progress");
  progress.hidden = !whole;
  if (!whole) return;
  Object.assign(progress.firstChild, { max: whole.total, value: whole.done });
  progress.lastChild.textContent = `${whole.done} of ${whole.total}`;
}

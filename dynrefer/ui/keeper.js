// Keeps photographs with their tables in this browser and offers them while there is no photograph; opens links; leads
// through the photographs of a project, which are several of this browser's or a folder of the server's.
// `element`, `props`, `trigger` and `upload` are given by gr.HTML.
// props: record (what to keep, see `links.record_of`; {} while there is nothing), current (the key of the photograph
// shown, "" while there is none), folder (see `links.folder_of`; null without one), answered and finished (see
// `components.Keeper`).
// Events: "link_opened" with the link's query; "kept_opened" with value = { photo, record }, where `photo` is the
// photograph uploaded again, null where it is an example; "moved" with `step`, `to` (a name) or `review` in the folder;
// "wanted" with value = { photo, record }, or { passed } with a folder: the next to describe; and "saving" with value =
// { lines }, the file of the browser's project (null with a folder).

const CURRENT = "dynrefer.current"; // in the tab's own store: the key of the record on the page, which a reload opens
const FILE_HEAD = '{"dynrefer_project": 1}'; // see `dynrefer.project`

let offered = [];
let cursor = null; // the place in the project that was gone to last, whether it could be opened or not

function say(text) {
  element.querySelector(".note").textContent = text;
}

/** Asks the page to open a kept record again, at the region that was shown, or at the next one to review. */
async function open(key, onwards = false) {
  const record = (await allRecords()).find((known) => known.key === key);
  const photo = record && (await sendPhoto(record));
  if (!record || photo === undefined) return drop([key]).then(() => remember(null));
  if (photo === false) return;
  props.value = { record: onwards ? { ...record, selected: null } : record, photo };
  trigger("kept_opened");
}

/** A record's photograph, sent again; null where it is an example, undefined where there is none, false where that failed. */
async function sendPhoto({ key, image, example }) {
  const photo = await withStore("readonly", (_, photos) => settled(photos.get(key)));
  if (!photo) return example ? null : undefined;
  const sent = await upload(new File([photo], image, { type: photo.type })).catch(() => null);
  say(sent ? "" : "The photograph could not be sent; please try again in a while.");
  return sent ? { path: sent.path, orig_name: image, meta: { _type: "gradio.FileData" } } : false;
}

/** The records of a project, in order. */
async function members(project) {
  return (await allRecords()).filter((record) => record.project === project).sort((a, b) => a.order - b.order);
}

/** The project of the photograph shown: its records, and the place of the one shown; null where it is in none. */
async function currentProject() {
  const every = await allRecords();
  const shown = every.find(({ key }) => key === props.current);
  if (!shown?.project) return null;
  const records = await members(shown.project);
  return { records, place: records.findIndex(({ key }) => key === shown.key) };
}

/** Makes a project of files (or adds them to the one shown), and opens the first of them. */
async function addFiles(files) {
  const shown = await currentProject();
  const project = shown ? shown.records[0].project : crypto.randomUUID?.() ?? String(Math.random());
  const names = new Set((shown?.records ?? []).map(({ image }) => image));
  let order = shown ? shown.records.at(-1).order + 1 : 0;
  let full = false;
  const keys = [];
  for (const file of files) {
    let name = file.name;
    for (let copy = 2; names.has(name); copy += 1) name = file.name.replace(/(\.\w+)?$/, ` (${copy})$1`);
    names.add(name);
    const key = `${project}/${order}`;
    const record = { key, project, order, image: name, width: 0, height: 0, questions: [], regions: [], time: Date.now() };
    try {
      await put({ ...record, example: null, source: null, choices: {}, selected: null }, file);
    } catch {
      full = true;
      break;
    }
    keys.push(key);
    order += 1;
  }
  if (keys.length) await open(keys[0]);
  if (full) say(`This browser has room for ${keys.length} of these ${files.length} photographs.`);
}

/** Goes to another photograph of the folder or of the project. */
async function go(step) {
  say("");
  if (props.folder) return trigger("moved", { step });
  const { records, place } = (await currentProject()) ?? { records: [] };
  const next = Math.min(Math.max((cursor ?? place) + step, 0), records.length - 1);
  if (!records[next] || next === place) return;
  cursor = next;
  await open(records[next].key, true);
}

/** Goes to the next photograph with something to review, or to where the model doubts most. */
async function goOn({ doubt }) {
  say("");
  if (props.folder) {
    if (props.folder.reviewed < props.folder.regions) trigger("moved", { review: true });
    return;
  }
  const { records, place } = (await currentProject()) ?? { records: [] };
  const others = [...records.slice(place + 1), ...records.slice(0, place)].filter(({ regions }) => !regions.every(isReviewed));
  if (doubt) others.sort((a, b) => mostDoubt(b) - mostDoubt(a));
  if (others.length) await open(others[0].key, true);
}

/** See `dynrefer.project.Region.doubt`. */
const mostDoubt = ({ regions }) =>
  Math.max(...regions.filter((region) => !isReviewed(region)).map(({ answer }) => 1 - ((answer.classes?.[0] ?? answer.caption)?.score ?? 0)));

const counts = (records) => ({
  count: records.length,
  regions: records.reduce((sum, { regions }) => sum + regions.length, 0),
  reviewed: records.reduce((sum, { regions }) => sum + regions.filter(isReviewed).length, 0),
});
const isReviewed = ({ status, words }) => status !== "open" || Boolean(words && Object.keys(words).length);

/** Shows where in the folder or project the page is. */
async function showPlace() {
  const shown = props.folder ? null : await currentProject();
  showWhole(shown);
  const known = props.folder ?? (shown && { ...counts(shown.records), place: shown.place, name: shown.records[shown.place].image });
  element.querySelector(".project").hidden = !known;
  element.querySelector(".several").hidden = Boolean(props.folder || props.current);
  for (const own of element.querySelectorAll(".project :is([data-project], [data-several])")) own.hidden = Boolean(props.folder);
  if (props.folder?.trouble) say(props.folder.trouble);
  if (!known) return;
  const place = element.querySelector(".place");
  place.textContent = `Photograph ${known.place + 1} of ${known.count}: ${known.name} · ${known.reviewed} of ${known.regions} reviewed`;
  const [back, on] = element.querySelectorAll("[data-go]");
  back.disabled = (cursor ?? known.place) <= 0;
  on.disabled = (cursor ?? known.place) >= known.count - 1;
}

/** The file of the project shown, see `dynrefer.project`. */
async function projectFile() {
  const { records } = (await currentProject()) ?? { records: [] };
  const lines = records.map(({ image, width, height, questions, regions }) =>
    JSON.stringify({ image, width, height, questions, regions }),
  );
  return [FILE_HEAD, ...lines, ""].join("\n");
}

/** Asks the page for the regions of all photographs in the chosen format. */
async function saveAll() {
  props.value = props.folder ? null : { lines: await projectFile() };
  trigger("saving");
}

async function saveProject() {
  const url = URL.createObjectURL(new Blob([await projectFile()], { type: "application/jsonl" }));
  const link = document.createElement("a");
  link.href = url;
  link.download = "photographs.dynrefer.jsonl";
  link.click();
  URL.revokeObjectURL(url);
}

/** What is offered while there is no photograph: single photographs, and each project as one. */
async function offer() {
  for (const { url } of offered) URL.revokeObjectURL(url);
  const records = props.current || props.folder ? [] : await allRecords();
  const projects = Map.groupBy(records.filter(({ project }) => project), ({ project }) => project);
  const single = records.filter(({ project }) => !project).map((record) => [record]);
  const groups = [...single, ...[...projects.values()].map((group) => group.sort((a, b) => a.order - b.order))];
  const photos = await withStore("readonly", (_, kept) => Promise.all(groups.map(([{ key }]) => settled(kept.get(key)))));
  offered = groups.map((group, place) => ({ group, url: photos[place] ? URL.createObjectURL(photos[place]) : "" }));
  const list = element.querySelector(".offers");
  list.replaceChildren(...offered.map(tile));
  element.querySelector(".offer").hidden = !offered.length;
}

function tile({ group, url }) {
  const [{ image, example, project }] = group;
  const picture = url || document.querySelector(`#examples [data-name="${example}"] img`)?.src || "";
  const { count, regions, reviewed } = counts(group);
  const name = project ? `${count} photographs` : image;
  const item = document.createElement("li");
  item.innerHTML = '<img alt=""><span></span><button type="button" class="dr-quiet" data-back>Bring it back</button>' +
    '<button type="button" class="dr-quiet" data-forget>Forget it</button>';
  item.querySelector("img").src = picture;
  item.querySelector("img").hidden = !picture;
  const told = project ? `${reviewed} of ${regions} reviewed` : `${regions} region${regions === 1 ? "" : "s"}`;
  item.querySelector("span").textContent = `${name}, ${told}`;
  const unfinished = group.find(({ regions }) => !regions.length || !regions.every(isReviewed)) ?? group[0];
  item.querySelector("[data-back]").dataset.keys = JSON.stringify([unfinished.key]);
  item.querySelector("[data-forget]").dataset.keys = JSON.stringify(group.map(({ key }) => key));
  for (const button of item.querySelectorAll("button")) button.setAttribute("aria-label", `${button.textContent}: ${name}`);
  return item;
}

/** Remembers for a reload of this tab which record is on the page. */
function remember(key) {
  try {
    if (key) sessionStorage.setItem(CURRENT, key);
    else sessionStorage.removeItem(CURRENT);
  } catch {
    // this browser keeps nothing
  }
}

function follow() {
  const { record, current, folder } = props;
  cursor = null;
  remember(folder ? `folder:${folder.name}` : current);
  queued(async () => {
    if (record?.key) await keep(record);
    await offer();
    await showPlace();
  });
}

element.addEventListener("click", ({ target }) => {
  const button = target.closest("button");
  if (!button) return;
  const { keys, go: step } = button.dataset;
  if (button.matches("[data-back]")) queued(() => open(JSON.parse(keys)[0]));
  if (button.matches("[data-forget]")) queued(() => drop(JSON.parse(keys)).then(offer));
  if (button.matches("[data-several]")) element.querySelector("input[type=file]").click();
  if (button.matches("[data-project]")) queued(saveProject);
  if (button.matches("[data-all]")) queued(saveAll);
  if (button.matches("[data-whole]")) queued(whole ? endWhole : startWhole).then(() => queued(showPlace));
  if (step) queued(() => go(Number(step)));
});
element.addEventListener("change", ({ target }) => {
  const files = [...target.files];
  target.value = "";
  if (files.length) queued(() => addFiles(files));
});

// A link's query stands behind "?", or behind "#" where it is too long for a request.
const linkIn = (...parts) => parts.map((part) => part.slice(1)).find((part) => new URLSearchParams(part).has("example"));
const link = linkIn(location.search, location.hash);
let reloaded = null;
try {
  reloaded = sessionStorage.getItem(CURRENT);
} catch {
  // this browser keeps nothing
}
watch(["record", "current", "folder"], follow);
watch("answered", () => queued(hearAnswer).then(() => queued(showPlace)));
watch("finished", () => queued(() => goOn(props.finished)));
// Whoever follows a link in a tab wants the link, whoever loads the same page again what was on it.
const again = performance.getEntriesByType("navigation")[0]?.type === "reload";
const wantsLink = link && !(reloaded && again);
queued(async () => {
  if (wantsLink) trigger("link_opened", { query: link });
  else if (props.folder) trigger("moved", { to: reloaded?.startsWith("folder:") ? reloaded.slice(7) : "" });
  else if (reloaded) await open(reloaded);
  await offer();
  await showPlace();
});
// A link of the second kind, pasted into a tab that shows the page already, loads nothing by itself.
window.addEventListener("hashchange", () => {
  const query = linkIn(location.hash);
  if (query) trigger("link_opened", { query });
});

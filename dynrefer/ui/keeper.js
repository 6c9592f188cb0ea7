// Keeps photographs with their tables in this browser and offers them while there is no photograph; opens links.
// `element`, `props`, `trigger` and `upload` are given by gr.HTML.
// props: record (what to keep, see `links.record_of`; null while there is nothing) and offering (no photograph shown).
// Events: "link_opened" with the link's query, and "kept_opened" with value = { photo, record }: `photo` is the
// photograph uploaded again, null where it is an example.

const KEPT = 6; // photographs; older ones go
const RECORDS = "records"; // key -> record, with the time when it was kept
const PHOTOS = "photographs"; // key -> the photograph's file, byte by byte
const CURRENT = "dynrefer.current"; // in the tab's own store: the key of the record on the page, which a reload opens

let offered = [];
let work = Promise.resolve();

function tellBusy(busy) {
  window.dynreferBusy[busy ? "add" : "delete"]("keeper");
  document.dispatchEvent(new Event("dr-busy"));
}

/** Does one thing after another with the store; the page is not idle meanwhile. */
function queued(task) {
  tellBusy(true);
  const mine = (work = work.then(task).catch((error) => console.warn("This browser keeps nothing:", error)));
  mine.then(() => mine === work && tellBusy(false));
  return mine;
}

function settled(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

function openStore() {
  const opening = indexedDB.open("dynrefer", 1);
  opening.onupgradeneeded = () => [RECORDS, PHOTOS].forEach((name) => opening.result.createObjectStore(name));
  return settled(opening);
}

async function withStore(mode, use) {
  const store = await openStore();
  try {
    const transaction = store.transaction([RECORDS, PHOTOS], mode);
    const done = new Promise((resolve, reject) => {
      transaction.oncomplete = resolve;
      transaction.onabort = () => reject(transaction.error);
    });
    const found = await use(transaction.objectStore(RECORDS), transaction.objectStore(PHOTOS));
    await done;
    return found;
  } finally {
    store.close();
  }
}

const newestFirst = (records) => records.sort((a, b) => b.time - a.time);
const allRecords = () => withStore("readonly", (records) => settled(records.getAll())).then(newestFirst);
const known = (key) => withStore("readonly", (_, photos) => settled(photos.getKey(key)));

function drop(keys) {
  return withStore("readwrite", (records, photos) => {
    for (const key of keys) {
      records.delete(key);
      photos.delete(key);
    }
  });
}

async function put(record, photo) {
  await withStore("readwrite", (records, photos) => {
    records.put(record, record.key);
    if (photo) photos.put(photo, record.key);
  });
}

async function download(source) {
  const response = await fetch(source);
  if (!response.ok) throw new Error(`${source} is answered by ${response.status}`);
  return response.blob();
}

/** Keeps a record; where there is no room the oldest ones make it, and at last the photograph stays out. */
async function keep(record) {
  record = { ...record, time: Date.now() };
  const needed = record.source && !(await known(record.key));
  const photo = needed ? await download(record.source) : null;
  const others = (await allRecords()).filter(({ key }) => key !== record.key);
  await drop(others.splice(KEPT - 1).map(({ key }) => key));
  for (;;) {
    try {
      await put(record, photo);
      return;
    } catch (error) {
      if (error?.name !== "QuotaExceededError" || !others.length) throw error;
      await drop([others.pop().key]);
    }
  }
}

function say(text) {
  element.querySelector(".note").textContent = text;
}

/** Asks the page to open a kept record again. */
async function open(key) {
  const [record, photo] = await withStore("readonly", (records, photos) =>
    Promise.all([settled(records.get(key)), settled(photos.get(key))]),
  );
  if (!record || !(photo || record.example)) return drop([key]).then(() => remember(null));
  const file = photo && new File([photo], record.name, { type: photo.type });
  const sent = file && (await upload(file).catch(() => null));
  say(file && !sent ? "The photograph could not be sent; please try again in a while." : "");
  if (file && !sent) return;
  const meta = { _type: "gradio.FileData" };
  props.value = { record, photo: sent && { path: sent.path, orig_name: record.name, meta } };
  trigger("kept_opened");
}

async function offer() {
  for (const { url } of offered) URL.revokeObjectURL(url);
  const records = props.offering ? await allRecords() : [];
  const photos = await withStore("readonly", (_, kept) => Promise.all(records.map(({ key }) => settled(kept.get(key)))));
  offered = records.map((record, place) => ({ ...record, url: photos[place] ? URL.createObjectURL(photos[place]) : "" }));
  const list = element.querySelector(".offers");
  list.replaceChildren(...offered.map(tile));
  element.querySelector(".offer").hidden = !offered.length;
}

function tile({ key, name, rows, url, example }) {
  const picture = url || document.querySelector(`#examples [data-name="${example}"] img`)?.src || "";
  const item = document.createElement("li");
  item.innerHTML = '<img alt=""><span></span><button type="button" class="dr-quiet" data-back>Bring it back</button>' +
    '<button type="button" class="dr-quiet" data-forget>Forget it</button>';
  item.querySelector("img").src = picture;
  item.querySelector("img").hidden = !picture;
  item.querySelector("span").textContent = `${name}, ${rows.length} region${rows.length === 1 ? "" : "s"}`;
  for (const button of item.querySelectorAll("button")) {
    button.dataset.key = key;
    button.setAttribute("aria-label", `${button.textContent}: ${name}`);
  }
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
  const { record } = props;
  if (record || props.offering) remember(record?.key);
  queued(async () => {
    if (record) await keep(record);
    await offer();
  });
}

element.addEventListener("click", (event) => {
  const { key } = event.target.dataset;
  if (event.target.matches("[data-back]")) queued(() => open(key));
  if (event.target.matches("[data-forget]")) queued(() => drop([key]).then(offer));
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
watch(["record", "offering"], follow);
// Whoever follows a link in a tab wants the link, whoever loads the same page again what was on it.
const again = performance.getEntriesByType("navigation")[0]?.type === "reload";
if (reloaded && (again || !link)) queued(() => open(reloaded)).then(() => queued(offer));
else {
  queued(offer);
  if (link) trigger("link_opened", { query: link });
}
// A link of the second kind, pasted into a tab that shows the page already, loads nothing by itself.
window.addEventListener("hashchange", () => {
  const query = linkIn(location.hash);
  if (query) trigger("link_opened", { query });
});

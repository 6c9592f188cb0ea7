// The browser's own store of the keeper: records with their photographs, and the order in which things are done with it.
// Runs before keeper.js, in the same scope.

const KEPT = 6; // photographs that are in no project; older ones go
const RECORDS = "records"; // key -> record, with the time when it was kept
const PHOTOS = "photographs"; // key -> the photograph's file, byte by byte

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
  const opening = indexedDB.open("dynrefer", 2);
  opening.onupgradeneeded = () => {
    for (const name of [RECORDS, PHOTOS]) {
      // records of version 1 had no answers
      if (opening.result.objectStoreNames.contains(name)) opening.result.deleteObjectStore(name);
      opening.result.createObjectStore(name);
    }
  };
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

/** Keeps a record, in its project if it has one; where there is no room the oldest ones without project make it. */
async function keep(record) {
  const every = await allRecords();
  record = { ...every.find(({ key }) => key === record.key), ...record, time: Date.now() };
  const needed = record.source && !(await known(record.key));
  const photo = needed ? await download(record.source) : null;
  const others = every.filter(({ key, project }) => key !== record.key && !project);
  await drop(others.splice(record.project ? KEPT : KEPT - 1).map(({ key }) => key));
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

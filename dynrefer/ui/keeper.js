// Keeps the last question in this browser and offers it while there is no photograph; opens the page's own link.
// `element`, `props`, `trigger` and `watch` are given by gr.HTML.
// props: query (of the question shown, "" while there is none) and offering (while there is no photograph).
// Event: "opened" with the query and, unless it names an example, the photograph as a data URL.

const QUERY = "dynrefer.query";
const PHOTO = "dynrefer.photo";

const isExample = (query) => new URLSearchParams(query).has("example");
const find = (selector) => element.querySelector(selector);

function forget() {
  for (const key of [QUERY, PHOTO]) localStorage.removeItem(key);
}

function keep() {
  if (!props.query) return;
  try {
    const photo = isExample(props.query) ? "" : document.querySelector("#picker .photo").src;
    if (photo !== localStorage.getItem(PHOTO)) localStorage.setItem(PHOTO, photo);
    localStorage.setItem(QUERY, props.query);
  } catch {
    forget(); // there is no room, or the browser keeps nothing
  }
}

function kept() {
  try {
    return { query: localStorage.getItem(QUERY), image: localStorage.getItem(PHOTO) };
  } catch {
    return {};
  }
}

function follow() {
  keep();
  const { query, image } = kept();
  find(".offer").hidden = !props.offering || !query;
  find(".offer img").hidden = !image;
  if (image) find(".offer img").src = image;
}

element.addEventListener("click", (event) => {
  if (event.target.matches("[data-back]")) trigger("opened", kept());
  if (event.target.matches("[data-forget]")) {
    forget();
    follow();
  }
});
watch(["query", "offering"], follow);
follow();
if (isExample(location.search)) trigger("opened", { query: location.search.slice(1) });

// What the whole page does by itself: Ctrl+V chooses a photograph, single keys press buttons, and <html data-idle> says
// whether anything is pending.
// Runs before anything else of the page.
(() => {
  // Ctrl+V anywhere chooses the picture in the clipboard, as long as a photograph is asked for.
  document.addEventListener("paste", (event) => {
    const input = document.querySelector("#photo input[type=file]");
    const picture = [...event.clipboardData.files].find((file) => file.type.startsWith("image/"));
    if (!input || !picture) return;
    const chosen = new DataTransfer();
    chosen.items.add(picture);
    input.files = chosen.files;
    input.dispatchEvent(new Event("change", { bubbles: true }));
  });

  // One key for what a button with data-key does, as long as nobody is writing.
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || !/^[a-z]$/i.test(event.key)) return;
    if (event.target.closest("input, textarea, select, [contenteditable]")) return;
    const button = document.querySelector(`[data-key="${event.key.toLowerCase()}"]`);
    if (!button || button.disabled) return;
    event.preventDefault();
    button.click();
  });

  // The page is idle while no request is under way, no component says that it is busy, and a moment has passed since
  // the visitor last did something or the page changed: what a press starts is asked for some milliseconds after it.
  const MOMENT = 150; // ms
  const REQUESTS = /\/(queue\/join|queue\/data|upload|upload_progress|run\/\w+|cancel)\b/;
  const components = (window.dynreferBusy = new Set()); // names of components that are busy
  const { dataset } = document.documentElement;
  let requests = 0;
  let timer = 0;

  function settle() {
    clearTimeout(timer);
    dataset.idle = "false";
    if (!requests && !components.size) timer = setTimeout(() => (dataset.idle = "true"), MOMENT);
  }
  function begin() {
    requests += 1;
    settle();
  }
  function end() {
    requests -= 1;
    settle();
  }
  for (const kind of ["pointerdown", "pointerup", "click", "keydown", "keyup", "input", "change", "drop", "paste"])
    document.addEventListener(kind, settle, true);
  document.addEventListener("dr-busy", settle); // a component has changed the set
  new MutationObserver(settle).observe(document.documentElement, { childList: true, subtree: true });

  async function drain(stream) {
    const reader = stream.getReader();
    try {
      while (!(await reader.read()).done);
    } catch {
      // the page has closed it
    }
  }

  // An upload that fails tells the visitor so, whatever the server or the network said.
  const UPLOAD = /\/upload\b/;
  async function send(address, request) {
    if (!UPLOAD.test(address)) return fetchPlainly(...request);
    const response = await fetchPlainly(...request).catch(() => null);
    if (response?.ok) return response;
    const sentence = response?.status === 413 ? "The file is too large." : "The file could not be sent; please try again.";
    return new Response(sentence, { status: response?.status ?? 503 });
  }

  const fetchPlainly = window.fetch;
  window.fetch = async (...request) => {
    const address = String(request[0]?.url ?? request[0]);
    if (!REQUESTS.test(address)) return fetchPlainly(...request);
    begin();
    try {
      const response = await send(address, request);
      if (!address.includes("queue/data") || !response.body) {
        end();
        return response;
      }
      // A stream of answers lasts until its body ends, so that it is read here as well.
      const [theirs, ours] = response.body.tee();
      drain(ours).finally(() => end());
      return new Response(theirs, response);
    } catch (error) {
      end();
      throw error;
    }
  };
  settle();
})();

// What the whole page does by itself: Ctrl+V chooses a photograph, single keys press buttons, and <html data-idle> says
// whether anything is pending.
// Runs before anything else of the page.
(() => {
  /** Chooses a photograph as if it had been picked in the dialog, as long as one is asked for. */
  function choose(file) {
    const input = document.querySelector("#photo input[type=file]");
    if (!input) return;
    const chosen = new DataTransfer();
    chosen.items.add(file.type ? file : new File([file], file.name, { type: "image/unknown" }));
    input.files = chosen.files;
    input.dispatchEvent(new Event("change", { bubbles: true }));
  }

  // Ctrl+V anywhere chooses the picture in the clipboard.
  document.addEventListener("paste", (event) => {
    const picture = [...event.clipboardData.files].find((file) => file.type.startsWith("image/"));
    if (picture) choose(picture);
  });

  // Of a kind that the system does not know, as HEIC is to Windows, a browser names no type, and Gradio would refuse the
  // photograph unread.
  for (const kind of ["change", "drop"])
    document.addEventListener(
      kind,
      (event) => {
        const [file] = (kind === "drop" ? event.dataTransfer : event.target).files ?? [];
        if (!file || file.type || !event.target.closest("#photo")) return;
        event.preventDefault();
        event.stopImmediatePropagation();
        event.target.dispatchEvent(new DragEvent("dragleave", { bubbles: true }));
        choose(file);
      },
      true,
    );

  // One key for what a button with data-key does, as long as nobody is writing; Ctrl+Z is U, but on the photograph,
  // whose boxes have an undo of their own.
  document.addEventListener("keydown", (event) => {
    if (event.altKey || event.repeat || event.defaultPrevented || !/^[a-z]$/i.test(event.key)) return;
    if (event.target.closest("input, textarea, select, [contenteditable]")) return;
    const letter = event.key.toLowerCase();
    const undoes = (event.ctrlKey || event.metaKey) && !event.shiftKey && letter === "z" && !event.target.closest("#picker");
    if ((event.ctrlKey || event.metaKey) && !undoes) return;
    const button = document.querySelector(`[data-key="${undoes ? "u" : letter}"]`);
    if (!button || button.disabled) return;
    if (button.getAttribute("aria-pressed") === "true") return; // whoever holds on to A accepts, and takes nothing back
    event.preventDefault();
    button.click();
  });

  // The page is idle while no request is under way, no event waits for its answer, no component says that it is busy, and
  // a moment has passed since the visitor last did something or the page changed: what a press starts is asked for some
  // milliseconds after it. That the stream of answers is open means nothing: where an event is answered before the page
  // has read its number, Gradio opens a stream on which nothing will ever come.
  const MOMENT = 150; // ms
  const REQUESTS = /\/(queue\/join|upload|upload_progress|run\/\w+|cancel)\b/;
  const ANSWERS = /\/queue\/data\b/;
  const components = (window.dynreferBusy = new Set()); // names of components that are busy
  const waiting = new Set(); // numbers of events without an answer
  const early = new Set(); // numbers of events whose answer came before the number
  const { dataset } = document.documentElement;
  let requests = 0;
  let timer = 0;

  function settle() {
    clearTimeout(timer);
    dataset.idle = "false";
    if (!requests && !waiting.size && !components.size) timer = setTimeout(() => (dataset.idle = "true"), MOMENT);
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

  function joined({ event_id: number }) {
    if (number && !early.delete(number)) waiting.add(number);
  }
  function answered(number) {
    if (!waiting.delete(number)) early.add(number);
    settle();
  }

  /** Reads the messages of a stream of answers, one `data:` line each. */
  async function follow(stream) {
    const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    let over = false; // the server has said that nothing waits any more, whereupon Gradio breaks the stream off
    try {
      for (let { done, value } = await reader.read(); !done; { done, value } = await reader.read()) {
        const lines = (rest + value).split("\n");
        rest = lines.pop();
        for (const line of lines.filter((one) => one.startsWith("data:"))) {
          const { msg, event_id: number } = JSON.parse(line.slice(5));
          if (msg === "process_completed") answered(number);
          over ||= msg === "close_stream";
        }
      }
    } catch {
      if (!over) waiting.clear(); // of a stream that breaks Gradio tells the visitor
      settle();
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
    if (ANSWERS.test(address)) {
      const response = await fetchPlainly(...request);
      if (!response.body) return response;
      const [theirs, ours] = response.body.tee();
      follow(ours);
      return new Response(theirs, response);
    }
    if (!REQUESTS.test(address)) return fetchPlainly(...request);
    begin();
    try {
      const response = await send(address, request);
      if (address.includes("/queue/join") && response.ok) joined(await response.clone().json());
      return response;
    } finally {
      end();
    }
  };
  settle();
})();

// What the whole page does by itself: Ctrl+V chooses a photograph, and <body data-idle> says whether anything is pending.
() => {
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

  // The page is idle while no request is under way, no component says that it is busy, and a moment has passed since
  // the visitor last did something: what a press starts is asked for only some milliseconds after it.
  const MOMENT = 150; // ms
  const REQUESTS = /\/(queue\/join|queue\/data|upload|upload_progress|run\/\w+|cancel)\b/;
  const busy = new Map(); // who -> how many things of theirs are pending
  let timer = 0;

  function settle() {
    clearTimeout(timer);
    document.body.dataset.idle = "false";
    if (!busy.size) timer = setTimeout(() => (document.body.dataset.idle = "true"), MOMENT);
  }
  function begin(who) {
    busy.set(who, 1 + (busy.get(who) || 0));
    settle();
  }
  function end(who) {
    const left = (busy.get(who) || 0) - 1;
    if (left > 0) busy.set(who, left);
    else busy.delete(who);
    settle();
  }
  for (const kind of ["pointerdown", "pointerup", "click", "keydown", "keyup", "input", "change", "drop", "paste"])
    document.addEventListener(kind, settle, true);
  document.addEventListener("dr-busy", (event) => busy.set(event.detail, 1) && settle());
  document.addEventListener("dr-done", (event) => busy.delete(event.detail) && settle());

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
    begin(address);
    try {
      const response = await send(address, request);
      if (!address.includes("queue/data") || !response.body) {
        end(address);
        return response;
      }
      // A stream of answers lasts until its body ends, so that it is read here as well.
      const [theirs, ours] = response.body.tee();
      drain(ours).finally(() => end(address));
      return new Response(theirs, response);
    } catch (error) {
      end(address);
      throw error;
    }
  };
  settle();
}

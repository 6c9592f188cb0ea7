// What every panel does: its copy buttons copy, its other buttons tell Python which of them was pressed, texts are
// written anew in their place, and pointing at a view lights it up on the photograph.
// `element`, `props` and `trigger` are given by gr.HTML. Event: "pressed" with the button's data attributes.

// A live region has to be there before its content comes, or the first answer is not read out.
if (props.live) element.setAttribute("aria-live", "polite");

// Browsers let a page copy on https and on this machine only; elsewhere the copy buttons are hidden.
element.classList.toggle("dr-no-copy", !navigator.clipboard);

/** Lets a person write in the place of a text: Enter and leaving it say it, Escape leaves it as it was. */
function write(text) {
  const before = text.textContent;
  text.contentEditable = "plaintext-only";
  text.focus();
  getSelection().selectAllChildren(text);
  text.onkeydown = (event) => {
    if (event.key === "Escape") text.textContent = before;
    if (event.key === "Enter" || event.key === "Escape") {
      event.preventDefault();
      text.blur();
      element.querySelector(`[data-write="${text.dataset.edit}"]`)?.focus({ preventScroll: true });
    }
  };
  text.onblur = () => {
    text.removeAttribute("contenteditable");
    const value = text.textContent.trim();
    if (value && value !== before) trigger("pressed", { say: text.dataset.edit, value });
    else text.textContent = before;
  };
}

// Where the control that had the focus goes with what it stood beside, whoever works by the keyboard goes on in this panel.
let held = null;
element.addEventListener("focusin", ({ target }) => (held = target));
new MutationObserver(() => {
  if (!held || held.isConnected || document.activeElement !== document.body) return;
  held = null;
  element.querySelector("button")?.focus({ preventScroll: true });
}).observe(element, { childList: true, subtree: true });

element.addEventListener("dblclick", (event) => {
  const text = event.target.closest("[data-edit]");
  if (text && !text.isContentEditable) write(text);
});

// A word typed into a field is said by Enter.
element.addEventListener("keydown", (event) => {
  const { say, so } = event.target.dataset;
  if (event.key !== "Enter" || !say || !event.target.value?.trim()) return;
  event.preventDefault();
  trigger("pressed", { say, so, value: event.target.value.trim() });
  event.target.value = ""; // the field may stay where the rest of the panel is new
});

element.addEventListener("click", async (event) => {
  // A press anywhere on a row of the table shows its region.
  const button = event.target.closest("button") ?? event.target.closest("tr")?.querySelector("[data-select]");
  if (!button) return;
  if (button.dataset.write) {
    write(element.querySelector(`[data-edit="${button.dataset.write}"]`));
    return;
  }
  const { copy, link } = button.dataset;
  if (copy === undefined && link === undefined) {
    trigger("pressed", { ...button.dataset });
    return;
  }
  await navigator.clipboard.writeText(copy ?? new URL(link, location.href.split(/[?#]/)[0]).href);
  const label = button.textContent;
  button.textContent = "Copied";
  setTimeout(() => (button.textContent = label), 1200);
});

function lightUp(event, on) {
  const view = event.target.closest("[data-t]");
  if (!view) return;
  for (const drawn of document.querySelectorAll(`#picker .view[data-t="${view.dataset.t}"]`)) drawn.classList.toggle("pointed", on);
}
element.addEventListener("pointerover", (event) => lightUp(event, true));
element.addEventListener("pointerout", (event) => lightUp(event, false));

// What every panel does: its copy buttons copy, its other buttons tell Python which of them was pressed.
// `element` and `trigger` are given by gr.HTML. Event: "pressed" with the button's data attributes.

element.addEventListener("click", async (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  if (button.dataset.copy === undefined) {
    trigger("pressed", { ...button.dataset });
    return;
  }
  await navigator.clipboard.writeText(button.dataset.copy);
  const label = button.textContent;
  button.textContent = "Copied";
  setTimeout(() => (button.textContent = label), 1200);
});

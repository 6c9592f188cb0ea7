// Ctrl+V anywhere chooses the picture in the clipboard, as long as a photograph is asked for.
() => {
  document.addEventListener("paste", (event) => {
    const input = document.querySelector("#photo input[type=file]");
    const picture = [...event.clipboardData.files].find((file) => file.type.startsWith("image/"));
    if (!input || !picture) return;
    const chosen = new DataTransfer();
    chosen.items.add(picture);
    input.files = chosen.files;
    input.dispatchEvent(new Event("change", { bubbles: true }));
  });
}

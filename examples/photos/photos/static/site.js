// Small comforts; everything works without them.
"use strict";

const LARGEST = 20 * 1024 * 1024;

for (const form of document.querySelectorAll("form[data-upload]")) {
  const input = form.querySelector("input[type=file]");
  const name = form.querySelector("[data-name]");
  const button = form.querySelector("button");
  const said = name.textContent;

  const show = () => {
    const file = input.files[0];
    const tooLarge = file && file.size > LARGEST;
    name.textContent = file ? file.name : said;
    input.setCustomValidity(tooLarge ? "This is more than 20 MB. Choose a smaller picture." : "");
    form.classList.toggle("chosen", Boolean(file));
    if (tooLarge) input.reportValidity();
  };
  input.addEventListener("change", show);

  for (const kind of ["dragover", "dragleave", "drop"]) {
    form.addEventListener(kind, (event) => {
      event.preventDefault();
      form.classList.toggle("over", kind === "dragover");
      if (kind === "drop" && event.dataTransfer.files.length) {
        input.files = event.dataTransfer.files;
        show();
      }
    });
  }

  form.addEventListener("submit", () => {
    button.disabled = true;
    button.textContent = "Uploading…";
  });
  // A page that the browser kept, shown again by its back button.
  window.addEventListener("pageshow", () => {
    button.disabled = false;
    button.textContent = "Upload";
    show();
  });
}

document.addEventListener("keydown", (event) => {
  const rel = { ArrowLeft: "prev", ArrowRight: "next" }[event.key];
  const isTyping = event.target.closest("input, textarea") !== null;
  const link = rel && !isTyping && !event.altKey && !event.ctrlKey && !event.metaKey && document.querySelector(`a[href][rel=${rel}]`);
  if (link) link.click();
});

// The little that htmx leaves over: dialogs, never a row twice, staying at the end, and the offline page.
"use strict";

document.addEventListener("click", (event) => {
  const opener = event.target.closest("[data-opens]");
  if (opener) document.getElementById(opener.dataset.opens)?.showModal();
  if (event.target.closest("[data-closes]")) event.target.closest("dialog").close();
});

const atEnd = () => window.innerHeight + window.scrollY > document.body.scrollHeight - 160;
const toEnd = () => window.scrollTo({ top: document.body.scrollHeight });
let follow = true;
window.addEventListener("scroll", () => { follow = atEnd(); }, { passive: true });
window.addEventListener("load", () => { if (document.getElementById("rows")) toEnd(); });

// A connection that was lost and found again may send rows once more: those that are there already are dropped.
document.addEventListener("htmx:sseBeforeMessage", (event) => {
  const message = event.detail;
  if (message.type === "rows") {
    const rows = new DOMParser().parseFromString(message.data, "text/html").body.children;
    const known = [...rows].filter((row) => row.id.startsWith("e") && document.getElementById(row.id));
    if (known.length && known.length === [...rows].filter((row) => row.id.startsWith("e")).length) event.preventDefault();
  }
  // A card is not replaced under a person who is reading its dialog, or its folded output.
  if (message.type === "card" && document.querySelector("#card dialog[open]")) {
    const head = document.querySelector("#card .card")?.dataset.head;
    if (message.data.includes(`data-head="${head}"`)) event.preventDefault();
  }
});
document.addEventListener("htmx:sseMessage", () => { if (follow) toEnd(); });

// Enter sends on a keyboard; on a phone it is a new line.
document.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && event.target.matches(".reply textarea") && matchMedia("(hover: hover)").matches) {
    event.preventDefault();
    event.target.form.requestSubmit();
  }
});

if ("serviceWorker" in navigator) navigator.serviceWorker.register("/sw.js");

// What pages of the console do beyond htmx. Each works without it too.
"use strict";

// Shows what the server says of a campaign that is under way. Without it, the
// page is loaded anew every few seconds.
for (const section of document.querySelectorAll("[data-events]")) {
  const events = new EventSource(section.dataset.events);
  events.onmessage = (message) => {
    const now = JSON.parse(message.data);
    if (now.ended) {
      events.close();
      location.reload();
      return;
    }
    for (const element of document.querySelectorAll("[data-live]")) {
      const value = now[element.dataset.live];
      if (value === undefined) continue;
      if (element.tagName === "PROGRESS") element.value = value;
      else if (element.textContent !== value) element.textContent = value;
    }
  };
}

// Dialogs: a button with data-opens shows the dialog of that id; data-closes
// closes the one around it. A menu closes when one looks elsewhere.
document.addEventListener("click", (event) => {
  const opener = event.target.closest("[data-opens]");
  const dialog = opener && document.getElementById(opener.dataset.opens);
  if (dialog) {
    event.preventDefault();
    dialog.showModal();
  }
  if (event.target.closest("[data-closes]")) event.target.closest("dialog").close();
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    if (!menu.contains(event.target)) menu.open = false;
  }
});
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  for (const menu of document.querySelectorAll("details.menu[open]")) menu.open = false;
});

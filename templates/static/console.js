// Shows what the server says of a campaign that is under way. Without it, the
// page is loaded anew every few seconds.
"use strict";
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
      else element.textContent = value;
    }
  };
}

// What pages of the console do beyond htmx. Each works without it too.
"use strict";

// Puts the parts of a page in place that have changed, as the server tells of a
// campaign that is under way. A connection that is lost is opened again, also when
// a proxy answers meanwhile, and everything is told anew. Without this, the page is
// loaded anew every few seconds.
const listen = (section, wait) => {
  const broken = document.getElementById("broken");
  const events = new EventSource(section.dataset.events);
  events.onopen = () => {
    broken.hidden = true;
    wait = 1000;
  };
  events.onerror = () => {
    if (broken.hidden) {
      broken.textContent = broken.dataset.text.replace("%s", broken.dataset.at);
      broken.hidden = false;
    }
    if (events.readyState !== EventSource.CLOSED) return; // the browser tries again itself
    setTimeout(async () => {
      // A page that leads elsewhere leads to the login.
      const page = await fetch(location.href, { method: "HEAD", redirect: "manual", cache: "no-store" }).catch(() => undefined);
      if (page && page.type === "opaqueredirect") location.reload();
      else listen(section, Math.min(wait * 2, 30000));
    }, wait);
  };
  events.onmessage = (message) => {
    const news = JSON.parse(message.data);
    broken.dataset.at = news.at;
    for (const [id, html] of Object.entries(news.parts)) {
      const part = document.getElementById(id);
      if (part && part.innerHTML.trim() !== html.trim()) part.innerHTML = html;
    }
    if (news.ended || (news.launched && "launch" in section.dataset)) {
      events.close();
      location.reload();
    }
  };
};
for (const section of document.querySelectorAll("[data-events]")) listen(section, 1000);

// On a phone a report begins with its sections folded. What is printed is whole.
const fold = (within) => {
  if (!window.matchMedia("(max-width: 45rem)").matches) return;
  for (const section of within.querySelectorAll("details.fold:not([data-stays])")) {
    if ("#" + section.id !== location.hash) section.open = false;
  }
};
fold(document);
window.addEventListener("beforeprint", () => {
  for (const section of document.querySelectorAll("details.fold")) section.open = true;
});
for (const button of document.querySelectorAll("[data-prints]")) {
  button.hidden = false;
  button.addEventListener("click", () => window.print());
}
// A report that was waited for begins so, too.
document.addEventListener("htmx:afterSwap", (event) => {
  if (event.detail.target.id === "report") fold(document);
});

// Where one is shows, also where the ways are wider than the screen.
const showWhere = () => {
  for (const way of document.querySelectorAll(".tabs, .top nav")) {
    const current = way.querySelector("[aria-current]");
    if (current) way.scrollLeft = current.offsetLeft - way.offsetLeft - (way.clientWidth - current.offsetWidth) / 2;
  }
};
showWhere();
window.addEventListener("resize", showWhere);

// A form that waits for something is sent when it is there.
document.addEventListener("htmx:load", (event) => {
  const form = document.getElementById(event.detail.elt.dataset.submits);
  if (form) form.requestSubmit();
});

// What was done is told once, not again by each reload.
const here = new URL(location.href);
if (here.searchParams.has("done")) {
  here.searchParams.delete("done");
  history.replaceState(history.state, "", here);
}

// A new user is told times as where the browser is.
for (const zone of document.querySelectorAll("[data-zone]")) zone.value = Intl.DateTimeFormat().resolvedOptions().timeZone;

// Frames with data-fits are as high as the page within, which may show a logo that
// is only chosen yet. To choose a colour is to want one's own.
let logo = "";
const dress = (frame) => {
  const page = frame.contentDocument;
  if (!page || !page.body) return;
  const card = page.querySelector(".card");
  if (logo && card) {
    const picture = page.querySelector(".logo") || card.insertBefore(page.createElement("img"), card.firstChild);
    picture.className = "logo";
    picture.onload = () => fit(frame);
    picture.src = logo;
  }
  fit(frame);
};
const fit = (frame) => {
  frame.style.height = "0";
  frame.style.height = `${frame.contentDocument.documentElement.scrollHeight + 2}px`;
};
document.addEventListener("load", (event) => {
  if (event.target.matches?.("[data-fits]")) dress(event.target);
}, true);
for (const frame of document.querySelectorAll("[data-fits]")) dress(frame);
window.addEventListener("resize", () => {
  for (const frame of document.querySelectorAll("[data-fits]")) fit(frame);
});
document.addEventListener("change", (event) => {
  if (!event.target.matches("[data-logo]")) return;
  URL.revokeObjectURL(logo);
  const [file] = event.target.files;
  logo = file ? URL.createObjectURL(file) : "";
  for (const frame of document.querySelectorAll("[data-fits]")) dress(frame);
});
document.addEventListener("input", (event) => {
  if (!event.target.matches("[data-chooses]")) return;
  const own = event.target.closest("fieldset").querySelector('[type=radio][value=""]');
  if (own) own.checked = true;
}, true);

// A button with data-copies copies what the field of that id holds, and says so.
document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copies]");
  if (!button) return;
  const field = document.getElementById(button.dataset.copies);
  field.select();
  // Without https a page may not write to the clipboard by itself.
  const copied = await navigator.clipboard?.writeText(field.value).then(() => true, () => false);
  if (copied || document.execCommand("copy")) button.textContent = button.dataset.copied;
});

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

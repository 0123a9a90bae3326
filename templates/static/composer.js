// Saves what is written, shows what it looks like and what is found in it. All of
// it works without this script too: by the buttons of the form.
"use strict";
(() => {
  const form = document.querySelector("[data-autosave]");
  const status = document.getElementById("saved");
  if (!form || !status) return;

  const editors = {};
  for (const textarea of form.querySelectorAll("[data-editor]")) {
    if (window.jatakEditor) editors[textarea.dataset.editor] = window.jatakEditor(textarea);
  }

  // One save at a time. What is typed meanwhile is saved after it.
  const quiet = 700; // ms without typing
  const patience = 1500; // ms of typing on
  const retry = 3000;
  let timer, since = 0, changed = false, saving = false, held = false, leaving = false;
  let waiting; // a button that was pressed while a save was under way

  const body = () => {
    const data = new URLSearchParams(new FormData(form));
    data.set("do", "stay");
    return data;
  };

  const later = (delay) => {
    clearTimeout(timer);
    timer = setTimeout(save, delay);
  };

  const save = async () => {
    if (saving || held || !changed) return;
    saving = true;
    changed = false;
    since = 0;
    status.textContent = status.dataset.saving;
    let answer, response;
    try {
      response = await fetch(form.action, { method: "POST", body: body(), headers: { "X-Autosave": "1" }, redirect: "error" });
      answer = await response.json();
    } catch {
      // The server is away: what is written stays here, and is tried again.
    }
    saving = false;
    if (!response || !answer || response.status === 401) {
      // Nothing leaves the page: it would be lost at the login.
      changed = true;
      waiting = undefined;
      status.textContent = response && response.status === 401 ? status.dataset.ended : status.dataset.failed;
      later(retry);
      return;
    }
    if (waiting) {
      held = true;
      if (response.ok) form.elements.version.value = answer.version;
      const button = waiting;
      waiting = undefined;
      form.requestSubmit(button);
      return;
    }
    status.textContent = answer.text;
    if (response.ok) {
      form.elements.version.value = answer.version;
      if (changed) later(quiet);
      else refresh();
      return;
    }
    changed = true;
    if (response.status === 409) conflict(answer);
  };

  const banner = document.getElementById("conflict");
  const conflict = (answer) => {
    held = true;
    status.textContent = "";
    banner.querySelector("p").textContent = answer.text;
    banner.hidden = false;
    banner.querySelector("[data-overwrite]").onclick = () => {
      form.elements.version.value = answer.version;
      banner.hidden = true;
      held = false;
      save();
    };
  };

  form.addEventListener("input", (event) => {
    if (event.target.name === "new_language" || event.target.name === "copy") return;
    const now = Date.now();
    if (!changed) since = now;
    changed = true;
    later(Math.max(0, Math.min(quiet, since + patience - now)));
  });
  // A condition that comes or goes by a button of the filter is a change too.
  form.addEventListener("htmx:afterSwap", (event) => {
    if (event.detail.target.id !== "filter") return;
    changed = true;
    later(quiet);
  });
  form.addEventListener("submit", (event) => {
    clearTimeout(timer);
    if (saving || (changed && !held)) {
      event.preventDefault();
      waiting = event.submitter;
      save();
      return;
    }
    held = true; // the form itself saves, over the version that the last save made
    leaving = true;
  });
  window.addEventListener("beforeunload", (event) => {
    if (changed && !leaving) event.preventDefault();
  });
  window.addEventListener("pagehide", () => {
    if (changed && !leaving && !held) fetch(form.action, { method: "POST", body: body(), headers: { "X-Autosave": "1" }, keepalive: true });
  });
  // A page from the browser's memory may hold an old version.
  window.addEventListener("pageshow", (event) => {
    if (event.persisted) location.reload();
  });

  // What is shown beside the text follows what is saved.
  const refresh = () => {
    const preview = document.getElementById("preview-form");
    if (preview) htmx.trigger(preview, "refresh");
    const reach = document.getElementById("reach-now");
    if (reach) htmx.trigger(reach, "refresh");
    const findings = document.getElementById("findings");
    if (findings) htmx.ajax("GET", findings.dataset.findings, { target: "#findings", swap: "outerHTML" });
  };

  // A finding leads to its line.
  document.addEventListener("click", (event) => {
    const place = event.target.closest("[data-line]");
    if (!place) return;
    const editor = editors[place.dataset.part];
    if (editor) {
      editor.go(Number(place.dataset.line));
      editor.host.scrollIntoView({ block: "center" });
    } else if (place.dataset.part === "text") {
      const text = form.elements.text;
      text.closest("details").open = true;
      text.focus();
    }
  });

  // Buttons that write: marks into the source, fields wherever one was last.
  const insert = document.getElementById("insert");
  const source = Object.values(editors)[0];
  if (insert && source) {
    let line; // the one-line field that one was in last; none: the source
    form.addEventListener("focusin", (event) => {
      if (event.target.matches("[name=subject], [name=preheader], textarea[name=text]")) line = event.target;
      else if (event.target === source.host) line = undefined;
    });
    insert.addEventListener("click", (event) => {
      const button = event.target.closest("button");
      if (!button) return;
      const { field, mark, before, after, words } = button.dataset;
      if (field && line) {
        line.setRangeText(field, line.selectionStart, line.selectionEnd, "end");
        line.dispatchEvent(new Event("input", { bubbles: true }));
        line.focus();
        return;
      }
      const { view } = source;
      const { from, to } = view.state.selection.main;
      if (field) view.dispatch(view.state.replaceSelection(field));
      else if (mark) view.dispatch({ changes: { from: view.state.doc.lineAt(from).from, insert: mark } });
      else {
        const chosen = view.state.sliceDoc(from, to) || words;
        const anchor = from + before.length;
        view.dispatch({ changes: { from, to, insert: before + chosen + after }, selection: { anchor, head: anchor + chosen.length } });
      }
      view.focus();
    });
    insert.hidden = false;
    document.getElementById("fields").hidden = true;
  }
})();

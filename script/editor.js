// The editor of mails: CodeMirror over a textarea, which it keeps up to date, so
// that a form is sent as without it. It lives in a shadow root: there its styles
// are style sheets that a script makes, which a strict Content-Security-Policy
// allows, and not style elements, which it forbids.
import { EditorState, Compartment } from "@codemirror/state";
import { EditorView, keymap, lineNumbers, highlightActiveLine, drawSelection } from "@codemirror/view";
import { defaultKeymap, history, historyKeymap } from "@codemirror/commands";
import { bracketMatching, foldGutter, foldKeymap, HighlightStyle, syntaxHighlighting } from "@codemirror/language";
import { search, searchKeymap } from "@codemirror/search";
import { html } from "@codemirror/lang-html";
import { markdown } from "@codemirror/lang-markdown";
import { tags } from "@lezer/highlight";

const look = {
  "&": { height: "100%", color: "var(--ink)", backgroundColor: "var(--card)", fontSize: "14px" },
  "&.cm-focused": { outline: "none" },
  ".cm-scroller": { fontFamily: 'ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace', lineHeight: "1.6" },
  ".cm-gutters": { backgroundColor: "var(--back)", color: "var(--soft)", border: "0" },
  ".cm-activeLine": { backgroundColor: "color-mix(in srgb, var(--notice) 40%, transparent)" },
  ".cm-cursor": { borderLeftColor: "var(--ink)" },
  "&.cm-focused .cm-selectionBackground, .cm-selectionBackground": { backgroundColor: "color-mix(in srgb, var(--focus) 28%, transparent) !important" },
  ".cm-panels": { backgroundColor: "var(--back)", color: "var(--ink)" },
  ".cm-foldPlaceholder": { backgroundColor: "var(--track)", borderColor: "var(--rule)", color: "var(--ink)" },
};

// Contrast of each is at least 4.5:1 on the card (WCAG 2.2 AA).
const light = HighlightStyle.define([
  { tag: [tags.tagName, tags.heading], color: "#0b6e4f", fontWeight: "600" },
  { tag: [tags.attributeName, tags.propertyName], color: "#7a4d00" },
  { tag: [tags.attributeValue, tags.string, tags.url, tags.link], color: "#1b4f9c" },
  { tag: [tags.comment, tags.meta, tags.processingInstruction], color: "#55625c" },
  { tag: [tags.number, tags.atom, tags.color, tags.unit], color: "#8a2f6b" },
  { tag: [tags.keyword, tags.className], color: "#5b3fa0" },
  { tag: tags.invalid, color: "#a3261c" },
  { tag: tags.strong, fontWeight: "700" },
  { tag: tags.emphasis, fontStyle: "italic" },
]);
const dark = HighlightStyle.define([
  { tag: [tags.tagName, tags.heading], color: "#58c79c", fontWeight: "600" },
  { tag: [tags.attributeName, tags.propertyName], color: "#f0c36d" },
  { tag: [tags.attributeValue, tags.string, tags.url, tags.link], color: "#8ab8ff" },
  { tag: [tags.comment, tags.meta, tags.processingInstruction], color: "#a9b6b0" },
  { tag: [tags.number, tags.atom, tags.color, tags.unit], color: "#f2a7d4" },
  { tag: [tags.keyword, tags.className], color: "#c3b1ff" },
  { tag: tags.invalid, color: "#ff9a8f" },
  { tag: tags.strong, fontWeight: "700" },
  { tag: tags.emphasis, fontStyle: "italic" },
]);

window.jatakEditor = (textarea) => {
  const host = document.createElement("div");
  host.className = "editor-host";
  textarea.after(host);
  const root = host.attachShadow({ mode: "open" });
  const inner = document.createElement("div");
  root.append(inner);
  const sheet = new CSSStyleSheet();
  sheet.replaceSync("div:first-child { height: 100% } .cm-editor { height: 100% }");
  root.adoptedStyleSheets = [sheet];
  const scheme = matchMedia("(prefers-color-scheme: dark)");
  const colours = new Compartment();
  const theme = () => [EditorView.theme(look, { dark: scheme.matches }), syntaxHighlighting(scheme.matches ? dark : light)];
  const language = textarea.dataset.editor === "markdown" ? markdown() : html();
  const view = new EditorView({
    root,
    parent: inner,
    state: EditorState.create({
      doc: textarea.value,
      extensions: [
        lineNumbers(), foldGutter(), history(), drawSelection(), bracketMatching(), highlightActiveLine(), search({ top: true }),
        keymap.of([...defaultKeymap, ...historyKeymap, ...searchKeymap, ...foldKeymap]),
        EditorView.lineWrapping, language, colours.of(theme()),
        EditorView.contentAttributes.of({ "aria-label": textarea.dataset.label, spellcheck: "true", lang: textarea.lang }),
        EditorView.updateListener.of((update) => {
          if (!update.docChanged) return;
          textarea.value = update.state.doc.toString();
          textarea.dispatchEvent(new Event("input", { bubbles: true }));
        }),
      ],
    }),
  });
  scheme.addEventListener("change", () => view.dispatch({ effects: colours.reconfigure(theme()) }));
  textarea.hidden = true;
  return {
    host,
    view,
    go(line) {
      const at = view.state.doc.line(Math.min(Math.max(1, line), view.state.doc.lines));
      view.dispatch({ selection: { anchor: at.from, head: at.to }, effects: EditorView.scrollIntoView(at.from, { y: "center" }) });
      view.focus();
    },
  };
};

// The page of a policy's text: a panel that keeps up with the text.
"use strict";

(() => {
  const WAIT = 400;
  const form = document.querySelector("[data-editor]");
  if (!form) return;
  const area = form.querySelector("textarea");
  const panel = form.querySelector("[data-panel]");
  const cursor = form.querySelector("[data-cursor]");
  const preview = {
    card: form.querySelector("[data-preview-card]"),
    text: form.querySelector("[data-preview-text]"),
    more: form.querySelector("[data-preview-more]"),
    stop: null,
    last: null,
  };
  let timer = 0;
  let asked = 0;
  let saved = area.value;

  function tell({ row, column }) {
    cursor.textContent = `line ${row + 1}, column ${column + 1}`;
  }

  function show(answer) {
    const held = panel.contains(document.activeElement) ? document.activeElement.dataset : null;
    panel.innerHTML = answer.panel;
    if (held) panel.querySelector(`[data-line="${held.line}"][data-column="${held.column}"]`)?.focus();
    const isWrong = answer.marks.some((mark) => mark.kind === "error");
    area.setAttribute("aria-invalid", String(isWrong));
    form.dataset.state = isWrong ? "wrong" : "right";
    area.editor?.mark(answer.marks);
    if (!isWrong) replay(2000, null);
  }

  const rest = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));

  // Ask for short steps until all decisions are compared, or until a newer text aborts them.
  async function replay(most, from) {
    if (!form.dataset.preview) return;
    preview.stop?.abort();
    const stop = (preview.stop = new AbortController());
    const token = form.querySelector("input[name=csrfmiddlewaretoken]").value;
    let step = from;
    preview.card.hidden = false;
    preview.card.dataset.state = "running";
    preview.more.hidden = true;
    try {
      for (;;) {
        const sent = { document: area.value, most, cursor: step?.cursor || "", ...step?.counts };
        const options = { method: "POST", body: new URLSearchParams(sent), headers: { "X-CSRFToken": token } };
        const answer = await fetch(form.dataset.preview, { ...options, signal: stop.signal });
        if (!answer.ok) throw new Error(String(answer.status));
        const found = await answer.json();
        if (stop.signal.aborted) return;
        if (found.state === "busy") {
          await rest(found.retry_ms);
          if (stop.signal.aborted) return;
          continue;
        }
        preview.text.textContent = found.text;
        preview.card.dataset.state = found.state;
        preview.card.hidden = found.state === "invalid";
        if (found.state !== "running") {
          preview.more.hidden = !found.has_more;
          preview.last = found;
          return;
        }
        step = found;
      }
    } catch {
      if (!stop.signal.aborted) preview.card.dataset.state = "unknown";
    }
  }

  async function check() {
    const turn = ++asked;
    const body = new URLSearchParams({ document: area.value });
    const token = form.querySelector("input[name=csrfmiddlewaretoken]").value;
    try {
      const answer = await fetch(form.dataset.check, { method: "POST", body, headers: { "X-CSRFToken": token } });
      if (turn !== asked) return;
      if (!answer.ok) throw new Error(String(answer.status));
      show(await answer.json());
    } catch {
      if (turn === asked) form.dataset.state = "unknown";
    }
  }

  function later() {
    form.dataset.state = "checking";
    preview.stop?.abort();
    if (preview.card) preview.card.dataset.state = "stale";
    clearTimeout(timer);
    timer = setTimeout(check, WAIT);
  }

  function go(line, column) {
    if (area.editor) {
      area.editor.go(line, column);
      return;
    }
    const before = area.value.split("\n").slice(0, line - 1);
    const start = before.reduce((length, text) => length + text.length + 1, 0) + column - 1;
    area.focus();
    area.setSelectionRange(start, start);
  }

  area.addEventListener("input", later);
  preview.more?.addEventListener("click", () => replay(10000, preview.last));
  area.editor?.onCursor(tell);
  panel.addEventListener("click", (event) => {
    const place = event.target.closest(".t-place");
    if (place) go(Number(place.dataset.line), Number(place.dataset.column));
  });
  form.addEventListener("submit", () => {
    saved = area.value;
  });
  addEventListener("beforeunload", (event) => {
    if (area.value !== saved) event.preventDefault();
  });

  panel.setAttribute("aria-live", "polite");
  check();
})();

// The page of a policy's text: a panel that keeps up with the text.
"use strict";

(() => {
  const WAIT = 400;
  const form = document.querySelector("[data-editor]");
  if (!form) return;
  const area = form.querySelector("textarea");
  const panel = form.querySelector("[data-panel]");
  const cursor = form.querySelector("[data-cursor]");
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

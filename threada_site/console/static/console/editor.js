// The editor of policies: line numbers, marks where something is wrong, and a panel that keeps up with the text.
"use strict";

(() => {
  const WAIT = 400;
  const form = document.querySelector("[data-editor]");
  if (!form) return;
  const area = form.querySelector("textarea");
  const gutter = form.querySelector("[data-gutter]");
  const backdrop = form.querySelector("[data-backdrop]");
  const panel = form.querySelector("[data-panel]");
  const cursor = form.querySelector("[data-cursor]");
  let marks = [];
  let timer = 0;
  let asked = 0;
  let saved = area.value;

  const lines = () => area.value.split("\n");
  const make = (tag, name, text) => {
    const element = document.createElement(tag);
    if (name) element.className = name;
    if (text !== undefined) element.textContent = text;
    return element;
  };

  function number() {
    const byLine = new Map();
    for (const mark of marks) {
      const known = byLine.get(mark.line);
      if (!known || (known.kind !== "error" && mark.kind === "error")) byLine.set(mark.line, mark);
    }
    gutter.replaceChildren(
      ...lines().map((_, index) => {
        const mark = byLine.get(index + 1);
        const element = make("div", mark ? `t-mark-${mark.kind}` : "", String(index + 1));
        if (mark) element.title = mark.detail;
        return element;
      }),
    );
    underline(byLine);
    follow();
  }

  function underline(byLine) {
    backdrop.replaceChildren(
      ...lines().map((line, index) => {
        const mark = byLine.get(index + 1);
        const element = make("div", mark ? `t-line-${mark.kind}` : "");
        if (!mark) {
          element.textContent = line || " ";
          return element;
        }
        const start = Math.min(Math.max(mark.column - 1, 0), line.length);
        const word = /^[\w.-]+|^\S?/.exec(line.slice(start))[0] || " ";
        element.append(line.slice(0, start), make("mark", "", word), line.slice(start + word.length));
        return element;
      }),
    );
  }

  function follow() {
    gutter.scrollTop = area.scrollTop;
    backdrop.scrollTop = area.scrollTop;
    backdrop.scrollLeft = area.scrollLeft;
  }

  function tell() {
    const before = area.value.slice(0, area.selectionStart).split("\n");
    cursor.textContent = `line ${before.length}, column ${before[before.length - 1].length + 1}`;
  }

  function show(answer) {
    marks = answer.marks;
    const held = panel.contains(document.activeElement) ? document.activeElement.dataset : null;
    panel.innerHTML = answer.panel;
    if (held) panel.querySelector(`[data-line="${held.line}"][data-column="${held.column}"]`)?.focus();
    const isWrong = marks.some((mark) => mark.kind === "error");
    area.setAttribute("aria-invalid", String(isWrong));
    form.dataset.state = isWrong ? "wrong" : "right";
    number();
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
    const before = lines().slice(0, line - 1);
    const start = before.reduce((length, text) => length + text.length + 1, 0) + column - 1;
    area.focus();
    area.setSelectionRange(start, start);
    const height = area.scrollHeight / Math.max(lines().length, 1);
    area.scrollTop = Math.max((line - 5) * height, 0);
    follow();
    tell();
  }

  area.addEventListener("input", () => {
    number();
    later();
  });
  area.addEventListener("scroll", follow);
  for (const name of ["keyup", "click", "focus"]) area.addEventListener(name, tell);
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
  form.classList.add("t-has-script");
  number();
  check();
})();

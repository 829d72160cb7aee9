// Editors of documents: ace with colours, completion by the server, and errors at their places. The text area stays in
// the form and holds the text; its property `editor` is how other scripts mark errors and move the cursor.
"use strict";

(() => {
  const WAIT = 400;
  const { ace } = window;
  if (!ace) return;
  // The stylesheet is a file of its own: ace adds no style element.
  ace.config.set("useStrictCSP", true);
  const { Range } = ace.require("ace/range");

  const make = (tag, name, text) => {
    const element = document.createElement(tag);
    if (name) element.className = name;
    if (text !== undefined) element.textContent = text;
    return element;
  };

  async function ask(url, fields, area, signal) {
    const token = area.form.querySelector("input[name=csrfmiddlewaretoken]").value;
    const body = new URLSearchParams({ kind: area.dataset.document, ...fields });
    const answer = await fetch(url, { method: "POST", body, headers: { "X-CSRFToken": token }, signal });
    if (!answer.ok) throw new Error(String(answer.status));
    return answer.json();
  }

  const wordsFor = (area) => ({
    id: "threada",
    identifierRegexps: [/[\w.$/-]/],
    async getCompletions(editor, session, place, prefix, done) {
      const before = session.getTextRange(new Range(0, 0, place.row, place.column));
      const after = session.getLine(place.row).slice(place.column);
      try {
        const answer = await ask(area.dataset.complete, { before }, area);
        const ending = /^\s*["':]/.test(after) || /["']$/.test(before.slice(0, before.length - prefix.length)) ? "" : ": ";
        done(
          null,
          answer.suggestions.map((word, rank) => ({
            caption: word.text,
            value: word.is_key ? word.text + ending : word.text,
            meta: "",
            docText: word.about,
            score: 1000 - rank,
          })),
        );
      } catch {
        done(null, []);
      }
    },
  });

  function enhance(area) {
    const holder = make("div", "t-code-editor");
    const box = make("div", "t-code-box");
    const found = make("ul", "t-findings");
    found.setAttribute("aria-live", "polite");
    const label = area.labels[0]?.textContent.trim() || "";
    holder.append(box, make("p", "t-code-hint", area.dataset.hint));
    if (area.dataset.check) holder.append(found);
    area.after(holder);
    area.hidden = true;
    area.required = false; // a hidden field cannot show the browser's message; the server has its own
    const editor = ace.edit(box);
    const { session } = editor;
    session.setUseWorker(false);
    editor.setOptions({
      mode: "ace/mode/yaml",
      tabSize: 2,
      useSoftTabs: true,
      showPrintMargin: false,
      fontSize: 13,
      minLines: Math.min(Number(area.rows), 8),
      maxLines: Math.max(Number(area.rows), 8),
      enableKeyboardAccessibility: true,
      textInputAriaLabel: label,
    });
    editor.setOptions({
      enableBasicAutocompletion: area.dataset.complete ? [wordsFor(area)] : false,
      enableLiveAutocompletion: Boolean(area.dataset.complete),
    });
    session.setValue(area.value);
    let drawn = [];
    let isOwn = false;
    let timer = 0;
    let turn = 0;

    function mark(marks) {
      drawn.forEach((id) => session.removeMarker(id));
      session.setAnnotations(
        marks.map(({ line, column, detail, kind }) => ({ row: line - 1, column: column - 1, text: detail, type: kind })),
      );
      drawn = marks.map(({ line, column, kind }) => {
        const text = session.getLine(line - 1) || "";
        const start = Math.min(Math.max(column - 1, 0), text.length);
        const length = (/^[\w.-]+|^\S?/.exec(text.slice(start))[0] || " ").length;
        return session.addMarker(new Range(line - 1, start, line - 1, start + length), `t-code-${kind}`, "text");
      });
    }

    function list(marks) {
      found.replaceChildren(
        ...marks.map(({ line, column, detail }) => {
          const entry = make("li", "t-bad");
          const place = make("button", "t-place", `${line}:${column}`);
          place.type = "button";
          place.addEventListener("click", () => go(line, column));
          entry.append(place, make("span", "", detail));
          return entry;
        }),
      );
      holder.dataset.state = marks.length ? "wrong" : "right";
    }

    async function check() {
      const asked = ++turn;
      try {
        const { marks } = await ask(area.dataset.check, { document: area.value }, area);
        if (asked !== turn) return;
        mark(marks);
        list(marks);
      } catch {
        if (asked === turn) holder.dataset.state = "unknown";
      }
    }

    function go(line, column) {
      editor.focus();
      editor.gotoLine(line, column - 1, false);
    }

    session.on("change", () => {
      isOwn = true;
      area.value = session.getValue();
      area.dispatchEvent(new Event("input", { bubbles: true }));
      isOwn = false;
      if (!area.dataset.check) return;
      holder.dataset.state = "checking";
      clearTimeout(timer);
      timer = setTimeout(check, WAIT);
    });
    area.addEventListener("input", () => {
      if (!isOwn) session.setValue(area.value);
    });
    for (const one of area.labels) one.addEventListener("click", () => editor.focus());
    area.editor = {
      mark,
      go,
      onCursor: (tell) => session.selection.on("changeCursor", () => tell(editor.getCursorPosition())),
    };
    if (area.dataset.check) check();
  }

  document.querySelectorAll("textarea[data-document]").forEach(enhance);
})();

// Request forms: fields that depend on others, and rows of lists, change without loading the page. The server decides what is shown.
"use strict";

(() => {
  const FRAME = "request-form";
  document.documentElement.classList.add("t-has-script");

  const form = () => document.querySelector(`#${FRAME} form`);

  const fields = () => [...form().querySelectorAll("input:not([type=hidden]), select, textarea")];
  const nameOf = (field) => (field.type === "checkbox" ? `${field.name} ${field.value}` : field.name);
  const entryOf = (field) =>
    field.type === "checkbox" ? field.checked : field.type === "file" ? field.files[0] : field.value;
  let last = Promise.resolve();

  // Ask the server for the form with the present entries, after earlier questions; `button` is the button that was pressed.
  function refresh(button, focusOn) {
    last = last.catch(() => {}).then(() => redraw(button, focusOn));
    return last;
  }

  async function redraw(button, focusOn) {
    const sent = new FormData(form());
    sent.set(button.name, button.value);
    const before = new Map(fields().map((field) => [field, entryOf(field)]));
    // Rows behind a removed one get other numbers, so nothing can be entered meanwhile.
    form().inert = button.name === "_remove";
    try {
      const answer = await fetch(location.href, { method: "POST", body: sent, redirect: "error" });
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const fresh = page.getElementById(FRAME);
      if (!fresh) return location.reload();
      const entered = fields().filter((field) => before.has(field) && before.get(field) !== entryOf(field));
      const held = form().contains(document.activeElement) ? document.activeElement : null;
      document.getElementById(FRAME).replaceWith(document.adoptNode(fresh));
      keep(entered);
      if (button.name === "_update" && held?.id) return focusAgain(held);
      (document.getElementById(focusOn) ?? newest(button))?.focus();
    } finally {
      form().inert = false;
    }
  }

  // Entries that were made while the server was asked stay in their fields.
  function keep(entered) {
    const now = new Map(fields().map((field) => [nameOf(field), field]));
    for (const field of entered) {
      const other = now.get(nameOf(field));
      if (other?.type !== field.type) continue;
      if (field.type === "checkbox") other.checked = field.checked;
      else if (field.type === "file") other.files = field.files;
      else other.value = field.value;
    }
  }

  function focusAgain(held) {
    const field = document.getElementById(held.id);
    field?.focus();
    if (field?.matches("textarea, input:is([type=text], :not([type]))")) field.setSelectionRange(held.selectionStart, held.selectionEnd);
  }

  // The first field of the row that was added, or the button that adds rows.
  function newest(button) {
    const list = document.querySelector(`button[name=_add][value="${CSS.escape(button.value.replace(/\/\d+$/, ""))}"]`)?.closest("fieldset");
    const rows = [...(list?.querySelectorAll(":scope > .t-row, :scope > .t-field") ?? [])];
    return (button.name === "_add" ? rows.at(-1)?.querySelector("input:not([type=hidden]), select, textarea") : null) ?? list;
  }

  document.addEventListener("change", (event) => {
    if (!event.target.matches(`#${FRAME} [data-changes-form]`)) return;
    refresh({ name: "_update", value: "1" }, event.target.id).catch(() => {});
  });

  document.addEventListener("click", (event) => {
    const button = event.target.closest(`#${FRAME} button[name=_add], #${FRAME} button[name=_remove]`);
    if (!button) return;
    event.preventDefault();
    refresh(button, "").catch(() => form().requestSubmit(button));
  });

  // A second click of an impatient person does not send the form twice.
  document.addEventListener("submit", (event) => {
    if (event.target !== form()) return;
    if (event.target.dataset.sent) return event.preventDefault();
    event.target.dataset.sent = "yes";
    setTimeout(() => delete event.target.dataset.sent, 5000);
  });

  document.getElementById("problems")?.focus();
})();

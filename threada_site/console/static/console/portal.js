// Request forms: fields that depend on others, and rows of lists, change without loading the page. The server decides what is shown.
"use strict";

(() => {
  const FRAME = "request-form";
  document.documentElement.classList.add("t-has-script");

  const form = () => document.querySelector(`#${FRAME} form`);

  // Ask the server for the form with the present entries; `button` is the button that was pressed.
  async function refresh(button, focusOn) {
    const sent = new FormData(form());
    sent.set(button.name, button.value);
    const answer = await fetch(location.href, { method: "POST", body: sent, redirect: "error" });
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const fresh = page.getElementById(FRAME);
    if (!fresh) return location.reload();
    document.getElementById(FRAME).replaceWith(document.adoptNode(fresh));
    (document.getElementById(focusOn) ?? newest(button))?.focus();
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

// Conversation: a text that the server refused returns to its field.
"use strict";

(() => {
  const KEY = "threada.unsent";
  const forms = [...document.querySelectorAll("#conversation form")].filter((form) => form.querySelector("textarea"));
  const subject = (form) => form.querySelector("[name=comment], [name=question]")?.value ?? "";

  function sent() {
    try {
      const kept = JSON.parse(sessionStorage.getItem(KEY) ?? "null");
      sessionStorage.removeItem(KEY);
      return kept;
    } catch {
      return null;
    }
  }

  const kept = sent();
  const isRefused = document.querySelector(".errornote") !== null;
  for (const form of forms) {
    const field = form.querySelector("textarea");
    if (kept && isRefused && kept.action === form.action && kept.subject === subject(form)) {
      field.value = kept.text;
      form.closest("details")?.setAttribute("open", "");
      field.focus();
    }
    form.addEventListener("submit", () => {
      const text = { action: form.action, subject: subject(form), text: field.value };
      sessionStorage.setItem(KEY, JSON.stringify(text));
    });
  }
})();

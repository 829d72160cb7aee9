// Command palette: asks the server for pages, actions and work items while somebody types. Without it, the form finds.
"use strict";

(() => {
  const DELAY_MS = 120;
  const dialog = document.querySelector("#palette");
  if (!dialog) return;
  const field = dialog.querySelector("#palette-text");
  const list = dialog.querySelector("#palette-list");
  const status = dialog.querySelector("#palette-status");
  let timer = 0;
  let asking = null;
  let chosen = -1;
  let answered = null; // the text of the shown results: Enter on another text sends the form

  const options = () => [...list.querySelectorAll("[role=option]")];

  function choose(place) {
    const all = options();
    chosen = all.length ? (place + all.length) % all.length : -1;
    all.forEach((option, at) => option.setAttribute("aria-selected", String(at === chosen)));
    if (chosen < 0) field.removeAttribute("aria-activedescendant");
    else {
      field.setAttribute("aria-activedescendant", all[chosen].id);
      all[chosen].scrollIntoView({ block: "nearest" });
    }
  }

  function element(name, className, text) {
    const made = document.createElement(name);
    if (className) made.className = className;
    if (text) made.textContent = text;
    return made;
  }

  function optionOf(entry, number) {
    const option = element("a", "t-option");
    option.href = entry.url;
    option.id = `palette-${number}`;
    option.tabIndex = -1;
    option.setAttribute("role", "option");
    const icon = element("span", "material-symbols-outlined", entry.icon);
    icon.setAttribute("aria-hidden", "true");
    const words = element("span", "t-result");
    words.append(element("span", "t-result-title", entry.title));
    if (entry.detail) words.append(element("span", "t-small t-subtle", entry.detail));
    option.append(icon, words);
    return option;
  }

  function show(answer) {
    list.replaceChildren();
    let number = 0;
    for (const section of answer.sections) {
      const group = element("div", "t-option-group");
      group.setAttribute("role", "group");
      group.setAttribute("aria-label", section.title);
      const heading = element("div", "t-option-heading", section.title);
      heading.setAttribute("aria-hidden", "true");
      group.append(heading);
      for (const entry of section.entries) group.append(optionOf(entry, number++));
      list.append(group);
    }
    field.setAttribute("aria-expanded", String(number > 0));
    status.textContent = answer.problem || (number ? "" : dialog.dataset.nothing);
    choose(0);
  }

  async function ask() {
    asking?.abort();
    asking = new AbortController();
    const { signal } = asking;
    const text = field.value;
    try {
      const address = `${dialog.dataset.suggest}?${new URLSearchParams({ q: text })}`;
      const answer = await fetch(address, { signal, redirect: "manual", headers: { Accept: "application/json" } });
      if (answer.type === "opaqueredirect" || answer.status === 401) {
        show({ sections: [], problem: dialog.dataset.signedOut });
      } else if (answer.ok) {
        const body = await answer.json();
        if (signal.aborted) return;
        answered = text;
        show(body);
      } else show({ sections: [], problem: dialog.dataset.failed });
    } catch (error) {
      if (error.name !== "AbortError") show({ sections: [], problem: dialog.dataset.failed });
    }
  }

  function open(text = "") {
    if (dialog.open || document.querySelector("dialog[open]")) return;
    field.value = text;
    dialog.showModal();
    field.focus();
    ask();
  }

  field.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(ask, DELAY_MS);
  });
  field.addEventListener("keydown", (event) => {
    if (event.isComposing) return;
    if (event.key === "Escape") {
      event.preventDefault(); // a search field would only be emptied
      dialog.close();
    } else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      choose(chosen + (event.key === "ArrowDown" ? 1 : -1));
    } else if (event.key === "Enter" && chosen >= 0 && field.value === answered) {
      event.preventDefault();
      options()[chosen].click();
    }
  });

  document.addEventListener("keydown", (event) => {
    if ((event.ctrlKey || event.metaKey) && !event.altKey && !event.shiftKey && event.key.toLowerCase() === "k") {
      event.preventDefault();
      if (dialog.open) dialog.close();
      else open();
    }
  });
  for (const opener of document.querySelectorAll("[data-open-palette]")) {
    opener.addEventListener("click", (event) => {
      event.preventDefault();
      open();
    });
  }
  // Focus alone opens nothing: Tab must go on to the page behind the field.
  for (const kind of ["click", "input"]) {
    document.querySelector("#find")?.addEventListener(kind, (event) => {
      const text = event.target.value;
      event.target.value = "";
      open(text);
    });
  }
  dialog.querySelector("[data-close-palette]").addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  dialog.addEventListener("close", () => asking?.abort());
})();

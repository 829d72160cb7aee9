// Lists: selections are kept across the pages of one list, and counted.
"use strict";

(() => {
  const form = document.querySelector("#bulk");
  if (!form) return;
  const KEY = "threada.selected";
  const list = form.dataset.list;
  const boxes = [...document.querySelectorAll("input[type=checkbox][name=row]")];
  const count = form.querySelector("[data-count]");
  const everything = form.querySelector("[name=all]");
  const most = Number(form.dataset.most);

  function read() {
    try {
      const kept = JSON.parse(sessionStorage.getItem(KEY) ?? "null");
      return new Set(kept?.list === list ? kept.rows : []);
    } catch {
      return new Set();
    }
  }

  const selected = read();

  function show() {
    sessionStorage.setItem(KEY, JSON.stringify({ list, rows: [...selected] }));
    form.querySelectorAll("input[type=hidden][name=row]").forEach((field) => field.remove());
    const here = new Set(boxes.map((box) => box.value));
    for (const value of selected) {
      if (here.has(value)) continue;
      const field = document.createElement("input");
      Object.assign(field, { type: "hidden", name: "row", value });
      form.append(field);
    }
    const number = everything?.checked ? form.dataset.all : String(selected.size);
    count.textContent = count.dataset.text.replace("%s", number);
    for (const button of form.querySelectorAll("button")) {
      button.disabled = !everything?.checked && (selected.size === 0 || selected.size > most);
    }
  }

  for (const box of boxes) {
    box.checked = selected.has(box.value);
    box.addEventListener("change", () => {
      if (box.checked) selected.add(box.value);
      else selected.delete(box.value);
      show();
    });
  }
  const page = document.querySelector("#select-page");
  if (page) {
    page.closest("label").hidden = false;
    page.addEventListener("change", () => {
      for (const box of boxes) {
        box.checked = page.checked;
        if (page.checked) selected.add(box.value);
        else selected.delete(box.value);
      }
      show();
    });
  }
  everything?.addEventListener("change", show);
  form.addEventListener("submit", () => sessionStorage.removeItem(KEY));
  show();
})();

// Entries of forms outlive the end of a session: they are kept in this tab for an hour, encrypted with a key that only
// pages of the same person contain, and shown again, marked, after the next sign-in. Nothing is sent. Also shows the text
// of a form again that the server refused on another page. Passwords, codes and files are never kept.
"use strict";

(() => {
  const KEY = "threada.entries";
  const HOUR_MS = 3600000;
  const WAIT_MS = 200;
  const MOST = 300000;
  const NEVER = "[type=password], [type=file], [type=hidden], [autocomplete=one-time-code], [data-never-kept], [data-never-kept] *";
  // Names that the server gives and people do not enter; rows of request forms are hidden fields, but entered.
  const ROWS = ["_row", "_shown"];

  addEventListener("submit", (event) => {
    if (event.target.matches("[action$='/logout/']")) sessionStorage.removeItem(KEY);
  });

  const person = document.getElementById("entries")?.dataset;
  if (!person || !crypto.subtle) return;
  const forms = [...document.querySelectorAll("main form[method=post]")];
  let cipher = null;
  let timer = 0;

  const bytes = (text) => Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  const text = (buffer) => btoa(Array.from(new Uint8Array(buffer), (byte) => String.fromCharCode(byte)).join(""));

  function read() {
    try {
      const found = JSON.parse(sessionStorage.getItem(KEY) ?? "null");
      if (found?.owner === person.owner && Date.now() - found.at < HOUR_MS) return found;
    } catch {}
    sessionStorage.removeItem(KEY);
    return null;
  }

  // Forms of a page with the same address differ in their hidden fields, for example the id of a question.
  function nameOf(form) {
    const hidden = [...form.querySelectorAll("input[type=hidden]")].filter((field) => ["question", "comment", "decision", "factor"].includes(field.name));
    return [new URL(form.action, location).pathname, ...hidden.map((field) => field.value)].join(" ");
  }

  const isKept = (field) => field.name && !field.disabled && (!field.matches(NEVER) || ROWS.includes(field.name));
  const isChoice = (field) => field.matches("[type=checkbox], [type=radio]");
  const fieldsOf = (form) => [...form.elements].filter((field) => field.matches("input, select, textarea") && isKept(field));

  function entriesOf(form) {
    const found = [];
    for (const field of fieldsOf(form)) {
      if (isChoice(field)) found.push([field.name, field.value, field.checked]);
      else if (field.multiple) for (const option of field.options) found.push([field.name, option.value, option.selected]);
      else found.push([field.name, field.value, null]);
    }
    return found;
  }

  async function keep(form, isSent) {
    clearTimeout(timer);
    const plain = new TextEncoder().encode(JSON.stringify({ form: nameOf(form), entries: entriesOf(form) }));
    if (plain.length > MOST) return;
    const iv = crypto.getRandomValues(new Uint8Array(12));
    const data = await crypto.subtle.encrypt({ name: "AES-GCM", iv }, await cipher, plain);
    const page = location.pathname;
    const record = { owner: person.owner, session: person.session, at: Date.now(), page, isSent, iv: text(iv), data: text(data) };
    sessionStorage.setItem(KEY, JSON.stringify(record));
  }

  async function opened(record) {
    try {
      const plain = await crypto.subtle.decrypt({ name: "AES-GCM", iv: bytes(record.iv) }, await cipher, bytes(record.data));
      return JSON.parse(new TextDecoder().decode(plain));
    } catch {
      return null;
    }
  }

  const isEmpty = (field) =>
    isChoice(field) ? field.checked === field.defaultChecked : field.matches("select") || field.value === field.defaultValue;

  // Put entries into their fields. Return those that have none.
  function fill(form, entries, note) {
    const fields = fieldsOf(form).filter((field) => !ROWS.includes(field.name));
    const used = new Set();
    const lost = [];
    for (const [name, value, isOn] of entries) {
      if (ROWS.includes(name)) continue;
      if (isOn === null) {
        const field = fields.find((one) => one.name === name && !used.has(one) && !isChoice(one));
        if (field) used.add(field);
        const known = field && (!field.matches("select") || [...field.options].some((option) => option.value === value));
        if (known && isEmpty(field) && field.value !== value) put(field, value);
        else if (!known && value) lost.push([name, value]);
      } else {
        const field = fields.find((one) => one.name === name && (one.multiple || one.value === value));
        if (!field) continue;
        if (field.multiple) for (const option of field.options) option.selected = option.value === value ? isOn : option.selected;
        else if (field.checked !== isOn) put(field, isOn);
      }
    }
    mark(form, note, lost);
  }

  function put(field, value) {
    if (typeof value === "boolean") field.checked = value;
    else field.value = value;
    field.classList.add("t-restored");
    field.closest("details")?.setAttribute("open", "");
    field.dispatchEvent(new Event("input", { bubbles: true }));
  }

  function mark(form, words, lost) {
    const note = document.createElement("div");
    note.className = "t-note";
    note.dataset.restored = "";
    note.setAttribute("role", "status");
    note.append(Object.assign(document.createElement("p"), { textContent: words }));
    for (const [name, value] of lost) note.append(Object.assign(document.createElement("p"), { className: "t-small", textContent: `${name}: ${value}` }));
    form.prepend(note);
  }

  // The rows of a request form are drawn by the server. This asks for the form, and sends no request.
  async function drawn(form, entries) {
    if (!form.closest("#request-form")) return form;
    const sent = new FormData(form);
    for (const name of new Set([...entries.map(([name]) => name), ...ROWS])) sent.delete(name);
    for (const [name, value, isOn] of entries) if (isOn !== false && !/^_(send|save|add|remove)$/.test(name)) sent.append(name, value);
    sent.set("_update", "1");
    const answer = await fetch(location.href, { method: "POST", body: sent, redirect: "error" });
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("request-form");
    if (!fresh) return form;
    form.closest("#request-form").replaceWith(document.adoptNode(fresh));
    return document.querySelector("#request-form form");
  }

  async function restore(record) {
    const isRefused = record.isSent && record.session === person.session && document.querySelector(".errornote");
    if (record.session === person.session && !isRefused) {
      // Sent, or left by the person. A page that asks for confirmation has not sent it yet.
      if (!(record.isSent && document.querySelector("form input[type=hidden][name=confirmed]"))) sessionStorage.removeItem(KEY);
      return;
    }
    const found = await opened(record);
    const form = found && forms.find((one) => nameOf(one) === found.form);
    if (!form) return;
    const fresh = await drawn(form, found.entries).catch(() => form);
    fill(fresh, found.entries, isRefused ? person.saidRefused : person.saidRestored);
    if (isRefused) [...fresh.querySelectorAll(".t-restored")].at(-1)?.focus();
    await keep(fresh, false);
  }

  cipher = crypto.subtle.importKey("raw", bytes(person.key), "AES-GCM", false, ["encrypt", "decrypt"]);
  const record = read();
  if (record) restore(record).catch(() => {});

  for (const kind of ["input", "change"]) {
    document.addEventListener(kind, (event) => {
      const form = event.target.form;
      if (!event.isTrusted && kind === "change") return;
      if (!form?.matches("main form[method=post]") || !isKept(event.target)) return;
      clearTimeout(timer);
      timer = setTimeout(() => keep(form, false).catch(() => {}), WAIT_MS);
    });
  }
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (!event.defaultPrevented && form.matches("main form[method=post]") && fieldsOf(form).length) keep(form, true).catch(() => {});
  });
})();

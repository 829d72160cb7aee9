// Asks every few seconds, while the page is visible, what changed on it. Announces new rows instead of moving rows, and
// replaces parts marked with data-live only where nobody is typing.
"use strict";

(() => {
  const EVERY_MS = 8000;
  const LONGEST_MS = 120000;
  const REFRESH_MS = 60000;
  const MOST_ROWS = 100;
  const BACKGROUND = { "Threada-Background": "1" };

  const root = document.getElementById("pulse");
  if (!root) return;
  const said = root.dataset;
  const bar = root.querySelector("[role=status]");
  const show = root.querySelector("[data-show]");
  const signIn = root.querySelector("[data-sign-in]");
  show.href = location.href;

  let tag = "";
  let since = said.since;
  let wait = EVERY_MS;
  let timer = 0;
  let askedAt = 0;
  let isSignedOut = false;
  let before = null;
  let refreshedAt = Date.now();
  const fresh = new Set();
  const gone = new Set();

  const rows = () => [...document.querySelectorAll("[data-step]")].map((row) => row.dataset.step);

  function say(text, { link = show, isBad = false } = {}) {
    bar.hidden = !text;
    bar.classList.toggle("t-bad", isBad);
    const words = bar.querySelector("[data-said]");
    if (words.textContent !== text) words.textContent = text;
    show.hidden = link !== show;
    signIn.hidden = link !== signIn;
  }

  function query() {
    const asked = new URLSearchParams({ page: said.page, since });
    if (said.id) asked.set("id", said.id);
    const named = [...rows(), ...fresh].slice(0, MOST_ROWS);
    if (named.length) asked.set("rows", named.join(","));
    return `${said.url}?${asked}`;
  }

  async function ask() {
    clearTimeout(timer);
    if (document.hidden) return;
    askedAt = Date.now();
    try {
      const headers = tag ? { ...BACKGROUND, "If-None-Match": tag } : BACKGROUND;
      const answer = await fetch(query(), { headers, credentials: "same-origin", redirect: "manual", cache: "no-store" });
      await take(answer);
    } catch {
      wait = Math.min(wait * 2, LONGEST_MS);
    }
    timer = setTimeout(ask, wait);
  }

  async function take(answer) {
    if (answer.status === 401 || answer.type === "opaqueredirect") {
      isSignedOut = true;
      wait = EVERY_MS;
      say(said.signedOut, { link: signIn, isBad: true });
      return;
    }
    if (answer.status === 404) {
      wait = LONGEST_MS;
      say(said.removed, { link: show, isBad: true });
      return;
    }
    if (answer.status !== 200 && answer.status !== 304) {
      const asked = Number(answer.headers.get("Retry-After")) * 1000 || 0;
      wait = Math.min(Math.max(wait * 2, asked), LONGEST_MS);
      return;
    }
    wait = EVERY_MS;
    if (isSignedOut) await signedInAgain();
    since = answer.headers.get("Threada-Pulse-Since") || since;
    if (answer.status === 200) {
      tag = answer.headers.get("ETag") || "";
      await use((await answer.json()).state);
    }
    if (said.page === "dashboard" && Date.now() - refreshedAt > REFRESH_MS) await refresh();
  }

  async function use(state) {
    const last = before;
    before = state;
    if (said.page === "desk" || said.page === "dashboard") {
      await waiting(state, last);
    } else if (said.page === "step") {
      step(state, last);
    } else if (last ? JSON.stringify(last) !== JSON.stringify(state) : state.status !== said.isStatus) {
      say((await refresh()) ? said.updated : said.changed);
    }
  }

  async function waiting(state, last) {
    for (const key of state.new) fresh.add(key);
    for (const key of state.gone) {
      fresh.delete(key);
      mark(key);
    }
    const parts = [];
    if (fresh.size) parts.push(fresh.size === 1 ? said.oneNew : said.new.replace("%s", fresh.size + (state.more ? "+" : "")));
    if (gone.size) parts.push(gone.size === 1 ? said.oneGone : said.gone.replace("%s", gone.size));
    if (last && last.digest !== state.digest && !parts.length && said.page === "desk") parts.push(said.changed);
    say(parts.join(" · "));
    if (said.page === "dashboard" && last) await refresh();
  }

  function mark(key) {
    const row = document.querySelector(`[data-step="${CSS.escape(key)}"]`);
    if (!row || gone.has(key)) return;
    gone.add(key);
    row.classList.add("t-gone");
    const box = row.querySelector("input[type=checkbox]");
    if (box) {
      box.checked = false;
      box.disabled = true;
    }
    const note = document.createElement("span");
    note.className = "t-tag";
    note.textContent = said.decided;
    row.append(note);
  }

  function step(state, last) {
    const isClosed = state.status !== said.isStatus;
    const isSuperseded = isClosed && state.status === "superseded";
    if (isClosed || state.envelope_sha256 !== said.isEnvelope_sha256) {
      block();
      if (isSuperseded && state.current) show.href = location.pathname.replace(said.id, state.current);
      say(isClosed && !isSuperseded ? said.closed : said.superseded, { isBad: true });
    } else if (last && JSON.stringify(last) !== JSON.stringify(state)) {
      say(last.votes === state.votes ? said.changed : said.votes);
    }
  }

  // The server refuses a vote on another envelope. The button says it before the comment is lost.
  function block() {
    for (const button of document.querySelectorAll("#decide button[type=submit]")) {
      button.disabled = true;
      button.textContent = said.blocked;
    }
  }

  async function page() {
    const headers = { ...BACKGROUND, Accept: "text/html" };
    const answer = await fetch(location.href, { headers, credentials: "same-origin", redirect: "manual", cache: "no-store" });
    return answer.ok ? new DOMParser().parseFromString(await answer.text(), "text/html") : null;
  }

  // Return true if every part that changed was replaced.
  async function refresh() {
    refreshedAt = Date.now();
    const loaded = await page();
    if (!loaded) return false;
    let isWhole = true;
    for (const part of document.querySelectorAll("[data-live]")) {
      const other = loaded.querySelector(`[data-live="${CSS.escape(part.dataset.live)}"]`);
      if (!other || part.innerHTML === other.innerHTML) continue;
      if (isInUse(part)) {
        isWhole = false;
        continue;
      }
      const open = [...part.querySelectorAll("details")].map((one) => one.open);
      part.replaceChildren(...other.childNodes);
      [...part.querySelectorAll("details")].forEach((one, place) => (one.open = open[place] ?? one.open));
    }
    return isWhole;
  }

  function isInUse(part) {
    const fields = [...part.querySelectorAll("input:not([type=hidden]), textarea, select")];
    const isEdited = (field) =>
      field.matches("select")
        ? [...field.options].some((option) => option.selected !== option.defaultSelected && field.selectedIndex > 0)
        : field.matches("[type=checkbox], [type=radio]")
          ? field.checked !== field.defaultChecked
          : field.value !== field.defaultValue;
    return part.contains(document.activeElement) || fields.some(isEdited);
  }

  // A sign-in changes the CSRF token. Forms that are being filled get the new one.
  async function signedInAgain() {
    const loaded = await page();
    const token = loaded?.querySelector("input[name=csrfmiddlewaretoken]")?.value;
    if (!token) return;
    for (const field of document.querySelectorAll("input[name=csrfmiddlewaretoken]")) field.value = token;
    isSignedOut = false;
    say("");
  }

  document.addEventListener("visibilitychange", () => {
    if (!document.hidden && Date.now() - askedAt >= EVERY_MS) ask();
  });
  ask();
})();

// Keys of the decision desk, and the zone of times. Every one of them only moves the focus or opens a page: what decides is the button itself.
"use strict";

(() => {
  const OFF = "threada.keys.off";
  const one = (selector) => document.querySelector(selector);
  const links = () => [...document.querySelectorAll("[data-row] a.t-link, table.t-table tbody td:first-child a.t-link")];
  const here = () => links().indexOf(document.activeElement?.closest("[data-row], tr")?.querySelector("a.t-link"));

  const isTyping = (target) =>
    target.isContentEditable || target.matches?.("textarea, select, input:not([type=checkbox], [type=radio], [type=submit])");

  function step(by) {
    const all = links();
    if (!all.length) return;
    const next = Math.min(Math.max(here() + by, 0), all.length - 1);
    all[here() < 0 ? 0 : next].focus();
  }

  function toward(selector, hash) {
    const target = one(selector);
    if (target) {
      target.scrollIntoView({ block: "center" });
      target.focus();
    } else if (here() >= 0) {
      location.assign(links()[here()].href + hash);
    }
  }

  const keys = {
    j: () => step(1),
    k: () => step(-1),
    o: () => here() >= 0 && links()[here()].click(),
    x: () => document.activeElement?.closest("[data-row]")?.querySelector("input[type=checkbox]")?.click(),
    a: () => toward("[data-key-approve]:not(:disabled)", "#approve"),
    r: () => toward("[data-key-reject]", "#reject"),
    u: () => one(".t-crumbs a")?.click(),
    "/": () => one("#find")?.focus(),
    "?": () => one("#keys")?.showModal(),
  };

  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    if (!(event.key in keys) || isTyping(event.target) || one("dialog[open]")) return;
    if (localStorage.getItem(OFF) && event.key !== "?") return;
    event.preventDefault();
    keys[event.key]();
  });

  // The server writes times in the browser's zone, unless the user has chosen another one.
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const secure = location.protocol === "https:" ? "; Secure" : "";
  if (zone) document.cookie = `threada_zone=${zone}; Path=/console/; Max-Age=31536000; SameSite=Strict${secure}`;

  document.addEventListener("DOMContentLoaded", () => {
    if (location.hash === "#approve") keys.a();
    if (location.hash === "#reject") keys.r();
    for (const button of document.querySelectorAll("[data-open-keys]")) {
      button.hidden = false;
      button.addEventListener("click", keys["?"]);
    }
    one("#nav-sidebar-apps a.active")?.scrollIntoView({ block: "nearest" });
    const off = one("#keys-off");
    if (!off) return;
    off.checked = Boolean(localStorage.getItem(OFF));
    off.addEventListener("change", () => (off.checked ? localStorage.setItem(OFF, "1") : localStorage.removeItem(OFF)));
  });
})();

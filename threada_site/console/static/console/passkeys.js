// Passkeys: asks the browser for them. The server makes every challenge and checks every answer.
"use strict";

(() => {
  const REFRESH = 4 * 60 * 1000; // A challenge is valid for five minutes.
  const toBytes = (text) =>
    Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (letter) => letter.charCodeAt(0));
  const toText = (buffer) =>
    btoa(String.fromCharCode(...new Uint8Array(buffer)))
      .replace(/\+/g, "-")
      .replace(/\//g, "_")
      .replace(/=+$/, "");
  const withBytes = (list) => list?.map((entry) => ({ ...entry, id: toBytes(entry.id) }));

  // By hand: extensions of password managers often lack `parseRequestOptionsFromJSON` and `toJSON`.
  function parsed(json) {
    const options = { ...json, challenge: toBytes(json.challenge) };
    if (json.user) options.user = { ...json.user, id: toBytes(json.user.id) };
    if (json.allowCredentials) options.allowCredentials = withBytes(json.allowCredentials);
    if (json.excludeCredentials) options.excludeCredentials = withBytes(json.excludeCredentials);
    return options;
  }

  function written(credential) {
    const response = {};
    for (const name of ["clientDataJSON", "attestationObject", "authenticatorData", "signature", "userHandle"]) {
      if (credential.response[name]) response[name] = toText(credential.response[name]);
    }
    if (credential.response.getTransports) response.transports = credential.response.getTransports();
    const id = toText(credential.rawId);
    return JSON.stringify({ id, rawId: id, type: "public-key", response, clientExtensionResults: {} });
  }

  const tokenOf = (place) => place.closest("form").elements.csrfmiddlewaretoken.value;

  async function send(address, place, fields) {
    const body = new URLSearchParams({ ...fields, csrfmiddlewaretoken: tokenOf(place) });
    const answer = await fetch(address, { method: "POST", body, headers: { Accept: "application/json" } });
    const json = await answer.json().catch(() => ({}));
    if (!answer.ok) throw new Error(json.detail || "The server did not answer. Load the page again.");
    return json;
  }

  // Return what the form sends: the ceremony and the answer of the passkey.
  async function ask(place, more = {}) {
    const { publicKey, ceremony } = await send(place.dataset.options, place, {});
    const method = place.dataset.passkey === "create" ? "create" : "get";
    const credential = await navigator.credentials[method]({ publicKey: parsed(publicKey), ...more });
    return { ceremony, credential: written(credential) };
  }

  const PROBLEMS = {
    NotAllowedError: "No passkey was used. Try again, or use another way.",
    InvalidStateError: "This passkey is registered already.",
    SecurityError: "Passkeys do not work at this address. Open the console at its public address.",
    NotSupportedError: "This device cannot keep such a passkey. Use another one.",
  };

  function tell(place, text, isGood = false) {
    const note = place.querySelector("[data-passkey-note]");
    note.textContent = text;
    note.hidden = !text;
    note.className = isGood ? "t-note t-good" : "t-note t-bad";
    note.setAttribute("role", isGood ? "status" : "alert");
  }

  let autofill = null;

  async function use(place, finish) {
    autofill?.abort();
    const button = place.querySelector("button");
    button.disabled = true;
    tell(place, "");
    try {
      await finish(await ask(place));
    } catch (error) {
      tell(place, PROBLEMS[error.name] || error.message);
      if ("autofill" in place.dataset) offer(place);
    } finally {
      button.disabled = false;
    }
  }

  function post(form, answer) {
    form.elements.ceremony.value = answer.ceremony;
    form.elements.credential.value = answer.credential;
    form.submit();
  }

  // Fields for a password or a code are not needed once a passkey was used in this session.
  function proved(place) {
    for (const field of document.querySelectorAll("[data-proof]")) {
      for (const input of field.querySelectorAll("input")) input.disabled = true;
      field.hidden = true;
    }
    for (const other of document.querySelectorAll("[data-passkey-proof]")) {
      tell(other, "Your passkey was accepted. You can go on.", true);
      other.querySelector("button").hidden = true;
    }
    place.closest("form").querySelector("button[type=submit]")?.focus();
  }

  // Offer passkeys among the suggestions for the name, for as long as the page is open.
  async function offer(form) {
    if (!(await PublicKeyCredential.isConditionalMediationAvailable?.())) return;
    for (;;) {
      autofill = new AbortController();
      const signal = autofill.signal;
      const timer = setTimeout(() => autofill.abort("refresh"), REFRESH);
      try {
        post(form, await ask(form, { mediation: "conditional", signal }));
        return;
      } catch {
        if (signal.reason !== "refresh") return;
      } finally {
        clearTimeout(timer);
      }
    }
  }

  document.addEventListener("DOMContentLoaded", () => {
    const isAble = Boolean(window.PublicKeyCredential && navigator.credentials);
    for (const element of document.querySelectorAll("[data-passkey-missing]")) element.hidden = isAble;
    if (!isAble) return;
    for (const form of document.querySelectorAll("form[data-passkey]")) {
      form.hidden = false;
      form.addEventListener("submit", (event) => {
        event.preventDefault();
        use(form, async (answer) => post(form, answer));
      });
      if ("autofill" in form.dataset) offer(form);
    }
    for (const place of document.querySelectorAll("[data-passkey-proof]")) {
      place.hidden = false;
      place.querySelector("button").addEventListener("click", () =>
        use(place, async (answer) => {
          const { onward } = await send(place.dataset.address, place, { ...answer, next: place.dataset.onward ?? "" });
          if ("onward" in place.dataset) location.assign(onward);
          else proved(place);
        }),
      );
    }
  });
})();

"""Record of values that scripts write into fields that are sent."""

from __future__ import annotations

from typing import Any, Final

from playwright.sync_api import BrowserContext, Page

# Playwright fills in fields from a world of its own, so only scripts of the page call these setters.
_RECORD: Final = """(() => {
  const written = (window.writtenFields = []);
  const note = (field, value) => field.name && written.push([field.name, String(value), (new Error().stack || "").split("\\n").at(-1).trim()]);
  const watch = (prototype, property) => {
    const { get, set } = Object.getOwnPropertyDescriptor(prototype, property);
    Object.defineProperty(prototype, property, {
      configurable: true, enumerable: true, get,
      set(value) { note(this, value); set.call(this, value); },
    });
  };
  for (const kind of [HTMLInputElement, HTMLTextAreaElement, HTMLSelectElement]) watch(kind.prototype, "value");
  watch(HTMLInputElement.prototype, "defaultValue");
  watch(HTMLInputElement.prototype, "checked");
  watch(HTMLInputElement.prototype, "files");
  watch(HTMLSelectElement.prototype, "selectedIndex");
  watch(HTMLOptionElement.prototype, "selected");
  const setAttribute = Element.prototype.setAttribute;
  Element.prototype.setAttribute = function (name, value) {
    if (this.matches("input, option") && ["value", "checked", "selected"].includes(name)) note(this, value);
    return setAttribute.call(this, name, value);
  };
})();"""
_ENTRIES: Final = """() => [...document.querySelectorAll("main input, main select, main textarea")]
  .filter((field) => !["hidden", "file", "submit"].includes(field.type))
  .filter((field) => field.name)
  .map((field) => [field.name, ["checkbox", "radio"].includes(field.type) ? field.checked : field.value])"""


def record_writes(context: BrowserContext) -> None:
    """Record writes on every page that `context` opens from now on."""
    context.add_init_script(_RECORD)


def writes(page: Page) -> list[Any]:
    """Return name, value and script of each write on this page."""
    return list(page.evaluate("window.writtenFields"))


def entries(page: Page) -> list[Any]:
    """Return name and entry of all fields that a person can see, except files."""
    return list(page.evaluate(_ENTRIES))

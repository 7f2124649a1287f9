// The field for an API key. The key stays in the page, and in the tab if the person asks for that.

import { isReadable } from "./reasons.js";

const $ = (id) => document.getElementById(id);
const KEPT = "streamd-key";
const ACCEPTED = "The server accepts this key.";
const READABLE = "This page came without https: others on the network can read the key.";

export class KeyField {
  /** `onChange()`: another key was typed. */
  constructor(onChange) {
    const kept = storage((tab) => tab.getItem(KEPT));
    $("key").value = kept ?? "";
    $("keep-key").checked = Boolean(kept);
    if (kept) this.open();
    $("use-key").addEventListener("click", () => this.ask());
    $("key").addEventListener("change", () => {
      this.note("");
      onChange();
    });
    $("key").addEventListener("keydown", (event) => {
      if (event.key !== "Enter") return;
      event.preventDefault(); // it says that the key is typed, not that the microphone may open
      $("key").blur();
    });
    $("keep-key").addEventListener("change", () => this.keep());
  }

  get value() {
    return $("key").value.trim();
  }

  /** Show the field, and ask for a key. */
  ask() {
    this.open();
    $("key").focus();
    $("key").select();
  }

  /** The server answered to this key. */
  judged(accepted) {
    this.accepted = accepted;
    this.note(accepted ? ACCEPTED : "");
    $("key").setAttribute("aria-invalid", String(Boolean(this.value) && !accepted));
    this.keep();
  }

  open() {
    $("key-row").hidden = false;
    $("use-key").hidden = true;
    this.note("");
  }

  note(text) {
    $("key-note").textContent = [text, isReadable(location) ? READABLE : ""].filter(Boolean).join(" ");
  }

  /** Keep a good key in the tab, or forget it. */
  keep() {
    const wanted = $("keep-key").checked && this.accepted && this.value;
    storage((tab) => (wanted ? tab.setItem(KEPT, this.value) : tab.removeItem(KEPT)));
  }
}

/** A browser may forbid a page to store anything; then nothing is kept. */
function storage(use) {
  try {
    return use(sessionStorage);
  } catch {
    return undefined;
  }
}

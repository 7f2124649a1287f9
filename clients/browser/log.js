// The event log: one wire event per line, filtered, bounded, copied as JSON lines.

import { EventLog, FILTERS, group, shows } from "./model.js";
import { clock } from "./protocol.js";

/** Shows an `EventLog` in a list, newest last; follows it unless the reader scrolled up. */
export class LogView {
  constructor(elements) {
    Object.assign(this, elements); // list, filters, interim, copy, clear
    this.log = new EventLog();
    this.filter = "all";
    this.groups = new Set(["all"]);
    this.following = true;
    const { list } = this;
    list.addEventListener("scroll", () => {
      this.following = list.scrollHeight - list.scrollTop - list.clientHeight < 40;
    });
    new ResizeObserver(() => this.follow()).observe(list); // lines wrap otherwise on a turned phone
    this.interim.addEventListener("change", () => this.redraw());
    this.clear.addEventListener("click", () => this.empty());
    this.copy.addEventListener("click", () => this.toClipboard());
    this.drawFilters();
  }

  add(event) {
    if (!this.log.add(event)) return;
    const name = group(event.type);
    if (!this.groups.has(name)) {
      this.groups.add(name);
      this.drawFilters();
    }
    if (!shows(event, this.filter, this.interim.checked)) return;
    const { list } = this;
    list.append(row(event));
    while (list.childElementCount > this.log.limit) list.firstElementChild.remove();
    this.follow();
  }

  follow() {
    if (this.following) this.list.scrollTop = this.list.scrollHeight;
  }

  empty() {
    this.log.events = [];
    this.redraw();
  }

  redraw() {
    const shown = this.log.events.filter((event) => shows(event, this.filter, this.interim.checked));
    this.list.replaceChildren(...shown.map(row));
    this.list.scrollTop = this.list.scrollHeight;
  }

  drawFilters() {
    const buttons = FILTERS.filter((name) => this.groups.has(name)).map((name) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = name;
      button.setAttribute("aria-pressed", String(name === this.filter));
      button.addEventListener("click", () => {
        this.filter = name;
        for (const other of this.filters.children) {
          other.setAttribute("aria-pressed", String(other === button));
        }
        this.redraw();
      });
      return button;
    });
    const focused = [...this.filters.children].indexOf(document.activeElement);
    this.filters.replaceChildren(...buttons);
    if (focused >= 0) buttons[focused].focus();
  }

  async toClipboard() {
    const text = this.log.text(this.filter, this.interim.checked);
    const copied = await copyText(text);
    this.copy.textContent = copied ? "Copied" : "Not allowed";
    setTimeout(() => (this.copy.textContent = "Copy"), 1500);
  }
}

/** `navigator.clipboard` needs a secure origin; the old way does not. */
async function copyText(text) {
  if (navigator.clipboard) {
    return navigator.clipboard.writeText(text).then(() => true, () => false);
  }
  const area = document.createElement("textarea");
  area.value = text;
  document.body.append(area);
  area.select();
  const copied = document.execCommand("copy");
  area.remove();
  return copied;
}

function row(event) {
  const item = document.createElement("li");
  item.className = group(event.type);
  if (event.final === false) item.classList.add("interim");
  if (event.type === "error") item.classList.add("error");
  const time = document.createElement("span");
  time.className = "time";
  time.textContent = typeof event.t1 === "number" ? clock(event.t1) : "";
  const json = document.createElement("code");
  json.append(...tinted(event));
  item.append(time, json);
  return item;
}

/** The event's JSON with the keys apart from the values; its text is the JSON itself. */
function tinted(event) {
  const parts = ["{"];
  Object.entries(event).forEach(([key, value], index) => {
    const name = document.createElement("i");
    name.textContent = `${index > 0 ? ", " : ""}"${key}": `;
    const content = document.createElement(key === "type" ? "b" : "span");
    content.textContent = JSON.stringify(value);
    parts.push(name, content);
  });
  return [...parts, "}"];
}

// Copy buttons, the light or dark switch, the mark in the contents, and search. Every page works without.

const base = document.body.dataset.base;

for (const button of document.querySelectorAll(".copy")) {
  if (!navigator.clipboard && !document.queryCommandSupported?.("copy")) break;
  button.hidden = false;
  button.addEventListener("click", async () => {
    const code = button.parentElement.querySelector("code");
    try {
      await navigator.clipboard.writeText(code.textContent.trimEnd());
    } catch {
      getSelection().selectAllChildren(code);
      document.execCommand("copy");
    }
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  });
}

const theme = document.querySelector(".theme");
theme.hidden = false;
theme.addEventListener("click", () => {
  const root = document.documentElement;
  const isDark = root.dataset.theme
    ? root.dataset.theme === "dark"
    : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = isDark ? "light" : "dark";
  try {
    localStorage.setItem("theme", root.dataset.theme);
  } catch {
    // The choice lasts for this page.
  }
});

const entries = new Map(
  [...document.querySelectorAll(".contents a")].map((link) => [link.hash.slice(1), link]),
);
if (entries.size) {
  const headings = [...document.querySelectorAll("h2[id], h3[id]")].filter((one) => entries.has(one.id));
  const mark = () => {
    const passed = headings.filter((one) => one.getBoundingClientRect().top < 120);
    const here = (passed.at(-1) ?? headings[0])?.id;
    for (const [id, link] of entries) link.toggleAttribute("data-here", id === here);
  };
  addEventListener("scroll", mark, { passive: true });
  mark();
}

document.querySelector(".menu [aria-current]")?.scrollIntoView({ block: "nearest" });

// Search.
const form = document.querySelector(".search");
const box = form.querySelector("input");
const results = form.querySelector(".results");
const SHOWN = 12;
form.hidden = false;

let loading;
function load() {
  loading ??= new Promise((resolve) => {
    const script = document.createElement("script");
    script.src = `${base}assets/search-index.js`;
    script.addEventListener("load", resolve);
    document.head.append(script);
  });
  return loading;
}

function score(words, title, heading, text) {
  let sum = 0;
  for (const word of words) {
    const inHeading = heading.includes(word), inTitle = title.includes(word);
    const times = text.split(word).length - 1;
    if (!inHeading && !inTitle && !times) return 0;
    sum += (inHeading ? 12 : 0) + (heading === word ? 12 : 0) + (inTitle ? 6 : 0) + Math.min(times, 5);
  }
  return sum;
}

function found(query) {
  const words = query.toLowerCase().split(/\s+/).filter(Boolean);
  if (!words.length) return [];
  return globalThis.searchIndex
    .map((entry) => [score(words, ...entry.slice(1).map((part) => part.toLowerCase())), entry])
    .filter(([points]) => points)
    .sort(([one], [other]) => other - one)
    .slice(0, SHOWN)
    .map(([, [url, title, heading, text]]) => ({ url, title, heading, text, words }));
}

function excerpt({ text, words }) {
  const at = text.toLowerCase().indexOf(words[0]);
  const from = Math.max(0, at - 40);
  return (from ? "…" : "") + text.slice(from, from + 140);
}

function show(items, query) {
  results.replaceChildren(
    ...items.map((item) => {
      const link = document.createElement("a");
      link.href = base + item.url;
      const head = document.createElement("strong");
      head.textContent = item.heading || item.title;
      const place = document.createElement("span");
      place.textContent = item.heading && item.heading !== item.title ? item.title : "";
      const body = document.createElement("small");
      body.textContent = excerpt(item);
      link.append(head, place, body);
      return link;
    }),
  );
  if (!items.length && query) results.textContent = "Nothing found.";
  results.hidden = !query;
}

box.addEventListener("focus", load);
box.addEventListener("input", async () => {
  await load();
  show(found(box.value), box.value.trim());
});
form.addEventListener("submit", (event) => {
  event.preventDefault();
  results.querySelector("a")?.click();
});
form.addEventListener("keydown", (event) => {
  if (event.key === "Escape") {
    results.hidden = true;
    box.blur();
  }
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (!step) return;
  event.preventDefault();
  const stops = [box, ...results.querySelectorAll("a")];
  const next = stops.indexOf(document.activeElement) + step;
  stops[Math.max(0, Math.min(next, stops.length - 1))].focus();
});
addEventListener("click", (event) => {
  if (!form.contains(event.target)) results.hidden = true;
});
addEventListener("keydown", (event) => {
  if (event.key === "/" && !/^(INPUT|TEXTAREA)$/.test(document.activeElement.tagName)) {
    event.preventDefault();
    box.focus();
  }
});

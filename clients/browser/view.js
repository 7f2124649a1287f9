// The page's elements: state, notice, the "now" strip, choices. Draws no canvas, opens no socket.

import { clock, decision, licences, mood, spoken } from "./protocol.js";
import { meter } from "./pcm.js";

const $ = (id) => document.getElementById(id);

/** The connection's phase, for the eye and for screen readers. */
export function showPhase(phase, text) {
  document.body.dataset.phase = phase;
  $("state").textContent = text;
  const running = phase !== "idle";
  $("listen").textContent = running ? "Stop" : "Start listening";
  $("play").disabled = running;
  $("choices").disabled = running;
}

/** A message that stays until the next start. */
export function showNotice(text, { failed = true } = {}) {
  $("notice").textContent = text;
  $("notice").hidden = !text;
  $("notice").classList.toggle("failed", failed);
}

/** Say something to screen readers only. */
export function announce(text) {
  $("announce").textContent = text;
}

/** Chips for what the server offers; the first word and every module start chosen. */
export function showOffers({ words, modules }) {
  const preferred = words.includes("alexa") ? "alexa" : words[0];
  $("words").replaceChildren(...words.map((word) => chip("word", word, word === preferred)));
  $("modules").replaceChildren(...modules.map((name) => chip("module", name, true)));
  $("mood-cell").hidden = !modules.includes("emotion");
  showMood(null);
}

/** What is chosen now. */
export function choices() {
  const chosen = (name) => [...document.querySelectorAll(`input[name=${name}]:checked`)].map((box) => box.value);
  const offered = [...document.querySelectorAll("input[name=module]")].map((box) => box.value);
  return { words: chosen("word"), modules: chosen("module"), offered };
}

/** Licences of the models in use, as the server names them. */
export function showLicences(modules) {
  const line = licences(modules);
  if (line) $("licences").textContent = `Models: ${line}`;
}

/** The server's version, in the footer. */
export function showVersion(version) {
  if (typeof version === "string") $("version").textContent = `streamd ${version}`;
}

let moodShown;

/** The mood, with a bar for every label; none of them stands out while the server is unsure. */
function showMood(event) {
  moodShown = event;
  const { text, sure, note, odds, aria } = mood(event);
  put("mood", text);
  put("mood-note", note);
  $("mood-cell").classList.toggle("unsure", Boolean(event) && !sure);
  $("odds").setAttribute("aria-label", aria);
  // Kept between events, so that they grow and shrink instead of blinking.
  while ($("odds").childElementCount > odds.length) $("odds").lastElementChild.remove();
  while ($("odds").childElementCount < odds.length) $("odds").append(namedBar());
  odds.forEach(({ label, share, says, top }, index) => {
    const bar = $("odds").children[index];
    bar.dataset.says = says;
    bar.classList.toggle("top", top);
    bar.style.setProperty("--share", share.toFixed(3));
    bar.lastElementChild.textContent = label;
  });
}

function namedBar() {
  const element = document.createElement("span");
  element.append(document.createElement("i"), document.createElement("small"));
  return element;
}

/** The "now" strip, from the timeline. `colourOf` gives the colour of a voice. */
export function showNow(timeline, colourOf) {
  document.body.classList.toggle("speaking", timeline.speaking);
  put("voice", timeline.speaking ? "Speaking" : "Quiet");
  const { lastSpeaker, lastWake, lastMood } = timeline;
  $("swatch").hidden = !lastSpeaker;
  if (lastSpeaker) {
    $("swatch").style.backgroundColor = colourOf(timeline.voice(lastSpeaker.speaker));
    put("speaker", lastSpeaker.speaker ?? "Unknown");
    put("speaker-note", decision(lastSpeaker));
  } else {
    put("speaker", "–");
    put("speaker-note", "nobody yet");
  }
  if (timeline.hasMoods) $("mood-cell").hidden = false;
  if (lastMood !== moodShown) showMood(lastMood);
  put("wake", lastWake ? spoken(lastWake.word) : "–");
  put("wake-note", lastWake ? `${lastWake.score?.toFixed?.(2) ?? ""} at ${clock(lastWake.t1)}` : "none yet");
}

/** The level meter. */
export function showLevel(level) {
  $("level").style.transform = `scaleX(${meter(level).toFixed(3)})`;
}

/** Median and 95th percentile of the last events. */
export function showLatency(latency) {
  const median = latency.quantile(0.5);
  put("latency", median === null ? "–" : `${Math.round(median)} ms`);
  put("latency-note", median === null ? "from sound to event" : `median · p95 ${Math.round(latency.quantile(0.95))} ms`);
}

function put(id, text) {
  const element = $(id);
  if (element.textContent !== text) element.textContent = text;
}

function chip(name, value, checked) {
  const label = document.createElement("label");
  const box = document.createElement("input");
  Object.assign(box, { type: "checkbox", name, value, checked });
  const text = document.createElement("span");
  text.textContent = spoken(value);
  label.append(box, text);
  return label;
}

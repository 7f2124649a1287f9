// Wires the parts: buttons → session → timeline, strip and log.

import { describe } from "./access.js";
import { TimelineCanvas } from "./canvas.js";
import { KeyField } from "./keyfield.js";
import { LogView } from "./log.js";
import { Microphone, microphoneObstacle } from "./microphone.js";
import { Latency, Timeline } from "./model.js";
import { offers, spoken } from "./protocol.js";
import { Session } from "./session.js";
import { SoundFile } from "./soundfile.js";
import { summary } from "./stream.js";
import * as view from "./view.js";

const $ = (id) => document.getElementById(id);
const calm = matchMedia("(prefers-reduced-motion: reduce)");
const CALM_FRAME_MS = 250;

const timeline = new Timeline();
const latency = new Latency();
const canvas = new TimelineCanvas($("timeline"), timeline);
const log = new LogView({
  list: $("log"), filters: $("filters"), interim: $("interim"), copy: $("copy"), clear: $("clear"),
});
const keyField = new KeyField(greet);
let session;
let greeting;
let needsKey = false;
let farewell;
let sentAt = 0;
let level = 0;
let paintedAt = 0;

async function start(makeSource) {
  await greeting; // a key that was typed just now is looked at first
  if (session) return;
  if (needsKey) {
    keyField.ask();
    return;
  }
  farewell = undefined;
  view.showNotice("");
  const key = keyField.value;
  session = new Session(makeSource(key), { ...view.choices(), key }, {
    onPhase: view.showPhase,
    onFresh() {
      timeline.reset();
      latency.reset();
      $("timeline-hint").hidden = true;
    },
    onLevel(headMs, peak) {
      sentAt = performance.now();
      latency.sent(headMs, sentAt);
      timeline.level(headMs, peak);
      level = Math.max(peak, level);
    },
    onEvent,
    onOver({ text, failed, key }) {
      session = undefined;
      level = 0;
      view.showPhase("idle", failed ? "Stopped" : "Ready");
      view.showNotice(failed ? text : (farewell ?? ""), { failed });
      if (key) keyField.ask();
    },
  });
  requestAnimationFrame(paint);
  session.run();
}

function onEvent(event) {
  log.add(event);
  timeline.apply(event);
  if (typeof event.at === "number") latency.heard(event.at, performance.now());
  if (event.type === "ready") view.showLicences(event.modules);
  if (event.type === "wake") view.announce(`Wake word ${spoken(event.word)}`);
  if (event.type === "bye") farewell = summary(event);
  if (event.type === "error" && !event.fatal) view.showNotice(event.message);
}

function paint(now) {
  if (now - paintedAt >= (calm.matches ? CALM_FRAME_MS : 0)) {
    paintedAt = now;
    // Messages come in steps of 20 ms; between them the picture moves on with the wall clock.
    const since = calm.matches ? 0 : Math.min(20, now - sentAt);
    canvas.draw(timeline.headMs + Math.max(0, since));
    view.showNow(timeline, (voice) => canvas.colourOf(voice));
    view.showLevel(level);
    view.showLatency(latency);
    level *= 0.85;
  }
  if (session) requestAnimationFrame(paint);
}

$("controls").addEventListener("submit", (event) => {
  event.preventDefault();
  if (session) session.stop();
  else start((key) => new Microphone(key));
});
$("play").addEventListener("click", () => $("file").click());
$("file").addEventListener("change", () => {
  const [file] = $("file").files;
  $("file").value = ""; // so that the same file can be chosen again
  if (file && !session) start(() => new SoundFile(file));
});
// On the whole window: a browser opens a file that is dropped beside the target, and the page is gone.
addEventListener("dragover", (event) => {
  event.preventDefault();
  event.dataTransfer.dropEffect = session ? "none" : "copy";
});
addEventListener("drop", (event) => {
  event.preventDefault();
  const [file] = event.dataTransfer.files;
  if (file && !session) start(() => new SoundFile(file));
});

/** Ask what the server offers to whoever has this key, and say what is missing. */
function greet() {
  const asked = (greeting = meet(() => asked === greeting));
}

async function meet(isLatest) {
  const key = keyField.value;
  const { info, end } = await describe(key);
  if (!isLatest()) return; // another key was typed meanwhile
  needsKey = Boolean(end?.key);
  if (key || needsKey) keyField.judged(Boolean(info));
  if (needsKey) keyField.ask();
  view.showOffers(needsKey ? { words: [], modules: [] } : offers(info)); // a key decides what there is
  view.showLicences(info?.modules);
  view.showVersion(info?.version);
  if (session) return;
  view.showNotice(end?.text ?? microphoneObstacle(key) ?? "", { failed: Boolean(end) });
  view.showPhase("idle", needsKey ? "Needs a key" : end ? "Not connected" : "Ready");
}

greet();

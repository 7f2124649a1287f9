// Draws the timeline model: level, arousal and speech above, one lane per voice below, the clock.

import { slopes } from "./model.js";
import { meter } from "./pcm.js";
import { spoken } from "./protocol.js";

const LANE_PX = 26;
const MAX_LANES = 4;
const AXIS_PX = 24;
const TOP_PX = 22;
const AROUSAL_SHARE = 0.28; // of the height of the speech
const MOOD_PX = 17;
const TICK_MS = 5000;
const NARROW_PX = 600;

/** Paints one `Timeline` on one canvas, sized by CSS and sharp at any pixel ratio. */
export class TimelineCanvas {
  constructor(canvas, model) {
    this.canvas = canvas;
    this.model = model;
    this.context = canvas.getContext("2d");
    this.readColours();
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.readColours());
    new ResizeObserver(() => this.fit()).observe(canvas);
  }

  readColours() {
    const style = getComputedStyle(document.documentElement);
    const read = (name) => style.getPropertyValue(name).trim();
    this.colours = {
      ink: read("--ink"), muted: read("--muted"), line: read("--line"), accent: read("--accent"),
      speech: read("--speech"), paper: read("--card"), wave: read("--wave"),
      voices: [1, 2, 3, 4, 5, 6].map((n) => read(`--voice-${n}`)),
    };
    const { fontFamily } = getComputedStyle(document.body);
    this.font = `12px ${fontFamily}`;
    this.smallFont = `11px ${fontFamily}`;
    this.fit();
  }

  fit() {
    const ratio = devicePixelRatio;
    const { width, height } = this.canvas.getBoundingClientRect();
    this.width = width;
    this.height = height;
    this.canvas.width = Math.round(width * ratio);
    this.canvas.height = Math.round(height * ratio);
    this.context.setTransform(ratio, 0, 0, ratio, 0, 0);
    this.draw();
  }

  colourOf(voice) {
    return voice < 0 ? this.colours.muted : this.colours.voices[voice % this.colours.voices.length];
  }

  /** Paint with `headMs` at the right edge. */
  draw(headMs = this.model.headMs) {
    const { context: pen, model, width, height } = this;
    this.spanMs = width < NARROW_PX ? model.windowMs / 2 : model.windowMs;
    this.startMs = headMs - this.spanMs;
    this.scale = width / this.spanMs;
    const lanes = model.lanes(this.startMs, MAX_LANES);
    // Room for two lanes is always kept, so that the picture does not jump at the first voice.
    const laneTop = height - AXIS_PX - Math.max(2, lanes.length) * LANE_PX;
    const floor = laneTop - 10 - (model.hasMoods ? MOOD_PX - 7 : 0);
    const shelf = model.hasMoods ? floor - Math.round((floor - TOP_PX) * AROUSAL_SHARE) : floor;
    pen.clearRect(0, 0, width, height);
    pen.font = this.font;
    this.drawAxis(height - AXIS_PX);
    this.drawSpeech(floor);
    this.drawGaps(floor);
    this.drawLevels(shelf);
    if (model.hasMoods) {
      this.drawArousal(shelf, floor);
      this.drawMoods(floor + MOOD_PX / 2 + 1);
    }
    lanes.forEach((lane, row) => this.drawLane(lane, laneTop + row * LANE_PX));
    this.drawChanges(laneTop - 4, height - AXIS_PX);
    this.drawWakes(floor);
  }

  x(ms) {
    return (ms - this.startMs) * this.scale;
  }

  drawAxis(top) {
    const pen = this.context;
    pen.fillStyle = this.colours.line;
    pen.fillRect(0, top, this.width, 1);
    pen.fillStyle = this.colours.muted;
    pen.textBaseline = "middle";
    pen.textAlign = "left";
    const first = Math.max(0, Math.ceil(this.startMs / TICK_MS) * TICK_MS);
    for (let ms = first; ms < this.startMs + this.spanMs; ms += TICK_MS) {
      if (this.x(ms) > this.width - 40) continue; // its label would be cut off
      pen.fillRect(this.x(ms), top, 1, 5);
      const seconds = String((ms / 1000) % 60).padStart(2, "0");
      pen.fillText(`${Math.floor(ms / 60000)}:${seconds}`, this.x(ms) + 6, top + AXIS_PX / 2 + 2);
    }
  }

  drawSpeech(floor) {
    const pen = this.context;
    pen.fillStyle = this.colours.speech;
    for (const segment of this.model.speech.values()) pen.fill(this.box(segment, floor));
  }

  box({ t0, t1, open }, floor) {
    const path = new Path2D();
    const end = open ? this.width : this.x(t1);
    path.roundRect(this.x(t0), TOP_PX, Math.max(2, end - this.x(t0)), floor - TOP_PX, 6);
    return path;
  }

  stretch(t0, t1) {
    const path = new Path2D();
    path.rect(this.x(t0), 0, Math.min(this.x(t1), this.width) - this.x(t0), this.height);
    return path;
  }

  drawGaps(floor) {
    const pen = this.context;
    pen.fillStyle = this.colours.line;
    for (const { t0, t1 } of this.model.gaps) {
      pen.fillRect(this.x(t0), TOP_PX, Math.max(2, this.x(t1) - this.x(t0)), floor - TOP_PX);
    }
  }

  drawLevels(floor) {
    const pen = this.context;
    const middle = (TOP_PX + floor) / 2;
    const reach = (floor - TOP_PX) / 2 - 6;
    const spacing = 3; // one bar per 3 px: the loudest of its columns
    const highest = new Map();
    for (const [ms, peak] of this.model.columns()) {
      // Binned by stream time, not by pixel, so that bars slide without flickering.
      const bin = Math.floor((ms * this.scale) / spacing);
      highest.set(bin, Math.max(highest.get(bin) ?? 0, peak));
    }
    pen.fillStyle = this.colours.wave;
    pen.beginPath();
    for (const [bin, peak] of highest) {
      const half = Math.max(0.75, meter(peak) ** 2 * reach);
      pen.roundRect(bin * spacing - this.startMs * this.scale, middle - half, 2, 2 * half, 1);
    }
    pen.fill();
  }

  /** A line for each voice of an utterance, in its colour, in the part below the level. */
  drawArousal(top, floor) {
    const pen = this.context;
    const { model } = this;
    const [low, high] = [floor - 5, top + 4];
    let first = this.width;
    const parts = [...model.moods].flatMap(([utterance, moods]) => moods.map((mood) => [utterance, mood]));
    for (const [utterance, { t0, t1, until, points }] of parts) {
      if (points.length === 0 || this.x(t1) < 0) continue;
      const segment = model.speech.get(utterance);
      const voice = model.voiceAt(utterance, t0);
      const places = points.map(([ms, arousal]) => [this.x(ms), low + (high - low) * arousal]);
      const line = curve(places);
      const area = new Path2D(line);
      area.lineTo(places.at(-1)[0], floor);
      area.lineTo(places[0][0], floor);
      pen.save();
      if (segment) pen.clip(this.box(segment, floor));
      pen.clip(this.stretch(t0, until));
      pen.fillStyle = pen.strokeStyle = voice < 0 ? this.colours.accent : this.colourOf(voice);
      pen.lineWidth = 1.75;
      pen.stroke(line);
      if (segment?.open && until === Infinity) pen.fill(dot(...places.at(-1)));
      pen.globalAlpha = 0.14;
      pen.fill(area);
      pen.restore();
      first = Math.min(first, places[0][0]);
    }
    // The name of the line, as long as no line runs there.
    pen.font = this.smallFont;
    pen.fillStyle = this.colours.muted;
    pen.textBaseline = "middle";
    pen.globalAlpha = Math.min(1, Math.max(0, (first - pen.measureText("arousal").width - 14) / 24));
    pen.fillText("arousal", 8, (top + floor) / 2);
    pen.globalAlpha = 1;
    pen.font = this.font;
  }

  /** The label of every utterance under its speech, where the server is sure of it. */
  drawMoods(middle) {
    const pen = this.context;
    pen.font = this.smallFont;
    pen.fillStyle = this.colours.muted;
    pen.textBaseline = "middle";
    let free = this.width - 4; // from here on the row is taken by a later label
    for (const { final } of [...this.model.moods.values()].flat().reverse()) {
      if (!final || final.abstain) continue;
      const [left, right] = [this.x(final.t0), this.x(final.t1)];
      const width = pen.measureText(final.label).width;
      const at = Math.min(Math.max(left, 8), Math.max(left, right - width)) + 1;
      if (at + width > free) continue;
      pen.fillText(final.label, at, middle);
      free = at - 8;
    }
    pen.font = this.font;
  }

  drawLane({ name, voice, bands }, top) {
    const pen = this.context;
    const colour = this.colourOf(voice);
    for (const { t0, t1, decision, score, final } of bands) {
      const left = this.x(t0);
      const width = Math.max(4, this.x(t1) - left);
      const sure = decision === "accept";
      const solid = sure && final;
      pen.beginPath();
      pen.roundRect(left + 0.5, top + 0.5, width, LANE_PX - 7, 5);
      pen.fillStyle = colour;
      pen.globalAlpha = solid ? 1 : sure ? 0.4 : 0.16;
      pen.fill();
      pen.globalAlpha = 1;
      if (!sure) {
        pen.strokeStyle = colour;
        pen.setLineDash(decision === "reject" ? [3, 3] : []);
        pen.stroke();
        pen.setLineDash([]);
      }
      const label = name ?? (decision === "too_short" ? "too short" : "unknown");
      const scored = name === null ? label : `${label}  ${score?.toFixed?.(2) ?? ""}`;
      const room = left + width - Math.max(left, 0) - 14;
      const text = [scored, label].find((choice) => pen.measureText(choice).width <= room);
      if (!text) continue;
      pen.fillStyle = solid ? this.colours.paper : this.colours.ink;
      pen.textBaseline = "middle";
      pen.fillText(text, Math.max(left, 0) + 8, top + (LANE_PX - 6) / 2 + 0.5);
    }
  }

  drawChanges(top, bottom) {
    const pen = this.context;
    pen.fillStyle = this.colours.ink;
    for (const { t0 } of this.model.changes) pen.fillRect(this.x(t0), top, 1, bottom - top - 4);
  }

  drawWakes(floor) {
    const pen = this.context;
    pen.fillStyle = this.colours.accent;
    pen.textBaseline = "middle";
    let written = -Infinity;
    for (const { t0, t1, word, score } of this.model.wakes) {
      const left = this.x(t0);
      pen.fillRect(left, 20, Math.max(2, this.x(t1) - left), 3);
      pen.fillRect(this.x(t1) - 1.5, 20, 1.5, floor - 20);
      const label = `${spoken(word)}  ${score?.toFixed?.(2) ?? ""}`;
      const width = pen.measureText(label).width;
      const at = Math.min(left, this.width - width - 4);
      if (at < written) continue; // two labels on top of each other say nothing
      pen.fillText(label, at, 9);
      written = at + width + 8;
    }
  }
}

/** A smooth line through pixels that stays between them. */
function curve(places) {
  const path = new Path2D();
  const slope = slopes(places);
  path.moveTo(...places[0]);
  for (let i = 1; i < places.length; i++) {
    const [[x0, y0], [x1, y1]] = [places[i - 1], places[i]];
    const third = (x1 - x0) / 3;
    path.bezierCurveTo(x0 + third, y0 + slope[i - 1] * third, x1 - third, y1 - slope[i] * third, x1, y1);
  }
  return path;
}

function dot(x, y) {
  const path = new Path2D();
  path.arc(x, y, 3, 0, 2 * Math.PI);
  return path;
}

// What the page remembers of a session: the last seconds on the stream's clock. No DOM.

const COLUMN_MS = 20;

/** The last `windowMs` of levels and events, and what is going on at its head. */
export class Timeline {
  constructor(windowMs = 30_000) {
    this.windowMs = windowMs;
    this.voices = new Map(); // name or label → order of first appearance, which picks the colour
    this.reset();
  }

  /** A new session starts its clock at 0. Voices keep their colours. */
  reset() {
    this.headMs = 0;
    this.peaks = new Float32Array(Math.ceil(this.windowMs / COLUMN_MS) + 1);
    this.speech = new Map(); // utterance → {t0, t1, open}
    // By utterance, one entry for each voice that spoke in it, in order of time:
    this.speakers = new Map(); // [{t0, t1, voice, decision, score, final}, …]
    this.moods = new Map(); // [{t0, t1, until, points: [[ms, arousal], …], final}, …]
    this.wakes = [];
    this.changes = [];
    this.gaps = [];
    this.lastSpeaker = null;
    this.lastWake = null;
    this.lastMood = null;
    this.hasMoods = false; // whether this session listens for them
  }

  get speaking() {
    return [...this.speech.values()].some((segment) => segment.open);
  }

  /** Audio up to `headMs` was sent, this loud. */
  level(headMs, peak) {
    const first = Math.floor(this.headMs / COLUMN_MS);
    const last = Math.floor(headMs / COLUMN_MS);
    for (let column = first; column < last; column++) {
      this.peaks[column % this.peaks.length] = peak;
    }
    this.headMs = headMs;
    this.forget();
  }

  /** Columns of level from `startMs` on, oldest first, as [ms, peak]. */
  *columns() {
    const last = Math.floor(this.headMs / COLUMN_MS);
    for (let column = Math.max(0, last - this.peaks.length + 1); column < last; column++) {
      yield [column * COLUMN_MS, this.peaks[column % this.peaks.length]];
    }
  }

  /** Take a wire event; types and fields that are not known are left alone. */
  apply(event) {
    switch (event.type) {
      case "speech_start":
        this.speech.set(event.utterance, { t0: event.t0, t1: event.t1, open: true });
        break;
      case "speech_end":
        this.speech.set(event.utterance, { t0: event.t0, t1: event.t1, open: false });
        break;
      case "speaker":
        this.identify(event);
        this.lastSpeaker = event;
        break;
      case "speaker_change":
        this.voice(event.to);
        this.changes.push(event);
        this.split(event);
        break;
      case "wake":
        this.wakes.push(event);
        this.lastWake = event;
        break;
      case "ready":
        this.hasMoods = Boolean(event.modules?.emotion);
        break;
      case "emotion":
        this.hasMoods = true;
        this.lastMood = event;
        this.track(event);
        break;
      case "gap":
        this.gaps.push(event);
        break;
    }
  }

  /** A decision replaces the one about the same voice: the one that begins where it does. */
  identify(event) {
    const bands = this.speakers.get(event.utterance) ?? [];
    const earlier = bands.filter(({ t0 }) => t0 < event.t0).map((band) => ended(band, event.t0));
    this.speakers.set(event.utterance, [...earlier, { ...event, voice: this.voice(event.speaker) }]);
  }

  /** Another voice took over: what is known of the utterance so far is about the one before. */
  split({ utterance, t0 }) {
    const bands = this.speakers.get(utterance);
    if (bands) this.speakers.set(utterance, bands.map((band) => (band.t0 < t0 ? ended(band, t0) : band)));
    const mood = this.moods.get(utterance)?.at(-1);
    if (mood) Object.assign(mood, { t1: Math.min(mood.t1, t0), until: Math.min(mood.until, t0) });
  }

  /** An interim is a point at the end of its evidence; the first one holds for all of it. */
  track(event) {
    const moods = this.moods.get(event.utterance) ?? [];
    this.moods.set(event.utterance, moods);
    let mood = moods.at(-1);
    if (!mood || mood.until < Infinity) {
      // The first evidence on a new voice may begin before the place where it took over.
      const t0 = Math.max(event.t0, mood?.until ?? 0);
      mood = { t0, t1: event.t1, until: Infinity, points: [], final: null };
      moods.push(mood);
    }
    mood.t1 = Math.max(mood.t1, event.t1);
    if (event.final) mood.final = event;
    const { points } = mood;
    if (!Number.isFinite(event.arousal)) return;
    const arousal = Math.min(1, Math.max(0, event.arousal));
    if (points.length === 0) points.push([event.t0, arousal], [event.t1, arousal]);
    else if (!event.final && event.t1 > points.at(-1)[0]) points.push([event.t1, arousal]);
  }

  /** The order in which a voice first appeared; −1 for nobody in particular. */
  voice(name) {
    if (name === null || name === undefined) return -1;
    if (!this.voices.has(name)) this.voices.set(name, this.voices.size);
    return this.voices.get(name);
  }

  /** The `limit` voices last heard since `fromMs`, in order of first appearance, with their bands. */
  lanes(fromMs = 0, limit = Infinity) {
    const lanes = new Map();
    for (const band of [...this.speakers.values()].flat()) {
      if (band.t1 < fromMs) continue;
      const name = band.speaker ?? null;
      if (!lanes.has(name)) lanes.set(name, { name, voice: band.voice, bands: [] });
      lanes.get(name).bands.push(band);
    }
    const lastHeard = (lane) => Math.max(...lane.bands.map((band) => band.t1));
    return [...lanes.values()]
      .sort((a, b) => lastHeard(b) - lastHeard(a))
      .slice(0, limit)
      .sort((a, b) => (a.voice >>> 0) - (b.voice >>> 0)); // nobody in particular comes last
  }

  /** The colour of whoever spoke in an utterance at a time; −1 for nobody in particular. */
  voiceAt(utterance, ms) {
    return this.speakers.get(utterance)?.findLast(({ t0 }) => t0 <= ms)?.voice ?? -1;
  }

  forget() {
    const oldest = this.headMs - this.windowMs;
    for (const [utterance, { open, t1 }] of this.speech) {
      if (!open && t1 < oldest) this.speech.delete(utterance);
    }
    for (const map of [this.speakers, this.moods]) {
      for (const [utterance, parts] of map) {
        while (parts.length > 0 && parts[0].t1 < oldest) parts.shift();
        if (parts.length === 0) map.delete(utterance);
      }
    }
    for (const { points } of [...this.moods.values()].flat()) {
      // One point before the window stays: the line comes in from there.
      while (points.length > 2 && points[1][0] <= oldest) points.shift();
    }
    for (const list of [this.wakes, this.changes, this.gaps]) {
      while (list.length > 0 && list[0].t1 < oldest) list.shift();
    }
  }
}

/** A band that another voice ended: what it says of its own voice stays. */
function ended(band, t0) {
  return { ...band, t1: Math.min(band.t1, t0), final: true };
}

/** Slopes at [x, y] points for a cubic line through them that never overshoots (Steffen 1990). */
export function slopes(points) {
  const last = points.length - 1;
  if (last < 1) return points.map(() => 0);
  const width = (i) => points[i + 1][0] - points[i][0];
  const secant = (i) => (points[i + 1][1] - points[i][1]) / width(i);
  const result = points.map((_, i) => {
    if (i === 0 || i === last) return 0;
    const [before, after] = [secant(i - 1), secant(i)];
    const parabola = (before * width(i) + after * width(i - 1)) / (width(i - 1) + width(i));
    const steepest = Math.min(Math.abs(before), Math.abs(after), Math.abs(parabola) / 2);
    return (Math.sign(before) + Math.sign(after)) * steepest;
  });
  result[0] = last === 1 ? secant(0) : (3 * secant(0) - result[1]) / 2;
  result[last] = last === 1 ? secant(0) : (3 * secant(last - 1) - result[last - 1]) / 2;
  return result;
}

/** How long after the sound left this page its events come back. */
export class Latency {
  constructor(marks = 3000, kept = 40) {
    this.limit = marks;
    this.kept = kept;
    this.reset();
  }

  reset() {
    this.marks = [];
    this.values = [];
  }

  /** Audio up to `streamMs` left at `wallMs`. */
  sent(streamMs, wallMs) {
    this.marks.push([streamMs, wallMs]);
    if (this.marks.length > this.limit) this.marks.splice(0, this.limit / 2);
  }

  /** An event that needed the audio up to `atMs` came at `wallMs`. */
  heard(atMs, wallMs) {
    let low = 0;
    let high = this.marks.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.marks[middle][0] < atMs) low = middle + 1;
      else high = middle;
    }
    if (low === this.marks.length) return;
    this.values.push(wallMs - this.marks[low][1]);
    if (this.values.length > this.kept) this.values.shift();
  }

  /** The p-th quantile of the last values in ms, or null before the first. */
  quantile(p) {
    if (this.values.length === 0) return null;
    const sorted = this.values.toSorted((a, b) => a - b);
    return sorted[Math.min(sorted.length - 1, Math.floor(p * sorted.length))];
  }
}

/** The last events, with what the log shows of them. */
export class EventLog {
  constructor(limit = 400) {
    this.limit = limit;
    this.events = [];
  }

  /** Keep an event; `ack` and `pong` would drown the rest. False if it is not kept. */
  add(event) {
    if (event.type === "ack" || event.type === "pong") return false;
    this.events.push(event);
    if (this.events.length > this.limit) this.events.shift();
    return true;
  }

  /** As JSON lines. */
  text(filter, interim) {
    const shown = this.events.filter((event) => shows(event, filter, interim));
    return shown.map((event) => JSON.stringify(event)).join("\n");
  }
}

const GROUPS = { speech_start: "speech", speech_end: "speech", speaker_change: "speaker" };

/** What the log can be narrowed to, in the order in which it is offered. */
export const FILTERS = ["all", "speech", "wake", "speaker", "emotion", "transcript", "other"];

/** The filter under which a type goes. */
export function group(type) {
  const name = GROUPS[type] ?? type;
  return FILTERS.includes(name) ? name : "other";
}

/** Whether a filter lets an event through. */
export function shows(event, filter, interim) {
  return (interim || event.final !== false) && (filter === "all" || filter === group(event.type));
}

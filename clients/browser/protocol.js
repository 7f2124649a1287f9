// What is said to the server and how its answers read. No DOM, no socket.

export const SUBPROTOCOL = "streamd.v1";
const DEFAULT_WORDS = ["alexa"];
const DEFAULT_MODULES = ["speaker"];

/** The stream's address on the host that served the page. */
export function streamUrl(location, ticket) {
  const url = new URL("/v1/stream", location.href);
  url.protocol = location.protocol === "https:" ? "wss:" : "ws:";
  if (ticket) url.searchParams.set("ticket", ticket);
  return url.href;
}

/** What `/v1/info` offers, where it says so: wake words, and the modules that can be chosen. */
export function offers(info) {
  const modules = info?.modules;
  if (modules === null || typeof modules !== "object") {
    return { words: DEFAULT_WORDS, modules: DEFAULT_MODULES };
  }
  const words = (modules.wake?.words ?? []).map((word) => word?.word ?? word?.name ?? word);
  const present = Object.keys(modules).filter((name) => {
    const module = modules[name];
    return module && module.available !== false && module.loaded !== false;
  });
  return {
    words: words.filter((word) => typeof word === "string"),
    modules: present.filter((name) => name !== "vad" && name !== "wake"),
  };
}

/** The opening message: a module is off when false. `offered` are those that could be chosen. */
export function hello(rate, { words, modules, offered }) {
  const chosen = { vad: {}, wake: words.length > 0 ? { words } : false };
  for (const name of offered) chosen[name] = modules.includes(name) ? {} : false;
  return {
    type: "hello",
    client: "streamd-page/1",
    audio: { codec: "pcm_s16le", rate, channels: 1 },
    modules: chosen,
  };
}

/** "wake CC BY-NC-SA 4.0 · vad MIT" from `ready.modules` or `info.modules`. */
export function licences(modules) {
  return Object.entries(modules ?? {})
    .filter(([, module]) => typeof module?.license === "string")
    .map(([name, module]) => `${name} ${module.license}`)
    .join(" · ");
}

const BASE_MS = 500;
const CAP_MS = 10_000;

/**
 * The wait before an attempt, counted from 1: random and longer each time, never shorter than what
 * the server asked for. The clients of a restarted server spread over some seconds.
 */
export function reconnectWaitMs({ afresh, code, retryAfterMs }, attempt, random = Math.random) {
  const isAlone = code === 4004; // only this client comes back at once
  const longest = Math.min(CAP_MS, BASE_MS * 2 ** (attempt - 1));
  const wait = afresh && !isAlone ? 1000 + random() * 4000 : random() * longest;
  return Math.round((retryAfterMs ?? 0) + wait);
}

/** Stream time as mm:ss.mmm. */
export function clock(ms) {
  const minutes = String(Math.floor(ms / 60000)).padStart(2, "0");
  return `${minutes}:${((ms % 60000) / 1000).toFixed(3).padStart(6, "0")}`;
}

/** A wake word as a person says it: "hey jarvis". */
export function spoken(word) {
  return String(word).replaceAll("_", " ");
}

const DECISIONS = { accept: "accepted", reject: "not enrolled", unsure: "unsure", too_short: "too short to tell" };

/** A speaker decision in words. */
export function decision(event) {
  const words = DECISIONS[event.decision] ?? event.decision ?? "";
  const scored = typeof event.score === "number" && event.decision !== "too_short";
  return scored ? `${words}, ${event.score.toFixed(2)}` : words;
}

const MOODS = ["angry", "disgust", "fearful", "happy", "neutral", "sad", "surprised"];

/**
 * An emotion event in words and shares. A label on which nobody should act is not named: then no
 * share is the `top`. `odds` are in the order of the labels, so that each keeps its place.
 */
export function mood(event) {
  const sure = Boolean(event) && !event.abstain && typeof event.label === "string";
  const known = Object.entries(event?.scores ?? {}).filter(([, share]) => typeof share === "number");
  const shares = known.length > 0 ? known : MOODS.map((label) => [label, 0]);
  const odds = shares.map(([label, share]) => ({
    label,
    share: Math.min(1, Math.max(0, share)),
    says: known.length > 0 ? `${label} ${share.toFixed(2)}` : label,
    top: sure && label === event.label,
  }));
  if (!event) return { text: "–", sure, note: "none yet", odds, aria: "No mood yet" };
  const text = sure ? event.label : "unsure";
  const score = sure ? event.score?.toFixed?.(2) : undefined;
  const arousal = event.arousal?.toFixed?.(2);
  const note = [score, arousal && `arousal ${arousal}`].filter(Boolean).join(" · ");
  const likeliest = known.length > 0 ? odds.toSorted((a, b) => b.share - a.share) : [];
  return { text, sure, note, odds, aria: [text, ...likeliest.map(({ says }) => says)].join(", ") };
}

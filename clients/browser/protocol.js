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

const CLOSES = {
  1000: { text: "Finished." },
  1001: { text: "The server went away.", retry: true, afresh: true },
  1006: { text: "The connection broke.", retry: true },
  1009: { text: "A message was larger than the server takes." },
  1011: { text: "The server failed.", retry: true },
  1012: { text: "The server is restarting.", retry: true, afresh: true },
  4000: { text: "The server did not understand this page; reload it." },
  4001: { text: "The server asks for an API key.", key: true },
  4002: { text: "The server does not accept these choices." },
  4003: { text: "This key may not stream.", key: true },
  4004: { text: "The session is gone.", retry: true, afresh: true },
  4005: { text: "The server does not take this kind of audio." },
  4008: { text: "This page could not keep up with its events.", retry: true },
  4009: { text: "The session was taken over by another connection." },
  4010: { text: "The stream was idle for too long.", retry: true },
  4011: { text: "The session reached its longest duration.", retry: true, afresh: true },
  4012: { text: "Too many messages or connections; wait a little." },
  4013: { text: "The server carries as many streams as it can.", retry: true },
};

/**
 * What a close means, whether another connection may be tried, and whether that has to open a new
 * session (`afresh`) or goes on with this one. `error` is the last error event.
 */
export function explainClose(code, error) {
  const known = CLOSES[code] ?? { text: `The server closed the stream (${code}).` };
  const detail = error?.message ? ` ${sentence(error.message)}` : "";
  return {
    text: known.text + detail,
    retry: Boolean(known.retry),
    afresh: Boolean(known.afresh),
    key: Boolean(known.key),
  };
}

/** Whether the server takes no stream from this page, unless its operator lists the origin. */
export function isNamedWithoutTls({ protocol, hostname }) {
  const isAddress = /^\[.*\]$|^\d+(\.\d+){3}$/.test(hostname);
  return protocol === "http:" && hostname !== "localhost" && !isAddress;
}

/** How to come to a page that may open the microphone and the stream. */
export function tunnel({ hostname, port }) {
  const server = port || "8765";
  return `On your own machine run “ssh -L 8765:127.0.0.1:${server} ${hostname}” and open http://localhost:8765, or serve streamd over https.`;
}

/** Why there is no microphone where the page came over plain http, and what to do. */
export function noMicrophone(location) {
  const file = isNamedWithoutTls(location) ? "" : " Playing a file works here.";
  return `Browsers open the microphone only over https or on localhost. ${tunnel(location)}${file}`;
}

/** What the browser's errors mean, by their name. */
export const MICROPHONE_ERRORS = {
  NotAllowedError: "The microphone was denied. Allow it in the browser’s site settings, then start again.",
  NotFoundError: "There is no microphone. Plug one in, or play a file.",
  NotReadableError: "The microphone is in use by another program, or the system keeps it.",
};

/**
 * Why an upgrade was refused, whose status a page cannot see: by the answer of `/health/ready`,
 * which has a `status` and, where it was readable, a `body`.
 */
export function explainRefusal({ status, body, retryAfterMs }, location) {
  if (status === 401) return { ...explainClose(4001), retryAfterMs };
  if (status === 503 || body?.streams >= body?.max_streams) {
    return { ...explainClose(body?.status === "draining" ? 1012 : 4013), retryAfterMs };
  }
  const text = isNamedWithoutTls(location)
    ? `The server takes no stream from a page at ${location.origin}: without https a name can be made to mean any machine. ${tunnel(location)} Its operator can also list this address in server.origins.`
    : `The server refused the stream. If a proxy stands before it, it has to pass on the headers Host and Upgrade; else list ${location.origin} in server.origins.`;
  return { text, retry: false, key: false };
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

function sentence(text) {
  const capital = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(capital) ? capital : `${capital}.`;
}

// Why something does not work, and what a person can do. No DOM, no socket, no fetch.

const CLOSES = {
  1000: { text: "Finished." },
  1001: { text: "The server went away.", retry: true, afresh: true },
  1006: { text: "The connection broke.", retry: true },
  1009: { text: "A message was larger than the server takes." },
  1011: { text: "The server failed.", retry: true },
  1012: { text: "The server is restarting.", retry: true, afresh: true },
  4000: { text: "The server did not understand this page; reload it." },
  4001: { text: "The API key is no longer valid: it was revoked, or it has expired.", key: true },
  4002: { text: "The server does not accept these choices." },
  4003: { text: "This API key may not do that.", key: true },
  4004: { text: "The session is gone.", retry: true, afresh: true },
  4005: { text: "The server does not take this kind of audio." },
  4008: { text: "This page could not keep up with its events.", retry: true },
  4009: { text: "The session was taken over by another connection." },
  4010: { text: "The stream was idle for too long.", retry: true },
  4011: { text: "The session reached its longest duration.", retry: true, afresh: true },
  4012: { text: "Too many messages or connections.", retry: true },
  4013: { text: "The server carries as many streams as it can.", retry: true },
};

/**
 * What a close means, whether another connection may be tried, and whether that has to open a new
 * session (`afresh`) or goes on with this one; `key` asks for another key. `error` is the last error
 * event.
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

/** Nobody answers at all. */
export function explainSilence(location) {
  return end(`No server answers at ${location.host}. Start one with: streamd serve.`, { retry: true });
}

/** Why `/health/ready` says that there is no room for a stream; null if there is. */
export function explainFullness({ status, body, retryAfterMs }) {
  if (status !== 503 && !(body?.streams >= body?.max_streams)) return null;
  return { ...explainClose(body?.status === "draining" ? 1012 : 4013), retryAfterMs };
}

/** Why a request was refused: by its `status`, and by its `body` if that could be read. */
export function explainDenial({ status, body, retryAfterMs }, key, location) {
  const error = body?.error;
  const detail = error?.message ? ` ${sentence(error.message)}` : "";
  if (status === 401) return end(key ? WRONG_KEY : NO_KEY, { key: true });
  if (status === 403) {
    if (error?.ref === "address") return end(FORBIDDEN_ADDRESS);
    if (error?.ref === "host") return end(nameless(location), { key: true });
    if (error?.code === "forbidden" && error.ref !== "origin") {
      return end(`This API key may not stream.${detail}`, { key: true });
    }
    return end(foreign(location));
  }
  if (status === 429) return { ...end("Too many requests with this API key.", { retry: true }), retryAfterMs };
  return explainFullness({ status, body, retryAfterMs }) ?? end(`The server answered with an error (${status}).${detail}`);
}

/** Whether an answer says that this page may not stream, or not now. */
export function isDenial({ status }) {
  return [401, 403, 429, 503].includes(status);
}

/**
 * Why a socket did not open although the server has room, and lets this page in. The network may have
 * been away for just that moment, so it is worth a few attempts (`lost`).
 */
export function explainLostUpgrade(key) {
  const proxy = "a proxy before the server may not pass on the headers Host, Upgrade and Connection";
  const most = key ? "this key may have as many streams open as it is allowed, or " : "";
  return { ...end(`The stream did not open: ${most}${proxy}.`, { retry: true }), lost: true };
}

const NO_KEY = "The server asks for an API key. Type yours here; whoever runs the server makes one with “streamd keys create NAME”.";
const WRONG_KEY = "The server does not accept this API key: it is unknown, expired or revoked.";
const FORBIDDEN_ADDRESS = "The server does not let your address in; its operator lists those that may connect in access.allow_ips.";

function foreign({ origin }) {
  return `The server takes nothing from pages of ${origin}. If a proxy stands before it, it has to pass on the header Host; else its operator lists ${origin} in server.origins.`;
}

function nameless(location) {
  return `Without an API key, the server is not reached by the name ${location.hostname} over plain http: a name can be made to mean any machine. ${tunnel(location)} Its operator can also list ${location.origin} in server.origins.`;
}

/** Whether a server takes nothing from this page, unless it shows a key or its origin is listed. */
export function isNamedWithoutTls({ protocol, hostname }) {
  const isAddress = /^\[.*\]$|^\d+(\.\d+){3}$/.test(hostname);
  return protocol === "http:" && hostname !== "localhost" && !isAddress;
}

/** Whether others on the network can read what this page sends. */
export function isReadable({ protocol, hostname }) {
  return protocol === "http:" && !/^(localhost|127(\.\d+){3}|\[::1\])$/.test(hostname);
}

/** How to come to a page that may open the microphone. */
export function tunnel({ hostname, port }) {
  const server = port || "8765";
  return `On your own machine run “ssh -L 8765:127.0.0.1:${server} ${hostname}” and open http://localhost:8765, or give streamd a certificate (“streamd keys certificate”) and open it over https.`;
}

/** Why there is no microphone where the page came over plain http, and what to do. */
export function noMicrophone(location, key) {
  const file = isNamedWithoutTls(location) && !key ? "" : " Playing a file works here.";
  return `Browsers open the microphone only over https or on localhost. ${tunnel(location)}${file}`;
}

/** What the browser's errors mean, by their name. */
export const MICROPHONE_ERRORS = {
  NotAllowedError: "The microphone was denied. Allow it in the browser’s site settings, then start again.",
  NotFoundError: "There is no microphone. Plug one in, or play a file.",
  NotReadableError: "The microphone is in use by another program, or the system keeps it.",
};

function end(text, { retry = false, key = false } = {}) {
  return { text, retry, afresh: false, key };
}

function sentence(text) {
  const capital = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(capital) ? capital : `${capital}.`;
}

// One socket to the server: hello, audio out, events in.

import { explainClose, explainRefusal, streamUrl, SUBPROTOCOL } from "./protocol.js";
import { toInt16 } from "./pcm.js";

// About ten seconds at 48 kHz. What cannot leave by then is dropped and named, not kept for ever.
const MAX_BUFFERED_BYTES = 1 << 20;
const BYE_TIMEOUT_MS = 4000;

/** A stream on a fresh session. `handlers`: onEvent(event), onClose({text, retry, key, …}). */
export class Stream {
  constructor(greeting, ticket, handlers) {
    this.handlers = handlers;
    this.rate = greeting.audio.rate;
    this.frames = 0; // sample frames on the session's clock, gaps included
    this.lostFrames = 0;
    this.socket = new WebSocket(streamUrl(location, ticket), SUBPROTOCOL);
    this.socket.binaryType = "arraybuffer";
    this.socket.onopen = () => {
      this.opened = true;
      this.control(greeting);
    };
    this.socket.onmessage = ({ data }) => this.receive(data);
    this.socket.onclose = ({ code }) => this.closed(code);
  }

  /** Milliseconds of audio sent so far: the head of the session's clock. */
  get sentMs() {
    return Math.floor((1000 * this.frames) / this.rate);
  }

  get takesAudio() {
    return this.socket.readyState === WebSocket.OPEN && !this.ending;
  }

  /** Send a block of mono floats. False while the stream does not take audio. */
  send(floats) {
    if (!this.takesAudio) return false;
    if (this.socket.bufferedAmount > MAX_BUFFERED_BYTES) {
      this.lostFrames += floats.length;
      return false;
    }
    if (this.lostFrames > 0) this.nameLoss();
    this.socket.send(toInt16(floats));
    this.frames += floats.length;
    return true;
  }

  /** No more audio comes: the server ends what is open, says bye and closes. */
  end() {
    if (this.ending) return;
    this.ending = true;
    if (this.socket.readyState === WebSocket.OPEN) this.control({ type: "end" });
    this.timer = setTimeout(() => this.socket.close(), this.opened ? BYE_TIMEOUT_MS : 0);
  }

  control(message) {
    this.socket.send(JSON.stringify(message));
  }

  nameLoss() {
    const ms = Math.round((1000 * this.lostFrames) / this.rate);
    this.control({ type: "gap", ms });
    this.frames += Math.round((ms * this.rate) / 1000);
    this.lostFrames = 0;
  }

  receive(data) {
    let event;
    try {
      event = JSON.parse(data);
    } catch {
      return; // a later version may send what this page cannot read
    }
    if (typeof event?.type !== "string") return;
    if (event.type === "error") this.error = event;
    this.handlers.onEvent(event);
  }

  async closed(code) {
    clearTimeout(this.timer);
    const end = this.opened ? explainClose(code, this.error) : await whyNotOpened();
    this.handlers.onClose({ ...end, ending: Boolean(this.ending), retryAfterMs: end.retryAfterMs ?? this.error?.retry_after_ms });
  }
}

/** A page is not told the status of a refused upgrade, so ask another endpoint. */
async function whyNotOpened() {
  try {
    const response = await fetch("/health/ready", { cache: "no-store" });
    const body = await response.json().catch(() => undefined);
    const retryAfterMs = 1000 * Number(response.headers.get("Retry-After") ?? 0) || undefined;
    return explainRefusal({ status: response.status, body, retryAfterMs }, location);
  } catch {
    return { text: `No server answers at ${location.host}. Start one with: streamd serve.`, retry: true, key: false };
  }
}

/** A single-use ticket, since a page cannot set headers on a WebSocket. */
export async function ticketFor(key) {
  if (!key) return undefined;
  const response = await fetch("/v1/tickets", { method: "POST", headers: { Authorization: `Bearer ${key}` } });
  if (!response.ok) throw new Error(explainClose(response.status === 403 ? 4003 : 4001).text);
  return (await response.json()).ticket;
}

/** The bye's totals in a sentence. */
export function summary(bye) {
  const seconds = (ms) => `${((ms ?? 0) / 1000).toFixed(1)} s`;
  const count = bye.utterances ?? 0;
  const times = `${seconds(bye.duration_ms)} heard, ${seconds(bye.speech_ms)} of speech`;
  return `Finished: ${times} in ${count} ${count === 1 ? "utterance" : "utterances"}.`;
}

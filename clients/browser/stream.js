// One socket to the server: hello, audio out, events in.

import { whyNotOpened } from "./access.js";
import { streamUrl, SUBPROTOCOL } from "./protocol.js";
import { explainClose } from "./reasons.js";

// About ten seconds at 48 kHz: what cannot leave waits in the replay buffer, which is bounded too.
const MAX_BUFFERED_BYTES = 1 << 20;
const BYE_SILENCE_MS = 10_000; // a busy server is late, and says something meanwhile
const LOOK_MS = 5000;
const SILENCE_MS = 20_000; // then the network is gone without a word

/**
 * One connection of a session. `handlers`: onEvent(event), onClose({text, retry, afresh, key, …}).
 * It sends what is in `replay` once `start` is called.
 */
export class Stream {
  constructor(greeting, replay, { key, ticket }, handlers) {
    this.key = key;
    this.handlers = handlers;
    this.replay = replay;
    this.socket = new WebSocket(streamUrl(location, ticket), SUBPROTOCOL);
    this.socket.binaryType = "arraybuffer";
    this.socket.onopen = () => {
      this.opened = true;
      this.control(greeting);
    };
    this.socket.onmessage = ({ data }) => this.receive(data);
    this.socket.onclose = ({ code }) => this.closed(code);
    this.receivedAt = performance.now();
    this.watch = setInterval(() => this.look(), LOOK_MS);
  }

  /** The session is ready: send what the server does not have. */
  start() {
    this.started = true;
    this.pump();
  }

  /** Send what waits, as far as the socket takes it. */
  pump() {
    if (!this.started || this.socket.readyState !== WebSocket.OPEN) return;
    while (this.socket.bufferedAmount < MAX_BUFFERED_BYTES) {
      const message = this.replay.next();
      if (message === null) return;
      if (ArrayBuffer.isView(message)) this.socket.send(message);
      else this.control(message);
      if (message.type === "end") this.awaitBye();
    }
  }

  /** Wait for the last events, as long as any come. */
  awaitBye() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.giveUp(), BYE_SILENCE_MS);
  }

  control(message) {
    this.socket.send(JSON.stringify(message));
  }

  /** Close without waiting for the server's last events. */
  giveUp() {
    this.gaveUp = true;
    this.socket.close();
    this.closed(1000);
  }

  receive(data) {
    this.receivedAt = performance.now();
    if (this.timer) this.awaitBye();
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

  /** A page sees no pongs of the WebSocket, so it asks for one of the protocol. */
  look() {
    const silentMs = performance.now() - this.receivedAt;
    if (silentMs > SILENCE_MS) {
      this.socket.close(); // its answer may never come
      this.closed(1006);
    } else if (silentMs > SILENCE_MS / 2 && this.started && this.socket.readyState === WebSocket.OPEN) {
      this.control({ type: "ping" });
    }
  }

  async closed(code) {
    if (this.over) return;
    this.over = true;
    clearTimeout(this.timer);
    clearInterval(this.watch);
    this.socket.onmessage = null;
    const end = this.opened ? explainClose(code, this.error) : await whyNotOpened(this.key);
    this.handlers.onClose({
      ...end,
      code: this.opened ? code : undefined,
      gaveUp: Boolean(this.gaveUp),
      retryAfterMs: end.retryAfterMs ?? this.error?.retry_after_ms,
    });
  }
}

/** The bye's totals in a sentence. */
export function summary(bye) {
  const seconds = (ms) => `${((ms ?? 0) / 1000).toFixed(1)} s`;
  const count = bye.utterances ?? 0;
  const times = `${seconds(bye.duration_ms)} heard, ${seconds(bye.speech_ms)} of speech`;
  return `Finished: ${times} in ${count} ${count === 1 ? "utterance" : "utterances"}.`;
}

// A source feeding streams: opens one, and a fresh one when the server asks to come back.

import { hello, reconnectWaitMs } from "./protocol.js";
import { peak } from "./pcm.js";
import { Stream, ticketFor } from "./stream.js";

const MAX_ATTEMPTS = 8;

/**
 * From the press of a button until it is over.
 *
 * `handlers`: onPhase(phase, text), onEvent(event), onLevel(headMs, peak, sent),
 * onFresh() before each new session's clock, onOver({text, failed, key}).
 */
export class Session {
  constructor(source, choices, handlers) {
    this.source = source;
    this.choices = choices;
    this.handlers = handlers;
    this.attempts = 0;
  }

  async run() {
    try {
      this.handlers.onPhase("opening", this.source.live ? "Asking for the microphone" : "Reading the file");
      await this.source.open();
      if (this.done) return this.source.stop(); // stopped while the browser was asking
      await this.connect();
    } catch (error) {
      this.over(error.message, { failed: true });
    }
  }

  /** Let the server finish what it heard, then stop. Pressed twice, it stops at once. */
  stop() {
    if (this.stopped || !this.stream) this.over("Stopped.");
    this.stopped = true;
    this.finish();
  }

  finish() {
    if (this.done || !this.stream) return;
    this.handlers.onPhase("ending", "Finishing");
    this.stream.end();
  }

  async connect() {
    this.handlers.onPhase("connecting", this.attempts === 0 ? "Connecting" : "Reconnecting");
    const ticket = await ticketFor(this.choices.key);
    if (this.done) return;
    this.stream = new Stream(hello(this.source.rate, this.choices), ticket, {
      onEvent: (event) => this.onEvent(event),
      onClose: (end) => this.onClose(end),
    });
  }

  onEvent(event) {
    if (event.type === "ready") this.onReady();
    if (event.type === "draining") {
      this.handlers.onPhase("waiting", "The server is about to restart");
    }
    this.handlers.onEvent(event);
  }

  onReady() {
    this.attempts = 0;
    this.state = null;
    this.handlers.onFresh();
    this.handlers.onPhase("live", this.source.live ? "Listening" : "Playing");
    if (this.started) {
      this.source.resume();
      return;
    }
    this.started = true;
    try {
      this.source.start(
        (block) => this.onBlock(block),
        (trouble) => this.onEnd(trouble),
        (text) => this.onState(text),
      );
    } catch (error) {
      this.onEnd(`The sound could not be started: ${error.message}`);
    }
  }

  /** The source is over, by itself or because of a trouble; what was sent gets its events. */
  onEnd(trouble) {
    this.trouble = trouble;
    this.stopped = true;
    if (this.stream) this.finish();
    else this.over(trouble ?? "Stopped.", { failed: Boolean(trouble) });
  }

  /** What is the matter with a source that goes on, or null. */
  onState(text) {
    if (!this.stream?.takesAudio || this.state === text) return;
    this.state = text;
    this.handlers.onPhase("live", text ?? "Listening");
  }

  onBlock(block) {
    if (!this.stream?.send(block)) return;
    this.handlers.onLevel(this.stream.sentMs, peak(block));
  }

  onClose(end) {
    this.stream = undefined;
    if (this.done) return;
    if (this.stopped || end.ending) {
      this.over(this.trouble ?? "Stopped.", { failed: Boolean(this.trouble) });
    } else if (end.retry && ++this.attempts <= MAX_ATTEMPTS) {
      this.source.pause();
      const waitMs = reconnectWaitMs(end.retryAfterMs);
      this.handlers.onPhase("waiting", `${end.text} Trying again in ${Math.round(waitMs / 1000)} s`);
      this.timer = setTimeout(() => this.connect().catch((error) => this.over(error.message, { failed: true })), waitMs);
    } else {
      this.over(end.text, { failed: true, key: end.key });
    }
  }

  over(text, { failed = false, key = false } = {}) {
    if (this.done) return;
    this.done = true;
    clearTimeout(this.timer);
    this.stream?.end();
    this.source.stop();
    this.handlers.onOver({ text, failed, key });
  }
}

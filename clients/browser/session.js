// A source feeding a stream, over as many connections as it takes.

import { ticketFor } from "./access.js";
import { hello, reconnectWaitMs } from "./protocol.js";
import { peak, toInt16 } from "./pcm.js";
import { Replay } from "./replay.js";
import { Stream } from "./stream.js";

const MAX_ATTEMPTS = 40; // in a row, some minutes
const MAX_FAULTS = 1; // of the server, since it last took audio
const MAX_LOST = 3; // sockets in a row that did not open, though the server answers

/**
 * From the press of a button until it is over.
 *
 * `handlers`: onPhase(phase, text), onEvent(event), onLevel(headMs, peak), onFresh() before each new
 * session's clock, onOver({text, failed, key}).
 */
export class Session {
  constructor(source, choices, handlers) {
    this.source = source;
    this.choices = choices;
    this.handlers = handlers;
    this.attempts = 0;
    this.faults = 0;
    this.lost = 0;
    this.lastSeq = 0;
  }

  async run() {
    try {
      this.handlers.onPhase("opening", this.source.live ? "Asking for the microphone" : "Reading the file");
      await this.source.open();
      if (this.done) return this.source.stop(); // stopped while the browser was asking
      this.replay = new Replay(this.source.rate);
      await this.connect();
    } catch (error) {
      this.over(error.message, { failed: true });
    }
  }

  /** Let the server finish what it heard, then stop. Pressed twice, it stops at once. */
  stop() {
    if (this.stopped || !this.stream) this.over("Stopped.");
    else this.finish();
  }

  finish() {
    if (this.done) return;
    this.stopped = true;
    this.source.stop();
    this.replay.end();
    this.handlers.onPhase("ending", "Finishing");
    this.stream?.pump();
  }

  async connect() {
    this.handlers.onPhase("connecting", this.attempts === 0 ? "Connecting" : "Reconnecting");
    const { key } = this.choices;
    const { ticket, end } = key ? await ticketFor(key) : {};
    if (this.done) return;
    if (end) {
      this.onClose(end);
      return;
    }
    const greeting = hello(this.source.rate, this.choices);
    if (this.token) greeting.resume = { token: this.token, last_seq: this.lastSeq };
    this.stream = new Stream(greeting, this.replay, { key, ticket }, {
      onEvent: (event) => this.onEvent(event),
      onClose: (end) => this.onClose(end),
    });
  }

  onEvent(event) {
    if (typeof event.seq === "number") {
      if (event.seq <= this.lastSeq) return;
      this.lastSeq = event.seq;
      this.attempts = 0;
    }
    if (event.type === "ready") this.onReady(event);
    if (event.type === "ack") {
      this.replay.acked(event.samples);
      this.attempts = this.faults = 0;
      this.stream.pump();
    }
    if (event.type === "bye") this.finished = true;
    if (event.type === "draining") {
      this.handlers.onPhase("waiting", "The server is about to restart");
    }
    this.handlers.onEvent(event);
  }

  onReady(ready) {
    this.lost = 0;
    this.token = ready.resume?.token;
    this.state = null;
    if (ready.resumed) {
      this.replay.resume(ready.have_samples, ready.have_controls);
    } else {
      this.lastSeq = 0;
      this.replay.restart();
      this.handlers.onFresh();
    }
    this.stream.start();
    if (this.stopped) {
      this.handlers.onPhase("ending", "Finishing");
      return;
    }
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
    this.finish();
  }

  /** What is the matter with a source that goes on, or null. */
  onState(text) {
    if (!this.stream?.started || this.stopped || this.state === text) return;
    this.state = text;
    this.handlers.onPhase("live", text ?? "Listening");
  }

  onBlock(block) {
    if (this.stopped || this.done) return;
    this.replay.push(toInt16(block));
    this.stream?.pump();
    this.handlers.onLevel(Math.floor((1000 * this.replay.frames) / this.source.rate), peak(block));
  }

  onClose(end) {
    this.stream = undefined;
    if (this.done) return;
    if (end.afresh) this.token = undefined;
    const isHopeless = (end.code === 1011 && ++this.faults > MAX_FAULTS) || (end.lost && ++this.lost > MAX_LOST);
    const isWorthIt = end.retry && !isHopeless;
    if (this.finished || end.gaveUp || (this.stopped && !isWorthIt)) {
      this.over(this.trouble ?? "Stopped.", { failed: Boolean(this.trouble) });
    } else if (isWorthIt && ++this.attempts <= MAX_ATTEMPTS) {
      this.source.pause();
      const waitMs = reconnectWaitMs(end, this.attempts);
      const wait = waitMs < 1000 ? "Reconnecting" : `Trying again in ${Math.round(waitMs / 1000)} s`;
      this.handlers.onPhase("waiting", `${end.text} ${wait}`);
      this.timer = setTimeout(() => this.connect().catch((error) => this.over(error.message, { failed: true })), waitMs);
    } else {
      this.over(end.text, { failed: true, key: end.key });
    }
  }

  over(text, { failed = false, key = false } = {}) {
    if (this.done) return;
    this.done = true;
    clearTimeout(this.timer);
    this.stream?.giveUp();
    this.source.stop();
    this.handlers.onOver({ text, failed, key });
  }
}

// Audio that the server may not have: kept, and sent again after a drop. No DOM, no socket.

export const KEPT_S = 60; // as long as a server holds a stream by default

/**
 * Blocks of samples in order, from the oldest that the server may not have, and the `end`.
 *
 * Places are sample frames counted from the first block. The server counts from the start of its
 * session and without what was lost: `shift` lies between the two.
 */
export class Replay {
  constructor(rate, keptS = KEPT_S) {
    this.bound = rate * keptS;
    this.blocks = []; // [place, samples]
    this.start = 0; // place of the first sample that is kept
    this.head = 0; // place behind the last one
    this.sent = 0; // place of the first one that is to be sent
    this.origin = 0; // place where the session's clock is at 0
    this.shift = 0;
    this.gaps = []; // losses that were named, and that the server may not know yet: [first frame, frames, cause]
    this.gapsKnown = 0;
    this.isBack = false; // nothing was sent since the session was resumed
    this.isNamed = false; // the loss that comes first was named before the drop
    this.ending = false;
    this.endSent = false;
  }

  /** Sample frames on the session's clock. */
  get frames() {
    return this.head - this.origin;
  }

  push(samples) {
    this.blocks.push([this.head, samples]);
    this.head += samples.length;
    while (this.head - this.start > this.bound) this.forget(this.blocks[0][0] + this.blocks[0][1].length);
  }

  /** No more audio comes. */
  end() {
    this.ending = true;
  }

  /** The next message: samples, an object, or null if all are sent. */
  next() {
    const message = this.isNamed ? { type: "ping" } : this.nextOfAll();
    this.isNamed = false;
    if (message !== null) this.isBack = false;
    return message;
  }

  nextOfAll() {
    if (this.sent < this.start) {
      const samples = this.start - this.sent;
      this.gaps.push([this.sent, samples, this.isBack ? "resume" : "client"]);
      this.sent = this.start;
      return { type: "gap", samples };
    }
    if (this.sent < this.head) {
      const index = this.blocks.findLastIndex(([place]) => place <= this.sent);
      const [place, samples] = this.blocks[index];
      const rest = samples.subarray(this.sent - place);
      this.sent = place + samples.length;
      return rest;
    }
    if (this.ending && !this.endSent) {
      this.endSent = true;
      return { type: "end" };
    }
    return null;
  }

  /** The server holds so many sample frames safely. */
  acked(samples) {
    // It has a gap for sure if it has audio from behind it.
    while (this.gaps.length > 0 && samples + this.shift > this.gaps[0][0]) this.knowGap();
    this.forget(Math.min(samples + this.shift, this.sent));
  }

  /** Go on behind what a resumed session has. Returns the sample frames that are lost. */
  resume(haveSamples, haveControls) {
    while (this.gaps.length > 0 && this.gapsKnown < haveControls) this.knowGap();
    this.endSent = haveControls > this.gapsKnown;
    this.sent = Math.min(haveSamples + this.shift, this.head);
    this.forget(this.sent);
    const lost = Math.max(0, this.start - this.sent);
    // Those that did not arrive are named anew, and may have grown. A gap that comes first counts as
    // lost by the drop; a ping goes before one that was there without it.
    const [place, samples, cause] = this.gaps[0] ?? [];
    this.isNamed = cause === "client" && place === this.sent && samples === lost;
    this.isBack = true;
    this.gaps = [];
    return lost;
  }

  /** Go on in a new session, with all that is kept. */
  restart() {
    this.gaps = [];
    this.gapsKnown = 0;
    this.isBack = this.isNamed = false;
    this.endSent = false;
    this.sent = this.origin = this.shift = this.start;
  }

  knowGap() {
    this.shift += this.gaps.shift()[1];
    this.gapsKnown++;
  }

  forget(place) {
    while (this.blocks.length > 0 && this.blocks[0][0] + this.blocks[0][1].length <= place) this.blocks.shift();
    this.start = Math.max(this.start, this.blocks.length > 0 ? this.blocks[0][0] : Math.min(place, this.head));
  }
}

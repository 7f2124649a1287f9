// A sound file: decoded here, played in the room and sent at the pace of its playing.

import { MAX_RATE, messageFrames, mixDown } from "./pcm.js";

const STEP_MS = 20;

/** A source: `open` decodes the file and fixes its rate, `start` lets the blocks come. */
export class SoundFile {
  live = false;

  constructor(file) {
    this.file = file;
  }

  async open() {
    // Decoding resamples to the context's rate, which the server has to take.
    this.context = new AudioContext();
    if (this.context.sampleRate > MAX_RATE) {
      this.context.close();
      this.context = new AudioContext({ sampleRate: MAX_RATE });
    }
    this.rate = this.context.sampleRate;
    try {
      this.buffer = await this.context.decodeAudioData(await this.file.arrayBuffer());
    } catch {
      this.stop();
      throw new Error(`This browser cannot decode ${this.file.name}.`);
    }
    this.samples = mixDown(this.buffer);
  }

  start(onBlock, onEnd) {
    const player = this.context.createBufferSource();
    player.buffer = this.buffer;
    player.connect(this.context.destination);
    player.start();
    this.resume();
    const frames = messageFrames(this.rate);
    let sent = 0;
    let playedMs = 0;
    // By the clock of the page, not the context's: that stands still where no sound can be played.
    this.timer = setInterval(() => {
      const now = performance.now();
      if (this.playingSince === undefined) return;
      playedMs += now - this.playingSince;
      this.playingSince = now;
      const played = Math.floor((playedMs / 1000) * this.rate);
      while (sent < this.samples.length && sent + frames <= played) {
        onBlock(this.samples.subarray(sent, sent + frames));
        sent += frames;
      }
      if (sent >= this.samples.length) {
        clearInterval(this.timer);
        onEnd();
      }
    }, STEP_MS);
  }

  pause() {
    this.playingSince = undefined;
    this.context?.suspend();
  }

  resume() {
    this.playingSince = performance.now();
    this.context?.resume();
  }

  stop() {
    clearInterval(this.timer);
    this.context?.close();
    this.context = this.buffer = this.samples = undefined;
  }
}

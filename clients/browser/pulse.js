// Whether a microphone still delivers sound. No DOM, no clock: somebody calls `tick`.

export const PULSE_MS = 1000;
const DEAD_TICKS = 3;
const SILENT_TICKS = 4;

/**
 * Counts ticks without a block, and ticks of digital silence, which no live microphone gives.
 *
 * Ticks and not milliseconds: after a machine has slept, blocks come again before ticks add up.
 */
export class Pulse {
  constructor() {
    this.withoutBlock = 0;
    this.withoutSound = 0;
  }

  /** A block came, this loud. */
  block(peak) {
    this.withoutBlock = 0;
    if (peak > 0) this.withoutSound = 0;
  }

  /** Every `PULSE_MS`: "alive", "silent" or "dead". */
  tick() {
    if (++this.withoutBlock > DEAD_TICKS) return "dead";
    return ++this.withoutSound > SILENT_TICKS ? "silent" : "alive";
  }
}

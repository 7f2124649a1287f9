// Samples: float to s16le, and how loud they are. No DOM.

export const MESSAGE_MS = 20;
export const FLOOR_DBFS = -60;
export const MAX_RATE = 48_000; // of the server
const HALF_TAPS = 16; // of the low-pass, for each step of the factor
const CUTOFF = 0.45; // of the new rate

/** Sample frames of one message; rates without a whole number of them round down. */
export function messageFrames(rate) {
  return Math.floor((rate * MESSAGE_MS) / 1000);
}

/** Float samples in −1…1 as 16-bit integers. Typed arrays are little-endian in every browser. */
export function toInt16(floats) {
  const samples = new Int16Array(floats.length);
  for (let i = 0; i < floats.length; i++) {
    samples[i] = Math.round(Math.max(-1, Math.min(1, floats[i])) * 32767);
  }
  return samples;
}

/** The smallest whole number that brings a rate to one that the server takes. */
export function downBy(rate) {
  let factor = 1;
  while (rate / factor > MAX_RATE || rate % factor !== 0) factor++;
  return factor;
}

/** Divides a rate by a whole number: a low-pass, then every n-th sample, at any length of blocks. */
export class Decimator {
  constructor(factor) {
    this.factor = factor;
    this.taps = factor === 1 ? Float32Array.of(1) : lowPass(HALF_TAPS * factor, CUTOFF / factor);
    this.kept = new Float32Array(this.taps.length - 1);
    this.next = 0; // where the next output begins in the block to come
  }

  push(block) {
    const { factor, taps } = this;
    if (factor === 1) return block;
    const samples = new Float32Array(this.kept.length + block.length);
    samples.set(this.kept);
    samples.set(block, this.kept.length);
    const output = new Float32Array(Math.max(0, Math.ceil((block.length - this.next) / factor)));
    for (let i = 0; i < output.length; i++) {
      const first = this.next + i * factor;
      let sum = 0;
      for (let tap = 0; tap < taps.length; tap++) sum += taps[tap] * samples[first + tap];
      output[i] = sum;
    }
    this.next += output.length * factor - block.length;
    this.kept = samples.slice(block.length);
    return output;
  }
}

/** A windowed sinc (Blackman) of 2 · half + 1 taps; `cutoff` in cycles per sample. */
function lowPass(half, cutoff) {
  const taps = Float32Array.from({ length: 2 * half + 1 }, (_, i) => {
    const n = i - half;
    const sinc = n === 0 ? 2 * cutoff : Math.sin(2 * Math.PI * cutoff * n) / (Math.PI * n);
    const angle = (Math.PI * n) / (half + 1);
    return sinc * (0.42 + 0.5 * Math.cos(angle) + 0.08 * Math.cos(2 * angle));
  });
  const total = taps.reduce((sum, tap) => sum + tap, 0);
  return taps.map((tap) => tap / total);
}

/** Largest magnitude, 0…1. */
export function peak(floats) {
  let highest = 0;
  for (const value of floats) highest = Math.max(highest, Math.abs(value));
  return Math.min(1, highest);
}

/** A linear level as a position on the meter: 0 at −60 dBFS and below, 1 at full scale. */
export function meter(level) {
  const dbfs = 20 * Math.log10(Math.max(level, 1e-6));
  return Math.max(0, 1 - dbfs / FLOOR_DBFS);
}

/** All channels of an AudioBuffer as one. */
export function mixDown(buffer) {
  const mono = new Float32Array(buffer.length);
  for (let channel = 0; channel < buffer.numberOfChannels; channel++) {
    const samples = buffer.getChannelData(channel);
    for (let i = 0; i < mono.length; i++) mono[i] += samples[i] / buffer.numberOfChannels;
  }
  return mono;
}

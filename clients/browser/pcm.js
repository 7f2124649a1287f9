// Samples: float to s16le, and how loud they are. No DOM.

export const MESSAGE_MS = 20;
export const FLOOR_DBFS = -60;

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

// Runs on the audio thread: gathers the 128-frame quanta into messages and hands them over.

class Capture extends AudioWorkletProcessor {
  constructor({ processorOptions }) {
    super();
    this.block = new Float32Array(processorOptions.frames);
    this.filled = 0;
  }

  process([[channel]]) {
    let taken = 0;
    while (channel && taken < channel.length) {
      const count = Math.min(channel.length - taken, this.block.length - this.filled);
      this.block.set(channel.subarray(taken, taken + count), this.filled);
      taken += count;
      this.filled += count;
      if (this.filled === this.block.length) {
        this.port.postMessage(this.block, [this.block.buffer]);
        this.block = new Float32Array(this.filled);
        this.filled = 0;
      }
    }
    return true;
  }
}

registerProcessor("capture", Capture);

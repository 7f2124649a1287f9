// Where the sound comes from. A source opens (which fixes its rate), starts, pauses and stops.

import { messageFrames, mixDown } from "./pcm.js";

const MAX_RATE = 48_000;

/** A context at the device's own rate, unless the server could not take that. */
function audioContext() {
  const context = new AudioContext({ latencyHint: "interactive" });
  if (context.sampleRate <= MAX_RATE) return context;
  context.close();
  return new AudioContext({ latencyHint: "interactive", sampleRate: MAX_RATE });
}

/** The microphone, as live blocks of mono floats. */
export class Microphone {
  live = true;

  /** Ask for the microphone. Throws an Error whose message tells a person what to do. */
  async open() {
    if (!window.isSecureContext || !navigator.mediaDevices?.getUserMedia) {
      throw new Error(INSECURE);
    }
    try {
      this.media = await navigator.mediaDevices.getUserMedia({
        // Noise suppression and echo cancellation eat parts of speech that the models were
        // trained to hear; without gain control most laptops are too quiet.
        audio: { channelCount: 1, echoCancellation: false, noiseSuppression: false, autoGainControl: true },
      });
      this.context = audioContext();
      await this.context.audioWorklet.addModule(new URL("./worklet.js", import.meta.url));
    } catch (error) {
      this.stop();
      throw new Error(MICROPHONE_ERRORS[error.name] ?? `The microphone could not be opened: ${error.message}`);
    }
    this.rate = this.context.sampleRate;
  }

  start(onBlock, onEnd) {
    const node = new AudioWorkletNode(this.context, "capture", {
      numberOfOutputs: 0,
      channelCount: 1,
      channelCountMode: "explicit",
      processorOptions: { frames: messageFrames(this.rate) },
    });
    node.port.onmessage = ({ data }) => onBlock(data);
    this.context.createMediaStreamSource(this.media).connect(node);
    this.media.getTracks()[0].onended = () => onEnd("The microphone was unplugged or taken away.");
    this.context.resume();
  }

  // A microphone cannot wait: what is said meanwhile is not sent.
  pause() {}

  resume() {}

  stop() {
    for (const track of this.media?.getTracks() ?? []) {
      track.onended = null;
      track.stop();
    }
    this.context?.close();
    this.media = this.context = undefined;
  }
}

/** A sound file, decoded here, heard in the room and sent in step with what is heard. */
export class SoundFile {
  live = false;

  constructor(file) {
    this.file = file;
  }

  async open() {
    this.context = audioContext();
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
    const startedAt = this.context.currentTime;
    const frames = messageFrames(this.rate);
    let sent = 0;
    player.start(startedAt);
    this.context.resume();
    // The context's clock says how far the file is, so a throttled timer only sends later.
    this.timer = setInterval(() => {
      const heard = Math.floor((this.context.currentTime - startedAt) * this.rate);
      while (sent < this.samples.length && sent + frames <= heard) {
        onBlock(this.samples.subarray(sent, sent + frames));
        sent += frames;
      }
      if (sent >= this.samples.length) {
        clearInterval(this.timer);
        onEnd();
      }
    }, 20);
  }

  pause() {
    this.context?.suspend();
  }

  resume() {
    this.context?.resume();
  }

  stop() {
    clearInterval(this.timer);
    this.context?.close();
    this.context = this.buffer = this.samples = undefined;
  }
}

const INSECURE =
  "Browsers open the microphone only over https or on localhost. Serve streamd with TLS, or come " +
  "through a tunnel: ssh -L 8765:localhost:8765 HOST, then http://localhost:8765. Playing a file works here.";

const MICROPHONE_ERRORS = {
  NotAllowedError: "The microphone was denied. Allow it in the browser’s site settings, then start again.",
  NotFoundError: "There is no microphone. Plug one in, or play a file.",
  NotReadableError: "The microphone is in use by another program, or the system keeps it.",
};

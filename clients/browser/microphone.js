// The microphone as live blocks of mono floats. It says so when no more sound comes, and why.

import { Decimator, downBy, messageFrames, peak } from "./pcm.js";
import { Pulse, PULSE_MS } from "./pulse.js";
import { MICROPHONE_ERRORS, noMicrophone } from "./reasons.js";

/** Why this browser opens no microphone for this page; null if it may. `key` is the one in use. */
export function microphoneObstacle(key) {
  return window.isSecureContext && navigator.mediaDevices?.getUserMedia ? null : noMicrophone(location, key);
}

/** A source: `open` fixes its rate, `start` lets the blocks come, `stop` ends it. */
export class Microphone {
  live = true;

  constructor(key) {
    this.key = key;
  }

  /** Ask for the microphone. Throws an Error whose message tells a person what to do. */
  async open() {
    const obstacle = microphoneObstacle(this.key);
    if (obstacle) throw new Error(obstacle);
    try {
      this.media = await navigator.mediaDevices.getUserMedia({
        // Noise suppression and echo cancellation eat parts of speech that the models were
        // trained to hear; without gain control most laptops are too quiet.
        audio: { channelCount: 1, echoCancellation: false, noiseSuppression: false, autoGainControl: true },
      });
      // At the device's own rate: Firefox connects no microphone to a context of another one.
      this.context = new AudioContext({ latencyHint: "interactive" });
      await this.context.audioWorklet.addModule(new URL("./worklet.js", import.meta.url));
    } catch (error) {
      this.stop();
      throw new Error(MICROPHONE_ERRORS[error.name] ?? `The microphone could not be opened: ${error.message}`);
    }
    const factor = downBy(this.context.sampleRate);
    this.decimator = new Decimator(factor);
    this.rate = this.context.sampleRate / factor;
  }

  /** `onEnd(why)`: no more blocks come. `onState(text)`: what is the matter, or null for nothing. */
  start(onBlock, onEnd, onState) {
    const { context, decimator } = this;
    const [track] = this.media.getTracks();
    const pulse = new Pulse();
    const node = new AudioWorkletNode(context, "capture", {
      numberOfOutputs: 0,
      channelCount: 1,
      channelCountMode: "explicit",
      processorOptions: { frames: messageFrames(context.sampleRate) },
    });
    node.port.onmessage = ({ data }) => {
      const block = decimator.push(data);
      pulse.block(peak(block));
      onBlock(block);
    };
    context.createMediaStreamSource(this.media).connect(node);
    const end = (why) => {
      this.stop();
      onEnd(why);
    };
    track.onended = () => end(ENDED);
    context.onstatechange = () => {
      if (context.state === "interrupted") end(INTERRUPTED);
      else if (context.state === "suspended") context.resume().catch(() => {}); // else it is dead
    };
    this.timer = setInterval(() => {
      const state = pulse.tick();
      if (state === "dead") end(NO_SAMPLES);
      else onState(state === "silent" ? PURE_SILENCE : null);
    }, PULSE_MS);
    if (track.readyState === "ended") end(ENDED);
    else context.resume();
  }

  // A microphone cannot wait: what is said meanwhile is not sent.
  pause() {}

  resume() {}

  stop() {
    clearInterval(this.timer);
    for (const track of this.media?.getTracks() ?? []) {
      track.onended = null;
      track.stop();
    }
    if (this.context) {
      this.context.onstatechange = null;
      this.context.close();
    }
    this.media = this.context = undefined;
  }
}

const AGAIN = "Press “Start listening” to go on.";
const ENDED = `The microphone was unplugged or taken away. ${AGAIN}`;
const INTERRUPTED = `The system interrupted the microphone, for a call or another program. ${AGAIN}`;
const NO_SAMPLES = `The microphone delivers no more sound. ${AGAIN}`;
const PURE_SILENCE = "Listening, but the microphone is silent: is it muted?";

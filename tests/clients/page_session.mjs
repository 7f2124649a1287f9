// The page's session in node, without its page: streams s16le 16 kHz and prints the events as JSON
// lines. Run by test_page_session.py with the folder of the modules, the server's URL, the file and
// perhaps a key.

import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const [folder, url, file, key] = process.argv.slice(2);
globalThis.location = new URL(url);
const { Session } = await import(pathToFileURL(`${folder}/session.js`));
const bytes = readFileSync(file);
const samples = Float32Array.from(new Int16Array(bytes.buffer, bytes.byteOffset, bytes.length / 2), (n) => n / 32767);
const BLOCK = 320;
const STEP_MS = 2; // ten times as fast as it was spoken

/** A microphone that cannot wait: what is said while there is no connection is said all the same. */
class Speaker {
  live = true;
  rate = 16_000;

  async open() {}

  start(onBlock, onEnd) {
    let at = 0;
    this.timer = setInterval(() => {
      onBlock(samples.subarray(at, at + BLOCK));
      at += BLOCK;
      if (at < samples.length) return;
      clearInterval(this.timer);
      onEnd();
    }, STEP_MS);
  }

  pause() {}

  resume() {}

  stop() {
    clearInterval(this.timer);
  }
}

const print = (event) => console.log(JSON.stringify(event));
new Session(new Speaker(), { words: ["alexa", "hey_jarvis"], modules: ["speaker"], offered: ["speaker"], key }, {
  onPhase: (phase, text) => print({ type: "phase", phase, text }),
  onFresh: () => print({ type: "fresh" }),
  onLevel() {},
  onEvent: print,
  onOver: (end) => print({ type: "over", ...end }),
}).run();
